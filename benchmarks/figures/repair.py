"""Drift repair: from the kernel's notification of damage to our table to its notification of the repair.

Both notifications are received by a witness in this process, which is independent of the operator. Each repair is
compared with the listing from before. The operator is idle when each damage happens.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from benchmarks.commits import Vandal, Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row, latencies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench, Fleet

_P50, _P99 = 20.0, 100.0
_PATIENCE = 10.0


class NotRepairedError(RuntimeError):
    """The table was not restored completely."""


def measure(bench: Bench) -> Iterator[Row]:
    """Latencies by size of the table and kind of damage."""
    rounds = 5 if bench.quick else 25
    for size in (1, 100) if bench.quick else (1, 100, 400):
        with bench.fleet(size) as fleet:
            yield from _repairs(fleet, rounds)


def _repairs(fleet: Fleet, rounds: int) -> Iterator[Row]:
    namespace = fleet.engine.namespace
    vandal = Vandal(namespace)
    damages: dict[str, Callable[[], None]] = {
        "a rule deleted": lambda: vandal.delete_rule("postrouting"),
        "table flushed": vandal.flush_table,
        "table deleted": vandal.delete_table,
        "ruleset flushed": vandal.flush_ruleset,
    }
    taken: dict[str, list[float]] = {name: [] for name in damages}
    whole = vandal.listing()
    with Witness(namespace) as witness:
        for _ in range(rounds):
            for name, damage in damages.items():
                taken[name].append(_repair(witness, damage))
                if vandal.listing() != whole:
                    raise NotRepairedError(f"{name}: the table is not as it was before")
                wait_idle(fleet.operator.pid, look=0.1)
                time.sleep(random.uniform(0, 0.05))  # noqa: S311 - not in phase with the operator's timers
    where = f"{fleet.size} network{'s' if fleet.size > 1 else ''}"
    yield from latencies(f"{where}, any damage", [each for some in taken.values() for each in some], p50=_P50, p99=_P99)
    for name, each in taken.items():
        yield latencies(f"{where}, {name}", each)[0]


def _repair(witness: Witness, damage: Callable[[], None]) -> float:
    witness.drain()
    damage()
    damaged = witness.next(_PATIENCE)
    repaired = witness.next(_PATIENCE)
    if damaged is None or repaired is None or not damaged.removes or not repaired.makes:
        raise NotRepairedError(f"expected a damage and its repair, saw {damaged} and {repaired}")
    return repaired.at - damaged.at
