"""Routes and rules of others that divert the packets of a Docker network (moby/moby#46615).

A VPN, a kill switch or a routing daemon may add one at any time. Packets for the containers have to go to their bridge,
and what containers send to the internet to the default route. Both ways are looked up as in the kernel: the rules by
priority (ip-rule(8)), and in the first table that has a route, the longest prefix, then the lowest metric. Routes and
rules that reject (`unreachable`, `blackhole`, `prohibit`) take packets as well; `throw` ends the lookup in a table.

What stays unknown: what a rule chooses for some packets only.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Egress
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import LOCAL_TABLE, MAIN_TABLE, Route, RoutingRule
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.prefixes import covers
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.host.interfaces import GLOBAL_UNICAST, LONGEST_DEFAULT, default_route_interfaces
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding

_THROW = "throw"
_ALL_BUT_MARKED = frozenset({"fwmark", "not"})
"""A condition that most packets meet, as VPN programs write it: all but the VPN's own packets."""
_OF_CONTAINERS = frozenset({"from", "iif"})
"""Conditions by which a rule can be for the packets of containers."""
_WORST = 2**32 - 1
"""The metric of a route that stands for a default route only while there is none."""

RoutingEntry = Route | RoutingRule


@dataclass(frozen=True, slots=True)
class RouteConflict:
    """A route or rule that diverts or drops packets for a subnet; or, if ``leaving``, packets from it to the internet.

    ``certain``: it does so with all packets that it matches.
    """

    network: str
    bridge: str
    subnet: IPv6Network
    entry: RoutingEntry
    certain: bool
    leaving: bool = False

    @property
    def message(self) -> str:
        """The cause and the remedy."""
        what, where = f"{self.subnet} of Docker network {self.network}", f"its bridge {self.bridge}"
        certain, perhaps = ("drops", "may drop") if self.entry.rejects else ("takes", "may take")
        does = certain if self.certain else perhaps
        if self.leaving:
            effect = f"{does} what containers in {what} send to the internet"
        elif self.entry.rejects:
            effect = f"{does} packets for {what} instead of sending them to {where}, so that containers get no replies"
        else:
            effect = f"{does} packets for {what} away from {where}, so that containers get no replies"
        return f"the host's {_named(self.entry)} {effect}; {self._remedy}"

    @property
    def _remedy(self) -> str:
        delete = f"remove it (`{_deletion(self.entry)}`)"
        if self.leaving:
            return f"{delete}, or the program that adds it"
        shorter = self.entry.destination is None or self.entry.destination.prefixlen < self.subnet.prefixlen
        if shorter:  # others need it, such as a VPN's default route
            delete = f"keep it from the subnet (`ip -6 rule add to {self.subnet} lookup main pref {_EARLY}`)"
        return (
            f"{delete}, exclude the subnet in the program that adds it (such as AllowedIPs of a VPN), or give the"
            " network another subnet"
        )


_EARLY = 1
"""The priority of the rule that a message offers: behind the local table."""


def _named(entry: RoutingEntry) -> str:
    if isinstance(entry, RoutingRule):
        return f"routing rule {entry.priority} ({_selector(entry)}{entry.rejects})"
    table = f"table {entry.table}" if entry.table != MAIN_TABLE else "table main"
    if entry.rejects:
        return f"route {entry.rejects} {entry.destination} ({entry.protocol}, metric {entry.metric}, {table})"
    return f"route {entry.destination} on {entry.interface or 'no interface'} ({entry.protocol}, {table})"


def _selector(rule: RoutingRule) -> str:
    ends = (("from", rule.source), ("to", rule.destination), ("iif", rule.interface))
    negated = "not " if "not" in rule.conditions else ""
    return negated + "".join(f"{word} {shell_quoted(str(value))} " for word, value in ends if value)


def _deletion(entry: RoutingEntry) -> str:
    if isinstance(entry, RoutingRule):
        return f"ip -6 rule del pref {entry.priority} {_selector(entry)}{entry.rejects}"
    table = "" if entry.table == MAIN_TABLE else f" table {entry.table}"
    if entry.rejects:  # the device and the metric distinguish it from the bridge's route to the same prefix
        return f"ip -6 route del {entry.rejects} {entry.destination} dev lo metric {entry.metric}{table}"
    device = f" dev {shell_quoted(entry.interface)}" if entry.interface else ""
    return f"ip -6 route del {entry.destination}{device}{table}"


class _RouteIndex:
    """The routes of one host by table, in the order of their addresses, and the preferred one by prefix.

    A routing daemon adds tens of thousands of routes, and a host has hundreds of networks: nothing is searched for
    each network through a whole table.
    """

    __slots__ = ("_defaults", "_preferred", "_tables", "leads_out", "rules")

    def __init__(self, host: HostView) -> None:
        self.rules = host.rules
        self._tables: dict[int, list[tuple[int, int, int, Route]]] = {}
        self._preferred: dict[tuple[int, int, int], Route] = {}  # by table, prefix length and address
        self._defaults: dict[int, dict[IPv6Network, Route]] = {}  # by table, those to the internet
        for number, route in enumerate((*host.routes, *host.rejecting)):
            key = int(route.destination.network_address), route.destination.prefixlen, number, route
            self._tables.setdefault(route.table, []).append(key)
            prefix = route.table, key[1], key[0]
            known = self._preferred.get(prefix)
            if known is None or route.metric < known.metric:
                self._preferred[prefix] = route
                if _is_default(route.destination):
                    self._defaults.setdefault(route.table, {})[route.destination] = route
        self.leads_out = bool(default_route_interfaces(host))
        for rows in self._tables.values():
            rows.sort(key=lambda row: row[:3])

    def within(self, table: int, subnet: IPv6Network) -> list[Route]:
        """The routes to the subnet and to parts of it."""
        rows = self._tables.get(table, [])
        first, last = int(subnet.network_address), int(subnet.broadcast_address)
        found = rows[bisect_left(rows, (first,)) : bisect_right(rows, (last, 129))]
        return [row[3] for row in found if row[1] >= subnet.prefixlen]

    def covering(self, table: int, subnet: IPv6Network) -> Route | None:
        """The route that the kernel prefers among those to larger prefixes that contain the subnet."""
        address = int(subnet.network_address)
        for length in range(subnet.prefixlen - 1, -1, -1):
            free = subnet.max_prefixlen - length
            found = self._preferred.get((table, length, address >> free << free))
            if found is not None:
                return found
        return None

    def default(self, table: int, suppressed: int | None) -> Route | None:
        """The route to the internet, or what VPN programs add in its place."""
        shortest = -1 if suppressed is None else suppressed
        usable = (r for r in self._defaults.get(table, {}).values() if shortest < r.destination.prefixlen)
        return min(usable, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)


_index = memoize_by_identity(_RouteIndex)


def _is_default(prefix: IPv6Network) -> bool:
    return prefix.prefixlen <= LONGEST_DEFAULT and prefix.overlaps(GLOBAL_UNICAST)


def route_conflicts(host: HostView, networks: Iterable[Network]) -> Iterator[RouteConflict]:
    """What takes packets for these networks, or from them to the internet, elsewhere or drops them."""
    index = _index(host)
    for network in networks:
        if network.bridge is None or network.bridge not in host.interfaces:
            continue
        for config in network.ipv6:
            if isinstance(config.subnet, IPv6Network):
                for entry, certain in _competing_entries(index, network.bridge, config.subnet):
                    yield RouteConflict(network.name, network.bridge, config.subnet, entry, certain)
                for entry, certain in () if network.internal else _rejecting(index, network.bridge, config.subnet):
                    yield RouteConflict(network.name, network.bridge, config.subnet, entry, certain, leaving=True)


def route_findings(host: HostView, networks: Iterable[Network], egress: Egress) -> tuple[Finding, ...]:
    """As `route_conflicts`, as findings of HostReady."""
    return tuple(
        Finding(ConditionType.HOST_READY, Reason.ROUTE_CONFLICT, each.message, blocks=False, unknown=not each.certain)
        for each in route_conflicts(host, networks)
        if not (each.leaving and egress.mode is EgressMode.NONE)
    )


# ---- to the containers


def _competing_entries(index: _RouteIndex, bridge: str, subnet: IPv6Network) -> Iterator[tuple[RoutingEntry, bool]]:
    for rule in _before_main(index.rules, subnet):
        for_most = not rule.conditions or rule.conditions == _ALL_BUT_MARKED
        if rule.rejects:
            if for_most or (rule.destination is not None and rule.destination.subnet_of(subnet)):
                yield rule, not rule.conditions
            continue
        inside = index.within(rule.table, subnet)
        for route, certain in _preferred_to_own(inside, bridge, subnet):
            if route.rejects != _THROW:  # the next rule is tried
                yield route, certain and not rule.conditions
        open_ = for_most and not covers((route.destination for route in inside), subnet)
        cover = index.covering(rule.table, subnet) if open_ else None
        if cover is not None and cover.rejects != _THROW and (cover.rejects or cover.interface not in (bridge, "lo")):
            yield cover, bool(cover.rejects) and not rule.conditions
    yield from _preferred_to_own(index.within(MAIN_TABLE, subnet), bridge, subnet)


def _preferred_to_own(inside: list[Route], bridge: str, subnet: IPv6Network) -> Iterator[tuple[Route, bool]]:
    """The routes within the subnet that the kernel prefers to the bridge's; False: it may prefer the bridge's.

    Of equal routes it prefers the older one. The bridge's may not be read yet: a new bridge is there before its routes.
    It is in the main table, and in copies of it, as for a VRF.
    """
    own = [route for route in inside if route.interface == bridge]
    unread = not covers((route.destination for route in own), subnet)
    for route in inside:
        if route.interface == bridge or covers((r.destination for r in own if _is_before(r, route)), route.destination):
            continue
        equal = any((r.destination, r.metric) == (route.destination, route.metric) for r in own)
        maybe = (unread and route.table == MAIN_TABLE) or (route.rejects and equal)
        yield route, route.destination.prefixlen > subnet.prefixlen or not maybe


def _is_before(one: Route, other: Route) -> bool:
    """Whether the kernel prefers one route for certain, where both match."""
    longer = one.destination.prefixlen - other.destination.prefixlen
    return longer > 0 or (longer == 0 and one.metric < other.metric)


def _before_main(rules: Iterable[RoutingRule], subnet: IPv6Network) -> Iterator[RoutingRule]:
    """The rules that decide before the main table, which has the route to the bridge."""
    for rule in rules:
        if (rule.table == LOCAL_TABLE and not rule.rejects) or not _may_concern(rule, subnet):
            continue
        if rule.table != MAIN_TABLE:
            yield rule
        elif not rule.conditions and _covers(rule, subnet) and (rule.suppressed or 0) < subnet.prefixlen:
            return
        if rule.rejects and not rule.conditions and _covers(rule, subnet):
            return


def _may_concern(rule: RoutingRule, subnet: IPv6Network) -> bool:
    if rule.destination is None:
        return True
    if rule.conditions == {"not"}:  # all other destinations
        return not subnet.subnet_of(rule.destination)
    return rule.destination.overlaps(subnet)


def _covers(rule: RoutingRule, subnet: IPv6Network) -> bool:
    return rule.destination is None or subnet.subnet_of(rule.destination)


# ---- from the containers to the internet


def _rejecting(index: _RouteIndex, bridge: str, subnet: IPv6Network) -> Iterator[tuple[RoutingEntry, bool]]:
    """What rejects packets from the subnet to the internet before a route leads there."""
    for rule in index.rules:
        chosen = _chosen_for_containers(rule, bridge, subnet)
        if chosen is None or (rule.destination is not None and not _is_default(rule.destination)):
            continue
        if rule.rejects:
            yield rule, chosen
        elif rule.table != LOCAL_TABLE:
            route = index.default(rule.table, rule.suppressed)
            if route is None or route.rejects == _THROW:
                continue
            if route.rejects and rule.table != MAIN_TABLE:
                yield route, chosen
            elif route.rejects and route.metric != _WORST:
                yield route, chosen and index.leads_out
        else:
            continue
        if chosen:
            return


def _chosen_for_containers(rule: RoutingRule, bridge: str, subnet: IPv6Network) -> bool | None:
    """Whether a rule is for all packets that containers send; None: for none of them, or it is unknown."""
    if not rule.conditions:
        return True
    if rule.conditions == _ALL_BUT_MARKED:
        return False
    if not rule.conditions <= _OF_CONTAINERS or (rule.interface and rule.interface != bridge):
        return None
    if rule.source is None or subnet.subnet_of(rule.source):
        return True
    return False if rule.source.overlaps(subnet) else None
