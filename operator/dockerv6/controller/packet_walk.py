"""Follows representative flows through the host's filters, and keeps what is in the way of each resource.

A network whose flows were never followed is no evidence of anything. Its status says so (ADR 0052).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import zip_longest

from dockerv6.dockerd.model import Container
from dockerv6.firewall.elements import NETWORKS
from dockerv6.firewall.model import FlowProblem
from dockerv6.firewall.port import HostFilter
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.walk.flows import representative_flows
from dockerv6.firewall.walk.packet import Flow, Link, Paths
from dockerv6.firewall.walk.remedies import is_ours, remedy
from dockerv6.firewall.walk.verdicts import FlowVerdict
from dockerv6.hostnet.model import LOCAL_TABLE, MAIN_TABLE
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.planning.host.bridges import lacks_route
from dockerv6.planning.inputs import HostView, UnroutedSubnet
from dockerv6.reconciler.handler import Key

FLOWS = Key("Host", "flows")
"""The key of a packet walk that a status waits for. The other walks are paced."""

_LOOPBACK = "lo"
_ROUTED_ELSEWHERE = "routing rules may choose another interface (ip -6 rule)"


NetworkRules = tuple[str, str, str]
"""A network in our table: its owner, subnet and bridge."""


class PacketWalks:
    """The latest problems, by owner, and whose flows were followed.

    Attributes:
        flow_problems: for each owner whose flows don't pass for certain. Statuses have `problems`.
        containers: the addresses of the containers that ran then.
        unrouted: the subnets that had no route to their bridge.
    """

    def __init__(self, host_filter: HostFilter, mark: int) -> None:
        """Follow nothing yet. `mark`: of flows that our table allows."""
        self._host_filter = host_filter
        self._mark = mark
        self.flow_problems: dict[str, tuple[FlowProblem, ...]] = {}
        self.containers: frozenset[IPv6Address] = frozenset()
        self.unrouted: frozenset[UnroutedSubnet] = frozenset()
        self._lacking: frozenset[NetworkRules] = frozenset()
        self._followed: frozenset[NetworkRules] = frozenset()
        self._ready_before: frozenset[str] = frozenset()
        self._unfollowed: tuple[tuple[object, ...], frozenset[str]] = ((), frozenset())
        self._table: Ruleset | None = None
        self._changed: Callable[[str], None] = lambda _: None

    def on_owner_changed(self, callback: Callable[[str], None]) -> None:
        """Call back with each owner whose problems change: its status has to be written again."""
        self._changed = callback

    def recall(self, ready: Iterable[str]) -> None:
        """Until the first walk, rely on the process before this one for the owners that it found Ready."""
        self._ready_before = frozenset(ready)

    async def follow(
        self,
        table: Ruleset,
        host: HostView,
        containers: frozenset[IPv6Address] = frozenset(),
        lacking: frozenset[NetworkRules] = frozenset(),
    ) -> None:
        """Follow the flows that our table lets through.

        Args:
            table: our table.
            host: the host's network stack.
            containers: the addresses of running ones.
            lacking: networks without a route that are known to stay so: nothing is to be waited for.

        Raises:
            FirewallUnavailable: no thread can be started.
        """
        found = await find_flow_problems(self._host_filter, table, host, self._mark, containers)
        started, self.containers = containers - self.containers, containers
        before, self.flow_problems, self._table = self.flow_problems, found, table
        known, early = self._followed, without_route(table, host) - lacking
        now = frozenset(each for each in _networks(table) if _is_up(each[2], host)) - early
        self._followed = now | (known & _networks(table))
        routes_differ, self._lacking = self._lacking ^ lacking, lacking
        self.unrouted = frozenset((subnet, bridge) for _, subnet, bridge in lacking)
        self._ready_before = frozenset()
        changed = {owner for owner in before.keys() | found.keys() if before.get(owner) != found.get(owner)}
        changed |= {owner for owner, _, _ in (self._followed - known) | routes_differ}
        for owner, subnet, _ in self._followed if started else ():
            if any(address in IPv6Network(subnet) for address in started):
                changed.add(owner)
        for owner in sorted(changed):
            self._changed(owner)

    @property
    def finds_drops(self) -> bool:
        """Whether the latest walk found flows that are dropped."""
        return any(each.certain for found in self.flow_problems.values() for each in found)

    def problems(self, table: Ruleset) -> Mapping[str, tuple[FlowProblem, ...]]:
        """What the latest walk found.

        That walk may have read an older version of our table. Then the drops by our table are left out for the owners
        that had some.

        Args:
            table: the present version of our table.
        """
        outdated = self._outdated(table)
        if not outdated:
            return self.flow_problems
        return {
            owner: tuple(each for each in found if owner not in outdated or not each.ours)
            for owner, found in self.flow_problems.items()
        }

    def _outdated(self, table: Ruleset) -> frozenset[str]:
        """The owners whose flows an older version of our table dropped, if the latest walk read that version."""
        if table is self._table:
            return frozenset()
        problems = (each for found in self.flow_problems.values() for each in found)
        return frozenset(each.owner for each in problems if each.ours and each.certain)

    def unfollowed(self, table: Ruleset, host: HostView) -> frozenset[str]:
        """Owners with a network whose rules and bridge exist but whose flows have not been followed."""
        inputs = (table, host, self._followed, self._ready_before)
        if any(one is not other for one, other in zip_longest(inputs, self._unfollowed[0])):
            missing = (each for each in _networks(table) - self._followed if _is_up(each[2], host))
            self._unfollowed = inputs, frozenset(owner for owner, _, _ in missing) - self._ready_before
        return self._unfollowed[1] | self._outdated(table)


@memoize_by_identity
def _networks(table: Ruleset) -> frozenset[NetworkRules]:
    found = table.set(NETWORKS)
    return frozenset((e.owner, e.key[0], e.key[1]) for e in found.elements if e.owner) if found else frozenset()


@memoize_by_identity
def bridges_of(table: Ruleset) -> frozenset[str]:
    """The bridges of the networks in our table."""
    return frozenset(bridge for _, _, bridge in _networks(table))


def _is_up(bridge: str, host: HostView) -> bool:
    """Whether the bridge exists and is up. Other findings report a bridge that is not."""
    return bridge in host.interfaces and host.interfaces[bridge].up


def without_route(table: Ruleset, host: HostView) -> frozenset[NetworkRules]:
    """The networks in our table whose bridge was read without its route; see `lacks_route`."""
    return frozenset(each for each in _networks(table) if lacks_route(host, each[2], IPv6Network(each[1])))


async def find_flow_problems(
    host_filter: HostFilter,
    table: Ruleset,
    host: HostView,
    mark: int,
    containers: frozenset[IPv6Address] = frozenset(),
) -> dict[str, tuple[FlowProblem, ...]]:
    """What is in the way of the flows that our table lets through, by owner.

    ``containers`` are the addresses of running ones.
    """
    paths = paths_of(host, containers)
    flows = representative_flows(table, paths)
    found: dict[str, dict[FlowProblem, None]] = {}
    for flow, verdict in zip(flows, await host_filter.follow(flows, paths) if flows else (), strict=True):
        if verdict.passes is not True:
            dropped = verdict.passes is False and not _routed_elsewhere(flow, host)
            shown = verdict if dropped or verdict.doubt else replace(verdict, passes=None, doubt=_ROUTED_ELSEWHERE)
            found.setdefault(flow.owner, {})[_flow_problem(flow, shown, mark)] = None
    return {owner: tuple(each) for owner, each in found.items()}


def _routed_elsewhere(flow: Flow, host: HostView) -> bool:
    """Whether a table that a routing rule names has a route for one of the ends, as those of VPN programs do."""
    tables = {rule.table for rule in host.rules} - {MAIN_TABLE, LOCAL_TABLE}
    return any(
        route.table in tables and (flow.destination in route.destination or flow.source in route.destination)
        for route in host.routes
    )


def addresses_of(containers: Iterable[Container]) -> frozenset[IPv6Address]:
    """The IPv6 addresses of the containers on all networks."""
    return frozenset(end.ipv6 for each in containers for end in each.endpoints if end.ipv6 is not None)


def paths_of(host: HostView, containers: frozenset[IPv6Address]) -> Paths:
    """Where the host sends packets."""
    links = {each.name: Link(each.name, each.index, each.kind) for each in host.interfaces.values()}
    bridges = (each for each in host.interfaces.values() if each.kind == "bridge")
    main = sorted(
        (each for each in host.routes if each.table == MAIN_TABLE and each.interface), key=lambda each: each.metric
    )
    addresses = {
        address.ip: each.name
        for each in host.interfaces.values()
        for address in each.addresses
        if address.ip not in each.tentative
    }
    return Paths(
        links,
        tuple((each.destination, each.interface or "") for each in main),
        {IPv6Address("::1"): _LOOPBACK, **addresses},
        frozenset(each.name for each in bridges if host.bridge_netfilter or each.bridge_netfilter),
        containers,
    )


def _flow_problem(flow: Flow, verdict: FlowVerdict, mark: int) -> FlowProblem:
    if verdict.passes is None:
        where = f"; if they are dropped, {verdict.place} drops them" if verdict.place is not None else ""
        message = f"can't determine whether {flow.purpose} pass, because of {verdict.doubt}{where}"
        return FlowProblem(flow.owner, message, certain=False)
    message = f"{flow.purpose} are dropped by {verdict.place}"
    if verdict.place is None or verdict.packet is None:
        return FlowProblem(flow.owner, message, certain=True)
    what, ours = remedy(verdict.place, verdict.packet, flow, mark), is_ours(verdict.place)
    return FlowProblem(flow.owner, message, certain=True, commands=what.commands, keeping=what.keeping, ours=ours)
