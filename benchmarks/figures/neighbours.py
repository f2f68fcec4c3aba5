"""NDP proxy entries of containers in an on-link prefix: from a container's start to the kernel's entry for its address.

Measured from the arrival of the engine's start event in this process to the entry in the kernel's proxy table. The
kernel does not announce entries, so the table is listed continuously. Negative: the entry was there before the event
arrived. One container at a time, and a hundred that are started by eight clients.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Self

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import PROXYLESS_ENGINE, wait_ready
from benchmarks.process import wait_idle
from benchmarks.rows import Row, latencies
from dockerv6.hostnet.neighbours import proxy_neighbours
from tests.lab.engine import IMAGE
from tests.lab.net import UPLINK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from benchmarks.bench import Bench
    from tests.lab.engine import Engine
    from tests.lab.namespace import Namespace
    from tests.lab.operator import Operator

_NAME = "public"
_CLIENTS = 8
_LOOK = 0.002
"""Seconds between two looks, and so the resolution."""
_PATIENCE = 30.0


def measure(bench: Bench) -> Iterator[Row]:
    """The latencies."""
    single, crowd = (5, 10) if bench.quick else (50, 100)
    with bench.engine(PROXYLESS_ENGINE) as engine, bench.operator(engine) as operator:
        source = {"name": UPLINK, "prefixLength": 80, "offset": 1}
        pool = resources.pool("on-link", {"fromInterface": source, "allocationLength": 112})
        spec = {
            "addressing": {"poolRef": {"name": "on-link"}},
            "egress": {"mode": "Routed"},
            "ndpProxy": {"enabled": True},
        }
        operator.apply_yaml("pool.yaml", resources.text(pool))
        operator.apply_yaml("network.yaml", resources.text(resources.resource(_NAME, spec)))
        wait_ready(operator, 1)
        with _Listing(engine.namespace) as listing:
            yield from latencies("one container", _singly(engine, operator, listing, single))
            yield from _together(engine, operator, listing, crowd)


def _singly(engine: Engine, operator: Operator, listing: _Listing, count: int) -> list[float]:
    taken = []
    for number in range(count):
        name = f"one-{number}"
        wait_idle(operator.pid, look=0.1)
        started = _started(engine, [partial(engine.run, name, _NAME)], clients=1)
        (appeared,) = listing.wait([engine.container_addresses(name, _NAME)["6"]], operator)
        taken += [appeared - at for at in started.values()]
        engine.client().remove_container(name, force=True)
    return taken


def _together(engine: Engine, operator: Operator, listing: _Listing, count: int) -> Iterator[Row]:
    client = engine.client()
    config = client.create_host_config(network_mode=_NAME)
    made = [
        str(client.create_container(IMAGE, ["sleep", "1000"], name=f"many-{number}", host_config=config)["Id"])
        for number in range(count)
    ]
    wait_idle(operator.pid)
    starts = [partial(client.start, each) for each in made]
    started = _started(engine, starts, clients=_CLIENTS)
    addresses = [engine.container_addresses(each, _NAME)["6"] for each in made]
    appeared = listing.wait(addresses, operator)
    what = f"{count} containers, started by {_CLIENTS} clients"
    first, last = min(started.values()), max(started.values())
    note = f"the engine took {last - first:.1f} s to start them"
    yield Row(f"{what}: last start to the last neighbour", 1000 * (max(appeared) - last), "ms", note=note)
    each = [at - started[container] for container, at in zip(made, appeared, strict=True)]
    yield from latencies(f"{what}, each", each)
    wait_idle(operator.pid)
    asked = time.monotonic()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(lambda container: client.remove_container(container, force=True), made))
    gone = time.monotonic()
    cleared = listing.wait_gone(addresses, operator)
    note = f"the engine took {gone - asked:.1f} s to remove them"
    yield Row(f"{count} containers: last removal to the last neighbour gone", 1000 * (cleared - gone), "ms", note=note)


def _started(engine: Engine, starts: Sequence[Callable[[], object]], *, clients: int) -> dict[str, float]:
    """Start containers; return when the start event of each arrived, by its identifier."""
    with (
        BareEngine(str(engine.socket)).events(type="container", event="start") as events,
        ThreadPoolExecutor(clients) as pool,
    ):
        for begun in [pool.submit(start) for start in starts]:
            begun.result()
        try:
            received = [events.get(timeout=_PATIENCE) for _ in starts]
        except Empty:
            raise RuntimeError("the engine does not say of all containers that they have started") from None
    return {event.subject: event.at for event in received}


class _Listing:
    """The kernel's NDP proxy entries, listed continuously by a thread in the namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._appeared: dict[str, float] = {}  # by address: when it was first listed
        self._changed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def wait(self, addresses: list[str], operator: Operator) -> list[float]:
        """Wait until all entries exist; return since when (`time.monotonic`)."""
        self._until(lambda: all(address in self._appeared for address in addresses), "neighbours are missing", operator)
        return [self._appeared[address] for address in addresses]

    def wait_gone(self, addresses: list[str], operator: Operator) -> float:
        """Wait until no entry exists; return since when."""
        self._until(lambda: not any(address in self._appeared for address in addresses), "neighbours stay", operator)
        return self._changed

    def _until(self, check: Callable[[], bool], otherwise: str, operator: Operator) -> None:
        end = time.monotonic() + _PATIENCE
        while not check():
            if time.monotonic() > end:
                raise RuntimeError(f"{otherwise}\n{operator.log_tail()}")
            time.sleep(_LOOK)

    def _look(self) -> None:
        with self._namespace.entered():
            while not self._ended.is_set():
                listed = {str(each.address) for each in proxy_neighbours()}
                now = time.monotonic()
                if listed != self._appeared.keys():
                    self._appeared = {address: self._appeared.get(address, now) for address in listed}
                    self._changed = now
                time.sleep(_LOOK)
