"""Keeps our table equal to the whole host's intent: compare, and one transaction for however many ask at once."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from dockerv6.controller.desired_firewall import DesiredFirewalls, Versions
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.world import World
from dockerv6.firewall.elements import PUBLISHED, PUBLISHED_AT_TO, PUBLISHED_TO
from dockerv6.firewall.model import FirewallIntent, ForwardDrop, HostFilterState
from dockerv6.firewall.operations import AddElements, RemoveElements
from dockerv6.firewall.port import (
    FirewallBackend,
    FirewallError,
    FirewallUnavailable,
    HostFilter,
    RulesetMoved,
    Sweepable,
)
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange, diff
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.contributions import proxied_subnets_of
from dockerv6.planning.inputs import Identity, ProxiedSubnet, RulesView
from dockerv6.planning.policy import PolicyAssignment

logger = logging.getLogger(__name__)


_GENERATIONS = 0xFFFF_FFFF
_LOOPBACK = IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the kernel held, at that generation or a later one."""

    ruleset: Ruleset
    generation: int | None

    def covers(self, announced: int | None) -> bool:
        """Whether it is as new as a commit that was announced."""
        if announced is None or self.generation is None:
            return announced is None
        # the kernel counts in 32 bits and starts again at 0
        return (self.generation - announced) & _GENERATIONS <= _GENERATIONS // 2


@dataclass(frozen=True, slots=True)
class Repair:
    """What a sync had to change.

    ``drift``: what is wanted has been in place before, so somebody else changed the table.
    """

    change: RulesetChange
    drift: bool


class FirewallReconciler:
    """The one place that writes our table.

    What the kernel holds is cached between notifications: `invalidate` has it read again. A burst of syncs is one
    transaction, since each brings the whole table to the intent of its moment.
    """

    def __init__(
        self,
        firewall: FirewallBackend,
        host_filter: HostFilter,
        inventory: Inventory,
        world: World,
        identity: Identity,
        residues: Iterable[Sweepable] = (),
    ) -> None:
        """Keep one backend's rules.

        Args:
            firewall: the backend.
            host_filter: the host's own filter.
            inventory: what is asked for.
            world: what is there.
            identity: ours, with the mark.
            residues: the other backends: what an earlier run left there goes once our rules are in place.
        """
        self._firewall = firewall
        self._host_filter = host_filter
        self._residues = tuple(residues)
        self._inventory = inventory
        self._world = world
        self._identity = identity
        self._mark = identity.mark
        world.rules_name_bridges = not firewall.matches_link_kinds
        self._wishes = DesiredFirewalls(inventory, world, identity)
        self._observed: _Reading | None = None
        self._filter: HostFilterState | None = None
        self._change: tuple[Versions, Ruleset, RulesetChange] | None = None
        self._asked = 0
        self._served = 0
        self._lock = asyncio.Lock()
        self._epoch = 0
        self._announced: int | None = None  # the generation of a commit to our table that may not have been read yet
        self._repair: Repair | None = None
        self._in_place: Ruleset | None = None  # what was wanted and was there, when it was last looked at
        self._rendered: tuple[FirewallIntent, Ruleset] | None = None
        self._filter_epoch = 0
        self._walls: frozenset[ForwardDrop] | None = None  # in the host's filter when it was last looked at
        self.transactions = 0
        self.may_sweep = False
        """Whether every source has been listed once: until then nobody's elements are removed for being unknown."""
        self.rival = ""
        """Another program that looks after the same networks, and what to do about it."""

    def invalidate(self, generation: int | None = None) -> None:
        """Our table may have changed: read it before the next decision.

        With the kernel's generation after the change, a reading that is as new is good enough: such as the one after
        our own commit, which the kernel announces as everybody's.
        """
        if generation is not None:
            self._announced = generation
            return
        self._epoch += 1
        self._observed = None

    def invalidate_filter(self) -> None:
        """The host's own filter may have changed."""
        self._filter_epoch += 1
        self._filter = None

    async def view(self) -> RulesView:
        """Our table and the host's filter against the intent."""
        try:
            change = await self._compare()
            intended = change.target != self._in_place  # before anybody else has the time to put it in place
            host_filter = await self._look_at_filter()
        except FirewallError as error:
            return RulesView(problem=str(error), backend=self._firewall.backend)
        left_out = {b.owner: b.message for b in change.blocked}
        wish = self._wishes.current(self._versions)
        for owner, rival in wish.rivals.items():
            left_out[owner] = f"its subnet overlaps that of {rival}, which has the rules; give it another subnet"
        return RulesView(
            pending_changes=change.by_owner(),
            intended=intended,
            filter=host_filter,
            backend=self._firewall.backend,
            excluded=left_out,
            untranslated={
                owner: f"what its subnet is translated to overlaps addresses of {rival}, so nothing is translated; give"
                " it a fixed addressing.subnet with another number, or a prefix of its own"
                for owner, rival in wish.outer_rivals.items()
            },
            ports=wish.ports,
            port_names=wish.port_assignment.names,
            port_problems=wish.port_assignment.problems,
            rival=self.rival,
        )

    def on_owner_changed(self, moved: Callable[[str], None]) -> None:
        """Have ``moved`` called with each owner whose networks or ports change: its status has to tell of it."""
        self._wishes.moved = moved

    def assignment(self) -> PolicyAssignment:
        """Which Docker networks each policy is for now."""
        return self._wishes.current(self._versions).assignment

    @property
    def proxied_subnets(self) -> tuple[ProxiedSubnet, ...]:
        """Whom neighbour solicitations are answered for, of all resources of which it can be told."""
        return tuple(a for s in self._wishes.current(self._versions).shares for a in s.proxied_subnets or ())

    async def all_proxied_subnets(self) -> tuple[ProxiedSubnet, ...] | None:
        """The same, to sweep by: None while it can't be told of some resource, whose entries would seem nobody's."""
        await self._world.refresh()  # a wish made of what is doubtful would be remembered: who had a port last
        return proxied_subnets_of(self._wishes.current(self._versions).shares)

    def bound_to(self, addresses: Collection[IPv6Address]) -> frozenset[str]:
        """Owners of ports that are published on one of these addresses of the host."""
        ports = self._wishes.current(self._versions).port_assignment.ports
        return frozenset(port.owner for port in ports if port.host_address in addresses)

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self._firewall.backend

    @property
    def owners(self) -> frozenset[str]:
        """Every resource with a share in the table."""
        return frozenset(s.owner for s in self._wishes.current(self._versions).shares)

    @property
    def wanted(self) -> bool:
        """Whether any resource has a share in the table."""
        return any(s.networks for s in self._wishes.current(self._versions).shares)

    @property
    def idle(self) -> bool:
        """Whether nobody has, or may have, anything in the table: nothing needs our accept rule any more."""
        return self.may_sweep and not any(s.networks or s.hold for s in self._wishes.current(self._versions).shares)

    async def fingerprint(self) -> object:
        """What differs once rules were changed that the kernel announces to nobody; None: there are none such."""
        own, others = await self._firewall.poll_revision(), await self._host_filter.poll_revision()
        return None if own is None and others is None else (own, others)

    async def sync(self) -> Repair:
        """Bring the table to the intent; gives what had to be changed. Raises `FirewallError`."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._served >= mine and self._repair is not None:
                return self._repair
            serving = self._asked
            change = await self._compare()
            drift = not change.empty and change.target == self._in_place
            if not change.empty:
                try:
                    epoch = self._epoch
                    there = await self._firewall.apply(change)
                except RulesetMoved:
                    self.invalidate()
                    change = await self._compare()
                    epoch = self._epoch
                    there = await self._firewall.apply(change)
                await self._forget_flows(change)
                reading = _Reading(there, self._firewall.generation)
                self._observed, self._change = (reading if epoch == self._epoch else None), None
                self._in_place = change.target
                self.transactions += 1
            self._repair, self._served = Repair(change, drift), serving
            return self._repair

    async def _forget_flows(self, change: RulesetChange) -> None:
        """A UDP flow that goes on would keep the translation that it began with, or that it began without."""
        ports = {
            int(element.key[1])
            for step in change.operations
            if isinstance(step, AddElements | RemoveElements) and step.set.name in (PUBLISHED_TO, PUBLISHED_AT_TO)
            for element in step.elements
            if element.key[0] == TransportProtocol.UDP
        }
        if not ports:
            return
        try:
            await self._world.host.delete_udp_flows(ports, self._own_addresses())
        except HostNetError as error:
            logger.warning("UDP flows that went on may still be translated as before: %s", error)

    def _own_addresses(self) -> frozenset[IPv6Address]:
        """What published ports are reached at; ::1 is tracked as itself, or as the bridge's address behind it."""
        host = self._world.host_view.last
        interfaces = host.interfaces.values() if host is not None else ()
        return frozenset((_LOOPBACK, *(address.ip for each in interfaces for address in each.addresses)))

    @property
    def _versions(self) -> Versions:
        return self._inventory.version, self._world.version, self.may_sweep

    async def admit(self, barrier: ForwardDrop) -> None:
        """Let marked flows pass there."""
        await self._host_filter.add_accept_rule(barrier, self._mark)
        self.invalidate_filter()

    async def withdraw(self, barrier: ForwardDrop) -> None:
        """Take our accept rule away from there."""
        await self._host_filter.remove_accept_rule(barrier, self._mark)
        self.invalidate_filter()

    async def sweep(self) -> None:
        """Remove everything of ours, the accept rules in the host's filter too."""
        await self._firewall.sweep()
        self._in_place = self._in_place or EMPTY
        await self.sweep_residues()
        state = await self._host_filter.observe(self._mark)
        for barrier in (*state.forward_drops, *state.orphaned):
            if barrier.has_accept_rule or barrier in state.orphaned:
                await self._host_filter.remove_accept_rule(barrier, self._mark)
        self.invalidate()
        self.invalidate_filter()

    async def sweep_residues(self) -> None:
        """Remove what an earlier run left in other backends, now that all is in this one. Raises `FirewallError`."""
        while self._in_place is not None and self._residues:
            backend, *others = self._residues
            try:
                await backend.sweep()
            except FirewallUnavailable as error:
                logger.debug("nothing can be left in %s: %s", backend.backend, error)
            self._residues = tuple(others)

    async def _look_at_filter(self) -> HostFilterState:
        if self._filter is not None:
            return self._filter
        epoch = self._filter_epoch
        state = await self._host_filter.observe(self._mark)
        self._tell_of_walls(state)
        if epoch == self._filter_epoch:  # else it changed while it was read: good for now, but not to be kept
            self._filter = state
        return state

    def _tell_of_walls(self, state: HostFilterState) -> None:
        """Somebody's rules that drop what we let through, and that only a person can change, concern every owner."""
        walls = frozenset(b for b in state.forward_drops if not b.repairable)
        if self._walls is not None and walls != self._walls:
            for owner in sorted(self.owners):
                self._wishes.moved(owner)
        self._walls = walls

    async def _compare(self) -> RulesetChange:
        await self._world.refresh()
        versions = self._versions
        epoch = self._epoch
        announced, reading = self._announced, self._observed
        if reading is None or not reading.covers(announced):
            observed = await self._firewall.observe()
            reading = _Reading(observed, self._firewall.generation)
            if reading.generation is None and announced == self._announced:
                self._announced = None
        if epoch != self._epoch:  # it changed while it was read: good for now, but not to be kept
            return self._difference(reading.ruleset)
        self._observed, observed = reading, reading.ruleset
        # a backend that finds its table as it was gives the very same value again
        if self._change is None or self._change[0] != versions or self._change[1] is not observed:
            self._change = (versions, observed, self._difference(observed))
            if self._change[2].empty:
                self._in_place = self._change[2].target
        return self._change[2]

    def _difference(self, observed: Ruleset) -> RulesetChange:
        intent = self._wishes.current(self._versions, observed).intent
        hold = intent.keep | self._unclear(observed) | self._unsettled(observed)
        hold &= observed.owners  # holding nothing needs no table
        wanted = replace(intent, keep=hold)
        if self._rendered is None or self._rendered[0] != wanted:
            self._rendered = (wanted, render(wanted))
        return diff(self._rendered[1], observed, hold)

    def _unsettled(self, observed: Ruleset) -> frozenset[str]:
        """Owners of ports, while no container has ever been seen: nobody knows where their ports shall lead."""
        there = observed.set(PUBLISHED) if self._world.containers.last is None else None
        return frozenset(element.owner for element in there.elements) if there is not None else frozenset()

    def _unclear(self, observed: Ruleset) -> frozenset[str]:
        """Owners of whose wish nothing is known: the state was lost, and their file is not read yet, or is invalid."""
        strangers = (o for o in observed.owners if not self._wishes.accepted(o))
        return frozenset(o for o in strangers if not self.may_sweep or self._wishes.owners_known(o))
