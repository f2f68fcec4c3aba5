"""The engine port: everything that dockerv6 requests from a Docker Engine.

Errors::

    EngineError
    ├── EngineUnavailable   no response (not running, connection refused, timeout), or one that is not the engine's;
    │                       worth another attempt
    ├── EngineApiError      an error response (4xx or 5xx); the message is the engine's
    │   ├── NetworkNotFound
    │   ├── ContainerNotFound
    │   └── EngineConflict  name taken, address in use, active endpoints, subnet overlap
    │       └── StaleNetwork    what has the name or the subnet is a network that the engine does not list
    └── EngineTooOld        this engine's API can't express the request
"""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from ipaddress import IPv4Network
from typing import Protocol

from dockerv6.dockerd.model import Attachment, Container, EngineEvent, EngineInfo, Network, NetworkSpec
from dockerv6.dockerd.refusals import explain


class EngineError(Exception):
    """Any failure of the engine or of the connection to it.

    Attributes:
        refused: nothing was changed. After another failure, a part of the request or all of it may have been done.
    """

    refused = False


class EngineUnavailable(EngineError):  # noqa: N818 - named for the condition that users see
    """The engine did not respond, or what responded is not the engine."""


class EngineApiError(EngineError):
    """The engine sent an error response.

    As text, it is the cause and the remedy of `refusals`, then the engine's message.

    Attributes:
        message: the engine's message, on one line.
        status: the HTTP status; 0 where there was none.
        explanation: the cause and the remedy; "": the message says it.
        reason: of the condition that reports it; "": the message is not in the catalogue.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status
        self.refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        known = explain(message)
        self.reason = known[0] if known is not None else ""
        if known is not None:
            self.explanation = f"{known[1]}; {known[2]}"
        elif status:
            self.explanation = "the Docker Engine refuses it; its log may say why (`journalctl --unit docker`)"
        else:  # the message is ours
            self.explanation = ""

    def __str__(self) -> str:
        return f"{self.explanation}. Docker says: {self.message}" if self.explanation else self.message


class NetworkNotFound(EngineApiError):  # noqa: N818 - named for the condition that users see
    """No such network."""


class ContainerNotFound(EngineApiError):  # noqa: N818 - same
    """No such container."""


class EngineConflict(EngineApiError):  # noqa: N818 - same
    """The engine's present state does not allow the request."""


class StaleNetwork(EngineConflict):
    """A network that the engine does not list has the bridge's name or a subnet.

    Engines from 20.10 to 29 record a network twice: first the bridge driver does, then the engine itself. If the engine
    is killed between the two, its driver restores the network at every start (`populateNetworks` of libnetwork's bridge
    driver) and refuses others with its bridge name or an overlapping subnet. No request removes it.
    """

    def __init__(self, message: str, status: int, refused: NetworkSpec) -> None:
        """``refused``: what could not be created."""
        super().__init__(message, status)
        self.reason = "StaleNetwork"
        more = ", and spec.ipv4.subnet" if any(isinstance(c.subnet, IPv4Network) for c in refused.ipam) else ""
        self.explanation = (
            "the engine was killed while it made a network: it keeps the bridge's name and the subnets of that one, but"
            f" neither lists nor removes it; choose another spec.bridge.name and spec.addressing.subnet{more}"
            " (docs/troubleshooting.md has a way to keep them)"
        )


class EngineTooOld(EngineError):  # noqa: N818 - named for the condition that users see
    """The engine's API can't express the request."""

    refused = True


class Engine(Protocol):
    """A Docker Engine. Every method may raise `EngineUnavailable` and `EngineApiError`."""

    async def info(self) -> EngineInfo:
        """Read the engine's identity and abilities. Not cached: the engine may have been upgraded."""

    async def networks(self) -> tuple[Network, ...]:
        """List all networks, without endpoints."""

    async def network(self, ref: str) -> Network | None:
        """Inspect one network by id or name, with endpoints; None when there is none.

        An id takes precedence over a name. Of several networks with one name (possible before engine 25) the oldest is
        returned.
        """

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id.

        Raises:
            EngineConflict: the name is taken, or a subnet overlaps.
            StaleNetwork: by a network that the engine does not list.
            EngineTooOld: the engine would silently ignore a part of the spec.
        """

    async def remove_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is success.

        Raises:
            EngineConflict: containers are attached.
        """

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """List every container, running or stopped, configured on that network, ordered by name.

        For a network that is gone: the stopped containers whose configuration still has its id. A container that the
        engine can't inspect has a ``problem``, and is not ``complete``; the others are listed as usual.
        """

    async def networks_in_use(self) -> frozenset[str]:
        """List ids and names of all networks that some container, running or stopped, is configured on.

        One request instead of many: a network whose id and name are not in the result has no `attachments`.
        """

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """List every container configured on a network of that name whose id no longer exists, ordered by name.

        A network can be removed while stopped containers are configured on it. After it is created again, under a new
        id, they fail to start ("network <old id> not found") on every engine until `connect` attaches them to the new
        one. The predefined networks (bridge, host, none) have none: the engine resolves those by name.
        """

    async def containers(self) -> tuple[Container, ...]:
        """List all running containers, paused ones too, with ports and endpoints, ordered by id.

        A container whose image the engine doesn't show has an ``image_problem``; the others are listed as usual.
        """

    async def running_container_ids(self) -> frozenset[str]:
        """List the ids of all running containers."""

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority.

        A container that is attached already, with whatever settings, is success. A stopped container is only
        configured: the engine checks its address when it starts.

        Raises:
            ContainerNotFound: there is no such container.
            NetworkNotFound: there is no such network.
            EngineConflict: the address is in use, or the endpoint's name is taken.
        """

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach a container. Succeeds if the container is not attached, or either no longer exists."""

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream events from now on, the first of kind CONNECTED. A broken stream raises `EngineUnavailable`.

        No event after CONNECTED is lost. Events from shortly before may be included.
        """

    async def close(self) -> None:
        """Close connections."""
