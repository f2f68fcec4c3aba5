"""What the firewall is for, in terms that no backend knows: intent in, ruleset out (see `rules`)."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Network

DEFAULT_MARK = 0x10000000
"""The fwmark bit of flows that we allow; clear of kube-proxy (0xc000), Tailscale (0xff0000), Cilium (0xf00)."""


class EgressMode(StrEnum):
    """How packets leave a network."""

    MASQUERADE = "Masquerade"  # source becomes the outgoing interface's address (NAT66)
    NONE = "None"  # untranslated, nothing of ours


@dataclass(frozen=True, slots=True)
class NetworkIntent:
    """One network's share of the ruleset. ``owner`` (the resource's name) is written beside each element."""

    owner: str
    subnet: IPv6Network
    bridge: str  # the host's bridge interface
    egress: EgressMode = EgressMode.MASQUERADE
    egress_interfaces: tuple[str, ...] = ()  # translate only out of these; empty: any but the network's own bridge
    egress_exclude: tuple[IPv6Network, ...] = ()  # destinations that are not translated
    internal: bool = False  # no egress at all: no translation, no forward mark


@dataclass(frozen=True, slots=True)
class FirewallIntent:
    """The whole host's wish.

    ``hold`` names owners whose elements stay exactly as the kernel has them (suspended resources, resources whose
    wish can't be computed now): neither added, changed nor removed.
    ``uplink_bridges`` names the bridges that lead outside (they carry a default route, or the host's LAN): flows out of
    any other bridge are never marked, because containers or virtual machines live behind it.
    """

    networks: tuple[NetworkIntent, ...] = ()
    hold: frozenset[str] = frozenset()
    mark: int = DEFAULT_MARK
    uplink_bridges: tuple[str, ...] = ()


class FilterVariant(StrEnum):
    """Which machinery a host's own packet filter is written in."""

    XTABLES_NFT = "iptables-nft"
    XTABLES_LEGACY = "iptables-legacy"
    NFTABLES = "nftables"  # native base chains: firewalld, a hand-written /etc/nftables.conf, engine 29


@dataclass(frozen=True, slots=True)
class Barrier:
    """A place in the host's own filter that drops forwarded IPv6 which our table can't overrule."""

    variant: FilterVariant
    table: str  # "filter" for xtables; "inet firewalld" and the like for nftables
    chain: str  # where the accept rule belongs (DOCKER-USER or FORWARD), or the base chain that drops
    admitted: bool  # the accept rule for our mark is there, in its right place
    mendable: bool  # we can put it there; False: only the user can, `remedy` says how
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HostFilterState:
    """The host's own filter as far as it concerns our flows."""

    barriers: tuple[Barrier, ...] = ()
    stray: tuple[Barrier, ...] = field(default_factory=tuple)  # our accept rule where it no longer belongs
