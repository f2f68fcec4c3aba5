"""Sockets as procfs lists them, a line each. All of it blocks.

Sources: proc_pid_net(5); tcp6_seq_show, udp6_seq_show and sctp_eps_seq_show in the kernel.
"""

import sys
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

LocalEnd = tuple[bytes, int]
"""An IPv6 address, packed, and a port."""

_WORD = 8  # hex digits
_EPS_PORT = 5  # column of the port in sctp/eps
_EPS_ADDRESSES = 8  # first column of the addresses, as many as it is bound to


def sockets(table: Path, state: int) -> list[LocalEnd]:
    """The local ends of the sockets in one state; none where there is no such table (no IPv6).

    Args:
        table: tcp6 or udp6 of a /proc/*/net.
        state: as in net/tcp_states.h.

    Raises:
        OSError: the table can't be read.
    """
    wanted = f"{state:02X}"
    # line's number, local end, remote end, state
    entries = (line.split(maxsplit=4) for line in _lines(table))
    return [_local_end(entry[1]) for entry in entries if entry[3] == wanted]


def sctp_endpoints(table: Path) -> list[LocalEnd]:
    """Where SCTP sockets wait, one for each IPv6 address that they are bound to; none on a kernel without SCTP.

    Args:
        table: sctp/eps of a /proc/*/net. It holds listening sockets only (net/sctp/input.c, sctp_hash_endpoint).

    Raises:
        OSError: the table can't be read.
    """
    return [
        (IPv6Address(address).packed, int(columns[_EPS_PORT]))
        for columns in map(str.split, _lines(table))
        for address in columns[_EPS_ADDRESSES:]
        if ":" in address
    ]


def _lines(table: Path) -> Iterator[str]:
    """All but the heading."""
    try:
        with table.open(encoding="ascii") as opened:
            next(opened, None)
            yield from opened
    except FileNotFoundError:
        return


def _local_end(text: str) -> LocalEnd:
    """An address is four words of the host's byte order, which hold the network's."""
    address, port = text.split(":")
    words = (int(address[at : at + _WORD], 16) for at in range(0, len(address), _WORD))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words), int(port, 16)
