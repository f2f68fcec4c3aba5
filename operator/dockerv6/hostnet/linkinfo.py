"""What the driver of a link tells of it, decoded: its kind, and a bridge's and a bridge port's settings. Pure.

Sources: linux/if_link.h; br_fill_info and br_port_fill_attrs in the kernel's net/bridge/br_netlink.c.
"""

from typing import NamedTuple

from dockerv6.hostnet.model import BridgePort
from dockerv6.lib.netlink import attribute, attributes, find, text

IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
_IFLA_INFO_SLAVE_KIND = 4
_IFLA_INFO_SLAVE_DATA = 5

IFLA_BRPORT_MODE = 4
IFLA_BR_NF_CALL_IP6TABLES = 37

BRIDGE = "bridge"
ON = b"\1"
OFF = b"\0"

_SLAVE_OF_BRIDGE = b"bridge\0"
_NETFILTER_ON = attribute(IFLA_BR_NF_CALL_IP6TABLES, ON)

# Hosts have hundreds of ports, in these two states.
_PORT = BridgePort()
_HAIRPIN_PORT = BridgePort(hairpin=True)


class LinkInfo(NamedTuple):
    """Of an IFLA_LINKINFO; fields as in `model.Interface`."""

    kind: str = ""
    bridge_port: BridgePort | None = None
    bridge_netfilter: bool = False


NO_LINK_INFO = LinkInfo()
"""Of a link without IFLA_LINKINFO: it is neither virtual nor anybody's port."""


def link_info(buffer: bytes, start: int, end: int) -> LinkInfo:
    """Decode the value of an IFLA_LINKINFO. In it a kind comes before the data whose meaning it tells."""
    kind, slave_of_bridge, netfilter = "", False, False
    port: BridgePort | None = None
    for nested, value, stop in attributes(buffer, start, end):
        if nested == IFLA_INFO_KIND:
            kind = text(buffer, value, stop)
        elif nested == IFLA_INFO_DATA and kind == BRIDGE:
            netfilter = _calls_ip6tables(buffer, value, stop)
        elif nested == _IFLA_INFO_SLAVE_KIND:
            slave_of_bridge = buffer[value:stop] == _SLAVE_OF_BRIDGE
        elif nested == _IFLA_INFO_SLAVE_DATA and slave_of_bridge:
            port = _HAIRPIN_PORT if _is_on(buffer, value, stop, IFLA_BRPORT_MODE) else _PORT
    return LinkInfo(kind, port, netfilter)


def _calls_ip6tables(buffer: bytes, start: int, end: int) -> bool:
    # It is the 38th of a bridge's attributes, and nearly always off: what can't hold it on is not walked through.
    return buffer.find(_NETFILTER_ON, start, end) >= 0 and _is_on(buffer, start, end, IFLA_BR_NF_CALL_IP6TABLES)


def _is_on(buffer: bytes, start: int, end: int, wanted: int) -> bool:
    found = find(buffer, start, end, wanted)
    return found is not None and any(buffer[slice(*found)])
