"""From the text of files to resources and diagnostics, and from many files to one snapshot. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from dockerv6.api.errors import FieldError, FieldPath, InvalidObject, closest_match
from dockerv6.api.kinds import API_VERSION, GROUP
from dockerv6.api.meta import name_problem
from dockerv6.api.scheme import MODELS, Decoded, decode
from dockerv6.source.model import (
    Diagnostic,
    InvalidResource,
    Position,
    Severity,
    Snapshot,
    SourcedResource,
    SourceRoot,
)
from dockerv6.source.yaml import Document, parse
from dockerv6.source.yaml_text import UnreadableText, decode_text, json_to_yaml


@dataclass(frozen=True, slots=True)
class FileContents:
    """The content of one file.

    Attributes:
        broken: part of the file can't be attributed to a kind and name. The resources that it had before are unknown,
            not deleted.
    """

    resources: tuple[SourcedResource, ...] = ()
    invalid: tuple[InvalidResource, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    broken: bool = False


def load_text(file: str, content: bytes | str) -> FileContents:
    """Decode all documents of a file. The items of a list are separate resources.

    An empty file is broken: a full disk leaves such files. A file that is not YAML to its end has no resources at all:
    half a file may mean the opposite of the whole.

    Args:
        file: its name, for positions. A name that ends in ``.json`` is read as JSON.
        content: bytes are UTF-8.
    """
    if not content:
        message = "the file is empty; its previous resources are kept"
        remedy = "delete the file to delete its resources"
        return FileContents(
            diagnostics=(Diagnostic(Position(file), Severity.WARNING, (), message, remedy),), broken=True
        )
    decoder = _FileDecoder()
    try:
        text = decode_text(file, content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
        if file.endswith(".json"):
            text = json_to_yaml(text)
        for document in parse(file, text):
            if not document.empty:
                decoder.add(document)
    except UnreadableText as error:
        return FileContents(diagnostics=(*decoder.diagnostics, error.diagnostic), broken=True)
    return FileContents(
        tuple(decoder.resources), tuple(decoder.invalid), tuple(decoder.diagnostics), broken=decoder.broken
    )


def unreadable_file(file: str, message: str, remedy: str) -> FileContents:
    """A file whose content is unknown."""
    return FileContents(diagnostics=(Diagnostic(Position(file), Severity.ERROR, (), message, remedy),), broken=True)


class _FileDecoder:
    """Collects the resources and diagnostics of one file."""

    def __init__(self) -> None:
        self.resources: list[SourcedResource] = []
        self.invalid: list[InvalidResource] = []
        self.diagnostics: list[Diagnostic] = []
        self.broken = False

    def add(self, document: Document) -> None:
        """Decode one document."""
        if not _is_list(document.value):
            self._object(document, (), document.value, document.problems)
            return
        problems = list(document.problems)
        for index, item in enumerate(document.value["items"]):
            path = ("items", index)
            of_item = tuple(problem for problem in problems if problem.path[: len(path)] == path)
            problems = [problem for problem in problems if problem not in of_item]
            self._object(document, path, item, tuple(_relative(problem, path) for problem in of_item))
        if problems:
            self.broken = True
            self.diagnostics.extend(problems)

    def _object(self, document: Document, path: FieldPath, value: object, problems: tuple[Diagnostic, ...]) -> None:
        """Decode the object at a path of the document. The paths of its problems start at the object."""
        if _is_foreign(value) and not _is_list(value):
            self._warn_of_foreign(document, path, value)
            return
        if problems:
            self._reject(document, path, value, problems)
            return
        try:
            decoded = _decode(value, item=bool(path))
        except InvalidObject as error:
            self._reject(document, path, value, [_diagnostic(document, path, found) for found in error.errors])
            return
        self.resources.append(SourcedResource(decoded.resource, document.position(path)))
        for warning in decoded.warnings:
            self.diagnostics.append(_diagnostic(document, path, warning, Severity.WARNING))

    def _reject(self, document: Document, path: FieldPath, value: object, found: Sequence[Diagnostic]) -> None:
        kind, name = _identity(value)
        self.invalid.append(InvalidResource(kind, name, document.position(path), tuple(found)))
        self.diagnostics.extend(found)
        if not kind or not name:
            self.broken = True

    def _warn_of_foreign(self, document: Document, path: FieldPath, value: dict[str, object]) -> None:
        position = document.position((*path, "apiVersion"))
        message = f"{value['apiVersion']} {value['kind']} is not a resource of dockerv6 and is ignored"
        self.diagnostics.append(Diagnostic(position, Severity.WARNING, ("apiVersion",), message))


def _diagnostic(
    document: Document, path: FieldPath, error: FieldError, severity: Severity = Severity.ERROR
) -> Diagnostic:
    """The error with its position. ``path`` leads to the object that the path of the error starts at."""
    position = document.position((*path, *error.path), at_key=error.at_key)
    return Diagnostic(position, severity, error.path, error.message, error.remedy)


def _relative(problem: Diagnostic, path: FieldPath) -> Diagnostic:
    return replace(problem, path=problem.path[len(path) :])


def _decode(value: object, *, item: bool) -> Decoded:
    if item and _is_list(value):
        raise InvalidObject((FieldError((), "lists can't be nested", "move its items into the outer list"),))
    return decode(value)  # type: ignore[arg-type] # decode reports a value that is not a mapping


def _identity(value: object) -> tuple[str, str]:
    """Kind and name of an invalid resource; each is empty unless a resource can have it."""
    if not isinstance(value, dict):
        return "", ""
    metadata = value.get("metadata")
    kind = value.get("kind")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    named = isinstance(name, str) and name_problem(name) is None
    return kind if isinstance(kind, str) and kind in MODELS else "", str(name) if named else ""


def _is_list(value: object) -> TypeGuard[dict[str, list[object]]]:
    """Whether this is ``kind: List``, as kubectl and ``dockerv6 get -o yaml`` print it, or a list of one kind."""
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if version == API_VERSION:
        return kind == "List" or kind in {f"{known}List" for known in MODELS}
    return version == "v1" and kind == "List"


def _is_foreign(value: object) -> TypeGuard[dict[str, object]]:
    """Whether another program's object is meant: Git repositories contain kustomizations and other kinds as well."""
    if not isinstance(value, dict):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or kind in MODELS:
        return False
    group = version.partition("/")[0]
    return group != GROUP and closest_match(group, [GROUP]) is None and closest_match(version, [API_VERSION]) is None


def assemble(
    roots: Sequence[SourceRoot],
    files: Mapping[str, FileContents],
    *,
    problems: Mapping[str, Iterable[str]],
    changing: Iterable[str] = (),
    retry_after: float | None = None,
) -> Snapshot:
    """Combine the contents of all files.

    When several resources have the same kind and name, the first one counts, in the order of `files` and of lines. The
    others become invalid and refer to the first. An invalid resource occupies its name as well: which
    of the two is intended is unknown.

    Args:
        roots: as listed.
        files: contents by path, in the order of precedence.
        problems: of roots, by path: why they can't be listed completely.
        changing: files that are still being written.
        retry_after: seconds until the first of them may be complete.
    """
    resources: list[SourcedResource] = []
    invalid: list[InvalidResource] = []
    diagnostics = [
        Diagnostic(Position(path), Severity.ERROR, (), problem) for path, found in problems.items() for problem in found
    ]
    first: dict[tuple[str, str], Position] = {}
    for contents in files.values():
        diagnostics.extend(contents.diagnostics)
        items: list[SourcedResource | InvalidResource] = [*contents.resources, *contents.invalid]
        for item in sorted(items, key=lambda item: item.position):
            key = _key(item)
            holder = first.setdefault(key, item.position) if all(key) else item.position
            duplicate = () if holder is item.position else (_duplicate(key, item.position, holder),)
            diagnostics.extend(duplicate)
            if isinstance(item, SourcedResource) and not duplicate:
                resources.append(item)
            else:
                earlier = () if isinstance(item, SourcedResource) else item.diagnostics
                invalid.append(InvalidResource(*key, item.position, (*earlier, *duplicate)))
    return Snapshot(
        roots=tuple(roots),
        resources=tuple(resources),
        invalid=tuple(invalid),
        broken_files=tuple(path for path, contents in files.items() if contents.broken),
        changing_files=tuple(changing),
        retry_after=retry_after,
        diagnostics=tuple(sorted(diagnostics, key=lambda found: (found.position, found.severity, found.field))),
    )


def _key(item: SourcedResource | InvalidResource) -> tuple[str, str]:
    if isinstance(item, SourcedResource):
        return item.resource.kind, item.resource.metadata.name
    return item.kind, item.name


def _duplicate(key: tuple[str, str], position: Position, first: Position) -> Diagnostic:
    kind, name = key
    message = f"{kind} {name!r} is already defined at {first}"
    return Diagnostic(position, Severity.ERROR, ("metadata", "name"), message, "remove one of them or rename it")
