"""What the kernel tells of the host's prefixes: its addresses and routes with their lifetimes. All of it blocks.

What it tells, and what it does not (Linux 6.18):

- A route's lifetime comes in 1/100 s, whatever the kernel's HZ. Nothing tells for how long a route is preferred.
- A route whose lifetime is over is listed for up to half a minute more (net.ipv6.route.gc_interval), with a negative
  one, and no longer used.
- An address with a valid lifetime lends it to the on-link route that the kernel makes of it. If such an address is
  removed before its time, the route stays until then; one without a lifetime goes with its address.
- A route to nowhere has none, also if it was made with one ("expires"): the kernel forgets it at once.
- A route made of an address with a peer leads to the prefix of our end, not of the peer's.

Sources: rtnetlink(7), linux/rtnetlink.h; rt6_fill_node in the kernel's net/ipv6/route.c.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6

from dockerv6.hostnet.addresses import ADDRESS, DADFAILED, MULTICAST, TEMPORARY, TENTATIVE, lifetimes, own_address
from dockerv6.hostnet.model import HostPrefix, PrefixOrigin
from dockerv6.hostnet.rtnetlink import (
    PROTOCOL_DHCP,
    PROTOCOL_KERNEL,
    PROTOCOL_RA,
    ROUTE,
    RTA_DST,
    RTA_MULTIPATH,
    RTA_OIF,
    RTM_GETADDR,
    RTM_GETROUTE,
    TABLE_LOCAL,
    UNICAST,
    interface_name,
    is_delegation,
    is_link_local,
)
from dockerv6.lib.netlink import NETLINK_ROUTE, Buffer, dump, pick

_RTA_GATEWAY = 5
_RTA_CACHEINFO = 12
_RTA_VIA = 18
_EXPIRES = struct.Struct("=8xi")  # an rta_cacheinfo up to rta_expires: 1/100 s (USER_HZ), 0 for never
_USER_HZ = 100
_U32 = struct.Struct("=I")

_ON_LINK = frozenset({PROTOCOL_KERNEL, PROTOCOL_RA})
_HOST_LENGTH = 128

_NOT_ON_LINK = frozenset({_RTA_GATEWAY, _RTA_VIA, RTA_MULTIPATH})
"""The kernel joins no routes to links themselves to a multipath one: there is one for each interface."""

_TOLD = _NOT_ON_LINK | {RTA_DST, RTA_OIF, _RTA_CACHEINFO}


def prefixes() -> tuple[HostPrefix, ...]:
    """What tells of the host's prefixes, as `port.HostNet.prefixes` gives it.

    Raises:
        OSError: what the kernel answered instead.
    """
    names: dict[int, str] = {}
    found = {
        *_of_addresses(dump(NETLINK_ROUTE, RTM_GETADDR, ADDRESS.pack(AF_INET6, 0, 0, 0, 0)), names),
        *_of_routes(dump(NETLINK_ROUTE, RTM_GETROUTE, ROUTE.pack(AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)), names),
    }
    return ordered(found)


def ordered(found: set[HostPrefix]) -> tuple[HostPrefix, ...]:
    """By interface and prefix; what tells of the same one by origin, address and lifetimes."""
    return tuple(sorted(found, key=_order))


def _order(prefix: HostPrefix) -> tuple[object, ...]:
    lifetimes = [-1.0 if left is None else left for left in (prefix.preferred, prefix.valid)]
    network = prefix.prefix
    address = 0 if prefix.address is None else int(prefix.address)
    return prefix.interface, int(network.network_address), network.prefixlen, prefix.origin, address, *lifetimes


def _of_addresses(answers: list[tuple[bytes, int, int]], names: dict[int, str]) -> Iterator[HostPrefix]:
    for buffer, start, end in answers:
        own = own_address(buffer, start, end)
        name = None if own is None else interface_name(own.interface, names)
        if own is None or name is None:
            continue
        preferred, valid = lifetimes(buffer, own)
        yield HostPrefix(
            prefix=IPv6Network((own.packed, own.length), strict=False),
            origin=PrefixOrigin.ADDRESS,
            interface=name,
            preferred=preferred,
            valid=valid,
            address=IPv6Address(own.packed),
            temporary=bool(own.flags & TEMPORARY),
            tentative=bool(own.flags & (TENTATIVE | DADFAILED)),
            dad_failed=bool(own.flags & DADFAILED),
        )


def _of_routes(answers: list[tuple[bytes, int, int]], names: dict[int, str]) -> Iterator[HostPrefix]:
    for buffer, start, end in answers:
        # Most routes of a host with many bridges are those of table local: its own addresses, anycast, multicast.
        _, length, _, _, table, protocol, _, route_type, _ = ROUTE.unpack_from(buffer, start)
        if is_delegation(length, table, protocol, route_type):
            told = pick(buffer, start + ROUTE.size, end, _TOLD)
            origin, by_dhcp = PrefixOrigin.DELEGATION, protocol == PROTOCOL_DHCP
            yield from _prefix(buffer, told, length, origin, "", by_dhcp=by_dhcp)
        elif _may_be_on_link(length, table, protocol, route_type):
            told = pick(buffer, start + ROUTE.size, end, _TOLD)
            name = None if RTA_OIF not in told else interface_name(_u32(buffer, told[RTA_OIF]), names)
            if name is not None and _NOT_ON_LINK.isdisjoint(told):
                yield from _prefix(buffer, told, length, PrefixOrigin.ROUTE, name)


def _may_be_on_link(length: int, table: int, protocol: int, route_type: int) -> bool:
    told = 0 < length < _HOST_LENGTH and table != TABLE_LOCAL
    return told and route_type == UNICAST and protocol in _ON_LINK


def _prefix(
    buffer: Buffer,
    told: dict[int, tuple[int, int]],
    length: int,
    origin: PrefixOrigin,
    interface: str,
    *,
    by_dhcp: bool = False,
) -> Iterator[HostPrefix]:
    if RTA_DST not in told:
        return
    destination = bytes(buffer[slice(*told[RTA_DST])])
    if destination[0] == MULTICAST or is_link_local(destination, length):
        return
    ticks = _EXPIRES.unpack_from(buffer, told[_RTA_CACHEINFO][0])[0] if _RTA_CACHEINFO in told else 0
    if ticks >= 0:
        valid = ticks / _USER_HZ if ticks else None
        yield HostPrefix(IPv6Network((destination, length)), origin, interface, valid=valid, by_dhcp=by_dhcp)


def _u32(buffer: Buffer, span: tuple[int, int]) -> int:
    return int(_U32.unpack_from(buffer, span[0])[0])
