"""TODO."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network

from dockerv6.hostnet.model import Route, RouteProtocol
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.planning.inputs import HostView

GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, 2.4, as far as IANA has assigned it


HALF_OF_IT = 4  # bits: VPN programs write 2000::/4 and 3000::/4, to be more specific than the default route


def is_default_route(route: Route) -> bool:
    """Whether the route goes to the Internet: the default route, or what VPN programs write in its place."""
    to = route.destination
    return (
        to.prefixlen <= HALF_OF_IT
        and to.overlaps(GLOBAL_UNICAST)
        and route.interface is not None
        and route.interface != "lo"
    )


@memoize_by_identity
def default_route_interfaces(host: HostView) -> tuple[str, ...]:
    """The interfaces that lead to the Internet, by name."""
    return tuple(sorted({r.interface or "" for r in host.routes if is_default_route(r)}))


@memoize_by_identity
def accepts_ra(host: HostView) -> tuple[str, ...]:
    """The interfaces on which router advertisements are in effect, and stay so while the host forwards; by name."""
    by_route = {r.interface for r in host.routes if r.protocol is RouteProtocol.RA}
    return tuple(
        sorted(
            i.name
            for i in host.interfaces.values()
            if i.master is None and (i.autoconfigured or i.name in by_route) and i.name not in host.accept_ra
        )
    )


def uplink_bridges(host: HostView) -> tuple[str, ...]:
    """Bridges that lead outside: those that a default route goes through (a host whose LAN is on br0)."""
    leading = {r.interface for r in host.routes if r.destination.prefixlen == 0}
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == "bridge" and i.name in leading))


@memoize_by_identity
def guest_bridges(host: HostView) -> tuple[str, ...]:
    """All other bridges: containers or virtual machines live behind them."""
    uplinks = frozenset(uplink_bridges(host))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == "bridge" and i.name not in uplinks))


@memoize_by_identity
def external_interfaces(host: HostView) -> tuple[str, ...]:
    """Interfaces that somebody else may be on the other side of: neither loopback nor of guests."""
    inside = frozenset(("lo", *guest_bridges(host)))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.master is None and i.name not in inside))


@memoize_by_identity
def external_addresses(host: HostView) -> frozenset[IPv6Address]:
    """The host's addresses on its links; those of guests' bridges are in no prefix of others."""
    return frozenset(a.ip for name in external_interfaces(host) for a in host.interfaces[name].addresses)


def host_message(host: HostView, proxying: Iterable[str] = ()) -> str:
    """What HostReady says when all is well. ``proxying``: see `unneeded_sysctls`."""
    parts = (
        ("its way out is", default_route_interfaces(host)),
        ("it hears routers on", accepts_ra(host)),
        ("it answers neighbours on", sorted(proxying)),
    )
    return "; ".join(("the host forwards IPv6", *(f"{what} {', '.join(names)}" for what, names in parts if names)))


HostAddresses = Mapping[IPv6Address, str]
"""Global and unique-local addresses of the host, and why packets for them are not answered; "": they are."""


def host_addresses(host: HostView) -> HostAddresses:
    """Those that the host has now."""
    found: dict[IPv6Address, str] = {}
    for interface in host.interfaces.values():
        for address in (each.ip for each in interface.addresses):
            if address not in interface.tentative:
                found[address] = ""
            elif address in interface.dad_failed:
                why = f"the address failed duplicate address detection: somebody else on {interface.name} has it"
                found.setdefault(address, why)
            else:
                why = f"the address is still tentative (duplicate address detection on {interface.name})"
                found.setdefault(address, why)
    return found
