"""A resync without changes: everything is read again, planned and found converged.

Once in a simulation, where the figure is the cost of the decisions without an engine; and on a real engine, where it is
the daemon's CPU time, including all requests to engine and kernel.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.process import cpu_seconds
from benchmarks.rows import Row
from tests.simulation.resources import network
from tests.world import Host, RunningOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_BUDGET_MS = 100.0
_BUDGETED = 1_000  # resources
_SIMULATED_ROUNDS = 5
_PERIOD = 3  # seconds between resyncs of the daemon


def measure(bench: Bench) -> Iterator[Row]:
    """CPU time of one resync."""
    simulated = 100 if bench.quick else _BUDGETED
    spent = min(asyncio.run(_simulate(simulated)))
    note = f"the least of {_SIMULATED_ROUNDS}; the fakes' own work is in it"
    yield _row(f"simulated engine and kernel, {simulated} resources", 1000 * spent, simulated, note)
    size = 100 if bench.quick else 400
    yield _live(bench, size, rounds=3 if bench.quick else 8)


def _row(what: str, milliseconds: float, count: int, note: str) -> Row:
    return Row(f"{what}, CPU", milliseconds, "ms", _BUDGET_MS * count / _BUDGETED, note)


async def _simulate(count: int) -> list[float]:
    host = Host()
    specs = (dict(resources.network(number)["spec"]) for number in range(count))  # type: ignore[call-overload]
    host.files.write(*(network(resources.name(n), **spec) for n, spec in enumerate(specs)))
    async with host.running() as running:
        await _settle(running)
        before = await host.snapshot()
        spent = []
        for _ in range(_SIMULATED_ROUNDS):
            started = time.process_time()
            running.operator.triggers.resync_now("benchmark")
            await _settle(running)
            spent.append(time.process_time() - started)
        if await host.snapshot() != before or host.firewall.commits == 0:
            raise RuntimeError("the resync was to find nothing to do")
        return spent


async def _settle(running: RunningOperator) -> None:
    """Advance time until no key is queued or being reconciled."""
    while True:
        await running.let(2)
        depth = running.operator.manager.depth
        if depth.ready == depth.processing == 0:
            return


def _live(bench: Bench, size: int, rounds: int) -> Row:
    with bench.fleet(size) as fleet:
        idle = _spent(fleet.operator.pid, rounds * _PERIOD)
    with bench.fleet(size, "--resync", f"{_PERIOD}s") as fleet:
        busy = _spent(fleet.operator.pid, rounds * _PERIOD)
    milliseconds = 1000 * (busy - idle) / rounds
    return _row(f"real engine, {size} networks", milliseconds, size, f"the daemon's, mean of {rounds} resyncs")


def _spent(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return cpu_seconds(pid) - before
