"""Log lines for people: time, level, message, then the fields as key=value (logfmt)."""

import json
import logging
import re
import time

from dockerv6.telemetry.redaction import HIDDEN, is_secret, redacted

_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f]+")
# What starts a line or a terminal's escape sequence.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_PRIORITY_DEBUG = 7


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave in `extra`, in its order, with secrets hidden."""
    return {
        key: HIDDEN if is_secret(key) else redacted(value) if isinstance(value, str) else value
        for key, value in vars(record).items()
        if key not in _RESERVED
    }


class TextLines(logging.Formatter):
    """``2026-11-23T02:43:12.345Z WARNING rules were gone kind=IPv6Network resource=blog``, in UTC."""

    def __init__(self, *, timestamps: bool) -> None:
        """Format lines with or without their time and level, which systemd's journal keeps itself."""
        super().__init__()
        self._timestamps = timestamps

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        parts = [_harmless(redacted(record.getMessage()))]
        if self._timestamps:
            parts[:0] = [rfc3339_milliseconds(record.created), f"{record.levelname:<7}"]
        parts += [f"{key}={_value(value)}" for key, value in fields(record).items()]
        lines = [" ".join(parts)]
        if record.exc_info:
            lines.append(redacted(self.formatException(record.exc_info)))
        if record.stack_info:
            lines.append(record.stack_info)
        return "\n".join(lines)


class JournalLines(logging.Formatter):
    """Puts the priority before every line, as systemd's journal reads it (sd-daemon(3)).

    Each line is an entry there, so one without it would have the default priority.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        """Format as `inner` does."""
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The inner lines with priorities."""
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in self._inner.format(record).split("\n"))


def rfc3339_milliseconds(seconds: float) -> str:
    """Unix time in UTC with the three decimals that tell log lines apart."""
    milliseconds = round(seconds * 1000)
    moment = time.gmtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{milliseconds % 1000:03d}Z"


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _PRIORITY_DEBUG)


def _value(value: object) -> str:
    written = str(value)
    return written if _PLAIN.fullmatch(written) else _harmless(json.dumps(written, ensure_ascii=False))


def _harmless(text: str) -> str:
    """Escaped, so that a name out of a file or from the engine can't forge a line (CWE-117)."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)
