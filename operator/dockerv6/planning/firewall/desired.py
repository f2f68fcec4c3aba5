"""The firewall of the whole host: the contributions of all resources, the ruleset, and the change of our table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from ipaddress import IPv6Address

from dockerv6.dockerd.model import Container
from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import (
    LIMIT,
    PUBLISHED_AT_PORT,
    PUBLISHED_AT_TO,
    PUBLISHED_PORT,
    PUBLISHED_TO,
    is_ours,
    oversized_owners,
)
from dockerv6.firewall.model import DEFAULT_MARK, Claim, FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.operations import AddElements, FlushSet, RemoveElements
from dockerv6.firewall.overlaps import SeparatedNetworks, claims_of, resolve_overlaps
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, OwnedPart, Ruleset, RulesetChange, changed_elements
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.claims import (
    Held,
    entitled,
    overlap_message,
    precedence,
    same_network,
    without_rules,
)
from dockerv6.planning.firewall.contributions import (
    FirewallContribution,
    ProxiedSubnet,
    firewall_intent,
    resource_of,
)
from dockerv6.planning.firewall.port_assignment import HostPorts, Incumbents, PortAssignment, assign_ports


@dataclass(frozen=True, slots=True)
class FirewallInputs:
    """The inputs of the ruleset besides the contributions.

    Attributes:
        mark: the bit of the packet mark of flows that we accept.
        containers: all running containers.
        incumbents: the present targets of published ports. Of two claims to one port, the incumbent keeps it.
        host_ports: the ports that the host uses itself.
        uplink_bridges: the bridges with a default route.
        guest_bridges: all other bridges, for a backend that needs their names; else None.
        host_addresses: the host's addresses on external interfaces.
        not_bridges: interfaces with the name of a network's bridge that are no bridges.
        shared_bridges: bridges with ports that are no container's.
        held: the claims that have rules, each with a number; what was granted earlier has a smaller one.
        observers: owners that observe a Docker network of others.
        recorded_ports: published ports of the last intent, while the containers are unknown; else None.
    """

    mark: int = DEFAULT_MARK
    containers: tuple[Container, ...] = ()
    incumbents: Incumbents = field(default_factory=dict)
    host_ports: HostPorts = field(default_factory=HostPorts)
    uplink_bridges: tuple[str, ...] = ()
    guest_bridges: tuple[str, ...] | None = None
    host_addresses: frozenset[IPv6Address] = frozenset()
    not_bridges: frozenset[str] = frozenset()
    shared_bridges: frozenset[str] = frozenset()
    held: Held = field(default_factory=dict)
    observers: frozenset[str] = frozenset()
    recorded_ports: tuple[PortIntent, ...] | None = None


@lru_cache(maxsize=2)
def _rendered(intent: FirewallIntent) -> Ruleset:
    """The ruleset for the intent. Most events of containers change the inputs and not the intent."""
    return render(intent)


@dataclass(frozen=True)
class DesiredFirewall:
    """The desired state of our table. Everything is computed from the contributions and the inputs."""

    contributions: tuple[FirewallContribution, ...] = ()
    inputs: FirewallInputs = FirewallInputs()

    @cached_property
    def port_assignment(self) -> PortAssignment:
        """Which container gets which published port."""
        if self.inputs.recorded_ports is not None:
            return PortAssignment(self.inputs.recorded_ports)
        networks = [network for each in self.contributions for network in each.publishing_networks]
        if self.separated.lost:
            networks = without_rules(networks, self.separated)
        return assign_ports(networks, self.inputs.containers, self.inputs.incumbents, self.inputs.host_ports)

    @cached_property
    def intent(self) -> FirewallIntent:
        """The intent for the whole host."""
        inputs = self.inputs
        intent = firewall_intent(
            self.contributions,
            inputs.mark,
            inputs.uplink_bridges,
            self.port_assignment,
            inputs.guest_bridges,
            inputs.host_addresses,
            inputs.not_bridges,
            inputs.shared_bridges,
        )
        return replace(intent, precedence=self._precedence) if self._precedence else intent

    @cached_property
    def _networks(self) -> tuple[NetworkIntent, ...]:
        return firewall_intent(self.contributions, not_bridges=self.inputs.not_bridges).networks

    @cached_property
    def _precedence(self) -> tuple[Claim, ...]:
        """The order of all claims if some overlap; most often, none do."""
        found = resolve_overlaps(self._networks)
        if not found.lost and not found.external_lost:
            return ()
        return precedence(self._networks, self.inputs.held, self.inputs.observers)

    @cached_property
    def separated(self) -> SeparatedNetworks:
        """The networks that get rules, and those that overlap them."""
        return resolve_overlaps(self._networks, self._precedence)

    @cached_property
    def proxied_subnets(self) -> tuple[ProxiedSubnet, ...]:
        """The NDP proxy entries that resources ask for, as far as they are known, and as far as they have rules."""
        known = [subnet for each in self.contributions for subnet in each.proxied_subnets or ()]
        if not self._precedence:
            return tuple(known)
        denied = frozenset(claims_of(self._networks)) - frozenset(claims_of(self.separated.networks))
        return tuple(found for each in known if (found := entitled(each, denied)) is not None)

    @cached_property
    def held(self) -> Held:
        """The claims that have rules once this firewall is in place; those of kept owners stay as they were."""
        before = self.inputs.held
        kept = {each.owner for each in self.contributions if each.keep}
        number = max(before.values(), default=0) + 1
        found = {claim: since for claim, since in before.items() if claim[0] in kept}
        found.update((claim, before.get(claim, number)) for claim in claims_of(self.separated.networks))
        return found

    @cached_property
    def external_prefixes(self) -> tuple[Claim, ...]:
        """The external prefixes that have rules. Of owners whose rules are kept, this includes subnets."""
        subnets = {(network.owner, network.subnet) for network in self._networks}
        return tuple(sorted(claim for claim in self.held if claim not in subnets))

    @cached_property
    def shared_networks(self) -> Mapping[str, str]:
        """Why an owner has no rules whose Docker network another resource has, by owner."""
        return self._overlaps(same=True)

    @cached_property
    def overlapping(self) -> Mapping[str, str]:
        """Why an owner has no rules whose subnet overlaps another owner's subnet or external prefix, by owner."""
        return self._overlaps(same=False)

    def _overlaps(self, *, same: bool) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for owner, rival in self.subnet_rivals.items():
            shared = same_network(self._networks, owner, rival)
            if (shared is not None) is same:
                names = self._docker_network(owner, shared) if shared is not None else ""
                found[owner] = overlap_message(
                    owner,
                    rival,
                    self._networks,
                    names,
                    observing=owner in self.inputs.observers,
                    observed=rival in self.inputs.observers,
                )
        return found

    def _docker_network(self, owner: str, shared: NetworkIntent) -> str:
        published = (n for each in self.contributions if each.owner == owner for n in each.publishing_networks)
        name = next((n.network_name for n in published if n.gateway is not None and n.gateway in shared.subnet), "")
        return f"Docker network {name}" if name else f"the Docker network with bridge {shared.bridge}"

    @cached_property
    def ports(self) -> Mapping[str, tuple[PortIntent, ...]]:
        """Published ports by owner."""
        found: dict[str, list[PortIntent]] = {}
        for port in self.port_assignment.ports:
            found.setdefault(port.owner, []).append(port)
        return {owner: tuple(ports) for owner, ports in found.items()}

    @cached_property
    def oversized(self) -> frozenset[str]:
        """Owners with more elements than an owner may have; their rules stay as they are."""
        return oversized_owners(self.intent.networks, self.intent.ports)

    @cached_property
    def subnet_rivals(self) -> Mapping[str, str]:
        """Owners without rules because their subnet overlaps another owner's, and that other owner."""
        return self.separated.lost

    @cached_property
    def external_rivals(self) -> Mapping[str, str]:
        """Owners without translation because their external prefix overlaps another owner's, and that other owner."""
        return self.separated.external_lost

    @cached_property
    def ruleset(self) -> Ruleset:
        """The desired ruleset, without oversized owners; without any network, it has no table."""
        if self.oversized:
            return self.keeping(self.oversized).ruleset
        return _rendered(replace(self.intent, keep=frozenset()))

    def with_contribution(self, owner: str, contribution: FirewallContribution | None) -> "DesiredFirewall":
        """The same firewall with another contribution of this owner; None: without any."""
        others = tuple(each for each in self.contributions if each.owner != owner)
        contributions = (*others, contribution) if contribution is not None else others
        return replace(self, contributions=contributions, inputs=replace(self.inputs, held=self.held))

    def keeping(self, owners: frozenset[str]) -> "DesiredFirewall":
        """The same firewall with the rules of these owners as they are."""
        known = tuple(each.kept if each.owner in owners else each for each in self.contributions)
        gone = sorted(owners - {each.owner for each in known})
        ports, inputs = self.inputs.recorded_ports, self.inputs
        if ports is not None:
            inputs = replace(inputs, recorded_ports=tuple(port for port in ports if port.owner not in owners))
        return DesiredFirewall((*known, *(FirewallContribution(owner, keep=True) for owner in gone)), inputs)


@dataclass(frozen=True, slots=True)
class RefusedRules:
    """Rules of one owner that the kernel refused. They are not tried again while they stay the same."""

    part: OwnedPart
    message: str  # the backend's


@dataclass(frozen=True)
class FirewallSnapshot:
    """The desired firewall and the table, at one time: what a firewall step is planned from.

    Attributes:
        desired: the desired firewall.
        table: the ruleset in the kernel.
        undecided: owners whose desired rules are unknown now; their elements in the table stay.
        refused: rules that the kernel has refused, by owner.
    """

    desired: DesiredFirewall = DesiredFirewall()
    table: Ruleset = EMPTY
    undecided: frozenset[str] = frozenset()
    refused: Mapping[str, RefusedRules] = field(default_factory=dict)

    @cached_property
    def excluded(self) -> Mapping[str, str]:
        """Owners whose rules stay as they are, because the desired ones can't be in the kernel, and why."""
        return {
            owner: _refusal(self.refused[owner].message)
            if owner in self.refused and owner not in self.desired.oversized
            else OVERSIZED
            for owner in sorted(self._narrowed[0])
        }

    @cached_property
    def change(self) -> RulesetChange:
        """The change that brings the table to what is desired, without refused rules, in one transaction."""
        return self._narrowed[2]

    @cached_property
    def attainable(self) -> DesiredFirewall:
        """The desired firewall without the refused rules: what `change` leads to."""
        return self._narrowed[1]

    @property
    def overlapping(self) -> Mapping[str, str]:
        """Why an owner's elements are not in the table, by owner: others overlap them."""
        return {**{each.owner: each.message for each in self.change.blocked}, **self.attainable.overlapping}

    @property
    def untranslated(self) -> Mapping[str, str]:
        """Why an owner is not translated to its prefix, by owner."""
        return {
            owner: f"the external prefix of its subnet overlaps addresses of {' '.join(resource_of(rival))}, which had"
            " them first, so nothing is translated; give it a fixed addressing.subnet with another number, or a prefix"
            " of its own"
            for owner, rival in self.attainable.external_rivals.items()
        }

    @cached_property
    def _narrowed(self) -> tuple[frozenset[str], DesiredFirewall, RulesetChange]:
        """The owners to exclude: rules may have been refused in a transaction that excluded others already."""
        excluded = self.desired.oversized
        while True:
            desired = self.desired.keeping(excluded) if excluded else self.desired
            if desired.oversized:  # with ports that an excluded owner had
                excluded |= desired.oversized
                continue
            change = self._change_to(desired)
            more = {
                owner
                for owner, refused in self.refused.items()
                if owner not in excluded and change.target.part_of(owner) == refused.part
            }
            if not more:
                return excluded, desired, change
            excluded |= more

    def _change_to(self, desired: DesiredFirewall) -> RulesetChange:
        intent = desired.intent
        keep = (
            intent.keep | self.undecided
        ) & self.table.owners  # without elements in the table, there is nothing to keep
        if keep and not intent.networks:  # the kept elements need the chains that use them
            return diff(render(replace(intent, keep=keep)), self.table, keep)
        return diff(desired.ruleset, self.table, keep)

    def with_contribution(self, owner: str, contribution: FirewallContribution | None) -> "FirewallSnapshot":
        """The snapshot if this owner contributed that instead; None: nothing."""
        return replace(self, desired=self.desired.with_contribution(owner, contribution))


OVERSIZED = (
    f"this resource needs more than {LIMIT:,} elements in the packet filter, so its rules in the table stay as they"
    " are; each network has one for every combination of a source, a port and a selected container of firewall.ingress,"
    " and for every address in egress.exclude, and each published port has one for every address in from; write fewer"
    " of them, or shorter prefixes that cover several"
)


def _refusal(message: str) -> str:
    return (
        f"the kernel refuses the rules of this resource, so those in the table stay as they are ({message}); change"
        " what the message names, or update the kernel. It is tried again when the resource changes, and"
        " with every resync"
    )


def published_ports(table: Ruleset) -> Incumbents:
    """The targets of the published ports in a table. Maps of another type are not ours: another program wrote them."""
    found: dict[tuple[str, int, IPv6Address | None], tuple[IPv6Address, int]] = {}
    for addresses, numbers in ((PUBLISHED_TO, PUBLISHED_PORT), (PUBLISHED_AT_TO, PUBLISHED_AT_PORT)):
        to, ports = table.set(addresses), table.set(numbers)
        if to is None or ports is None or not (is_ours(to) and is_ours(ports)):
            continue
        number_of = {element.key: element.value for element in ports.elements}
        for element in to.elements:
            protocol, port, *address = element.key
            if element.key not in number_of:
                continue
            at = IPv6Address(address[0].partition("/")[0]) if address else None
            target = IPv6Address(element.value.partition("/")[0])
            found[protocol, int(port), at] = (target, int(number_of[element.key]))
    return found


def intact_owners(desired: Ruleset, table: Ruleset) -> frozenset[str]:
    """Owners in the table that lack nothing of what is desired for them; they may have more."""
    lacking = set()
    for wanted in desired.sets:
        found = table.set(wanted.name)
        lacking |= {e.owner for e in wanted.elements - (found.elements if found is not None else frozenset())}
    for chain in desired.chains:
        observed = table.chain(chain.name)
        present = observed.owned if observed is not None else ()
        lacking |= {rule.owner for rule in chain.owned if rule not in present}
    return table.owners - lacking


def affected_owners(before: DesiredFirewall, after: DesiredFirewall) -> frozenset[str]:
    """Owners whose ports, port findings or overlaps differ: their statuses must be written again."""
    pairs: Iterable[tuple[Mapping[str, object], Mapping[str, object]]] = (
        (before.ports, after.ports),
        (before.port_assignment.problems, after.port_assignment.problems),
        (before.subnet_rivals, after.subnet_rivals),
        (before.external_rivals, after.external_rivals),
    )
    return frozenset(key for one, other in pairs for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def changed_udp_ports(change: RulesetChange) -> frozenset[int]:
    """The published UDP ports that come, go or lead elsewhere."""
    return frozenset(
        int(element.key[1])
        for operation in change.operations
        if isinstance(operation, AddElements | RemoveElements | FlushSet)
        and operation.set.name in (PUBLISHED_TO, PUBLISHED_AT_TO)
        for elements in changed_elements(operation)
        for element in elements
        if element.key[0] == TransportProtocol.UDP
    )
