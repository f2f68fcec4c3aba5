"""What nftables' expressions read of a packet into a register. Pure.

A reader gives the value, `None` where the kernel breaks off the rule (NFT_BREAK: the packet has no such thing), or an
unknown value. Numbers of keys are those of linux/netfilter/nf_tables.h.
"""

import struct
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address

from dockerv6.firewall.nftables.foreign import NftExpression
from dockerv6.firewall.walk.bits import Bits, exact, unknown
from dockerv6.firewall.walk.chains import Surroundings
from dockerv6.firewall.walk.packet import (
    INVALID,
    TCP,
    UDP,
    UNTRACKED,
    Link,
    Packet,
    Tracking,
)

ADDRESSES = frozenset({"ip6 saddr", "ip6 daddr"})
"""Texts of what is loaded."""

_HOST = struct.Struct("=I")
_NAME_SIZE = 16
_IPV6 = 10
_ETHERTYPE = b"\x86\xdd"
_LARGEST = 64
_PORT_PROTOCOLS = frozenset({TCP, UDP, 132, 136})
_HEADERS = {1: "network", 2: "transport"}  # NFT_PAYLOAD_*

META = {
    0: "length",
    2: "priority",
    3: "mark",
    4: "iif",
    5: "oif",
    6: "iifname",
    7: "oifname",
    8: "iiftype",
    9: "oiftype",
    10: "skuid",
    11: "skgid",
    13: "rtclassid",
    14: "secmark",
    15: "nfproto",
    16: "l4proto",
    19: "pkttype",
    20: "cpu",
    21: "iifgroup",
    22: "oifgroup",
    23: "cgroup",
    24: "random",
    25: "ipsec",
    26: "iifkind",
    27: "oifkind",
    1: "protocol",
    30: "time",
    31: "day",
    32: "hour",
    33: "sdif",
    34: "sdifname",
}
CT = {
    0: "state",
    1: "direction",
    2: "status",
    3: "mark",
    5: "expiration",
    6: "helper",
    7: "l3proto",
    8: "saddr",
    9: "daddr",
    10: "protocol",
    11: "proto-src",
    12: "proto-dst",
    13: "label",
    14: "packets",
    15: "bytes",
    16: "avgpkt",
    17: "zone",
    21: "ip6 saddr",
    22: "ip6 daddr",
    23: "id",
}
META_MARK = CT_MARK = 3
_META_SIZES = {1: 2, 6: 16, 7: 16, 8: 2, 9: 2, 15: 1, 16: 1, 19: 1, 25: 1, 26: 16, 27: 16, 30: 8, 31: 1, 34: 16}
_CT_SIZES = {1: 1, 6: 16, 7: 1, 8: 16, 9: 16, 10: 1, 11: 2, 12: 2, 13: 16, 14: 8, 15: 8, 16: 8, 17: 2, 21: 16, 22: 16}
_SOCKET_KEYS = frozenset({10, 11, 13, 23})
_LOOPBACK = "lo"
_LOOPBACK_TYPE = 772  # ARPHRD_LOOPBACK


def number(value: int) -> Bits:
    """A number of 32 bits as the kernel has it in a register: in host byte order."""
    return exact(_HOST.pack(value))


def name(text: str) -> Bits:
    """A name in a register."""
    return exact(text.encode(errors="surrogateescape")[:_NAME_SIZE].ljust(_NAME_SIZE, b"\0"))


def meta(key: int, packet: Packet, around: Surroundings) -> Bits | None:
    """`meta`; key is NFT_META_*."""
    found = _META.get(key)
    if found is not None:
        return found(packet)
    if key in _SOCKET_KEYS and packet.iif is not None and around.hook in {"forward", "postrouting"}:
        return None  # a forwarded packet has no socket
    return unknown(_META_SIZES.get(key, _HOST.size))


def _index(link: Link | None) -> Bits:
    return number(link.index if link is not None else 0)


def _link_name(link: Link | None) -> Bits:
    return name(link.name if link is not None else "")


def _kind(link: Link | None) -> Bits | None:
    return name(link.kind) if link is not None and link.kind else None


def _type(link: Link | None) -> Bits | None:
    if link is None:
        return None
    return exact(struct.pack("=H", _LOOPBACK_TYPE)) if link.name == _LOOPBACK else unknown(2)


def _of_link(link: Link | None, size: int) -> Bits | None:
    return None if link is None else unknown(size)


_META: Mapping[int, Callable[[Packet], Bits | None]] = {
    1: lambda _: exact(_ETHERTYPE),
    3: lambda packet: packet.mark,
    4: lambda packet: _index(packet.iif),
    5: lambda packet: _index(packet.oif),
    6: lambda packet: _link_name(packet.iif),
    7: lambda packet: _link_name(packet.oif),
    8: lambda packet: _type(packet.iif),
    9: lambda packet: _type(packet.oif),
    15: lambda _: exact(bytes((_IPV6,))),
    16: lambda packet: exact(bytes((packet.protocol,))),
    21: lambda packet: _of_link(packet.iif, 4),
    22: lambda packet: _of_link(packet.oif, 4),
    26: lambda packet: _kind(packet.iif),
    27: lambda packet: _kind(packet.oif),
}


def conntrack(key: int, direction: int | None, packet: Packet) -> Bits | None:
    """`ct`; key is NFT_CT_*, `direction` that of a tuple: 0 the original one, 1 the reply's; None: the packet's own."""
    if key == 0:
        states = {Tracking.BEFORE: INVALID, Tracking.UNTRACKED: UNTRACKED, Tracking.TRACKED: packet.state}
        return number(states[packet.tracking])
    if packet.tracking is not Tracking.TRACKED:
        return None
    answered = packet.reply if direction is None else bool(direction)
    ends = packet.replied if answered else packet.original
    found: dict[int, Bits] = {
        1: exact(bytes((packet.reply,))),
        2: packet.status,
        3: packet.ct_mark,
        7: exact(bytes((_IPV6,))),
        8: ends.source,
        9: ends.destination,
        10: exact(bytes((packet.protocol,))),
        11: ends.sport,
        12: ends.dport,
        21: ends.source,
        22: ends.destination,
    }
    return found.get(key) or unknown(_CT_SIZES.get(key, _HOST.size))


def payload(expression: NftExpression, packet: Packet) -> Bits | None:
    """`payload`: a part of a header."""
    base, offset, size = expression.number(2), expression.number(3), min(expression.number(4), _LARGEST)
    match _HEADERS.get(base):
        case "network":
            return packet.network.part(offset, size)
        case "transport":
            return packet.transport.part(offset, size)
        case _:
            return unknown(size)


def payload_text(expression: NftExpression, packet: Packet) -> str:
    """A part of a header, as people call it."""
    base, offset = expression.number(2), expression.number(3)
    known = {(1, 8): "ip6 saddr", (1, 24): "ip6 daddr", (1, 6): "ip6 nexthdr", (1, 7): "ip6 hoplimit"}
    if packet.protocol in _PORT_PROTOCOLS:
        known |= {(2, 0): "th sport", (2, 2): "th dport"}
    return known.get((base, offset), f"@{_HEADERS.get(base, 'll')} header at byte {offset}")


_FIB_OIF, _FIB_OIFNAME, _FIB_TYPE = 1, 2, 3
_FIB_SOURCE, _FIB_IIF, _FIB_OUT, _FIB_PRESENT = 0x1, 0x8, 0x10, 0x20
_UNICAST, _LOCAL, _MULTICAST = 1, 2, 5  # RTN_*


def fib(expression: NftExpression, packet: Packet, around: Surroundings) -> Bits:
    """`fib`: what the routes say of an address."""
    result, flags = expression.number(2), expression.number(3)
    address = packet.source if flags & _FIB_SOURCE else packet.destination
    if result == _FIB_TYPE:
        return _address_type(address, around, restricted=bool(flags & (_FIB_IIF | _FIB_OUT)))
    size = 1 if flags & _FIB_PRESENT else _NAME_SIZE if result == _FIB_OIFNAME else _HOST.size
    leads = around.paths.routes_to(address)
    link = packet.iif if flags & _FIB_IIF else packet.oif if flags & _FIB_OUT else None
    if link is not None:
        out = link if link.name in leads else None
    else:
        out = around.paths.links.get(leads[0]) if leads else None
    if out is None:
        return unknown(size)  # by the main table there is no such route, but rules may choose others
    if flags & _FIB_PRESENT:
        return exact(b"\1")
    return _link_name(out) if result == _FIB_OIFNAME else _index(out)


def _address_type(address: Bits, around: Surroundings, *, restricted: bool) -> Bits:
    local = around.paths.is_local(address)
    if local is None or (restricted and local) or not address.exact:
        return unknown(_HOST.size)
    if local:
        return number(_LOCAL)
    return number(_MULTICAST if IPv6Address(address.data).is_multicast else _UNICAST)


_TCP_OPTION, _EXTENSION_HEADER = 1, 0  # NFT_EXTHDR_OP_*
_EXISTS = 1  # NFT_EXTHDR_F_PRESENT


def extension_header(expression: NftExpression, packet: Packet) -> Bits | None:
    """`exthdr`: our packets have no IPv6 extension header; TCP options are unknown."""
    operation = expression.number(6)
    absent = operation == _EXTENSION_HEADER or (operation == _TCP_OPTION and packet.protocol != TCP)
    if absent:
        return exact(b"\0") if expression.number(5) & _EXISTS else None
    return unknown(min(expression.number(4), _LARGEST) or 1)


def to_network_order(value: Bits, size: int) -> Bits:
    """With the bytes of each number in the other order, on a machine where that differs from the network's."""
    return value.swapped(size) if sys.byteorder == "little" and size > 1 else value
