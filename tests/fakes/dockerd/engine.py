"""An engine in memory with the behaviour of real ones of three versions.

The contract suite runs the same tests on this and on real engines.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from dockerv6.dockerd.model import EngineEvent, EngineInfo, EventKind
from dockerv6.dockerd.port import EngineUnavailable
from tests.fakes.dockerd.state import State
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from dockerv6.dockerd.model import Attachment, Container, Network, NetworkSpec


class Call(NamedTuple):
    """One call of a method of the port."""

    method: str
    arguments: tuple[object, ...]


class _Fault(NamedTuple):
    error: Exception
    after: bool


class FakeEngine:
    """A Docker Engine in memory; implements `dockerv6.dockerd.port.Engine`.

    Attributes:
        calls: every call of the port's methods, in order, including those that failed.
    """

    def __init__(self, version: EngineVersion = ENGINE_28_5, *, userland_proxy: bool = True) -> None:
        """Start an engine with the predefined networks.

        Args:
            version: whose behaviour it has.
            userland_proxy: as in daemon.json. Without it a network that has no IPv6 gets IPv4 port bindings only.
        """
        self.calls: list[Call] = []
        self._up = True
        self._faults: defaultdict[str, deque[_Fault]] = defaultdict(deque)
        self._listeners: set[asyncio.Queue[EngineEvent | None]] = set()
        self.state = State(version, self._emit, userland_proxy=userland_proxy)

    # The port

    async def info(self) -> EngineInfo:
        """See `port.Engine.info`."""
        async with self._call("info"):
            version = self.state.version
            return EngineInfo(
                name="host",
                version=version.number,
                release=version.release,
                api_version=version.api_version,
                firewall_backend=version.firewall_backend,
            )

    async def networks(self) -> tuple[Network, ...]:
        """List all networks, without endpoints."""
        async with self._call("networks"):
            return self.state.list_networks()

    async def network(self, ref: str) -> Network | None:
        """Inspect one network by id or name, with endpoints; None when there is none."""
        async with self._call("network", ref):
            return self.state.inspect_network(ref)

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id."""
        async with self._call("create_network", spec):
            return self.state.create_network(spec)

    async def remove_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is success."""
        async with self._call("remove_network", network_id):
            self.state.remove_network(network_id)

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """List every container, running or stopped, configured on that network, ordered by name."""
        async with self._call("attachments", network_id):
            return self.state.attachments(network_id)

    async def networks_in_use(self) -> frozenset[str]:
        """List ids and names of all networks that some container, running or stopped, is configured on."""
        async with self._call("networks_in_use"):
            return self.state.networks_in_use()

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """List every container configured on a network of that name whose id no longer exists, ordered by name."""
        async with self._call("orphaned_attachments", network_name):
            return self.state.orphaned_attachments(network_name)

    async def containers(self) -> tuple[Container, ...]:
        """List all running containers, paused ones too, with ports and endpoints, ordered by id."""
        async with self._call("containers"):
            return self.state.containers()

    async def running_container_ids(self) -> frozenset[str]:
        """List the ids of all running containers."""
        async with self._call("running_container_ids"):
            return self.state.running_container_ids()

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority."""
        async with self._call("connect", network_id, attachment):
            self.state.connect(network_id, attachment)

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach a container; not attached, or container or network gone, is success."""
        async with self._call("disconnect", network_id, container_id, force):
            self.state.disconnect(network_id, container_id)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream events from now on, the first of kind CONNECTED. A broken stream raises `EngineUnavailable`."""
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        async with self._call("events"):
            self._listeners.add(queue)
        try:
            yield EngineEvent(EventKind.CONNECTED, "connected")
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)
        raise EngineUnavailable("Docker Engine (fake): the event stream has ended")

    async def close(self) -> None:
        """End event streams."""
        self._end_streams()

    # What tests control

    def fail_next(self, method: str, error: Exception, *, times: int = 1, after: bool = False) -> None:
        """Make the next calls of a method raise.

        Args:
            method: of the port, such as "create_network".
            error: to raise.
            times: how many calls.
            after: False: nothing is done. True: the call is executed first, as when its response is lost.
        """
        self._faults[method].extend([_Fault(error, after)] * times)

    def down(self) -> None:
        """Stop responding: every call raises `EngineUnavailable`, and event streams end. Containers keep running."""
        self._up = False
        self._end_streams()

    def up(self) -> None:
        """Respond again."""
        self._up = True

    @property
    def links(self) -> frozenset[str]:
        """The host's interfaces: lo, eth0, and those that a test added or the engine created."""
        return self.state.links.names

    def add_link(self, name: str) -> None:
        """Add an interface to the host."""
        self.state.links.add(name)

    def remove_link(self, name: str) -> None:
        """Remove an interface from the host; networks on it stay, as with real engines."""
        self.state.links.remove(name)

    def create_container(
        self,
        name: str,
        networks: str | Sequence[str] | None = None,
        requested: Attachment | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        """Create a container; return its id.

        Args:
            name: of the container.
            networks: names; None: none, unless `network_mode` names one.
            requested: settings for each network.
            labels: of the container.
            ports: as ``docker run -p`` takes them: "8080:80", "80", "[::1]:8080:80/udp", "9000-9002:90-92".
            network_mode: "host", "none" or "container:<name or id>"; None: the first network.

        Raises:
            EngineConflict: the name is taken.
            EngineApiError: the mode excludes networks.
            ContainerNotFound: the container of the mode does not exist.
            ValueError: a port is invalid.
        """
        names = (networks,) if isinstance(networks, str) else tuple(networks or ())
        return self.state.create_container(
            name, names, requested, labels=labels or {}, ports=ports, network_mode=network_mode
        )

    def start_container(self, container_id: str) -> None:
        """Start a container on all its networks and with all its ports.

        Raises:
            NetworkNotFound: it has an orphaned attachment (see `port.Engine.orphaned_attachments`).
            EngineConflict: a static address or a port is in use.
        """
        self.state.start_container(container_id)

    def container_ids(self) -> dict[str, str]:
        """Return the id of each container, running or not, by name."""
        return {container.name: container.id for container in self.state.all_containers()}

    def clear_faults(self) -> None:
        """Drop the errors of `fail_next` that were not raised yet."""
        self._faults.clear()

    def run_container(
        self,
        name: str,
        networks: str | Sequence[str] | None = None,
        requested: Attachment | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        """Create and start a container; return its id. Arguments and errors as in both."""
        container_id = self.create_container(
            name, networks, requested, labels=labels, ports=ports, network_mode=network_mode
        )
        self.state.start_container(container_id)
        return container_id

    def stop_container(self, container_id: str) -> None:
        """Stop a container; it keeps its configuration and releases its addresses and ports."""
        self.state.stop_container(container_id)

    def restart_container(self, container_id: str) -> None:
        """Stop and start a container; the engine chooses its ports again."""
        self.state.restart_container(container_id)

    def pause_container(self, container_id: str) -> None:
        """Pause a container; it keeps its addresses and ports.

        Raises:
            EngineConflict: it is not running, or is paused.
        """
        self.state.pause_container(container_id, paused=True)

    def unpause_container(self, container_id: str) -> None:
        """Unpause a container.

        Raises:
            EngineConflict: it is not paused.
        """
        self.state.pause_container(container_id, paused=False)

    def rename_container(self, container_id: str, name: str) -> None:
        """Rename a container.

        Raises:
            EngineConflict: the name is taken.
        """
        self.state.rename_container(container_id, name)

    def remove_container(self, container_id: str) -> None:
        """Kill and remove a container."""
        self.state.remove_container(container_id)

    @asynccontextmanager
    async def _call(self, method: str, *arguments: object) -> AsyncIterator[None]:
        self.calls.append(Call(method, arguments))
        # other tasks run during a real call, too
        await asyncio.sleep(0)
        if not self._up:
            raise EngineUnavailable("Docker Engine (fake): Connection refused: is Docker running?")
        fault = self._faults[method].popleft() if self._faults[method] else None
        if fault is not None and not fault.after:
            raise fault.error
        yield
        if fault is not None:
            raise fault.error

    def _emit(self, event: EngineEvent) -> None:
        for queue in self._listeners:
            queue.put_nowait(event)

    def _end_streams(self) -> None:
        for queue in self._listeners:
            queue.put_nowait(None)
