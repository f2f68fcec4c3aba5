"""NDP proxy entries: the addresses for which the kernel answers neighbour solicitations. All functions block.

What the kernel does (Linux 6.18, IPv6):

- Every entry belongs to one interface.
- Adding an existing entry overwrites its protocol, whatever the flags of the request (also with NLM_F_EXCL). So the
  entry is read before it is added.
- It deletes the entries of an interface that goes down or has IPv6 disabled. It also deletes those of an interface that
  only loses its carrier, unless they were added as permanent, which older kernels ignore. It announces the change of
  the link, but not that of the entries.

Sources: linux/neighbour.h; neigh_add, neigh_get, neigh_dump_info in the kernel's net/core/neighbour.c.
"""

import errno
import struct
from ipaddress import IPv6Address
from socket import AF_INET6, if_nametoindex

from dockerv6.hostnet.links import interface_name
from dockerv6.hostnet.model import ProxyNeighbour
from dockerv6.lib.netlink import NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL, attribute, command, dump, get, pick

PROTOCOL = 166
"""The protocol id of our entries (NDA_PROTOCOL). Neither the kernel (RTPROT_* in linux/rtnetlink.h) nor iproute2's
rt_protos nor FRR uses it; routes and neighbours share the ids."""

_RTM_NEWNEIGH = 28
_RTM_DELNEIGH = 29
_RTM_GETNEIGH = 30

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_NTF_PROXY = 0x08
_NUD_NONE = 0x00
_NUD_PERMANENT = 0x80
_NDA_DST = 1
_NDA_PROTOCOL = 12
_USED = frozenset({_NDA_DST, _NDA_PROTOCOL})

_GONE = frozenset({errno.ENOENT, errno.ENODEV})


def proxy_neighbours() -> frozenset[ProxyNeighbour]:
    """The NDP proxy entries of all interfaces.

    Raises:
        OSError: the kernel's error.
    """
    names: dict[int, str] = {}
    found: set[ProxyNeighbour] = set()
    request = _NEIGHBOUR.pack(AF_INET6, 0, _NUD_NONE, _NTF_PROXY, 0)
    for buffer, start, end in dump(NETLINK_ROUTE, _RTM_GETNEIGH, request):
        _, index, _, flags, _ = _NEIGHBOUR.unpack_from(buffer, start)
        values = pick(buffer, start + _NEIGHBOUR.size, end, _USED)
        name = interface_name(index, names)
        if name is not None and flags & _NTF_PROXY and _NDA_DST in values:
            ours = _NDA_PROTOCOL in values and buffer[values[_NDA_PROTOCOL][0]] == PROTOCOL
            found.add(ProxyNeighbour(name, IPv6Address(buffer[slice(*values[_NDA_DST])]), ours))
    return frozenset(found)


def add_proxy_neighbour(interface: str, address: IPv6Address) -> None:
    """Add an entry of ours, unless there is one already.

    An entry that another program adds between our read and our request becomes ours: the kernel cannot prevent it.

    Raises:
        OSError: the interface does not exist, or the kernel refuses.
    """
    index = if_nametoindex(interface)
    if _exists(index, address):
        return
    payload = _entry(index, address, _NUD_PERMANENT) + attribute(_NDA_PROTOCOL, bytes([PROTOCOL]))
    command(NETLINK_ROUTE, _RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, payload)


def remove_proxy_neighbour(interface: str, address: IPv6Address) -> None:
    """Remove an entry, no matter which program added it. A missing entry or interface is not an error.

    Raises:
        OSError: the kernel refuses.
    """
    try:
        index = if_nametoindex(interface)
    except OSError:  # its only cause: the interface does not exist
        return
    try:
        command(NETLINK_ROUTE, _RTM_DELNEIGH, 0, _entry(index, address))
    except OSError as error:
        if error.errno not in _GONE:
            raise


def _exists(index: int, address: IPv6Address) -> bool:
    try:
        return bool(get(NETLINK_ROUTE, _RTM_GETNEIGH, _entry(index, address)))
    except FileNotFoundError:
        return False


def _entry(index: int, address: IPv6Address, state: int = _NUD_NONE) -> bytes:
    return _NEIGHBOUR.pack(AF_INET6, index, state, _NTF_PROXY, 0) + attribute(_NDA_DST, address.packed)
