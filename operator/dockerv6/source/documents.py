"""From the text of files to resources and diagnostics, and from many files to one snapshot. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from dockerv6.api.errors import FieldError, FieldPath, InvalidObject, closest_match
from dockerv6.api.kinds import API_VERSION, GROUP
from dockerv6.api.meta import name_problem
from dockerv6.api.scheme import MODELS, Decoded, decode
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.files import MAX_BYTES
from dockerv6.source.model import (
    Diagnostic,
    InvalidResource,
    Position,
    Severity,
    Snapshot,
    SourcedResource,
    SourceRoot,
)
from dockerv6.source.yaml import Work, parse
from dockerv6.source.yaml_document import Document
from dockerv6.source.yaml_text import UnreadableText, decode_text, json_to_yaml, spelled, unreadable

MAX_RESOURCES = 50_000
"""Documents and list items of a file."""

MAX_RESOURCE_VALUES = 20_000
"""Values in mappings and lists of one resource, those that aliases repeat included."""

MAX_FILE_DIAGNOSTICS = 100
MAX_DIAGNOSTICS = 1000
"""Problems that are reported at a time for a file, and for all sources."""

_WORDS = tuple(word.lower() for word in (GROUP.partition(".")[0], *MODELS))
"""Every resource contains one of these, in capital or small letters, even if its group or its kind is misspelled."""

_ESCAPED_WORDS = re.compile(b"|".join(map(spelled, _WORDS)), re.IGNORECASE)


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
    nodes: int = field(default=0, compare=False)  # see `Work`


def load_text(file: str, content: bytes | str, token: CancellationToken | None = None) -> FileContents:
    """Decode all documents of a file. The items of a list are separate resources.

    An empty file is broken: a full disk leaves such files. A file that is not YAML to its end has no resources at all:
    half a file may mean the opposite of the whole.

    Args:
        file: its name, for positions. A name that ends in ``.json`` is read as JSON.
        content: bytes are UTF-8.
        token: ends it early.

    Raises:
        OperationCancelled: the token was cancelled.
    """
    if not content:
        message = "the file is empty; its previous resources are kept"
        remedy = "delete the file to delete its resources"
        return FileContents(
            diagnostics=(Diagnostic(Position(file), Severity.WARNING, (), message, remedy),), broken=True
        )
    encoded = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    if is_dismissed(encoded):
        message = "the file has no resource of dockerv6 and is ignored"
        return FileContents(diagnostics=(Diagnostic(Position(file), Severity.WARNING, (), message),))
    work = Work(token or CancellationToken())
    decoder = _FileDecoder(file, work.token)
    try:
        text = decode_text(file, encoded)
        if file.endswith(".json"):
            text = json_to_yaml(text)
        for document in parse(file, text, work):
            if not document.empty:
                decoder.add(document)
    except UnreadableText as error:
        diagnostics = (*_limited(decoder.diagnostics, MAX_FILE_DIAGNOSTICS), error.diagnostic)
        return FileContents(diagnostics=diagnostics, broken=True, nodes=work.nodes)
    diagnostics = _limited(decoder.diagnostics, MAX_FILE_DIAGNOSTICS)
    return FileContents(
        tuple(decoder.resources), tuple(decoder.invalid), diagnostics, broken=decoder.broken, nodes=work.nodes
    )


def is_dismissed(content: bytes) -> bool:
    """Whether a file has no resource, nor an attempt at one, so that it needs not be parsed.

    The search is in bytes, whatever the encoding: in all encodings but UTF-16 and UTF-32, ASCII characters are single
    bytes. Those two contain NUL. Of a file above the size limit only the start is known.
    """
    if len(content) > MAX_BYTES or b"\0" in content:
        return False
    lower = content.lower()
    if any(word.encode() in lower for word in _WORDS):
        return False
    return b"\\" not in content or _ESCAPED_WORDS.search(content) is None


def unreadable_file(file: str, message: str, remedy: str) -> FileContents:
    """A file whose content is unknown."""
    return FileContents(diagnostics=(Diagnostic(Position(file), Severity.ERROR, (), message, remedy),), broken=True)


class _FileDecoder:
    """Collects the resources and diagnostics of one file."""

    def __init__(self, file: str, token: CancellationToken) -> None:
        self._file = file
        self._token = token
        self._objects = 0
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
        self._token.check()
        self._objects += 1
        if self._objects > MAX_RESOURCES:
            position, message = document.position(path), f"more than {MAX_RESOURCES} resources in one file"
            raise unreadable(self._file, position.line, position.column, message, "split it into several files")
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
        kind, name = _kind_and_name(value)
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
    if not _has_at_most(MAX_RESOURCE_VALUES, value):
        message = f"the resource has more than {MAX_RESOURCE_VALUES} values"
        raise InvalidObject((FieldError((), message, "divide it into several resources"),))
    if item and _is_list(value):
        raise InvalidObject((FieldError((), "lists can't be nested", "move its items into the outer list"),))
    return decode(value)  # type: ignore[arg-type] # decode reports a value that is not a mapping


def _kind_and_name(value: object) -> tuple[str, str]:
    """Kind and name of an invalid resource; each is empty unless a resource can have it."""
    if not isinstance(value, dict):
        return "", ""
    metadata = value.get("metadata")
    kind = value.get("kind")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    named = isinstance(name, str) and name_problem(name) is None
    return kind if isinstance(kind, str) and kind in MODELS else "", str(name) if named else ""


def _has_at_most(limit: int, value: object) -> bool:
    """Whether a value consists of at most that many values. An alias counts as what it repeats."""
    pending, count = [value], 0
    while pending and count <= limit:
        inner = pending.pop()
        count += 1
        if isinstance(inner, dict):
            pending.extend(inner.values())
        elif isinstance(inner, list):
            pending.extend(inner)
    return count <= limit


def _limited(diagnostics: Sequence[Diagnostic], limit: int) -> tuple[Diagnostic, ...]:
    """The first of these diagnostics, errors first, and one that says how many there are besides."""
    if len(diagnostics) <= limit:
        return tuple(diagnostics)
    kept = sorted(diagnostics, key=lambda found: found.severity is not Severity.ERROR)[:limit]
    message = f"there are {len(diagnostics) - limit} more problems"
    more = Diagnostic(kept[-1].position, kept[-1].severity, (), message, "correct the others first")
    return (*kept, more)


def _is_list(value: object) -> TypeGuard[dict[str, list[object]]]:
    """Whether this is ``kind: List``, as kubectl and ``dockerv6 get -o yaml`` print it, or a list of one kind."""
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return False
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
    problems: Iterable[Diagnostic],
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
        problems: of roots: why they can't be listed completely.
        changing: files that are still being written.
        retry_after: seconds until the first of them may be complete.
    """
    resources: list[SourcedResource] = []
    invalid: list[InvalidResource] = []
    diagnostics = list(problems)
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
        files_without_resources=frozenset(
            path for path, contents in files.items() if not (contents.resources or contents.invalid or contents.broken)
        ),
        changing_files=tuple(changing),
        retry_after=retry_after,
        diagnostics=_limited(
            sorted(diagnostics, key=lambda found: (found.position, found.severity, found.field)), MAX_DIAGNOSTICS
        ),
    )


def _key(item: SourcedResource | InvalidResource) -> tuple[str, str]:
    if isinstance(item, SourcedResource):
        return item.resource.kind, item.resource.metadata.name
    return item.kind, item.name


def _duplicate(key: tuple[str, str], position: Position, first: Position) -> Diagnostic:
    kind, name = key
    message = f"{kind} {name!r} is already defined at {first}"
    return Diagnostic(position, Severity.ERROR, ("metadata", "name"), message, "remove one of them or rename it")
