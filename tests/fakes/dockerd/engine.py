"""An engine in memory with the behaviour of real ones of three versions.

The contract suite runs the same tests on this and on real engines.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dockerv6.dockerd.model import Attachment, EngineEvent, EngineInfo, EventKind
from dockerv6.dockerd.port import EngineUnavailable
from tests.fakes.dockerd.daemon import FakeDaemon
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from dockerv6.dockerd.model import Container, Network, NetworkSpec


class Call(NamedTuple):
    """One call of a method of the port."""

    method: str
    arguments: tuple[object, ...]


class _Fault(NamedTuple):
    error: BaseException
    after: bool


_CHANGING = frozenset({"create_network", "remove_network", "connect", "disconnect"})


class FakeEngine(FakeDaemon):
    """A Docker Engine in memory; implements `dockerv6.dockerd.port.Engine`.

    Attributes:
        calls: every call of the port's methods, in order, including those that failed.
    """

    def __init__(self, version: EngineVersion = ENGINE_28_5, *, userland_proxy: bool = True) -> None:
        """Start an engine; arguments as in `FakeDaemon`."""
        self.calls: list[Call] = []
        self.unreadable: dict[str, str] = {}  # by the name of a container: why it can't be inspected
        self._up = True
        self._runs = asyncio.Event()
        self._runs.set()
        self._faults: defaultdict[str, deque[_Fault]] = defaultdict(deque)
        self._listeners: dict[asyncio.Queue[EngineEvent | None], None] = {}  # in the order of their requests
        super().__init__(version, userland_proxy=userland_proxy)

    # The port

    async def info(self) -> EngineInfo:
        """See `port.Engine.info`."""
        async with self._call("info"):
            version = self.version
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
            return self.list_networks()

    async def network(self, ref: str) -> Network | None:
        """Inspect one network by id or name, with endpoints; None when there is none."""
        async with self._call("network", ref):
            return self.inspect_network(ref)

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id."""
        async with self._call("create_network", spec):
            return self.add_network(spec)

    async def remove_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is success."""
        async with self._call("remove_network", network_id):
            self.delete_network(network_id)

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """List every container, running or stopped, configured on that network, ordered by name."""
        async with self._call("attachments", network_id):
            return self._inspected(self.list_attachments(network_id))

    async def networks_in_use(self) -> frozenset[str]:
        """List ids and names of all networks that some container, running or stopped, is configured on."""
        async with self._call("networks_in_use"):
            return self.list_networks_in_use()

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """List every container configured on a network of that name whose id no longer exists, ordered by name."""
        async with self._call("orphaned_attachments", network_name):
            return self._inspected(self.list_orphaned_attachments(network_name))

    def _inspected(self, found: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
        """As a listing has those that can't be inspected: without aliases, links, driver options and MAC address."""
        return tuple(
            each
            if (problem := self.unreadable.get(each.container_name)) is None
            else Attachment(
                each.container_id,
                each.container_name,
                each.running,
                ipv4=each.ipv4,
                ipv6=each.ipv6,
                static_ipv4=each.static_ipv4,
                static_ipv6=each.static_ipv6,
                gw_priority=each.gw_priority,
                problem=problem,
                complete=False,
            )
            for each in found
        )

    async def containers(self) -> tuple[Container, ...]:
        """List all running containers, paused ones too, with ports and endpoints, ordered by id."""
        async with self._call("containers"):
            return self.list_containers()

    async def running_container_ids(self) -> frozenset[str]:
        """List the ids of all running containers."""
        async with self._call("running_container_ids"):
            return self.list_running_ids()

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority."""
        async with self._call("connect", network_id, attachment):
            self.attach(network_id, attachment)

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach a container; not attached, or container or network gone, is success."""
        async with self._call("disconnect", network_id, container_id, force):
            self.detach(network_id, container_id)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream events from now on, the first of kind CONNECTED. A broken stream raises `EngineUnavailable`."""
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        async with self._call("events"):
            self._listeners[queue] = None
        try:
            yield EngineEvent(EventKind.CONNECTED, "connected")
            while (event := await queue.get()) is not None:
                await self._runs.wait()
                yield event
        finally:
            self._listeners.pop(queue, None)
        raise EngineUnavailable("Docker Engine (fake): the event stream has ended")

    async def close(self) -> None:
        """End event streams."""
        self._end_streams()

    # What tests control

    def fail_next(self, method: str, error: BaseException, *, times: int = 1, after: bool = False) -> None:
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

    def restart(self) -> None:
        """As with live-restore: containers go on, the default bridge is another network, the event streams break."""
        self.down()
        old, new = self._networks.recreate_default_bridge()
        for container in self._containers.values():
            for name, entry in container.entries.items():
                if entry.network_id == old:
                    container.entries[name] = replace(entry, network_id=new)
        self.up()

    def make_stale(self, name: str) -> None:
        """Leave a network to the bridge driver, as an engine does that is killed before it records the network."""
        self._networks.make_stale(name)

    def hang(self) -> None:
        """Hang as after SIGSTOP: calls wait until `resume`, and event streams stay open. Containers keep running."""
        self._runs.clear()

    def resume(self) -> None:
        """Answer what waits, as after SIGCONT."""
        self._runs.set()

    def up(self) -> None:
        """Respond again."""
        self._up = True

    @property
    def changes(self) -> list[str]:
        """Return the calls that change something, by method."""
        return [call.method for call in self.calls if call.method in _CHANGING]

    def clear_faults(self) -> None:
        """Drop the errors of `fail_next` that were not raised yet."""
        self._faults.clear()

    @asynccontextmanager
    async def _call(self, method: str, *arguments: object) -> AsyncIterator[None]:
        self.calls.append(Call(method, arguments))
        # other tasks run during a real call, too
        await asyncio.sleep(0)
        await self._runs.wait()
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
