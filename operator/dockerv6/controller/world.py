"""One shared, cached look at the engine and the host: read again only what a notification made doubtful.

Events say where to look, never what is there: each of them only drops a part of the cache.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Interface
from typing import Generic, TypeVar

from dockerv6.dockerd.model import Attachment, Container, EngineInfo, Network
from dockerv6.dockerd.port import Engine, EngineError
from dockerv6.hostnet.model import Interface, Listener
from dockerv6.hostnet.port import HostNet, HostNetError
from dockerv6.hostnet.sysctl import ra_disabled_by_forwarding, ra_interfaces
from dockerv6.lib.clock import Clock
from dockerv6.planning.host.ndp_proxy import on_link_prefixes
from dockerv6.planning.host.sysctls import (
    BRIDGE_NETFILTER,
    FORWARDING,
    accept_ra,
    external_addresses,
    external_interfaces,
    guest_bridges,
    proxy_ndp,
    uplink_bridges,
)
from dockerv6.planning.inputs import HostView, NetworkIndex

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEFT_ALONE = 1.0
"""Seconds for which an engine that gave no answer is not asked again, unless its event stream opens."""

DIRTY_LIMIT = 8
"""Networks that are read one by one; when more have changed, a list of all is cheaper."""


class Cached(Generic[T]):
    """A value that is read when it is asked for and doubtful; one read serves all who ask meanwhile."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._value: T | None = None
        self._epoch = 0
        self._fresh = -1
        self._lock = asyncio.Lock()

    def invalidate(self) -> None:
        """Read again before the next use."""
        self._epoch += 1

    @property
    def last(self) -> T | None:
        """What was read last, doubtful or not."""
        return self._value

    def put(self, value: T) -> None:
        """Take over what is known from elsewhere. A read that is under way may not know of it: another one follows."""
        fresh = self._fresh == self._epoch
        self._epoch += 1
        if fresh:
            self._fresh = self._epoch
        self._value = value

    async def get(self) -> T:
        """The value. Errors of the read come out of here, and leave the cache doubtful."""
        async with self._lock:
            if self._fresh != self._epoch or self._value is None:
                epoch = self._epoch
                self._value = await self._read()
                self._fresh = epoch
            return self._value


class World:
    """The engine's networks and the host's stack."""

    def __init__(self, engine: Engine, host: HostNet, clock: Clock) -> None:
        """Look at nothing yet.

        Args:
            engine: the Docker Engine.
            host: the host's network stack.
            clock: to leave an engine that gave no answer alone for a moment.
        """
        self.engine = engine
        self.host = host
        self._clock = clock
        self._left_alone_until = 0.0  # monotonic
        self._reported_networks: dict[str, set[str]] = {}  # container id -> network ids that events told of
        self._reported_attached: dict[
            tuple[str, str], bool
        ] = {}  # what they told: whether that container is on that network
        self.version = 0
        """Grows when what rules are made from is other than before: networks, containers, listeners, bridges."""
        self._last_in_rules: tuple[object, ...] | None = None
        self.rules_name_bridges = False
        """Whether the rules name all bridges, so that another bridge makes other rules."""
        self.containers: Cached[tuple[Container, ...]] = Cached(self._read_containers)
        self.listeners: Cached[frozenset[Listener]] = Cached(self._read_listeners)
        self.info: Cached[EngineInfo] = Cached(engine.info)
        self.engine_problem = "the Docker Engine has not been asked yet"
        self._dirty: set[str] = set()
        self._all_dirty = True
        self._occupied: Cached[frozenset[str]] = Cached(engine.networks_in_use)
        self._attachments: dict[str, Cached[tuple[Attachment, ...]]] = {}
        self._networks: Cached[dict[str, Network]] = Cached(self._read_networks)
        self._edits: dict[str, Network | None] = {}  # by ourselves, since the latest read began
        self._index: tuple[dict[str, Network] | None, NetworkIndex] = (None, NetworkIndex())
        self.host_view: Cached[HostView] = Cached(self._read_host)

    @property
    def networks_read(self) -> bool:
        """Whether the live networks have ever been read."""
        return self._networks.last is not None

    @property
    def known_networks(self) -> NetworkIndex:
        """The live networks as last seen."""
        last = self._networks.last
        if self._index[0] is not last:
            self._index = (last, NetworkIndex((last or {}).values()))
        return self._index[1]

    async def networks(self) -> NetworkIndex:
        """All live networks. Raises `EngineError`."""
        await self._networks.get()
        return self.known_networks

    def engine_changed(self) -> None:
        """The engine was restarted, or its event stream: everything about it is doubtful."""
        self._left_alone_until = 0.0
        self._reported_networks.clear()
        self._reported_attached.clear()
        self.info.invalidate()
        self.network_changed(None)
        self.endpoints_changed()

    def network_changed(self, network_id: str | None) -> None:
        """That network was made, removed or changed; None: nobody knows which."""
        if network_id is None or len(self._dirty) >= DIRTY_LIMIT:
            self._all_dirty = True
        else:
            self._dirty.add(network_id)
        self._networks.invalidate()

    def endpoints_changed(self, network_id: str | None = None) -> None:
        """Containers were attached, detached, started or stopped; None: on any network."""
        self.containers_changed()
        self._occupied.invalidate()
        for cached in self._attachments.values() if network_id is None else (self._attachments.get(network_id),):
            if cached is not None:
                cached.invalidate()

    def containers_changed(self) -> None:
        """Containers were started, stopped or renamed; those that have no network too."""
        self.containers.invalidate()
        self.listeners.invalidate()

    @property
    def known_containers(self) -> tuple[Container, ...]:
        """Those that ran when they were last asked for."""
        return self.containers.last or ()

    def attachment_reported(self, container_id: str, network_id: str, *, attached: bool = True) -> None:
        """A container was attached to the network, or detached."""
        self._reported_networks.setdefault(container_id, set()).add(network_id)
        self._reported_attached[container_id, network_id] = attached
        self.endpoints_changed(network_id)

    @property
    def containers_lag(self) -> bool:
        """Whether the list of containers, as last seen, lags behind what events told of their networks.

        Engines send the event before the list has it (moby, daemon/container_operations.go: connectToNetwork, then
        CheckpointTo), and nothing afterwards.
        """
        on = {c.id: {end.network_id for end in c.endpoints} for c in self.known_containers}
        self._reported_attached = {
            (container, network): attached
            for (container, network), attached in self._reported_attached.items()
            if container in on and (network in on[container]) != attached
        }
        return bool(self._reported_attached)

    def accept_containers(self) -> None:
        """The list is what it is."""
        self._reported_attached.clear()

    def networks_of(self, container_id: str) -> frozenset[str]:
        """Ids of the networks that a container is known to be, or to have been, on."""
        seen = {
            network_id
            for network_id, cached in self._attachments.items()
            if any(a.container_id == container_id for a in cached.last or ())
        }
        return frozenset(seen | self._reported_networks.get(container_id, set()))

    def container_removed(self, container_id: str) -> None:
        """A container was removed."""
        self._reported_networks.pop(container_id, None)

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """Every container, running or stopped, on that network. Raises `EngineError`."""
        network = (self._networks.last or {}).get(network_id)
        if network is not None and not {network_id, network.name} & await self._occupied.get():
            return ()
        if network_id not in self._attachments:
            self._attachments[network_id] = Cached(partial(self.engine.attachments, network_id))
        return await self._attachments[network_id].get()

    def host_changed(self) -> None:
        """Links, addresses, routes or sysctls changed."""
        self.host_view.invalidate()

    async def refresh(self) -> None:
        """Read again all that is doubtful and that rules are made from; an engine that gives no answer is left so."""
        await self.engine_state()
        await self.host_view.get()
        await self.listeners.get()

    def bridge_created(self, bridge: str, address: IPv6Interface) -> None:
        """The engine has just made this bridge; a look at the host that was taken meanwhile saw it half-done."""
        view = self.host_view.last
        if view is not None:
            known = view.interfaces.get(bridge)
            made = Interface(known.index if known else 0, bridge, "bridge", up=True, mtu=1500, addresses=(address,))
            self.host_view.put(replace(view, interfaces={**view.interfaces, bridge: made}))

    def network_removed(self, network_id: str) -> None:
        """A network was removed by ourselves."""
        self._attachments.pop(network_id, None)
        self._correct({network_id: None})

    async def refresh_network(self, ref: str) -> Network | None:
        """Read one network with its endpoints, and correct the cache by it."""
        network = await self.engine.network(ref)
        if network is None:
            self._correct({i: None for i, n in (self._networks.last or {}).items() if ref in (i, n.name)})
        else:
            self._correct({network.id: replace(network, endpoints=None)})
        return network

    def _correct(self, edits: dict[str, Network | None]) -> None:
        """Put right what is known of these networks, and what a read that is under way will say of them."""
        self._edits.update(edits)
        known = self._networks.last or {}
        corrected = _edited(known, edits)
        if corrected != known:
            self._networks.put(corrected)
            self.version += 1

    async def engine_state(self) -> tuple[EngineInfo | None, str]:
        """The engine's identity; None and why while it gives no answer.

        An engine that gave none is not asked again for a moment: a thousand resources would each ask.
        """
        if self._clock.monotonic() < self._left_alone_until:
            return None, self.engine_problem
        try:
            info = await self.info.get()
            await self._networks.get()
            await self.containers.get()
        except EngineError as error:
            self.engine_changed()
            self._left_alone_until = self._clock.monotonic() + LEFT_ALONE
            self.engine_problem = str(error)
            return None, self.engine_problem
        self.engine_problem = ""
        return info, ""

    async def _read_networks(self) -> dict[str, Network]:
        """All networks anew, or the known ones with those corrected that an event named."""
        everything, dirty = self._all_dirty, self._dirty
        self._all_dirty, self._dirty = False, set()
        self._edits = {}
        try:
            if everything or self._networks.last is None:
                networks = {n.id: n for n in await self.engine.networks()}
            else:
                ids = sorted(dirty)
                found = await asyncio.gather(*(self.engine.network(i) for i in ids))
                read = {i: replace(n, endpoints=None) if n else None for i, n in zip(ids, found, strict=True)}
                networks = _edited(self._networks.last, read)
        except EngineError:
            self._all_dirty = True
            raise
        networks = _edited(networks, self._edits)
        if networks == self._networks.last:
            return self._networks.last  # one copy in memory, and what was computed from it stays good
        self.version += 1
        return networks

    async def _read_containers(self) -> tuple[Container, ...]:
        containers = await self.engine.containers()
        if containers == self.containers.last:
            return self.containers.last
        self.version += 1
        return containers

    async def _read_listeners(self) -> frozenset[Listener]:
        """A kernel that doesn't tell has none: a port is then taken over unseen, as by the engine itself."""
        try:
            listeners = await self.host.listeners()
        except HostNetError as error:
            logger.warning("the host's listening sockets can't be read: %s", error)
            listeners = frozenset()
        if listeners == self.listeners.last:
            return self.listeners.last
        self.version += 1
        return listeners

    async def _read_host(self) -> HostView:
        interfaces = await self.host.interfaces()
        routes = await self.host.routes()
        values = {name: await self.host.sysctl(accept_ra(name)) for name in ra_interfaces(interfaces, routes)}
        deafened = ra_disabled_by_forwarding(interfaces, routes, values)
        view = HostView(
            forwarding=await self.host.sysctl(FORWARDING),
            accept_ra={name: values[name] or "" for name in deafened},
            interfaces={i.name: i for i in interfaces},
            routes=routes,
            proxies=await self.host.proxy_neighbours(),
            bridge_netfilter={"1": True, "0": False}.get(await self.host.sysctl(BRIDGE_NETFILTER) or ""),
        )
        switches = {name: await self.host.sysctl(proxy_ndp(name)) for name in external_interfaces(view)}
        view = replace(view, proxy_ndp={name: value for name, value in switches.items() if value is not None})
        before = self.host_view.last
        if before == view:
            return before
        in_rules = self._in_rules(view)
        if in_rules != self._last_in_rules:
            self._last_in_rules = in_rules
            self.version += 1
        return view

    def _in_rules(self, view: HostView) -> tuple[object, ...]:
        """What rules depend on: bridges that they name, links' prefixes that subnets may be translated to, and ours."""
        bridges = uplink_bridges(view), guest_bridges(view) if self.rules_name_bridges else ()
        return *bridges, on_link_prefixes(view), external_addresses(view)


def _edited(networks: dict[str, Network], edits: Mapping[str, Network | None]) -> dict[str, Network]:
    """The networks with some of them put right; None: gone."""
    merged = {**networks, **edits}
    return {i: n for i, n in merged.items() if n is not None}
