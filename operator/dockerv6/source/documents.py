"""The text of one file to resources and diagnostics. Pure: whoever has the text brings it."""

from dataclasses import dataclass, replace
from typing import TypeGuard

from dockerv6.api.errors import FieldError, InvalidObject, closest_match, format_path
from dockerv6.api.kinds import API_VERSION, GROUP
from dockerv6.api.scheme import MODELS, Decoded, decode
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Severity, SourcedResource
from dockerv6.source.text import Flaw, UnreadableText, decode_text, yaml_of_json
from dockerv6.source.yaml import Document, parse

_Path = tuple[str | int, ...]


_NO_BYTES = Flaw(1, 1, "the file is empty; what it held before is kept", "remove the file to remove its resources")


@dataclass(frozen=True, slots=True)
class FileContents:
    """What one file holds.

    Attributes:
        broken: it holds, or may hold, something that can't be told by kind and name. What it held before is
            unknown then, not gone.
    """

    resources: tuple[SourcedResource, ...] = ()
    invalid: tuple[InvalidResource, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    broken: bool = False


def load_text(file: str, content: bytes | str) -> FileContents:
    """Read the content of a file: every document, with the items of lists each for itself.

    A file of no bytes counts as broken: a disk that is full leaves such files behind.
    A text that is not YAML to its very end gives no resources at all: half a file may say the opposite of the whole.

    Args:
        file: its name, for positions; one that ends in ``.json`` is read as JSON.
        content: bytes are UTF-8.
    """
    if not content:
        return FileContents(diagnostics=(_diagnostic(file, _NO_BYTES, Severity.WARNING),), broken=True)
    reading = _Reading(file)
    try:
        text = decode_text(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
        if file.endswith(".json"):
            text = yaml_of_json(text)
        for document in parse(text):
            if not document.empty:
                reading.document(document)
    except UnreadableText as error:
        return unreadable_file(file, error.flaw, reading.diagnostics)
    return FileContents(
        tuple(reading.resources), tuple(reading.invalid), tuple(reading.diagnostics), broken=reading.broken
    )


def unreadable_file(file: str, flaw: Flaw, earlier: list[Diagnostic] | None = None) -> FileContents:
    """A file of which nothing can be told."""
    return FileContents(diagnostics=(*(earlier or ()), _diagnostic(file, flaw)), broken=True)


def _diagnostic(file: str, flaw: Flaw, severity: Severity = Severity.ERROR) -> Diagnostic:
    position = Position(file, flaw.line, flaw.column)
    return Diagnostic(position, severity, format_path(flaw.path), flaw.message, flaw.remedy)


class _Reading:
    """Gathers what the documents of one file hold."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.resources: list[SourcedResource] = []
        self.invalid: list[InvalidResource] = []
        self.diagnostics: list[Diagnostic] = []
        self.broken = False

    def document(self, document: Document) -> None:
        """Take one document in."""
        if not _is_list(document.value):
            self._object(document, (), document.value, document.flaws)
            return
        flaws = list(document.flaws)
        for index, item in enumerate(document.value["items"]):
            path = ("items", index)
            inside = tuple(flaw for flaw in flaws if flaw.path[: len(path)] == path)
            flaws = [flaw for flaw in flaws if flaw not in inside]
            self._object(document, path, item, inside)
        if flaws:
            self.broken = True
            self.diagnostics.extend(_diagnostic(self._file, flaw) for flaw in flaws)

    def _object(self, document: Document, path: _Path, value: object, flaws: tuple[Flaw, ...]) -> None:
        if _is_foreign(value) and not _is_list(value):
            self._warn_of_foreign(document, path, value)
            return
        if flaws:
            self._reject(document, path, value, [_diagnostic(self._file, _within(flaw, path)) for flaw in flaws])
            return
        try:
            decoded = _decode(value, item=bool(path))
        except InvalidObject as error:
            self._reject(document, path, value, [self._finding(document, path, found) for found in error.errors])
            return
        line, column = document.place(path)
        self.resources.append(SourcedResource(decoded.resource, Position(self._file, line, column)))
        for warning in decoded.warnings:
            self.diagnostics.append(self._finding(document, path, warning, Severity.WARNING))

    def _reject(self, document: Document, path: _Path, value: object, found: list[Diagnostic]) -> None:
        kind, name = _identity(value)
        line, column = document.place(path)
        self.invalid.append(InvalidResource(kind, name, Position(self._file, line, column), tuple(found)))
        self.diagnostics.extend(found)
        if kind not in MODELS or not name:
            self.broken = True

    def _finding(
        self, document: Document, path: _Path, error: FieldError, severity: Severity = Severity.ERROR
    ) -> Diagnostic:
        # What should not be there at all is shown by its name; what has a wrong value, by the value.
        of_key = severity is Severity.WARNING or error.message.startswith("unknown field")
        line, column = document.place((*path, *error.path), of_key=of_key)
        return Diagnostic(
            Position(self._file, line, column), severity, format_path(error.path), error.message, error.remedy
        )

    def _warn_of_foreign(self, document: Document, path: _Path, value: dict[str, object]) -> None:
        line, column = document.place((*path, "apiVersion"))
        message = f"{value['apiVersion']} {value['kind']} is not dockerv6's and is ignored"
        self.diagnostics.append(Diagnostic(Position(self._file, line, column), Severity.WARNING, "apiVersion", message))


def _decode(value: object, *, item: bool) -> Decoded:
    if item and _is_list(value):
        raise InvalidObject((FieldError((), "a list inside a list is not read", "write its items into the outer one"),))
    return decode(value)  # type: ignore[arg-type] # it refuses what is no mapping, in its own words


def _within(flaw: Flaw, path: _Path) -> Flaw:
    return replace(flaw, path=flaw.path[len(path) :])


def _identity(value: object) -> tuple[str, str]:
    if not isinstance(value, dict):
        return "", ""
    metadata = value.get("metadata")
    kind = value.get("kind")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return kind if isinstance(kind, str) else "", name if isinstance(name, str) else ""


def _is_list(value: object) -> TypeGuard[dict[str, list[object]]]:
    """Whether this is ``kind: List``, as kubectl and ``dockerv6 get -o yaml`` print it, or a list of one kind."""
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if version == API_VERSION:
        return kind == "List" or kind in {f"{known}List" for known in MODELS}
    return version == "v1" and kind == "List"


def _is_foreign(value: object) -> TypeGuard[dict[str, object]]:
    """Whether this is plainly somebody else's: kustomizations and other kinds live in the same Git repositories."""
    if not isinstance(value, dict):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or kind in MODELS:
        return False
    group = version.partition("/")[0]
    return group != GROUP and closest_match(group, [GROUP]) is None and closest_match(version, [API_VERSION]) is None
