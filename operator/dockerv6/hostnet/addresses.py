"""What one rtnetlink message tells of an address, decoded. Pure.

Sources: linux/if_addr.h; inet6_fill_ifaddr in the kernel's net/ipv6/addrconf.c.
"""

import struct
from typing import NamedTuple

from dockerv6.lib.netlink import Buffer, attributes

ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_LIFETIMES = struct.Struct("=II")  # the first half of an ifa_cacheinfo: preferred, valid
_U32 = struct.Struct("=I")

IFA_ADDRESS = 1
IFA_LOCAL = 2
_IFA_CACHEINFO = 6
IFA_FLAGS = 8
IFA_PROTO = 11
BY_ADVERTISEMENT = 2  # IFAPROT_KERNEL_RA

TEMPORARY = 0x01  # IFA_F_SECONDARY is IFA_F_TEMPORARY for IPv6; only the kernel sets it (RFC 8981)
DADFAILED = 0x08
DEPRECATED = 0x20
TENTATIVE = 0x40
PERMANENT = 0x80  # its valid lifetime is for ever; the preferred one need not be

SCOPE_UNIVERSE = 0
MULTICAST = 0xFF  # first byte; "autojoin" gives an interface such an "address", of a scope of its own choice
_FOR_EVER = 0xFFFFFFFF


class OwnAddress(NamedTuple):
    """An address of an interface."""

    interface: int  # its index
    packed: bytes
    length: int  # of its prefix
    flags: int
    lifetimes: int  # where its message has them; 0: nowhere
    proto: int = 0  # who made it; 0: a program that didn't say, or a kernel before 5.18, which never does


def own_address(buffer: Buffer, start: int, end: int) -> OwnAddress | None:
    """Decode the payload of an RTM_NEWADDR; None for one of a scope that doesn't matter here, such as link-local."""
    _, length, flags, scope, interface = ADDRESS.unpack_from(buffer, start)
    if scope != SCOPE_UNIVERSE:
        return None
    own: bytes | None = None
    lifetimes = proto = 0
    for kind, value, stop in attributes(buffer, start + ADDRESS.size, end):
        # On a point-to-point link IFA_ADDRESS is the peer's, and IFA_LOCAL ours (linux/if_addr.h).
        if kind == IFA_LOCAL or (kind == IFA_ADDRESS and own is None):
            own = bytes(buffer[value:stop])
        elif kind == IFA_FLAGS:
            (flags,) = _U32.unpack_from(buffer, value)
        elif kind == _IFA_CACHEINFO:
            lifetimes = value
        elif kind == IFA_PROTO:
            proto = buffer[value]
    if own is None or own[0] == MULTICAST:
        return None
    return OwnAddress(interface, own, length, flags, lifetimes, proto)


def tells_proto(buffer: Buffer, start: int, end: int) -> bool:
    """Whether an RTM_NEWADDR says who made the address: of loopback's and link-local ones, kernels from 5.18 on do."""
    return any(kind == IFA_PROTO for kind, _, _ in attributes(buffer, start + ADDRESS.size, end))


def lifetimes(buffer: Buffer, own: OwnAddress) -> tuple[float | None, float | None]:
    """The preferred and the valid lifetime of an address of this message, seconds left; None for ever."""
    preferred, valid = _LIFETIMES.unpack_from(buffer, own.lifetimes) if own.lifetimes else (_FOR_EVER, _FOR_EVER)
    return 0.0 if own.flags & DEPRECATED else _seconds(preferred), _seconds(valid)


def _seconds(left: int) -> float | None:
    return None if left == _FOR_EVER else float(left)
