"""The kernel's table of flows, of which some are dropped when their translation is out of date. All of it blocks.

Sources: linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c.
"""

import errno
import struct
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6, IPPROTO_UDP

from dockerv6.lib.netlink import (
    ATTRIBUTE_HEADER_SIZE,
    NESTED,
    NETLINK_NETFILTER,
    NO_SUBSYSTEM,
    attribute,
    command_each,
    find,
    pick,
    stream,
)

_CTNETLINK = 1
_GET = (_CTNETLINK << 8) | 1
_DELETE = (_CTNETLINK << 8) | 2
_NFGENMSG = bytes((AF_INET6, 0, 0, 0))  # family, version, resource

_CTA_TUPLE_ORIG = 1
_CTA_TUPLE_REPLY = 2
_CTA_ZONE = 18
_CTA_FILTER = 25
_CTA_TUPLE_IP = 1
_CTA_IP_V6_SRC = 3
_CTA_IP_V6_DST = 4
_CTA_TUPLE_PROTO = 2
_CTA_PROTO_NUM = 1
_CTA_PROTO_DST_PORT = 3
_CTA_FILTER_ORIG_FLAGS = 1
_FILTER_PROTO_NUM = 1 << 3  # net/netfilter/nf_internals.h
_FILTER_DST_PORT = 1 << 5

_UDP = bytes((IPPROTO_UDP,))
_IDENTITY = frozenset({_CTA_TUPLE_ORIG, _CTA_ZONE})

_MOST_SEARCHES = 4
"""Ports that the kernel looks for, one after the other. For more it is quicker to have it list all of UDP once."""


def delete_udp_flows(ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
    """Drop the entries of IPv6 UDP flows that were begun towards one of the ports at one of the addresses.

    Gives how many they were.

    Raises:
        OSError: what the kernel answered instead (EPERM without CAP_NET_ADMIN).
    """
    wanted = frozenset(port.to_bytes(2, "big") for port in ports)
    own = frozenset(address.packed for address in destinations)
    if not wanted or not own:
        return 0
    searches = [_search()] if len(wanted) > _MOST_SEARCHES else [_search(port) for port in wanted]
    return _forget(searches, lambda datagram, start, end: _begun_towards(datagram, start, end, wanted, own))


def delete_translated_flows(prefixes: Collection[IPv6Network]) -> int:
    """Drop the entries of IPv6 flows that were translated to a source, or from a destination, in one of the prefixes.

    Gives how many they were.

    Raises:
        OSError: what the kernel answered instead (EPERM without CAP_NET_ADMIN).
    """
    ranges = tuple((prefix.network_address.packed, prefix.broadcast_address.packed) for prefix in prefixes)
    if not ranges:
        return 0
    return _forget([_NFGENMSG], lambda datagram, start, end: _translated(datagram, start, end, ranges))


def _forget(searches: Iterable[bytes], is_doomed: Callable[[bytes, int, int], bool]) -> int:
    try:
        doomed = {
            _identity(datagram, start, end)
            for search in searches
            for datagram, start, end in stream(NETLINK_NETFILTER, _GET, search)
            if is_doomed(datagram, start, end)
        }
    except OSError as error:
        if error.errno in NO_SUBSYSTEM:
            return 0
        raise
    # One that ended by itself meanwhile is not there any more.
    return command_each(NETLINK_NETFILTER, _DELETE, tuple(doomed), tolerated=errno.ENOENT)


def _translated(datagram: bytes, start: int, end: int, ranges: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether answers come from, or go to, others than the flow was begun with, and the outer one is in a range."""
    sent = _ends(datagram, start, end, _CTA_TUPLE_ORIG)
    answered = _ends(datagram, start, end, _CTA_TUPLE_REPLY)
    if sent is None or answered is None:
        return False
    outer = [*([answered[1]] if answered[1] != sent[0] else []), *([sent[1]] if sent[1] != answered[0] else [])]
    return any(first <= address <= last for address in outer for first, last in ranges)


def _ends(datagram: bytes, start: int, end: int, direction: int) -> tuple[bytes, bytes] | None:
    """Source and destination in one direction of a flow; None: it is not of IPv6."""
    ends = find(datagram, start + len(_NFGENMSG), end, direction)
    addresses = ends and find(datagram, *ends, _CTA_TUPLE_IP)
    source = addresses and find(datagram, *addresses, _CTA_IP_V6_SRC)
    destination = addresses and find(datagram, *addresses, _CTA_IP_V6_DST)
    if not source or not destination:
        return None
    return datagram[slice(*source)], datagram[slice(*destination)]


def _search(port: bytes | None = None) -> bytes:
    """Ask for the flows of UDP, those begun towards the port. Kernels before 5.8 list all, of any protocol."""
    like, significant = attribute(_CTA_PROTO_NUM, _UDP), _FILTER_PROTO_NUM
    if port is not None:
        like += attribute(_CTA_PROTO_DST_PORT, port)
        significant |= _FILTER_DST_PORT
    original = attribute(_CTA_TUPLE_ORIG | NESTED, attribute(_CTA_TUPLE_PROTO | NESTED, like))
    flags = attribute(_CTA_FILTER_ORIG_FLAGS, struct.pack("=I", significant))
    return _NFGENMSG + original + attribute(_CTA_FILTER | NESTED, flags)


def _begun_towards(datagram: bytes, start: int, end: int, ports: frozenset[bytes], own: frozenset[bytes]) -> bool:
    """Whether it is a UDP flow whose first packet was for one of the ports at one of the addresses, as sent."""
    original = find(datagram, start + len(_NFGENMSG), end, _CTA_TUPLE_ORIG)
    protocol = original and find(datagram, *original, _CTA_TUPLE_PROTO)
    number = protocol and find(datagram, *protocol, _CTA_PROTO_NUM)
    if not original or not protocol or not number or datagram[slice(*number)] != _UDP:
        return False
    port = find(datagram, *protocol, _CTA_PROTO_DST_PORT)
    if not port or datagram[slice(*port)] not in ports:
        return False
    addresses = find(datagram, *original, _CTA_TUPLE_IP)
    address = addresses and find(datagram, *addresses, _CTA_IP_V6_DST)
    return address is not None and datagram[slice(*address)] in own


def _identity(datagram: bytes, start: int, end: int) -> bytes:
    """What names a flow: its tuple, and its zone if any. CTA_ID would add little: a later flow may have the same."""
    found = pick(datagram, start + len(_NFGENMSG), end, _IDENTITY)
    parts = (datagram[value - ATTRIBUTE_HEADER_SIZE : stop] for value, stop in found.values())
    return _NFGENMSG + b"".join(part + bytes(-len(part) % 4) for part in parts)
