"""Times and durations as people and Kubernetes write them. Without asyncio, for whoever only prints them."""

import re
from datetime import UTC, datetime, timedelta
from math import floor


def rfc3339(seconds: float) -> str:
    """Unix time as Kubernetes writes it: UTC, whole seconds, `2026-11-23T02:43:12Z` (fractions are cut off).

    Raises:
        ValueError: outside the years 1 to 9999.
    """
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=floor(seconds))
    except OverflowError as error:
        raise ValueError(f"{seconds} s is not a time between the years 1 and 9999") from error
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_LEAP_SECOND = 60


def parse_rfc3339(text: str) -> float:
    """Unix time in seconds of an RFC 3339 timestamp: any offset, with or without a fraction, leap second allowed.

    Raises:
        ValueError: it is not one (RFC 3339 §5.6 is narrower than ISO 8601: the offset is compulsory).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-11-23T02:43:12Z")
    day, minute, second, fraction, offset = match.groups()
    leap = int(second) == _LEAP_SECOND
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{offset.upper()}")
        return moment.timestamp() + leap + float(fraction or 0)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not an RFC 3339 time: {error}") from error


_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``1h``, ``90s``, ``1h30m`` or ``500ms``; days (``7d``) too, and a bare ``0``.

    Raises:
        ValueError: it is none.
    """
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """The shortest duration that `parse_duration` reads back as these seconds (to the millisecond)."""
    rest = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
