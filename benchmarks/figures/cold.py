"""Cold convergence: N networks from YAML files to Ready, against the bare engine API doing the same creates.

Every measurement uses a newly started engine, and the three ways take turns. The operator is running and idle when all
files appear in its directory at once.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import wait_ready
from benchmarks.process import cpu_seconds
from benchmarks.rows import Row
from tests.lab.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from tests.lab.settings import Settings

_PARALLEL = 8  # keys that the operator reconciles in parallel
_BUDGET = 1.05


def measure(bench: Bench) -> Iterator[Row]:
    """The ratios with the engines' default configurations."""
    for cell in ("28.5", "20.10-off"):
        for count in (30,) if bench.quick else (30, 100):
            yield from _compare(bench, cell, count, rounds=1 if bench.quick else 3)


def _compare(bench: Bench, cell: str, count: int, rounds: int) -> Iterator[Row]:
    settings = CELLS[cell].settings
    cpu: list[float] = []
    ways: dict[str, Callable[[], float]] = {
        "one client": lambda: _bare(bench, settings, count, clients=1),
        "dockerv6": lambda: _ours(bench, settings, count, cpu),
        f"{_PARALLEL} clients": lambda: _bare(bench, settings, count, clients=_PARALLEL),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            taken[way].append(run())
    seconds = {way: statistics.median(each) for way, each in taken.items()}
    ours = seconds["dockerv6"]
    note = f"median of {rounds}: {ours:.2f} s, of that {statistics.median(cpu):.2f} s CPU of the daemon; "
    for way in ways:
        if way != "dockerv6":
            what = f"engine {cell}, {count} networks, against {way}"
            yield Row(what, ours / seconds[way], "x", _BUDGET, f"{note}{seconds[way]:.2f} s")


def _bare(bench: Bench, settings: Settings, count: int, *, clients: int) -> float:
    with bench.engine(settings) as engine:
        bare = BareEngine(str(engine.socket))
        bodies = [bare.body(number) for number in range(count)]
        return bare.create(bodies, clients=clients)


def _ours(bench: Bench, settings: Settings, count: int, cpu: list[float]) -> float:
    texts = {resources.name(n): resources.text(resources.network(n)) for n in range(count)}
    with bench.engine(settings) as engine, bench.operator(engine) as operator:
        made = bench.new_directory()
        for name, text in texts.items():
            (made / f"{name}.yaml").write_text(text)
        before = cpu_seconds(operator.pid)
        started = time.monotonic()
        for file in sorted(made.iterdir()):
            file.rename(operator.config_dir / file.name)
        wait_ready(operator, count)
        took = time.monotonic() - started
        cpu.append(cpu_seconds(operator.pid) - before)
        return took
