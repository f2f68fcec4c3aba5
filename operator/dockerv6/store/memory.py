"""A store in memory: the shipped fake, and what simulations use. It forgets at exit."""

from collections.abc import Mapping
from dataclasses import replace

from dockerv6.store.image import Image
from dockerv6.store.model import Document, Event, EventType, StoredObject
from dockerv6.store.port import EVENTS_KEPT, StoreConflict
from dockerv6.store.rows import decode, encode


class MemoryStore:
    """A `Store` with the same meaning as the durable one."""

    def __init__(self, *, events_kept: int = EVENTS_KEPT) -> None:
        """Start empty."""
        self._image = Image()
        self._events: dict[tuple[str, str, EventType, str, str], Event] = {}
        self._events_kept = events_kept
        self._revision = 0

    async def objects(self, kind: str | None = None) -> tuple[StoredObject, ...]:
        """All objects, or all of a kind, ordered by kind and name."""
        return self._image.objects(kind)

    async def object(self, kind: str, name: str) -> StoredObject | None:
        """One object, or None."""
        return self._image.object(kind, name)

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """Write all or none."""
        staged: dict[tuple[str, str], StoredObject] = {}
        for revision, wanted in enumerate(objects, self._revision + 1):
            key = (wanted.kind, wanted.name)
            present = staged.get(key) or self._image.object(*key)
            if wanted.revision != (present.revision if present else 0):
                raise StoreConflict(f"{wanted.kind}/{wanted.name} was changed meanwhile: read it again")
            staged[key] = replace(
                wanted,
                # Through JSON, as in the durable one: a tuple comes back as a list.
                document=decode(encode(wanted.document)),
                status=present.status if present else decode(encode(wanted.status, sort_keys=True)),
                revision=revision,
            )
        self._revision += len(objects)
        self._image.put(staged.values())
        return tuple(staged.values())

    async def put_status(self, kind: str, name: str, status: Document) -> None:
        """Replace an object's status."""
        self._image.put_status(kind, name, encode(status, sort_keys=True))

    async def remove(self, kind: str, name: str) -> None:
        """Drop an object."""
        self._image.remove(kind, name)

    async def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """Events, oldest ``last_seen`` first."""
        found = (event for event in self._events.values() if kind in (None, event.kind) and name in (None, event.name))
        return tuple(sorted(found, key=_last_seen))

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """Add an event, or count it again."""
        key = (kind, name, type_, reason, message)
        known = self._events.get(key)
        if known is not None:
            self._events[key] = replace(known, count=known.count + 1, last_seen=max(known.last_seen, now))
            return
        self._events[key] = Event(*key, count=1, first_seen=now, last_seen=now)
        if len(self._events) > self._events_kept:
            del self._events[min(self._events, key=lambda each: self._events[each].last_seen)]

    async def expire_events(self, before: float) -> None:
        """Drop events last seen before (Unix seconds)."""
        self._events = {key: event for key, event in self._events.items() if event.last_seen >= before}

    async def record(self, scope: str, name: str) -> Document | None:
        """A small durable record."""
        text = self._image.record(scope, name)
        return None if text is None else decode(text)

    async def records(self, scope: str) -> Mapping[str, Document]:
        """All records of a scope, by name."""
        return self._image.records(scope)

    async def put_record(self, scope: str, name: str, value: Document) -> None:
        """Write a record."""
        self._image.put_record(scope, name, encode(value, sort_keys=True))

    async def drop_record(self, scope: str, name: str) -> None:
        """Remove a record."""
        self._image.drop_record(scope, name)

    async def refresh(self) -> None:
        """Nobody else writes here."""

    async def close(self) -> None:
        """Nothing is held open."""


def _last_seen(event: Event) -> float:
    return event.last_seen
