"""A simulated host with an operator on it: the shipped fakes, coupled where the real ones are.

`Host` is what survives a restart of the operator: the engine, the kernel, the packet filter, the state directory, the
files. `Host.bench` gives a fresh operator's workbench on it, to call handlers one by one; `Host.running` a whole
operator on the fake clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Interface, IPv6Network
from random import Random
from typing import ParamSpec, TypeVar

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, Conditions
from dockerv6.api.kinds import API_VERSION, NETWORK, POLICY, POOL
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import Resource, decode
from dockerv6.controller import networks
from dockerv6.controller.context import Context
from dockerv6.controller.firewall import FirewallKeeper
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.operator import InventoryLookup, Operator
from dockerv6.controller.reporter import Reporter
from dockerv6.controller.settings import ControllerSettings
from dockerv6.controller.statuses import conditions_before
from dockerv6.controller.world import World
from dockerv6.dockerd.fake import FakeEngine
from dockerv6.dockerd.model import EngineEvent, EventKind, Network, NetworkSpec, SubnetConfig
from dockerv6.dockerd.profiles import ENGINE_28_5, Profile
from dockerv6.firewall.fake import FakeFirewall, FakeHostFilter
from dockerv6.firewall.ruleset import Change, Ruleset
from dockerv6.hostnet.fake import FakeHostNet
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.lib.clock import FakeClock
from dockerv6.lib.prefixes import first_address
from dockerv6.planning.inputs import MANAGED_BY
from dockerv6.reconciler.outcome import Requeue
from dockerv6.reconciler.request import Key
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Root, Severity, Snapshot, SourcedResource
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import Event, StoredObject

P = ParamSpec("P")
T = TypeVar("T")

ROOT = "/etc/dockerv6.d"
OUR_TABLE = "inet dockerv6"
FORWARDING = "net.ipv6.conf.all.forwarding"
ETH0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::5/64"),))
DOCKER0 = Interface(3, "docker0", "bridge", up=True, mtu=1500)
ETH0_LINK = Route(IPv6Network("2001:db8:1::/64"), "eth0", RouteProtocol.KERNEL, 254)
DEFAULT_ROUTE = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, 254)


def document(kind: str, name: str, spec: dict[str, object]) -> Resource:
    """A valid resource."""
    return decode({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}).resource


def network(name: str = "blog", **spec: object) -> NetworkResource:
    """An IPv6Network with that spec."""
    resource = document(NETWORK, name, spec)
    assert isinstance(resource, NetworkResource)
    return resource


def policy(name: str = "all", **spec: object) -> IPv6Policy:
    """An IPv6Policy with that spec."""
    resource = document(POLICY, name, spec)
    assert isinstance(resource, IPv6Policy)
    return resource


def pool(name: str = "default", **spec: object) -> IPv6Pool:
    """An IPv6Pool with that spec."""
    resource = document(POOL, name, spec)
    assert isinstance(resource, IPv6Pool)
    return resource


class CoupledEngine(FakeEngine):
    """An engine whose bridges are in the host's stack, and which turns forwarding on as engines do."""

    def __init__(self, host: FakeHostNet, profile: Profile = ENGINE_28_5) -> None:
        self._host = host
        self._index = 100
        self._bridges: dict[str, str] = {}
        self._booted = False  # its own networks are told of while it is made
        super().__init__(profile)
        self._booted = True

    def _tell(self, event: EngineEvent) -> None:
        if self._booted and event.kind is EventKind.NETWORK and event.network_id is not None:
            if event.action == "create":
                made = self._state.inspect_network(event.network_id)
                assert made is not None
                self._make_bridge(made)
            elif event.action == "destroy":
                self._drop_bridge(event.network_id)
        super()._tell(event)

    def _make_bridge(self, made: Network) -> None:
        if made.bridge is None:
            return
        self._bridges[made.id] = made.bridge
        self._index += 1
        addresses = tuple(
            IPv6Interface((int(c.gateway or first_address(c.subnet)), c.subnet.prefixlen))
            for c in made.ipv6
            if isinstance(c.subnet, IPv6Network)
        )
        self._host.add_interface(Interface(self._index, made.bridge, "bridge", up=True, mtu=1500, addresses=addresses))
        for address in addresses:
            self._host.add_route(Route(address.network, made.bridge, RouteProtocol.KERNEL, 254))
        if made.enable_ipv6:
            self._host.flip_sysctl(FORWARDING, "1")

    def _drop_bridge(self, network_id: str) -> None:
        bridge = self._bridges.pop(network_id, None)
        if bridge in self._host._interfaces:
            self._host.remove_interface(bridge)


class AnnouncedFirewall(FakeFirewall):
    """A packet filter whose commits the kernel announces."""

    def __init__(self, host: FakeHostNet) -> None:
        super().__init__()
        self._host = host

    async def apply(self, change: Change) -> Ruleset:
        before = self.commits
        ruleset = await super().apply(change)
        if self.commits != before:
            self._host.change_firewall(OUR_TABLE)
        return ruleset

    async def sweep(self) -> None:
        await super().sweep()
        self._host.change_firewall(OUR_TABLE)


class Inline(ThreadPoolExecutor):
    """Runs what is given to threads at once: the fake clock can't wait for a thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed over
            future.set_exception(error)
        return future


@dataclass
class Files:
    """The sources, in memory."""

    contents: dict[str, list[Resource | InvalidResource]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    root: Root = field(default_factory=lambda: Root(ROOT, listed=True, identity="1:1"))
    readers: list[asyncio.Event] = field(default_factory=list)

    def write(self, *resources: Resource | InvalidResource, file: str = "") -> None:
        """One file for each, named after it; or one for all."""
        for each in resources:
            name = each.name if isinstance(each, InvalidResource) else each.metadata.name
            self.contents[file or f"{ROOT}/{name}.yaml"] = []
        for each in resources:
            name = each.name if isinstance(each, InvalidResource) else each.metadata.name
            self.contents[file or f"{ROOT}/{name}.yaml"].append(each)
        self.touch()

    def delete(self, *names: str) -> None:
        for name in names:
            del self.contents[f"{ROOT}/{name}.yaml"]
        self.touch()

    def touch(self) -> None:
        for reader in self.readers:
            reader.set()

    def read(self) -> Snapshot:
        resources, invalid = [], []
        for path, entries in sorted(self.contents.items()):
            if path in self.broken or not self.root.listed:
                continue
            for line, entry in enumerate(entries, 1):
                if isinstance(entry, InvalidResource):
                    invalid.append(replace(entry, position=Position(path, line)))
                else:
                    resources.append(SourcedResource(entry, Position(path, line)))
        return Snapshot(
            roots=(replace(self.root, files=len(self.contents) if self.root.listed else 0),),
            resources=tuple(resources),
            invalid=tuple(invalid),
            broken_files=tuple(sorted(self.broken)),
            diagnostics=tuple(d for i in invalid for d in i.diagnostics),
        )

    async def watch(self) -> AsyncIterator[object]:
        changed = asyncio.Event()
        self.readers.append(changed)
        try:
            yield None
            while True:
                await changed.wait()
                changed.clear()
                yield None
        finally:
            self.readers.remove(changed)


def invalid(name: str, message: str = "wrong") -> InvalidResource:
    """A network that is there but can't be accepted."""
    where = Position(f"{ROOT}/{name}.yaml")
    return InvalidResource(NETWORK, name, where, (Diagnostic(where, Severity.ERROR, "spec", message, "mend it"),))


class Host:
    """A simulated host."""

    def __init__(self, profile: Profile = ENGINE_28_5, settings: ControllerSettings | None = None) -> None:
        self.settings = settings or ControllerSettings(roots=(ROOT,))
        self.clock = FakeClock()
        self.net = FakeHostNet((ETH0, DOCKER0), (ETH0_LINK, DEFAULT_ROUTE))
        self.engine = CoupledEngine(self.net, profile)
        self.firewall = AnnouncedFirewall(self.net)
        self.filter = FakeHostFilter()
        self.store = MemoryStore()
        self.ledger = MemoryLedger()
        self.files = Files()

    def context(self) -> Context:
        """A fresh operator's workbench, as after a start of its process."""
        inventory = Inventory(self.store, self.ledger)
        world = World(self.engine, self.net, self.clock)
        keeper = FirewallKeeper(self.firewall, self.filter, inventory, world, self.settings.identity)
        return Context(
            settings=self.settings,
            clock=self.clock,
            store=self.store,
            inventory=inventory,
            world=world,
            firewall=keeper,
            reporter=Reporter(self.store, self.clock),
            entropy=lambda count: bytes(range(1, count + 1)),
        )

    async def bench(self, *resources: Resource) -> "Bench":
        """A fresh operator that has loaded its state, with these resources accepted."""
        bench = Bench(self, self.context())
        await bench.context.inventory.load()
        await bench.accept(*resources)
        return bench

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Running"]:
        """An operator at work on the fake clock for the time of the block."""
        executor = Inline(max_workers=1)
        asyncio.get_running_loop().set_default_executor(executor)
        context = self.context()
        operator = Operator(context, self.files.read, self.files.watch, Random(1))
        await operator.start()
        try:
            yield Running(self, context, operator)
        finally:
            await self.clock.run_until(operator.stop())

    # What people and programs do to the host

    async def create_foreign(self, name: str, subnet: str, **labels: str) -> str:
        """As by `docker network create`."""
        return await self.engine.create_network(
            NetworkSpec(name, ipam=(SubnetConfig(IPv6Network(subnet)),), labels=labels)
        )

    async def remove_by_hand(self, name: str) -> None:
        """As by `docker network disconnect -f` for everybody and `docker network rm`."""
        there = await self.engine.network(name)
        assert there is not None
        for endpoint in there.endpoints or ():
            await self.engine.disconnect(there.id, endpoint.container_id, force=True)
        await self.engine.remove_network(there.id)

    def flush_rules(self) -> None:
        """As by `nft flush ruleset`."""
        self.firewall.flush_all()
        self.filter.flush()
        self.net.change_firewall(OUR_TABLE, "ip6 filter")

    # What is there

    async def docker(self, name: str) -> Network | None:
        """The Docker network of that name, with its endpoints."""
        return await self.engine.network(name)

    async def attached(self, name: str) -> frozenset[str]:
        """Names of all containers that are configured on it, running or not."""
        there = await self.engine.network(name)
        return frozenset(a.container_name for a in await self.engine.attachments(there.id)) if there else frozenset()

    async def bound(self, owner: str) -> Allocation | None:
        """The owner's allocation in use."""
        return next(
            (a for a in await self.ledger.allocations() if a.owner == owner and a.state is AllocationState.BOUND), None
        )

    async def stored(self, name: str, kind: str = NETWORK) -> StoredObject:
        """The object as the store has it."""
        found = await self.store.object(kind, name)
        assert found is not None
        return found

    async def conditions(self, name: str, kind: str = NETWORK) -> Conditions:
        """The conditions of its status, which must keep the rules."""
        found = conditions_before(await self.stored(name, kind))
        cond.check(found)
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
        """Everything in our table that is there for the owner, in words."""
        return frozenset(
            f"{each.name} {e}" for each in self.firewall.ruleset.sets for e in each.elements if e.owner == owner
        )

    async def snapshot(self) -> tuple[object, ...]:
        """Everything that a person could see of the world, but for ids that the engine draws anew."""
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
        interfaces = tuple(sorted((i.name, i.up, i.addresses) for i in await self.net.interfaces()))
        return tuple(sorted(networks)), bound, self.firewall.ruleset, interfaces, await self.net.sysctl(FORWARDING)

    async def ours(self) -> tuple[Network, ...]:
        """Docker networks with our label."""
        return tuple(n for n in await self.engine.networks() if MANAGED_BY in n.labels)


@dataclass
class Bench:
    """An operator's workbench, to be used by hand."""

    host: Host
    context: Context

    async def accept(self, *resources: Resource) -> None:
        """As if the sources had been read with these in them, and nothing gone."""
        self.host.files.write(*resources)
        from dockerv6.planning.intake import PruneRules, take_in  # noqa: PLC0415 - here only

        intake = take_in(
            self.host.files.read(),
            self.context.inventory.objects,
            {},
            self.host.clock.now(),
            PruneRules(enabled=False),
        )
        await self.context.inventory.write(intake.writes)
        self.context.swept = True

    async def delete(self, name: str) -> None:
        """Make its object a tombstone."""
        stored = self.context.inventory.get(NETWORK, name)
        assert stored is not None
        await self.context.inventory.write((replace(stored, deleting_since=self.host.clock.now()),))

    async def reconcile(self, name: str = "blog") -> Requeue | None:
        """One run of the handler."""
        return await networks.reconcile(Key(NETWORK, name), self.context)

    async def finalize(self, name: str = "blog") -> Requeue | None:
        """One run of the finalizer, and the end of the tombstone if it is done."""
        key = Key(NETWORK, name)
        again = await networks.finalize(key, self.context)
        if again is None:
            await InventoryLookup(self.context).finalized(key)
        return again

    def look_again(self) -> None:
        """As after notifications about everything."""
        self.context.world.engine_changed()
        self.context.world.host_changed()
        self.context.firewall.invalidate()
        self.context.firewall.invalidate_filter()


@dataclass
class Running:
    """An operator at work."""

    host: Host
    context: Context
    operator: Operator

    async def let(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        await self.host.clock.run_for(seconds)
