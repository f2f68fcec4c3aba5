"""What the packet filter should do, without the terms of any backend. `render` makes a ruleset of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol

DEFAULT_MARK = 0x10000000
"""The fwmark bit of flows that are allowed; not used by kube-proxy (0xc000), Tailscale (0xff0000) or Cilium (0xf00)."""


@dataclass(frozen=True, slots=True)
class Ingress:
    """Connections from outside the host that may reach containers at their own addresses."""

    sources: tuple[IPv6Network, ...] = ()  # empty: all
    targets: tuple[IPv6Network, ...] = ()  # the network's subnet, or single containers
    ports: tuple[tuple[TransportProtocol, int], ...] = ()  # empty: every protocol and port


@dataclass(frozen=True, slots=True)
class PortIntent:
    """One published port: a port of the host that leads to a container.

    A port has one intent at most; `planning.firewall.port_assignment` decides between containers that claim the same.
    """

    owner: str  # the resource's name, written beside each element
    protocol: TransportProtocol
    port: int
    target: IPv6Address  # the container's
    target_port: int
    gateway: IPv6Address | None = None  # the address of the target's bridge: the source of connections to [::1]
    host_address: IPv6Address | None = None  # None: any address of the host
    sources: tuple[IPv6Network, ...] = ()  # clients that may connect; empty: all


@dataclass(frozen=True, slots=True)
class NetworkIntent:
    """What the rules should do for one network.

    Attributes:
        owner: the resource's name, written beside each element and rule.
        subnet: of the containers.
        bridge: the host's bridge interface.
        egress: what happens to packets that leave the network.
        snat_address: for mode SNAT, an address of the host.
        external_prefixes: for mode PrefixTranslation, prefixes as long as `subnet`. Packets that leave get the first
            one. All of them lead in, so that flows to a previous prefix go on.
        external_addresses: the addresses in `external_prefixes` that lead in; None: all. Needed where the prefix is
            on-link, because other hosts of the link have addresses in it too.
        egress_interfaces: translate packets that leave through these only; empty: through any but the own bridge.
        egress_exclude: destinations that are not translated.
        internal: packets neither leave nor enter the network.
        isolated: containers of other networks reach published ports only.
        icc: containers of the network may reach one another.
        ingress: what may come in from outside the host.
        source_validation: packets of the containers need a source address in a subnet of their bridge.
    """

    owner: str
    subnet: IPv6Network
    bridge: InterfaceName
    egress: EgressMode = EgressMode.MASQUERADE
    snat_address: IPv6Address | None = None
    external_prefixes: tuple[IPv6Network, ...] = ()
    external_addresses: tuple[IPv6Address, ...] | None = None
    egress_interfaces: tuple[InterfaceName, ...] = ()
    egress_exclude: tuple[IPv6Network, ...] = ()
    internal: bool = False
    isolated: bool = True
    icc: bool = True
    ingress: tuple[Ingress, ...] = ()
    source_validation: bool = True


Claim = tuple[str, IPv6Network]
"""An owner, and a subnet or an external prefix that it needs for itself."""


@dataclass(frozen=True, slots=True)
class FirewallIntent:
    """What the rules should do for the whole host.

    Attributes:
        networks: of all resources.
        keep: owners whose elements and rules stay as the kernel has them: suspended resources, and resources whose
            intent is unknown at present.
        mark: the fwmark bit of flows that are allowed.
        uplink_bridges: bridges that lead outside the host: they carry a default route, or the host's LAN. Flows out of
            other bridges are never marked, because containers or virtual machines are behind them.
        ports: published ports of all resources.
        guest_bridges: all bridges that are not uplinks, for a backend whose rules can't match on a link's kind (see
            `FirewallBackend.matches_link_kinds`); None: rules match on the link's kind.
        host_addresses: addresses of the host in external prefixes, also of resources in `keep`. Ports published at them
            are open; the rest of such a prefix belongs to containers and is closed. Other addresses have no effect.
        precedence: if subnets or external prefixes overlap, the claims that are granted first, in this order. The
            others follow by owner's name.
    """

    networks: tuple[NetworkIntent, ...] = ()
    keep: frozenset[str] = frozenset()
    mark: int = DEFAULT_MARK
    uplink_bridges: tuple[str, ...] = ()
    ports: tuple[PortIntent, ...] = ()
    guest_bridges: tuple[str, ...] | None = None
    host_addresses: tuple[IPv6Address, ...] = ()
    precedence: tuple[Claim, ...] = ()


class FilterVariant(StrEnum):
    """The kind of rules that a host's own packet filter consists of."""

    XTABLES_NFT = "iptables-nft"
    XTABLES_LEGACY = "iptables-legacy"
    NFTABLES = "nftables"  # native base chains: firewalld, a hand-written /etc/nftables.conf, engine 29


@dataclass(frozen=True, slots=True)
class ForwardDrop:
    """A chain of xtables in the host's own filter that drops forwarded IPv6. Our table can't overrule a drop.

    Attributes:
        variant: iptables-nft or iptables-legacy.
        table: "filter".
        chain: where the accept rule belongs: DOCKER-USER or FORWARD.
        has_accept_rule: the accept rule for our mark is there, and reached.
    """

    variant: FilterVariant
    table: str
    chain: str
    has_accept_rule: bool


@dataclass(frozen=True, slots=True)
class HostFilterState:
    """Where the host's own filter needs our accept rule.

    Attributes:
        forward_drops: chains that drop forwarded packets.
        orphaned: places that hold our accept rule and no longer need it.
    """

    forward_drops: tuple[ForwardDrop, ...] = ()
    orphaned: tuple[ForwardDrop, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class FlowProblem:
    """What keeps a representative flow of a resource from passing the host's filters, or may do so.

    Attributes:
        owner: the resource.
        message: which flow, and which rule drops it, or which match can't be decided.
        certain: it is dropped; False: whether it is dropped is unknown.
        commands: what lets it pass, one runnable command each.
        keeping: a sentence about keeping the effect, or, without commands, about what to do.
        ours: our own table drops it.
    """

    owner: str
    message: str
    certain: bool
    commands: tuple[str, ...] = ()
    keeping: str = ""
    ours: bool = False
