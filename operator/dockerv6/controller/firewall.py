"""Reconciles our table with the desired firewall: observe, plan a change, commit it.

Everything that changes the table goes through `FirewallReconciler.commit`: a plan's step as well as the repair that
follows a notification. A change is bound to the table that it was computed from. If the table is another one by the
time of the commit, the commit raises `RulesetMoved`, and the caller plans again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockerv6.controller.cached import Cached, CachedTable
from dockerv6.controller.contributions import Contributions
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.narrowing import RefusedOwners, refused_rules
from dockerv6.controller.packet_walk import PacketWalks, addresses_of, bridges_of, without_route
from dockerv6.controller.recorded_intents import RecordedIntents
from dockerv6.controller.world import World
from dockerv6.firewall.model import Claim, ForwardDrop, HostFilterState, PortIntent
from dockerv6.firewall.port import (
    FirewallBackend,
    FirewallError,
    FirewallRejected,
    FirewallUnavailable,
    HostFilter,
    OwnersExcluded,
    RulesetMoved,
    Sweepable,
)
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.firewall.contributions import FirewallContribution, ProxiedSubnet
from dockerv6.planning.firewall.desired import FirewallSnapshot, changed_udp_ports
from dockerv6.planning.inputs import Identity, RulesView
from dockerv6.planning.policy import PolicyAssignment

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
"""Of a repair or a packet walk: another program's change can overtake each, and the kernel can refuse a commit."""

_LOOPBACK = IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair changed.

    ``drift``: the desired rules were in place before, so another program changed the table.
    """

    change: RulesetChange
    drift: bool = False


class FirewallReconciler:
    """The only writer of our table."""

    def __init__(
        self,
        backend: FirewallBackend,
        host_filter: HostFilter,
        inventory: Inventory,
        world: World,
        identity: Identity,
        recorded: RecordedIntents,
        residues: Iterable[Sweepable] = (),
    ) -> None:
        """Read and change nothing yet.

        Args:
            backend: writes and reads our table.
            host_filter: the host's own filter.
            inventory: what the resources ask for.
            world: the engine's networks and the host's network stack.
            identity: this operator's, with the fwmark.
            recorded: the intents that survive a restart.
            residues: the other backends. What an earlier run left there is removed once our rules are in place.
        """
        world.sockets.reads_connections = inventory.publishes_ports
        world.rules_name_bridges = not backend.matches_link_kinds
        self._backend = backend
        self._host_filter = host_filter
        self._residues = tuple(residues)
        self.recorded = recorded
        self._inventory = inventory
        self._contributions = Contributions(inventory, world, identity, recorded)
        self._world = world
        self._mark = identity.mark
        self._table = CachedTable(backend)
        self._filter: Cached[HostFilterState] = Cached(lambda: host_filter.observe(identity.mark))
        self._walks = PacketWalks(host_filter, identity.mark)
        self._snapshot: FirewallSnapshot | None = None
        self._snapshot_inputs: object = None  # what it was made from besides the desired firewall and the table
        self._in_place: Ruleset | None = None  # the desired ruleset that was last found or put in the kernel
        self._committing, self._following = asyncio.Lock(), asyncio.Lock()
        self.transactions = 0
        self.refused = RefusedOwners()
        self.rival: str | None = None  # None: not searched yet
        """A program that manages the same networks, and what to do about it."""

    def on_owner_changed(self, callback: Callable[[str], None]) -> None:
        """Call back with each owner whose networks or ports change: its status has to be written again."""
        self._contributions.on_change = self.refused.on_change = callback
        self._walks.on_owner_changed(callback)

    def recall(self, ready: Iterable[str]) -> None:
        """These owners were Ready when the operator stopped: until the first packet walk, that is the best evidence."""
        self._walks.recall(ready)

    # ---- observe

    def invalidate(self, generation: int | None = None) -> None:
        """Our table may have changed: read it before the next decision.

        Args:
            generation: the kernel's ruleset generation after the change. A reading of that generation is good enough,
                for example the one that followed our own commit, which the kernel announces like anybody's.
        """
        self._table.invalidate(generation)

    def invalidate_filter(self) -> None:
        """The host's own filter may have changed."""
        self._filter.invalidate()

    async def observe(self) -> FirewallSnapshot:
        """The table and the desired firewall.

        The engine is not asked: it may hang, and the rules are repaired nevertheless. `World.refresh` asks it.

        Raises:
            FirewallError, HostNetError: the table or the host can't be read.
        """
        await self._world.refresh_host()
        table = await self._table.get()
        await self._world.table_read(bridges_of(table))
        self._contributions.adopt(table)
        desired = self._contributions.desired
        inputs = self._contributions.versions, self._inventory.complete, self._world.engine_read, self.refused.rules
        snapshot, same = self._snapshot, self._snapshot_inputs == inputs
        if snapshot is None or not same or snapshot.desired is not desired or snapshot.table is not table:
            snapshot = FirewallSnapshot(desired, table, self._undecided(table), self.refused.rules)
            self._snapshot, self._snapshot_inputs = snapshot, inputs
        if snapshot.change.empty:
            self._in_place = snapshot.change.target
        return snapshot

    async def view(self) -> RulesView:
        """What plans are made from: our table and the host's filter beside the desired firewall."""
        try:
            snapshot = await self.observe()
        except FirewallError as error:
            return RulesView(problem=str(error), backend=self._backend.backend)
        intended = snapshot.change.target != self._in_place  # before anybody puts it in place
        try:
            host_filter, filter_problem = await self._filter.get(), ""
        except FirewallError as error:  # that it drops nothing is not known then
            host_filter, filter_problem = self._filter.last or HostFilterState(), str(error)
        desired, host = snapshot.attainable, self._world.host_view.last
        return RulesView(
            change=snapshot.change,
            snapshot=snapshot,
            intended=intended,
            filter=host_filter,
            filter_problem=filter_problem,
            filter_read=self._filter.last is not None,
            flow_problems=self._walks.problems(snapshot.table),
            followed_containers=self._walks.containers,
            unfollowed=self._walks.unfollowed(snapshot.table, host) if host is not None else frozenset(),
            unrouted=self._walks.unrouted,
            backend=self._backend.backend,
            overlapping=snapshot.overlapping,
            shared_networks=desired.shared_networks,
            refused=snapshot.excluded,
            untranslated=snapshot.untranslated,
            ports=desired.ports,
            port_names=desired.port_assignment.names,
            port_problems=desired.port_assignment.problems,
            rival=self.rival or "",
        )

    def _undecided(self, table: Ruleset) -> frozenset[str]:
        """Owners of elements in the table whose desired rules are unknown.

        The state was lost and their file is not read yet, or is invalid; or the engine was not read yet.
        """
        contributions, complete = self._contributions, self._inventory.complete
        lost = (owner for owner in table.owners if not contributions.accepted(owner))
        kept = {owner for owner in lost if not complete or contributions.exists(owner)}
        return frozenset(kept) | contributions.kept(table)

    # ---- change

    async def commit(self, change: RulesetChange) -> None:
        """Commit a planned change as one transaction.

        Raises:
            RulesetMoved: the table is no longer the one that the change was computed from.
            OwnersExcluded: the kernel refused the rules of some owners; the next change leaves them as they are.
            FirewallError: the kernel refused what all owners share, or the backend does not work here.
        """
        async with self._committing:
            if change.empty:
                return
            await self._require(change.base)
            try:
                await self._table.apply(change)
            except FirewallRejected as error:
                found = await refused_rules(change, self._backend.check)
                await self._require(change.base)  # else the dry runs were about another table
                self.refused.add(found, error)
            self._in_place = change.target
            self.transactions += 1
            await self._forget_udp_flows(change)

    async def _require(self, base: Ruleset) -> None:
        table = await self._table.get()
        if table is not base and table != base:
            raise RulesetMoved("the table changed after the change was planned")

    async def repair(self) -> Repair:
        """Bring the table to the desired firewall, without waiting for the engine. Errors as in `observe`."""
        for attempt in range(1, _ATTEMPTS + 1):
            in_place = self._in_place
            snapshot = await self.observe()
            change = snapshot.change
            try:
                await self.commit(change)
            except (RulesetMoved, OwnersExcluded):
                if attempt == _ATTEMPTS:
                    raise
            else:
                if self._world.engine_read:
                    self.recorded.keep(snapshot.attainable)
                return Repair(change, drift=not change.empty and change.target == in_place)
        raise AssertionError  # the loop returns or raises

    async def add_accept_rule(self, drop: ForwardDrop) -> None:
        """Let marked flows pass there."""
        await self._host_filter.add_accept_rule(drop, self._mark)
        self.invalidate_filter()

    async def remove_accept_rule(self, drop: ForwardDrop) -> None:
        """Remove our accept rule there."""
        await self._host_filter.remove_accept_rule(drop, self._mark)
        self.invalidate_filter()

    async def follow_flows(self) -> None:
        """Find out which flows pass the host's filters. The status of each owner shows it. Raises `FirewallError`.

        The flows are those of our table, and the kernel may have another one by the time it is walked through. If that
        drops flows, they are followed again.
        """
        async with self._following:  # else a walk that began earlier could end later, with what was
            for _ in range(_ATTEMPTS):
                table = await self._follow_flows()
                if not self._walks.finds_drops:
                    return
                self._table.invalidate()  # a change may not be announced yet, or not be read back
                if await self._table.get() is table:
                    return

    async def _follow_flows(self) -> Ruleset:
        """As `follow_flows`, once; returns the table that the flows are from."""
        containers = addresses_of(self._world.known_containers)
        table, host = await self._table.get(), await self._world.present_host()
        lacking = without_route(table, host)
        if lacking:  # a new bridge is there before its routes
            self._world.host_changed()
            host = await self._world.present_host()
            lacking = frozenset() if self._world.host_problem else lacking & without_route(table, host)
        await self._walks.follow(table, host, containers, lacking)
        return table

    async def sweep(self) -> None:
        """Remove everything of ours, the accept rules in the host's filter included."""
        await self._backend.sweep()
        self._in_place = self._in_place or EMPTY
        await self.sweep_residues()
        state = await self._host_filter.observe(self._mark)
        for drop in (*(each for each in state.forward_drops if each.has_accept_rule), *state.orphaned):
            await self._host_filter.remove_accept_rule(drop, self._mark)
        self.invalidate()
        self.invalidate_filter()

    async def sweep_residues(self) -> None:
        """Remove what an earlier run left in other backends, once the rules are in this one. Raises `FirewallError`."""
        while self._in_place is not None and self._residues:
            backend, *others = self._residues
            try:
                await backend.sweep()
            except FirewallUnavailable as error:
                logger.debug("%s holds no rules of ours: %s", backend.backend, error)
            self._residues = tuple(others)

    # ---- what others ask

    @property
    def contributions(self) -> tuple[FirewallContribution, ...]:
        """What every resource contributes now."""
        return self._contributions.desired.contributions

    @property
    def assignment(self) -> PolicyAssignment:
        """Which Docker networks each policy applies to now."""
        return self._contributions.assignment

    @property
    def proxied_subnets(self) -> tuple[ProxiedSubnet, ...]:
        """The NDP proxy entries that resources ask for, as far as they are known."""
        return self._contributions.desired.proxied_subnets

    @property
    def external_prefixes(self) -> tuple[Claim, ...]:
        """The external prefixes of all resources, see `DesiredFirewall.external_prefixes`."""
        return self._contributions.desired.external_prefixes

    async def all_proxied_subnets(self) -> tuple[ProxiedSubnet, ...] | None:
        """All NDP proxy entries that resources ask for. None while one resource's are unknown: nothing may be swept."""
        await self._world.refresh()
        unknown = self._inventory.unreadable or any(each.proxied_subnets is None for each in self.contributions)
        return None if unknown else self.proxied_subnets

    def bound_to(self, addresses: Collection[IPv6Address]) -> frozenset[str]:
        """Owners of ports that are published on one of these addresses of the host."""
        ports = self._contributions.desired.port_assignment.ports
        return frozenset(port.owner for port in ports if port.host_address in addresses)

    @property
    def publishes(self) -> bool:
        """Whether a resource publishes a port, or would if the host did not use it."""
        assignment = self._contributions.desired.port_assignment
        return bool(assignment.ports or assignment.problems)

    @property
    def published(self) -> tuple[PortIntent, ...]:
        """The published ports of all resources."""
        return self._contributions.desired.port_assignment.ports

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be computed because of an exception that nobody foresaw, for people to read."""
        return self._contributions.faults

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self._backend.backend

    @property
    def owners(self) -> frozenset[str]:
        """Every resource that contributes to the firewall."""
        return frozenset(each.owner for each in self.contributions)

    @property
    def wanted(self) -> bool:
        """Whether any resource asks for rules."""
        return any(each.networks for each in self.contributions)

    @property
    def idle(self) -> bool:
        """Whether no resource has rules, or may have some: our accept rule is no longer needed."""
        complete = self._inventory.complete and not self._inventory.unreadable
        return complete and not any(each.networks or each.keep for each in self.contributions)

    async def poll_revision(self) -> object:
        """A value that differs after a change that the kernel does not announce; None: it announces all changes."""
        own, others = await self._backend.poll_revision(), await self._host_filter.poll_revision()
        return None if own is None and others is None else (own, others)

    async def _forget_udp_flows(self, change: RulesetChange) -> None:
        """End tracked UDP flows to ports that come or go: a flow keeps the translation that it began with."""
        ports = changed_udp_ports(change)
        if not ports:
            return
        host = self._world.host_view.last
        interfaces = host.interfaces.values() if host is not None else ()
        # ::1 is tracked as itself, or as the address of the bridge behind it
        own = frozenset((_LOOPBACK, *(address.ip for each in interfaces for address in each.addresses)))
        try:
            await self._world.host.delete_udp_flows(ports, own)
        except HostNetError as error:
            logger.warning("existing UDP flows may keep their former translation: %s", error)
