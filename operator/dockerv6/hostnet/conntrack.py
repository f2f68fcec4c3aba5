"""Deletion of conntrack entries whose translation is out of date. All functions block.

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
_IPCTNL_MSG_CT_GET = (_CTNETLINK << 8) | 1
_IPCTNL_MSG_CT_DELETE = (_CTNETLINK << 8) | 2
_NFGENMSG = bytes((AF_INET6, 0, 0, 0))  # family, version, resource id

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

_MAX_FILTERED_PORTS = 4
"""Each filtered port takes one request. For more ports, one request for all UDP flows is faster."""


def delete_udp_flows(ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
    """Delete the entries of IPv6 UDP flows that started towards one of the ports at one of the addresses.

    Returns:
        The number of deleted entries.

    Raises:
        OSError: the kernel's error (EPERM without CAP_NET_ADMIN).
    """
    packed_ports = frozenset(port.to_bytes(2, "big") for port in ports)
    addresses = frozenset(address.packed for address in destinations)
    if not packed_ports or not addresses:
        return 0
    filtered = len(packed_ports) <= _MAX_FILTERED_PORTS
    requests = [_udp_request(port) for port in packed_ports] if filtered else [_udp_request()]
    return _delete(requests, lambda datagram, start, end: _is_towards(datagram, start, end, packed_ports, addresses))


def delete_translated_flows(prefixes: Collection[IPv6Network]) -> int:
    """Delete the entries of IPv6 flows whose translated address is in one of the prefixes.

    Returns:
        The number of deleted entries.

    Raises:
        OSError: the kernel's error (EPERM without CAP_NET_ADMIN).
    """
    ranges = tuple((prefix.network_address.packed, prefix.broadcast_address.packed) for prefix in prefixes)
    if not ranges:
        return 0
    return _delete([_NFGENMSG], lambda datagram, start, end: _is_translated(datagram, start, end, ranges))


def _delete(requests: Iterable[bytes], matches: Callable[[bytes, int, int], bool]) -> int:
    try:
        identities = {
            _identity(datagram, start, end)
            for request in requests
            for datagram, start, end in stream(NETLINK_NETFILTER, _IPCTNL_MSG_CT_GET, request)
            if matches(datagram, start, end)
        }
    except OSError as error:
        if error.errno in NO_SUBSYSTEM:
            return 0
        raise
    # ENOENT: the flow ended in the meantime.
    return command_each(NETLINK_NETFILTER, _IPCTNL_MSG_CT_DELETE, tuple(identities), tolerated=errno.ENOENT)


def _is_translated(datagram: bytes, start: int, end: int, ranges: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the flow has SNAT to, or DNAT from, an address in one of the ranges."""
    original = _addresses(datagram, start, end, _CTA_TUPLE_ORIG)
    reply = _addresses(datagram, start, end, _CTA_TUPLE_REPLY)
    if original is None or reply is None:
        return False
    translated = []
    if reply[1] != original[0]:  # SNAT: replies go to another address than the one that sent
        translated.append(reply[1])
    if reply[0] != original[1]:  # DNAT: replies come from another address than the one that was addressed
        translated.append(original[1])
    return any(first <= address <= last for address in translated for first, last in ranges)


def _addresses(datagram: bytes, start: int, end: int, direction: int) -> tuple[bytes, bytes] | None:
    """Source and destination in one direction of a flow; None if they are not IPv6."""
    endpoints = find(datagram, start + len(_NFGENMSG), end, direction)
    addresses = endpoints and find(datagram, *endpoints, _CTA_TUPLE_IP)
    source = addresses and find(datagram, *addresses, _CTA_IP_V6_SRC)
    destination = addresses and find(datagram, *addresses, _CTA_IP_V6_DST)
    if not source or not destination:
        return None
    return datagram[slice(*source)], datagram[slice(*destination)]


def _udp_request(port: bytes | None = None) -> bytes:
    """Request UDP flows, those to one port if given. Kernels before 5.8 list all flows of any protocol."""
    like, significant = attribute(_CTA_PROTO_NUM, _UDP), _FILTER_PROTO_NUM
    if port is not None:
        like += attribute(_CTA_PROTO_DST_PORT, port)
        significant |= _FILTER_DST_PORT
    original = attribute(_CTA_TUPLE_ORIG | NESTED, attribute(_CTA_TUPLE_PROTO | NESTED, like))
    flags = attribute(_CTA_FILTER_ORIG_FLAGS, struct.pack("=I", significant))
    return _NFGENMSG + original + attribute(_CTA_FILTER | NESTED, flags)


def _is_towards(datagram: bytes, start: int, end: int, ports: frozenset[bytes], addresses: frozenset[bytes]) -> bool:
    """Whether it is a UDP flow whose original direction leads to one of the ports at one of the addresses."""
    original = find(datagram, start + len(_NFGENMSG), end, _CTA_TUPLE_ORIG)
    protocol = original and find(datagram, *original, _CTA_TUPLE_PROTO)
    number = protocol and find(datagram, *protocol, _CTA_PROTO_NUM)
    if not original or not protocol or not number or datagram[slice(*number)] != _UDP:
        return False
    port = find(datagram, *protocol, _CTA_PROTO_DST_PORT)
    if not port or datagram[slice(*port)] not in ports:
        return False
    endpoints = find(datagram, *original, _CTA_TUPLE_IP)
    destination = endpoints and find(datagram, *endpoints, _CTA_IP_V6_DST)
    return destination is not None and datagram[slice(*destination)] in addresses


def _identity(datagram: bytes, start: int, end: int) -> bytes:
    """The payload that identifies a flow: its tuple and its zone, if any. A later flow may have the same CTA_ID."""
    found = pick(datagram, start + len(_NFGENMSG), end, _IDENTITY)
    parts = (datagram[value - ATTRIBUTE_HEADER_SIZE : stop] for value, stop in found.values())
    return _NFGENMSG + b"".join(part + bytes(-len(part) % 4) for part in parts)
