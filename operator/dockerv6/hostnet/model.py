"""The host's network stack as values."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Interface, IPv6Network


def interface_sysctl(interface: str, key: str) -> str:
    """The name of an IPv6 sysctl of an interface, or of "all" or "default".

    The separator is a slash, since names of VLAN interfaces contain dots.
    """
    return f"net/ipv6/conf/{interface}/{key}"


BRIDGE = "bridge"
"""The kind of a bridge interface (IFLA_INFO_KIND)."""


@dataclass(frozen=True, slots=True)
class BridgePort:
    """The settings of a bridge port (rtnetlink ``IFLA_BRPORT_*``)."""

    hairpin: bool = False  # IFLA_BRPORT_MODE: frames may leave by the port that they came from


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket of the host that waits for IPv6 packets on a port."""

    protocol: str  # "tcp", "udp" or "sctp"
    address: IPv6Address  # :: for any address
    port: int


@dataclass(frozen=True, slots=True)
class ContainerSockets:
    """The protocols ("tcp", "udp") and ports on which the processes of a container wait, except on loopback.

    A dual-stack socket is in ``ipv6`` only, one for IPv4-mapped addresses in ``ipv4``.
    """

    ipv4: frozenset[tuple[str, int]] = frozenset()
    ipv6: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its global and unique local IPv6 addresses."""

    index: int
    name: str
    kind: str  # IFLA_INFO_KIND: "bridge", "veth", "vlan"...; "" for loopback and physical interfaces
    up: bool  # IFF_UP: administratively up, with or without a carrier
    mtu: int
    master: int | None = None  # index of the bridge or bond that the interface belongs to
    link: int | None = None  # index of a veth's other end, or a VLAN's parent; None: there is none in this namespace
    addresses: tuple[IPv6Interface, ...] = ()  # sorted
    tentative: frozenset[IPv6Address] = frozenset()  # of `addresses`: duplicate address detection runs or has failed
    dad_failed: frozenset[IPv6Address] = frozenset()  # of `tentative`: another host has the address
    bridge_port: BridgePort | None = None  # None if the interface is not a bridge port
    bridge_netfilter: bool = False  # nf_call_ip6tables of this bridge; the sysctl for all bridges may be on without it
    autoconfigured: bool = False  # at least one address is from a router advertisement (RFC 4862)


class PrefixOrigin(StrEnum):
    """Where a prefix of the host was found."""

    ADDRESS = "address"  # an address of the interface, with its prefix length
    ROUTE = "route"  # an on-link route: from a router advertisement (RFC 4861, 4.6.2: L=1), or that of an address
    DELEGATION = "delegation"  # a rejecting route (unreachable, blackhole, prohibit, throw): RFC 7084, WPD-5


@dataclass(frozen=True, slots=True)
class HostPrefix:
    """A prefix that an interface or the host has now. Lifetimes are seconds left; None is infinite (RFC 4861, 4.6.2).

    Prefixes are not part of `Interface`, since their lifetimes differ with every read.
    """

    prefix: IPv6Network
    origin: PrefixOrigin
    interface: str  # "" for a delegation, which belongs to the host
    preferred: float | None = None  # 0: deprecated, new flows should not use it (RFC 4862, 5.5.4)
    valid: float | None = None
    address: IPv6Address | None = None  # only for ADDRESS
    temporary: bool = False  # a privacy address with a short lifetime (RFC 8981)
    tentative: bool = False  # duplicate address detection runs or has failed
    dad_failed: bool = False  # another host has the address
    by_dhcp: bool = (
        False  # only for DELEGATION: added by a DHCPv6 client; other rejecting routes may only block traffic
    )


@dataclass(frozen=True, slots=True, order=True)
class ProxyNeighbour:
    """An NDP proxy entry: the kernel answers neighbour solicitations for the address (``ip -6 neigh show proxy``)."""

    interface: str
    address: IPv6Address
    ours: bool = False  # it has our protocol id (NDA_PROTOCOL, which kernels keep since 5.0)


class RouteProtocol(StrEnum):
    """The origin of a route (rtnetlink ``rtm_protocol``)."""

    KERNEL = "kernel"
    RA = "ra"
    STATIC = "static"
    BOOT = "boot"
    DHCP = "dhcp"
    OTHER = "other"


MAIN_TABLE, LOCAL_TABLE = 254, 255  # RT_TABLE_*


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv6 route of any table but `local`. A multipath route is one value for each next hop.

    ``rejects`` is "" for a unicast route; else the type (ip-route(8)): "unreachable", "blackhole" and "prohibit" drop
    the packet, "throw" ends the lookup in the table.
    """

    destination: IPv6Network  # ::/0 for a default route
    interface: str | None
    protocol: RouteProtocol
    table: int
    metric: int = 0
    rejects: str = ""


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing policy rule that chooses a table, or drops (ip-rule(8)).

    Attributes:
        priority: the lowest is consulted first.
        table: the table that is looked up; 0 if the rule drops.
        destination: only packets to this prefix; None: to any.
        conditions: names of what else restricts it to some packets, such as "from" or "fwmark"; "not": all others.
        suppressed: a route of this prefix length or shorter does not count (``suppress_prefixlength``).
        rejects: "unreachable", "blackhole" or "prohibit": packets are dropped; "": a table is looked up.
        source: of the condition "from".
        interface: of the condition "iif".
    """

    priority: int
    table: int
    destination: IPv6Network | None = None
    conditions: frozenset[str] = frozenset()
    suppressed: int | None = None
    rejects: str = ""
    source: IPv6Network | None = None
    interface: str = ""


class ChangeKind(StrEnum):
    """Which part of the network stack changed, and so which state has to be read again."""

    LINK = "link"
    ADDRESS = "address"
    ROUTE = "route"
    SYSCTL = "sysctl"  # RTM_NEWNETCONF: forwarding and proxy_ndp; the kernel announces no others, not even accept_ra
    FIREWALL = "firewall"  # an nf_tables transaction
    LOST = "lost"  # notifications were lost (socket overflow, new subscription): anything may have changed


@dataclass(frozen=True, slots=True)
class HostChange:
    """A hint that something changed.

    Attributes:
        kind: what changed.
        subject: the name of the interface, and for SYSCTL also "all" or "default"; for FIREWALL the family and the
            table, such as "inet dockerv6"; "" if unknown.
        generation: only for FIREWALL: nf_tables' generation after the latest commit that this change stands for. A
            reader that has read the table at this generation or a later one, such as after its own commit, has seen
            the change. None if unknown.
    """

    kind: ChangeKind
    subject: str = ""
    generation: int | None = None
