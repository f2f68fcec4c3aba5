"""Netlink's framing and its requests, by hand.

pyroute2 would do: but importing any module of it costs 13 MiB and 70 ms, a dump of 500 interfaces with their addresses
another 20 MiB and 140 ms (pyroute2 0.9.7), as it decodes every attribute of every message. We need a few of them.

Sources: netlink(7), linux/netlink.h. Numbers are in host byte order, except where nfnetlink says otherwise.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator, Sequence

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

NO_SUBSYSTEM = frozenset({errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP})
"""What the kernel answers on NETLINK_NETFILTER when it lacks nfnetlink or the subsystem that was asked."""

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
NESTED = 0x8000
"""Marks an attribute's type: its value is attributes. Older kernels do without it, newer ones may insist."""

_NLA_TYPE_MASK = 0x3FFF  # without the flags "nested" and "network byte order"

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in Python's socket module

RECEIVE_SIZE = 65536
"""Bytes. The kernel fills at most 32 KiB a datagram when it dumps, and less when it notifies."""

_BATCH = 64
"""Messages in one datagram: as many refusals fit in a socket's default receive buffer."""

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


def pick(buffer: Buffer, start: int, end: int, wanted: Collection[int]) -> dict[int, tuple[int, int]]:
    """Start and end of the value of each attribute of these types; of several of one type, the last one's.

    Faster than `attributes` where there are many that don't matter.
    """
    found: dict[int, tuple[int, int]] = {}
    unpack = _ATTRIBUTE.unpack_from
    while start + ATTRIBUTE_HEADER_SIZE <= end:
        length, kind = unpack(buffer, start)
        if length < ATTRIBUTE_HEADER_SIZE or start + length > end:
            break
        kind &= _NLA_TYPE_MASK
        if kind in wanted:
            found[kind] = (start + ATTRIBUTE_HEADER_SIZE, start + length)
        start += (length + 3) & ~3
    return found


def find(buffer: Buffer, start: int, end: int, wanted: int) -> tuple[int, int] | None:
    """Start and end of the value of the first attribute of this type; None: there is none. Reads on no further."""
    unpack = _ATTRIBUTE.unpack_from
    while start + ATTRIBUTE_HEADER_SIZE <= end:
        length, kind = unpack(buffer, start)
        if length < ATTRIBUTE_HEADER_SIZE or start + length > end:
            break
        if kind & _NLA_TYPE_MASK == wanted:
            return start + ATTRIBUTE_HEADER_SIZE, start + length
        start += (length + 3) & ~3
    return None


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


def stream(protocol: int, kind: int, body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """As `dump`, but each message when it comes, for lists that are too long to be held. Blocks.

    A list that changes meanwhile is not asked for again: it may lack what came or moved since.

    Raises:
        OSError: what the kernel answered instead.
    """
    with _open(protocol) as channel:
        _send(channel, kind, _NLM_F_DUMP, body)
        yield from _Answer(channel, several=True)


def command_each(protocol: int, kind: int, bodies: Sequence[bytes], *, tolerated: int) -> int:
    """Have the same done to many things; gives how many times it was. Blocks.

    Args:
        protocol: netlink family.
        kind: type of the messages.
        bodies: a message's payload each.
        tolerated: an errno that is no failure, and not counted, such as "there is none".

    Raises:
        OSError: why one is not done; others before and after it may be.
    """
    done = 0
    with _open(protocol) as channel:
        channel.settimeout(_TIMEOUT)
        channel.bind((0, 0))
        for first in range(0, len(bodies), _BATCH):
            done += _batch(channel, kind, bodies[first : first + _BATCH], tolerated)
    return done


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


def _send(channel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    channel.settimeout(_TIMEOUT)
    channel.bind((0, 0))
    channel.send(_HEADER.pack(HEADER_SIZE + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)


class _Answer:
    """The messages of an answer, each with its datagram and its payload's start and end."""

    def __init__(self, channel: socket.socket, *, several: bool) -> None:
        self._channel = channel
        self._several = several
        self.consistent = True
        """Whether the list stayed as it was while the kernel wrote it; known at the end."""

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        while True:
            datagram = self._channel.recv(RECEIVE_SIZE)
            for answer, start, end in messages(datagram):
                if _HEADER.unpack_from(datagram, start - HEADER_SIZE)[2] & _NLM_F_DUMP_INTR:
                    self.consistent = False
                if answer in (_NLMSG_DONE, _NLMSG_ERROR):
                    _raise_for(datagram, start, end)
                    return
                yield datagram, start, end
            if not self._several:
                return


def _exchange(protocol: int, kind: int, flags: int, body: bytes) -> tuple[list[tuple[bytes, int, int]], bool]:
    """The messages of the answer, and whether it is consistent."""
    with _open(protocol) as channel:
        _send(channel, kind, flags, body)
        answer = _Answer(channel, several=bool(flags & _NLM_F_DUMP))
        return list(answer), answer.consistent


def _batch(channel: socket.socket, kind: int, bodies: Sequence[bytes], tolerated: int) -> int:
    """Send them in one datagram. Refusals are always answered; success only for the last, which ends the answer."""
    packet = bytearray()
    for number, body in enumerate(bodies, start=1):
        flags = _NLM_F_REQUEST | (_NLM_F_ACK if number == len(bodies) else 0)
        packet += _HEADER.pack(HEADER_SIZE + len(body), kind, flags, number, 0) + body + bytes(-len(body) % 4)
    channel.send(packet)
    done = len(bodies)
    while True:
        datagram = channel.recv(RECEIVE_SIZE)
        for _, start, end in messages(datagram):
            try:
                _raise_for(datagram, start, end)
            except OSError as error:
                if error.errno != tolerated:
                    raise
                done -= 1
            if _HEADER.unpack_from(datagram, start - HEADER_SIZE)[3] == len(bodies):
                return done


def _raise_for(datagram: bytes, start: int, end: int) -> None:
    if end - start < _ERROR.size:
        return
    (code,) = _ERROR.unpack_from(datagram, start)
    if code:
        raise OSError(-code, os.strerror(-code))
