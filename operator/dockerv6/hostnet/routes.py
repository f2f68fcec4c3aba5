"""IPv6 routes and routing policy rules (ip-rule(8)) over rtnetlink. All functions block.

Sources: rtnetlink(7), linux/rtnetlink.h, linux/fib_rules.h; net/core/fib_rules.c (fib_nl_fill_rule).
"""

import errno
import struct
from collections.abc import Iterator
from ipaddress import IPv6Network
from socket import AF_INET6

from dockerv6.hostnet.links import interface_name
from dockerv6.hostnet.model import Route, RouteProtocol, RoutingRule
from dockerv6.lib.netlink import NETLINK_ROUTE, Buffer, Payload, attributes, dump, text

_RTM_GETROUTE = 26

ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst len, src len, tos, table, protocol, scope, type, flags
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, index
_U32 = struct.Struct("=I")

RTA_DST = 1
RTA_OIF = 4
_RTA_PRIORITY = 6
RTA_MULTIPATH = 9
_RTA_TABLE = 15
RT_TABLE_LOCAL = 255
RTN_UNICAST = 1
REJECTING_TYPES = {6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}  # RTN_*, by name in ip-route(8)
_LONGEST_DELEGATION = 64  # longer prefixes are subnets of a pool, or blocked destinations

RTPROT_KERNEL = 2
RTPROT_RA = 9
RTPROT_DHCP = 16
_PROTOCOLS = {
    RTPROT_KERNEL: RouteProtocol.KERNEL,
    3: RouteProtocol.BOOT,
    4: RouteProtocol.STATIC,
    RTPROT_RA: RouteProtocol.RA,
    RTPROT_DHCP: RouteProtocol.DHCP,
}
_LINK_LOCAL = b"\xfe\x80"
_LINK_LOCAL_LENGTH = 10


_Hop = tuple[int | None, Route]
"""A route, with the index of its interface. An interface can be renamed while its index stays."""


class RouteReader:
    """Reads all routes again and again, and decodes only those that the previous reading did not have.

    Of a host with a routing daemon, which has tens of thousands of routes, few differ each time. To apply the kernel's
    notifications to a table would be faster still, but they don't tell all (next hops that are replaced, routes that go
    with a link), and some may be lost. A list has everything.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[bytes, tuple[_Hop, ...]] = {}

    def read(self) -> tuple[Route, ...]:
        """All IPv6 routes that `port.HostNet.routes` lists. Blocks.

        Raises:
            OSError: the kernel's error.
        """
        names: dict[int, str] = {}
        known: dict[bytes, tuple[_Hop, ...]] = {}
        for buffer, start, end in dump_routes():
            raw = buffer[start:end]
            found = self._known.get(raw)
            if found is None or any(_name(index, names) != route.interface for index, route in found):
                found = tuple(_decode_route(buffer, start, end, names))
            known[raw] = found
        self._known = known
        return tuple(route for found in known.values() for _, route in found)


def dump_routes() -> list[Payload]:
    """The RTM_NEWROUTE messages of all IPv6 routes.

    Raises:
        OSError: the kernel's error.
    """
    return dump(NETLINK_ROUTE, _RTM_GETROUTE, ROUTE.pack(AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0))


def _decode_route(buffer: Buffer, start: int, end: int, names: dict[int, str]) -> Iterator[_Hop]:
    """One route for each next hop."""
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
    rejects = REJECTING_TYPES.get(route_type, "")
    if table == RT_TABLE_LOCAL or is_link_local(destination, length):
        return
    if route_type != RTN_UNICAST and not is_rejecting(table, protocol, route_type):
        return
    network = IPv6Network((destination, length))
    for hop in hops or [None]:
        yield (
            hop,
            Route(
                destination=network,
                interface=_name(hop, names),
                protocol=_PROTOCOLS.get(protocol, RouteProtocol.OTHER),
                table=table,
                metric=metric,
                rejects=rejects,
            ),
        )


def _name(index: int | None, names: dict[int, str]) -> str | None:
    return None if index is None else interface_name(index, names)


def is_link_local(destination: bytes, length: int) -> bool:
    """Whether the prefix is within fe80::/10."""
    return length >= _LINK_LOCAL_LENGTH and destination[0] == _LINK_LOCAL[0] and destination[1] & 0xC0 == _LINK_LOCAL[1]


def is_delegation(length: int, table: int, protocol: int, route_type: int) -> bool:
    """Whether a route, by the fields of its rtmsg, rejects packets to a delegated prefix (RFC 7084, WPD-5)."""
    return 0 < length <= _LONGEST_DELEGATION and is_rejecting(table, protocol, route_type)


def is_rejecting(table: int, protocol: int, route_type: int) -> bool:
    """Whether a route, by the fields of its rtmsg, rejects packets.

    Those that the kernel makes itself, such as the one that stands for a missing default route, are left out.
    """
    return route_type in REJECTING_TYPES and protocol != RTPROT_KERNEL and table != RT_TABLE_LOCAL


def next_hops(buffer: Buffer, start: int, end: int) -> Iterator[int]:
    """The interface index of every next hop in an RTA_MULTIPATH."""
    while start + _NEXT_HOP.size <= end:
        length, _, _, index = _NEXT_HOP.unpack_from(buffer, start)
        if length < _NEXT_HOP.size:
            return
        yield index
        start += (length + 3) & ~3


_RTM_GETRULE = 34
_RULE = struct.Struct("=BBBBBxxBI")  # fib_rule_hdr: family, dst len, src len, tos, table, action, flags
_TO_TABLE = 1  # FR_ACT_TO_TBL
_REJECTING = {6: "blackhole", 7: "unreachable", 8: "prohibit"}  # FR_ACT_*
_INVERT = 2  # FIB_RULE_INVERT
_UNSET = 0xFFFFFFFF
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 1, 2, 3, 6, 14, 15
_CONDITIONS = {
    _FRA_SRC: "from",
    _FRA_IIFNAME: "iif",
    10: "fwmark",
    17: "oif",
    19: "l3mdev",
    20: "uidrange",
    22: "ipproto",
    23: "sport",
    24: "dport",
}
"""Attributes that restrict a rule to some packets, with their names in ip-rule(8)."""


def rules() -> tuple[RoutingRule, ...]:
    """The IPv6 rules that choose a table or drop, by priority; none on a kernel without policy routing.

    Raises:
        OSError: the kernel's error.
    """
    try:
        answer = dump(NETLINK_ROUTE, _RTM_GETRULE, _RULE.pack(AF_INET6, 0, 0, 0, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
            return ()
        raise
    found = (decode_rule(buffer, start, end) for buffer, start, end in answer)
    return tuple(sorted((rule for rule in found if rule is not None), key=lambda rule: rule.priority))


def decode_rule(buffer: Buffer, start: int, end: int) -> RoutingRule | None:
    """One message of a dump; None for a rule that does neither (goto, nop)."""
    _, length, source_length, tos, table, action, flags = _RULE.unpack_from(buffer, start)
    conditions = {name for name, given in (("tos", tos), ("not", flags & _INVERT)) if given}
    priority, destination, suppressed, source, interface = 0, None, None, None, ""
    for kind, value, stop in attributes(buffer, start + _RULE.size, end):
        if kind in _CONDITIONS:
            conditions.add(_CONDITIONS[kind])
        if kind == _FRA_DST:
            destination = IPv6Network((bytes(buffer[value:stop]), length))
        elif kind == _FRA_SRC:
            source = IPv6Network((bytes(buffer[value:stop]), source_length))
        elif kind == _FRA_IIFNAME:
            interface = text(buffer, value, stop)
        elif kind == _FRA_PRIORITY:
            (priority,) = _U32.unpack_from(buffer, value)
        elif kind == _FRA_TABLE:
            (table,) = _U32.unpack_from(buffer, value)
        elif kind == _FRA_SUPPRESS_PREFIXLEN:
            (number,) = _U32.unpack_from(buffer, value)
            suppressed = None if number == _UNSET else number
    rejects = _REJECTING.get(action, "")
    if action != _TO_TABLE and not rejects:
        return None
    at = 0 if rejects else table
    return RoutingRule(priority, at, destination, frozenset(conditions), suppressed, rejects, source, interface)
