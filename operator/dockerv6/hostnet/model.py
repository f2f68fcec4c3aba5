"""The host's network stack as values."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Interface, IPv6Network


def interface_sysctl(interface: str, key: str) -> str:
    """The name of a sysctl of one interface (or of "all", "default"): slashes, as names of VLANs hold dots."""
    return f"net/ipv6/conf/{interface}/{key}"


@dataclass(frozen=True, slots=True)
class BridgePort:
    """The settings of a bridge's port (rtnetlink ``IFLA_BRPORT_*``)."""

    hairpin: bool = False  # IFLA_BRPORT_MODE: frames may leave by the port that they came in by


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket of the host that waits for IPv6 on a port. `address` is :: for any."""

    protocol: str  # "tcp", "udp" or "sctp"
    address: IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its global and unique-local IPv6 addresses."""

    index: int
    name: str
    kind: str  # "bridge", "veth", "vlan"...; "" for loopback and physical ones (IFLA_INFO_KIND)
    up: bool  # IFF_UP: switched on, with or without a carrier
    mtu: int
    master: int | None = None  # index of the bridge or bond that it is enslaved to
    addresses: tuple[IPv6Interface, ...] = ()  # ascending
    tentative: frozenset[IPv6Address] = frozenset()  # of `addresses`: duplicate address detection runs or has failed
    dad_failed: frozenset[IPv6Address] = frozenset()  # of `tentative`: it has failed, somebody else has the address
    bridge_port: BridgePort | None = None  # how it is enslaved to a bridge; None: it is no bridge's port
    bridge_netfilter: bool = False  # a bridge whose own nf_call_ip6tables is on (the sysctl may be on for all of them)
    autoconfigured: bool = False  # one of the addresses is from a router advertisement (RFC 4862)


class PrefixOrigin(StrEnum):
    """What tells of a prefix that the host has."""

    ADDRESS = "address"  # an address of the interface, with its length
    ROUTE = "route"  # an on-link route of the interface: advertised (RFC 4861, 4.6.2: L=1), or its address's own
    DELEGATION = "delegation"  # a route to nowhere (unreachable, blackhole, prohibit, throw): RFC 7084, WPD-5


@dataclass(frozen=True, slots=True)
class HostPrefix:
    """A prefix as an interface, or the host, has it now. Lifetimes are seconds left, None for ever (RFC 4861, 4.6.2).

    They are no part of `Interface`, since they differ with every look.
    """

    prefix: IPv6Network
    origin: PrefixOrigin
    interface: str  # "" of a delegation, which is the host's
    preferred: float | None = None  # 0: deprecated, no new flows should begin from it (RFC 4862, 5.5.4)
    valid: float | None = None
    address: IPv6Address | None = None  # of ADDRESS only
    temporary: bool = False  # RFC 8981: made for privacy, and gone tomorrow
    tentative: bool = False  # duplicate address detection runs, or has failed
    dad_failed: bool = False  # it has failed: somebody else has the address
    by_dhcp: bool = False  # of DELEGATION: a DHCPv6 client made the route; others may only keep somebody out


@dataclass(frozen=True, slots=True, order=True)
class ProxyNeighbour:
    """An address for which the kernel answers neighbour solicitations on an interface (``ip -6 neigh show proxy``)."""

    interface: str
    address: IPv6Address
    ours: bool = False  # it carries our protocol id (NDA_PROTOCOL; kernel >= 5.0 keeps it)


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
    """A unicast IPv6 route of any table but `local`; one for each next hop of a multipath route."""

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
    SYSCTL = "sysctl"  # RTM_NEWNETCONF: forwarding and proxy_ndp; no other sysctl is announced (accept_ra is not)
    FIREWALL = "firewall"  # an nf_tables transaction
    LOST = "lost"  # the socket overflowed or was opened anew: anything may have happened


@dataclass(frozen=True, slots=True)
class HostChange:
    """A hint that something changed.

    Attributes:
        kind: where to look.
        subject: the interface's name ("all" and "default" too for SYSCTL); for FIREWALL the family and table, such as
            "inet dockerv6"; "" when unknown.
        generation: FIREWALL only: nf_tables' generation after the latest commit that this change stands for. Who has
            read the table at that generation or a later one knows all of it already, such as after a commit of its
            own. None when unknown.
    """

    kind: ChangeKind
    subject: str = ""
    generation: int | None = None
