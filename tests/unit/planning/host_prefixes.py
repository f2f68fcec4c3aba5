"""Prefixes of a host, on eth0 by default."""

from ipaddress import IPv6Interface, IPv6Network

from dockerv6.hostnet.model import HostPrefix, PrefixOrigin, Route, RouteProtocol

DELEGATED = "2001:db8:100::/56"
UPLINKS = (Route(IPv6Network("::/0"), "eth0", RouteProtocol.RA, 254),)


def address(
    text: str, *, preferred: float | None = 1800.0, valid: float | None = 3600.0, interface: str = "eth0"
) -> HostPrefix:
    with_length = IPv6Interface(text)
    return HostPrefix(with_length.network, PrefixOrigin.ADDRESS, interface, preferred, valid, with_length.ip)


def on_link(
    text: str, *, preferred: float | None = 1800.0, valid: float | None = 3600.0, interface: str = "eth0"
) -> HostPrefix:
    return HostPrefix(IPv6Network(text), PrefixOrigin.ROUTE, interface, preferred, valid)


def delegation(text: str = DELEGATED, *, preferred: float | None = None, valid: float | None = None) -> HostPrefix:
    return HostPrefix(IPv6Network(text), PrefixOrigin.DELEGATION, "", preferred, valid, by_dhcp=True)
