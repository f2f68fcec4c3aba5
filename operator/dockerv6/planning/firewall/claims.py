"""Decides which resource gets the rules if two claim the same prefix, and explains why the other one has none.

The one that has them keeps them, as with published ports: a new resource takes nothing from one that runs, whatever its
name. Of two that come at the same time, subnets come before external prefixes, because containers have their addresses
already; then a resource that manages its Docker network before one that observes it, and that before a policy; then the
first by name.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from dockerv6.api.kinds import POLICY
from dockerv6.firewall.model import Claim, NetworkIntent
from dockerv6.firewall.overlaps import SeparatedNetworks, claims_of
from dockerv6.planning.firewall.contributions import ProxiedSubnet, resource_of
from dockerv6.planning.firewall.port_claims import PublishingNetwork

Held = Mapping[Claim, int]
"""The claims that have rules, and the order in which they were granted; equal numbers: at the same time."""


def precedence(networks: Iterable[NetworkIntent], held: Held, observers: frozenset[str]) -> tuple[Claim, ...]:
    """All claims of the networks, in the order in which they are granted.

    Args:
        networks: of all resources.
        held: the claims that have rules now.
        observers: owners that observe a Docker network of others.
    """
    known = tuple(networks)
    subnets = {(network.owner, network.subnet) for network in known}

    def order(claim: Claim) -> tuple[float, bool, int, str, IPv6Key]:
        owner, prefix = claim
        rank = 2 if resource_of(owner)[0] == POLICY else int(owner in observers)
        key = int(prefix.network_address), prefix.prefixlen
        return held.get(claim, float("inf")), claim not in subnets, rank, owner, key

    return tuple(sorted(set(claims_of(known)), key=order))


IPv6Key = tuple[int, int]
"""A prefix as numbers."""


def same_network(networks: Iterable[NetworkIntent], owner: str, rival: str) -> NetworkIntent | None:
    """The intent of the owner for a Docker network that the rival has too."""
    known = tuple(networks)
    rivals = {(network.bridge, network.subnet) for network in known if network.owner == rival}
    return next((n for n in known if n.owner == owner and (n.bridge, n.subnet) in rivals), None)


def without_rules(networks: Iterable[PublishingNetwork], separated: SeparatedNetworks) -> list[PublishingNetwork]:
    """The publishing networks without those that have no rules: they would take the ports of the others."""
    kept: dict[str, list[NetworkIntent]] = {}
    for intent in separated.networks:
        kept.setdefault(intent.owner, []).append(intent)

    def has_rules(network: PublishingNetwork) -> bool:
        own = kept.get(network.owner, ())
        return any(network.gateway is None or network.gateway in intent.subnet for intent in own)

    return [each for each in networks if each.owner not in separated.lost or has_rules(each)]


def entitled(proxied: ProxiedSubnet, denied: Collection[Claim]) -> ProxiedSubnet | None:
    """The part of it that gets NDP proxy entries: none in prefixes that others have.

    Args:
        proxied: the subnet.
        denied: claims that have no rules.
    """
    if (proxied.owner, proxied.subnet) in denied:
        return None
    external = tuple(prefix for prefix in proxied.external_prefixes if (proxied.owner, prefix) not in denied)
    if external == proxied.external_prefixes:
        return proxied
    return replace(proxied, external_prefixes=external) if external else None


def overlap_message(
    owner: str, rival: str, networks: Iterable[NetworkIntent], docker_network: str, *, observing: bool, observed: bool
) -> str:
    """Why the owner has no rules, and what to do.

    Args:
        owner: the resource without rules.
        rival: the one that has them.
        networks: of all resources.
        docker_network: the Docker network that both have, as a noun phrase; "": they have two.
        observing: the owner observes a Docker network of others.
        observed: so does the rival.
    """
    kind, name = resource_of(rival)
    if docker_network:
        verb = "selected" if kind == POLICY else "observed" if observed else "managed"
        remedy = "narrow its selector" if kind == POLICY else "remove one of the two resources"
        return f"{docker_network} is {verb} by {kind} {name}, which has its rules; {remedy}"
    known = tuple(networks)
    own = [n.subnet for n in known if n.owner == owner]
    rivals = [prefix for claimant, prefix in claims_of(known) if claimant == rival]
    subnet, other = next(((s, t) for s in own for t in rivals if s.overlaps(t)), (None, None))
    remedy = "recreate its Docker network with another subnet" if observing else "give it another subnet"
    if resource_of(owner)[0] == POLICY:
        remedy = "recreate the Docker network with another subnet"
    return f"its subnet {subnet} overlaps {other} of {kind} {name}, which has the rules; {remedy}"
