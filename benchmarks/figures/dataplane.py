"""What a new flow costs: connections and datagram flows a second through hosts that differ in nothing but their rules.

Every ruleset has a host namespace of its own, all between the same two programs (see `stage`), and all take turns in
slices of a fifth of a second: the rulesets in a random order, and the two sizes of one right after the other, to and
fro. A ratio is the median of those of all such neighbours, so that a machine that is busy for a while does not decide
it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from benchmarks import linear
from benchmarks.rows import Row
from benchmarks.stage import BRIDGE, SERVED, Host, Protocol, Stage
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent, Transport
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.rules import render
from dockerv6.firewall.ruleset import diff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from dockerv6.firewall.port import Firewall

_FLOOR = 0.95
_BUDGETED = "nftables"
_REFERENCE = "linear ip6tables-legacy"
"""The quicker one of the two programs' linear chains."""
_SMALL, _LARGE = (1, 1), (400, 1_000)  # networks, published ports
_PUBLISHED = 40_000
"""The probed port of the host; the others are below it."""
_SLICE = 0.2  # seconds
_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


@dataclass(slots=True)
class _Lane:
    """One way from the neighbour to the container, and the rates that were measured on it, turn by turn."""

    host: Host
    translated: bool
    rates: dict[Protocol, list[float]] = field(default_factory=lambda: {protocol: [] for protocol in _PROTOCOLS})
    lost: int = 0

    def measure(self, stage: Stage, protocol: Protocol) -> None:
        if self.translated:
            flood = stage.flood(self.host, protocol, _SLICE, self.host.address, _PUBLISHED)
        else:
            flood = stage.flood(self.host, protocol, _SLICE, self.host.container, SERVED)
        self.rates[protocol].append(flood.rate)
        self.lost += flood.lost


def measure(bench: Bench) -> Iterator[Row]:
    """Rates and ratios."""
    rounds = 4 if bench.quick else 20
    with Stage(bench) as stage:
        bare = _Lane(stage.host(), translated=False)
        pairs = {name: (_lane(stage, write, *_SMALL), _lane(stage, write, *_LARGE)) for name, write in _WRITERS.items()}
        for _ in range(rounds):
            for protocol in _PROTOCOLS:
                bare.measure(stage, protocol)
                for small, large in random.sample(list(pairs.values()), len(pairs)):
                    for lane in (small, large, large, small):
                        lane.measure(stage, protocol)
        for protocol in _PROTOCOLS:
            yield from _rows(protocol, bare, pairs)


def _rows(protocol: Protocol, bare: _Lane, pairs: dict[str, tuple[_Lane, _Lane]]) -> Iterator[Row]:
    what = {"tcp": "TCP connections", "udp": "UDP flows"}[protocol]
    yield Row(f"{what}, no rules at all: the programs' own limit", *_rate(bare, protocol))
    for name, (small, large) in pairs.items():
        (few, few_ports), (many, many_ports) = _SMALL, _LARGE
        yield Row(f"{what}, {name}, {few} network, {few_ports} port", *_rate(small, protocol))
        yield Row(f"{what}, {name}, {many} networks, {many_ports:,} ports", *_rate(large, protocol))
        floor = _FLOOR if name == _BUDGETED else None
        yield _ratio(f"{what}, {name}, large ÷ small", large, small, protocol, floor)
    for size, which in (_SMALL, 0), (_LARGE, 1):
        ours, reference = pairs[_BUDGETED][which], pairs[_REFERENCE][which]
        title = f"{what}, {_BUDGETED} ÷ {_REFERENCE}, {size[0]}, {size[1]:,}"
        yield _ratio(title, ours, reference, protocol, None)


def _ratio(what: str, above: _Lane, below: _Lane, protocol: Protocol, floor: float | None) -> Row:
    ratios = [a / b for a, b in zip(above.rates[protocol], below.rates[protocol], strict=True)]
    note = f"{len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}"
    return Row(what, statistics.median(ratios), "x", floor=floor, note=note)


def _rate(lane: _Lane, protocol: Protocol) -> tuple[float, str, None, str]:
    rates = lane.rates[protocol]
    lost = f", {lane.lost} unanswered" if lane.lost else ""
    return statistics.median(rates), "/s", None, f"{min(rates):.0f} to {max(rates):.0f}{lost}"


def _lane(stage: Stage, write: Callable[[Host, FirewallIntent], None], networks: int, ports: int) -> _Lane:
    host = stage.host()
    write(host, _intent(host, networks, ports))
    return _Lane(host, translated=True)


def _intent(host: Host, networks: int, ports: int) -> FirewallIntent:
    """The probed network and port last. The other networks are in the rules only; ports are of both protocols."""
    made = [
        NetworkIntent(f"net-{number:05d}", IPv6Network(((0xFD00_0000_0E00 << 80) + (number << 64), 64)), f"br-{number}")
        for number in range(networks - 1)
    ]
    made.append(NetworkIntent("probed", host.subnet, BRIDGE))
    transports = (Transport.TCP, Transport.UDP)
    published = []
    for number in range(ports - 1):
        network = made[number % networks]
        published.append(
            PortIntent(
                owner=network.owner,
                protocol=transports[number % 2],
                port=_PUBLISHED - ports + number,
                target=network.subnet[0x100 + number],
                target_port=SERVED,
                gateway=network.subnet[1],
            )
        )
    published += [
        PortIntent("probed", transport, _PUBLISHED, host.container, SERVED, host.bridge_address)
        for transport in transports
    ]
    bridges = tuple(network.bridge for network in made)
    return FirewallIntent(networks=tuple(made), ports=tuple(published), guest_bridges=bridges)


def _nftables(host: Host, intent: FirewallIntent) -> None:
    async def write() -> None:
        session = NftSession()
        try:
            await _apply(NftablesFirewall(session), intent)
        finally:
            await session.close()

    with host.namespace.entered():
        asyncio.run(write())


def _iptables(host: Host, intent: FirewallIntent) -> None:
    async def write() -> None:
        firewall = IptablesFirewall()
        try:
            await _apply(firewall, intent)
        finally:
            await firewall.close()

    with host.namespace.entered():
        asyncio.run(write())


async def _apply(firewall: Firewall, intent: FirewallIntent) -> None:
    known = intent if not firewall.knows_link_kinds else replace(intent, guest_bridges=None)
    await firewall.apply(diff(render(known), await firewall.observe()))


def _linear(program: str) -> Callable[[Host, FirewallIntent], None]:
    def write(host: Host, intent: FirewallIntent) -> None:
        host.namespace.exec(program, stdin=linear.ruleset(intent.networks, intent.ports))

    return write


_WRITERS: dict[str, Callable[[Host, FirewallIntent], None]] = {
    _BUDGETED: _nftables,
    "iptables": _iptables,
    "linear ip6tables-nft": _linear("ip6tables-nft-restore"),
    _REFERENCE: _linear("ip6tables-legacy-restore"),
}
"""How a ruleset gets into a host, by its name."""
