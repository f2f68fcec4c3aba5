"""The cost of a process according to /proc: memory, and CPU time of all its threads, including ended ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = 2  # ticks in a sample that still count as idle


def cpu_seconds(pid: int) -> float:
    """User and system time so far, in the kernel's ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory, in MiB."""
    return _status(pid, "VmRSS") / 1024


def threads(pid: int) -> int:
    """The number of its threads."""
    return _status(pid, "Threads")


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(f"/proc/{pid}/status has no {field}")


def wait_idle(pid: int, *, patience: float = 30.0, look: float = 0.25) -> None:
    """Wait until a process was idle in two consecutive samples, for at most `patience` seconds."""
    quiet, end = 0, time.monotonic() + patience
    before = cpu_seconds(pid)
    while quiet < 2 and time.monotonic() < end:  # noqa: PLR2004 - one sample may fall into a pause
        time.sleep(look)
        now = cpu_seconds(pid)
        quiet = quiet + 1 if (now - before) * _TICKS < _QUIET else 0
        before = now
