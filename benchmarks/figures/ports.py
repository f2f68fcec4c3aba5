"""A hundred ports of one container, published at once: `docker run -p 20000-20099:8000-8099`.

Measured from the arrival of the engine's start event in this process to the kernel's notification of the commit with
the last port. Negative: the ports were open before the event arrived.
"""

from __future__ import annotations

import json
import time
from queue import Empty
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import wait_started
from benchmarks.commits import Vandal, Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row, latencies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from tests.lab.lab import Station
    from tests.lab.operator import Operator

_PORTS = 100
_FIRST, _FIRST_IN_CONTAINER = 20_000, 8_000
_MAP = "published_to"
_BUDGET_MS = 50.0
_PATIENCE = 10.0


def measure(bench: Bench) -> Iterator[Row]:
    """Latencies by the number of networks of the policy."""
    samples = 3 if bench.quick else 15
    for size in (1, 400):
        yield from _publish(bench, bench.crowd(size), size, samples)


def _publish(bench: Bench, station: Station, size: int, samples: int) -> Iterator[Row]:
    engine = station.engine
    vandal = Vandal(engine.namespace)
    taken, commits, gone = [], [], []
    with bench.installation(engine) as operator:
        operator.apply_yaml("policy.yaml", resources.text(resources.policy("everybody")))
        operator.start()
        wait_started(operator)
        with Witness(engine.namespace) as witness:
            for sample in range(samples):
                name = f"ports-{sample}"
                took, count = _one(station, operator, witness, vandal, name)
                taken.append(took)
                commits.append(count)
                witness.drain()
                stopped = time.monotonic()
                engine.client().remove_container(name, force=True)
                gone.append(_last_commit(operator, witness)[0] - stopped)
                if _published(vandal):
                    raise RuntimeError(f"ports are left after their container\n{operator.log_tail()}")
    vandal.delete_table()
    where = f"{_PORTS} ports of one container, {size} network{'s' if size > 1 else ''}"
    yield from latencies(where, taken, p50=_BUDGET_MS)
    yield Row(f"{where}: commits", max(commits), "")
    yield latencies(f"{where}: request to remove it to the last port closed", gone)[0]


def _one(station: Station, operator: Operator, witness: Witness, vandal: Vandal, name: str) -> tuple[float, int]:
    """Seconds from the event to the last port, and the number of commits."""
    ports: dict[str, int | tuple[str, int]] = {f"{_FIRST_IN_CONTAINER + n}/tcp": _FIRST + n for n in range(_PORTS)}
    bare = BareEngine(str(station.engine.socket))
    with bare.events(type="container", event="start") as events:
        witness.drain()
        station.engine.run(name, resources.name(0), ports=ports)
        try:
            started = events.get(timeout=_PATIENCE)
        except Empty:
            raise RuntimeError("the engine says of no container that it has started") from None
        last, count = _last_commit(operator, witness)
    if (open_ports := _published(vandal)) != _PORTS:
        raise RuntimeError(f"{open_ports} of {_PORTS} ports are published\n{operator.log_tail()}")
    return last - started.at, count


def _last_commit(operator: Operator, witness: Witness) -> tuple[float, int]:
    """The time of the last commit and the number of commits, once the operator is idle."""
    wait_idle(operator.pid, look=0.1)
    count, last = 0, None
    while (commit := witness.next(0.2 if count else _PATIENCE)) is not None:
        count, last = count + 1, commit.at
    if last is None:
        raise RuntimeError(f"nothing was committed\n{operator.log_tail()}")
    return last, count


def _published(vandal: Vandal) -> int:
    """The number of ports that lead to a target."""
    listed = [json.loads(item) for item in vandal.listing()]
    maps = [item["map"]["elem"] for item in listed if item.get("map", {}).get("name") == _MAP and "elem" in item["map"]]
    written = json.dumps(maps)
    return sum(f'["tcp", {_FIRST + n}]' in written for n in range(_PORTS))
