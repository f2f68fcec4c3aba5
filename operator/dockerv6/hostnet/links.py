"""Network interfaces over rtnetlink: listing and changing them. All functions but `decode_link_info` block.

Sources: rtnetlink(7), linux/if_link.h; br_fill_info and br_port_fill_attrs in the kernel's net/bridge/br_netlink.c.
"""

import struct
from socket import AF_BRIDGE, AF_UNSPEC, if_indextoname, if_nametoindex
from typing import NamedTuple

from dockerv6.hostnet.addresses import AddressTable, dump_addresses
from dockerv6.hostnet.model import BRIDGE, BridgePort, Interface
from dockerv6.lib.netlink import NESTED, NETLINK_ROUTE, Buffer, attribute, attributes, command, dump, find, pick, text

_RTM_NEWLINK = 16
_RTM_GETLINK = 18
_RTM_SETLINK = 19

LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_U32 = struct.Struct("=I")

_IFF_UP = 0x1
IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINK = 5
_IFLA_MASTER = 10
_IFLA_PROTINFO = 12
_IFLA_LINKINFO = 18
_IFLA_EXT_MASK = 29
_IFLA_LINK_NETNSID = 37
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_LISTED = frozenset({IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_LINK_NETNSID})

_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_IFLA_INFO_SLAVE_KIND = 4
_IFLA_INFO_SLAVE_DATA = 5
_IFLA_BRPORT_MODE = 4
_IFLA_BR_NF_CALL_IP6TABLES = 37

_SLAVE_OF_BRIDGE = b"bridge\0"
_ON = b"\1"
_OFF = b"\0"
_NF_CALL_IP6TABLES_ON = attribute(_IFLA_BR_NF_CALL_IP6TABLES, _ON)

# Hosts have hundreds of bridge ports in these two states.
_PORT = BridgePort()
_HAIRPIN_PORT = BridgePort(hairpin=True)


class LinkInfo(NamedTuple):
    """The fields of `model.Interface` that IFLA_LINKINFO contains."""

    kind: str = ""
    bridge_port: BridgePort | None = None
    bridge_netfilter: bool = False


_NO_LINK_INFO = LinkInfo()


def interfaces() -> tuple[Interface, ...]:
    """All interfaces with their IPv6 addresses, by index.

    Raises:
        OSError: the kernel's error.
    """
    # Links before addresses: an address of an interface that was created in between is then left out.
    request = LINK.pack(AF_UNSPEC, 0, 0, 0, 0) + attribute(_IFLA_EXT_MASK, _U32.pack(_RTEXT_FILTER_SKIP_STATS))
    links = dump(NETLINK_ROUTE, _RTM_GETLINK, request)
    addresses = AddressTable(dump_addresses())
    found = (_interface(buffer, start, end, addresses) for buffer, start, end in links)
    return tuple(sorted(found, key=lambda interface: interface.index))


def _interface(buffer: bytes, start: int, end: int, addresses: AddressTable) -> Interface:
    _, _, index, flags, _ = LINK.unpack_from(buffer, start)
    found = pick(buffer, start + LINK.size, end, _LISTED)
    info = decode_link_info(buffer, *found[_IFLA_LINKINFO]) if _IFLA_LINKINFO in found else _NO_LINK_INFO
    return Interface(
        index=index,
        name=text(buffer, *found[IFLA_IFNAME]) if IFLA_IFNAME in found else "",
        kind=info.kind,
        up=bool(flags & _IFF_UP),
        mtu=_u32(buffer, found[_IFLA_MTU]) if _IFLA_MTU in found else 0,
        master=_u32(buffer, found[_IFLA_MASTER]) if _IFLA_MASTER in found else None,
        link=_u32(buffer, found[_IFLA_LINK]) if _IFLA_LINK in found and _IFLA_LINK_NETNSID not in found else None,
        addresses=tuple(sorted(addresses.addresses.get(index, ()))),
        tentative=frozenset(addresses.tentative.get(index, ())),
        dad_failed=frozenset(addresses.dad_failed.get(index, ())),
        bridge_port=info.bridge_port,
        bridge_netfilter=info.bridge_netfilter,
        autoconfigured=index in addresses.autoconfigured,
    )


def _u32(buffer: Buffer, span: tuple[int, int]) -> int:
    return int(_U32.unpack_from(buffer, span[0])[0])


def decode_link_info(buffer: bytes, start: int, end: int) -> LinkInfo:
    """Decode the value of an IFLA_LINKINFO. In it each kind precedes the data of that kind."""
    kind, slave_of_bridge, netfilter = "", False, False
    port: BridgePort | None = None
    for nested, value, stop in attributes(buffer, start, end):
        if nested == _IFLA_INFO_KIND:
            kind = text(buffer, value, stop)
        elif nested == _IFLA_INFO_DATA and kind == BRIDGE:
            netfilter = _calls_ip6tables(buffer, value, stop)
        elif nested == _IFLA_INFO_SLAVE_KIND:
            slave_of_bridge = buffer[value:stop] == _SLAVE_OF_BRIDGE
        elif nested == _IFLA_INFO_SLAVE_DATA and slave_of_bridge:
            port = _HAIRPIN_PORT if _is_on(buffer, value, stop, _IFLA_BRPORT_MODE) else _PORT
    return LinkInfo(kind, port, netfilter)


def _calls_ip6tables(buffer: bytes, start: int, end: int) -> bool:
    # The attribute is the 38th of a bridge and nearly always off: the search avoids decoding the others.
    return buffer.find(_NF_CALL_IP6TABLES_ON, start, end) >= 0 and _is_on(
        buffer, start, end, _IFLA_BR_NF_CALL_IP6TABLES
    )


def _is_on(buffer: bytes, start: int, end: int, wanted: int) -> bool:
    found = find(buffer, start, end, wanted)
    return found is not None and any(buffer[slice(*found)])


def interface_name(index: int, cache: dict[int, str]) -> str | None:
    """The name of an interface; None if it does not exist any more. Names are stored in the cache."""
    if index not in cache:
        try:
            cache[index] = if_indextoname(index)
        except (OSError, OverflowError):
            return None
    return cache[index]


def set_link_up(interface: str) -> None:
    """Set the interface administratively up.

    Raises:
        OSError: the interface does not exist, or the kernel refuses.
    """
    command(NETLINK_ROUTE, _RTM_NEWLINK, 0, LINK.pack(AF_UNSPEC, 0, if_nametoindex(interface), _IFF_UP, _IFF_UP))


def set_hairpin(port: str, *, on: bool) -> None:
    """Let a bridge port send frames back out of the port that they came from, or not.

    Raises:
        OSError: the interface does not exist or is not a bridge port (EOPNOTSUPP), or the kernel refuses.
    """
    mode = attribute(_IFLA_BRPORT_MODE, _ON if on else _OFF)
    payload = LINK.pack(AF_BRIDGE, 0, if_nametoindex(port), 0, 0) + attribute(_IFLA_PROTINFO | NESTED, mode)
    command(NETLINK_ROUTE, _RTM_SETLINK, 0, payload)


def set_bridge_netfilter(bridge: str, *, on: bool) -> None:
    """Pass frames that are bridged within this bridge to ip6tables and nftables, or not.

    Raises:
        OSError: the interface does not exist or is not a bridge (EOPNOTSUPP), or the kernel refuses.
    """
    flag = attribute(_IFLA_BR_NF_CALL_IP6TABLES, _ON if on else _OFF)
    info = attribute(_IFLA_INFO_KIND, BRIDGE.encode()) + attribute(_IFLA_INFO_DATA | NESTED, flag)
    payload = LINK.pack(AF_UNSPEC, 0, if_nametoindex(bridge), 0, 0) + attribute(_IFLA_LINKINFO | NESTED, info)
    command(NETLINK_ROUTE, _RTM_NEWLINK, 0, payload)
