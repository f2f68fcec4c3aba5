"""What a store keeps in memory: the cache of the durable store, and a whole store for `dockerv6 plan` and for tests."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dockerv6.lib.text import encodable
from dockerv6.store.model import SUSPENDED, Event, EventType, JsonObject, StoredObject
from dockerv6.store.port import EVENTS_KEPT, EVENTS_KEPT_PER_OBJECT, StoreConflict
from dockerv6.store.tables import decode, encode

ObjectKey = tuple[str, str]
"""Kind and name."""


class StoreCache:
    """Objects and records for reading without a query. Returned values are shared: callers must not modify them."""

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[ObjectKey, StoredObject] = {}  # without their statuses
        self._statuses: dict[ObjectKey, str] = {}  # as JSON text, which takes a fifth of the memory and is rarely read
        self._records: dict[ObjectKey, str] = {}  # by scope and name, as JSON text

    def load(self, objects: Iterable[StoredObject], records: Iterable[tuple[str, str, JsonObject]]) -> None:
        """Replace the contents; a record is its scope, its name and its value. If that fails, they stay."""
        new = StoreCache()
        new.put(objects)
        for scope, name, value in records:
            new.put_record(scope, name, encode(value, sort_keys=True))
        self._objects, self._statuses, self._records = new._objects, new._statuses, new._records

    def objects(self, kind: str | None) -> tuple[StoredObject, ...]:
        """List all objects, or all of a kind, ordered by kind and name."""
        return tuple(self._with_status(key) for key in sorted(self._objects) if kind in (None, key[0]))

    def object(self, kind: str, name: str) -> StoredObject | None:
        """Get one object; None when there is none."""
        key = (kind, name)
        return self._with_status(key) if key in self._objects else None

    def _with_status(self, key: ObjectKey) -> StoredObject:
        return replace(self._objects[key], status=decode(self._statuses[key]))

    def put(self, objects: Iterable[StoredObject]) -> None:
        """Add or replace objects."""
        for stored in objects:
            key = (stored.kind, stored.name)
            self._objects[key] = replace(stored, status={})
            self._statuses[key] = encode(stored.status, sort_keys=True)

    def status(self, kind: str, name: str) -> str | None:
        """Get the JSON text of an object's status; None when there is no such object."""
        return self._statuses.get((kind, name))

    def put_status(self, kind: str, name: str, text: str) -> None:
        """Replace an object's status, if the object exists."""
        if (kind, name) in self._objects:
            self._statuses[kind, name] = text

    def remove(self, kind: str, name: str) -> None:
        """Delete an object, if it exists, and its suspension."""
        self.drop_record(SUSPENDED, f"{kind}/{name}")
        if self._objects.pop((kind, name), None) is not None:
            del self._statuses[kind, name]

    def record(self, scope: str, name: str) -> str | None:
        """Get a record's JSON text; None when there is none."""
        return self._records.get((scope, name))

    def records(self, scope: str) -> Mapping[str, JsonObject]:
        """Get all records of a scope, by name."""
        return {name: decode(self._records[each, name]) for each, name in sorted(self._records) if each == scope}

    def record_rows(self) -> list[tuple[str, str, str]]:
        """Every record: its scope, its name and its JSON text."""
        return [(scope, name, text) for (scope, name), text in self._records.items()]

    def put_record(self, scope: str, name: str, text: str) -> None:
        """Add or replace a record."""
        self._records[scope, name] = text

    def drop_record(self, scope: str, name: str) -> None:
        """Delete a record, if it exists."""
        self._records.pop((scope, name), None)


class MemoryStore:
    """A `Store` with the semantics of `SqliteStore`. Its contents are lost at exit."""

    def __init__(self, *, events_kept: int = EVENTS_KEPT) -> None:
        """Start empty."""
        self._contents = StoreCache()
        self._events: dict[tuple[str, str, EventType, str, str], Event] = {}
        self._events_kept = events_kept
        self._revision = 0

    async def objects(self, kind: str | None = None) -> tuple[StoredObject, ...]:
        """List all objects, or all of a kind, ordered by kind and name."""
        return self._contents.objects(kind)

    async def object(self, kind: str, name: str) -> StoredObject | None:
        """Get one object; None when there is none."""
        return self._contents.object(kind, name)

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """Write all or none."""
        staged: dict[ObjectKey, StoredObject] = {}
        for revision, wanted in enumerate(objects, self._revision + 1):
            key = (wanted.kind, wanted.name)
            present = staged.get(key) or self._contents.object(*key)
            if wanted.revision != (present.revision if present else 0):
                raise StoreConflict(f"{wanted.kind}/{wanted.name}")
            staged[key] = replace(
                wanted,
                # through JSON, as in the durable store: a tuple comes back as a list
                document=decode(encode(wanted.document)),
                status=present.status if present else decode(encode(wanted.status, sort_keys=True)),
                revision=revision,
            )
        self._revision += len(objects)
        self._contents.put(staged.values())
        return tuple(staged.values())

    async def put_status(self, kind: str, name: str, status: JsonObject) -> None:
        """Replace an object's status."""
        self._contents.put_status(kind, name, encode(status, sort_keys=True))

    async def remove(self, kind: str, name: str) -> None:
        """Delete an object, and its suspension."""
        self._contents.remove(kind, name)

    async def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """List events, oldest ``last_seen`` first."""
        found = (event for event in self._events.values() if kind in (None, event.kind) and name in (None, event.name))
        return tuple(sorted(found, key=lambda event: event.last_seen))

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """Add an event, or raise the count of an equal one."""
        key = (kind, name, type_, reason, encodable(message))
        known = self._events.get(key)
        if known is not None:
            first = min(known.first_seen, now)  # the system time may have been set back
            self._events[key] = replace(known, count=known.count + 1, first_seen=first, last_seen=now)
            return
        self._events[key] = Event(*key, count=1, first_seen=now, last_seen=now)
        same = [each for each in self._events if each[:2] == (kind, name)]
        for group, kept in ((same, EVENTS_KEPT_PER_OBJECT), (list(self._events), self._events_kept)):
            if len(group) > kept:
                self._events.pop(min(group, key=lambda each: self._events[each].last_seen), None)

    async def expire_events(self, before: float) -> None:
        """Delete events last seen before (Unix seconds)."""
        self._events = {key: event for key, event in self._events.items() if event.last_seen >= before}

    async def record(self, scope: str, name: str) -> JsonObject | None:
        """Get a small durable record."""
        text = self._contents.record(scope, name)
        return None if text is None else decode(text)

    async def records(self, scope: str) -> Mapping[str, JsonObject]:
        """Get all records of a scope, by name."""
        return self._contents.records(scope)

    async def put_record(self, scope: str, name: str, value: JsonObject) -> None:
        """Write a record."""
        self._contents.put_record(scope, name, encode(value, sort_keys=True))

    async def drop_record(self, scope: str, name: str) -> None:
        """Delete a record."""
        self._contents.drop_record(scope, name)

    async def refresh(self) -> None:
        """Do nothing: no other process writes here."""

    @property
    def problems(self) -> tuple[str, ...]:
        """None: nothing here can be damaged."""
        return ()

    async def close(self) -> None:
        """Do nothing: no file is open."""
