"""The engine and the host as last observed: caches that all reconciles share.

A notification marks a part stale, and the next use reads that part again. Notifications carry no values.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Interface
from math import inf

from dockerv6.controller.cached import Cached
from dockerv6.controller.sockets import HostSockets
from dockerv6.dockerd.model import Attachment, Container, EngineInfo, Network
from dockerv6.dockerd.port import Engine, EngineApiError, EngineError
from dockerv6.hostnet.model import MAIN_TABLE, Interface, Route, RouteProtocol
from dockerv6.hostnet.port import HostNet, HostNetError
from dockerv6.hostnet.sysctl import ra_disabled_by_forwarding, ra_interfaces
from dockerv6.lib.clock import Clock
from dockerv6.planning.docker.engine import INSPECT_RETRY
from dockerv6.planning.host.bridges import BRIDGE_NETFILTER
from dockerv6.planning.host.interfaces import (
    advertised_bridges,
    external_addresses,
    external_interfaces,
    guest_bridges,
    other_ports,
    uplink_bridges,
)
from dockerv6.planning.host.ndp_proxy import on_link_prefixes
from dockerv6.planning.host.sysctls import FORWARDING, accept_ra, disable_ipv6, proxy_ndp
from dockerv6.planning.inputs import HostView, NetworkIndex

logger = logging.getLogger(__name__)

ENGINE_BACKOFF = 1.0
"""Seconds for which an engine that did not answer is not asked again, unless its event stream opens."""

ON_LINK_METRIC = 256
"""The metric of the routes that the kernel adds for addresses (IP6_RT_PRIO_ADDRCONF)."""

DIRTY_LIMIT = 8
"""When more networks than this have changed, a list of all is cheaper than reading each."""


class World:
    """The engine's networks and the host's stack."""

    def __init__(self, engine: Engine, host: HostNet, clock: Clock) -> None:
        """Read nothing yet.

        Args:
            engine: the Docker Engine.
            host: the host's network stack.
            clock: times the back-off from an engine that did not answer.
        """
        self.engine = engine
        self.host = host
        self._clock = clock
        self._backoff_until = 0.0  # monotonic
        self._reported_networks: dict[str, set[str]] = {}  # by container id: network ids from events
        self._reported_attached: dict[tuple[str, str], bool] = {}  # by container and network id: attached, by events
        self._reported_names: dict[str, str] = {}  # by container id: the new name, by events
        self.list_may_lag = asyncio.Event()
        """Set by a report of an event that the list of containers may not have yet."""
        self.version = 0
        """Grows when an input of the rules changes: networks, containers, listeners, bridges, external addresses."""
        self._last_in_rules: tuple[object, ...] | None = None
        self.rules_name_bridges = False
        """Whether the rules name every bridge, so that another bridge changes the rules."""
        self.containers: Cached[tuple[Container, ...]] = Cached(self._read_containers)
        self.sockets = HostSockets(host, self._sockets_differ)
        self.info: Cached[EngineInfo] = Cached(engine.info)
        self.engine_problem = "the Docker Engine has not been asked yet"
        self.engine_answers = False
        """Whether `engine_problem` is an error that the engine responded with."""
        self.events_problem = ""
        """Why the engine's events can't be read, although it may answer; "": they can."""
        self._dirty: set[str] = set()
        self._all_dirty = True
        self._occupied: Cached[frozenset[str]] = Cached(engine.networks_in_use)
        self._attachments: dict[str, Cached[tuple[Attachment, ...]]] = {}
        self._inspect_again: dict[str, float] = {}  # by network: when its containers are inspected again, monotonic
        self._networks: Cached[dict[str, Network]] = Cached(self._read_networks)
        self._bridges_in_table: frozenset[str] = frozenset()
        self._edits: dict[str, Network | None] = {}  # our own changes since the latest read began
        self._index: tuple[dict[str, Network] | None, NetworkIndex] = (None, NetworkIndex())
        self.host_view: Cached[HostView] = Cached(self._read_host)
        self.host_problem = ""
        """Why the host's network stack can't be read; "": it can."""

    @property
    def engine_read(self) -> bool:
        """Whether the live networks and the running containers have ever been read."""
        return self._networks.last is not None and self.containers.last is not None

    @property
    def known_networks(self) -> NetworkIndex:
        """The live networks as last read."""
        last = self._networks.last
        if self._index[0] is not last:
            self._index = (last, NetworkIndex((last or {}).values()))
        return self._index[1]

    async def networks(self) -> NetworkIndex:
        """All live networks. Raises `EngineError`."""
        await self._networks.get()
        return self.known_networks

    def engine_changed(self) -> None:
        """Mark everything of the engine stale: it was restarted, or its event stream was."""
        self._backoff_until = 0.0
        self._reported_networks.clear()
        self.accept_containers()
        self.info.invalidate()
        self.network_changed(None)
        self.endpoints_changed()

    def network_changed(self, network_id: str | None) -> None:
        """Mark a network stale that was created, removed or changed; None: all."""
        if network_id is None or len(self._dirty) >= DIRTY_LIMIT:
            self._all_dirty = True
        else:
            self._dirty.add(network_id)
        self._networks.invalidate()

    def endpoints_changed(self, network_id: str | None = None) -> None:
        """Mark the containers of a network stale: attached, detached, started or stopped; None: of all networks."""
        self.containers_changed()
        self._occupied.invalidate()
        for cached in self._attachments.values() if network_id is None else (self._attachments.get(network_id),):
            if cached is not None:
                cached.invalidate()

    def containers_changed(self) -> None:
        """Mark the running containers stale: started, stopped or renamed."""
        self.containers.invalidate()
        self.sockets.invalidate_listeners()

    @property
    def known_containers(self) -> tuple[Container, ...]:
        """The running containers as last read."""
        return self.containers.last or ()

    def attachment_reported(self, container_id: str, network_id: str, *, attached: bool = True) -> None:
        """Note that an event reported a container as attached to a network, or detached."""
        self._reported_networks.setdefault(container_id, set()).add(network_id)
        self._reported_attached[container_id, network_id] = attached
        self.list_may_lag.set()
        self.endpoints_changed(network_id)

    def rename_reported(self, container_id: str, name: str) -> None:
        """Note that an event reported a container as renamed."""
        self._reported_names[container_id] = name
        self.list_may_lag.set()

    @property
    def containers_lag(self) -> bool:
        """Whether the list of containers, as last read, lags behind the events about their networks and names.

        Engines send the event before they update the list, and send no other event afterwards (moby 20.10 to 28.5,
        daemon/container_operations.go: connectToNetwork, then CheckpointTo; daemon/rename.go: the event, then
        releaseName, and in between the list has both names).
        """
        names = {c.id: c.name for c in self.known_containers}
        self._reported_names = {i: name for i, name in self._reported_names.items() if names.get(i, name) != name}
        on = {c.id: {end.network_id for end in c.endpoints} for c in self.known_containers}
        self._reported_attached = {
            (container, network): attached
            for (container, network), attached in self._reported_attached.items()
            if container in on and (network in on[container]) != attached
        }
        return bool(self._reported_attached or self._reported_names)

    def accept_containers(self) -> None:
        """Stop waiting for the list of containers to catch up."""
        self._reported_attached.clear()
        self._reported_names.clear()

    def networks_of(self, container_id: str) -> frozenset[str]:
        """Ids of the networks that a container is on, or was, as far as is known."""
        seen = {
            network_id
            for network_id, cached in self._attachments.items()
            if any(a.container_id == container_id for a in cached.last or ())
        }
        return frozenset(seen | self._reported_networks.get(container_id, set()))

    def container_removed(self, container_id: str) -> None:
        """Forget a container that was removed."""
        self._reported_networks.pop(container_id, None)

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """Every container, running or stopped, on that network. Raises `EngineError`."""
        network = (self._networks.last or {}).get(network_id)
        if network is not None and not {network_id, network.name} & await self._occupied.get():
            return ()
        if network_id not in self._attachments:
            self._attachments[network_id] = Cached(partial(self._read_attachments, network_id))
        cached = self._attachments[network_id]
        if self._clock.monotonic() >= self._inspect_again.get(network_id, inf):
            cached.invalidate()
        return await cached.get()

    async def _read_attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """Read the attachments. A container that can't be inspected is inspected again later: no event says when to."""
        found = await self.engine.attachments(network_id)
        self._inspect_again.pop(network_id, None)
        if any(each.problem for each in found):
            self._inspect_again[network_id] = self._clock.monotonic() + INSPECT_RETRY
        return found

    def host_changed(self) -> None:
        """Mark links, addresses, routes and sysctls stale."""
        self.host_view.invalidate()

    async def present_host(self) -> HostView:
        """The host's network stack; if it can't be read, as it was read last. Raises `HostNetError` if it never was."""
        try:
            view, self.host_problem = await self.host_view.get(), ""
        except HostNetError as error:
            if self.host_view.last is None:
                self.host_problem = f"the host's network can't be read, and nothing is changed before it was: {error}"
                raise
            view, self.host_problem = (
                self.host_view.last,
                f"the host's network can't be read, what was read last is used: {error}",
            )
        return view

    async def refresh(self) -> None:
        """Read every stale input of the rules. Tolerates an engine that does not answer. Raises `HostNetError`."""
        await self.engine_state()
        await self.refresh_host()

    async def refresh_host(self) -> None:
        """Read every stale input of the rules that the kernel has: it answers at once. Raises as `present_host`."""
        await self.present_host()
        await self.sockets.refresh()

    def _sockets_differ(self) -> None:
        self.version += 1

    def bridge_created(self, bridge: str, address: IPv6Interface) -> None:
        """Add a bridge that the engine has just created: a concurrent read of the host saw it half-configured."""
        view = self.host_view.last
        if view is not None:
            known = view.interfaces.get(bridge)
            made = Interface(known.index if known else 0, bridge, "bridge", up=True, mtu=1500, addresses=(address,))
            route = Route(address.network, bridge, RouteProtocol.KERNEL, MAIN_TABLE, ON_LINK_METRIC)
            routes = view.routes if route in view.routes else (*view.routes, route)
            self.host_view.put(replace(view, interfaces={**view.interfaces, bridge: made}, routes=routes))

    def network_removed(self, network_id: str) -> None:
        """Forget a network that we removed."""
        self._forget_attachments(network_id)
        self._correct({network_id: None})

    def _forget_attachments(self, network_id: str) -> None:
        self._attachments.pop(network_id, None)
        self._inspect_again.pop(network_id, None)

    async def refresh_network(self, ref: str) -> Network | None:
        """Read one network with its endpoints, and update the cache. Raises `EngineError`."""
        network = await self.engine.network(ref)
        if network is None:
            self._correct({i: None for i, n in (self._networks.last or {}).items() if ref in (i, n.name)})
        else:
            self._correct({network.id: replace(network, endpoints=None)})
        return network

    def _correct(self, edits: dict[str, Network | None]) -> None:
        """Correct these networks in the cache, and in the result of a read that is under way."""
        self._edits.update(edits)
        known = self._networks.last or {}
        corrected = _edited(known, edits)
        if corrected != known:
            self._networks.put(corrected)
            self._networks_differ(corrected.values())

    async def engine_state(self) -> tuple[EngineInfo | None, str]:
        """The engine's identity; None and the reason while it does not answer.

        It is not asked again for `ENGINE_BACKOFF`: otherwise each of a thousand resources would ask.
        """
        if self._clock.monotonic() < self._backoff_until:
            return None, self.engine_problem
        try:
            info = await self.info.get()
            await self._networks.get()
            await self.containers.get()
        except EngineError as error:
            self.engine_changed()
            self._backoff_until = self._clock.monotonic() + ENGINE_BACKOFF
            self.engine_problem = error.message if isinstance(error, EngineApiError) else str(error)
            self.engine_answers = isinstance(error, EngineApiError)
            return None, self.engine_problem
        self.engine_problem = ""
        return info, ""

    async def _read_networks(self) -> dict[str, Network]:
        """Read all networks, or only those that an event named."""
        everything, dirty = self._all_dirty, self._dirty
        self._all_dirty, self._dirty = False, set()
        self._edits = {}
        try:
            if everything or self._networks.last is None:
                networks = {n.id: n for n in await self.engine.networks()}
            else:
                networks = _edited(self._networks.last, await self._read_some(sorted(dirty)))
        except EngineError:
            self._all_dirty = True
            raise
        networks = _edited(networks, self._edits)
        if networks == self._networks.last:
            return self._networks.last  # one copy in memory; values computed from it stay valid
        for gone in self._attachments.keys() - networks.keys():  # removed by others
            self._forget_attachments(gone)
        self._networks_differ(networks.values())
        return networks

    async def _read_some(self, ids: list[str]) -> dict[str, Network | None]:
        """Read these networks. If the engine has a problem with one of them, the list has all that it can tell."""
        try:
            found = await asyncio.gather(*(self.engine.network(i) for i in ids))
        except EngineApiError as error:
            logger.warning("a network can't be inspected, so all are listed: %s", error)
            listed = {n.id: n for n in await self.engine.networks()}
            return {i: listed.get(i) for i in (self._networks.last or {}).keys() | listed.keys()}
        return {i: replace(n, endpoints=None) if n else None for i, n in zip(ids, found, strict=True)}

    async def _read_containers(self) -> tuple[Container, ...]:
        containers = await self.engine.containers()
        if containers == self.containers.last:
            return self.containers.last
        self.version += 1
        return containers

    async def _read_host(self) -> HostView:
        interfaces = await self.host.interfaces()
        found = await self.host.routes()
        routes = tuple(each for each in found if not each.rejects)
        values = {name: await self.host.sysctl(accept_ra(name)) for name in ra_interfaces(interfaces, routes)}
        view = HostView(
            forwarding=await self.host.sysctl(FORWARDING),
            accept_ra={name: values[name] or "" for name in ra_disabled_by_forwarding(interfaces, routes, values)},
            interfaces={i.name: i for i in interfaces},
            routes=routes,
            rejecting=tuple(each for each in found if each.rejects),
            rules=await self.host.rules(),
            proxies=await self.host.proxy_neighbours(),
            bridge_netfilter={"1": True, "0": False}.get(await self.host.sysctl(BRIDGE_NETFILTER) or ""),
        )
        view = replace(view, container_bridges=self._container_bridges(view, self.known_networks))
        switches = {name: await self.host.sysctl(proxy_ndp(name)) for name in external_interfaces(view)}
        bare = ("all", *(name for name in switches if not view.interfaces[name].addresses))
        off = [name for name in bare if await self.host.sysctl(disable_ipv6(name)) == "1"]
        view = replace(view, proxy_ndp={n: v for n, v in switches.items() if v is not None}, ipv6_off=frozenset(off))
        if (before := self.host_view.last) == view:
            return before
        if (in_rules := self._in_rules(view)) != self._last_in_rules:
            self._last_in_rules = in_rules
            self.version += 1
        return view

    def _container_bridges(self, view: HostView, networks: Iterable[Network]) -> frozenset[str]:
        """The bridges that may have their default route from a container's router advertisements."""
        advertised = advertised_bridges(view)
        return advertised & ({n.bridge for n in networks} | self._bridges_in_table) if advertised else advertised

    def _networks_differ(self, networks: Iterable[Network]) -> None:
        """Note that the engine's networks have changed, to these."""
        self.version += 1
        self._evaluate_bridges(networks)

    def _evaluate_bridges(self, networks: Iterable[Network]) -> None:
        """Have the host read again if these networks explain another bridge's default route."""
        view = self.host_view.last
        if view is not None and self._container_bridges(view, networks) != view.container_bridges:
            self.host_changed()

    async def table_read(self, bridges: frozenset[str]) -> None:
        """Note the bridges of networks in our table: the engine may not have been read yet. As `present_host`."""
        if bridges != self._bridges_in_table:
            self._bridges_in_table = bridges
            self._evaluate_bridges(self.known_networks)
            await self.present_host()

    def _in_rules(self, view: HostView) -> tuple[object, ...]:
        """Inputs of the rules: bridges that they name, on-link prefixes for translation, the host's addresses."""
        bridges = uplink_bridges(view), guest_bridges(view) if self.rules_name_bridges else ()
        return *bridges, frozenset(other_ports(view)), on_link_prefixes(view), external_addresses(view)


def _edited(networks: dict[str, Network], edits: Mapping[str, Network | None]) -> dict[str, Network]:
    """The networks with the edits applied; None removes a network."""
    return {i: n for i, n in {**networks, **edits}.items() if n is not None}
