"""The result of reading the sources: resources with positions, diagnostics, and which sources were complete."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockerv6.api.errors import FieldPath, format_path
from dockerv6.api.scheme import Resource
from dockerv6.lib.text import escaped


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file. Line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


_MAX_MESSAGE = 1000
"""Characters of a message: it may quote a key or a value of any length."""


class Severity(StrEnum):
    """An error keeps a resource from being accepted; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a file: a `FieldError` of `api`, or an error of the YAML reader, with its position.

    Attributes:
        path: the field within its resource; empty when the file or document as a whole is meant.
    """

    position: Position
    severity: Severity
    path: FieldPath
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """Cut long messages."""
        if len(self.message) > _MAX_MESSAGE:
            object.__setattr__(self, "message", f"{self.message[:_MAX_MESSAGE]}…")

    @property
    def field(self) -> str:
        """``spec.addressing.subnet``; empty when the file or document as a whole is meant."""
        return format_path(self.path)

    def __str__(self) -> str:
        """On one line, without characters that are dangerous in a terminal: names of files may contain any."""
        field = f"{self.field}: " if self.path else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return escaped(f"{self.position}: {self.severity}: {field}{self.message}{remedy}")


@dataclass(frozen=True, slots=True)
class SourcedResource:
    """A valid resource and its position."""

    resource: Resource
    position: Position


@dataclass(frozen=True, slots=True)
class InvalidResource:
    """A resource that can't be accepted. ``kind`` and ``name`` are empty unless a resource can have them."""

    kind: str
    name: str
    position: Position
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class DirectoryState:
    """What a directory was when it was listed."""

    identity: str  # device:inode after symbolic links; "": a link that leads to no directory
    files: int  # number of resource files in it and below


def parents(path: str, root: str) -> Iterator[str]:
    """The directories above a path, the nearest first, that are below the root."""
    while len(path) > len(root) and (path := path.rpartition("/")[0]) != root.rstrip("/") and path:
        yield path


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """One configured directory or file, and whether its listing is complete.

    The paths of roots, directories and files are printable text, see `lib.text.printable_path`.
    """

    path: str
    listed: bool  # False: missing, unreadable, refused because of its permissions, or still changing
    problem: str = ""
    identity: str = ""  # device:inode after symbolic links; it changes when another directory is mounted or synced
    files: int = 0  # number of resource files
    subdirectories: Mapping[str, DirectoryState] = field(default_factory=dict)  # below the root, by path
    commit: str = ""  # of a Git source, whose tree was read; "": it is none


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of all sources at one point in time."""

    roots: tuple[SourceRoot, ...] = ()
    resources: tuple[SourcedResource, ...] = ()
    invalid: tuple[InvalidResource, ...] = ()
    broken_files: tuple[str, ...] = ()  # have a document without readable kind and name: unknown, not deleted
    files_without_resources: frozenset[str] = frozenset()  # another program's, or truncated
    changing_files: tuple[str, ...] = ()  # are being written: their last complete content is used, if there is one
    retry_after: float | None = None  # seconds until the first of the changing files may be complete
    diagnostics: tuple[Diagnostic, ...] = ()  # ordered by position

    @property
    def complete(self) -> bool:
        """Whether everything was read, so that a resource that is missing here is deleted."""
        return all(root.listed for root in self.roots) and not self.broken_files

    def with_resources(self, given: Collection[SourcedResource]) -> "Snapshot":
        """The same with other resources in place of those with the same kinds and names."""
        replaced = {(str(each.resource.kind), each.resource.metadata.name) for each in given}
        kept = (r for r in self.resources if (str(r.resource.kind), r.resource.metadata.name) not in replaced)
        replaced_entries = [each for each in self.invalid if (each.kind, each.name) in replaced]
        past = {diagnostic for each in replaced_entries for diagnostic in each.diagnostics}
        return replace(
            self,
            resources=(*kept, *given),
            invalid=tuple(each for each in self.invalid if each not in replaced_entries),
            diagnostics=tuple(each for each in self.diagnostics if each not in past),
        )
