"""Netlink's framing and its requests, by hand.

pyroute2 would do: but importing any module of it costs 13 MiB and 70 ms, a dump of 500 interfaces with their addresses
another 20 MiB and 140 ms (pyroute2 0.9.7), as it decodes every attribute of every message. We need six of them.

Sources: netlink(7), linux/netlink.h. Numbers are in host byte order, except where nfnetlink says otherwise.
"""

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length with this header, type
_ERROR = struct.Struct("=i")
HEADER_SIZE = _HEADER.size
ATTRIBUTE_HEADER_SIZE = _ATTRIBUTE.size

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x1
_NLM_F_ACK = 0x4
_NLM_F_DUMP_INTR = 0x10
_NLM_F_DUMP = 0x300
_NLA_TYPE_MASK = 0x3FFF  # without the flags "nested" and "network byte order"

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in Python's socket module

RECEIVE_SIZE = 65536
"""Bytes. The kernel fills at most 32 KiB a datagram when it dumps, and less when it notifies."""

_TIMEOUT = 10.0
_DUMP_ATTEMPTS = 8

Buffer = bytes | memoryview


def messages(buffer: Buffer) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the payload of every message in a datagram; a message that was cut off ends it."""
    position, size = 0, len(buffer)
    while position + HEADER_SIZE <= size:
        length, kind, _, _, _ = _HEADER.unpack_from(buffer, position)
        if length < HEADER_SIZE or position + length > size:
            return
        yield kind, position + HEADER_SIZE, position + length
        position += (length + 3) & ~3


def attributes(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the value of every attribute in a part of a message."""
    while start + ATTRIBUTE_HEADER_SIZE <= end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if length < ATTRIBUTE_HEADER_SIZE or start + length > end:
            return
        yield kind & _NLA_TYPE_MASK, start + ATTRIBUTE_HEADER_SIZE, start + length
        start += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded as it stands in a message."""
    return _ATTRIBUTE.pack(ATTRIBUTE_HEADER_SIZE + len(value), kind) + value + bytes(-len(value) % 4)


def text(buffer: Buffer, start: int, end: int) -> str:
    """An attribute's string, which ends with a NUL or with the attribute."""
    return bytes(buffer[start:end]).split(b"\0", 1)[0].decode(errors="surrogateescape")


def dump(protocol: int, kind: int, body: bytes) -> list[tuple[bytes, int, int]]:
    """Ask for a list; give the messages of the answer, each as a datagram with its payload's start and end. Blocks.

    A list that changed while the kernel wrote it is asked for again.

    Raises:
        OSError: what the kernel answered instead.
    """
    for _ in range(_DUMP_ATTEMPTS):
        found, consistent = _exchange(protocol, kind, _NLM_F_DUMP, body)
        if consistent:
            return found
    # Torn, but every entry is true by itself; who keeps changing it will also notify, and it is read again then.
    return found


def get(protocol: int, kind: int, body: bytes) -> list[tuple[bytes, int, int]]:
    """Ask for one thing; the answer as in `dump`. Blocks.

    Raises:
        OSError: what the kernel answered instead.
    """
    return _exchange(protocol, kind, 0, body)[0]


def command(protocol: int, kind: int, flags: int, body: bytes) -> None:
    """Have something done, and wait for the kernel's word that it is. Blocks.

    Raises:
        OSError: why it is not.
    """
    _exchange(protocol, kind, _NLM_F_ACK | flags, body)


def subscribe(protocol: int, groups: tuple[int, ...], receive_buffer: int) -> socket.socket:
    """A non-blocking socket that gets what is sent to the multicast groups (1 to 32).

    Args:
        protocol: netlink family.
        groups: numbers of the groups.
        receive_buffer: bytes that may wait in the kernel; without CAP_NET_ADMIN, net.core.rmem_max limits it.

    Raises:
        OSError: not permitted, or no such protocol in the kernel.
    """
    subscription = _open(protocol)
    try:
        subscription.setblocking(False)
        try:
            subscription.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            subscription.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        subscription.bind((0, sum(1 << (group - 1) for group in groups)))
    except OSError:
        subscription.close()
        raise
    return subscription


def _open(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def _exchange(protocol: int, kind: int, flags: int, body: bytes) -> tuple[list[tuple[bytes, int, int]], bool]:
    """The messages of the answer, and whether it is consistent."""
    with _open(protocol) as channel:
        channel.settimeout(_TIMEOUT)
        channel.bind((0, 0))
        channel.send(_HEADER.pack(HEADER_SIZE + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
        found: list[tuple[bytes, int, int]] = []
        consistent = True
        while True:
            datagram = channel.recv(RECEIVE_SIZE)
            for answer, start, end in messages(datagram):
                if _HEADER.unpack_from(datagram, start - HEADER_SIZE)[2] & _NLM_F_DUMP_INTR:
                    consistent = False
                if answer in (_NLMSG_DONE, _NLMSG_ERROR):
                    _raise_for(datagram, start, end)
                    return found, consistent
                found.append((datagram, start, end))
            if not flags & _NLM_F_DUMP:
                return found, consistent


def _raise_for(datagram: bytes, start: int, end: int) -> None:
    if end - start < _ERROR.size:
        return
    (code,) = _ERROR.unpack_from(datagram, start)
    if code:
        raise OSError(-code, os.strerror(-code))
