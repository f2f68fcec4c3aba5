"""The engine port, by a real Docker Engine through the docker SDK."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from dockerv6.dockerd import address, decode, decode_containers, encode, refusal
from dockerv6.dockerd.events import EventStreams
from dockerv6.dockerd.port import ContainerNotFound, EngineApiError, EngineConflict, NetworkNotFound
from dockerv6.dockerd.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from dockerv6.dockerd.model import Attachment, Container, EngineEvent, EngineInfo, Network, NetworkSpec

_PREDEFINED = frozenset({"bridge", "host", "none"})
"""Containers on these are found by the network's name when they start, whatever id their configuration holds."""


class DockerEngine:
    """A Docker Engine, 20.10 or newer; implements `dockerv6.dockerd.port.Engine`."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        parallel: int = 16,
    ) -> None:
        """Prepare; the engine need not run yet.

        Args:
            base_url: ``unix:///path`` or ``tcp://host:port``; None: ``DOCKER_HOST``, else the default socket.
            environment: where ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` are looked up.
            parallel: how many requests may be under way at a time.

        Raises:
            ValueError: the address or its certificates are unusable.
        """
        self._address = address.resolve(base_url, environment)
        self._transport = Transport(self._address, parallel=parallel)
        self._streams = EventStreams(self._address)

    async def info(self) -> EngineInfo:
        """Identity and abilities, asked anew each time."""
        version, info = await asyncio.gather(
            self._transport.get_unversioned("/version"), self._transport.get_unversioned("/info")
        )
        return decode.engine_info(version, info)

    async def networks(self) -> tuple[Network, ...]:
        """All networks, without endpoints."""
        return decode.networks(await self._transport.get("/networks"))

    async def network(self, ref: str) -> Network | None:
        """One network by id or name, with endpoints; None when there is none."""
        try:
            found = decode.network(await self._transport.get(f"/networks/{_segment(ref)}"))
        except NetworkNotFound:
            return None
        except EngineApiError as error:
            if not refusal.says_ambiguous(error):
                raise
            return await self._oldest(ref)
        # the engine also takes the beginning of an id
        return found if ref in {found.id, found.name} else None

    async def _oldest(self, name: str) -> Network | None:
        listing = await self._transport.get("/networks", {"filters": json.dumps({"name": [name]})})
        entries = listing if isinstance(listing, list) else []
        # the filter matches parts of names too
        for entry in sorted(entries, key=decode.created):
            (candidate,) = decode.networks([entry])
            if candidate.name == name:
                return await self.network(candidate.id)
        return None

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create and return the id."""
        return decode.created_id(await self._transport.post("/networks/create", partial(encode.network, spec)))

    async def remove_network(self, network_id: str) -> None:
        """Remove; already gone is success."""
        with suppress(NetworkNotFound):
            await self._transport.delete(f"/networks/{_segment(network_id)}")

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """Every container, running or stopped, configured on that network, ordered by name."""
        network = await self.network(network_id)
        name = network.name if network is not None else None
        return await self._configured(
            (network_id, *(() if name is None else (name,))),
            lambda container: decode_containers.attachment(container, network_id, name),
        )

    async def networks_in_use(self) -> frozenset[str]:
        """Ids and names of all networks that some container, running or stopped, is configured on."""
        return decode_containers.networks_in_use(await self._transport.get("/containers/json", {"all": "1"}))

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """Every container configured on a network of that name under an id that is no more, ordered by name."""
        if network_name in _PREDEFINED:
            return ()
        living = frozenset(network.id for network in await self.networks() if network.name == network_name)
        return await self._configured(
            (network_name,), lambda container: decode_containers.orphaned_attachments(container, network_name, living)
        )

    async def _configured(
        self, refs: Iterable[str], read: Callable[[object], Attachment | None]
    ) -> tuple[Attachment, ...]:
        """Inspect the containers that are configured on any of these networks, in parallel.

        The list call says neither aliases nor links.
        """
        filters = json.dumps({"network": list(refs)})
        listing = await self._transport.get("/containers/json", {"all": "1", "filters": filters})
        containers = await asyncio.gather(*(self._container(found) for found in decode_containers.ids(listing)))
        found = [attachment for container in containers if (attachment := read(container)) is not None]
        return tuple(sorted(found, key=lambda attachment: attachment.container_name))

    async def _container(self, container_id: str) -> object:
        """Inspect; None when it vanished meanwhile."""
        with suppress(ContainerNotFound):
            return await self._transport.get(f"/containers/{_segment(container_id)}/json")
        return None

    async def containers(self) -> tuple[Container, ...]:
        """All running containers (paused ones too) with their ports and endpoints, ordered by id, in one request."""
        return decode_containers.containers(await self._transport.get("/containers/json"))

    async def running_container_ids(self) -> frozenset[str]:
        """Ids of all running containers."""
        return frozenset(decode_containers.ids(await self._transport.get("/containers/json")))

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority."""
        path = f"/networks/{_segment(network_id)}/connect"
        try:
            await self._transport.post(path, partial(encode.connection, attachment))
        except EngineConflict as error:
            # An endpoint of the same name may also be what a crashed engine left of another container.
            if not refusal.says_attached(error) or not await self._is_attached(network_id, attachment.container_id):
                raise

    async def _is_attached(self, network_id: str, container_id: str) -> bool:
        return decode_containers.attachment(await self._container(container_id), network_id, None) is not None

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach; not attached, or container or network gone, is success."""
        path = f"/networks/{_segment(network_id)}/disconnect"
        try:
            await self._transport.post(path, lambda _: encode.disconnection(container_id, force=force))
        except (NetworkNotFound, ContainerNotFound):
            pass
        except EngineApiError as error:
            if not refusal.says_not_attached(error):
                raise

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Events from now on; first one of kind CONNECTED. Ends with `EngineUnavailable` when the stream breaks."""
        return self._streams.open()

    async def close(self) -> None:
        """Give back idle connections; event streams end with `EngineUnavailable`. It can be used again."""
        self._streams.close()
        await self._transport.close()


def _segment(ref: str) -> str:
    """Quote for use between two slashes of a path: a network's name may hold anything."""
    return quote(ref, safe="")
