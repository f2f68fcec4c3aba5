"""The store: resources, statuses, tombstones, events and small durable records, written by compare-and-swap.

Errors::

    StoreError
    └── StoreConflict   the revision is stale: read the object and decide again
"""

from collections.abc import Mapping
from typing import Protocol

from dockerv6.store.model import Event, EventType, JsonObject, StoredObject

EVENTS_KEPT = 10_000
"""How many events are kept; those with the oldest ``last_seen`` are dropped first."""

EVENTS_KEPT_PER_OBJECT = 50
"""How many of them are of the same object, so that one that flaps displaces only its own."""


class StoreError(Exception):
    """The store can't be read or written: disk full, damaged file, newer schema. The message holds the remedy."""


class StoreConflict(StoreError):  # noqa: N818 - named for the condition
    """The object was written by another writer since it was read."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was modified concurrently: read it again")


class Store(Protocol):
    """Every write is durable before it returns. Returned mappings are shared: callers must not modify them."""

    async def objects(self, kind: str | None = None) -> tuple[StoredObject, ...]:
        """List all objects, or all of a kind, ordered by kind and name."""

    async def object(self, kind: str, name: str) -> StoredObject | None:
        """Get one object; None when there is none."""

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """Write all or none; return them with their new revisions. Existing objects keep their stored ``status``.

        Each ``revision`` must be the one last read, 0 for a new object.

        Raises:
            StoreConflict: a revision is stale.
        """

    async def put_status(self, kind: str, name: str, status: JsonObject) -> None:
        """Replace an object's status; the last writer wins. An absent object is success."""

    async def remove(self, kind: str, name: str) -> None:
        """Delete an object after its finalizers have run, and its suspension; an absent object is success."""

    async def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """List events, oldest ``last_seen`` first."""

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """Add an event, or raise the count of an equal one. ``now`` is in Unix seconds."""

    async def expire_events(self, before: float) -> None:
        """Delete events last seen before (Unix seconds)."""

    async def record(self, scope: str, name: str) -> JsonObject | None:
        """Get a small durable record, such as a sysctl's prior value (scope "sysctl")."""

    async def records(self, scope: str) -> Mapping[str, JsonObject]:
        """Get all records of a scope, by name."""

    async def put_record(self, scope: str, name: str, value: JsonObject) -> None:
        """Write a record."""

    async def drop_record(self, scope: str, name: str) -> None:
        """Delete a record; an absent one is success."""

    async def refresh(self) -> None:
        """Read what another process wrote, such as a confirmation from the command line."""

    @property
    def problems(self) -> tuple[str, ...]:
        """The rows that could not be read at the last refresh, and why. They affect no other row."""

    async def close(self) -> None:
        """Close the file."""
