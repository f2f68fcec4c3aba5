"""What reading the sources gives: resources with positions, diagnostics, and how far each source can be trusted."""

from dataclasses import dataclass
from enum import StrEnum

from dockerv6.api.scheme import Resource


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    """Errors keep a resource from being accepted; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding: where, which field, what is wrong, how to mend it."""

    position: Position
    severity: Severity
    field: str  # "spec.addressing.subnet"; "" for the file as a whole
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        path = f"{self.field}: " if self.field else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.position}: {self.severity}: {path}{self.message}{remedy}"


@dataclass(frozen=True, slots=True)
class SourcedResource:
    """An accepted resource and where it was written."""

    resource: Resource
    position: Position


@dataclass(frozen=True, slots=True)
class InvalidResource:
    """A resource that is there but can't be accepted; kind and name as far as they could be read."""

    kind: str
    name: str
    position: Position
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """One configured directory (or file) and whether its listing can be trusted to be complete."""

    path: str
    listed: bool  # False: missing, unreadable, refused for its permissions, or still changing
    problem: str = ""
    identity: str = ""  # device:inode of the directory (after symlinks): another one was mounted or synced in its place
    files: int = 0  # resource files seen


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every source, read whole at one moment."""

    roots: tuple[SourceRoot, ...] = ()
    resources: tuple[SourcedResource, ...] = ()
    invalid: tuple[InvalidResource, ...] = ()
    broken_files: tuple[str, ...] = ()  # hold something that has no readable kind and name: it is unknown, not gone
    changing_files: tuple[str, ...] = ()  # being written: shown as they last were at rest, or not at all
    retry_after: float | None = None  # seconds after which to read again because of these; None when there are none
    diagnostics: tuple[Diagnostic, ...] = ()  # everything found, in order of position

    @property
    def complete(self) -> bool:
        """Whether everything that is written was read, so that what is not here is not asked for any more."""
        return all(root.listed for root in self.roots) and not self.broken_files
