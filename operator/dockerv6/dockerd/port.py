"""The engine port: everything that dockerv6 asks of a Docker Engine.

Errors::

    EngineError
    ├── EngineUnavailable   no answer: not running, refused, timed out; worth another try
    ├── EngineApiError      an error response (4xx or 5xx); the message is the engine's
    │   ├── NetworkNotFound
    │   ├── ContainerNotFound
    │   └── EngineConflict  name taken, address in use, active endpoints, subnet overlap
    └── EngineTooOld        this engine's API cannot express what is asked
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from dockerv6.dockerd.model import Attachment, Container, EngineEvent, EngineInfo, Network, NetworkSpec


class EngineError(Exception):
    """Any failure of the engine or of the way to it."""


class EngineUnavailable(EngineError):  # noqa: N818 - named for the condition that users see
    """The engine gave no answer."""


class EngineApiError(EngineError):
    """The engine answered with an error.

    Attributes:
        message: the engine's own words, on one line.
        status: of the HTTP answer; 0 where there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} (HTTP {self.status})" if self.status else self.message


class NetworkNotFound(EngineApiError):  # noqa: N818 - named for the condition that users see
    """No such network."""


class ContainerNotFound(EngineApiError):  # noqa: N818 - same
    """No such container."""


class EngineConflict(EngineApiError):  # noqa: N818 - same
    """The engine's state forbids it now."""


class EngineTooOld(EngineError):  # noqa: N818 - named for the condition that users see
    """The engine's API cannot express the request."""


class Engine(Protocol):
    """A Docker Engine. Every method may raise `EngineUnavailable`."""

    async def info(self) -> EngineInfo:
        """Identity and abilities, asked anew each time (the engine may have been upgraded)."""

    async def networks(self) -> tuple[Network, ...]:
        """All networks, without endpoints."""

    async def network(self, ref: str) -> Network | None:
        """One network by id or name, with endpoints; None when there is none.

        An id wins over a name. Where several share the name (20.10 allows it) the oldest is given.
        """

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create and return the id. Raises `EngineConflict` (name, overlap), `EngineTooOld`, `EngineApiError`."""

    async def remove_network(self, network_id: str) -> None:
        """Remove; already gone is success. Raises `EngineConflict` while endpoints are attached."""

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """Every container, running or stopped, configured on that network, ordered by name.

        Of a network that is gone: the stopped containers that still name its id.
        """

    async def networks_in_use(self) -> frozenset[str]:
        """Ids and names of all networks that some container, running or stopped, is configured on.

        One question instead of many: a network that is not among them, by id or by name, has no `attachments`.
        """

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """Every container that is configured on a network of that name under an id that is no more, ordered by name.

        A network can be removed while stopped containers are configured on it. When it is made again, under a new id,
        those fail to start ("network <old id> not found") on every engine, until `connect` puts them on the new one.
        None are ever stranded on the engine's own networks (bridge, host, none), which it finds by name.
        """

    async def containers(self) -> tuple[Container, ...]:
        """All running containers (paused ones too) with their ports and endpoints, ordered by id, in one request."""

    async def running_container_ids(self) -> frozenset[str]:
        """Ids of all running containers."""

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority.

        Already attached, in whatever way, is success. A stopped container is only configured: its address is tried
        when it starts. Raises `ContainerNotFound`, `NetworkNotFound`, `EngineConflict`.
        """

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach; not attached, or container or network gone, is success."""

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Events from now on; first one of kind CONNECTED. Ends with `EngineUnavailable` when the stream breaks.

        What happens after CONNECTED is never missed. Something that happened shortly before may be told as well.
        """

    async def close(self) -> None:
        """Give back connections and threads."""
