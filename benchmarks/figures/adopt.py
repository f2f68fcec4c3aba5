"""The rules of existing networks: one IPv6Policy, and an operator that never ran on this host.

Measured from the exec of the daemon to the kernel's notification of the last commit to our table. Every sample starts
with empty directories except for the policy's file, and without our table.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.commits import Commit, Vandal, Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row
from benchmarks.spawned import Spawned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from tests.lab.lab import Station
    from tests.lab.operator import Operator

_DOCKER_IPV6NAT = 25.2
"""Seconds for 400 networks, measured on a machine like this one (design, section 7)."""
_TIMES_FASTER = 200
_PROCESSES = 3
_BUDGETED = 400
_PATIENCE = 30.0


def measure(bench: Bench) -> Iterator[Row]:
    """Times and processes."""
    samples = 2 if bench.quick else 7
    for size in (1, _BUDGETED):
        station = bench.crowd(size)
        found = [_adopt(bench, station, size) for _ in range(samples)]
        what = f"{size} existing network{'s' if size > 1 else ''}, one policy"
        budget = _DOCKER_IPV6NAT / _TIMES_FASTER if size == _BUDGETED else None
        rules, loaded = [each.rules for each in found], [each.loaded for each in found]
        yield _row(f"{what}: exec of the daemon to the last rule", rules, budget)
        yield _row(f"{what}: of that, loading Python and the program", loaded, None)
        yield _row(f"{what}: of that, the rest", [a - b for a, b in zip(rules, loaded, strict=True)], budget)
        yield Row(f"{what}: commits", max(each.commits for each in found), "")
        processes = max(each.processes for each in found)
        yield Row(f"{what}: processes spawned", processes, "", _PROCESSES, "the most; the daemon itself not counted")


@dataclass(frozen=True, slots=True)
class _Start:
    """The durations of one start."""

    rules: float  # seconds from exec
    loaded: float
    commits: int
    processes: int


def _row(what: str, taken: list[float], budget: float | None) -> Row:
    median = statistics.median(taken)
    note = f"median of {len(taken)}, {min(taken):.3f} to {max(taken):.3f}"
    times = f"; {_DOCKER_IPV6NAT / median:.0f} times faster than docker-ipv6nat" if budget is not None else ""
    return Row(what, median, "s", budget, note + times)


def _adopt(bench: Bench, station: Station, size: int) -> _Start:
    vandal = Vandal(station.engine.namespace)
    with bench.installation(station.engine) as operator:
        operator.apply_yaml("policy.yaml", resources.text(resources.policy("everybody")))
        with Witness(station.engine.namespace) as witness, Spawned() as spawned:
            operator.start()
            commits: list[Commit] = []
            while (commit := witness.next(0.5 if commits else _PATIENCE)) is not None:  # does not query the daemon
                commits.append(commit)
            wait_idle(operator.pid)
            started, processes = spawned.began(operator.pid), spawned.below(operator.pid)
        loaded = _bound_at(operator) - started
        listed = "".join(vandal.listing()) if commits else ""
        missing = [n for n in range(size) if f'"{resources.foreign_prefix(n).network_address}"' not in listed]
        if missing:
            raise RuntimeError(f"{len(missing)} of {size} networks have no rules\n{operator.log_tail()}")
        operator.stop()
    vandal.delete_table()
    return _Start(commits[-1].at - started, loaded, len(commits), processes)


def _bound_at(operator: Operator) -> float:
    """When the daemon bound its socket, its first action (`time.monotonic`, to a tick of the kernel)."""
    bound = (operator.run_dir / "http.sock").stat().st_mtime
    return bound - time.time() + time.monotonic()
