"""Cold start of the command line: `dockerv6 get` from exec to exit, with the files in the page cache."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rows import Row, percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_BUDGET_MS = 150.0


def measure(bench: Bench) -> Iterator[Row]:
    """Wall time of a `get` of a hundred networks, with and without a running daemon."""
    runs = 5 if bench.quick else 20
    with bench.fleet(100) as fleet:
        state = str(fleet.operator.state_dir)
        yield _row("get ipv6networks, 100 of them, daemon running", state, runs)
    yield _row("get ipv6networks, 100 of them, daemon stopped", state, runs)


def _row(what: str, state: str, runs: int) -> Row:
    program = str(Path(sys.executable).with_name("dockerv6"))
    taken = []
    for _ in range(runs + 1):
        started = time.monotonic()
        subprocess.run([program, "get", "ipv6networks", "--state-dir", state], check=True, capture_output=True)
        taken.append(1000 * (time.monotonic() - started))
    del taken[0]  # the first call may have compiled modules
    return Row(what, percentile(taken, 50), "ms", _BUDGET_MS, f"median of {runs}, max {max(taken):.0f} ms")
