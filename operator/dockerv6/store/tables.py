"""The store's tables in the state file: their schema, their rows, and queries for other processes.

The command line reads the store through `read_objects` and `read_events`, while a daemon runs or without one; nothing
is written.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any

from dockerv6.lib.rows import DecodedRows, Row, checked_integer, checked_text, checked_time, decode_rows, integer_or
from dockerv6.lib.statefile import Schema, read_state
from dockerv6.lib.text import encodable
from dockerv6.store.model import PROBLEMS, WARNINGS, Event, EventType, JsonObject, StoredObject, as_unreadable

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
        ("ALTER TABLE store_objects ADD COLUMN problem_reason TEXT NOT NULL DEFAULT 'InvalidSpec'",),
        ("ALTER TABLE store_objects ADD COLUMN source_commit TEXT NOT NULL DEFAULT ''",),
    ),
)

_OBJECT_COLUMNS = tuple(column.name for column in fields(StoredObject))
_DEEPEST = 100  # levels of a document; a resource has ten
_JSON_COLUMNS = {"document", "status"}
_SELECT_OBJECTS = f"SELECT {', '.join(_OBJECT_COLUMNS)} FROM store_objects "  # noqa: S608 - names from our own model
_SELECT_EVENTS = "SELECT kind, name, type, reason, message, count, first_seen, last_seen FROM store_events "
_INSERT_OBJECT = (
    f"INSERT OR REPLACE INTO store_objects ({', '.join(_OBJECT_COLUMNS)}) "  # noqa: S608 - same
    f"VALUES ({', '.join('?' for _ in _OBJECT_COLUMNS)})"
)
_BY_KIND_AND_NAME = "WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2) "


def encode(value: JsonObject, *, sort_keys: bool = False) -> str:
    """Encode as JSON text. With sorted keys, equal values give equal text.

    Raises:
        TypeError, ValueError: the value is not representable in JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)
    return encodable(text)  # a message may name an interface whose name is not UTF-8


def decode(text: str) -> JsonObject:
    """Decode the result of `encode`.

    Raises:
        ValueError: it is not a JSON object, or has a number that `encode` refuses.
    """
    decoded: object = _DECODER.decode(text)
    if not isinstance(decoded, dict):
        raise ValueError(f"{text[:20]!r} is not a JSON object")  # noqa: TRY004 - the data is wrong
    return decoded


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text[:20]} is not a number of JSON")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _decode_column(value: object) -> JsonObject:
    """Decode a column with JSON.

    Raises:
        ValueError: it is damaged.
        RecursionError: same. Where the limit is depends on the caller, so an own one is checked too.
    """
    text = checked_text(value)
    document = decode(text)
    if text.count("[") + text.count("{") > _DEEPEST and _depth(document) > _DEEPEST:
        raise ValueError("it is nested too deeply")
    return document


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return depth


def read_objects(path: Path, kind: str | None = None, name: str | None = None) -> tuple[StoredObject, ...]:
    """Read objects from the state file, ordered by kind and name.

    Raises:
        StateFileMissingError: there is no state file.
        StateFileError: it can't be read.
    """
    found = read_state(path, SCHEMA, lambda connection: select_objects(connection, kind, name))
    return found.values if found is not None else ()


def read_events(path: Path, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
    """Read events from the state file, oldest ``last_seen`` first. Raises as `read_objects` does."""
    found = read_state(path, SCHEMA, lambda connection: select_events(connection, kind, name))
    return found.values if found is not None else ()


def read_records(path: Path, scope: str) -> Mapping[str, JsonObject]:
    """Read the records of a scope, by name. Raises as `read_objects` does."""
    found = read_state(path, SCHEMA, select_records)
    return {name: value for each, name, value in found.values if each == scope} if found is not None else {}


def read_problems(path: Path) -> tuple[str, ...]:
    """Read what is wrong and belongs to no resource: what the daemon reported, and damaged rows.

    Raises as `read_objects` does.
    """

    def work(connection: sqlite3.Connection) -> tuple[str, ...]:
        objects, records = select_objects(connection), select_records(connection)
        reported = (value for scope, _, value in records.values if scope == PROBLEMS)
        return tuple(dict.fromkeys((*_messages(reported), *objects.problems, *records.problems)))

    return read_state(path, SCHEMA, work) or ()


def read_warnings(path: Path) -> tuple[str, ...]:
    """Read the warnings that belong to no resource. Raises as `read_objects` does."""
    return tuple(dict.fromkeys(_messages(read_records(path, WARNINGS).values())))


def _messages(records: Iterable[JsonObject]) -> Iterator[str]:
    """The messages in records of problems or warnings."""
    for record in records:
        messages = record.get("messages")
        yield from map(str, messages) if isinstance(messages, list) else ()


def select_objects(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> DecodedRows[StoredObject]:
    """Select objects, all or some, ordered by kind and name."""
    rows = connection.execute(_SELECT_OBJECTS + _BY_KIND_AND_NAME + "ORDER BY kind, name", (kind, name))
    return decode_rows("store_objects", rows, _to_object, _unreadable)


def select_events(
    connection: sqlite3.Connection, kind: str | None = None, name: str | None = None
) -> DecodedRows[Event]:
    """Select events, all or some, oldest ``last_seen`` first."""
    rows = connection.execute(_SELECT_EVENTS + _BY_KIND_AND_NAME + "ORDER BY last_seen, id", (kind, name))
    return decode_rows("store_events", rows, _to_event)


def select_records(connection: sqlite3.Connection) -> DecodedRows[tuple[str, str, JsonObject]]:
    """Select the scope, the name and the value of every record."""
    rows = connection.execute("SELECT scope, name, value FROM store_records")
    return decode_rows("store_records", rows, _to_record, _empty_record)


def write_object(connection: sqlite3.Connection, stored: StoredObject) -> None:
    """Insert or replace an object's row."""
    row = [_to_column(name, getattr(stored, name)) for name in _OBJECT_COLUMNS]
    connection.execute(_INSERT_OBJECT, row)


def _to_column(name: str, value: Any) -> Any:  # noqa: ANN401 - what sqlite3 takes
    return encode(value, sort_keys=name == "status") if name in _JSON_COLUMNS else value


def _to_object(row: Row) -> StoredObject:
    values: dict[str, Any] = dict(zip(_OBJECT_COLUMNS, row, strict=True))
    stored = StoredObject(**values | {each: _decode_column(values[each]) for each in _JSON_COLUMNS})
    for text in (
        stored.kind,
        stored.name,
        stored.digest,
        stored.file,
        stored.problem,
        stored.problem_reason,
        stored.source_commit,
    ):
        checked_text(text)
    for number in (stored.generation, stored.line, stored.revision):
        checked_integer(number)
    checked_time(stored.created)
    for time in (stored.missing_since, stored.deleting_since):
        if time is not None:
            checked_time(time)
    return stored


def _unreadable(row: Row) -> StoredObject:
    """The readable columns of a damaged row. Raises ValueError if kind or name are damaged."""
    values: dict[str, Any] = dict(zip(_OBJECT_COLUMNS, row, strict=True))
    kind, name, file, created = (values[each] for each in ("kind", "name", "file", "created"))
    stored = StoredObject(
        kind=checked_text(kind),
        name=checked_text(name),
        document={"kind": kind, "metadata": {"name": name}},
        digest="",
        generation=integer_or(1, values["generation"]),
        file=file if isinstance(file, str) and file.isprintable() else "",
        line=integer_or(0, values["line"]),
        created=_time_or_epoch(created),
        status=decode_status(values["status"]),
        revision=stored_revision(values["revision"]),
    )
    return as_unreadable(stored, "its row is damaged")


def _time_or_epoch(value: object) -> float:
    try:
        return checked_time(value)
    except ValueError:
        return 0.0


def decode_status(text: object) -> JsonObject:
    """Decode the column ``status``; empty if it is damaged: the next reconcile writes it."""
    try:
        return _decode_column(text)
    except (ValueError, RecursionError):
        return {}


def stored_revision(value: object) -> int:
    """The column ``revision``; 0 if it is damaged, which is what the object in memory then has."""
    return integer_or(0, value)


def _to_event(row: Row) -> Event:
    kind, name, type_, reason, message, count, first_seen, last_seen = row
    for text in (kind, name, reason, message):
        checked_text(text)
    for time in (first_seen, last_seen):
        checked_time(time)
    return Event(kind, name, EventType(type_), reason, message, checked_integer(count), first_seen, last_seen)


def _to_record(row: Row) -> tuple[str, str, JsonObject]:
    scope, name, text = row
    return checked_text(scope), checked_text(name), _decode_column(text)


def _empty_record(row: Row) -> tuple[str, str, JsonObject]:
    """A record whose value is damaged reads as empty: that a record exists has a meaning of its own."""
    return checked_text(row[0]), checked_text(row[1]), {}
