"""Netlink: messages, attributes, requests and subscriptions, with nothing but sockets and `struct`.

ADR 0022 gives the reasons for not using pyroute2. This module has the framing and the request protocol that all
families share; the modules that use it know what the messages mean.

The decoding functions return spans: a buffer with the start and the end of the part that is meant. They copy nothing,
and a damaged or truncated part ends the iteration.

Errors are `OSError` with the kernel's errno: `PermissionError` for EPERM, `FileNotFoundError` for ENOENT and so on.

Sources: netlink(7), linux/netlink.h. Numbers are in host byte order, except where nfnetlink documents otherwise.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import Self

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

NO_SUBSYSTEM = frozenset({errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP})
"""Errors on NETLINK_NETFILTER if the kernel lacks nfnetlink or the requested subsystem."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length with this header, type
_ERROR = struct.Struct("=i")
ATTRIBUTE_HEADER_SIZE = _ATTRIBUTE.size

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP_INTR = 0x10
_NLM_F_DUMP = 0x300
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NESTED = 0x8000
"""NLA_F_NESTED, a flag in an attribute's type: the value consists of attributes. Newer kernels may insist on it."""

_SOL_NETLINK = 270  # linux/socket.h
_QUIET = (5, 10)  # NETLINK_NO_ENOBUFS: surplus errors are dropped; NETLINK_CAP_ACK: errors don't repeat the message

_NLA_TYPE_MASK = 0x3FFF  # without the flags "nested" and "network byte order"
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; not in Python's socket module

RECEIVE_SIZE = 65536
"""Bytes. The kernel sends at most 32 KiB in a datagram of a dump, and less in a notification."""

_BATCH = 64
"""Messages in one datagram. The errors of all of them fit in a socket's default receive buffer."""

_TIMEOUT = 10.0
_DUMP_ATTEMPTS = 8

Buffer = bytes | memoryview

Payload = tuple[bytes, int, int]
"""A message's payload: the datagram that contains it, start and end."""


class RefusedMessageError(OSError):
    """The kernel refused one message of a transaction, by its place among them. No message had an effect."""

    def __init__(self, code: int, place: int) -> None:
        """`code`: the kernel's errno."""
        super().__init__(code, os.strerror(code))
        self.place = place


def messages(buffer: Buffer) -> Iterator[tuple[int, int, int]]:
    """Type, and start and end of the payload, of every message in a datagram."""
    position, size = 0, len(buffer)
    while position + _HEADER.size <= size:
        length, kind, _, _, _ = _HEADER.unpack_from(buffer, position)
        if length < _HEADER.size or position + length > size:
            return
        yield kind, position + _HEADER.size, position + length
        position += (length + 3) & ~3


def attributes(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, and start and end of the value, of every attribute in a part of a message."""
    while start + ATTRIBUTE_HEADER_SIZE <= end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if length < ATTRIBUTE_HEADER_SIZE or start + length > end:
            return
        yield kind & _NLA_TYPE_MASK, start + ATTRIBUTE_HEADER_SIZE, start + length
        start += (length + 3) & ~3


def pick(buffer: Buffer, start: int, end: int, wanted: Collection[int]) -> dict[int, tuple[int, int]]:
    """Start and end of the value of each attribute of the wanted types; of several of one type, the last one's.

    Faster than `attributes` for messages with many attributes of which few are wanted.
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
    """Start and end of the value of the first attribute of this type, if there is one."""
    unpack = _ATTRIBUTE.unpack_from
    while start + ATTRIBUTE_HEADER_SIZE <= end:
        length, kind = unpack(buffer, start)
        if length < ATTRIBUTE_HEADER_SIZE or start + length > end:
            break
        if kind & _NLA_TYPE_MASK == wanted:
            return start + ATTRIBUTE_HEADER_SIZE, start + length
        start += (length + 3) & ~3
    return None


def text(buffer: Buffer, start: int, end: int) -> str:
    """The string in an attribute's value, up to the first NUL."""
    return bytes(buffer[start:end]).split(b"\0", 1)[0].decode(errors="surrogateescape")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its padding."""
    return _ATTRIBUTE.pack(ATTRIBUTE_HEADER_SIZE + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message with its padding."""
    header = _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0)
    return header + payload + bytes(-len(payload) % 4)


class NetlinkSocket:
    """Requests over one socket, one at a time; all methods block.

    The first request opens the socket. If an answer is not read to its end, the socket is closed, since the rest would
    be read as the answer to the next request, which then opens another socket.
    """

    def __init__(self, protocol: int) -> None:
        """Open nothing yet.

        Args:
            protocol: the netlink family, such as `NETLINK_ROUTE`.
        """
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self._sequence = 0
        self.interrupted = False  # the kernel set NLM_F_DUMP_INTR in the latest answer

    def get(self, kind: int, payload: bytes) -> list[Payload]:
        """Request one object.

        Raises:
            OSError: the kernel's error.
        """
        self._send(kind, 0, payload)
        return list(self._answer(multipart=False))

    def dump(self, kind: int, payload: bytes) -> list[Payload]:
        """Request a list.

        Raises:
            InterruptedError: the list changed during the dump: entries may be missing or outdated.
            OSError: any other error of the kernel.
        """
        found = list(self.stream(kind, payload))
        if self.interrupted:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        return found

    def dump_with_retries(self, kind: int, payload: bytes) -> list[Payload]:
        """As `dump`, but repeat an interrupted dump. After eight attempts the last answer is returned as it is.

        Every entry of such an answer was true at some time during the dump. Its changes cause notifications as well, so
        the list is read again.
        """
        for _ in range(_DUMP_ATTEMPTS):
            found = list(self.stream(kind, payload))
            if not self.interrupted:
                break
        return found

    def stream(self, kind: int, payload: bytes) -> Iterator[Payload]:
        """As `dump`, but one message at a time, for lists that are too long for memory. May be inconsistent.

        Raises:
            OSError: the kernel's error.
        """
        self._send(kind, _NLM_F_DUMP, payload)
        try:
            yield from self._answer(multipart=True)
        except GeneratorExit:
            self.close()
            raise

    def command(self, kind: int, flags: int, payload: bytes) -> None:
        """Have one thing done, and wait for the kernel's acknowledgement.

        Raises:
            OSError: the kernel's error.
        """
        self._send(kind, NLM_F_ACK | flags, payload)
        list(self._answer(multipart=False))

    def command_each(self, kind: int, payloads: Sequence[bytes], *, tolerated: int) -> int:
        """Send one command for each payload.

        Args:
            kind: the type of all messages.
            payloads: one for each message.
            tolerated: an errno that is not an error, such as ENOENT when deleting.

        Returns:
            How many commands succeeded; those with the tolerated errno are not counted.

        Raises:
            OSError: the error of one command; others before and after it may have succeeded.
        """
        return sum(
            self._batch(kind, payloads[first : first + _BATCH], tolerated) for first in range(0, len(payloads), _BATCH)
        )

    def transaction(self, requests: Sequence[tuple[int, int, bytes]]) -> None:
        """Send messages that the kernel executes as a whole, or not at all (nfnetlink's batches).

        Each is its type, flags and payload. One that is always answered has `NLM_F_ACK` among its flags.

        Raises:
            RefusedMessageError: the first error.
            OSError: the messages could not be sent.
        """
        batch = b"".join(
            message(kind, _NLM_F_REQUEST | flags, place, payload)
            for place, (kind, flags, payload) in enumerate(requests)
        )
        opened = self._open()
        _enlarge(opened, _SO_SNDBUFFORCE, socket.SO_SNDBUF, len(batch))
        for option in _QUIET:
            opened.setsockopt(_SOL_NETLINK, option, 1)
        opened.send(batch)
        datagram = self._receive()
        if code := _error_code(datagram, _HEADER.size, len(datagram)):
            self.close()  # more errors may be waiting
            raise RefusedMessageError(code, _HEADER.unpack_from(datagram)[3])

    def close(self) -> None:
        """Close the socket; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, kind: int, flags: int, payload: bytes) -> None:
        self.interrupted = False
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        self._open().send(message(kind, _NLM_F_REQUEST | flags, self._sequence, payload))

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = _new_socket(self._protocol)
            self._socket.settimeout(_TIMEOUT)
            self._socket.bind((0, 0))
        return self._socket

    def _answer(self, *, multipart: bool) -> Iterator[Payload]:
        """The messages of an answer, up to the one that ends it."""
        while True:
            datagram = self._receive()
            for kind, start, end in messages(datagram):
                if _HEADER.unpack_from(datagram, start - _HEADER.size)[2] & _NLM_F_DUMP_INTR:
                    self.interrupted = True
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    if code := _error_code(datagram, start, end):
                        raise OSError(code, os.strerror(code))
                    return
                yield datagram, start, end
            if not multipart:
                return

    def _batch(self, kind: int, payloads: Sequence[bytes], tolerated: int) -> int:
        """Send up to `_BATCH` commands in one datagram.

        Every command that fails is answered; only the last one has its success acknowledged, which ends the answer.
        """
        last = len(payloads)
        flags = [_NLM_F_REQUEST] * (last - 1) + [_NLM_F_REQUEST | NLM_F_ACK]
        numbered = enumerate(zip(flags, payloads, strict=True), start=1)
        self._open().send(b"".join(message(kind, flag, number, payload) for number, (flag, payload) in numbered))
        done = last
        while True:
            datagram = self._receive()
            for _, start, end in messages(datagram):
                code = _error_code(datagram, start, end)
                if code == tolerated:
                    done -= 1
                elif code:
                    self.close()
                    raise OSError(code, os.strerror(code))
                if _HEADER.unpack_from(datagram, start - _HEADER.size)[3] == last:
                    return done

    def _receive(self) -> bytes:
        try:
            return self._open().recv(RECEIVE_SIZE)
        except OSError:
            self.close()
            raise


def dump(protocol: int, kind: int, payload: bytes) -> list[Payload]:
    """`NetlinkSocket.dump_with_retries` over a socket of its own."""
    with NetlinkSocket(protocol) as connection:
        return connection.dump_with_retries(kind, payload)


def get(protocol: int, kind: int, payload: bytes) -> list[Payload]:
    """`NetlinkSocket.get` over a socket of its own."""
    with NetlinkSocket(protocol) as connection:
        return connection.get(kind, payload)


def stream(protocol: int, kind: int, payload: bytes) -> Iterator[Payload]:
    """`NetlinkSocket.stream` over a socket of its own."""
    with NetlinkSocket(protocol) as connection:
        yield from connection.stream(kind, payload)


def command(protocol: int, kind: int, flags: int, payload: bytes) -> None:
    """`NetlinkSocket.command` over a socket of its own."""
    with NetlinkSocket(protocol) as connection:
        connection.command(kind, flags, payload)


def command_each(protocol: int, kind: int, payloads: Sequence[bytes], *, tolerated: int) -> int:
    """`NetlinkSocket.command_each` over a socket of its own."""
    with NetlinkSocket(protocol) as connection:
        return connection.command_each(kind, payloads, tolerated=tolerated)


def subscribe(protocol: int, groups: tuple[int, ...], receive_buffer: int) -> socket.socket:
    """A non-blocking socket that receives the notifications of multicast groups.

    Args:
        protocol: the netlink family.
        groups: numbers of groups, 1 to 32.
        receive_buffer: bytes that may wait in the kernel; without CAP_NET_ADMIN, net.core.rmem_max limits it.

    Raises:
        OSError: not permitted, or the kernel lacks the protocol.
    """
    subscription = _new_socket(protocol)
    try:
        subscription.setblocking(False)
        _enlarge(subscription, _SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
        subscription.bind((0, sum(1 << (group - 1) for group in groups)))
    except OSError:
        subscription.close()
        raise
    return subscription


def _enlarge(connection: socket.socket, forced: int, limited: int, size: int) -> None:
    """Set the size of a buffer; without CAP_NET_ADMIN a sysctl limits it."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        connection.setsockopt(socket.SOL_SOCKET, limited, size)


def _new_socket(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def _error_code(datagram: bytes, start: int, end: int) -> int:
    """The errno in an NLMSG_ERROR or NLMSG_DONE; 0 for success."""
    if end - start < _ERROR.size:
        return 0
    return -int(_ERROR.unpack_from(datagram, start)[0])
