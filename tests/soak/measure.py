"""What a long-running daemon uses, sampled from /proc and its state directory, and whether it grows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.record import Growth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ENOUGH = 8  # samples, so that each quarter has two


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a process (by its pid) with a state directory.

    It is flat if the median of the last quarter of a run is at most `ratio` times that of the second quarter plus
    `slack`. The first quarter is the warm-up: caches fill. Medians are robust against the state at a single sample.
    """

    unit: str
    take: Callable[[int, Path], float]
    ratio: float
    slack: float

    def judge(self, samples: Sequence[float]) -> Growth:
        """Compare the quarters.

        Raises:
            ValueError: there are too few samples.
        """
        if len(samples) < _ENOUGH:
            raise ValueError(f"{len(samples)} samples are too few: {_ENOUGH} are needed")
        quarter = len(samples) // 4
        before = statistics.median(samples[quarter : 2 * quarter])
        after = statistics.median(samples[-quarter:])
        return Growth(self.unit, round(before, 2), round(after, 2), after <= self.ratio * before + self.slack)


def _status(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))


def _descriptors(pid: int, kind: str = "") -> float:
    """Count the descriptors whose target starts with `kind`."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith(kind)
        except FileNotFoundError:
            continue  # closed meanwhile
    return float(found)


def _mebibytes(path: Path) -> float:
    return path.stat().st_size / (1 << 20) if path.exists() else 0.0


MEASURES: Mapping[str, Measure] = {
    "memory": Measure("MiB", lambda pid, _: _status(pid, "VmRSS") / 1024, 1.1, 2.0),
    "threads": Measure("", lambda pid, _: _status(pid, "Threads"), 1.0, 2.0),
    "descriptors": Measure("", lambda pid, _: _descriptors(pid), 1.0, 4.0),
    "sockets": Measure("", lambda pid, _: _descriptors(pid, "socket:"), 1.0, 4.0),
    "database": Measure("MiB", lambda _, state: _mebibytes(state / "state.db"), 1.1, 0.25),
    "write-ahead log": Measure("MiB", lambda _, state: _mebibytes(state / "state.db-wal"), 1.1, 0.1),
}
"""By name."""
