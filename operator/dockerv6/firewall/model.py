"""What the firewall is for, in terms that no backend knows: intent in, ruleset out (see `rules`)."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from dockerv6.lib.networking import EgressMode, TransportProtocol

DEFAULT_MARK = 0x10000000
"""The fwmark bit of flows that we allow; clear of kube-proxy (0xc000), Tailscale (0xff0000), Cilium (0xf00)."""


@dataclass(frozen=True, slots=True)
class Ingress:
    """What may come from outside the host straight to containers' own addresses."""

    sources: tuple[IPv6Network, ...] = ()  # empty: everybody
    targets: tuple[IPv6Network, ...] = ()  # the network's subnet, or single containers
    ports: tuple[tuple[TransportProtocol, int], ...] = ()  # empty: every protocol and port


@dataclass(frozen=True, slots=True)
class PortIntent:
    """One port of the host that leads to a container. ``owner`` (the resource's name) is written beside it.

    At most one intent may be about a port: those of two containers are a conflict that planning has settled.
    """

    owner: str
    protocol: TransportProtocol
    port: int
    target: IPv6Address  # the container's
    target_port: int
    gateway: IPv6Address | None = None  # the target's bridge's own address: the source for who calls [::1]
    host_address: IPv6Address | None = None  # None: any address of the host
    sources: tuple[IPv6Network, ...] = ()  # clients that may connect; empty: everybody


@dataclass(frozen=True, slots=True)
class NetworkIntent:
    """One network's share of the ruleset. ``owner`` (the resource's name) is written beside each element."""

    owner: str
    subnet: IPv6Network
    bridge: str  # the host's bridge interface
    egress: EgressMode = EgressMode.MASQUERADE
    snat_address: IPv6Address | None = None  # SNAT: an address of the host
    external_prefixes: tuple[
        IPv6Network, ...
    ] = ()  # PrefixTranslation: as long as `subnet`; the first is given to what leaves,
    # all of them lead in (flows to a prefix that was replaced go on)
    external_addresses: tuple[IPv6Address, ...] | None = (
        None  # those in `external_prefixes` that lead in; None: all. To be named
    )
    # where the prefix is on-link: others on that link have addresses in it too, and get what is sent there
    egress_interfaces: tuple[str, ...] = ()  # translate only out of these; empty: any but the network's own bridge
    egress_exclude: tuple[IPv6Network, ...] = ()  # destinations that are not translated
    internal: bool = False  # nothing goes out of it, nothing comes in
    isolated: bool = True  # containers of other networks don't get in, but through published ports
    icc: bool = True  # its containers may talk to one another
    ingress: tuple[Ingress, ...] = ()


@dataclass(frozen=True, slots=True)
class FirewallIntent:
    """The whole host's wish.

    ``hold`` names owners whose elements stay exactly as the kernel has them (suspended resources, resources whose
    wish can't be computed now): neither added, changed nor removed.
    ``uplink_bridges`` names the bridges that lead outside (they carry a default route, or the host's LAN): flows out of
    any other bridge are never marked, because containers or virtual machines live behind it.
    ``guest_bridges`` names all those other bridges, for a backend that can't ask the kernel whether a link is one
    (see `FirewallBackend.matches_link_kinds`); None: the kernel is asked, packet by packet.
    ``host_addresses`` are the host's own as far as they lie in an external prefix, whoever's, held or not (others do no
    harm): ports published at them are open, while all else in that prefix is containers' own and closed.
    """

    networks: tuple[NetworkIntent, ...] = ()
    keep: frozenset[str] = frozenset()
    mark: int = DEFAULT_MARK
    uplink_bridges: tuple[str, ...] = ()
    ports: tuple[PortIntent, ...] = ()
    guest_bridges: tuple[str, ...] | None = None
    host_addresses: tuple[IPv6Address, ...] = ()


class FilterVariant(StrEnum):
    """Which machinery a host's own packet filter is written in."""

    XTABLES_NFT = "iptables-nft"
    XTABLES_LEGACY = "iptables-legacy"
    NFTABLES = "nftables"  # native base chains: firewalld, a hand-written /etc/nftables.conf, engine 29


@dataclass(frozen=True, slots=True)
class ForwardDrop:
    """A place in the host's own filter that drops forwarded IPv6 which our table can't overrule."""

    variant: FilterVariant
    table: str  # "filter" for xtables; "inet firewalld" and the like for nftables
    chain: str  # where the accept rule belongs (DOCKER-USER or FORWARD), or the base chain that drops
    has_accept_rule: bool  # the accept rule for our mark is there, in its right place
    repairable: bool  # we can put it there; False: only the user can, `remedy` says how
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HostFilterState:
    """The host's own filter as far as it concerns our flows."""

    forward_drops: tuple[ForwardDrop, ...] = ()
    orphaned: tuple[ForwardDrop, ...] = field(default_factory=tuple)  # our accept rule where it no longer belongs
