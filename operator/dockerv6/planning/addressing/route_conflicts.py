"""Routes of others that take the packets for a Docker network away from its bridge (moby/moby#46615).

A VPN or a routing daemon may add one at any time. The kernel prefers the longest prefix, then the lowest metric, in the
first table that a rule chooses and that has a route (ip-rule(8)). What can't be told: routes that a rule chooses for
some packets only, and rejecting routes, which are not read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Route, RoutingRule
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding

MAIN, LOCAL = 254, 255
_ALL_BUT_MARKED = frozenset({"fwmark", "not"})
"""A condition that most packets meet, as VPN programs write it: all but the VPN's own packets."""


@dataclass(frozen=True, slots=True)
class RouteConflict:
    """A route that takes packets for a subnet elsewhere. ``certain``: it takes all that it names."""

    network: str
    bridge: str
    subnet: IPv6Network
    route: Route
    certain: bool

    @property
    def message(self) -> str:
        """The cause and the remedy."""
        to, interface = self.route.destination, self.route.interface or ""
        table = "" if self.route.table == MAIN else f" table {self.route.table}"
        device = f" dev {shell_quoted(interface)}" if interface else ""
        takes = "takes" if self.certain else "may take"
        remedy = f"remove it (`ip -6 route del {to}{device}{table}`)"
        if to.prefixlen < self.subnet.prefixlen:  # others need it, such as a VPN's default route
            remedy = f"keep it from the subnet (`ip -6 rule add to {self.subnet} lookup main pref 1`)"
        return (
            f"the host's route {to} on {interface or 'no interface'} ({self.route.protocol},"
            f" {table.strip() or 'table main'}) {takes} packets for {self.subnet} of Docker network {self.network} away"
            f" from its bridge {self.bridge}, so that containers get no replies; {remedy}, exclude the"
            " subnet in the program that adds it (such as AllowedIPs of a VPN), or give the network another subnet"
        )


class _RouteIndex:
    """The routes of one host by table, in the order of their addresses."""

    __slots__ = ("_tables", "rules")

    def __init__(self, host: HostView) -> None:
        self.rules = host.rules
        self._tables: dict[int, list[tuple[int, int, int, Route]]] = {}
        for number, route in enumerate(host.routes):
            key = int(route.destination.network_address), route.destination.prefixlen, number, route
            self._tables.setdefault(route.table, []).append(key)
        for rows in self._tables.values():
            rows.sort(key=lambda row: row[:3])

    def within(self, table: int, subnet: IPv6Network) -> list[Route]:
        """The routes to the subnet and to parts of it."""
        rows = self._tables.get(table, [])
        first, last = int(subnet.network_address), int(subnet.broadcast_address)
        found = rows[bisect_left(rows, (first,)) : bisect_right(rows, (last, 129))]
        return [row[3] for row in found if row[1] >= subnet.prefixlen]

    def covering(self, table: int, subnet: IPv6Network) -> list[Route]:
        """The routes to larger prefixes that contain the subnet, such as default routes."""
        rows = self._tables.get(table, [])
        return [row[3] for row in rows if row[1] < subnet.prefixlen and subnet.subnet_of(row[3].destination)]


_index = memoize_by_identity(_RouteIndex)


def route_conflicts(host: HostView, networks: Iterable[Network]) -> Iterator[RouteConflict]:
    """The routes that take packets for these networks elsewhere."""
    index = _index(host)
    for network in networks:
        if network.bridge is None or network.bridge not in host.interfaces:
            continue
        for config in network.ipv6:
            if isinstance(config.subnet, IPv6Network):
                for route, certain in _takers(index, network.bridge, config.subnet):
                    yield RouteConflict(network.name, network.bridge, config.subnet, route, certain)


def route_findings(host: HostView, networks: Iterable[Network]) -> tuple[Finding, ...]:
    """As `route_conflicts`, as findings of HostReady."""
    return tuple(
        Finding(ConditionType.HOST_READY, Reason.ROUTE_CONFLICT, each.message, blocks=False, unknown=not each.certain)
        for each in route_conflicts(host, networks)
    )


def _takers(index: _RouteIndex, bridge: str, subnet: IPv6Network) -> Iterator[tuple[Route, bool]]:
    for rule in _before_main(index.rules, subnet):
        inside = index.within(rule.table, subnet)
        if any(r.interface == bridge and r.destination == subnet for r in inside):
            continue  # a copy of the main table, as for a VRF
        yield from ((r, not rule.conditions) for r in inside if r.interface != bridge)
        for_most = not rule.conditions or rule.conditions == _ALL_BUT_MARKED
        if for_most:  # the table may have an exception that is not read
            yield from ((r, False) for r in index.covering(rule.table, subnet) if r.interface not in (bridge, "lo"))
    inside = index.within(MAIN, subnet)
    own = min((r.metric for r in inside if r.interface == bridge and r.destination == subnet), default=None)
    for route in inside:
        longer = route.destination.prefixlen > subnet.prefixlen
        if route.interface != bridge and (longer or own is None or route.metric <= own):
            yield route, True


def _before_main(rules: Iterable[RoutingRule], subnet: IPv6Network) -> Iterator[RoutingRule]:
    """The rules whose tables are consulted before the main one, which has the route to the bridge."""
    for rule in rules:
        if rule.table == LOCAL or (rule.destination is not None and not rule.destination.overlaps(subnet)):
            continue
        if rule.table != MAIN:
            yield rule
        elif not rule.conditions and (rule.suppressed is None or rule.suppressed < subnet.prefixlen):
            return
