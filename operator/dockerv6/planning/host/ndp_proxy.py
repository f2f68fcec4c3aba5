"""NDP proxy entries: the host answers neighbour solicitations for containers in an on-link prefix.

Neighbours can't see containers behind a bridge, so the host answers for them (RFC 4861, 7.2.8). The kernel does if it
has a proxy entry and ``proxy_ndp`` and forwarding are on (Linux net/ipv6/ndisc.c, ndisc_recv_ns). An entry is removed
only if no container has its address. While the interface of an address is unknown, because it is down or has lost its
prefix for a moment, its entries stay.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

from dockerv6.api.addressing import LONGEST_SUBNET
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Container
from dockerv6.hostnet.model import BRIDGE, Interface, RouteProtocol
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.host.interfaces import default_route_interfaces, guest_bridges
from dockerv6.planning.host.sysctls import proxy_ndp
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import AddProxyNeighbour, RemoveProxyNeighbour, SetSysctl, Step

ProxyEntry = tuple[str, IPv6Address]
"""An interface, and the address for which the host answers there."""

NO_NEIGHBOURS = frozenset({"dummy", "wireguard", "sit", "ip6tnl", "ipip", "gre", "ip6gre", "vti", "vti6", "xfrm"})
"""Kinds of interfaces (IFLA_INFO_KIND) without neighbour discovery."""

AddressRow = TypeVar("AddressRow", tuple[int, IPv6Address], tuple[int, str, IPv6Address])

_LISTED = 3
"""Addresses that a message lists; the others are counted."""


@dataclass(frozen=True, slots=True)
class _Link:
    """A prefix that is on-link on an interface."""

    prefix: IPv6Network
    interface: Interface
    uplink: bool  # it has a default route

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The longest prefix first, then uplinks, then older interfaces."""
        return -self.prefix.prefixlen, not self.uplink, self.interface.index


class _LinkIndex:
    """The links and entries of one host, indexed for the functions below."""

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

    def interface_for(self, proxied: ProxiedSubnet, prefix: IPv6Network) -> str | None:
        """The interface for the entries of one of the subnet's prefixes; None: it is unknown or unusable now."""
        if proxied.interface is not None:
            return None if _unusable(proxied.interface, self._host) else proxied.interface
        return next((link.interface.name for link in self._links if prefix.subnet_of(link.prefix)), None)

    def same_as(self, prefix: IPv6Network) -> str | None:
        """The interface that has exactly that prefix."""
        return next((link.interface.name for link in self._links if link.prefix == prefix), None)

    def entries(
        self, proxied: ProxiedSubnet, containers: tuple[Container, ...]
    ) -> Iterator[tuple[str | None, IPv6Address]]:
        """The addresses that need entries, with their interface; without those that the host or a neighbour has."""
        addresses = _container_addresses(proxied, containers)
        for prefix in proxied.prefixes:
            interface = self.interface_for(proxied, prefix)
            for address in addresses:
                external = _translated(address, prefix)
                if external not in self.taken:
                    yield interface, external

    @property
    def all_ours(self) -> set[ProxyEntry]:
        """All entries of ours."""
        return {(interface, address) for _, interface, address in self._ours}

    def ours(self, proxied: Iterable[ProxiedSubnet]) -> set[ProxyEntry]:
        """Our entries in the prefixes of these subnets."""
        return {
            (interface, address)
            for each in proxied
            for prefix in (each.subnet, *each.external_prefixes)
            for _, interface, address in _within(prefix, self._ours)
        }


_link_index = memoize_by_identity(_LinkIndex)


def required_entries(
    proxied: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> frozenset[ProxyEntry]:
    """The entries that the running containers need, as far as their interface is known."""
    running = tuple(containers)
    links = _link_index(host)
    return frozenset(
        (name, address) for each in proxied for name, address in links.entries(each, running) if name is not None
    )


def proxying_interfaces(proxied: Iterable[ProxiedSubnet], host: HostView) -> frozenset[str]:
    """The interfaces that need ``proxy_ndp``: those of required entries, and those that have entries of ours."""
    every = tuple(proxied)
    if not every:
        return frozenset()
    links = _link_index(host)
    named = (
        name for each in every for prefix in each.prefixes if (name := links.interface_for(each, prefix)) is not None
    )
    return frozenset((*named, *(interface for interface, _ in links.ours(every))))


def ndp_proxy_steps(
    own: Iterable[ProxiedSubnet],
    all_subnets: Iterable[ProxiedSubnet],
    containers: Iterable[Container] | None,
    host: HostView,
) -> tuple[Step, ...]:
    """Enable ``proxy_ndp``, add the missing entries of a resource, remove its stale ones.

    An entry that another program added serves as well, and is never removed.

    Args:
        own: the resource's subnets.
        all_subnets: those of all resources, including suspended ones: prefixes may contain one another.
        containers: the running containers; None: unknown, so nothing is changed.
        host: the host's stack.
    """
    subnets = tuple(own)
    if not subnets or containers is None:
        return ()
    running = tuple(containers)
    links = _link_index(host)
    required = {entry for each in subnets for entry in links.entries(each, running)}
    missing = [(name, a) for name, a in required if name is not None and (name, a) not in links.present]
    stale = links.ours(subnets) - required
    if stale:
        required |= {entry for each in all_subnets for entry in links.entries(each, running)}
    unplaced = {address for name, address in required if name is None}
    removable = [entry for entry in stale if entry not in required and entry[1] not in unplaced]
    return (
        *_enable_proxy_ndp(subnets, links, host),
        *(AddProxyNeighbour(*entry) for entry in sorted(missing)),
        *(RemoveProxyNeighbour(*entry) for entry in sorted(removable)),
    )


def release_proxy_entries(
    own: Iterable[ProxiedSubnet], others: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> tuple[RemoveProxyNeighbour, ...]:
    """Remove all entries of a deleted resource, except those that the ``others`` need."""
    links = _link_index(host)
    stale = links.ours(own)
    if not stale:
        return ()
    running = tuple(containers)
    needed = {address for each in others for _, address in links.entries(each, running)}
    return tuple(
        RemoveProxyNeighbour(*entry, "no resource asks for it") for entry in sorted(stale) if entry[1] not in needed
    )


def unclaimed_proxy_entries(host: HostView, all_subnets: Iterable[ProxiedSubnet]) -> tuple[RemoveProxyNeighbour, ...]:
    """Remove our entries outside all prefixes: their resource was deleted, or the prefix is no longer used.

    ``all_subnets`` must be complete, including suspended resources. If it is empty, all our entries are removed.
    """
    links = _link_index(host)
    return tuple(
        RemoveProxyNeighbour(*entry, "no resource asks for it")
        for entry in sorted(links.all_ours - links.ours(all_subnets))
    )


def ndp_proxy_findings(
    own: Iterable[ProxiedSubnet], containers: Iterable[Container], host: HostView
) -> tuple[Finding, ...]:
    """Why containers have no entries, or entries without effect. Prefixes that were replaced are not reported."""
    own, running = tuple(own), tuple(containers)
    if not own or not host.interfaces:  # without interfaces, the host has not been observed
        return ()
    links = _link_index(host)
    found: list[Finding] = []
    for each in own:
        found += _no_interface(each, links, host)
    found += _duplicates(own, running, links)
    for each in own:
        found += _whole_link(each, links)
    return tuple(dict.fromkeys(found))


@memoize_by_identity
def on_link_prefixes(host: HostView) -> tuple[IPv6Network, ...]:
    """The prefixes that are on-link on the host's external links."""
    return tuple(sorted({link.prefix for link in _on_link(host)}))


def _on_link(host: HostView) -> Iterator[_Link]:
    """Prefixes of addresses and of kernel routes: a router may advertise one without an address (L=1)."""
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
    assigned = {(a.network, i.name) for i in usable.values() for a in i.addresses}
    for prefix, name in advertised | assigned:
        if name in usable and not prefix.is_link_local and not prefix.is_multicast:
            yield _Link(prefix, usable[name], name in uplinks)


def _unusable(name: str, host: HostView) -> str:
    """Why an interface can't have entries now, with the remedy; "": it can."""
    interface = host.interfaces.get(name)
    if interface is None:
        there = ", ".join(sorted(host.interfaces.keys() - {"lo"})) or "none"
        return f"there is no interface {name} (there are: {there}); create it, or name another one"
    if not interface.up:
        return f"interface {name} is down; run ip link set {shell_quoted(name)} up"
    if interface.master is not None:
        masters = (i.name for i in host.interfaces.values() if i.index == interface.master)
        return f"interface {name} is a port of {next(masters, 'another interface')}; name that one"
    if interface.kind == BRIDGE and name in guest_bridges(host):
        return f"{name} is a bridge without a default route, so only guests are attached to it; name an uplink"
    if name not in host.proxy_ndp:
        return f"interface {name} has no IPv6; check that its disable_ipv6 is 0 and its MTU at least 1280"
    return ""


@memoize_by_identity
def _running(containers: tuple[Container, ...]) -> list[tuple[int, IPv6Address]]:
    """The addresses of all running containers, in ascending order."""
    return sorted((int(end.ipv6), end.ipv6) for c in containers for end in c.endpoints if end.ipv6 is not None)


def _container_addresses(proxied: ProxiedSubnet, containers: tuple[Container, ...]) -> list[IPv6Address]:
    """The addresses of running containers in the subnet."""
    return [address for _, address in _within(proxied.subnet, _running(containers))]


def _within(prefix: IPv6Network, ascending: Sequence[AddressRow]) -> Sequence[AddressRow]:
    """The rows whose address is in the prefix; each row starts with its address as a number."""
    first, after = int(prefix.network_address), int(prefix.broadcast_address) + 1
    return ascending[bisect_left(ascending, (first,)) : bisect_left(ascending, (after,))]


def _translated(address: IPv6Address, prefix: IPv6Network) -> IPv6Address:
    """The address with the prefix exchanged: its last bits stay."""
    return IPv6Address(int(prefix.network_address) | int(address) & int(prefix.hostmask))


def _enable_proxy_ndp(own: Iterable[ProxiedSubnet], links: _LinkIndex, host: HostView) -> Iterator[SetSysctl]:
    """Enable ``proxy_ndp`` before there are entries, even before the first container has an address."""
    names = {
        name for each in own for prefix in each.prefixes if (name := links.interface_for(each, prefix)) is not None
    }
    for name in sorted(names):
        if host.proxy_ndp[name] != "1":
            yield SetSysctl(proxy_ndp(name), "1", host.proxy_ndp[name], f"{name} needs it for NDP proxy entries")


def _no_interface(proxied: ProxiedSubnet, links: _LinkIndex, host: HostView) -> Iterator[Finding]:
    prefix = proxied.prefixes[0]
    if proxied.interface is not None:
        why = _unusable(proxied.interface, host)
        if why:
            yield _finding(Reason.HOST_NOT_READY, f"ndpProxy.interface: {why}")
    elif links.interface_for(proxied, prefix) is None:
        seen = sorted({f"{link.interface.name} ({link.prefix})" for link in _on_link(host)})
        there = f"on-link here: {', '.join(seen)}" if seen else "no interface that is up has an on-link prefix"
        message = (
            f"no interface has a prefix that covers {prefix}, so there are no NDP proxy entries ({there}); name the"
            " neighbours' interface in ndpProxy.interface, or remove ndpProxy if the prefix is routed to this host"
        )
        yield _finding(Reason.NOT_ON_LINK, message)


def _duplicates(
    own: Iterable[ProxiedSubnet], containers: tuple[Container, ...], links: _LinkIndex
) -> Iterator[Finding]:
    """Container addresses that the host or a neighbour has as well."""
    duplicates = []
    for each in own:
        for address in _container_addresses(each, containers):
            external = _translated(address, each.prefixes[0])
            if external in links.taken:
                interface, failed = links.taken[external]
                other = f"used by another host on {interface.name}" if failed else f"the host's own on {interface.name}"
                what = f"{external}" if external == address else f"{external}, which {address} is translated to,"
                duplicates.append(f"{what} is {other}")
    if duplicates:
        more = f" and {len(duplicates) - _LISTED} more" if len(duplicates) > _LISTED else ""
        message = (
            f"no NDP proxy entry for duplicate addresses: {'; '.join(duplicates[:_LISTED])}{more};"
            " give the container another address (docker run --ip6), or remove it from the other host"
        )
        yield _finding(Reason.DUPLICATE_ADDRESS, message)


def _whole_link(proxied: ProxiedSubnet, links: _LinkIndex) -> Iterator[Finding]:
    """The bridge and the uplink have the same prefix: one of the two routes gets all packets."""
    same = None if proxied.external_prefixes else links.same_as(proxied.subnet)
    if same is not None:
        part = min(proxied.subnet.prefixlen + 16, LONGEST_SUBNET)
        message = (
            f"{proxied.subnet} is also the whole prefix of interface {same}: the host reaches either the containers or"
            f" its neighbours on {same}; give the network a part of it, such as a /{part}"
        )
        yield _finding(Reason.PREFIX_CONFLICT, message, unknown=True)


def _finding(reason: Reason, message: str, *, unknown: bool = False) -> Finding:
    return Finding(ConditionType.HOST_READY, reason, message, blocks=False, unknown=unknown)
