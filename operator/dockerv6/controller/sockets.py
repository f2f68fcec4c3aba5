"""The ports that processes of the host use, as last read. The kernel announces no socket."""

import logging
from collections.abc import Callable

from dockerv6.controller.cached import Cached
from dockerv6.hostnet.model import Listener
from dockerv6.hostnet.port import HostNet, HostNetError
from dockerv6.planning.firewall.port_assignment import HostPorts

logger = logging.getLogger(__name__)


class HostSockets:
    """Listening sockets, and ports with connections."""

    def __init__(self, host: HostNet, on_change: Callable[[], None]) -> None:
        """Read nothing yet. ``on_change`` is called when a reading differs from the one before."""
        self._host = host
        self._on_change = on_change
        self._listeners: Cached[frozenset[Listener]] = Cached(self._read_listeners)
        self._served: Cached[frozenset[int]] = Cached(self._read_served)
        self.reads_connections: Callable[[], bool] = lambda: False
        """Whether a resource asks for a port that connections to the host reserve."""
        self.problem = ""
        """Why the sockets can't be read, for people; "": they can."""
        self.known = HostPorts(problem="they have not been read yet")
        """What was read last."""

    def invalidate_listeners(self) -> None:
        """Mark the listening sockets stale."""
        self._listeners.invalidate()

    def invalidate(self) -> None:
        """Mark the listening sockets and the connections stale."""
        self._listeners.invalidate()
        self._served.invalidate()

    async def refresh(self) -> None:
        """Read what is stale. What can't be read stays as it is known, and `problem` says why."""
        before, cause = self._listeners.last, ""
        try:
            if await self._listeners.get() != before:
                self._served.invalidate()  # connections outlive a listener that was closed
            await self._served.get()
        except HostNetError as error:
            cause = str(error)
        problem = f"the sockets of the host can't be read: {cause}; no further port is published" if cause else ""
        if problem and problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem
        known = HostPorts(self._listeners.last or frozenset(), self._served.last or frozenset(), problem=cause)
        if known != self.known:
            self.known = known
            self._on_change()

    async def _read_listeners(self) -> frozenset[Listener]:
        return await self._host.listeners()

    async def _read_served(self) -> frozenset[int]:
        """Read the ports with connections, if that matters: it takes milliseconds."""
        return await self._host.served_tcp_ports() if self.reads_connections() else frozenset()
