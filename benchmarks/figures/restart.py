"""A restart of the operator with a hundred networks: how long until all are adopted, without any change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.bench import metrics, wait_serving
from benchmarks.commits import Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench, Fleet
    from tests.lab.operator import Operator

_KIND = 'dockerv6_reconcile_total{kind="IPv6Network",result="success"}'


def measure(bench: Bench) -> Iterator[Row]:
    """Times and commits after a stop and after a kill."""
    with bench.fleet(100) as fleet:
        for how in ("stopped", "killed"):
            yield from _restart(fleet, how)


def _restart(fleet: Fleet, how: str) -> Iterator[Row]:
    operator = fleet.operator
    with Witness(fleet.engine.namespace) as witness:
        started = time.monotonic()
        if how == "stopped":
            operator.stop()
            yield Row("100 networks, time to stop", time.monotonic() - started, "s", 1.0)
        else:
            operator.kill()
        started = time.monotonic()
        operator.start()
        wait_serving(operator)
        while not _adopted(operator, fleet.size):
            time.sleep(0.02)
        took = time.monotonic() - started
        wait_idle(operator.pid)
        time.sleep(1)
        commits = witness.drain()
    yield Row(f"100 networks, {how} and started: all adopted", took, "s", None, "from exec on")
    yield Row(f"100 networks, {how} and started: firewall transactions", commits, "", 0)


def _adopted(operator: Operator, count: int) -> bool:
    now = metrics(operator)
    return now.get(_KIND, 0) >= count and now["dockerv6_queue_depth"] == 0
