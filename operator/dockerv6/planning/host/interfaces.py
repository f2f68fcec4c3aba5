"""The roles of the host's interfaces: default route, uplink, guest bridge, a bridge's ports; and its own addresses."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network

from dockerv6.hostnet.model import BRIDGE, Interface, Route, RouteProtocol
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.planning.inputs import HostView

GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, 2.4, as far as IANA has assigned it

_VETH = "veth"

LONGEST_DEFAULT = 4
"""Bits. VPN programs add routes to 2000::/4 and 3000::/4, which are more specific than the default route."""

HostAddresses = Mapping[IPv6Address, str]
"""The host's global and unique local addresses, each with the reason why it can't be used; "": it can."""


def is_default_route(route: Route) -> bool:
    """Whether the route leads to the internet: the default route, or what VPN programs add in its place."""
    to = route.destination
    return (
        to.prefixlen <= LONGEST_DEFAULT
        and to.overlaps(GLOBAL_UNICAST)
        and route.interface is not None
        and route.interface != "lo"
    )


@memoize_by_identity
def default_route_interfaces(host: HostView) -> tuple[str, ...]:
    """The interfaces of the default routes, by name."""
    return tuple(sorted({r.interface or "" for r in host.routes if is_default_route(r)}))


@memoize_by_identity
def accepts_ra(host: HostView) -> tuple[str, ...]:
    """The interfaces on which router advertisements are in use, and stay in use while the host forwards; by name."""
    by_route = {r.interface for r in host.routes if r.protocol is RouteProtocol.RA}
    return tuple(
        sorted(
            i.name
            for i in host.interfaces.values()
            if i.master is None and (i.autoconfigured or i.name in by_route) and i.name not in host.accept_ra
        )
    )


@memoize_by_identity
def other_ports(host: HostView) -> Mapping[str, tuple[str, ...]]:
    """The ports that are no container's, by bridge; bridges without any are left out."""
    by_index = {each.index: each for each in host.interfaces.values()}
    found: dict[str, list[str]] = {}
    for port in host.interfaces.values():
        bridge = by_index.get(port.master) if port.master is not None else None
        if bridge is not None and bridge.kind == BRIDGE and not _is_containers(port, by_index):
            found.setdefault(bridge.name, []).append(port.name)
    return {bridge: tuple(sorted(ports)) for bridge, ports in found.items()}


def _is_containers(port: Interface, by_index: Mapping[int, Interface]) -> bool:
    if port.kind != _VETH:
        return False
    # while an engine starts a container, both ends are here for a moment, and the other one is no port
    other_end = by_index.get(port.link) if port.link is not None else None
    return other_end is None or other_end.master in (None, port.master)


@memoize_by_identity
def advertised_bridges(host: HostView) -> frozenset[str]:
    """The bridges that have a default route of a router advertisement."""
    by_ra = {r.interface for r in host.routes if r.protocol is RouteProtocol.RA and is_default_route(r)}
    return frozenset(i.name for i in host.interfaces.values() if i.kind == BRIDGE and i.name in by_ra)


def uplink_bridges(host: HostView) -> tuple[str, ...]:
    """The bridges that have a default route, such as br0 of a host whose LAN is bridged.

    Containers can send router advertisements too. On the bridge of a Docker network, a route of one counts only where
    something else is attached. The ports of other bridges prove nothing: in a host that is a container, the uplink is a
    veth.
    """
    only_containers = host.container_bridges - other_ports(host).keys()
    uplinks = {
        route.interface
        for route in host.routes
        if is_default_route(route)
        and (route.protocol is not RouteProtocol.RA or route.interface not in only_containers)
    }
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == BRIDGE and i.name in uplinks))


@memoize_by_identity
def guest_bridges(host: HostView) -> tuple[str, ...]:
    """All other bridges: containers or virtual machines are attached to them."""
    uplinks = frozenset(uplink_bridges(host))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == BRIDGE and i.name not in uplinks))


@memoize_by_identity
def external_interfaces(host: HostView) -> tuple[str, ...]:
    """The interfaces that connect the host to others: neither loopback, guest bridges nor bridge ports."""
    internal = frozenset(("lo", *guest_bridges(host)))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.master is None and i.name not in internal))


@memoize_by_identity
def external_addresses(host: HostView) -> frozenset[IPv6Address]:
    """The host's addresses on its external interfaces."""
    return frozenset(a.ip for name in external_interfaces(host) for a in host.interfaces[name].addresses)


def host_addresses(host: HostView) -> HostAddresses:
    """The addresses that the host has now. One that is usable on any interface is usable."""
    found: dict[IPv6Address, str] = {}
    for interface in host.interfaces.values():
        for address in (each.ip for each in interface.addresses):
            if address not in interface.tentative:
                found[address] = ""
            elif address in interface.dad_failed:
                why = f"it failed duplicate address detection: another host on {interface.name} has it"
                found.setdefault(address, why)
            else:
                why = f"it is still tentative (duplicate address detection on {interface.name})"
                found.setdefault(address, why)
    return found


def host_message(host: HostView, proxying: Iterable[str] = ()) -> str:
    """The message of HostReady when it is True.

    Args:
        host: the host's stack.
        proxying: the interfaces with NDP proxy entries.
    """
    facts = (
        ("default route through", default_route_interfaces(host)),
        ("router advertisements accepted on", accepts_ra(host)),
        ("NDP proxy on", sorted(proxying)),
    )
    return "; ".join(("the host forwards IPv6", *(f"{what} {', '.join(names)}" for what, names in facts if names)))
