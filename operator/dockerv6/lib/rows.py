"""Rows of the state file's tables: each is decoded by itself, so that a damaged one affects no other."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dockerv6.lib.timeformat import rfc3339

T = TypeVar("T")

_REMEDY = "to drop it, remove the state file while dockerv6 runs, which writes it again from memory"
_LONGEST_SHOWN = 80  # characters of a damaged column in messages
_LARGEST = 1 << 53


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


def _shown(values: Row) -> str:
    return ", ".join(repr(value)[:_LONGEST_SHOWN].encode("utf-8", "backslashreplace").decode() for value in values)
