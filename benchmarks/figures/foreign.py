"""A foreign network that is created next to 400 others: matched by an IPv6Policy, or awaited by a resource.

Measured from the engine's answer to the kernel's notification that our table has the network. Negative: the rules were
in place before the client knew that the network exists. A resource waits with `managementPolicy: Observe`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import wait_started
from benchmarks.commits import Vandal, Witness
from benchmarks.process import wait_idle
from benchmarks.rows import latencies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.rows import Row
    from tests.lab.engine import Engine
    from tests.lab.operator import Operator

_FIRST = 7000  # number of the first foreign network; its subnets are unused
_BUDGET_MS = 20.0


def measure(bench: Bench) -> Iterator[Row]:
    """The latencies."""
    size, samples = (100, 5) if bench.quick else (400, 20)
    yield from _under_policy(bench, size, samples)
    yield from _awaited(bench, size, samples)


def _under_policy(bench: Bench, size: int, samples: int) -> Iterator[Row]:
    engine = bench.crowd(size).engine
    with bench.installation(engine) as operator:
        operator.apply_yaml("policy.yaml", resources.text(resources.policy("everybody")))
        operator.start()
        wait_started(operator)
        taken = _create(engine, operator, samples)
        for index in range(samples):
            engine.client().remove_network(resources.name(_FIRST + index))
        wait_idle(operator.pid)
    Vandal(engine.namespace).delete_table()
    yield from latencies(f"docker network create beside {size}, one policy for all", taken, p50=_BUDGET_MS)


def _awaited(bench: Bench, size: int, samples: int) -> Iterator[Row]:
    with bench.fleet(size) as fleet:
        engine, operator = fleet.engine, fleet.operator
        names = [resources.name(_FIRST + index) for index in range(samples)]
        for name in names:
            observer = resources.resource(f"watch-{name}", {"managementPolicy": "Observe", "networkName": name})
            operator.apply_yaml(f"watch-{name}.yaml", resources.text(observer))
        time.sleep(1)
        wait_idle(operator.pid)
        taken = _create(engine, operator, samples)
        client = engine.client()
        for name in names:
            operator.remove_yaml(f"watch-{name}.yaml")
            client.remove_network(name)
        time.sleep(7)  # the deletion's grace period
        wait_idle(operator.pid)
    yield from latencies(f"docker network create beside {size}, each awaited by a resource", taken, p50=_BUDGET_MS)


def _create(engine: Engine, operator: Operator, samples: int) -> list[float]:
    """Create networks one after the other; for each, the seconds from the engine's answer to the rules."""
    bare = BareEngine(str(engine.socket))
    taken = []
    with Witness(engine.namespace) as witness:
        for index in range(samples):
            body = bare.foreign_body(_FIRST + index)
            witness.drain()
            bare.create_one(body)
            answered = time.monotonic()
            commit = witness.next(10)
            if commit is None or not commit.makes:
                raise RuntimeError(f"no rules for {resources.name(_FIRST + index)}: {commit}\n{operator.log_tail()}")
            taken.append(commit.at - answered)
            wait_idle(operator.pid, look=0.1)
    return taken
