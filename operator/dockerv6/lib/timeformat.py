"""Formats of times and durations: RFC 3339 and those of Kubernetes and Go. Imports no asyncio, for fast commands."""

import re
from datetime import UTC, datetime, timedelta
from math import floor


def rfc3339(seconds: float) -> str:
    """Format a Unix time like Kubernetes: UTC, whole seconds (rounded down), `2026-11-23T02:43:12Z`.

    Raises:
        ValueError: the time is not in the years 1 to 9999.
    """
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=floor(seconds))
    except OverflowError as error:
        raise ValueError(f"{seconds} s is not a time between the years 1 and 9999") from error
    return time.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_LEAP_SECOND = 60


def parse_rfc3339(text: str) -> float:
    """Parse an RFC 3339 timestamp to Unix time in seconds. Any offset, a fraction and a leap second are allowed.

    Raises:
        ValueError: not such a timestamp (RFC 3339 §5.6 is narrower than ISO 8601: the offset is required).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-11-23T02:43:12Z")
    day, minute, second, fraction, offset = match.groups()
    leap = int(second) == _LEAP_SECOND
    try:
        parsed = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{offset.upper()}")
        return parsed.timestamp() + leap + float(fraction or 0)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not an RFC 3339 time: {error}") from error


_SHOWN = 80  # characters of a text that is no duration
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)

LONGEST_DURATION = 36_500 * _UNITS["d"]
"""Seconds. Longer ones give times that nothing can write, and numbers that nothing can count with."""


def parse_duration(text: str) -> float:
    """Parse a duration such as ``1h``, ``90s``, ``1h30m``, ``500ms``, ``7d`` or ``0`` to seconds.

    Raises:
        ValueError: not a duration, or longer than `LONGEST_DURATION`.
    """
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:_SHOWN]!r} is not a duration")
    return checked_duration(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def checked_duration(seconds: float) -> float:
    """A duration that others have parsed. Raises ValueError if it is longer than `LONGEST_DURATION`."""
    if seconds > LONGEST_DURATION:
        raise ValueError(f"a duration is at most {format_duration(LONGEST_DURATION)} (100 years)")
    return seconds


def format_duration(seconds: float) -> str:
    """Format seconds, rounded to milliseconds, as the shortest duration that `parse_duration` reads."""
    rest = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
