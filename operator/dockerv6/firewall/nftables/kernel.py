"""Read requests to nf_tables over nfnetlink (linux/netfilter/nf_tables.h): generation, tables, and dumps of objects.

The generation grows with every commit by any process of the network namespace, so what was read is current as long as
the generation stays. A table's flags are read here because libnftables 1.0.6 crashes when it lists a dormant table.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dockerv6.lib import netlink
from dockerv6.lib.netlink import NETLINK_NETFILTER, NetlinkSocket

NFPROTO_INET = 1
NFPROTO_IPV6 = 10
NFT_MSG_GETCHAIN = 4
NFT_MSG_GETRULE = 7
NFT_MSG_GETSET = 10
NFT_MSG_GETSETELEM = 13
NFT_MSG_GETOBJ = 19
NFT_MSG_GETFLOWTABLE = 23
_NFT_MSG_GETTABLE = 1
_NFT_MSG_GETGEN = 16
_NFNL_SUBSYS_NFTABLES = 10
_NFTA_TABLE_FLAGS = 2
_NFTA_GEN_ID = 1
_NFT_TABLE_F_DORMANT = 1
_NFGENMSG = struct.Struct("!BBH")  # family, version, resource id


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that exists."""

    dormant: bool  # its chains are not registered: its rules have no effect


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
        return int.from_bytes(self._get(_NFT_MSG_GETGEN, 0)[_NFTA_GEN_ID], "big")

    def inet_table(self, name: str) -> TableState | None:
        """The table of family inet; None when it doesn't exist.

        Raises:
            OSError: no nf_tables, or no CAP_NET_ADMIN.
        """
        try:
            attributes = self._get(_NFT_MSG_GETTABLE, NFPROTO_INET, name)
        except FileNotFoundError:
            return None
        flags = int.from_bytes(attributes.get(_NFTA_TABLE_FLAGS, b""), "big")
        return TableState(dormant=bool(flags & _NFT_TABLE_F_DORMANT))

    def dump(self, message: int, *names: str, family: int = NFPROTO_INET) -> list[bytes]:
        """The attributes of every object that a GET message lists.

        Args:
            message: NFT_MSG_GET….
            names: the table's, and the set's or the chain's where the message has one.
            family: of the table.

        Raises:
            InterruptedError: the ruleset changed during the dump.
            OSError: no such table or set.
        """
        found = self._socket.dump(_NFNL_SUBSYS_NFTABLES << 8 | message, _payload(family, names))
        return [datagram[start + _NFGENMSG.size : end] for datagram, start, end in found]

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


def _payload(family: int, names: tuple[str, ...]) -> bytes:
    """The attributes NFTA_TABLE_NAME and NFTA_SET_ELEM_LIST_TABLE, …_SET and the like: names, numbered from 1."""
    attributes = (netlink.attribute(number, name.encode() + b"\0") for number, name in enumerate(names, start=1))
    return _NFGENMSG.pack(family, 0, 0) + b"".join(attributes)
