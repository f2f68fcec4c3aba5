"""The two things that are ever changed about an interface: up, and an address. All of it blocks.

Sources: rtnetlink(7), linux/if_addr.h.
"""

from ipaddress import IPv6Interface
from socket import AF_INET6, AF_UNSPEC, if_nametoindex

from dockerv6.hostnet.netlink import NETLINK_ROUTE, attribute, command
from dockerv6.hostnet.rtnetlink import ADDRESS, IFF_UP, LINK

_RTM_NEWLINK = 16
_RTM_NEWADDR = 20
_NLM_F_REPLACE = 0x100
_NLM_F_CREATE = 0x400
_IFA_F_NODAD = 0x02
_IFA_ADDRESS = 1


def set_up(interface: str) -> None:
    """Set the interface administratively up.

    Raises:
        OSError: there is none of that name, or the kernel refuses.
    """
    body = LINK.pack(AF_UNSPEC, 0, if_nametoindex(interface), IFF_UP, IFF_UP)
    command(NETLINK_ROUTE, _RTM_NEWLINK, 0, body)


def add_address(interface: str, address: IPv6Interface) -> None:
    """Give the interface an address, or make the one that it has as wished.

    Raises:
        OSError: there is no such interface, or the kernel refuses.
    """
    length = address.network.prefixlen
    head = ADDRESS.pack(AF_INET6, length, _IFA_F_NODAD, 0, if_nametoindex(interface))
    body = head + attribute(_IFA_ADDRESS, address.ip.packed)
    command(NETLINK_ROUTE, _RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_REPLACE, body)
