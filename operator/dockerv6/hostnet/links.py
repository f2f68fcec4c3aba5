"""What is ever changed about links: up, an address, and settings of bridges and their ports. All of it blocks.

Sources: rtnetlink(7), linux/if_addr.h, if_link.h.
"""

from ipaddress import IPv6Interface
from socket import AF_BRIDGE, AF_INET6, AF_UNSPEC, if_nametoindex

from dockerv6.hostnet import linkinfo
from dockerv6.hostnet.addresses import ADDRESS, IFA_ADDRESS
from dockerv6.hostnet.rtnetlink import IFF_UP, IFLA_LINKINFO, LINK, interfaces
from dockerv6.lib.netlink import NESTED, NETLINK_ROUTE, attribute, command

_RTM_NEWLINK = 16
_RTM_SETLINK = 19
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_NLM_F_REPLACE = 0x100
_NLM_F_CREATE = 0x400
_IFLA_PROTINFO = 12
_IFA_F_NODAD = 0x02


def set_link_up(interface: str) -> None:
    """Set the interface administratively up.

    Raises:
        OSError: there is none of that name, or the kernel refuses.
    """
    body = LINK.pack(AF_UNSPEC, 0, if_nametoindex(interface), IFF_UP, IFF_UP)
    command(NETLINK_ROUTE, _RTM_NEWLINK, 0, body)


def add_address(interface: str, address: IPv6Interface) -> None:
    """Give the interface an address, or make the one that it has as wished.

    Replacing one that is tentative, or failed duplicate address detection, leaves it so (Linux 6.18): it is removed
    first. Nothing uses it as a source yet.

    Raises:
        OSError: there is no such interface, or the kernel refuses.
    """
    length, index = address.network.prefixlen, if_nametoindex(interface)
    head = ADDRESS.pack(AF_INET6, length, _IFA_F_NODAD, 0, index)
    body = head + attribute(IFA_ADDRESS, address.ip.packed)
    there = next((each for each in interfaces() if each.index == index), None)
    if there is not None and address in there.addresses and address.ip in there.tentative:
        command(NETLINK_ROUTE, _RTM_DELADDR, 0, body)
    command(NETLINK_ROUTE, _RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_REPLACE, body)


def set_hairpin(port: str, *, on: bool) -> None:
    """Let a bridge's port send frames back where they came from, or not.

    Raises:
        OSError: there is no such interface, it is no bridge's port (EOPNOTSUPP), or the kernel refuses.
    """
    mode = attribute(linkinfo.IFLA_BRPORT_MODE, linkinfo.ON if on else linkinfo.OFF)
    body = LINK.pack(AF_BRIDGE, 0, if_nametoindex(port), 0, 0) + attribute(_IFLA_PROTINFO | NESTED, mode)
    command(NETLINK_ROUTE, _RTM_SETLINK, 0, body)


def set_bridge_netfilter(bridge: str, *, on: bool) -> None:
    """Let ip6tables and nftables see what is bridged within this bridge, or not.

    Raises:
        OSError: there is no such interface, it is no bridge (EOPNOTSUPP), or the kernel refuses.
    """
    flag = attribute(linkinfo.IFLA_BR_NF_CALL_IP6TABLES, linkinfo.ON if on else linkinfo.OFF)
    kind = attribute(linkinfo.IFLA_INFO_KIND, linkinfo.BRIDGE.encode())
    info = kind + attribute(linkinfo.IFLA_INFO_DATA | NESTED, flag)
    body = LINK.pack(AF_UNSPEC, 0, if_nametoindex(bridge), 0, 0) + attribute(IFLA_LINKINFO | NESTED, info)
    command(NETLINK_ROUTE, _RTM_NEWLINK, 0, body)
