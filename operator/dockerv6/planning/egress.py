"""Every resource's share of the firewall, from what the ledger and the live networks say.

The share follows the network that runs, not the file: while a recreation is blocked or under way it keeps its rules.
The allocation has its rules before there is a network.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.pending import not_yet_in_effect
from dockerv6.dockerd.model import Network
from dockerv6.firewall.model import DEFAULT_MARK, EgressMode, FirewallIntent, NetworkIntent
from dockerv6.ipam.ledger import Allocation
from dockerv6.planning.blueprint import bridge_name


@dataclass(frozen=True, slots=True)
class Share:
    """What one resource wants of the firewall: its elements, or that they are left as they are."""

    owner: str
    networks: tuple[NetworkIntent, ...] = ()
    hold: bool = False


def share(resource: NetworkResource, bound: Allocation | None, networks: Iterable[Network] | None) -> Share:
    """The resource's share.

    ``networks`` are the live Docker networks that it is about: its own, or with Observe those of the name; None: they
    have never been seen.
    """
    owner = resource.metadata.name
    if resource.spec.suspend or not_yet_in_effect(resource).blocking:
        return Share(owner, hold=True)
    if resource.spec.management_policy is ManagementPolicy.OBSERVE:
        if networks is None:
            return Share(owner, hold=True)
        return Share(owner, _live_intents(resource, [n for n in networks if n.bridge][:1]))
    if bound is None:  # what it wants can't be told yet: rules of a time before the ledger was lost stay
        return Share(owner, hold=True)
    running = _live_intents(resource, networks or ())
    if any(i.subnet.overlaps(bound.prefix) for i in running):
        return Share(owner, running)
    coming = _intent(resource, bound.prefix, bridge_name(resource), internal=resource.spec.internal)
    return Share(owner, (*running, coming))


def _live_intents(resource: NetworkResource, networks: Iterable[Network]) -> tuple[NetworkIntent, ...]:
    return tuple(
        _intent(resource, config.subnet, network.bridge, internal=network.internal)
        for network in networks
        for config in network.ipv6
        if network.bridge and isinstance(config.subnet, IPv6Network) and not config.subnet.is_link_local
    )


def _intent(resource: NetworkResource, subnet: IPv6Network, bridge: str, *, internal: bool) -> NetworkIntent:
    egress = resource.spec.egress
    return NetworkIntent(
        owner=resource.metadata.name,
        subnet=subnet,
        bridge=bridge,
        egress=EgressMode(str(egress.mode)),
        egress_interfaces=tuple(egress.interfaces),
        egress_exclude=tuple(egress.exclude),
        internal=internal,
    )


def whole_intent(shares: Iterable[Share], mark: int = DEFAULT_MARK, uplinks: tuple[str, ...] = ()) -> FirewallIntent:
    """The host's whole wish, in the order of the owners. ``uplinks`` are the bridges that lead outside."""
    ordered = sorted(shares, key=lambda s: s.owner)
    return FirewallIntent(
        networks=tuple(n for s in ordered for n in s.networks),
        hold=frozenset(s.owner for s in ordered if s.hold),
        mark=mark,
        uplink_bridges=uplinks,
    )
