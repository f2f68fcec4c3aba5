"""The store's tables in the state file: their schema, their rows, and queries for other processes.

The command line reads the store through `read_objects` and `read_events`, while a daemon runs or without one; nothing
is written.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dockerv6.lib.statefile import Schema, read_state
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

_OBJECT_COLUMNS = tuple(column.name for column in fields(StoredObject))
_JSON_COLUMNS = {"document", "status"}
_SELECT_OBJECTS = f"SELECT {', '.join(_OBJECT_COLUMNS)} FROM store_objects "  # noqa: S608 - names from our own model
_SELECT_EVENTS = "SELECT kind, name, type, reason, message, count, first_seen, last_seen FROM store_events "
_INSERT_OBJECT = (
    f"INSERT OR REPLACE INTO store_objects ({', '.join(_OBJECT_COLUMNS)}) "  # noqa: S608 - same
    f"VALUES ({', '.join('?' for _ in _OBJECT_COLUMNS)})"
)
_BY_KIND_AND_NAME = "WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2) "


def encode(value: Document, *, sort_keys: bool = False) -> str:
    """Encode as JSON text. With sorted keys, equal values give equal text.

    Raises:
        TypeError, ValueError: the value is not representable in JSON.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)


def decode(text: str) -> Document:
    """Decode the result of `encode`."""
    decoded: Document = json.loads(text)
    return decoded


def read_objects(path: Path, kind: str | None = None, name: str | None = None) -> tuple[StoredObject, ...]:
    """Read objects from the state file, ordered by kind and name.

    Raises:
        StateFileMissingError: there is no state file.
        StateFileError: it can't be read.
    """
    return read_state(path, SCHEMA, lambda connection: select_objects(connection, kind, name)) or ()


def read_events(path: Path, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
    """Read events from the state file, oldest ``last_seen`` first. Raises as `read_objects` does."""
    return read_state(path, SCHEMA, lambda connection: select_events(connection, kind, name)) or ()


def select_objects(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> tuple[StoredObject, ...]:
    """Select objects, all or some, ordered by kind and name."""
    rows = connection.execute(_SELECT_OBJECTS + _BY_KIND_AND_NAME + "ORDER BY kind, name", (kind, name))
    return tuple(_to_object(row) for row in rows)


def select_events(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> tuple[Event, ...]:
    """Select events, all or some, oldest ``last_seen`` first."""
    rows = connection.execute(_SELECT_EVENTS + _BY_KIND_AND_NAME + "ORDER BY last_seen, id", (kind, name))
    return tuple(Event(kind, name, EventType(type_), *rest) for kind, name, type_, *rest in rows)


def write_object(connection: sqlite3.Connection, stored: StoredObject) -> None:
    """Insert or replace an object's row."""
    row = [_to_column(name, getattr(stored, name)) for name in _OBJECT_COLUMNS]
    connection.execute(_INSERT_OBJECT, row)


def _to_column(name: str, value: Any) -> Any:  # noqa: ANN401 - what sqlite3 takes
    return encode(value, sort_keys=name == "status") if name in _JSON_COLUMNS else value


def _to_object(row: Sequence[Any]) -> StoredObject:
    values: dict[str, Any] = dict(zip(_OBJECT_COLUMNS, row, strict=True))
    return StoredObject(**values | {name: decode(values[name]) for name in _JSON_COLUMNS})
