"""Configures the standard library's logging.

A message says what happened, and ``extra`` to what::

    logger.warning("rules were deleted", extra={"kind": "IPv6Network", "resource": "blog", "reason": "Drifted"})

(The standard library reserves the key "name" for the logger's.)
"""

import logging
import os
from collections.abc import Mapping
from typing import Literal, TextIO

from dockerv6.telemetry.text_lines import JournalLines, TextLines

Format = Literal["text", "json"]

NOISY = ("asyncio", "docker", "pyroute2", "requests", "urllib3", "watchfiles")
"""Libraries whose info and debug messages are of no use to an administrator; only their warnings are logged."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(line_format: Format, level: str, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
    """Send all logging, and Python's warnings, to the stream. It replaces an earlier configuration.

    A stream that leads to systemd's journal gets no timestamps (the journal has its own) and priorities instead of
    level names.

    Args:
        line_format: "text" for people, "json" for programs: one object a line.
        level: the least severe level that is logged, one of `LEVELS`, in any case.
        stream: usually standard error.
        environment: where systemd says what the journal's stream is (JOURNAL_STREAM, systemd.exec(5)).

    Raises:
        ValueError: no such level or format.
    """
    try:
        threshold = LEVELS[level.lower()]
    except KeyError:
        raise ValueError(f"{level!r} is not a log level; use one of {', '.join(LEVELS)}") from None
    journal = leads_to_journal(stream, environment)
    formatter = _formatter(line_format, journal=journal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JournalLines(formatter) if journal else formatter)
    root = logging.getLogger()
    for previous in tuple(root.handlers):
        root.removeHandler(previous)
        previous.close()
    root.addHandler(handler)
    root.setLevel(threshold)
    for library in NOISY:
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)


def leads_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether systemd connected this stream to its journal. JOURNAL_STREAM alone is inherited by every child."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # not a file: a buffer of a test, a closed stream
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _formatter(line_format: str, *, journal: bool) -> logging.Formatter:
    if line_format == "text":
        return TextLines(timestamps=not journal)
    if line_format == "json":
        from dockerv6.telemetry.json_lines import JsonLines  # noqa: PLC0415 - 1 MiB that text, the default, does without

        return JsonLines()
    raise ValueError(f"{line_format!r} is not a log format; use text or json")
