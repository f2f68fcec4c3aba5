"""What the kernel lists: interfaces, addresses, routes and nf_tables' generation, decoded to values. All of it blocks.

Sources: rtnetlink(7), linux/if_link.h, if_addr.h, rtnetlink.h, netfilter/nf_tables.h.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from socket import AF_INET6, AF_UNSPEC, if_indextoname

from dockerv6.hostnet.addresses import (
    ADDRESS,
    BY_ADVERTISEMENT,
    DADFAILED,
    PERMANENT,
    TENTATIVE,
    own_address,
    tells_proto,
)
from dockerv6.hostnet.linkinfo import NO_LINK_INFO, link_info
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.lib.netlink import (
    NETLINK_ROUTE,
    Buffer,
    attributes,
    dump,
    pick,
    text,
)

_RTM_GETLINK = 18
RTM_GETADDR = 22
RTM_GETROUTE = 26

LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst len, src len, tos, table, protocol, scope, type, flags
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, index
_U32 = struct.Struct("=I")
_BE32 = struct.Struct(">I")

IFF_UP = 0x1
IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_MASTER = 10
IFLA_LINKINFO = 18
_IFLA_EXT_MASK = 29
_LINK_ATTRIBUTES = frozenset({IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, IFLA_LINKINFO})
_RTEXT_FILTER_SKIP_STATS = 1 << 3

RTA_DST = 1
RTA_OIF = 4
_RTA_PRIORITY = 6
RTA_MULTIPATH = 9
_RTA_TABLE = 15
TABLE_LOCAL = 255
UNICAST = 1
_NOWHERE = frozenset({6, 7, 8, 9})  # blackhole, unreachable, prohibit, throw
_LONGEST_DELEGATION = 64  # longer ones are blocks of a pool's addresses, or somebody shut out

PROTOCOL_KERNEL = 2
PROTOCOL_RA = 9
PROTOCOL_DHCP = 16
_PROTOCOLS = {
    PROTOCOL_KERNEL: RouteProtocol.KERNEL,
    3: RouteProtocol.BOOT,
    4: RouteProtocol.STATIC,
    PROTOCOL_RA: RouteProtocol.RA,
    PROTOCOL_DHCP: RouteProtocol.DHCP,
}
_LINK_LOCAL = b"\xfe\x80"
_LINK_LOCAL_LENGTH = 10

NFT_SUBSYSTEM = 10
NFT_NEWGEN = (NFT_SUBSYSTEM << 8) | 15
_NFT_GETGEN = (NFT_SUBSYSTEM << 8) | 16
NFGENMSG_SIZE = 4
NFTA_GEN_ID = 1


def interfaces() -> tuple[Interface, ...]:
    """All interfaces with their IPv6 addresses, by index.

    Raises:
        OSError: what the kernel answered instead.
    """
    # Links first: an address whose interface came later is left out, and its interface with it.
    body = LINK.pack(AF_UNSPEC, 0, 0, 0, 0) + struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    links = dump(NETLINK_ROUTE, _RTM_GETLINK, body)
    addresses = _Addresses()
    for buffer, start, end in dump(NETLINK_ROUTE, RTM_GETADDR, ADDRESS.pack(AF_INET6, 0, 0, 0, 0)):
        addresses.read(buffer, start, end)
    return tuple(
        sorted(
            (_interface(buffer, start, end, addresses) for buffer, start, end in links),
            key=lambda interface: interface.index,
        )
    )


def routes() -> tuple[Route, ...]:
    """All unicast IPv6 routes outside table local, but those to link-local destinations.

    Raises:
        OSError: what the kernel answered instead.
    """
    names: dict[int, str] = {}
    body = ROUTE.pack(AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)
    return tuple(
        route
        for buffer, start, end in dump(NETLINK_ROUTE, RTM_GETROUTE, body)
        for route in _routes(buffer, start, end, names)
    )


def generation(buffer: Buffer, start: int, end: int) -> int | None:
    """The generation that an NFT_MSG_NEWGEN message tells."""
    for kind, value, _ in attributes(buffer, start + NFGENMSG_SIZE, end):
        if kind == NFTA_GEN_ID:
            return int(_BE32.unpack_from(buffer, value)[0])
    return None


def interface_name(index: int, names: dict[int, str]) -> str | None:
    """The name of an interface, from or into the cache; None when it is gone."""
    if index not in names:
        try:
            names[index] = if_indextoname(index)
        except (OSError, OverflowError):
            return None
    return names[index]


class _Addresses:
    """What the addresses tell of their interfaces, by index."""

    def __init__(self) -> None:
        self.own: defaultdict[int, list[IPv6Interface]] = defaultdict(list)
        self.tentative: defaultdict[int, set[IPv6Address]] = defaultdict(set)
        self.failed: defaultdict[int, set[IPv6Address]] = defaultdict(set)
        self._limited: set[int] = set()
        self._advertised: set[int] = set()
        self._proto_told = False

    @property
    def autoconfigured(self) -> set[int]:
        """Interfaces with an address of a router advertisement's.

        DHCPv6 clients give lifetimes to addresses too, also to those of the LAN that a delegated prefix is for. Only a
        kernel that doesn't tell the two apart is taken by its word.
        """
        return self._advertised if self._proto_told else self._limited

    def read(self, buffer: Buffer, start: int, end: int) -> None:
        """Note one address, unless it is of a scope that doesn't matter here."""
        self._proto_told = self._proto_told or tells_proto(buffer, start, end)
        own = own_address(buffer, start, end)
        if own is None:
            return
        address = IPv6Interface((own.packed, own.length))
        self.own[own.interface].append(address)
        if own.flags & (TENTATIVE | DADFAILED):
            self.tentative[own.interface].add(address.ip)
        if own.flags & DADFAILED:
            self.failed[own.interface].add(address.ip)
        if not own.flags & PERMANENT:
            self._limited.add(own.interface)
            if own.proto == BY_ADVERTISEMENT:
                self._advertised.add(own.interface)


def _interface(buffer: bytes, start: int, end: int, addresses: _Addresses) -> Interface:
    _, _, index, flags, _ = LINK.unpack_from(buffer, start)
    found = pick(buffer, start + LINK.size, end, _LINK_ATTRIBUTES)
    info = link_info(buffer, *found[IFLA_LINKINFO]) if IFLA_LINKINFO in found else NO_LINK_INFO
    return Interface(
        index=index,
        name=text(buffer, *found[IFLA_IFNAME]) if IFLA_IFNAME in found else "",
        kind=info.kind,
        up=bool(flags & IFF_UP),
        mtu=_u32(buffer, found[_IFLA_MTU]) if _IFLA_MTU in found else 0,
        master=_u32(buffer, found[_IFLA_MASTER]) if _IFLA_MASTER in found else None,
        addresses=tuple(sorted(addresses.own.get(index, ()))),
        tentative=frozenset(addresses.tentative.get(index, ())),
        dad_failed=frozenset(addresses.failed.get(index, ())),
        bridge_port=info.bridge_port,
        bridge_netfilter=info.bridge_netfilter,
        autoconfigured=index in addresses.autoconfigured,
    )


def _u32(buffer: Buffer, span: tuple[int, int]) -> int:
    return int(_U32.unpack_from(buffer, span[0])[0])


def _routes(buffer: Buffer, start: int, end: int, names: dict[int, str]) -> Iterator[Route]:
    _, length, _, _, table, protocol, _, route_type, _ = ROUTE.unpack_from(buffer, start)
    destination, metric = bytes(16), 0
    hops: list[int | None] = []
    for kind, value, stop in attributes(buffer, start + ROUTE.size, end):
        if kind == RTA_DST:
            destination = bytes(buffer[value:stop])
        elif kind == RTA_OIF:
            hops.append(_U32.unpack_from(buffer, value)[0])
        elif kind == RTA_MULTIPATH:
            hops.extend(next_hops(buffer, value, stop))
        elif kind == _RTA_PRIORITY:
            (metric,) = _U32.unpack_from(buffer, value)
        elif kind == _RTA_TABLE:
            (table,) = _U32.unpack_from(buffer, value)
    if route_type != UNICAST or table == TABLE_LOCAL or is_link_local(destination, length):
        return
    network = IPv6Network((destination, length))
    for hop in hops or [None]:
        yield Route(
            destination=network,
            interface=None if hop is None else interface_name(hop, names),
            protocol=_PROTOCOLS.get(protocol, RouteProtocol.OTHER),
            table=table,
            metric=metric,
        )


def is_link_local(destination: bytes, length: int) -> bool:
    """Whether it is a part of fe80::/10."""
    return length >= _LINK_LOCAL_LENGTH and destination[0] == _LINK_LOCAL[0] and destination[1] & 0xC0 == _LINK_LOCAL[1]


def is_delegation(length: int, table: int, protocol: int, route_type: int) -> bool:
    """Whether a route, by the fields of its rtmsg, leads to nowhere as that of a delegated prefix does.

    The kernel makes some itself, such as of a default route that it has not.
    """
    meant = 0 < length <= _LONGEST_DELEGATION and protocol != PROTOCOL_KERNEL
    return meant and route_type in _NOWHERE and table != TABLE_LOCAL


def next_hops(buffer: Buffer, start: int, end: int) -> Iterator[int]:
    """Interface indices of the next hops in an RTA_MULTIPATH."""
    while start + _NEXT_HOP.size <= end:
        length, _, _, index = _NEXT_HOP.unpack_from(buffer, start)
        if length < _NEXT_HOP.size:
            return
        yield index
        start += (length + 3) & ~3
