"""The cost of the idle daemon: after it created its networks, and after a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.bench import QUIET_ENGINE, wait_ready, wait_started, write_networks
from benchmarks.process import cpu_seconds, rss_mib, threads, wait_idle
from benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from tests.lab.operator import Operator

_RSS_MIB = 60.0
_CPU_PERCENT = 0.1
_REST = 15.0  # seconds


def measure(bench: Bench) -> Iterator[Row]:
    """Memory and CPU with a hundred networks."""
    count = 30 if bench.quick else 100
    seconds = 10 if bench.quick else 60
    with bench.engine(QUIET_ENGINE) as engine, bench.operator(engine) as operator:
        yield _rss(operator, "no network")
        write_networks(operator, count)
        wait_ready(operator, count)
        _rest(operator)
        before = cpu_seconds(operator.pid)
        time.sleep(seconds)
        spent = cpu_seconds(operator.pid) - before
        yield _rss(operator, f"{count} networks, made by this process", _RSS_MIB)
        yield Row(f"{count} networks, CPU", 100 * spent / seconds, "%", _CPU_PERCENT, f"{spent:.2f} s in {seconds} s")
        operator.stop()
        operator.start()
        wait_started(operator)
        _rest(operator)
        yield _rss(operator, f"{count} networks, adopted at a restart", _RSS_MIB)


def _rest(operator: Operator) -> None:
    """Wait until earlier work has ended and the daemon has returned memory."""
    wait_idle(operator.pid)
    time.sleep(_REST)


def _rss(operator: Operator, what: str, budget: float | None = None) -> Row:
    return Row(f"{what}, RSS", rss_mib(operator.pid), "MiB", budget, f"{threads(operator.pid)} threads")
