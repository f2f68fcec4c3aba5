"""IPv6 addresses of interfaces over rtnetlink: decoding, listing, adding. All functions but the decoders block.

Sources: rtnetlink(7), linux/if_addr.h; inet6_fill_ifaddr in the kernel's net/ipv6/addrconf.c.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Interface
from socket import AF_INET6, if_nametoindex
from typing import NamedTuple

from dockerv6.lib.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Buffer,
    Payload,
    attribute,
    attributes,
    command,
    dump,
)

_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_GETADDR = 22

ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_LIFETIMES = struct.Struct("=II")  # the first half of an ifa_cacheinfo: preferred, valid
_U32 = struct.Struct("=I")

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_CACHEINFO = 6
_IFA_FLAGS = 8
_IFA_PROTO = 11
_IFAPROT_KERNEL_RA = 2

IFA_F_TEMPORARY = 0x01  # the same bit as IFA_F_SECONDARY; for IPv6 only the kernel sets it (RFC 8981)
_IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08
_IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
_IFA_F_PERMANENT = 0x80  # the valid lifetime is infinite; the preferred lifetime need not be

SCOPE_UNIVERSE = 0
MULTICAST = 0xFF  # first byte; `autojoin` adds such an "address" to an interface, in any scope
_INFINITE = 0xFFFFFFFF


class DecodedAddress(NamedTuple):
    """An address of an interface, from one RTM_NEWADDR message."""

    interface: int  # index
    packed: bytes
    length: int  # of the prefix
    flags: int
    lifetimes: int  # position of the ifa_cacheinfo in the message; 0 if there is none
    proto: int = 0  # its origin (IFAPROT_*); 0 if unknown, as always before Linux 5.18


def decode_address(buffer: Buffer, start: int, end: int) -> DecodedAddress | None:
    """Decode the payload of an RTM_NEWADDR; None for an address that is not global or unique local."""
    _, length, flags, scope, interface = ADDRESS.unpack_from(buffer, start)
    if scope != SCOPE_UNIVERSE:
        return None
    packed: bytes | None = None
    lifetimes = proto = 0
    for kind, value, stop in attributes(buffer, start + ADDRESS.size, end):
        # On a point-to-point link IFA_ADDRESS is the peer's address and IFA_LOCAL our own (linux/if_addr.h).
        if kind == _IFA_LOCAL or (kind == _IFA_ADDRESS and packed is None):
            packed = bytes(buffer[value:stop])
        elif kind == _IFA_FLAGS:
            (flags,) = _U32.unpack_from(buffer, value)
        elif kind == _IFA_CACHEINFO:
            lifetimes = value
        elif kind == _IFA_PROTO:
            proto = buffer[value]
    if packed is None or packed[0] == MULTICAST:
        return None
    return DecodedAddress(interface, packed, length, flags, lifetimes, proto)


def decode_lifetimes(buffer: Buffer, address: DecodedAddress) -> tuple[float | None, float | None]:
    """The preferred and the valid lifetime of an address in this message, in seconds; None if infinite."""
    preferred = valid = _INFINITE
    if address.lifetimes:
        preferred, valid = _LIFETIMES.unpack_from(buffer, address.lifetimes)
    return 0.0 if address.flags & _IFA_F_DEPRECATED else _seconds(preferred), _seconds(valid)


def _seconds(lifetime: int) -> float | None:
    return None if lifetime == _INFINITE else float(lifetime)


def dump_addresses() -> list[Payload]:
    """The RTM_NEWADDR messages of all IPv6 addresses.

    Raises:
        OSError: the kernel's error.
    """
    return dump(NETLINK_ROUTE, _RTM_GETADDR, ADDRESS.pack(AF_INET6, 0, 0, 0, 0))


class AddressTable:
    """The addresses of all interfaces, by index."""

    def __init__(self, messages: Iterable[Payload]) -> None:
        """Decode RTM_NEWADDR messages."""
        self.addresses: defaultdict[int, list[IPv6Interface]] = defaultdict(list)
        self.tentative: defaultdict[int, set[IPv6Address]] = defaultdict(set)
        self.dad_failed: defaultdict[int, set[IPv6Address]] = defaultdict(set)
        self._with_lifetime: set[int] = set()
        self._advertised: set[int] = set()
        self._kernel_reports_proto = False
        for buffer, start, end in messages:
            self._read(buffer, start, end)

    @property
    def autoconfigured(self) -> set[int]:
        """Interfaces with an address from a router advertisement.

        A finite lifetime does not prove it: DHCPv6 clients set lifetimes too, also on addresses in the delegated
        prefix of the LAN. It counts only on kernels that do not report the origin of an address.
        """
        return self._advertised if self._kernel_reports_proto else self._with_lifetime

    def _read(self, buffer: Buffer, start: int, end: int) -> None:
        self._kernel_reports_proto = self._kernel_reports_proto or _has_proto(buffer, start, end)
        decoded = decode_address(buffer, start, end)
        if decoded is None:
            return
        index = decoded.interface
        address = IPv6Interface((decoded.packed, decoded.length))
        self.addresses[index].append(address)
        if decoded.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
            self.tentative[index].add(address.ip)
        if decoded.flags & IFA_F_DADFAILED:
            self.dad_failed[index].add(address.ip)
        if not decoded.flags & _IFA_F_PERMANENT:
            self._with_lifetime.add(index)
            if decoded.proto == _IFAPROT_KERNEL_RA:
                self._advertised.add(index)


def _has_proto(buffer: Buffer, start: int, end: int) -> bool:
    """Whether the message has IFA_PROTO. Since Linux 5.18, those of loopback and link-local addresses always have."""
    return any(kind == _IFA_PROTO for kind, _, _ in attributes(buffer, start + ADDRESS.size, end))


def add_address(interface: str, address: IPv6Interface) -> None:
    """Add an address without duplicate address detection, or make an existing one usable.

    Replacing an address that is tentative or has failed the detection does not change that (Linux 6.18), so it is
    removed first. Nothing uses such an address as a source yet.

    Raises:
        OSError: the interface does not exist, or the kernel refuses.
    """
    length, index = address.network.prefixlen, if_nametoindex(interface)
    payload = ADDRESS.pack(AF_INET6, length, _IFA_F_NODAD, 0, index) + attribute(_IFA_ADDRESS, address.ip.packed)
    existing = AddressTable(dump_addresses())
    if address in existing.addresses[index] and address.ip in existing.tentative[index]:
        command(NETLINK_ROUTE, _RTM_DELADDR, 0, payload)
    command(NETLINK_ROUTE, _RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, payload)
