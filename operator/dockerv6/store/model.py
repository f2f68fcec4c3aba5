"""What the store keeps of a resource, and its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Document = Mapping[str, object]
"""What JSON can say."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A resource as last accepted, with the operator's own words about it.

    ``document`` is the whole accepted resource as JSON-able mappings (apiVersion, kind, metadata, spec).
    """

    kind: str
    name: str
    document: Document
    digest: str  # of spec and metadata: changes when what the user asks for changes
    generation: int  # grows with each accepted change of the digest
    file: str  # where it came from; "" for one that the operator made itself (the default pool)
    line: int
    created: float  # Unix seconds
    missing_since: float | None = None  # first time that its source no longer had it; a deletion counts after a grace
    deleting_since: float | None = None  # the tombstone: finalizers run until the object is removed
    problem: str = ""  # the newest version in the source is invalid; the accepted one stays in force
    status: Document = field(default_factory=dict)
    revision: int = 0  # compare-and-swap; 0: never written


class EventType(StrEnum):
    """As in Kubernetes."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a resource; equal (kind, name, type, reason, message) are counted, not repeated."""

    kind: str
    name: str
    type: EventType
    reason: str
    message: str
    count: int
    first_seen: float  # Unix seconds
    last_seen: float
