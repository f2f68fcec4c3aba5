"""The store: resources, status, tombstones, events and small durable records, by compare-and-swap.

Errors::

    StoreError
    └── StoreConflict   the revision presented is stale: read again, decide again
"""

from collections.abc import Mapping
from typing import Protocol

from dockerv6.store.model import Document, Event, EventType, StoredObject

EVENTS_KEPT = 10_000
"""Of more events, the ones not seen for longest are dropped."""


class StoreError(Exception):
    """The store can't do it: disk full, damaged file, newer schema. The message holds the remedy."""


class StoreConflict(StoreError):  # noqa: N818 - named for what happened
    """Somebody else wrote the object first."""


class Store(Protocol):
    """Durable before it returns. What it returns is shared: nobody may change the mappings in it."""

    async def objects(self, kind: str | None = None) -> tuple[StoredObject, ...]:
        """All objects, or all of a kind, ordered by kind and name."""

    async def object(self, kind: str, name: str) -> StoredObject | None:
        """One object, or None."""

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """Write all or none; returns them with their new revisions. Keeps the stored ``status`` of existing rows.

        Each ``revision`` must be the one last read (0 for a new object), else `StoreConflict`.
        """

    async def put_status(self, kind: str, name: str, status: Document) -> None:
        """Replace an object's status (the operator's own: the last writer wins); absent object is success."""

    async def remove(self, kind: str, name: str) -> None:
        """Drop an object at the end of its finalizers; absent is success."""

    async def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """Events, oldest ``last_seen`` first."""

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """Add an event, or count it again."""

    async def expire_events(self, before: float) -> None:
        """Drop events last seen before (Unix seconds)."""

    async def record(self, scope: str, name: str) -> Document | None:
        """A small durable record, such as a sysctl's prior value (scope "sysctl") or a network's endpoints."""

    async def records(self, scope: str) -> Mapping[str, Document]:
        """All records of a scope, by name."""

    async def put_record(self, scope: str, name: str, value: Document) -> None:
        """Write a record."""

    async def drop_record(self, scope: str, name: str) -> None:
        """Remove a record; absent is success."""

    async def refresh(self) -> None:
        """Take notice of what another process wrote, such as a confirmation from the command line."""

    async def close(self) -> None:
        """Close the file."""
