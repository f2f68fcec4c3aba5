"""Triggers of reconciles: engine events, kernel notifications, timers.

A trigger marks parts of the caches stale and enqueues keys; it carries no other information. The reconcile reads.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.controller import host
from dockerv6.controller.context import Context
from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.prefixes import PREFIXES, tracked_interfaces
from dockerv6.dockerd.model import EngineEvent, EventKind, Network
from dockerv6.dockerd.port import EngineError, EngineUnavailable
from dockerv6.hostnet.model import ChangeKind, HostChange, ProxyNeighbour
from dockerv6.planning.addressing.route_conflicts import route_conflicts
from dockerv6.planning.firewall.contributions import resource_of
from dockerv6.planning.host import interfaces
from dockerv6.planning.host.parents import watched_interfaces
from dockerv6.planning.host.sysctls import sysctl_steps
from dockerv6.planning.inputs import NAME_LABEL, HostView
from dockerv6.reconciler.handler import Key, TemporaryError

logger = logging.getLogger(__name__)

OUR_TABLE = "inet dockerv6"
NO_IPV6 = ("ip ", "arp ")  # families of tables that see no IPv6; the engine writes most of its rules there

# Seconds:
EVENT_STREAM_RETRY = 1.0  # until a broken event stream is opened again
EVENT_STREAM_DOUBLINGS = 5  # of that delay at most, while the engine refuses the stream
BURST = 0.1  # for which changes of links, addresses and other programs' rules are gathered
LONGEST_PAUSE = 1.0  # at most between two readings of what was gathered, however long a reading takes
LONGEST_WALK_PAUSE = 10.0  # at most between two packet walks, as LONGEST_PAUSE
LAG_RETRIES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # between readings of containers whose networks changed


class Triggers:
    """Turns notifications into keys of the queue."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.repair_wanted = asyncio.Event()  # our rules may have changed
        self._filter_wanted = asyncio.Event()  # the host's own filter may lack our accept rule
        self._walk_wanted = asyncio.Event()  # the host's filters may have changed
        self._engine_changed = asyncio.Event()  # the engine's part of the caches is stale
        self._noticed = 0.0  # monotonic, when the first change that is not repaired yet was noticed
        self._links_changed = asyncio.Event()
        self._links: set[str] = set()  # names of links that changed; "": any
        self._foreign_rules_changed = False
        # As of the last reading of the host:
        self._world_version = 0
        self._addresses: interfaces.HostAddresses = {}
        self._uplinks: tuple[object, ...] = ()
        self._other_ports: Mapping[str, tuple[str, ...]] = {}  # of bridges
        self._proxies: frozenset[ProxyNeighbour] = frozenset()

    # ---- the engine

    async def follow_engine(self) -> None:
        """Read the engine's events for ever. While there are none, log it once and retry.

        An engine that does not answer is asked again soon. One that refuses only the events is asked less and less
        often, and read each time, because its changes are not announced.
        """
        world, failures = self._context.world, 0
        while True:
            refused = False
            try:
                async for event in world.engine.events():
                    failures, world.events_problem = 0, ""
                    self.on_engine_event(event)
            except EngineError as error:
                refused = not isinstance(error, EngineUnavailable)
                world.events_problem = f"no events from the Docker Engine: {error}"
                if not failures:
                    logger.warning("%s", world.events_problem)
            if refused or not failures:  # nothing changes while it does not answer
                world.engine_changed()
                self.enqueue_everything("the Docker Engine's event stream broke")
            delay = EVENT_STREAM_RETRY * 2 ** min(failures, EVENT_STREAM_DOUBLINGS) if refused else EVENT_STREAM_RETRY
            failures += 1
            await self._context.clock.sleep(delay)

    def on_engine_event(self, event: EngineEvent) -> None:
        """Mark what the event concerns stale, and reconcile what depends on it."""
        world = self._context.world
        if event.kind is EventKind.CONNECTED:
            world.engine_changed()
            self._context.engine_chains.engine_connected()
            self.enqueue_everything("the Docker Engine's event stream is open")
            self._context.enqueue(GARBAGE, "the Docker Engine is available")
            self._context.firewall.invalidate_filter()
            self._engine_changed.set()
            return
        if event.kind is EventKind.CONTAINER:
            self._container_event(event)
            return
        if event.action in ("connect", "disconnect") and event.network_id is not None:
            world.attachment_reported(event.container_id or "", event.network_id, attached=event.action == "connect")
        else:
            world.network_changed(event.network_id)
            if event.action == "destroy":
                self._context.enqueue_unallocated("a Docker network was removed")
        self._enqueue_users_of_containers()
        mine = [n for n in world.known_networks if event.network_id == n.id or event.network_name == n.name]
        self._enqueue_owned(mine, f"network {event.action}")
        for name in self._resources_named(event.network_name):
            self._context.enqueue(Key(NETWORK, name), f"network {event.action}")

    def _container_event(self, event: EngineEvent) -> None:
        """Reconcile the networks that the container was last seen on: the event does not name them."""
        world = self._context.world
        world.containers_changed()
        if event.action == "rename" and event.container_name is not None:
            world.rename_reported(event.container_id or "", event.container_name)
        self._enqueue_users_of_containers()
        on = world.networks_of(event.container_id or "")
        for network_id in on:
            world.endpoints_changed(network_id)
        if event.action == "destroy":
            world.container_removed(event.container_id or "")
        self._enqueue_owned([n for n in world.known_networks if n.id in on], f"container {event.action}")

    async def refresh_lagging_containers(self) -> None:
        """Read the list of containers again, a few times, while it lags behind the engine's events."""
        world = self._context.world
        while True:
            await world.list_may_lag.wait()
            world.list_may_lag.clear()
            for pause in LAG_RETRIES:
                await self._context.clock.sleep(pause)
                await world.engine_state()  # a list from before the event may not have the container at all
                if not world.containers_lag:
                    break
                world.containers_changed()
                self._enqueue_users_of_containers()
            else:
                if not world.list_may_lag.is_set():  # else another event came, and starts this again
                    world.accept_containers()

    def _enqueue_users_of_containers(self) -> None:
        """Update the rules at once, and the statuses after it: ports lead to containers, policies match networks."""
        self._engine_changed.set()
        for name in self._context.inventory.policies():
            self._context.enqueue(Key(POLICY, name), "networks or containers changed")
        for name, resource in self._context.inventory.networks().items():
            spec = resource.spec
            if spec.members.match_labels or spec.publish.ports or spec.ndp_proxy.enabled:
                self._context.enqueue(Key(NETWORK, name), "containers changed")

    def _resources_named(self, docker_name: str | None) -> Iterator[str]:
        """Resources whose Docker network has that name."""
        for name, resource in self._context.inventory.networks().items():
            if docker_name is not None and resource.docker_name == docker_name:
                yield name

    def _enqueue_owned(self, networks: Iterable[Network], why: str) -> None:
        """Reconcile the resources that the networks' labels name; a network without a resource is garbage."""
        for network in networks:
            if not self._context.settings.identity.labelled(network):
                continue
            name = network.labels.get(NAME_LABEL, "")
            if self._context.inventory.get(NETWORK, name) is not None:
                self._context.enqueue(Key(NETWORK, name), why)
            else:
                self._context.enqueue(GARBAGE, why)

    def _enqueue_observers(self, networks: Iterable[Network], why: str) -> None:
        """Reconcile the resources that have the networks' names, and the policies, which are for foreign networks."""
        foreign = False
        for network in networks:
            foreign |= not self._context.settings.identity.labelled(network)
            for name in self._resources_named(network.name):
                self._context.enqueue(Key(NETWORK, name), why)
        for name in self._context.inventory.policies() if foreign else ():
            self._context.enqueue(Key(POLICY, name), why)

    async def refresh_engine(self) -> None:
        """Read what changed in the engine, then repair the rules. An engine that hangs delays only this function."""
        while True:
            await self._engine_changed.wait()
            self._engine_changed.clear()
            await self._context.world.engine_state()
            self._context.enqueue_claimed()
            self.repair_firewall_soon()

    # ---- the kernel

    async def follow_kernel(self) -> None:
        """Read the kernel's notifications for ever."""
        async for change in self._context.world.host.changes():
            self.on_kernel_change(change)

    def on_kernel_change(self, change: HostChange) -> None:
        """Gather changes of links; repair our rules at once."""
        match change.kind:
            case ChangeKind.FIREWALL:
                if change.subject in (OUR_TABLE, ""):
                    self._context.firewall.invalidate(change.generation)
                    self.repair_firewall_soon()
                # the host's own rules, or the engine's, which puts its jumps above our accept rule
                if change.subject != OUR_TABLE and not change.subject.startswith(NO_IPV6):
                    self._foreign_rules_changed = True
                    self._links_changed.set()
            case ChangeKind.SYSCTL:
                self._context.enqueue(host.FORWARDING_KEY, "a sysctl changed")
            case ChangeKind.LOST:
                self._context.firewall.invalidate()
                self._context.firewall.invalidate_filter()
                self.repair_firewall_soon()
                self._context.enqueue(host.FORWARDING_KEY, "notifications were lost")
                self._links.add("")
                self._links_changed.set()
            case _:
                self._links.add(change.subject)
                self._links_changed.set()

    def repair_firewall_soon(self) -> None:
        """Have our rules compared with the table, and repaired."""
        if not self.repair_wanted.is_set():
            self._noticed = self._context.clock.monotonic()
            self.repair_wanted.set()

    async def repair_firewall(self) -> None:
        """Repair our rules as soon as they are changed, beside the queue: a full resync must not delay it."""
        while True:
            with self._retrying(host.FIREWALL, await _taken(self.repair_wanted)):
                await host.repair_firewall(self._context, noticed=self._noticed)
            self._filter_wanted.set()

    async def reconcile_host_filter(self) -> None:
        """Keep our accept rules in the host's own filter. This waits for other programs, which no repair should."""
        while True:
            with self._retrying(host.HOST_FILTER, await _taken(self._filter_wanted)):
                await host.reconcile_host_filter(self._context)
            self._walk_wanted.set()

    async def follow_flows(self) -> None:
        """Follow our flows again once a filter changed: the more rules there are, the longer that takes, and the rarer.

        A ban list may change every second, and reading thousands of rules and elements then is not free.
        """
        while True:
            wanted = await _taken(self._walk_wanted)
            started = self._context.clock.monotonic()
            with self._retrying(host.HOST_FILTER, wanted):
                await host.follow_flows(self._context)
            await self._context.clock.sleep(min(20 * (self._context.clock.monotonic() - started), LONGEST_WALK_PAUSE))

    @contextmanager
    def _retrying(self, key: Key, wanted: asyncio.Event) -> Iterator[None]:
        """Leave to the queue what fails for now. After another exception, the supervisor runs the task again."""
        try:
            yield
        except TemporaryError as error:
            logger.warning("%s: %s", key.name, error)
            self._context.enqueue(key, "it failed")
        except Exception:
            wanted.set()
            raise

    async def process_link_changes(self) -> None:
        """Read the host once a burst of changes is over: creating a network causes dozens of them.

        The longer a reading takes (there are many interfaces), the rarer it is made, to use a twentieth of one CPU at
        most. On a busy machine a reading takes long too, and `LONGEST_PAUSE` bounds the pause.
        """
        pause = BURST
        while True:
            await self._links_changed.wait()
            await self._context.clock.sleep(pause)
            self._links_changed.clear()
            started = self._context.clock.monotonic()
            links, self._links = self._links, set()
            foreign, self._foreign_rules_changed = self._foreign_rules_changed, False
            try:
                await self._process(links, foreign_rules=foreign)
            except Exception:
                self._links |= links  # the supervisor runs this function again
                self._foreign_rules_changed |= foreign
                self._links_changed.set()
                raise
            pause = min(max(BURST, 20 * (self._context.clock.monotonic() - started)), LONGEST_PAUSE)

    async def _process(self, links: set[str], *, foreign_rules: bool) -> None:
        """Read what changed, and reconcile what depends on it. ``foreign_rules``: rules that are not ours changed."""
        if foreign_rules:
            self._context.firewall.invalidate_filter()
            self.repair_firewall_soon()
        if links:
            self._context.world.host_changed()
            self._walk_wanted.set()
            view = await self._context.world.host_view.get()
            if self._context.world.version != self._world_version:  # such as another bridge that rules name
                self._world_version = self._context.world.version
                self.repair_firewall_soon()
            links |= _bridges_of(links, view)
            before, self._other_ports = self._other_ports, interfaces.other_ports(view)
            links |= {b for b in before.keys() | self._other_ports.keys() if before.get(b) != self._other_ports.get(b)}
            conflicts = frozenset(route_conflicts(view, self._context.world.known_networks))
            if (uplinks := (*_uplink_state(view), conflicts)) != self._uplinks:
                if self._uplinks:  # else this is the first reading
                    links.add("")  # every resource depends on the default route
                self._uplinks = uplinks
            if view.proxies != self._proxies:  # the kernel drops the entries of an interface that goes down
                self._proxies = view.proxies
                self._enqueue_ndp_proxies()
            self._enqueue_bound_to_changed_addresses(view)
            # an unreachable route is announced without an interface, or with loopback
            external = interfaces.external_interfaces(view)
            if not links.isdisjoint({"", "lo", *external, *tracked_interfaces(self._context)}):
                self._context.enqueue(PREFIXES, "the host's addresses or routes changed")
            if sysctl_steps(view):  # such as for an uplink that now accepts router advertisements
                self._context.enqueue(host.FORWARDING_KEY, "the host's links changed")
            self._enqueue_children_of(links)
        if "" in links:
            self.enqueue_everything("the host's links changed")
        else:
            on = [n for n in self._context.world.known_networks if n.bridge in links]
            self._enqueue_owned(on, "its bridge changed")
            self._enqueue_observers(on, "its bridge changed")

    def _enqueue_ndp_proxies(self) -> None:
        """Reconcile the resources that ask for NDP proxy entries."""
        networks, policies = self._context.inventory.networks(), self._context.inventory.policies()
        keys = [Key(NETWORK, name) for name, each in networks.items() if each.spec.ndp_proxy.enabled]
        keys += [Key(POLICY, name) for name, each in policies.items() if each.spec.ndp_proxy.enabled]
        for key in keys:
            self._context.enqueue(key, "NDP proxy entries changed")

    def _enqueue_children_of(self, links: Collection[str]) -> None:
        """Reconcile the resources whose macvlan or ipvlan network has one of these links as its parent."""
        by_name = {n.name: n for n in self._context.world.known_networks}
        for name, resource in self._context.inventory.networks().items():
            network = by_name.get(resource.docker_name) if resource.observed else None
            link = network or resource.spec
            if not watched_interfaces(link.driver, link.options).isdisjoint(links):
                self._context.enqueue(Key(NETWORK, name), "the network's parent changed")

    def _enqueue_bound_to_changed_addresses(self, view: HostView) -> None:
        """Reconcile the resources with ports on an address that came, went, or ended duplicate address detection."""
        before, self._addresses = self._addresses, interfaces.host_addresses(view)
        changed = {a for a in before.keys() | self._addresses.keys() if before.get(a) != self._addresses.get(a)}
        for owner in sorted(self._context.firewall.bound_to(changed)) if changed else ():
            self._context.enqueue(Key(*resource_of(owner)), "an address of the host changed")

    # ---- the clock

    async def resync(self) -> None:
        """Reconcile everything at an interval, in case a notification was lost."""
        while True:
            await self._context.clock.sleep(self._context.settings.resync)
            self.resync_now("resync")

    def resync_now(self, why: str) -> None:
        """Mark all caches stale and reconcile everything."""
        self._context.world.engine_changed()
        self._context.world.host_changed()
        self._context.firewall.invalidate()
        self._context.firewall.invalidate_filter()
        self._context.firewall.refused.forget()
        self.repair_firewall_soon()
        self._engine_changed.set()
        self._context.enqueue(host.FORWARDING_KEY, why)
        self._context.enqueue(PREFIXES, why)
        self._context.enqueue(GARBAGE, why)
        self.enqueue_everything(why)

    def enqueue_everything(self, why: str) -> None:
        """Reconcile every resource, pools first: the networks allocate from them."""
        objects = sorted(self._context.inventory.objects, key=lambda o: (o.kind == NETWORK, o.kind, o.name))
        for stored in objects:
            self._context.enqueue(Key(stored.kind, stored.name), why)


async def _taken(wanted: asyncio.Event) -> asyncio.Event:
    """Wait until something is wanted, and clear the event."""
    await wanted.wait()
    wanted.clear()
    return wanted


def _bridges_of(ports: Iterable[str], view: HostView) -> frozenset[str]:
    """The bridges of these ports: the notification of a container's veth does not name its bridge."""
    masters = {view.interfaces[name].master for name in ports if name in view.interfaces}
    return frozenset(i.name for i in view.interfaces.values() if i.index in masters)


def _uplink_state(view: HostView) -> tuple[object, ...]:
    """What the conditions of hosts depend on: default routes, and the links and addresses of the uplinks."""
    links = (view.interfaces[name] for name in interfaces.external_interfaces(view))
    return (
        frozenset((r.destination, r.interface) for r in view.routes if interfaces.is_default_route(r)),
        frozenset((i.name, i.up, i.mtu, i.addresses, i.tentative, i.dad_failed) for i in links if i.addresses),
    )
