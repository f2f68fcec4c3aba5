"""Formats of log lines for people and for systemd's journal, with secrets hidden.

`json_lines` has the format for programs.
"""

import json
import logging
import re
import time

from dockerv6.lib.text import escaped

HIDDEN = "***"

_SECRET_KEY = re.compile(
    r"passw|secret|token|credential|authorization|api_?key|private_?key|cookie|identity_?token", re.IGNORECASE
)
_IN_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@?#]+@", re.IGNORECASE)
_IN_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|x-registry-(?:auth|config))(?P<middle>['\"]?\s*[:=]\s*).+", re.IGNORECASE
)


def redacted(text: str) -> str:
    """The text without user names and passwords in URLs, and without the values of authorization headers."""
    if "://" in text:
        text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _IN_HEADER.sub(rf"\g<name>\g<middle>{HIDDEN}", text)


def is_secret(key: str) -> bool:
    """Whether a field's name says that its value is secret."""
    return _SECRET_KEY.search(key) is not None


_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[^\s\"'=\\]+")

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_PRIORITY_DEBUG = 7


def fields(record: logging.LogRecord) -> dict[str, object]:
    """The caller's `extra`, in its order, with secrets hidden."""
    return {
        key: HIDDEN if is_secret(key) else redacted(value) if isinstance(value, str) else value
        for key, value in vars(record).items()
        if key not in _RESERVED
    }


class TextLines(logging.Formatter):
    """``2026-11-23T02:43:12.345Z WARNING rules were deleted kind=IPv6Network resource=blog``, in UTC."""

    def __init__(self, *, timestamps: bool) -> None:
        """Format lines with or without time and level, which systemd's journal stores itself."""
        super().__init__()
        self._timestamps = timestamps

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, and its traceback as further lines."""
        # A name from a file or the engine must not forge a line (CWE-117).
        parts = [escaped(redacted(record.getMessage()))]
        if self._timestamps:
            parts[:0] = [rfc3339_milliseconds(record.created), f"{record.levelname:<7}"]
        parts += [f"{key}={_value(value)}" for key, value in fields(record).items()]
        lines = [" ".join(parts)]
        if record.exc_info:
            lines += map(escaped, redacted(self.formatException(record.exc_info)).split("\n"))
        if record.stack_info:
            lines += map(escaped, record.stack_info.split("\n"))
        return "\n".join(lines)


class JournalLines(logging.Formatter):
    """Puts the priority before every line, for systemd's journal (sd-daemon(3)): each line is an entry of its own."""

    def __init__(self, formatter: logging.Formatter) -> None:
        """Add priorities to the lines of another formatter."""
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as lines with priorities."""
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in self._formatter.format(record).split("\n"))


def rfc3339_milliseconds(seconds: float) -> str:
    """Unix time as RFC 3339 in UTC, with milliseconds."""
    milliseconds = round(seconds * 1000)
    whole = time.gmtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', whole)}.{milliseconds % 1000:03d}Z"


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _PRIORITY_DEBUG)


def _value(value: object) -> str:
    written = str(value)
    if _PLAIN.fullmatch(written) and written.isprintable():
        return written
    return escaped(json.dumps(written, ensure_ascii=False))
