"""The durable store: tables in the state file, and a cache of objects and records in memory.

The cache holds what is committed. Reads are served from it, because a resync of a thousand resources reads each of
them. A write is checked by SQL inside its transaction, never against the cache. When the two disagree because another
process wrote to the file, the write fails and the cache is read again. Events are not cached.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dockerv6.lib.database import CachedTables, Database
from dockerv6.lib.rows import DecodedRows, last_revision, set_revision, take_revisions
from dockerv6.lib.text import encodable
from dockerv6.store.memory import StoreCache
from dockerv6.store.model import SUSPENDED, Event, EventType, JsonObject, StoredObject
from dockerv6.store.port import EVENTS_KEPT, EVENTS_KEPT_PER_OBJECT, StoreConflict, StoreError
from dockerv6.store.tables import (
    SCHEMA,
    decode,
    decode_status,
    encode,
    select_events,
    select_objects,
    select_records,
    stored_revision,
    write_object,
)

_StoreContents = tuple[DecodedRows[StoredObject], DecodedRows[tuple[str, str, JsonObject]]]


class SqliteStore(CachedTables):
    """A `Store` in the state file. The instance lock guarantees that one process has it open for writing."""

    def __init__(self, database: Database, *, events_kept: int) -> None:
        """Start with an empty cache; `open` fills it."""
        super().__init__(database)
        self._events_kept = events_kept
        self._cache = StoreCache()

    @classmethod
    async def open(cls, path: Path, *, events_kept: int = EVENTS_KEPT) -> "SqliteStore":
        """Open the state file, creating it if needed, and fill the cache.

        Raises:
            StoreError: the file can't be used; the message holds the remedy.
        """
        return await cls(await Database.open(path, SCHEMA, StoreError), events_kept=events_kept).filled()

    async def objects(self, kind: str | None = None) -> tuple[StoredObject, ...]:
        """List all objects, or all of a kind, ordered by kind and name."""
        return self._cache.objects(kind)

    async def object(self, kind: str, name: str) -> StoredObject | None:
        """Get one object; None when there is none."""
        return self._cache.object(kind, name)

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """Write all or none, in one transaction."""
        # through JSON, so that the result equals what a later read gives
        wanted = [
            replace(each, document=decode(encode(each.document)), status=decode(encode(each.status)))
            for each in objects
        ]
        try:
            written = await self._database.write(partial(_put, wanted), self._cache.put)
        except StoreConflict:
            await self.refresh()
            raise
        return tuple(written)

    async def put_status(self, kind: str, name: str, status: JsonObject) -> None:
        """Replace an object's status; an equal one writes nothing."""
        text = encode(status, sort_keys=True)
        if self._database.idle and self._cache.status(kind, name) in (None, text):
            return
        await self._execute(
            "UPDATE store_objects SET status = ?3 WHERE kind = ?1 AND name = ?2 AND status <> ?3",
            (kind, name, text),
            on_done=lambda: self._cache.put_status(kind, name, text),
        )

    async def remove(self, kind: str, name: str) -> None:
        """Delete an object, and its suspension, which another process may have written unseen."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM store_objects WHERE kind = ? AND name = ?", (kind, name))
            connection.execute("DELETE FROM store_records WHERE scope = ? AND name = ?", (SUSPENDED, f"{kind}/{name}"))

        await self._database.write(work, lambda _: self._cache.remove(kind, name))

    async def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """List events, oldest ``last_seen`` first."""
        return (await self._database.read(partial(select_events, kind=kind, name=name))).values

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """Add an event, or raise the count of an equal one."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO store_events (kind, name, type, reason, message, count, first_seen, last_seen) "
                "VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6) ON CONFLICT (kind, name, type, reason, message) "
                "DO UPDATE SET count = count + 1, last_seen = excluded.last_seen, "
                "first_seen = min(first_seen, excluded.last_seen)",
                (kind, name, type_.value, reason, encodable(message), now),
            )
            connection.execute(
                "DELETE FROM store_events WHERE id IN (SELECT id FROM store_events WHERE kind = ? AND name = ? "
                "ORDER BY last_seen DESC, id DESC LIMIT -1 OFFSET ?)",
                (kind, name, EVENTS_KEPT_PER_OBJECT),
            )
            connection.execute(
                "DELETE FROM store_events WHERE id IN "
                "(SELECT id FROM store_events ORDER BY last_seen DESC, id DESC LIMIT -1 OFFSET ?)",
                (self._events_kept,),
            )

        await self._database.write(work)

    async def expire_events(self, before: float) -> None:
        """Delete events last seen before (Unix seconds)."""
        await self._execute("DELETE FROM store_events WHERE last_seen < ?", (before,))

    async def record(self, scope: str, name: str) -> JsonObject | None:
        """Get a small durable record."""
        text = self._cache.record(scope, name)
        return None if text is None else decode(text)

    async def records(self, scope: str) -> Mapping[str, JsonObject]:
        """Get all records of a scope, by name."""
        return self._cache.records(scope)

    async def put_record(self, scope: str, name: str, value: JsonObject) -> None:
        """Write a record; an equal one writes nothing."""
        text = encode(value, sort_keys=True)
        if self._database.idle and self._cache.record(scope, name) == text:
            return
        await self._execute(
            "INSERT OR REPLACE INTO store_records (scope, name, value) VALUES (?, ?, ?)",
            (scope, name, text),
            on_done=lambda: self._cache.put_record(scope, name, text),
        )

    async def drop_record(self, scope: str, name: str) -> None:
        """Delete a record."""
        if self._database.idle and self._cache.record(scope, name) is None:
            return
        await self._execute(
            "DELETE FROM store_records WHERE scope = ? AND name = ?",
            (scope, name),
            on_done=lambda: self._cache.drop_record(scope, name),
        )

    async def refresh(self) -> None:
        """Read the cache again."""

        def work(connection: sqlite3.Connection) -> _StoreContents:
            return select_objects(connection), select_records(connection)

        def on_done(found: _StoreContents) -> None:
            objects, records = found
            self._cache.load(objects.values, records.values)
            self._problems = (*objects.problems, *records.problems)

        await self._database.read(work, on_done)

    def _write_all(self, connection: sqlite3.Connection) -> None:
        objects = self._cache.objects(None)
        for stored in objects:
            write_object(connection, stored)
        connection.executemany("INSERT OR REPLACE INTO store_records VALUES (?, ?, ?)", self._cache.record_rows())
        set_revision(connection, SCHEMA.component, last_revision(stored.revision for stored in objects))

    async def _execute(
        self, statement: str, parameters: tuple[str | float, ...], on_done: Callable[[], None] | None = None
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(statement, parameters)

        def apply(_: None) -> None:
            if on_done is not None:
                on_done()

        await self._database.write(work, apply)


def _put(objects: Sequence[StoredObject], connection: sqlite3.Connection) -> list[StoredObject]:
    first = take_revisions(connection, SCHEMA.component, "store_objects", len(objects))
    return [_put_one(connection, wanted, revision) for revision, wanted in enumerate(objects, first)]


def _put_one(connection: sqlite3.Connection, wanted: StoredObject, revision: int) -> StoredObject:
    present = connection.execute(
        "SELECT revision, status FROM store_objects WHERE kind = ? AND name = ?", (wanted.kind, wanted.name)
    ).fetchone()
    if wanted.revision != (stored_revision(present[0]) if present else 0):
        raise StoreConflict(f"{wanted.kind}/{wanted.name}")
    status = decode_status(present[1]) if present else wanted.status
    stored = replace(wanted, status=status, revision=revision)
    write_object(connection, stored)
    return stored
