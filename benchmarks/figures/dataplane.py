"""The cost of a new flow: connections and datagram flows per second through hosts that differ only in their rules.

Every ruleset has its own host namespace between the same two programs (see `stage`). They take turns in slices of a
fifth of a second: the rulesets in random order, and the two sizes of a ruleset right after each other in alternating
order. A ratio is the median of the ratios of adjacent slices, so that temporary load of the machine does not affect it.
"""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from benchmarks import linear
from benchmarks.lanes import Lane, apply, rate_row, ratio_row, write_nftables
from benchmarks.stage import BRIDGE, SERVED, Host, Protocol, Stage
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.lib.networking import InterfaceName, TransportProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.rows import Row

_FLOOR = 0.95
_BUDGETED = "nftables"
_REFERENCE = "linear ip6tables-legacy"
"""The quicker one of the two programs' linear chains."""
_SMALL, _LARGE = (1, 1), (400, 1_000)  # networks, published ports
_PUBLISHED = 40_000
"""The probed port of the host; the others are below it."""
_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


def measure(bench: Bench) -> Iterator[Row]:
    """Rates and ratios."""
    rounds = 4 if bench.quick else 20
    with Stage(bench) as stage:
        host = stage.host()
        bare = Lane(host, host.container, SERVED)
        pairs = {name: (_lane(stage, write, *_SMALL), _lane(stage, write, *_LARGE)) for name, write in _WRITERS.items()}
        for _ in range(rounds):
            for protocol in _PROTOCOLS:
                bare.measure(stage, protocol)
                for small, large in random.sample(list(pairs.values()), len(pairs)):
                    for lane in (small, large, large, small):
                        lane.measure(stage, protocol)
        for protocol in _PROTOCOLS:
            yield from _rows(protocol, bare, pairs)


def _rows(protocol: Protocol, bare: Lane, pairs: dict[str, tuple[Lane, Lane]]) -> Iterator[Row]:
    what = {"tcp": "TCP connections", "udp": "UDP flows"}[protocol]
    yield rate_row(f"{what}, no rules at all: the programs' own limit", bare, protocol)
    for name, (small, large) in pairs.items():
        (few, few_ports), (many, many_ports) = _SMALL, _LARGE
        yield rate_row(f"{what}, {name}, {few} network, {few_ports} port", small, protocol)
        yield rate_row(f"{what}, {name}, {many} networks, {many_ports:,} ports", large, protocol)
        floor = _FLOOR if name == _BUDGETED else None
        yield ratio_row(f"{what}, {name}, large ÷ small", large.rates[protocol], small.rates[protocol], floor)
    for size, which in (_SMALL, 0), (_LARGE, 1):
        ours, reference = pairs[_BUDGETED][which], pairs[_REFERENCE][which]
        title = f"{what}, {_BUDGETED} ÷ {_REFERENCE}, {size[0]}, {size[1]:,}"
        yield ratio_row(title, ours.rates[protocol], reference.rates[protocol])


def _lane(stage: Stage, write: Callable[[Host, FirewallIntent], None], networks: int, ports: int) -> Lane:
    host = stage.host()
    write(host, _intent(host, networks, ports))
    return Lane(host, host.address, _PUBLISHED)


def _intent(host: Host, networks: int, ports: int) -> FirewallIntent:
    """The probed network and port are last. The other networks exist only in the rules; ports are of both protocols."""
    made = [
        NetworkIntent(
            f"net-{number:05d}",
            IPv6Network(((0xFD00_0000_0E00 << 80) + (number << 64), 64)),
            InterfaceName(f"br-{number}"),
        )
        for number in range(networks - 1)
    ]
    made.append(NetworkIntent("probed", host.subnet, InterfaceName(BRIDGE)))
    transports = (TransportProtocol.TCP, TransportProtocol.UDP)
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


def _iptables(host: Host, intent: FirewallIntent) -> None:
    async def write() -> None:
        firewall = IptablesFirewall()
        try:
            await apply(firewall, intent)
        finally:
            await firewall.close()

    with host.namespace.entered():
        asyncio.run(write())


def _linear(program: str) -> Callable[[Host, FirewallIntent], None]:
    def write(host: Host, intent: FirewallIntent) -> None:
        host.namespace.exec(program, stdin=linear.ruleset(intent.networks, intent.ports))

    return write


_WRITERS: dict[str, Callable[[Host, FirewallIntent], None]] = {
    _BUDGETED: write_nftables,
    "iptables": _iptables,
    "linear ip6tables-nft": _linear("ip6tables-nft-restore"),
    _REFERENCE: _linear("ip6tables-legacy-restore"),
}
"""How a ruleset gets into a host, by its name."""
