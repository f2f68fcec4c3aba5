"""The whole host's wish of the firewall, made of every resource's share; computed anew when something changed.

The only memory in it is who had a port last: of two containers that claim one, the first stays.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from typing import NamedTuple

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.traffic import Egress
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.world import World
from dockerv6.dockerd.model import Container, Network
from dockerv6.firewall.elements import PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.model import FirewallIntent, PortIntent
from dockerv6.firewall.render import overlapping_external_prefixes, overlapping_subnets
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.ipam.ledger import Allocation
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.contributions import (
    POLICY_OWNER,
    FirewallContribution,
    depends_on_containers,
    firewall_intent,
    network_contribution,
    policy_contribution,
    proxied_subnets_of,
)
from dockerv6.planning.firewall.port_assignment import Incumbents, PortAssignment, assign_ports
from dockerv6.planning.host.interfaces import external_addresses, guest_bridges, uplink_bridges
from dockerv6.planning.host.ndp_proxy import on_link_prefixes
from dockerv6.planning.inputs import Identity
from dockerv6.planning.policy import PolicyAssignment, assign_networks

Versions = tuple[int, int, bool]


@dataclass(frozen=True, slots=True)
class DesiredFirewall:
    """The intent, and what else follows from the shares."""

    intent: FirewallIntent
    shares: tuple[FirewallContribution, ...]
    port_assignment: PortAssignment
    rivals: Mapping[str, str]  # owners whose subnet overlaps another's, and that other owner
    assignment: PolicyAssignment
    ports: Mapping[str, tuple[PortIntent, ...]] = field(default_factory=dict)  # by owner
    outer_rivals: Mapping[str, str] = field(default_factory=dict)  # as rivals, of what subnets are translated to


class _Inputs(NamedTuple):
    """What a network's share was made from."""

    resource: NetworkResource
    bound: Allocation | None
    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    tracked: Mapping[str, TrackedPrefix]  # only of the interface that it is translated to
    links: tuple[IPv6Network, ...]  # only of one that is translated


class DesiredFirewalls:
    """Computes the wish; kept while inventory and world are the same."""

    def __init__(self, inventory: Inventory, world: World, identity: Identity) -> None:
        self._inventory = inventory
        self._world = world
        self._identity = identity
        self._shares: dict[str, tuple[_Inputs, FirewallContribution]] = {}
        self._parts: dict[tuple[str, str], tuple[tuple[object, ...], FirewallContribution]] = {}
        self._current: tuple[Versions, DesiredFirewall] | None = None
        self._incumbents: Incumbents | None = None
        self.moved: Callable[[str], None] = _unheard
        """Told each owner whose networks or ports are others than before, because of whatever resource or container."""

    def current(self, versions: Versions, observed: Ruleset | None = None) -> DesiredFirewall:
        """The wish at these versions; ``observed`` is what the kernel holds, to learn who has which port."""
        if self._incumbents is None and observed is not None:
            self._incumbents, self._current = published(observed), None
        if self._current is None or self._current[0] != versions:
            wish = self._compute()
            if self._incumbents is not None and self._world.containers.last is not None:
                self._incumbents = wish.port_assignment.incumbents
            before, self._current = self._current, (versions, wish)
            for owner in sorted(moved(before[1], wish)) if before is not None else ():
                self.moved(owner)
        return self._current[1]

    def owners_known(self, owner: str) -> bool:
        """Whether there is a resource that the owner of elements stands for, valid or not."""
        kind, name = resource_of(owner)
        return self._inventory.get(kind, name) is not None

    def accepted(self, owner: str) -> bool:
        """Whether what that resource wants is known."""
        kind, name = resource_of(owner)
        return name in (self._inventory.policies() if kind == POLICY else self._inventory.networks())

    def _assignment(self) -> PolicyAssignment:
        """Which networks each policy is for, as far as networks have been seen."""
        policies = {n: p for n, p in self._inventory.policies().items() if not self._deleting(POLICY, n)}
        observed = {
            r.docker_name: n
            for n, r in self._inventory.networks().items()
            if r.observed and not self._deleting(NETWORK, n)
        }
        return assign_networks(policies, self._world.known_networks if policies else (), observed)

    def _compute(self) -> DesiredFirewall:
        assignment = self._assignment()
        shares = tuple(self._all_shares(assignment))
        publishing_networks = [publishing_network for each in shares for publishing_network in each.publishing_networks]
        port_assignment = assign_ports(
            publishing_networks,
            self._world.known_containers,
            self._incumbents or {},
            self._world.listeners.last or frozenset(),
        )
        host = self._world.host_view.last
        uplinks = uplink_bridges(host) if host is not None else ()
        guests = guest_bridges(host) if host is not None and self._world.rules_name_bridges else None
        if self._world.rules_name_bridges and guests is None:
            guests = ()
        own = external_addresses(host) if host is not None else ()
        intent = firewall_intent(shares, self._identity.mark, uplinks, port_assignment, guests, own)
        ports: dict[str, list[PortIntent]] = {}
        for port in port_assignment.ports:
            ports.setdefault(port.owner, []).append(port)
        by_owner = {owner: tuple(each) for owner, each in ports.items()}
        rivals, outer_rivals = overlapping_subnets(intent), overlapping_external_prefixes(intent)
        return DesiredFirewall(intent, shares, port_assignment, rivals, assignment, by_owner, outer_rivals)

    def _deleting(self, kind: str, name: str) -> bool:
        stored = self._inventory.get(kind, name)
        return stored is not None and stored.deleting_since is not None

    def _all_shares(self, assignment: PolicyAssignment) -> Iterator[FirewallContribution]:
        """What every resource wants; one that is gone but for its finalizers wants what it still holds."""
        bound = self._inventory.holdings.bound
        networks = self._world.known_networks if self._world.networks_read else None
        containers = self._world.known_containers
        resources = self._inventory.networks()
        tracked = self._inventory.holdings.tracked
        if len(self._shares) > len(resources):  # some are gone
            self._shares.clear()
        for name, resource in resources.items():
            if name not in bound and self._deleting(NETWORK, name):
                continue
            seen = containers if depends_on_containers(resource.spec.egress, resource.spec.firewall) else ()
            if resource.observed:
                theirs = networks.named(resource.docker_name) if networks is not None else None
                yield network_contribution(resource, None, theirs, seen, tracked, self._links(resource.spec.egress))
                continue
            own = networks.owned(self._identity, name) if networks is not None else ()
            egress = resource.spec.egress
            inputs = _Inputs(resource, bound.get(name), own, seen, _concerning(egress, tracked), self._links(egress))
            known = self._shares.get(name)
            if known is None or not _same(known[0], inputs):
                known = (inputs, network_contribution(*inputs))
                self._shares[name] = known
            yield known[1]
        for name, policy in self._inventory.policies().items():
            if not self._deleting(POLICY, name):
                yield self._of_policy(policy, assignment.networks[name] if networks is not None else None)
        self._drop_parts_but(assignment.networks)

    def _of_policy(self, policy: IPv6Policy, networks: tuple[Network, ...] | None) -> FirewallContribution:
        """A policy's share, of which each network's part is kept: when one comes, the others are as they were."""
        containers = (
            self._world.known_containers if depends_on_containers(policy.spec.egress, policy.spec.firewall) else ()
        )
        tracked = _concerning(policy.spec.egress, self._inventory.holdings.tracked)
        prefix, links = next(iter(tracked.values()), None), self._links(policy.spec.egress)
        if networks is None:
            return policy_contribution(policy, None)
        parts = []
        for network in networks:
            inputs = (policy, network, containers, prefix, links)
            known = self._parts.get((policy.metadata.name, network.id))
            if known is None or any(one is not other for one, other in zip(known[0], inputs, strict=True)):
                known = (inputs, policy_contribution(policy, (network,), containers, tracked, links))
                self._parts[policy.metadata.name, network.id] = known
            parts.append(known[1])
        return replace(
            policy_contribution(policy, ()),
            proxied_subnets=proxied_subnets_of(parts),
            networks=tuple(intent for part in parts for intent in part.networks),
            publishing_networks=tuple(
                publishing_network for part in parts for publishing_network in part.publishing_networks
            ),
        )

    def _links(self, egress: Egress) -> tuple[IPv6Network, ...]:
        """On-link prefixes, for those whose translation may lead to one."""
        host = self._world.host_view.last
        return on_link_prefixes(host) if host is not None and egress.mode is EgressMode.PREFIX_TRANSLATION else ()

    def _drop_parts_but(self, networks: Mapping[str, tuple[Network, ...]]) -> None:
        """Forget the parts of networks and policies that are gone, of all policies at once: they share the memory."""
        if len(self._parts) > sum(len(each) for each in networks.values()):
            living = {(name, network.id) for name, each in networks.items() for network in each}
            self._parts = {key: part for key, part in self._parts.items() if key in living}


def _same(one: _Inputs, other: _Inputs) -> bool:
    return (
        one.resource is other.resource
        and one.bound is other.bound
        and one.networks == other.networks
        and one.containers is other.containers
        and one.tracked == other.tracked
        and one.links == other.links
    )


def _concerning(egress: Egress, tracked: Mapping[str, TrackedPrefix]) -> Mapping[str, TrackedPrefix]:
    """Of the prefixes only that which the egress follows."""
    source = egress.prefix_from.interface if egress.prefix_from is not None else ""
    return {source: tracked[source]} if source in tracked else {}


def _unheard(owner: str) -> None:
    """Before somebody listens, everything is looked at anyway."""
    del owner


def moved(before: DesiredFirewall, after: DesiredFirewall) -> frozenset[str]:
    """Owners whose networks, ports or troubles with ports are not what they were."""
    by_owner = (
        (before.ports, after.ports),
        (before.port_assignment.problems, after.port_assignment.problems),
        (before.rivals, after.rivals),
        (before.outer_rivals, after.outer_rivals),
    )
    by_policy = (
        (before.assignment.networks, after.assignment.networks),
        (before.assignment.claimed_by, after.assignment.claimed_by),
    )
    return frozenset(
        (
            *(owner for one, other in by_owner for owner in _differing(one, other)),
            *(f"{POLICY_OWNER}{name}" for one, other in by_policy for name in _differing(one, other)),
        )
    )


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[str]:
    return (key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def resource_of(owner: str) -> tuple[str, str]:
    """Kind and name of the resource that an owner of elements stands for."""
    if owner.startswith(POLICY_OWNER):
        return POLICY, owner.removeprefix(POLICY_OWNER)
    return NETWORK, owner


def published(observed: Ruleset) -> Incumbents:
    """Where the ports in a table lead to."""
    found: dict[tuple[str, int, IPv6Address | None], tuple[IPv6Address, int]] = {}
    for addresses, numbers in ((PUBLISHED_TO, PUBLISHED_PORT), (PUBLISHED_AT_TO, PUBLISHED_AT_PORT)):
        to, ports = observed.set(addresses), observed.set(numbers)
        if to is None or ports is None or to.data is None:
            continue
        number_of = {element.key: element.value for element in ports.elements}
        for element in to.elements:
            protocol, port, *address = element.key
            if element.key not in number_of or not port.isdecimal():
                continue
            at = IPv6Address(address[0].partition("/")[0]) if address else None
            target = IPv6Address(element.value.partition("/")[0])
            found[protocol, int(port), at] = (target, int(number_of[element.key]))
    return found
