"""The cost of a new flow out of a container, by `egress.mode`: TCP connections per second to a neighbour of the host.

Every mode has two host namespaces, with the rules of one network and of 400 networks of that mode; the last network is
probed. Masquerade with one network is the reference, and the others are measured in turns with it (see `dataplane`). If
the source is translated, the neighbour has no route to the container's own address.
"""

from __future__ import annotations

import random
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from benchmarks.lanes import Lane, rate_row, ratio_row, write_nftables
from benchmarks.stage import BRIDGE, SERVED, Host, Stage
from dockerv6.firewall.model import FirewallIntent, NetworkIntent
from dockerv6.lib.networking import EgressMode, InterfaceName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.rows import Row

_MODES = (EgressMode.MASQUERADE, EgressMode.SNAT, EgressMode.ROUTED, EgressMode.PREFIX_TRANSLATION)
_SIZES = (1, 400)
_INNER = 0xFD00_0000_0E00
_OUTER = 0x2001_0DB8_0002


def measure(bench: Bench) -> Iterator[Row]:
    """Rates, and ratios to Masquerade with one network."""
    rounds = 3 if bench.quick else 15
    with Stage(bench, outbound=True) as stage:
        lanes = {(mode, size): _lane(stage, mode, size) for mode in _MODES for size in _SIZES}
        reference = lanes.pop((EgressMode.MASQUERADE, 1))
        beside: dict[tuple[EgressMode, int], list[float]] = {which: [] for which in lanes}
        for _ in range(rounds):
            for which in random.sample(list(lanes), len(lanes)):
                for lane in (reference, lanes[which], lanes[which], reference):
                    lane.measure(stage, "tcp")
                beside[which] += reference.rates["tcp"][-2:]
    yield rate_row("Masquerade, 1 network", reference, "tcp")
    for (mode, size), lane in lanes.items():
        what = f"{mode.value}, {size} network{'s' if size > 1 else ''}"
        yield rate_row(what, lane, "tcp")
        yield ratio_row(f"{what} ÷ Masquerade, 1 network", lane.rates["tcp"], beside[mode, size])


def _lane(stage: Stage, mode: EgressMode, size: int) -> Lane:
    host = stage.host()
    made = [
        _network(host, mode, f"net-{number:05d}", _subnet(_INNER, number), f"br-{number}", _subnet(_OUTER, number))
        for number in range(size - 1)
    ]
    made.append(_network(host, mode, "probed", host.subnet, BRIDGE, host.outer))
    bridges = tuple(network.bridge for network in made)
    write_nftables(host, FirewallIntent(networks=tuple(made), guest_bridges=bridges))
    if mode is not EgressMode.ROUTED:
        stage.hide(host)
    return Lane(host, host.neighbour, SERVED)


def _network(
    host: Host, mode: EgressMode, owner: str, subnet: IPv6Network, bridge: str, outer: IPv6Network
) -> NetworkIntent:
    source = host.address if mode is EgressMode.SNAT else None
    outers = (outer,) if mode is EgressMode.PREFIX_TRANSLATION else ()
    return NetworkIntent(owner, subnet, InterfaceName(bridge), mode, source, outers)


def _subnet(site: int, number: int) -> IPv6Network:
    return IPv6Network(((site << 80) + (number << 64), 64))
