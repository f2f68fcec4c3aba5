"""What a restart of the operator interrupts or opens, while it is stopped, started, killed and started.

New connections are opened continuously: by a neighbour to a published port, where each must be answered; and to the
container's own address, by the neighbour, which has a route, and by a container of another network, where none may be
answered. The engine creates no rules, so that isolation is ours only: before the first start of the operator, both
connections are checked to be answered.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import PROXYLESS_ENGINE, wait_started
from benchmarks.rows import Row
from tests.lab.net import HOST_ADDRESS
from tests.lab.process import end

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.bench import Bench
    from tests.lab.lab import Station
    from tests.lab.operator import Operator

_HERE = Path(__file__).resolve().parents[1]
_SERVED, _PUBLISHED = 8000, 18000
_RATE = 200
"""Connections a second that a probe has to manage, or its zero means little."""
_REST = 1.0
"""Seconds for which the operator is away, and for which it runs."""
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class _Counts:
    """The counts of one probe; see `benchmarks.probe`."""

    sent: int
    answered: int
    refused: int
    slowest: float
    seconds: float


def measure(bench: Bench) -> Iterator[Row]:
    """Lost connections, and connections that passed the isolation."""
    rounds = 1 if bench.quick else 5
    with bench.station(PROXYLESS_ENGINE) as station, _target(station) as address:
        probes: dict[str, Callable[[], _Probe]] = {
            "published port": lambda: _Probe(station.neighbour.namespace.popen, HOST_ADDRESS, _PUBLISHED),
            "from outside": lambda: _Probe(station.neighbour.namespace.popen, address, _SERVED),
            "from another network": lambda: _Probe(
                lambda argv: station.engine.container_netns_popen("other", argv), address, _SERVED
            ),
        }
        published, *isolated = probes.values()
        if not all(_glimpse(begin).answered for begin in isolated):
            raise RuntimeError("the container is not reachable before there is any rule: its isolation can't be shown")
        with bench.operator(station.engine) as operator:
            operator.apply_yaml("policy.yaml", resources.text(resources.policy("everybody")))
            _await(published, isolated, operator)
            running = {name: begin() for name, begin in probes.items()}
            for _ in range(rounds):
                _restart(operator, operator.stop)
                _restart(operator, operator.kill)
            counts = {name: probe.stop() for name, probe in running.items()}
    for name, seen in counts.items():
        rate = seen.sent / seen.seconds
        note = f"of {seen.sent}, {rate:.0f}/s"
        if rate < _RATE:
            raise RuntimeError(f"{name}: only {rate:.0f} connections a second; the machine is too busy")
        when = f"{rounds} times stopped, started, killed, started"
        if name == "published port":
            slowest = f"; the slowest answer after {1000 * seen.slowest:.0f} ms"
            yield Row(f"{when}: lost at a published port", seen.sent - seen.answered, "", 0, note + slowest)
        else:
            yield Row(f"{when}: let in {name}", seen.answered, "", 0, note)


class _Probe:
    """A running `benchmarks.probe`."""

    def __init__(self, popen: Callable[[Sequence[str]], subprocess.Popen[str]], address: str, port: int) -> None:
        self._process = popen(_program("probe.py", address, str(port)))
        _ready(self._process)

    def stop(self) -> _Counts:
        """End it after its open connections are answered or lost."""
        process = self._process
        output, errors = process.communicate(timeout=_PATIENCE)  # closes its input
        if process.returncode:
            raise RuntimeError(f"a probe ended with status {process.returncode}\n{errors}")
        return _Counts(**json.loads(output))


def _glimpse(begin: Callable[[], _Probe]) -> _Counts:
    probe = begin()
    time.sleep(0.1)
    return probe.stop()


def _await(published: Callable[[], _Probe], isolated: list[Callable[[], _Probe]], operator: Operator) -> None:
    """Wait until the policy is in effect."""
    last = time.monotonic() + _PATIENCE
    while not _glimpse(published).answered or any(_glimpse(begin).answered for begin in isolated):
        if time.monotonic() > last:
            raise RuntimeError(f"the policy is not in effect after {_PATIENCE:g} s\n{operator.log_tail()}")


def _restart(operator: Operator, how: Callable[[], object]) -> None:
    how()
    time.sleep(_REST)
    operator.start()
    wait_started(operator)
    time.sleep(_REST)


@contextmanager
def _target(station: Station) -> Iterator[str]:
    """Create two foreign networks with a container each; return the address of the one that answers."""
    engine = station.engine
    bare = BareEngine(str(engine.socket))
    for number in (0, 1):
        bare.create_one(bare.foreign_body(number))
    engine.run("web", resources.name(0), ports={f"{_SERVED}/tcp": _PUBLISHED})
    engine.run("other", resources.name(1))
    address = engine.container_addresses("web", resources.name(0))["6"]
    station.neighbour.add_route(f"{address}/128")
    server = engine.container_netns_popen("web", _program("flows.py", "serve", "--port", str(_SERVED)))
    try:
        _ready(server)
        yield address
    finally:
        end(server)


def _program(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(_HERE / name), *arguments]


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    if process.stdout.readline().strip() != "ready":
        status = end(process)
        raise RuntimeError(f"{process.args!r} did not start, status {status}")
