"""Objects and records in memory: all of the fake's, and the durable store's image of what it has committed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dockerv6.store.model import Document, StoredObject
from dockerv6.store.rows import decode, encode

Key = tuple[str, str]


class Image:
    """What a store holds, for reading without a query. Values are shared: nobody may change them."""

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[Key, StoredObject] = {}  # without their statuses
        self._statuses: dict[Key, str] = {}  # as text: a fifth of the memory, and hardly ever asked for
        self._records: dict[Key, str] = {}

    def load(self, objects: Iterable[StoredObject], records: Iterable[tuple[str, str, str]]) -> None:
        """Hold these instead; records as scope, name and text."""
        self._objects.clear()
        self._statuses.clear()
        self.put(objects)
        self._records = {(scope, name): text for scope, name, text in records}

    def objects(self, kind: str | None) -> tuple[StoredObject, ...]:
        """All objects, or all of a kind, ordered by kind and name."""
        return tuple(self._whole(key) for key in sorted(self._objects) if kind in (None, key[0]))

    def object(self, kind: str, name: str) -> StoredObject | None:
        """One object, or None."""
        key = (kind, name)
        return self._whole(key) if key in self._objects else None

    def _whole(self, key: Key) -> StoredObject:
        return replace(self._objects[key], status=decode(self._statuses[key]))

    def put(self, objects: Iterable[StoredObject]) -> None:
        """Hold these as well, or in their former version's place."""
        for stored in objects:
            key = (stored.kind, stored.name)
            self._objects[key] = replace(stored, status={})
            self._statuses[key] = encode(stored.status, sort_keys=True)

    def status(self, kind: str, name: str) -> str | None:
        """The text of an object's status, None when there is no such object."""
        return self._statuses.get((kind, name))

    def put_status(self, kind: str, name: str, text: str) -> None:
        """Replace the status of an object, if there is such an object."""
        if (kind, name) in self._objects:
            self._statuses[kind, name] = text

    def remove(self, kind: str, name: str) -> None:
        """Drop an object, if there is such an object."""
        if self._objects.pop((kind, name), None) is not None:
            del self._statuses[kind, name]

    def record(self, scope: str, name: str) -> str | None:
        """A record's text, or None."""
        return self._records.get((scope, name))

    def records(self, scope: str) -> Mapping[str, Document]:
        """All records of a scope, by name."""
        return {name: decode(self._records[scope, name]) for in_, name in sorted(self._records) if in_ == scope}

    def put_record(self, scope: str, name: str, text: str) -> None:
        """Hold a record."""
        self._records[scope, name] = text

    def drop_record(self, scope: str, name: str) -> None:
        """Drop a record, if it is there."""
        self._records.pop((scope, name), None)
