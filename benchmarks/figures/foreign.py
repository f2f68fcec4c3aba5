"""A network that somebody else creates, and that a resource waits for (`managementPolicy: Observe`), at 400 networks.

From the engine's answer to the create until the kernel's word that our table knows the network. Negative: the rules
were there before whoever asked for the network knew that it exists.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.commits import Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row, latencies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_FIRST = 7000  # number of the first foreign network; its subnets are nobody else's
_BUDGET_MS = 20.0


def measure(bench: Bench) -> Iterator[Row]:
    """The latency."""
    size, samples = (100, 5) if bench.quick else (400, 20)
    with bench.fleet(size) as fleet:
        engine, operator = fleet.engine, fleet.operator
        names = [resources.name(_FIRST + index) for index in range(samples)]
        for name in names:
            wish = resources.resource(f"watch-{name}", {"managementPolicy": "Observe", "networkName": name})
            operator.apply_yaml(f"watch-{name}.yaml", resources.text(wish))
        time.sleep(1)
        wait_idle(operator.pid)
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
                    raise RuntimeError(f"no rules for {names[index]}: {commit}\n{operator.log_tail()}")
                taken.append(commit.at - answered)
                wait_idle(operator.pid, look=0.1)
        client = engine.client()
        for name in names:
            operator.remove_yaml(f"watch-{name}.yaml")
            client.remove_network(name)
        time.sleep(7)  # the deletion's grace period
        wait_idle(operator.pid)
    yield from latencies(f"docker network create beside {size}", taken, p50=_BUDGET_MS)
