"""The desired firewall of the whole host, collected from the inventory and the world; computed again when one changes.

The only memory in it is where published ports lead to: of two containers that claim one port, the present one keeps it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.traffic import Egress
from dockerv6.controller.bridge_names import BridgeNames
from dockerv6.controller.fault_isolation import FaultIsolation, Faults
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.recorded_intents import RecordedIntents
from dockerv6.controller.world import World
from dockerv6.dockerd.model import Container, Network
from dockerv6.firewall.overlaps import claims_in
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.claims import Held
from dockerv6.planning.firewall.contributions import (
    POLICY_OWNER,
    FirewallContribution,
    depends_on_containers,
    network_contribution,
    policy_contribution,
    proxied_subnets_of,
    resource_of,
)
from dockerv6.planning.firewall.desired import (
    DesiredFirewall,
    FirewallInputs,
    affected_owners,
    intact_owners,
    published_ports,
)
from dockerv6.planning.host.interfaces import external_addresses, guest_bridges, other_ports, uplink_bridges
from dockerv6.planning.host.ndp_proxy import on_link_prefixes
from dockerv6.planning.inputs import Identity
from dockerv6.planning.policy import PolicyAssignment, assign_networks

if TYPE_CHECKING:
    from dockerv6.firewall.model import Claim, PortIntent
    from dockerv6.planning.firewall.port_assignment import Incumbents

_Versions = tuple[int, int, object]


class _NetworkInputs(NamedTuple):
    """The arguments of `network_contribution`."""

    resource: NetworkResource
    subnet: IPv6Network | None
    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    tracked: Mapping[str, TrackedPrefix]  # only the prefix that the network is translated to
    links: tuple[IPv6Network, ...]  # only for networks with prefix translation
    bridge_free: bool


class Contributions:
    """Collects what every resource contributes to the firewall."""

    def __init__(self, inventory: Inventory, world: World, identity: Identity, recorded: RecordedIntents) -> None:
        self._inventory = inventory
        self._recorded = recorded
        self._world = world
        self._identity = identity
        self._of_networks: dict[str, tuple[_NetworkInputs, FirewallContribution]] = {}
        self._of_policies: dict[tuple[str, str], tuple[tuple[object, ...], FirewallContribution]] = {}
        self._incumbents: Incumbents | None = None
        self._held: Held = {}
        self._versions: _Versions | None = None
        self._bridge_names = BridgeNames(inventory, world, recorded)
        self._desired = DesiredFirewall()
        self._collected = self._desired  # before what can't be computed was left out
        self._assignment = PolicyAssignment({}, {})
        self._faults = Faults()
        self._isolation = FaultIsolation(self._faults)
        self.on_change: Callable[[str], None] = _ignore
        """Called with each owner whose networks or ports changed, whatever resource or container was the cause."""

    def adopt(self, table: Ruleset) -> None:
        """Learn from the first table that was read which container has which port."""
        if self._incumbents is None:
            none: Incumbents = {}
            self._incumbents = self._faults.contained(
                "which container has which published port can't be read from the table, so the oldest one gets it",
                partial(published_ports, table),
                none,
            )
            unread: frozenset[Claim] = frozenset()
            claims = self._faults.contained(
                "which resource has which prefix can't be read from the table, so the first one by name gets it",
                partial(claims_in, table),
                unread,
            )
            self._held = {**dict.fromkeys(self._recorded.claims, 1), **self._held, **dict.fromkeys(claims, 0)}
            self._versions = None

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be computed because of an exception, for people to read."""
        return self._faults.messages

    @property
    def versions(self) -> object:
        """A value that differs once the inventory or the world has changed."""
        return self._inventory.version, self._world.version

    def exists(self, owner: str) -> bool:
        """Whether there is a resource of this owner, valid or not."""
        return self._inventory.get(*resource_of(owner)) is not None

    def accepted(self, owner: str) -> bool:
        """Whether there is a valid resource of this owner."""
        kind, name = resource_of(owner)
        return name in (self._inventory.policies() if kind == POLICY else self._inventory.networks())

    def kept(self, table: Ruleset) -> frozenset[str]:
        """Owners whose rules stay as the table has them, because the engine was not read yet.

        Those without a record, and those that lack nothing of it: rules may be newer than their record.
        """
        if self._world.engine_read:
            return frozenset()
        intact = intact_owners(self.desired.ruleset, table)
        return frozenset(o for o in table.owners if self.accepted(o) and (o in intact or self._recorded.get(o) is None))

    @property
    def assignment(self) -> PolicyAssignment:
        """Which Docker networks each policy applies to."""
        self._refresh()
        return self._assignment

    @property
    def desired(self) -> DesiredFirewall:
        """The desired firewall; the same object for as long as nothing changed that it is made from."""
        self._refresh()
        return self._desired

    def _refresh(self) -> None:
        versions = self._inventory.version, self._world.version, self._bridge_names.state
        if self._versions == versions:
            return
        first = self._versions is None
        before, assigned_before = self._desired, self._assignment
        self._faults.begin()
        self._assignment = self._assign()
        desired = DesiredFirewall(tuple(self._collect(self._assignment)), self._inputs())
        if not self._world.engine_read:
            desired = self._with_records(desired)
        if desired != self._collected or self._isolation.faulty:
            remaining = self._isolation.of(desired)
            self._collected = desired
            if remaining != before:
                self._desired = remaining
        self._versions = versions
        if self._incumbents is not None:
            present = self._desired.port_assignment.incumbents
            self._held = self._now_held()
            self._incumbents = present if self._world.engine_read else {**present, **self._incumbents}
        if not first:
            for owner in sorted(
                affected_owners(before, self._desired) | _reassigned(assigned_before, self._assignment)
            ):
                self.on_change(owner)

    def _now_held(self) -> Held:
        """The claims that have rules; those whose owner is unknown now stay as they were."""
        found, read = self._desired.held, self._world.engine_read
        unknown = {c: n for c, n in self._held.items() if c not in found and (not read or not self.accepted(c[0]))}
        present = {c: n for c, n in unknown.items() if not self._inventory.complete or self.exists(c[0])} | dict(found)
        return self._held if present == self._held else present

    def _with_records(self, desired: DesiredFirewall) -> DesiredFirewall:
        """The recorded intents instead of those that are computed without the engine's networks and containers."""
        contributions: list[FirewallContribution] = []
        ports: list[PortIntent] = []
        for each in desired.contributions:
            intent = None if self._suspended(each.owner) else self._recorded.get(each.owner)
            if intent is not None:
                contributions.append(FirewallContribution(each.owner, intent.networks, proxied_subnets=None))
                ports += intent.ports
            else:
                contributions.append(each)
        return DesiredFirewall(tuple(contributions), replace(desired.inputs, recorded_ports=tuple(ports)))

    def _suspended(self, owner: str) -> bool:
        resource = self._inventory.networks().get(owner)
        return resource is not None and resource.spec.suspend

    def _inputs(self) -> FirewallInputs:
        last = self._desired.inputs
        uplinks, guests, addresses, shared = self._faults.contained(
            "the host's interfaces can't be evaluated, so the rules use what was known of them before",
            self._host_inputs,
            (last.uplink_bridges, last.guest_bridges, last.host_addresses, last.shared_bridges),
        )
        return FirewallInputs(
            mark=self._identity.mark,
            containers=self._world.known_containers,
            incumbents=self._incumbents or {},
            host_ports=replace(self._world.sockets.known, own=self._identity.http_port),
            uplink_bridges=uplinks,
            guest_bridges=guests,
            host_addresses=addresses,
            not_bridges=self._bridge_names.state.not_bridges,
            shared_bridges=shared,
            held=self._held,
            observers=frozenset(name for name, r in self._inventory.networks().items() if r.observed),
        )

    def _host_inputs(
        self,
    ) -> tuple[tuple[str, ...], tuple[str, ...] | None, frozenset[IPv6Address], frozenset[str]]:
        """Uplink bridges, guest bridges if rules name them, addresses of the host, and bridges with other ports."""
        host, named = self._world.host_view.last, self._world.rules_name_bridges
        if host is None:
            return (), () if named else None, frozenset(), frozenset()
        guests = guest_bridges(host) if named else None
        return uplink_bridges(host), guests, external_addresses(host), frozenset(other_ports(host))

    def _assign(self) -> PolicyAssignment:
        """Which networks each policy applies to, of the networks that are known."""
        policies = {n: p for n, p in self._inventory.policies().items() if not self._deleting(POLICY, n)}
        observers: dict[str, list[str]] = {}
        for name, resource in self._inventory.networks().items() if policies else ():
            if resource.observed and not self._deleting(NETWORK, name):
                observers.setdefault(resource.docker_name, []).append(name)
        known: Iterable[Network] = self._world.known_networks if policies else ()
        assign = partial(assign_networks, policies, observers=observers, held=self._held)
        try:
            return assign(known)
        except Exception:  # noqa: BLE001 - `_assignable` logs it, with the network
            return assign([n for n in known if self._assignable(n, assign)])

    def _assignable(self, network: Network, assign: Callable[[Iterable[Network]], PolicyAssignment]) -> bool:
        """Whether policies can be matched with the network; each network is evaluated separately."""
        alone = self._faults.contained(
            f"Docker network {network.name or network.id} can't be evaluated, so no policy applies to it",
            lambda: assign((network,)),
            None,
        )
        return alone is not None

    def _deleting(self, kind: str, name: str) -> bool:
        stored = self._inventory.get(kind, name)
        return stored is not None and stored.deleting_since is not None

    def _collect(self, assignment: PolicyAssignment) -> Iterator[FirewallContribution]:
        """Every resource's contribution; a deleted network's for as long as it holds its subnet."""
        networks = self._world.known_networks if self._world.engine_read else None
        resources = self._inventory.networks()
        if len(self._of_networks) > len(resources):  # some resources are gone
            self._of_networks.clear()
        for name, resource in resources.items():
            if name in self._inventory.holdings.bound or not self._deleting(NETWORK, name):
                yield self._contained(name, partial(self._of_network, name, resource))
        for name, policy in self._inventory.policies().items():
            if not self._deleting(POLICY, name):
                applied = assignment.networks[name] if networks is not None else None
                owner = f"{POLICY_OWNER}{name}"
                yield self._contained(owner, partial(self._of_policy, policy, applied))
        self._forget_policies(assignment.networks)

    def _of_network(self, name: str, resource: NetworkResource) -> FirewallContribution:
        networks = self._world.known_networks if self._world.engine_read else None
        holdings, egress = self._inventory.holdings, resource.spec.egress
        containers = self._world.known_containers if depends_on_containers(egress, resource.spec.firewall) else ()
        if resource.observed:
            named = networks.named(resource.docker_name) if networks is not None else None
            return network_contribution(resource, None, named, containers, holdings.tracked, self._links(egress))
        bound = holdings.bound.get(name)
        own = networks.owned(self._identity, resource, self._inventory.created_networks) if networks is not None else ()
        inputs = _NetworkInputs(
            resource,
            bound.prefix if bound is not None else None,
            own,
            containers,
            _relevant(egress, holdings.tracked),
            self._links(egress),
            networks is None or bound is None or self._bridge_names.free(resource, own, networks),
        )
        known = self._of_networks.get(name)
        if known is None or not _same(known[0], inputs):
            known = self._of_networks[name] = (
                inputs,
                network_contribution(*inputs[:-1], bridge_free=inputs.bridge_free),
            )
        return known[1]

    def _of_policy(self, policy: IPv6Policy, networks: tuple[Network, ...] | None) -> FirewallContribution:
        """A policy's contribution, kept by network: a new network leaves the others' parts as they are."""
        if networks is None:
            return policy_contribution(policy, None)
        egress = policy.spec.egress
        containers = self._world.known_containers if depends_on_containers(egress, policy.spec.firewall) else ()
        tracked = _relevant(egress, self._inventory.holdings.tracked)
        prefix, links = next(iter(tracked.values()), None), self._links(egress)
        none, parts = policy_contribution(policy, ()), []
        for network in networks:
            inputs = (policy, network, containers, prefix, links)
            known = self._of_policies.get((policy.metadata.name, network.id))
            if known is None or any(one is not other for one, other in zip(known[0], inputs, strict=True)):
                part = self._faults.contained(
                    f"the rules of Docker network {network.name} can't be computed, and are those from before",
                    partial(policy_contribution, policy, (network,), containers, tracked, links),
                    None,
                )
                if part is not None:
                    known = self._of_policies[policy.metadata.name, network.id] = (inputs, part)
            parts.append(known[1] if known is not None else replace(none, proxied_subnets=None))
        return replace(
            none,
            proxied_subnets=proxied_subnets_of(parts),
            networks=tuple(intent for part in parts for intent in part.networks),
            publishing_networks=tuple(each for part in parts for each in part.publishing_networks),
        )

    def _contained(self, owner: str, compute: Callable[[], FirewallContribution]) -> FirewallContribution:
        """The contribution; the owner's rules stay as they are if it can't be computed: that concerns no other one."""
        kept = FirewallContribution(owner, proxied_subnets=None, keep=True)
        return self._faults.contained(f"the rules of {owner} can't be computed, and stay as they are", compute, kept)

    def _links(self, egress: Egress) -> tuple[IPv6Network, ...]:
        """On-link prefixes, which prefix translation may lead to."""
        host = self._world.host_view.last
        return on_link_prefixes(host) if host is not None and egress.mode is EgressMode.PREFIX_TRANSLATION else ()

    def _forget_policies(self, networks: Mapping[str, tuple[Network, ...]]) -> None:
        """Drop the parts of networks and policies that are gone."""
        if len(self._of_policies) > sum(len(each) for each in networks.values()):
            living = {(name, network.id) for name, each in networks.items() for network in each}
            self._of_policies = {key: part for key, part in self._of_policies.items() if key in living}


def _same(one: _NetworkInputs, other: _NetworkInputs) -> bool:
    """Compare by identity what is kept, and by value what is computed again each time."""
    return (
        one.resource is other.resource
        and one.subnet == other.subnet
        and one.networks == other.networks
        and one.containers is other.containers
        and one.tracked == other.tracked
        and one.links == other.links
        and one.bridge_free == other.bridge_free
    )


def _relevant(egress: Egress, tracked: Mapping[str, TrackedPrefix]) -> Mapping[str, TrackedPrefix]:
    """The prefix of the interface that the egress is translated to."""
    source = egress.prefix_from.interface if egress.prefix_from is not None else ""
    return {source: tracked[source]} if source in tracked else {}


def _reassigned(before: PolicyAssignment, after: PolicyAssignment) -> frozenset[str]:
    """Owners of policies that apply to other networks than before."""
    pairs: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = (
        (before.networks, after.networks),
        (before.claimed_by, after.claimed_by),
    )
    names = {name for one, other in pairs for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    return frozenset(f"{POLICY_OWNER}{name}" for name in names)


def _ignore(owner: str) -> None:
    """Nothing listens before the operator runs; everything is reconciled at its start anyway."""
    del owner
