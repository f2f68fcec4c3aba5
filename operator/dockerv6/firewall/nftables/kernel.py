"""Questions to nf_tables that need no library: the ruleset's generation, whether a table is there, and what it holds.

They are asked over nfnetlink (linux/netfilter/nf_tables.h). The generation grows with every commit by anybody
in the network namespace, so a listing is still true while it stands. The table's flags are asked here because
libnftables 1.0.6 crashes when it lists a dormant table as JSON.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_NETFILTER = 12
_NFNL_SUBSYS_NFTABLES = 10
_NFT_MSG_GETTABLE = 1
NFT_MSG_GETRULE = 7
_NFT_MSG_GETGEN = 16
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP_INTR = 0x10
_NLM_F_DUMP = 0x300
_NFTA_TABLE_NAME = 1
_NFTA_TABLE_FLAGS = 2
_NFTA_GEN_ID = 1
_NFT_TABLE_F_DORMANT = 1
NFPROTO_INET = 1
NFPROTO_IPV6 = 10
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("!BBH")  # nfgenmsg: family, version, resource id
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_BUFFER = 65536
_TIMEOUT = 5.0
"""Seconds; the kernel answers such a request within the sendto call."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that exists."""

    dormant: bool  # its chains are unhooked: it holds rules that do nothing


class Questions:
    """All of them through one socket, opened at the first one; of one thread.

    The socket stays open, because closing one makes the caller wait until the kernel has freed what the latest commit
    removed: 5 to 12 ms (nft_rcv_nl_event in net/netfilter/nf_tables_api.c), just when there is something to repair.
    """

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._channel: socket.socket | None = None
        self._sequence = 0

    def generation(self) -> int:
        """The number of the current ruleset of this network namespace.

        Raises:
            OSError: no nf_tables, or no CAP_NET_ADMIN.
        """
        attributes = self._ask(_NFT_MSG_GETGEN, 0, b"")
        return int.from_bytes(attributes[_NFTA_GEN_ID], "big")

    def inet_table(self, name: str) -> TableState | None:
        """The table of family inet; None when there is none.

        Raises:
            OSError: no nf_tables, or no CAP_NET_ADMIN.
        """
        try:
            attributes = self._ask(_NFT_MSG_GETTABLE, NFPROTO_INET, _text(_NFTA_TABLE_NAME, name))
        except FileNotFoundError:
            return None
        flags = int.from_bytes(attributes.get(_NFTA_TABLE_FLAGS, b""), "big")
        return TableState(dormant=bool(flags & _NFT_TABLE_F_DORMANT))

    def dump(self, message: int, *names: str, family: int = NFPROTO_INET) -> list[bytes]:
        """The attributes of every object that a GET message lists; `names`: the table's, then a set's or a chain's.

        Raises:
            InterruptedError: something was changed meanwhile; the answer would have been of both times.
            OSError: no such table or set, or what it refers to.
        """
        attributes = b"".join(_text(number, name) for number, name in enumerate(names, start=1))
        try:
            return self._dumped(message, family, attributes)
        except OSError:
            self.close()
            raise

    def _dumped(self, message: int, family: int, attributes: bytes) -> list[bytes]:
        channel = self._send(message, family, attributes, _NLM_F_REQUEST | _NLM_F_DUMP)
        found: list[bytes] = []
        interrupted = False
        while True:
            data = channel.recv(_BUFFER)
            place = 0
            while place < len(data):
                length, kind, flags, _, _ = _HEADER.unpack_from(data, place)
                interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                body = place + _HEADER.size
                if kind in {_NLMSG_DONE, _NLMSG_ERROR}:
                    _raise(-struct.unpack_from("=i", data, body)[0])
                    if interrupted:
                        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                    return found
                found.append(data[body + _FAMILY.size : place + length])
                place += length + (-length % 4)

    def close(self) -> None:
        """Give the socket back; the next question opens another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _ask(self, message: int, family: int, attributes: bytes) -> dict[int, bytes]:
        try:
            kind, answer = self._exchange(message, family, attributes)
        except OSError:
            self.close()  # what it has yet to say would be taken for the next answer
            raise
        if kind == _NLMSG_ERROR:
            _raise(-struct.unpack_from("=i", answer)[0])
        return dict(attributes_of(answer[_FAMILY.size :]))

    def _exchange(self, message: int, family: int, attributes: bytes) -> tuple[int, bytes]:
        answer = self._send(message, family, attributes, _NLM_F_REQUEST).recv(_BUFFER)
        length, kind, _, _, _ = _HEADER.unpack_from(answer)
        return kind, answer[_HEADER.size : length]

    def _send(self, message: int, family: int, attributes: bytes, flags: int) -> socket.socket:
        if self._channel is None:
            self._channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
            self._channel.settimeout(_TIMEOUT)
            self._channel.bind((0, 0))
        body = _FAMILY.pack(family, 0, 0) + attributes
        kind = _NFNL_SUBSYS_NFTABLES << 8 | message
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        self._channel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        return self._channel


def attributes_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Netlink attributes, one after the other: each one's kind and value."""
    place, end = 0, len(data) - _ATTRIBUTE.size
    while place <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size:
            break
        yield kind & _TYPE_MASK, data[place + _ATTRIBUTE.size : place + length]
        place += length + (-length % 4)


def _text(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _raise(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))
