"""The rules for networks that are there already: one IPv6Policy, and an operator that has never run on this host.

From the exec of the daemon until the kernel's word of the last commit that our table needed. Every sample begins with
empty directories but for the policy's file, and without our table.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bench import wait_started
from benchmarks.commits import Commit, Vandal, Witness
from benchmarks.rows import Row
from benchmarks.spawned import Spawned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from tests.lab.lab import Station

_DOCKER_IPV6NAT = 25.2
"""Seconds for 400 networks, measured on a machine like this one (design, section 7)."""
_TIMES_FASTER = 200
_PROCESSES = 3
_BUDGETED = 400


def measure(bench: Bench) -> Iterator[Row]:
    """Times and processes."""
    samples = 2 if bench.quick else 7
    for size in (1, _BUDGETED):
        station = bench.crowd(size)
        found = [_adopt(bench, station, size) for _ in range(samples)]
        taken = [took for took, *_ in found]
        median = statistics.median(taken)
        what = f"{size} existing network{'s' if size > 1 else ''}, one policy"
        budget = _DOCKER_IPV6NAT / _TIMES_FASTER if size == _BUDGETED else None
        times = f", {_DOCKER_IPV6NAT / median:.0f} times faster than docker-ipv6nat" if budget else ""
        note = f"median of {samples}, {min(taken):.3f} to {max(taken):.3f}{times}"
        yield Row(f"{what}: exec of the daemon to the last rule", median, "s", budget, note)
        yield Row(f"{what}: commits", max(commits for _, commits, _ in found), "")
        processes = max(spawned for *_, spawned in found)
        yield Row(f"{what}: processes spawned", processes, "", _PROCESSES, "the most; the daemon itself not counted")


def _adopt(bench: Bench, station: Station, size: int) -> tuple[float, int, int]:
    """Seconds, commits, and processes of one start."""
    vandal = Vandal(station.engine.namespace)
    with bench.installation(station.engine) as operator:
        operator.apply_yaml("policy.yaml", resources.text(resources.policy("everybody")))
        with Witness(station.engine.namespace) as witness, Spawned() as spawned:
            started = time.monotonic()
            operator.start()
            wait_started(operator)
            commits: list[Commit] = []
            while (commit := witness.next(0.5)) is not None:
                commits.append(commit)
            processes = spawned.below(operator.pid)
        listed = "".join(vandal.listing()) if commits else ""
        missing = [n for n in range(size) if f"fd00:0:be:{n:x}::" not in listed]
        if missing:
            raise RuntimeError(f"{len(missing)} of {size} networks have no rules\n{operator.log_tail()}")
        operator.stop()
    vandal.delete_table()
    return commits[-1].at - started, len(commits), processes
