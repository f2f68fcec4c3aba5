"""Whom the host answers neighbour solicitations for, in place of containers that no neighbour can see.

A container's address in a prefix that is on-link reaches it only if somebody on the link says "here" (RFC 4861, 7.2.8;
Linux net/ipv6/ndisc.c, ndisc_recv_ns: an entry of the proxy table, ``proxy_ndp`` and forwarding). What is taken away is
only what nothing has any more: while it can't be told where an address belongs (its interface is down, or lost its
prefix for a moment), its entries stay where they are.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Container
from dockerv6.hostnet.model import Interface, RouteProtocol
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.host.interfaces import default_route_interfaces, guest_bridges
from dockerv6.planning.host.sysctls import proxy_ndp
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import AddProxyNeighbour, RemoveProxyNeighbour, SetSysctl, Step

ProxyEntry = tuple[str, IPv6Address]
"""An interface, and an address that is answered for on it."""

NO_NEIGHBOURS = frozenset({"dummy", "wireguard", "sit", "ip6tnl", "ipip", "gre", "ip6gre", "vti", "vti6", "xfrm"})
"""Kinds of interfaces (IFLA_INFO_KIND) that no neighbour solicits on, whatever prefix they hold."""

Row = TypeVar("Row", tuple[int, IPv6Address], tuple[int, str, IPv6Address])

LONGEST_SUBNET = 126  # bits; beyond there is no room for a gateway and a container
_MENTIONED = 3  # addresses that a message names before it only counts


@dataclass(frozen=True, slots=True)
class _Link:
    """A prefix that neighbours on an interface take to be on-link."""

    prefix: IPv6Network
    interface: Interface
    uplink: bool  # a default route goes through it

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The longest prefix first, then uplinks, then the older interface."""
        return -self.prefix.prefixlen, not self.uplink, self.interface.index


class _Places:
    """Where addresses belong on one host, and what is there."""

    __slots__ = ("_host", "_links", "_ours", "present", "taken")

    def __init__(self, host: HostView) -> None:
        self._host = host
        self._links = sorted(_on_link(host), key=lambda link: link.rank)
        self._ours = sorted((int(p.address), p.interface, p.address) for p in host.proxies if p.ours)
        self.present = frozenset((p.interface, p.address) for p in host.proxies)
        self.taken = {
            address.ip: (interface, address.ip in interface.dad_failed)
            for interface in host.interfaces.values()
            for address in interface.addresses
        }

    def of(self, answers: ProxiedSubnet, prefix: IPv6Network) -> str | None:
        """The interface to answer on for one of the answers' prefixes; None: it can't be told, or not used now."""
        if answers.interface is not None:
            return None if _unusable(answers.interface, self._host) else answers.interface
        return next((link.interface.name for link in self._links if prefix.subnet_of(link.prefix)), None)

    def same_as(self, prefix: IPv6Network) -> str | None:
        """The interface that holds that very prefix."""
        return next((link.interface.name for link in self._links if link.prefix == prefix), None)

    def spots(
        self, answers: ProxiedSubnet, containers: tuple[Container, ...]
    ) -> Iterator[tuple[str | None, IPv6Address]]:
        """Every address to answer for, and where; not those that the host, or somebody else on the link, has."""
        held = _held(answers, containers)
        for prefix in answers.prefixes:
            where = self.of(answers, prefix)
            for address in held:
                external = _translated(address, prefix)
                if external not in self.taken:
                    yield where, external

    @property
    def all_ours(self) -> set[ProxyEntry]:
        """Every entry of ours."""
        return {(interface, address) for _, interface, address in self._ours}

    def ours(self, answers: Iterable[ProxiedSubnet]) -> set[ProxyEntry]:
        """Entries of ours that can only be there because of these."""
        return {
            (interface, address)
            for each in answers
            for prefix in (each.subnet, *each.external_prefixes)
            for _, interface, address in _within(prefix, self._ours)
        }


_places = memoize_by_identity(_Places)


def required_entries(
    answers: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> frozenset[ProxyEntry]:
    """The entries that the running containers need, so far as it can be told where."""
    there = tuple(containers)
    places = _places(host)
    return frozenset(
        (where, address) for each in answers for where, address in places.spots(each, there) if where is not None
    )


def proxying_interfaces(answers: Iterable[ProxiedSubnet], host: HostView) -> frozenset[str]:
    """The interfaces whose ``proxy_ndp`` is needed: those to answer on, and those that still have entries of ours."""
    every = tuple(answers)
    if not every:
        return frozenset()
    places = _places(host)
    named = (where for each in every for prefix in each.prefixes if (where := places.of(each, prefix)) is not None)
    return frozenset((*named, *(interface for interface, _ in places.ours(every))))


def ndp_proxy_steps(
    mine: Iterable[ProxiedSubnet],
    everybody: Iterable[ProxiedSubnet],
    containers: Iterable[Container] | None,
    host: HostView,
) -> tuple[Step, ...]:
    """What a resource's answers need now; empty when in order.

    Args:
        mine: the resource's own.
        everybody: those of all resources, the suspended ones included: prefixes may lie within one another.
        containers: all that run; None: nobody knows, so nothing is changed.
        host: the host's stack.

    An entry of somebody else's serves as well as ours, and is never removed.
    """
    own = tuple(mine)
    if not own or containers is None:
        return ()
    there = tuple(containers)
    places = _places(host)
    asked = {spot for each in own for spot in places.spots(each, there)}
    missing = [(where, a) for where, a in asked if where is not None and (where, a) not in places.present]
    stale = places.ours(own) - asked
    if stale:
        asked |= {spot for each in everybody for spot in places.spots(each, there)}
    unplaced = {address for where, address in asked if where is None}
    gone = [spot for spot in stale if spot not in asked and spot[1] not in unplaced]
    return (
        *_switches(own, places, host),
        *(AddProxyNeighbour(*spot) for spot in sorted(missing)),
        *(RemoveProxyNeighbour(*spot) for spot in sorted(gone)),
    )


def release_proxy_entries(
    mine: Iterable[ProxiedSubnet], others: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> tuple[RemoveProxyNeighbour, ...]:
    """The end of a resource's answers: all of its entries but those that others need. ``others`` are without it."""
    places = _places(host)
    stale = places.ours(mine)
    if not stale:
        return ()
    there = tuple(containers)
    needed = {address for each in others for _, address in places.spots(each, there)}
    return tuple(
        RemoveProxyNeighbour(*spot, "nothing asks to answer for it any more")
        for spot in sorted(stale)
        if spot[1] not in needed
    )


def unclaimed_proxy_entries(host: HostView, everybody: Iterable[ProxiedSubnet]) -> tuple[RemoveProxyNeighbour, ...]:
    """Entries of ours that lie in nobody's prefix: their resource is gone, or the prefix is no longer in use.

    ``everybody`` must be complete, suspended resources included; without any, all that is ours goes (uninstall).
    """
    places = _places(host)
    return tuple(
        RemoveProxyNeighbour(*spot, "nothing asks to answer for it any more")
        for spot in sorted(places.all_ours - places.ours(everybody))
    )


def ndp_proxy_findings(
    mine: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> tuple[Finding, ...]:
    """Why containers are not answered for, or to no good. Nothing is said of prefixes that were replaced."""
    own, there = tuple(mine), tuple(containers)
    if not own or not host.interfaces:  # without a single one, nothing is known of the host
        return ()
    places = _places(host)
    found: list[Finding] = []
    for each in own:
        found += _nowhere(each, places, host)
    found += _duplicates(own, there, places)
    for each in own:
        found += _whole_link(each, places)
    return tuple(dict.fromkeys(found))


@memoize_by_identity
def on_link_prefixes(host: HostView) -> tuple[IPv6Network, ...]:
    """The prefixes that neighbours on the host's links take to be on-link."""
    return tuple(sorted({link.prefix for link in _on_link(host)}))


def _on_link(host: HostView) -> Iterator[_Link]:
    """Prefixes of addresses, and of the kernel's own routes: a router may advertise one that has no address (L=1)."""
    guests = frozenset(guest_bridges(host))
    uplinks = default_route_interfaces(host)
    usable = {
        i.name: i
        for i in host.interfaces.values()
        if i.name != "lo"
        and i.name not in guests
        and i.kind not in NO_NEIGHBOURS
        and i.master is None
        and not _unusable(i.name, host)
    }
    advertised = {
        (r.destination, r.interface)
        for r in host.routes
        if r.protocol is RouteProtocol.KERNEL and r.destination.prefixlen
    }
    held = {(a.network, i.name) for i in usable.values() for a in i.addresses}
    for prefix, name in advertised | held:
        if name in usable and not prefix.is_link_local and not prefix.is_multicast:
            yield _Link(prefix, usable[name], name in uplinks)


def _unusable(name: str, host: HostView) -> str:
    """Why nobody can be answered on an interface now, with a remedy; "": they can."""
    interface = host.interfaces.get(name)
    if interface is None:
        there = ", ".join(sorted(host.interfaces.keys() - {"lo"})) or "none"
        return f"there is no interface {name} (there are: {there}); it is taken up when it appears, or name another one"
    if not interface.up:
        return f"interface {name} is down: ip link set {name} up"
    if interface.master is not None:
        masters = (i.name for i in host.interfaces.values() if i.index == interface.master)
        return f"interface {name} is a port of {next(masters, 'another one')}: name that one"
    if interface.kind == "bridge" and name in guest_bridges(host):
        return f"{name} is a bridge with guests behind it, since no default route goes through it: name an uplink"
    if name not in host.proxy_ndp:
        return f"interface {name} has no IPv6: see its disable_ipv6, and whether its MTU is at least 1280"
    return ""


@memoize_by_identity
def _running(containers: tuple[Container, ...]) -> list[tuple[int, IPv6Address]]:
    """All that runs, by address."""
    return sorted((int(end.ipv6), end.ipv6) for c in containers for end in c.endpoints if end.ipv6 is not None)


def _held(answers: ProxiedSubnet, containers: tuple[Container, ...]) -> list[IPv6Address]:
    """The containers' own addresses in the subnet."""
    return [address for _, address in _within(answers.subnet, _running(containers))]


def _within(prefix: IPv6Network, ascending: Sequence[Row]) -> Sequence[Row]:
    """The rows whose address, which each begins with as a number, is in the prefix."""
    first, after = int(prefix.network_address), int(prefix.broadcast_address) + 1
    return ascending[bisect_left(ascending, (first,)) : bisect_left(ascending, (after,))]


def _translated(address: IPv6Address, prefix: IPv6Network) -> IPv6Address:
    """The address under that prefix: its last bits stay."""
    return IPv6Address(int(prefix.network_address) | int(address) & int(prefix.hostmask))


def _switches(own: Iterable[ProxiedSubnet], places: _Places, host: HostView) -> Iterator[SetSysctl]:
    """The interfaces' ``proxy_ndp``, before there are entries; also before the first container has an address."""
    names = {where for each in own for prefix in each.prefixes if (where := places.of(each, prefix)) is not None}
    for name in sorted(names):
        if host.proxy_ndp[name] != "1":
            yield SetSysctl(proxy_ndp(name), "1", host.proxy_ndp[name], f"containers are answered for on {name}")


def _nowhere(answers: ProxiedSubnet, places: _Places, host: HostView) -> Iterator[Finding]:
    prefix = answers.prefixes[0]
    if answers.interface is not None:
        why = _unusable(answers.interface, host)
        if why:
            yield _finding(Reason.HOST_NOT_READY, f"ndpProxy.interface: {why}")
    elif places.of(answers, prefix) is None:
        seen = sorted({f"{link.interface.name} ({link.prefix})" for link in _on_link(host)})
        there = f"on-link here: {', '.join(seen)}" if seen else "no interface that is up has an on-link prefix"
        message = (
            f"no interface holds a prefix that covers {prefix}, so nobody is answered for ({there}); name the one where"
            " neighbours ask in ndpProxy.interface, or remove ndpProxy if the prefix is routed to this host"
        )
        yield _finding(Reason.NOT_ON_LINK, message)


def _duplicates(own: Iterable[ProxiedSubnet], containers: tuple[Container, ...], places: _Places) -> Iterator[Finding]:
    """Addresses of containers that the host has too, or that it could not get because somebody else has them."""
    said = []
    for each in own:
        for address in _held(each, containers):
            external = _translated(address, each.prefixes[0])
            if external in places.taken:
                interface, failed = places.taken[external]
                other = f"somebody else's on {interface.name}" if failed else f"the host's own on {interface.name}"
                what = f"{external}" if external == address else f"{external}, which {address} is translated to,"
                said.append(f"{what} is {other}")
    if said:
        more = f" and {len(said) - _MENTIONED} more" if len(said) > _MENTIONED else ""
        message = (
            f"not answered for, since two would answer: {'; '.join(said[:_MENTIONED])}{more};"
            " give the container another address (docker run --ip6), or take it from the other one"
        )
        yield _finding(Reason.DUPLICATE_ADDRESS, message)


def _whole_link(answers: ProxiedSubnet, places: _Places) -> Iterator[Finding]:
    """The bridge and the uplink with one and the same prefix: one of the two routes gets all packets."""
    same = None if answers.external_prefixes else places.same_as(answers.subnet)
    if same is not None:
        part = min(answers.subnet.prefixlen + 16, LONGEST_SUBNET)
        message = (
            f"{answers.subnet} is the whole prefix of interface {same} too: the host reaches either the containers or"
            f" its neighbours on {same}; give the network a part of it, such as a /{part}"
        )
        yield _finding(Reason.PREFIX_CONFLICT, message, unknown=True)


def _finding(reason: Reason, message: str, *, unknown: bool = False) -> Finding:
    return Finding(ConditionType.HOST_READY, reason, message, blocks=False, unknown=unknown)
