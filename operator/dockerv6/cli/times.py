"""Instants and spans of time as people read and write them, and the clock of a command that waits.

Not ``lib.clock``: that one is asyncio's, whose import alone would take a good part of the budget of ``get``.
"""

import re
import time
from math import floor
from typing import Protocol

from dockerv6.lib import timeformat as times

MINUTE = 60
HOUR = 3600
DAY = 86400
YEAR = 365 * DAY


class Time(Protocol):
    """What a command that looks at the time or waits is given."""

    def now(self) -> float:
        """Unix time in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemTime:
    """The machine's own."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the process."""
        time.sleep(seconds)


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``1h30m``, ``500ms`` or ``2d``; on a command line a bare number is seconds.

    Raises:
        ValueError: it is no duration.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        return times.parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no duration; write a number with a unit, such as 90s, 10m or 1h30m") from error


def age(seconds: float) -> str:
    """A span as kubectl shows it: two units while it is short (``9m5s``), one when it is long (``3h``, ``15d``).

    The limits are those of apimachinery's HumanDuration (k8s.io/apimachinery/pkg/util/duration).
    """
    span = max(0, floor(seconds))
    for limit, big, small in _SHOWN:
        if span < limit:
            return _in_units(span, big, small)
    return _in_units(span, YEAR, None)


_SHOWN: tuple[tuple[int, int, int | None], ...] = (
    (2 * MINUTE, 1, None),
    (10 * MINUTE, MINUTE, 1),
    (3 * HOUR, MINUTE, None),
    (8 * HOUR, HOUR, MINUTE),
    (2 * DAY, HOUR, None),
    (8 * DAY, DAY, HOUR),
    (2 * YEAR, DAY, None),
    (8 * YEAR, YEAR, DAY),
)
"""Below each limit: the unit shown, and the one beside it."""

_LETTERS = {1: "s", MINUTE: "m", HOUR: "h", DAY: "d", YEAR: "y"}


def _in_units(span: int, big: int, small: int | None) -> str:
    text = f"{span // big}{_LETTERS[big]}"
    rest = span % big // small if small else 0
    return f"{text}{rest}{_LETTERS[small]}" if small and rest else text
