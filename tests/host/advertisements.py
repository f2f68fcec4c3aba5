"""Router advertisements from a raw socket, for a router and a host in one network namespace."""

import asyncio
import contextlib
import socket
import struct
from ipaddress import IPv6Network

from tests.host.network import ip, set_sysctl

_ROUTER_ADVERTISEMENT = 134
_PREFIX_INFORMATION = 3
_ON_LINK_AND_AUTONOMOUS = 0xC0


def add_wan_link() -> None:
    """Connect wan0, which accepts router advertisements, to router0; addresses are usable at once."""
    set_sysctl("net/ipv6/conf/default/accept_dad", "0")
    ip("link", "add", "wan0", "type", "veth", "peer", "name", "router0")
    # both ends are on one host, which by default ignores its own advertisements
    set_sysctl("net/ipv6/conf/wan0/accept_ra_from_local", "1")
    set_sysctl("net/ipv6/conf/router0/accept_ra", "0")
    ip("link", "set", "wan0", "up")
    ip("link", "set", "router0", "up")


def advertise(interface: str, prefix: IPv6Network, *, preferred: int = 1800, valid: int = 3600) -> None:
    """Send one router advertisement (RFC 4861, 4.2 and 4.6.2); lifetimes are seconds.

    Raises:
        OSError: the interface is not ready, for example without a link-local address.
    """
    head = struct.pack("!BBHBBHII", _ROUTER_ADVERTISEMENT, 0, 0, 64, 0, 1800, 0, 0)
    lifetimes = struct.pack("!III", valid, preferred, 0)
    option = struct.pack("!BBBB", _PREFIX_INFORMATION, 4, prefix.prefixlen, _ON_LINK_AND_AUTONOMOUS)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        message = head + option + lifetimes + prefix.network_address.packed
        sender.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))


async def advertise_on(interface: str, prefix: IPv6Network, *, preferred: int = 1800, valid: int = 3600) -> None:
    """Send router advertisements repeatedly, as soon as the link is ready."""
    while True:
        with contextlib.suppress(OSError):
            advertise(interface, prefix, preferred=preferred, valid=valid)
        await asyncio.sleep(0.02)
