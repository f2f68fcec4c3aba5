"""Proxy neighbours: the addresses that the kernel answers neighbour solicitations for. All of it blocks.

What the kernel does (Linux 6.18, IPv6):

- It sorts them by interface; there are none of all interfaces.
- Adding one that is there overwrites its protocol, whatever the request's flags (NLM_F_EXCL too). So we look first.
- It drops an interface's when the interface goes down, or has IPv6 turned off, and also when only its carrier is lost,
  unless they were added as permanent, which older kernels ignore. It announces none of this, but the link.

Sources: linux/neighbour.h; neigh_add, neigh_get, neigh_dump_info in the kernel's net/core/neighbour.c.
"""

import errno
import struct
from ipaddress import IPv6Address
from socket import AF_INET6, if_nametoindex

from dockerv6.hostnet.model import ProxyNeighbour
from dockerv6.hostnet.rtnetlink import interface_name
from dockerv6.lib.netlink import NETLINK_ROUTE, attribute, command, dump, get, pick

PROTOCOL = 166
"""Marks our entries (NDA_PROTOCOL). It is not among the kernel's RTPROT_* (linux/rtnetlink.h), nor among those that
iproute2's rt_protos and FRR's files beside it name; the ids of routes and of neighbours are one space."""

_RTM_NEWNEIGH = 28
_RTM_DELNEIGH = 29
_RTM_GETNEIGH = 30
_NLM_F_EXCL = 0x200
_NLM_F_CREATE = 0x400

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_NTF_PROXY = 0x08
_NUD_NONE = 0x00
_NUD_PERMANENT = 0x80
_NDA_DST = 1
_NDA_PROTOCOL = 12
_TOLD = frozenset({_NDA_DST, _NDA_PROTOCOL})

_GONE = frozenset({errno.ENOENT, errno.ENODEV})


def proxy_neighbours() -> frozenset[ProxyNeighbour]:
    """The proxy neighbours of all interfaces.

    Raises:
        OSError: what the kernel answered instead.
    """
    names: dict[int, str] = {}
    found: set[ProxyNeighbour] = set()
    for buffer, start, end in dump(
        NETLINK_ROUTE, _RTM_GETNEIGH, _NEIGHBOUR.pack(AF_INET6, 0, _NUD_NONE, _NTF_PROXY, 0)
    ):
        _, index, _, flags, _ = _NEIGHBOUR.unpack_from(buffer, start)
        told = pick(buffer, start + _NEIGHBOUR.size, end, _TOLD)
        name = interface_name(index, names)
        if name is not None and flags & _NTF_PROXY and _NDA_DST in told:
            ours = _NDA_PROTOCOL in told and buffer[told[_NDA_PROTOCOL][0]] == PROTOCOL
            found.add(ProxyNeighbour(name, IPv6Address(buffer[slice(*told[_NDA_DST])]), ours))
    return frozenset(found)


def add_proxy_neighbour(interface: str, address: IPv6Address) -> None:
    """Add one of ours, unless there is anybody's.

    One that somebody else adds between our look and our request becomes ours: the kernel has no way to prevent it.

    Raises:
        OSError: there is no such interface, or the kernel refuses.
    """
    index = if_nametoindex(interface)
    if _is_there(index, address):
        return
    body = _entry(index, address, _NUD_PERMANENT) + attribute(_NDA_PROTOCOL, bytes([PROTOCOL]))
    command(NETLINK_ROUTE, _RTM_NEWNEIGH, _NLM_F_CREATE | _NLM_F_EXCL, body)


def remove_proxy_neighbour(interface: str, address: IPv6Address) -> None:
    """Remove one, anybody's; none is fine, and so is an interface that is gone.

    Raises:
        OSError: the kernel refuses.
    """
    try:
        index = if_nametoindex(interface)
    except OSError:  # there is none of that name; it has no other reason
        return
    try:
        command(NETLINK_ROUTE, _RTM_DELNEIGH, 0, _entry(index, address))
    except OSError as error:
        if error.errno not in _GONE:
            raise


def _is_there(index: int, address: IPv6Address) -> bool:
    try:
        return bool(get(NETLINK_ROUTE, _RTM_GETNEIGH, _entry(index, address)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise


def _entry(index: int, address: IPv6Address, state: int = _NUD_NONE) -> bytes:
    return _NEIGHBOUR.pack(AF_INET6, index, state, _NTF_PROXY, 0) + attribute(_NDA_DST, address.packed)
