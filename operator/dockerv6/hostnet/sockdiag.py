"""The sockets that wait for IPv6. All of it blocks.

From the kernel's inet_diag, which filters by state itself: a host's thousands of connections are never listed. Where
its modules are missing, and for SCTP (whose diagnostics need a module that is hardly ever there), from procfs.

Sources: sock_diag(7), linux/inet_diag.h; net/ipv4/inet_diag.c, udp_diag.c.
"""

import errno
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_INET6, IPPROTO_TCP, IPPROTO_UDP

from dockerv6.hostnet import procnet
from dockerv6.hostnet.model import Listener
from dockerv6.hostnet.procnet import LocalEnd
from dockerv6.lib.netlink import NETLINK_SOCK_DIAG, dump

_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBxxI48x")  # inet_diag_req_v2: family, protocol, (extensions), states; any addresses
_LOCAL_END = struct.Struct(">4xH2x16s")  # inet_diag_msg: (family...), source port, (destination's), source address

TCP_CLOSE = 7  # net/tcp_states.h; of an unconnected UDP socket too
TCP_LISTEN = 10
_WAITING = (("tcp", IPPROTO_TCP, TCP_LISTEN), ("udp", IPPROTO_UDP, TCP_CLOSE))

_NO_DIAG = frozenset({errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL})
_MAPPED = bytes(10) + b"\xff\xff"
"""What IPv4-mapped addresses begin with (RFC 4291 §2.5.5.2)."""

PROCNET = Path("/proc/thread-self/net")
"""Of the calling thread's network namespace; /proc/net would be that of the process's first thread."""


def listeners(root: Path = PROCNET) -> frozenset[Listener]:
    """TCP listeners, unconnected UDP sockets and SCTP endpoints of IPv6, those that take IPv4 too among them.

    Args:
        root: where the namespace's procfs files are.

    Raises:
        OSError: what the kernel answered instead.
    """
    found = {(protocol, *end) for protocol, end in _local_ends(root) if not end[0].startswith(_MAPPED)}
    return frozenset(Listener(protocol, IPv6Address(address), port) for protocol, address, port in found)


def _local_ends(root: Path) -> Iterator[tuple[str, LocalEnd]]:
    for protocol, number, state in _WAITING:
        try:
            ends = _diagnosed(number, state)
        except OSError as error:
            if error.errno not in _NO_DIAG:
                raise
            ends = procnet.sockets(root / f"{protocol}6", state)
        yield from ((protocol, end) for end in ends)
    yield from (("sctp", end) for end in procnet.sctp_endpoints(root / "sctp" / "eps"))


def _diagnosed(protocol: int, state: int) -> list[LocalEnd]:
    """The local ends of the IPv6 sockets of one protocol in one state.

    Raises:
        OSError: what the kernel answered instead (ENOENT without the protocol's module).
    """
    body = _REQUEST.pack(AF_INET6, protocol, 1 << state)
    answer = dump(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, body)
    found = (_LOCAL_END.unpack_from(datagram, start) for datagram, start, _ in answer)
    return [(address, port) for port, address in found]
