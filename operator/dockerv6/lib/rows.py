"""Rows of the state file's tables: each is decoded by itself, so that a damaged one affects no other."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dockerv6.lib.timeformat import rfc3339

T = TypeVar("T")

_REMEDY = "to drop it, remove the state file while dockerv6 runs, which writes it again from memory"
_LONGEST_SHOWN = 80  # characters of a damaged column in messages
_LARGEST = 1 << 53
_LAST_REVISION = 1 << 52  # a larger one is taken for damage when it is counted up, while its row can still be read


@dataclass(frozen=True, slots=True)
class DecodedRows(Generic[T]):
    """The rows of a table that could be decoded, and a problem for each of the others."""

    values: tuple[T, ...]
    problems: tuple[str, ...] = ()


Row = tuple[Any, ...]
"""A row as SQLite returns it. The types of a damaged row's columns are arbitrary."""


def decode_rows(
    table: str, rows: Iterable[Row], decode: Callable[[Row], T], recover: Callable[[Row], T] | None = None
) -> DecodedRows[T]:
    """Decode each row separately, so that a damaged row, or one of another version, affects no other row.

    Args:
        table: its name, for the problems.
        rows: the rows; their first two columns identify them.
        decode: decodes one row; whatever it raises is the row's problem.
        recover: makes a value of the readable columns of a damaged row; raises if they are too few.
    """
    values: list[T] = []
    problems: list[str] = []
    for row in rows:
        try:
            values.append(decode(row))
        except Exception as error:  # noqa: BLE001 - a damaged row may cause any exception
            problems.append(f"a row of {table} can't be read ({_shown(row[:2])}): {error}; {_REMEDY}")
            if recover is not None:
                with suppress(Exception):
                    values.append(recover(row))
    return DecodedRows(tuple(values), tuple(problems))


def checked_text(value: object) -> str:
    """A text column.

    Raises:
        ValueError: it is not text, or not UTF-8.
    """
    if not isinstance(value, str):
        raise ValueError(f"{_shown((value,))} is not text")  # noqa: TRY004 - the data is wrong
    value.encode()  # connections keep bytes that are not UTF-8 as lone surrogates
    return value


def checked_time(value: object) -> float:
    """A column with a Unix time in seconds.

    Raises:
        ValueError: it is not a number, or no time in the years 1 to 9999.
    """
    if not isinstance(value, int | float):
        raise ValueError(f"{_shown((value,))} is not a time")  # noqa: TRY004 - the data is wrong
    rfc3339(value)
    return value


def checked_integer(value: object) -> int:
    """A column with a count, a line, a generation or a revision.

    Raises:
        ValueError: it is not an integer from 0 to 2**53. So it can be counted up for ever.
    """
    if not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{_shown((value,))} is not a number from 0 to 2**53")
    return value


def integer_or(default: int, value: object) -> int:
    """A column with such a number, or the default if it is damaged."""
    try:
        return checked_integer(value)
    except ValueError:
        return default


def last_revision(values: Iterable[object]) -> int:
    """The largest of the revisions, 0 if there is none; what can't be one is left out."""
    return max((each for each in values if isinstance(each, int) and 0 <= each <= _LAST_REVISION), default=0)


def take_revisions(connection: sqlite3.Connection, component: str, table: str, count: int = 1) -> int:
    """Take the next revisions of a component, in a transaction; return the first.

    The last one is the only row of the table ``<component>_revision``. If that is damaged, it is the last one of
    the rows of the given table.
    """
    counter = f"{component}_revision"
    found = [value for (value,) in connection.execute(f"SELECT value FROM {counter}")]  # noqa: S608 - our own names
    last = last_revision(found)
    if found != [last] or not isinstance(found[0], int):
        last = last_revision(value for (value,) in connection.execute(f"SELECT revision FROM {table}"))  # noqa: S608
        connection.execute(f"DELETE FROM {counter}")  # noqa: S608 - same
    set_revision(connection, component, last + count)
    return last + 1


def set_revision(connection: sqlite3.Connection, component: str, revision: int) -> None:
    """Write the last revision of a component."""
    if connection.execute(f"UPDATE {component}_revision SET value = ?", (revision,)).rowcount == 0:  # noqa: S608 - same
        connection.execute(f"INSERT INTO {component}_revision VALUES (?)", (revision,))  # noqa: S608 - same


def _shown(values: Row) -> str:
    return ", ".join(repr(value)[:_LONGEST_SHOWN].encode("utf-8", "backslashreplace").decode() for value in values)
