"""A simulated host with an operator on it: the fakes, coupled like the real adapters.

`Host` is what survives a restart of the operator: the engine, the kernel, the packet filter, the state directory, the
files. `Host.bench` gives a new operator's context, to call handlers one by one; `Host.running` runs a whole operator on
the fake clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from random import Random
from typing import ParamSpec, TypeVar

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, Conditions, ConditionType, Reason
from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.scheme import Resource
from dockerv6.controller import network, policy
from dockerv6.controller.context import Context, ControllerSettings
from dockerv6.controller.engine_chains import EngineChains
from dockerv6.controller.events import EventRecorder
from dockerv6.controller.firewall import FirewallReconciler, Repair
from dockerv6.controller.garbage import CONFIRMED, PRUNE
from dockerv6.controller.inventory import INSTALLATION, STATE, Inventory
from dockerv6.controller.listening import ListeningServices
from dockerv6.controller.operator import InventoryTombstones, Operator
from dockerv6.controller.problems import OpenProblems
from dockerv6.controller.recorded_intents import RecordedIntents
from dockerv6.controller.recreations import InFlightRecreations
from dockerv6.controller.status import conditions_before
from dockerv6.controller.world import World
from dockerv6.daemon.observer import MetricsObserver
from dockerv6.dockerd.model import BRIDGE_NAME, Network, NetworkSpec, SubnetConfig
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning.admission import PruneRules, admit_resources
from dockerv6.planning.firewall.desired import published_ports
from dockerv6.planning.host.bridges import BRIDGE_NETFILTER
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.planning.inputs import MANAGED_BY
from dockerv6.reconciler.handler import Key, Requeue
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import Event, StoredObject
from dockerv6.telemetry.health import StuckWork
from dockerv6.telemetry.metrics import Metrics
from tests.condition_rules import check_conditions
from tests.fakes.clock import FakeClock
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion
from tests.fakes.firewall.backend import FakeHostFilter
from tests.fakes.hostnet.host import FakeHostNet
from tests.simulation.coupled import (
    DEFAULT_ROUTE,
    DOCKER0,
    ETH0,
    ETH0_LINK,
    OUR_TABLE,
    CoupledEngine,
    NotifyingFirewall,
)
from tests.simulation.files import Files
from tests.simulation.resources import ROOT

P = ParamSpec("P")
T = TypeVar("T")


class Inline(ThreadPoolExecutor):
    """Runs submitted calls immediately, because the fake clock can't wait for threads."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - set as the result
            future.set_exception(error)
        return future


ENGINE_CHAINS = frozenset({"ip nat", "ip filter", "ip6 nat", "ip6 filter"})
"""The tables that have the engine's chains."""


class Host:
    """A simulated host."""

    def __init__(
        self,
        profile: EngineVersion = ENGINE_28_5,
        settings: ControllerSettings | None = None,
        *,
        userland_proxy: bool = True,
        bridge_netfilter: bool = False,
    ) -> None:
        """A host without containers. ``bridge_netfilter``: the module br_netfilter filters bridged packets."""
        self.settings = settings or ControllerSettings(roots=(ROOT,))
        self.clock = FakeClock()
        sysctls = {BRIDGE_NETFILTER: "1"} if bridge_netfilter else {}
        self.net = FakeHostNet((ETH0, DOCKER0), (ETH0_LINK, DEFAULT_ROUTE), sysctls, self.clock.now)
        self.engine = CoupledEngine(self.net, profile, userland_proxy=userland_proxy)
        self.firewall = NotifyingFirewall(self.net)
        self.filter = FakeHostFilter()
        self.store = MemoryStore()
        self.store._contents.put_record(INSTALLATION, STATE, "{}")
        self.ledger = MemoryLedger()
        self.files = Files()
        self.engine_chains = ENGINE_CHAINS

    def context(self) -> Context:
        """A new operator's context, as after a start of its process."""
        inventory = Inventory(self.store, self.ledger, self.clock)
        world = World(self.engine, self.net, self.clock)
        recorded = RecordedIntents(self.store, self.clock)
        firewall = FirewallReconciler(self.firewall, self.filter, inventory, world, self.settings.identity, recorded)
        events = EventRecorder(self.store, self.clock)
        return Context(
            settings=self.settings,
            clock=self.clock,
            store=self.store,
            inventory=inventory,
            world=world,
            firewall=firewall,
            events=events,
            problems=OpenProblems(self.store, events),
            recreations=InFlightRecreations(self.store),
            listening=ListeningServices(world, firewall, self.clock),
            engine_chains=EngineChains(self.read_engine_chains, self.store, world, self.clock),
            entropy=lambda count: bytes(range(1, count + 1)),
        )

    async def bench(self, *resources: Resource) -> "Bench":
        """A new operator that has loaded its state, with these resources accepted."""
        bench = Bench(self, self.context())
        await bench.context.inventory.load()
        await bench.context.firewall.recorded.load("")
        await bench.context.engine_chains.load()
        await bench.accept(*resources)
        return bench

    @asynccontextmanager
    async def running(self, metrics: Metrics | None = None) -> AsyncIterator["RunningOperator"]:
        """An operator that runs on the fake clock inside the block."""
        executor = Inline(max_workers=1)
        asyncio.get_running_loop().set_default_executor(executor)
        context = self.context()
        observer = None
        if metrics is not None:
            context.drift = metrics
            observer = MetricsObserver(metrics, StuckWork(self.clock, 300), context)
        operator = Operator(context, self.files.read, self.files.watch, Random(1), observer)
        await operator.start()
        try:
            yield RunningOperator(self, context, operator)
        finally:
            await self.clock.run_until(operator.stop())

    # Changes by users and other programs

    async def create_foreign(self, name: str, subnet: str, *, bridge: str = "", **labels: str) -> str:
        """Create a network as `docker network create` does."""
        options = {BRIDGE_NAME: bridge} if bridge else {}
        return await self.engine.create_network(
            NetworkSpec(name, ipam=(SubnetConfig(IPv6Network(subnet)),), labels=labels, options=options)
        )

    async def remove_by_hand(self, name: str) -> None:
        """As by `docker network disconnect -f` for each container and `docker network rm`."""
        live = await self.engine.network(name)
        assert live is not None
        for endpoint in live.endpoints or ():
            await self.engine.disconnect(live.id, endpoint.container_id, force=True)
        await self.engine.remove_network(live.id)

    def flush_rules(self) -> None:
        """Remove all rules as `nft flush ruleset` does."""
        self.firewall.flush_all()
        self.filter.flush()
        self.net.commit_firewall(OUR_TABLE, "ip6 filter")

    async def read_engine_chains(self) -> frozenset[str]:
        """The tables that have the engine's chains."""
        return self.engine_chains

    def lose_state(self) -> None:
        """As if the state directory was emptied while no operator ran."""
        self.store, self.ledger = MemoryStore(), MemoryLedger()

    async def confirm_prune(self) -> None:
        """As `dockerv6 prune --confirm` does."""
        for what, confirmed in CONFIRMED.items():
            held = await self.store.record(PRUNE, what)
            if held is not None:
                await self.store.put_record(PRUNE, confirmed, held)

    # State

    async def docker(self, name: str) -> Network | None:
        """The Docker network of that name, with its endpoints."""
        return await self.engine.network(name)

    async def attached(self, name: str) -> frozenset[str]:
        """The names of all containers that are attached to the network, running or not."""
        live = await self.engine.network(name)
        return frozenset(a.container_name for a in await self.engine.attachments(live.id)) if live else frozenset()

    async def bound(self, owner: str) -> Allocation | None:
        """The bound allocation of the owner."""
        return next(
            (a for a in await self.ledger.allocations() if a.owner == owner and a.state is AllocationState.BOUND), None
        )

    async def stored(self, name: str, kind: str = NETWORK) -> StoredObject:
        """The stored object."""
        found = await self.store.object(kind, name)
        assert found is not None
        return found

    async def conditions(self, name: str, kind: str = NETWORK) -> Conditions:
        """The conditions of a resource, checked against the rules of conditions."""
        found = conditions_before(await self.stored(name, kind))
        check_conditions(found)
        return found

    async def condition(self, name: str, type_: str, kind: str = NETWORK) -> Condition | None:
        return cond.get(await self.conditions(name, kind), type_)

    async def ready(self, name: str, kind: str = NETWORK) -> tuple[str, str]:
        """Status and reason of Ready."""
        found = cond.get(await self.conditions(name, kind), "Ready")
        assert found is not None
        return found.status, found.reason

    async def events(self, name: str, kind: str = NETWORK) -> tuple[Event, ...]:
        return await self.store.events(kind, name)

    def rules_of(self, owner: str) -> frozenset[str]:
        """The elements of the owner in our table, as text."""
        return frozenset(
            f"{each.name} {e}" for each in self.firewall.ruleset.sets for e in each.elements if e.owner == owner
        )

    def ports(self) -> dict[str, str]:
        """Where the ports in our table lead to: "tcp 8080 ::" to "web:80", or to an address without a container."""
        names = {end.ipv6: c.name for c in self.engine.list_containers() for end in c.endpoints}
        return {
            f"{protocol} {port} {at or '::'}": f"{names.get(target, target)}:{number}"
            for (protocol, port, at), (target, number) in sorted(
                published_ports(self.firewall.ruleset).items(), key=str
            )
        }

    async def snapshot(self) -> tuple[object, ...]:
        """Networks, bound allocations, rules, interfaces and forwarding, without ids that the engine generates."""
        networks = [
            (
                n.name,
                str(n.ipv6),
                str(sorted(n.labels.items())),
                str(sorted(n.options.items())),
                tuple(sorted(a.container_name for a in await self.engine.attachments(n.id))),
            )
            for n in await self.engine.networks()
        ]
        bound = tuple((a.owner, a.pool, a.prefix) for a in await self.ledger.allocations() if a.state == "bound")
        interfaces = tuple(sorted((i.name, i.up, i.addresses) for i in await self.net.interfaces() if i.kind != "veth"))
        return tuple(sorted(networks)), bound, self.firewall.ruleset, interfaces, await self.net.sysctl(FORWARDING)

    async def ours(self) -> tuple[Network, ...]:
        """Docker networks that dockerv6 manages."""
        return tuple(n for n in await self.engine.networks() if MANAGED_BY in n.labels)


@dataclass
class Bench:
    """An operator's context, whose handlers are called by hand."""

    host: Host
    context: Context

    async def accept(self, *resources: Resource) -> None:
        """Write the resources to files, and admit them. Nothing is pruned."""
        self.host.files.write(*resources)
        admission = admit_resources(
            self.host.files.read(),
            self.context.inventory.objects,
            {},
            self.host.clock.now(),
            PruneRules(enabled=False),
        )
        await self.context.inventory.write(admission.writes)
        self.context.inventory.sources_listed = True

    async def delete(self, name: str, kind: str = NETWORK) -> None:
        """Turn the object into a tombstone."""
        stored = self.context.inventory.get(kind, name)
        assert stored is not None
        await self.context.inventory.write((replace(stored, deleting_since=self.host.clock.now()),))

    async def reconcile(self, name: str = "blog", kind: str = NETWORK) -> Requeue | None:
        """Run the handler once, and again if its status waits for a packet walk, as the queue does."""
        handler = policy.reconcile if kind == POLICY else network.reconcile
        again = await handler(Key(kind, name), self.context)
        waiting = await self.host.condition(name, ConditionType.FIREWALL_READY, kind)
        if again is None and waiting is not None and waiting.reason == Reason.FLOWS_NOT_FOLLOWED:
            self.context.world.host_changed()
            await self.context.firewall.follow_flows()
            again = await handler(Key(kind, name), self.context)
        return again

    async def finalize(self, name: str = "blog", kind: str = NETWORK) -> Requeue | None:
        """Run the finalizer once, and remove the tombstone if it is complete."""
        handler = policy.finalize if kind == POLICY else network.finalize
        again = await handler(Key(kind, name), self.context)
        if again is None:
            await InventoryTombstones(self.context).remove(Key(kind, name))
        return again

    async def repair(self) -> Repair:
        """Repair the rules after the engine was read."""
        await self.context.world.refresh()
        repair = await self.context.firewall.repair()
        await self.context.firewall.recorded.flush()
        return repair

    def invalidate_all(self) -> None:
        """Invalidate everything that was read, as notifications about all of it would."""
        self.context.world.engine_changed()
        self.context.world.host_changed()
        self.context.firewall.invalidate()
        self.context.firewall.invalidate_filter()


@dataclass
class RunningOperator:
    """A running operator."""

    host: Host
    context: Context
    operator: Operator

    async def let(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        await self.host.clock.run_for(seconds)
