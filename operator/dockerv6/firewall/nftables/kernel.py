"""Requests to nf_tables over nfnetlink (linux/netfilter/nf_tables.h): generation, dumps of objects, transactions.

The generation grows with every commit by any process of the network namespace, so what was read is current as long as
the generation stays.

No library takes part: libnftables decodes the sets of every table on the host whenever it writes, and 1.0.6 crashes on
those that 1.1.3 or newer has written (ADR 0031).
"""

import errno
import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockerv6.lib import netlink
from dockerv6.lib.netlink import NETLINK_NETFILTER, NLM_F_ACK, NetlinkSocket, RefusedMessageError

NFPROTO_UNSPEC = 0
NFPROTO_INET = 1
NFPROTO_IPV4 = 2
NFPROTO_IPV6 = 10
FAMILIES = {NFPROTO_INET: "inet", NFPROTO_IPV4: "ip", NFPROTO_IPV6: "ip6"}

NFT_MSG_GETTABLE = 1
NFT_MSG_GETCHAIN = 4
NFT_MSG_GETRULE = 7
NFT_MSG_GETSET = 10
NFT_MSG_GETSETELEM = 13
NFT_MSG_GETOBJ = 19
NFT_MSG_GETFLOWTABLE = 23
_NFT_MSG_GETGEN = 16
_NFNL_SUBSYS_NFTABLES = 10
_NFNL_MSG_BATCH_BEGIN = 16
_NFNL_MSG_BATCH_END = 17
_NFTA_TABLE_FLAGS = 2
_NFTA_TABLE_OWNER = 7
_NFTA_GEN_ID = 1
_TABLE_FLAGS = {1: "dormant", 4: "persist"}  # NFT_TABLE_F_*, without OWNER
_NFGENMSG = struct.Struct("!BBH")  # family, version, resource id
_NUMBER = struct.Struct("!I")
_BATCH = _NFGENMSG.pack(NFPROTO_UNSPEC, 0, _NFNL_SUBSYS_NFTABLES)


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that exists.

    Attributes:
        flags: "dormant": its chains are not registered, so its rules have no effect; "persist": it outlives its owner.
        owner: the netlink port of the socket that alone may change the table, and with which it ends; None: anybody.
    """

    flags: tuple[str, ...] = ()
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class NftMessage:
    """One message of a transaction.

    Attributes:
        kind: NFT_MSG_NEW… or NFT_MSG_DEL….
        flags: NLM_F_CREATE, NLM_F_EXCL and the like.
        family: NFPROTO_…, of the table.
        attributes: encoded.
        purpose: what it does, after "refused to", for errors.
    """

    kind: int
    flags: int
    family: int
    attributes: bytes
    purpose: str


class NfTables:
    """Requests over one socket, which the first request opens; for use by one thread.

    The socket stays open. Closing it makes the caller wait for 5 to 12 ms, until the kernel has freed what the latest
    commit removed (nft_rcv_nl_event in net/netfilter/nf_tables_api.c).
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def generation(self) -> int:
        """The number of the current ruleset of this network namespace.

        Raises:
            OSError: no nf_tables, or no CAP_NET_ADMIN.
        """
        return number_in(self._get(_NFT_MSG_GETGEN, 0)[_NFTA_GEN_ID])

    def inet_table(self, name: str) -> TableState | None:
        """The table of family inet; None when it doesn't exist.

        Raises:
            OSError: no nf_tables, or no CAP_NET_ADMIN.
        """
        return self.table(NFPROTO_INET, name)

    def table(self, family: int, name: str) -> TableState | None:
        """As `inet_table`, of any family."""
        try:
            attributes = self._get(NFT_MSG_GETTABLE, family, name)
        except FileNotFoundError:
            return None
        flags = number_in(attributes.get(_NFTA_TABLE_FLAGS, b""))
        owner = attributes.get(_NFTA_TABLE_OWNER)
        return TableState(
            tuple(text for bit, text in _TABLE_FLAGS.items() if flags & bit),
            number_in(owner) if owner is not None else None,
        )

    def dump(self, message: int, *names: str, family: int = NFPROTO_INET, most: float = math.inf) -> list[bytes]:
        """The attributes of every object that a GET message lists.

        Args:
            message: NFT_MSG_GET….
            names: the table's, and the set's or the chain's where the message has one.
            family: of the table.
            most: bytes of all objects together.

        Raises:
            InterruptedError: the ruleset changed during the dump.
            OverflowError: there is more than that.
            OSError: no such table or set.
        """
        return [attributes for _, attributes in self.dump_families(message, *names, family=family, most=most)]

    def dump_families(
        self, message: int, *names: str, family: int = NFPROTO_UNSPEC, most: float = math.inf
    ) -> list[tuple[int, bytes]]:
        """As `dump`, each object with its family; by default of all families."""
        found: list[tuple[int, bytes]] = []
        for datagram, start, end in self._socket.stream(_NFNL_SUBSYS_NFTABLES << 8 | message, _payload(family, names)):
            found.append((datagram[start], datagram[start + _NFGENMSG.size : end]))
            most -= end - start
            if most < 0:
                self.close()  # the rest of the answer is not read
                raise OverflowError(f"more than {len(found)} objects")
        if self._socket.interrupted:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        return found

    def commit(self, messages: Sequence[NftMessage], *, check: bool = False) -> None:
        """Have the kernel execute the messages as one transaction. With `check`, it judges each and commits nothing.

        Raises:
            RefusedMessageError: with the place of the refused message; -1: the kernel takes no transaction.
            OSError: the messages could not be sent.
        """
        if not messages:
            return
        last = len(messages) - 1
        requests = [
            (
                _NFNL_SUBSYS_NFTABLES << 8 | each.kind,
                each.flags | (NLM_F_ACK if place == last else 0),
                _NFGENMSG.pack(each.family, 0, 0) + each.attributes,
            )
            for place, each in enumerate(messages)
        ]
        end = [] if check else [(_NFNL_MSG_BATCH_END, 0, _BATCH)]  # without an end, the kernel drops the transaction
        try:
            self._socket.transaction([(_NFNL_MSG_BATCH_BEGIN, 0, _BATCH), *requests, *end])
        except RefusedMessageError as error:
            raise RefusedMessageError(error.errno or 0, error.place - 1) from error

    def close(self) -> None:
        """Close the socket; the next request opens another one."""
        self._socket.close()

    def _get(self, message: int, family: int, *names: str) -> dict[int, bytes]:
        ((datagram, start, end),) = self._socket.get(_NFNL_SUBSYS_NFTABLES << 8 | message, _payload(family, names))
        return dict(attributes_of(datagram[start + _NFGENMSG.size : end]))


def attributes_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each netlink attribute."""
    for kind, start, end in netlink.attributes(data, 0, len(data)):
        yield kind, data[start:end]


def number_in(value: bytes) -> int:
    """A number in an attribute's value; 0 for an empty one."""
    return int.from_bytes(value, "big")


def text_in(value: bytes) -> str:
    """A name in an attribute's value."""
    return value.rstrip(b"\0").decode(errors="surrogateescape")


def named(names: Sequence[str], index: int) -> str:
    """A number's name; what newer kernels may have is shown as a number."""
    return names[index] if index < len(names) else str(index)


def number(kind: int, value: int) -> bytes:
    """An attribute with a number of 32 bits."""
    return netlink.attribute(kind, _NUMBER.pack(value & 0xFFFFFFFF))


def text(kind: int, value: str) -> bytes:
    """An attribute with a name."""
    return netlink.attribute(kind, value.encode(errors="surrogateescape") + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that consists of attributes."""
    return netlink.attribute(kind | netlink.NESTED, b"".join(attributes))


def _payload(family: int, names: tuple[str, ...]) -> bytes:
    """The attributes NFTA_TABLE_NAME and NFTA_SET_ELEM_LIST_TABLE, …_SET and the like: names, numbered from 1."""
    return _NFGENMSG.pack(family, 0, 0) + b"".join(text(kind, name) for kind, name in enumerate(names, start=1))
