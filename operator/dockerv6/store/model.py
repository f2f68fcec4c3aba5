"""Stored resources and their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockerv6.api.conditions import Reason

PROBLEMS = "problem"
"""Scope of the records with the problems that belong to no resource, by subject."""

WARNINGS = "warning"
"""Scope of the same for what harms nobody else: nothing fails because of it."""

SUSPENDED = "suspended"
"""Scope of the records of what `dockerv6 suspend` suspended, by ``Kind/name``: since when, and which object."""

RUNNING, SOURCES = "running", "sources"
"""The record with what the daemon reads, by its absolute path the identity of each root; and whether it deletes."""

JsonObject = Mapping[str, object]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A resource as last accepted, with its status. The fields are the columns of the table ``store_objects``."""

    kind: str
    name: str
    document: JsonObject  # the whole accepted resource: apiVersion, kind, metadata, spec
    digest: str  # of spec and metadata: changes when the user's request changes
    generation: int  # grows with each accepted change of the digest
    file: str  # path of the source file; "" for a resource that the operator created (the default pool)
    line: int
    created: float  # Unix seconds
    missing_since: float | None = None  # when its source first lacked it; a deletion counts after a grace period
    deleting_since: float | None = None  # a tombstone: finalizers run until the object is removed
    problem: str = ""  # why the accepted version is not that of its source; it stays applied
    status: JsonObject = field(default_factory=dict)
    revision: int = 0  # for compare-and-swap; 0: not written yet
    problem_reason: str = Reason.INVALID_SPEC  # of `problem`: the reason of the condition Accepted
    source_commit: str = ""  # of the Git source that the accepted version was read from; "": it is from a directory

    @property
    def problem_message(self) -> str:
        """The problem, with what happens to the resource."""
        kept = self.problem and self.problem_reason == Reason.SOURCE_UNAVAILABLE
        return f"{self.problem}; the resource is kept" if kept else self.problem

    @property
    def unreadable(self) -> bool:
        """Whether a version was accepted that can't be read: what exists of it on the host is kept as it is."""
        return not self.digest and self.generation > 0


def as_unreadable(stored: StoredObject, problem: str) -> StoredObject:
    """The object, when its accepted version can't be read. A tombstone is cancelled: what it removes is unknown.

    Args:
        stored: the object, as far as it can be read.
        problem: why its document can't be read.
    """
    message = f"the stored version can't be read ({problem}); what exists of it is kept until its file is accepted"
    generation = max(1, stored.generation)
    return replace(
        stored,
        digest="",
        generation=generation,
        deleting_since=None,
        missing_since=None,
        problem=message,
        problem_reason=Reason.STATE_UNREADABLE,
    )


class EventType(StrEnum):
    """As in Kubernetes."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a resource. A repetition of (kind, name, type, reason, message) raises ``count``."""

    kind: str
    name: str
    type: EventType
    reason: str
    message: str
    count: int
    first_seen: float  # Unix seconds
    last_seen: float
