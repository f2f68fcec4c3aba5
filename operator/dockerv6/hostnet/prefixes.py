"""The host's prefixes, from its addresses and routes with their lifetimes. `prefixes` blocks.

What the kernel reports (Linux 6.18):

- The lifetime of a route is in 1/100 s, whatever the kernel's HZ. How long a route stays preferred is not reported.
- An expired route is listed for up to 30 s more (net.ipv6.route.gc_interval) with a negative lifetime. It is not used.
- An address with a valid lifetime gives that lifetime to the on-link route that the kernel adds for it. If the address
  is removed earlier, the route stays until then. The route of an address without a lifetime goes with the address.
- A rejecting route has no lifetime, even if it was added with one ("expires").
- The route of an address with a peer leads to the prefix of our end.

Sources: rtnetlink(7), linux/rtnetlink.h; rt6_fill_node in the kernel's net/ipv6/route.c.
"""

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network

from dockerv6.hostnet.addresses import (
    IFA_F_DADFAILED,
    IFA_F_TEMPORARY,
    IFA_F_TENTATIVE,
    MULTICAST,
    decode_address,
    decode_lifetimes,
    dump_addresses,
)
from dockerv6.hostnet.links import interface_name
from dockerv6.hostnet.model import HostPrefix, PrefixOrigin
from dockerv6.hostnet.routes import (
    ROUTE,
    RT_TABLE_LOCAL,
    RTA_DST,
    RTA_MULTIPATH,
    RTA_OIF,
    RTN_UNICAST,
    RTPROT_DHCP,
    RTPROT_KERNEL,
    RTPROT_RA,
    dump_routes,
    is_delegation,
    is_link_local,
)
from dockerv6.lib.netlink import Buffer, Payload, pick

_RTA_GATEWAY = 5
_RTA_CACHEINFO = 12
_RTA_VIA = 18
_EXPIRES = struct.Struct("=8xi")  # an rta_cacheinfo up to rta_expires: 1/100 s (USER_HZ), 0 for never
_USER_HZ = 100
_U32 = struct.Struct("=I")

_ON_LINK_PROTOCOLS = frozenset({RTPROT_KERNEL, RTPROT_RA})
_ADDRESS_LENGTH = 128

_OFF_LINK = frozenset({_RTA_GATEWAY, _RTA_VIA, RTA_MULTIPATH})
"""Attributes that an on-link route does not have. On-link routes are never multipath: each interface has its own."""

_USED = _OFF_LINK | {RTA_DST, RTA_OIF, _RTA_CACHEINFO}


def prefixes() -> tuple[HostPrefix, ...]:
    """See `port.HostNet.prefixes`.

    Raises:
        OSError: the kernel's error.
    """
    names: dict[int, str] = {}
    return sort_prefixes({*_from_addresses(dump_addresses(), names), *_from_routes(dump_routes(), names)})


def sort_prefixes(found: Iterable[HostPrefix]) -> tuple[HostPrefix, ...]:
    """Sort by interface, prefix, origin, address and lifetimes."""
    return tuple(sorted(found, key=_sort_key))


def _sort_key(prefix: HostPrefix) -> tuple[object, ...]:
    lifetimes = [-1.0 if left is None else left for left in (prefix.preferred, prefix.valid)]
    network = prefix.prefix
    address = 0 if prefix.address is None else int(prefix.address)
    return prefix.interface, int(network.network_address), network.prefixlen, prefix.origin, address, *lifetimes


def _from_addresses(messages: Iterable[Payload], names: dict[int, str]) -> Iterator[HostPrefix]:
    for buffer, start, end in messages:
        decoded = decode_address(buffer, start, end)
        name = None if decoded is None else interface_name(decoded.interface, names)
        if decoded is None or name is None:
            continue
        preferred, valid = decode_lifetimes(buffer, decoded)
        yield HostPrefix(
            prefix=IPv6Network((decoded.packed, decoded.length), strict=False),
            origin=PrefixOrigin.ADDRESS,
            interface=name,
            preferred=preferred,
            valid=valid,
            address=IPv6Address(decoded.packed),
            temporary=bool(decoded.flags & IFA_F_TEMPORARY),
            tentative=bool(decoded.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)),
            dad_failed=bool(decoded.flags & IFA_F_DADFAILED),
        )


def _from_routes(messages: Iterable[Payload], names: dict[int, str]) -> Iterator[HostPrefix]:
    for buffer, start, end in messages:
        # Most routes of a host with many bridges are in table local: they are sorted out before attributes are read.
        _, length, _, _, table, protocol, _, route_type, _ = ROUTE.unpack_from(buffer, start)
        if is_delegation(length, table, protocol, route_type):
            found = pick(buffer, start + ROUTE.size, end, _USED)
            by_dhcp = protocol == RTPROT_DHCP
            yield from _prefix(buffer, found, length, PrefixOrigin.DELEGATION, "", by_dhcp=by_dhcp)
        elif _may_be_on_link(length, table, protocol, route_type):
            found = pick(buffer, start + ROUTE.size, end, _USED)
            name = None if RTA_OIF not in found else interface_name(_u32(buffer, found[RTA_OIF]), names)
            if name is not None and _OFF_LINK.isdisjoint(found):
                yield from _prefix(buffer, found, length, PrefixOrigin.ROUTE, name)


def _may_be_on_link(length: int, table: int, protocol: int, route_type: int) -> bool:
    return (
        0 < length < _ADDRESS_LENGTH
        and table != RT_TABLE_LOCAL
        and route_type == RTN_UNICAST
        and protocol in _ON_LINK_PROTOCOLS
    )


def _prefix(
    buffer: Buffer,
    found: dict[int, tuple[int, int]],
    length: int,
    origin: PrefixOrigin,
    interface: str,
    *,
    by_dhcp: bool = False,
) -> Iterator[HostPrefix]:
    if RTA_DST not in found:
        return
    destination = bytes(buffer[slice(*found[RTA_DST])])
    if destination[0] == MULTICAST or is_link_local(destination, length):
        return
    ticks = _EXPIRES.unpack_from(buffer, found[_RTA_CACHEINFO][0])[0] if _RTA_CACHEINFO in found else 0
    if ticks >= 0:
        valid = ticks / _USER_HZ if ticks else None
        yield HostPrefix(IPv6Network((destination, length)), origin, interface, valid=valid, by_dhcp=by_dhcp)


def _u32(buffer: Buffer, span: tuple[int, int]) -> int:
    return int(_U32.unpack_from(buffer, span[0])[0])
