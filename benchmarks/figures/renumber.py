"""A delegated prefix that changes: ten networks that are translated to it, and ten with addresses in it.

Each has two containers. The translated ones change in one transaction, without a request to the engine according to its
log. The others are recreated, `maxUnavailable` at a time. A network is unavailable from its first detachment to its
last attachment, a container between its own two, according to the arrival of the engine's events.

A change is followed after it has lasted for `SETTLE` seconds, doubled for each change in the last ten minutes.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import Counter
from ipaddress import IPv6Network
from queue import Empty
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.bench import wait_ready
from benchmarks.commits import Vandal, Witness
from benchmarks.process import wait_idle
from benchmarks.rows import Row
from dockerv6.planning.addressing.tracked_prefixes import SETTLE
from tests.lab.net import UPLINK
from tests.lab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bare import Event
    from benchmarks.bench import Bench
    from tests.lab.engine import Engine
    from tests.lab.operator import Operator

_TALKATIVE = Settings("28.5", config={"debug": True})
"""An engine that logs every request."""

_NETWORKS, _EACH = 10, 2
_LAN = "lan0"
_PREFIXES = tuple(IPv6Network(((0x2001_0DB8_0A00 + (number << 8)) << 80, 56)) for number in range(4))
_REQUEST = re.compile(r"method=([A-Z]+)")
_PATIENCE = 60.0


def measure(bench: Bench) -> Iterator[Row]:
    """Times, transactions, requests."""
    with bench.engine(_TALKATIVE) as engine, bench.operator(engine) as operator:
        yield from _translated(engine, operator, changes=1 if bench.quick else 3)
    for budget in (1,) if bench.quick else (1, 4):
        with bench.engine(Settings("28.5")) as engine, bench.operator(engine) as operator:
            yield from _routed(engine, operator, budget)


def _translated(engine: Engine, operator: Operator, changes: int) -> Iterator[Row]:
    vandal = Vandal(engine.namespace)
    _plug(engine)
    for number in range(_NETWORKS):
        spec = {
            "addressing": {"subnet": str(resources.foreign_prefix(number))},
            "ipv4": {"subnet": resources.ipv4_subnet(number)},
            "egress": {"mode": "PrefixTranslation", "prefixFrom": {"interface": UPLINK}},
        }
        operator.apply_yaml(f"{resources.name(number)}.yaml", resources.text(_network(number, spec)))
    _populate(engine, operator)
    if not _requests(engine, 0):
        raise RuntimeError("the engine's log has no request at all")
    taken, commits, requests = [], [], Counter[str]()
    with Witness(engine.namespace) as witness:
        for change in range(changes):
            witness.drain()
            logged = engine.log.stat().st_size
            began = _exchange(engine, _PREFIXES[change], _PREFIXES[change + 1])
            settle = SETTLE * 2**change
            while True:
                commit = witness.next(settle + _PATIENCE)
                if commit is None:
                    raise RuntimeError(f"not translated to {_PREFIXES[change + 1]}\n{operator.log_tail()}")
                if _outer_prefixes(vandal, _PREFIXES[change + 1]) == _NETWORKS:
                    break
            taken.append(commit.at - began - settle)
            wait_idle(operator.pid)
            commits.append(1 + witness.drain())
            requests += _requests(engine, logged)
    what = f"{_NETWORKS} translated networks"
    note = f"median of {changes}, {min(taken):.3f} to {max(taken):.3f}; {SETTLE:g} s and their doublings subtracted"
    yield Row(f"{what}: change in the kernel to the last rule", statistics.median(taken), "s", note=note)
    yield Row(f"{what}: firewall transactions a change", max(commits), "", 1)
    listed = ", ".join(f"{count} {method}" for method, count in sorted(requests.items()))
    yield Row(f"{what}: requests to the engine", requests.total(), "", 0, listed or f"in {changes} changes")


def _routed(engine: Engine, operator: Operator, budget: int) -> Iterator[Row]:
    _plug(engine)
    pool = {"fromInterface": {"name": UPLINK}, "maxUnavailable": budget}
    operator.apply_yaml("pool.yaml", resources.text(resources.pool("delegated", pool)))
    for number in range(_NETWORKS):
        spec = {
            "addressing": {"poolRef": {"name": "delegated"}},
            "ipv4": {"subnet": resources.ipv4_subnet(number)},
            "egress": {"mode": "Routed"},
            "updateStrategy": "Recreate",
        }
        operator.apply_yaml(f"{resources.name(number)}.yaml", resources.text(_network(number, spec)))
    _populate(engine, operator)
    with BareEngine(str(engine.socket)).events(type="network") as events:
        began = _exchange(engine, _PREFIXES[0], _PREFIXES[1])
        seen: list[Event] = []
        while sum(event.action == "connect" for event in seen) < _NETWORKS * _EACH:
            try:
                event = events.get(timeout=_PATIENCE)
            except Empty:
                raise RuntimeError(f"not renumbered to {_PREFIXES[1]}\n{operator.log_tail()}") from None
            if event.action in {"connect", "disconnect"}:
                seen.append(event)
    wait_ready(operator, _NETWORKS)
    left = [subnet for subnet in _subnets(engine) if not subnet.subnet_of(_PREFIXES[1])]
    if left:
        raise RuntimeError(f"not renumbered: {left}\n{operator.log_tail()}")
    yield from _absences(seen, began, f"{_NETWORKS} routed networks, maxUnavailable {budget}", budget)


def _absences(seen: list[Event], began: float, what: str, budget: int) -> Iterator[Row]:
    since: dict[tuple[str, str], float] = {}
    containers: list[float] = []
    spans: dict[str, tuple[float, float]] = {}
    most = 0
    for event in seen:
        network, container = event.about["name"], event.about["container"]
        first, _ = spans.get(network, (event.at, event.at))
        spans[network] = first, event.at
        if event.action == "disconnect":
            since[network, container] = event.at
        else:
            containers.append(event.at - since.pop((network, container)))
        most = max(most, len({away for away, _ in since}))
    networks = [end - start for start, end in spans.values()]
    start, end = seen[0].at, seen[-1].at
    yield Row(f"{what}: change to the first detachment", start - began - SETTLE, "s", note=f"{SETTLE:g} s subtracted")
    yield Row(f"{what}: change to the last attachment", end - began - SETTLE, "s", note=f"{SETTLE:g} s subtracted")
    yield Row(f"{what}: all ÷ networks", (end - start) / len(networks), "s")
    yield _median(f"{what}: a network is away", networks)
    yield _median(f"{what}: a container is away", containers)
    yield Row(f"{what}: networks away at once, at most", most, "", budget)


def _median(what: str, taken: list[float]) -> Row:
    note = f"median of {len(taken)}, {min(taken):.3f} to {max(taken):.3f}"
    return Row(what, statistics.median(taken), "s", note=note)


def _network(number: int, spec: dict[str, object]) -> dict[str, object]:
    return resources.resource(resources.name(number), spec)


def _populate(engine: Engine, operator: Operator) -> None:
    wait_ready(operator, _NETWORKS)
    for number in range(_NETWORKS):
        for each in range(_EACH):
            engine.run(f"{resources.name(number)}-{each}", resources.name(number))
    wait_idle(operator.pid)


def _plug(engine: Engine) -> None:
    """Give the host a LAN, and delegate the first prefix to it, as a DHCPv6 client configures it (RFC 8415, 6.3)."""
    engine.netexec("ip", "link", "add", _LAN, "type", "veth", "peer", "name", f"{_LAN}p")
    engine.netexec("ip", "-6", "-batch", "-", stdin=f"link set {_LAN} up\nlink set {_LAN}p up\n{_taken(_PREFIXES[0])}")


def _exchange(engine: Engine, old: IPv6Network, new: IPv6Network) -> float:
    """Delegate another prefix instead; return when the old one was removed (`time.monotonic`)."""
    gone = f"address del {_address(old)} dev {_LAN}\nroute del unreachable {old} proto dhcp\n"
    engine.netexec("ip", "-6", "-batch", "-", stdin=_taken(new) + gone)
    return time.monotonic()


def _taken(prefix: IPv6Network) -> str:
    return f"address add {_address(prefix)} dev {_LAN} nodad\nroute add unreachable {prefix} proto dhcp\n"


def _address(prefix: IPv6Network) -> str:
    """The router's address on the LAN, in a subnet that no network of the benchmark has."""
    return f"{prefix[(0xFF << 64) + 1]}/64"


def _outer_prefixes(vandal: Vandal, prefix: IPv6Network) -> int:
    """The number of networks that are translated to a part of the prefix."""
    parts = (prefix[number << 64] for number in range(_NETWORKS))
    rules = [rule for rule in vandal.listing() if '"snat"' in rule]
    return sum(any(f'"{part}"' in rule for rule in rules) for part in parts)


def _subnets(engine: Engine) -> Iterator[IPv6Network]:
    """The benchmark's networks according to the engine."""
    for network in engine.client().networks():
        if network["Name"].startswith("net-"):
            yield from (IPv6Network(each["Subnet"]) for each in network["IPAM"]["Config"] if ":" in each["Subnet"])


def _requests(engine: Engine, position: int) -> Counter[str]:
    """Requests by method, from the engine's log after a position."""
    with engine.log.open() as log:
        log.seek(position)
        return Counter(found[1] for line in log if "request" in line and (found := _REQUEST.search(line)))
