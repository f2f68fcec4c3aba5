"""Which interfaces must keep hearing router advertisements once the host forwards. Pure.

The kernel (Documentation/networking/ip-sysctl.rst, ``accept_ra``): 1 accepts advertisements only while forwarding is
off on the interface, 2 accepts them regardless. Turning forwarding on deletes at once what they had installed - default
routes and on-link prefixes - on every interface whose accept_ra is not 2 (net/ipv6/route.c, rt6_purge_dflt_routers),
and nothing renews it. So accept_ra=2 must be there before forwarding=1. Addresses stay until their lifetimes end, so
they still tell an uplink when forwarding was turned on by somebody else before we came.

Where a program in user space handles advertisements (systemd-networkd, NetworkManager), it has set accept_ra to 0, and
forwarding takes nothing from it.
"""

from collections.abc import Iterable, Mapping

from dockerv6.hostnet.model import Interface, Route, RouteProtocol

ACCEPT_UNLESS_FORWARDING = "1"
ACCEPT_ALWAYS = "2"


def advertised(interfaces: Iterable[Interface], routes: Iterable[Route]) -> tuple[str, ...]:
    """Names of the interfaces on which a router is heard, by index: a route from it leads there, or an address is its.

    Loopback has no routes from routers; members of a bridge or bond have none of their own, the bridge has them.
    """
    by_route = {route.interface for route in routes if route.protocol is RouteProtocol.RA}
    return tuple(
        interface.name
        for interface in sorted(interfaces, key=lambda interface: interface.index)
        if interface.master is None and (interface.autoconfigured or interface.name in by_route)
    )


def ra_disabled_by_forwarding(
    interfaces: Iterable[Interface], routes: Iterable[Route], accept_ra: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Names of the interfaces that need accept_ra=2 before (or, too late, after) forwarding is turned on, by index.

    Args:
        interfaces: all of the host's.
        routes: all of the host's.
        accept_ra: the sysctl's value by interface name; at least for what `advertised` gives. None or missing: the
            interface has no IPv6.
    """
    return tuple(name for name in advertised(interfaces, routes) if accept_ra.get(name) == ACCEPT_UNLESS_FORWARDING)
