"""Two questions to nf_tables that need no library: the ruleset's generation, and whether a table is there and awake.

Both are one datagram over nfnetlink (linux/netfilter/nf_tables.h). The generation grows with every commit by anybody
in the network namespace, so a listing is still true while it stands. The table's flags are asked here because
libnftables 1.0.6 crashes when it lists a dormant table as JSON.
"""

import os
import socket
import struct
from dataclasses import dataclass

_NETLINK_NETFILTER = 12
_NFNL_SUBSYS_NFTABLES = 10
_NFT_MSG_GETTABLE = 1
_NFT_MSG_GETGEN = 16
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NFTA_TABLE_NAME = 1
_NFTA_TABLE_FLAGS = 2
_NFTA_GEN_ID = 1
_NFT_TABLE_F_DORMANT = 1
_NFPROTO_INET = 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("!BBH")  # nfgenmsg: family, version, resource id
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_TIMEOUT = 5.0
"""Seconds; the kernel answers such a request within the sendto call."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that exists."""

    dormant: bool  # its chains are unhooked: it holds rules that do nothing


class Questions:
    """Both questions through one socket, opened at the first one; of one thread.

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
        text = name.encode() + b"\0"
        padding = b"\0" * (-len(text) % 4)
        attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(text), _NFTA_TABLE_NAME) + text + padding
        try:
            attributes = self._ask(_NFT_MSG_GETTABLE, _NFPROTO_INET, attribute)
        except FileNotFoundError:
            return None
        flags = int.from_bytes(attributes.get(_NFTA_TABLE_FLAGS, b""), "big")
        return TableState(dormant=bool(flags & _NFT_TABLE_F_DORMANT))

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
            number = -struct.unpack_from("=i", answer)[0]
            raise OSError(number, os.strerror(number))
        return _attributes(answer[_FAMILY.size :])

    def _exchange(self, message: int, family: int, attributes: bytes) -> tuple[int, bytes]:
        if self._channel is None:
            self._channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
            self._channel.settimeout(_TIMEOUT)
            self._channel.bind((0, 0))
        body = _FAMILY.pack(family, 0, 0) + attributes
        kind = _NFNL_SUBSYS_NFTABLES << 8 | message
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        self._channel.send(_HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST, self._sequence, 0) + body)
        answer = self._channel.recv(65536)
        length, kind, _, _, _ = _HEADER.unpack_from(answer)
        return kind, answer[_HEADER.size : length]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[length + (-length % 4) :]
    return found
