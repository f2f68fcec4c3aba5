"""The host's network stack as values."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Interface, IPv6Network


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its global and unique-local IPv6 addresses."""

    index: int
    name: str
    kind: str  # "bridge", "veth", "vlan"...; "" for a physical one (IFLA_INFO_KIND)
    up: bool
    mtu: int
    master: int | None = None  # index of the bridge or bond that it is enslaved to
    addresses: tuple[IPv6Interface, ...] = ()


class RouteProtocol(StrEnum):
    """Who put a route there (rtnetlink ``rtm_protocol``)."""

    KERNEL = "kernel"
    RA = "ra"
    STATIC = "static"
    BOOT = "boot"
    DHCP = "dhcp"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast IPv6 route of any table but `local`."""

    destination: IPv6Network  # ::/0 for a default route
    interface: str | None
    protocol: RouteProtocol
    table: int
    metric: int = 0


class ChangeKind(StrEnum):
    """Which part of the stack changed. It only says where to look again (level-based)."""

    LINK = "link"
    ADDRESS = "address"
    ROUTE = "route"
    SYSCTL = "sysctl"  # RTM_NEWNETCONF: forwarding
    FIREWALL = "firewall"  # an nf_tables transaction
    LOST = "lost"  # the socket overflowed or was opened anew: anything may have happened


@dataclass(frozen=True, slots=True)
class Change:
    """A hint that something changed."""

    kind: ChangeKind
    subject: str = ""  # interface name; for FIREWALL "family table", such as "inet dockerv6"; "" when unknown
