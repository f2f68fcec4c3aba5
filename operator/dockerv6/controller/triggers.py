"""What makes the operator look: engine events, kernel notifications, file changes, the clock.

A trigger only makes a part of the picture doubtful and says which keys to look at. The next reconcile reads the world.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.controller import host
from dockerv6.controller.context import Context
from dockerv6.controller.desired_firewall import resource_of
from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.prefixes import PREFIXES, tracked_interfaces
from dockerv6.dockerd.model import EngineEvent, EventKind, Network
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.port import FirewallError
from dockerv6.hostnet.model import ChangeKind, HostChange, ProxyNeighbour
from dockerv6.planning.host.addresses import HostAddresses, host_addresses
from dockerv6.planning.host.parents import watched_interfaces
from dockerv6.planning.host.sysctls import external_interfaces, is_default_route, sysctl_steps
from dockerv6.planning.inputs import NAME, HostView
from dockerv6.reconciler.handler import Key, TemporaryError

logger = logging.getLogger(__name__)

OUR_TABLE = "inet dockerv6"
NO_IPV6 = ("ip ", "arp ")  # families of tables that see no IPv6: an engine writes most of its rules there
ENGINE_RETRY = 1.0  # seconds until a broken event stream is opened again
LONGEST_PAUSE = 1.0  # seconds between two looks at what was gathered, however much they cost
RIVALS = 60.0  # seconds between looks for other programs that do our work
UNANNOUNCED = 1.0  # seconds between looks at rules whose changes the kernel announces to nobody
LOOK_FOR_LEGACY = 30.0  # seconds between looks for such rules, while there are none
BELATED = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between looks at containers whose networks changed
BURST = 0.1  # seconds in which changes of links, addresses and other people's rules are gathered


class Triggers:
    """Turns notifications into keys to look at."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._firewall = asyncio.Event()
        self._stack = asyncio.Event()
        self._attachments_reported = asyncio.Event()
        self._touched: set[str] = set()
        self._others = False
        self._version = 0  # of the world, when rules were last compared because of the host's links
        self._addresses: HostAddresses = {}  # the host's, as of the last look
        self._outside: tuple[object, ...] = ()  # the ways out, as of the last look
        self._proxies: frozenset[ProxyNeighbour] = frozenset()  # as of the last look

    # ---- the engine

    async def follow_engine(self) -> None:
        """Read the engine's events for ever; when it is gone, say so, and wait for it."""
        silent = False
        while True:
            try:
                async for event in self._context.world.engine.events():
                    silent = False
                    self._engine_event(event)
            except EngineUnavailable as error:
                if not silent:
                    logger.warning("no events from the Docker Engine: %s", error)
            if not silent:  # once: while it gives no answer there is nothing new to look at
                self._context.world.engine_changed()
                self._everything("the Docker Engine's event stream broke")
            silent = True
            await self._context.clock.sleep(ENGINE_RETRY)

    def _engine_event(self, event: EngineEvent) -> None:
        world = self._context.world
        if event.kind is EventKind.CONNECTED:
            world.engine_changed()
            self._everything("the Docker Engine's event stream is open")
            self._context.enqueue(GARBAGE, "the Docker Engine is there")
            self._context.firewall.invalidate_filter()
            self._firewall.set()
            return
        if event.kind is EventKind.CONTAINER:
            self._container_event(event)
            return
        if event.action in ("connect", "disconnect") and event.network_id is not None:
            world.attachment_reported(event.container_id or "", event.network_id, attached=event.action == "connect")
            self._attachments_reported.set()
        else:
            world.network_changed(event.network_id)
            if event.action == "destroy":
                self._context.enqueue_unallocated("a Docker network was removed")
        self._rules_follow()
        mine = [n for n in world.known_networks if event.network_id == n.id or event.network_name == n.name]
        self._networks(mine, f"network {event.action}")
        for name in self._named(event.network_name):
            self._context.enqueue(Key(NETWORK, name), f"network {event.action}")

    def _container_event(self, event: EngineEvent) -> None:
        """It says not which networks the container is on: those are looked at that it was seen on."""
        world = self._context.world
        world.containers_changed()
        self._rules_follow()
        on = world.networks_of(event.container_id or "")
        for network_id in on:
            world.endpoints_changed(network_id)
        if event.action == "destroy":
            world.container_removed(event.container_id or "")
        self._networks([n for n in world.known_networks if n.id in on], f"container {event.action}")

    async def refresh_lagging_containers(self) -> None:
        """Look again, a few times, where the engine's list of containers lags behind its events."""
        world = self._context.world
        while True:
            await self._attachments_reported.wait()
            self._attachments_reported.clear()
            for pause in BELATED:
                await self._context.clock.sleep(pause)
                await world.engine_state()  # a list from before the event may not even have the container
                if not world.containers_lag:
                    break
                world.containers_changed()
                self._rules_follow()
            else:
                if (
                    not self._attachments_reported.is_set()
                ):  # else somebody was plugged meanwhile, and is waited for anew
                    world.accept_containers()

    def _rules_follow(self) -> None:
        """Ports lead to containers, policies are for networks: at once, the statuses tell of it afterwards."""
        self._firewall.set()
        for name in self._context.inventory.policies():
            self._context.enqueue(Key(POLICY, name), "networks or containers changed")
        for name, resource in self._context.inventory.networks().items():
            spec = resource.spec
            if spec.members.match_labels or spec.publish.ports or spec.ndp_proxy.enabled:
                self._context.enqueue(Key(NETWORK, name), "containers changed")

    def _named(self, docker_name: str | None) -> Iterator[str]:
        """Resources whose Docker network has that name."""
        for name, resource in self._context.inventory.networks().items():
            if docker_name is not None and resource.docker_name == docker_name:
                yield name

    def _networks(self, networks: Iterable[Network], why: str) -> None:
        """Look at the resources of these Docker networks; at the garbage, where there is none."""
        for network in networks:
            if not self._context.settings.identity.owns(network):
                continue
            name = network.labels.get(NAME, "")
            if self._context.inventory.get(NETWORK, name) is not None:
                self._context.enqueue(Key(NETWORK, name), why)
            else:
                self._context.enqueue(GARBAGE, why)

    def _followers(self, networks: Iterable[Network], why: str) -> None:
        """Look at the resources that are for others' networks, if there are such among these."""
        theirs = [n for n in networks if not self._context.settings.identity.owns(n)]
        for network in theirs:
            for name in self._named(network.name):
                self._context.enqueue(Key(NETWORK, name), why)
        for name in self._context.inventory.policies() if theirs else ():
            self._context.enqueue(Key(POLICY, name), why)

    # ---- the kernel

    async def follow_kernel(self) -> None:
        """Read the kernel's notifications for ever."""
        async for change in self._context.world.host.changes():
            self._kernel_change(change)

    def _kernel_change(self, change: HostChange) -> None:
        match change.kind:
            case ChangeKind.FIREWALL:
                if change.subject in (OUR_TABLE, ""):
                    self._context.firewall.invalidate(change.generation)
                    self._firewall.set()
                # of the others, the host's own, or the engine's, which put jumps above our rule
                if not change.subject.startswith((OUR_TABLE, *NO_IPV6)):
                    self._others = True
                    self._stack.set()
            case ChangeKind.SYSCTL:
                self._context.enqueue(host.FORWARDING, "a sysctl changed")
            case ChangeKind.LOST:
                self._context.firewall.invalidate()
                self._context.firewall.invalidate_filter()
                self._firewall.set()
                self._context.enqueue(host.FORWARDING, "notifications were lost")
                self._touched.add("")
                self._stack.set()
            case _:
                self._touched.add(change.subject)
                self._stack.set()

    async def repair_firewall(self) -> None:
        """Repair our table as soon as it is touched, beside the queue: a resync of everything must not delay it."""
        while True:
            await self._firewall.wait()
            self._firewall.clear()
            try:
                await host.repair_firewall(self._context)
            except TemporaryError as error:
                logger.warning("firewall: %s", error)
                self._context.enqueue(host.FIREWALL, "its repair failed")
            except Exception:
                self._firewall.set()  # the supervisor runs this again, and then it is still to be done
                raise

    async def repair_host_stack(self) -> None:
        """Look at what else was touched, once the burst of changes is over: making a network is dozens of them.

        The more a look costs (there are many interfaces), the rarer it is taken, for a twentieth of one CPU at most; on
        a machine that is merely busy, a look takes long and is not put off for that.
        """
        pause = BURST
        while True:
            await self._stack.wait()
            await self._context.clock.sleep(pause)
            self._stack.clear()
            started = self._context.clock.monotonic()
            touched, self._touched = self._touched, set()
            others, self._others = self._others, False
            try:
                await self._look_at(touched, others=others)
            except Exception:
                self._touched |= touched  # the supervisor runs this again, and then it is still to be done
                self._others |= others
                self._stack.set()
                raise
            pause = min(max(BURST, 20 * (self._context.clock.monotonic() - started)), LONGEST_PAUSE)

    async def _look_at(self, touched: set[str], *, others: bool) -> None:
        """Read what was touched, and look at whom it concerns. ``others``: rules that are not ours."""
        if others:
            self._context.firewall.invalidate_filter()
            self._firewall.set()
        if touched:
            self._context.world.host_changed()
            view = await self._context.world.host_view.get()
            if self._context.world.version != self._version:  # whoever has seen it first: bridges that rules name
                self._version = self._context.world.version
                self._firewall.set()
            touched |= _bridges_of(touched, view)
            if (outside := _outside(view)) != self._outside:
                if self._outside:  # else this is the first look
                    touched.add("")  # the way out concerns everybody
                self._outside = outside
            if view.proxies != self._proxies:  # the kernel drops those of an interface that goes down
                self._proxies = view.proxies
                self._answering()
            self._ports_wait_for(view)
            # a route to nowhere is told of with no interface, or with loopback's
            if not touched.isdisjoint({"", "lo", *external_interfaces(view), *tracked_interfaces(self._context)}):
                self._context.enqueue(PREFIXES, "the host's addresses or routes changed")
            if sysctl_steps(view):  # such as an uplink that has begun to hear router advertisements
                self._context.enqueue(host.FORWARDING, "the host's links changed")
            self._parents(touched)
        if "" in touched:
            self._everything("the host's links changed")
        else:
            on = [n for n in self._context.world.known_networks if n.bridge in touched]
            self._networks(on, "its bridge changed")
            self._followers(on, "its bridge changed")

    def _answering(self) -> None:
        """Look at the resources that have neighbour solicitations answered."""
        networks, policies = self._context.inventory.networks(), self._context.inventory.policies()
        keys = [Key(NETWORK, name) for name, each in networks.items() if each.spec.ndp_proxy.enabled]
        keys += [Key(POLICY, name) for name, each in policies.items() if each.spec.ndp_proxy.enabled]
        for key in keys:
            self._context.enqueue(key, "proxy neighbours changed")

    def _parents(self, touched: Collection[str]) -> None:
        """Look at the resources whose macvlan or ipvlan network stands on one of these interfaces."""
        by_name = {n.name: n for n in self._context.world.known_networks}
        for name, resource in self._context.inventory.networks().items():
            network = by_name.get(resource.docker_name) if resource.observed else None
            link = network or resource.spec
            if not watched_interfaces(link.driver, link.options).isdisjoint(touched):
                self._context.enqueue(Key(NETWORK, name), "the network's parent changed")

    def _ports_wait_for(self, view: HostView) -> None:
        """Look at the resources with ports on an address that came, went, or proved to be unique, or not."""
        before, self._addresses = self._addresses, host_addresses(view)
        moved = {a for a in before.keys() | self._addresses.keys() if before.get(a) != self._addresses.get(a)}
        for owner in sorted(self._context.firewall.bound_to(moved)) if moved else ():
            self._context.enqueue(Key(*resource_of(owner)), "an address of the host changed")

    async def poll_firewall(self) -> None:
        """Look for changes that the kernel announces to nobody: those of iptables-legacy."""
        known = await self._context.firewall.fingerprint()
        while True:
            await self._context.clock.sleep(UNANNOUNCED if known is not None else LOOK_FOR_LEGACY)
            found = await self._context.firewall.fingerprint()
            if found != known:
                self._context.firewall.invalidate()
                self._context.firewall.invalidate_filter()
                self._firewall.set()
                known = found

    async def watch_foreign_rules(self) -> None:
        """Look now and then whether another program looks after the same networks; statuses and an event tell of it."""
        firewall = self._context.firewall
        while True:
            try:
                said = await self._context.detect_foreign_rules()
            except FirewallError as error:
                logger.warning("whether docker-ipv6nat is at work can't be told: %s", error)
                said = firewall.rival
            if said != firewall.rival:
                firewall.rival = said
                if said:
                    await self._context.reporter.warning(host.HOST, host.FIREWALL.name, "ForeignRules", said)
                self._everything("another program's rules came or went")
            await self._context.clock.sleep(RIVALS)

    # ---- the clock

    async def resync(self) -> None:
        """Look at everything now and then: the net below, should a notification ever be lost."""
        while True:
            await self._context.clock.sleep(self._context.settings.resync)
            self.resync_now("resync")

    def resync_now(self, why: str) -> None:
        """Trust nothing that is cached."""
        self._context.world.engine_changed()
        self._context.world.host_changed()
        self._context.firewall.invalidate()
        self._context.firewall.invalidate_filter()
        self._firewall.set()
        self._context.enqueue(host.FORWARDING, why)
        self._context.enqueue(PREFIXES, why)
        self._context.enqueue(GARBAGE, why)
        self._everything(why)

    def _everything(self, why: str) -> None:
        """Every resource, pools first: the networks draw from them."""
        objects = sorted(self._context.inventory.objects, key=lambda o: (o.kind == NETWORK, o.kind, o.name))
        for stored in objects:
            self._context.enqueue(Key(stored.kind, stored.name), why)


def _bridges_of(ports: Iterable[str], view: HostView) -> frozenset[str]:
    """The bridges that these interfaces are ports of: a container's end comes with no word about its bridge."""
    masters = {view.interfaces[name].master for name in ports if name in view.interfaces}
    return frozenset(i.name for i in view.interfaces.values() if i.index in masters)


def _outside(view: HostView) -> tuple[object, ...]:
    """What conditions of hosts are made from: ways out, and the links and addresses that lead there."""
    links = (view.interfaces[name] for name in external_interfaces(view))
    return (
        frozenset((r.destination, r.interface) for r in view.routes if is_default_route(r)),
        frozenset((i.name, i.up, i.mtu, i.addresses, i.tentative, i.dad_failed) for i in links if i.addresses),
    )
