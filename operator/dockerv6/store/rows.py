"""The store's tables in the state file, and how their rows read."""

import json
import sqlite3

from dockerv6.lib.statefile import Schema
from dockerv6.store.model import Document, Event, EventType, StoredObject

SCHEMA = Schema(
    "store",
    (
        (
            """
            CREATE TABLE store_objects (
                kind TEXT NOT NULL,
                name TEXT NOT NULL,
                document TEXT NOT NULL,
                digest TEXT NOT NULL,
                generation INTEGER NOT NULL,
                file TEXT NOT NULL,
                line INTEGER NOT NULL,
                created REAL NOT NULL,
                missing_since REAL,
                deleting_since REAL,
                problem TEXT NOT NULL,
                status TEXT NOT NULL,
                revision INTEGER NOT NULL,
                PRIMARY KEY (kind, name)
            )
            """,
            "CREATE TABLE store_revision (value INTEGER NOT NULL)",
            "INSERT INTO store_revision VALUES (0)",
            """
            CREATE TABLE store_events (
                id INTEGER PRIMARY KEY,
                kind TEXT NOT NULL,
                name TEXT NOT NULL,
                type TEXT NOT NULL,
                reason TEXT NOT NULL,
                message TEXT NOT NULL,
                count INTEGER NOT NULL,
                first_seen REAL NOT NULL,
                last_seen REAL NOT NULL,
                UNIQUE (kind, name, type, reason, message)
            )
            """,
            "CREATE INDEX store_events_by_time ON store_events (last_seen, id)",
            """
            CREATE TABLE store_records (
                scope TEXT NOT NULL,
                name TEXT NOT NULL,
                value TEXT NOT NULL,
                PRIMARY KEY (scope, name)
            ) WITHOUT ROWID
            """,
        ),
    ),
)

ObjectRow = tuple[str, str, str, str, int, str, int, float, float | None, float | None, str, str, int]
EventRow = tuple[str, str, str, str, str, int, float, float]


def encode(value: Document, *, sort_keys: bool = False) -> str:
    """As JSON text. Sorted, equal values give equal text.

    Raises:
        TypeError, ValueError: JSON can't say it.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)


def decode(text: str) -> Document:
    """The mapping that `encode` wrote."""
    decoded: Document = json.loads(text)
    return decoded


def select_objects(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> tuple[StoredObject, ...]:
    """Objects, all or some, ordered by kind and name."""
    rows = connection.execute(
        "SELECT kind, name, document, digest, generation, file, line, created, missing_since, deleting_since, "
        "problem, status, revision FROM store_objects "
        "WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2) ORDER BY kind, name",
        (kind, name),
    )
    return tuple(_to_object(row) for row in rows)


def select_events(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> tuple[Event, ...]:
    """Events, all or some, the one seen longest ago first."""
    rows = connection.execute(
        "SELECT kind, name, type, reason, message, count, first_seen, last_seen FROM store_events "
        "WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2) ORDER BY last_seen, id",
        (kind, name),
    )
    return tuple(_to_event(row) for row in rows)


def _to_object(row: ObjectRow) -> StoredObject:
    kind, name, document, digest, generation, file, line, created, missing, deleting, problem, status, revision = row
    return StoredObject(
        kind=kind,
        name=name,
        document=decode(document),
        digest=digest,
        generation=generation,
        file=file,
        line=line,
        created=created,
        missing_since=missing,
        deleting_since=deleting,
        problem=problem,
        status=decode(status),
        revision=revision,
    )


def _to_event(row: EventRow) -> Event:
    kind, name, type_, reason, message, count, first_seen, last_seen = row
    return Event(kind, name, EventType(type_), reason, message, count, first_seen, last_seen)
