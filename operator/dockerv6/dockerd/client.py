"""The engine port, implemented by a real Docker Engine through the docker SDK."""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote

from dockerv6.dockerd import address, api_errors, attachments, decode, encode, fields, port_bindings
from dockerv6.dockerd.api_errors import AmbiguousName, EndpointExists, NoResponse, NotConnected
from dockerv6.dockerd.events import EventStreams
from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineApiError,
    EngineConflict,
    EngineError,
    EngineUnavailable,
    NetworkNotFound,
    StaleNetwork,
)
from dockerv6.dockerd.transport import INSPECT_TIMEOUT, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from dockerv6.dockerd.model import Attachment, Container, EngineEvent, EngineInfo, Network, NetworkSpec
    from dockerv6.dockerd.port_bindings import RequestedPort

T = TypeVar("T")

_KEPT = 1024
"""Answers that are kept."""

SILENCE = 30.0
"""Seconds for which an object is not inspected again that the engine did not respond to: it delays all containers."""


class Inspections(Generic[T]):
    """Inspects each image or container once, by its id, for what never changes."""

    def __init__(self, inspect: Callable[[str], Awaitable[T]]) -> None:
        """Read nothing yet. ``inspect`` reads one object from the engine."""
        self._inspect = inspect
        self._known: OrderedDict[str, T] = OrderedDict()
        self._silent: dict[str, tuple[float, NoResponse]] = {}  # until when, of the loop's time; and why

    async def of(self, ids: Iterable[str]) -> Mapping[str, T | EngineApiError]:
        """The answer for each id; the error of one that the engine doesn't show, which is asked for again.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        wanted = tuple(dict.fromkeys(ids))
        unknown = [each for each in wanted if each not in self._known]
        read = dict(zip(unknown, await asyncio.gather(*map(self._read, unknown)), strict=True))
        found = {each: read[each] if each in read else self._known[each] for each in wanted}
        for each, answer in found.items():
            if not isinstance(answer, EngineApiError):
                self._known[each] = answer
                self._known.move_to_end(each)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    async def _read(self, each: str) -> T | EngineApiError:
        now = asyncio.get_running_loop().time()
        self._silent = {name: found for name, found in self._silent.items() if found[0] > now}
        if each in self._silent:
            return self._silent[each][1]
        try:
            return await self._inspect(each)
        except NoResponse as error:
            self._silent[each] = now + SILENCE, error
            return error
        except EngineApiError as error:
            return error


_PREDEFINED = frozenset({"bridge", "host", "none"})
"""When a container starts, the engine resolves these by name, whatever id the container's configuration has."""


class DockerEngine:
    """A Docker Engine, 20.10 or newer; implements `dockerv6.dockerd.port.Engine`."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        parallel: int = 16,
    ) -> None:
        """Prepare; the engine need not be running yet.

        Args:
            base_url: ``unix:///path`` or ``tcp://host:port``; None: ``DOCKER_HOST``, else the default socket.
            environment: has ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``.
            parallel: how many requests may be in flight.

        Raises:
            DockerHostError: the address or its certificates can't be used.
        """
        self._address = address.resolve(base_url, environment)
        self._transport = Transport(self._address, parallel=parallel)
        self._streams = EventStreams(self._address)
        self._images = Inspections(self._image_labels)
        self._requested = Inspections(self._requested_ports)

    async def info(self) -> EngineInfo:
        """Read the engine's identity and abilities; not cached."""
        version, info = await asyncio.gather(
            self._transport.get_unversioned("/version"), self._transport.get_unversioned("/info")
        )
        return decode.engine_info(version, info)

    async def networks(self) -> tuple[Network, ...]:
        """List all networks, without endpoints."""
        return decode.networks(await self._transport.get("/networks"))

    async def network(self, ref: str) -> Network | None:
        """Inspect one network by id or name, with endpoints; None when there is none."""
        try:
            found = decode.network(await self._inspect(f"/networks/{_segment(ref)}", "a network"))
        except NetworkNotFound:
            return None
        except AmbiguousName:
            return await self._oldest(ref)
        # the engine also accepts a prefix of an id
        return found if ref in {found.id, found.name} else None

    async def _oldest(self, name: str) -> Network | None:
        response = await self._transport.get("/networks", {"filters": json.dumps({"name": [name]})})
        # the filter also matches substrings of names
        for entry in sorted(fields.listing(response, "networks"), key=decode.created):
            (candidate,) = decode.networks([entry])
            if candidate.name == name:
                return await self.network(candidate.id)
        return None

    async def create_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id."""
        try:
            return decode.created_id(await self._transport.post("/networks/create", partial(encode.network, spec)))
        except EngineConflict as error:
            other = api_errors.conflicting_network(error.message)
            if other and await self._is_stale(other):
                raise StaleNetwork(error.message, error.status, spec) from error
            raise

    async def _is_stale(self, network_id: str) -> bool:
        """Whether the engine has no network with that beginning of an id, although its driver has."""
        try:
            await self._inspect(f"/networks/{network_id}", "a network")
        except NetworkNotFound:
            return True
        except EngineError:
            return False
        return False

    async def remove_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is success."""
        with suppress(NetworkNotFound):
            await self._transport.delete(f"/networks/{_segment(network_id)}")

    async def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """List every container, running or stopped, configured on that network, ordered by name."""
        network = await self.network(network_id)
        name = network.name if network is not None else None
        return await self._configured(
            (network_id, *(() if name is None else (name,))),
            lambda container: attachments.attachment(container, network_id, name),
        )

    async def networks_in_use(self) -> frozenset[str]:
        """List ids and names of all networks that some container, running or stopped, is configured on."""
        return decode.networks_in_use(await self._transport.get("/containers/json", {"all": "1"}))

    async def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """List every container configured on a network of that name whose id no longer exists, ordered by name."""
        if network_name in _PREDEFINED:
            return ()
        existing = frozenset(network.id for network in await self.networks() if network.name == network_name)
        return await self._configured(
            (network_name,), lambda container: attachments.orphaned_attachment(container, network_name, existing)
        )

    async def _configured(
        self, refs: Iterable[str], read: Callable[[object], Attachment | None]
    ) -> tuple[Attachment, ...]:
        """Inspect the containers that are configured on any of these networks, in parallel.

        A listing has neither aliases nor links. It is all that is known of a container that can't be inspected.
        """
        filters = json.dumps({"network": list(refs)})
        listing = await self._transport.get("/containers/json", {"all": "1", "filters": filters})
        listed = attachments.listed_containers(listing)

        async def attachment(container_id: str) -> Attachment | None:
            try:
                return read(await self._container(container_id))
            except EngineApiError as error:
                known = read(listed[container_id])
                return known and replace(known, problem=error.message, complete=False)

        found = [each for each in await asyncio.gather(*map(attachment, listed)) if each is not None]
        return tuple(sorted(found, key=lambda each: each.container_name))

    async def _container(self, container_id: str) -> object:
        """Inspect a container; None when it was removed since it was listed."""
        with suppress(ContainerNotFound):
            return await self._inspect(f"/containers/{_segment(container_id)}/json", "a container")
        return None

    async def _inspect(self, path: str, what: str) -> object:
        """Read one object. What is wrong with its response concerns it only, if the engine answers other requests.

        Raises:
            EngineUnavailable: the engine does not respond to another request either.
            EngineApiError: an error response, no response, or one that is not ``what``.
        """
        try:
            return fields.require(await self._transport.get(path, seconds=INSPECT_TIMEOUT), "Id", what)
        except EngineUnavailable as error:
            fields.require(await self._transport.get_unversioned("/version"), "Version", "its version")
            raise NoResponse(str(error)) from error

    async def containers(self) -> tuple[Container, ...]:
        """List all running containers, paused ones too, with ports and endpoints, ordered by id.

        One request, and one for each image with labels, and for each container whose ports the listing leaves open
        (`port_bindings`), that has not been seen yet.
        """
        listing = await self._transport.get("/containers/json")
        found = decode.containers(listing, await self._images.of(decode.image_ids(listing)))
        asked = await self._requested.of(each.id for each in found if port_bindings.is_ambiguous(each.ports))
        return tuple(_marked(each, asked[each.id]) if each.id in asked else each for each in found)

    async def _requested_ports(self, container_id: str) -> tuple[RequestedPort, ...]:
        return port_bindings.requested(await self._inspect(f"/containers/{_segment(container_id)}/json", "a container"))

    async def _image_labels(self, image_id: str) -> Mapping[str, str]:
        return decode.image_labels(await self._inspect(f"/images/{_segment(image_id)}/json", "an image"))

    async def running_container_ids(self) -> frozenset[str]:
        """List the ids of all running containers."""
        return frozenset(decode.container_ids(await self._transport.get("/containers/json")))

    async def connect(self, network_id: str, attachment: Attachment) -> None:
        """Attach a container with the attachment's aliases, static addresses, options and priority."""
        path = f"/networks/{_segment(network_id)}/connect"
        try:
            await self._transport.post(path, partial(encode.connection, attachment))
        except EndpointExists:
            # an endpoint of the same name may also be a leftover of another container, after a crash of the engine
            if not await self._is_attached(network_id, attachment.container_id):
                raise

    async def _is_attached(self, network_id: str, container_id: str) -> bool:
        return attachments.attachment(await self._container(container_id), network_id, None) is not None

    async def disconnect(self, network_id: str, container_id: str, *, force: bool = False) -> None:
        """Detach a container; not attached, or container or network gone, is success."""
        path = f"/networks/{_segment(network_id)}/disconnect"
        with suppress(NetworkNotFound, ContainerNotFound, NotConnected):
            await self._transport.post(path, lambda _: encode.disconnection(container_id, force=force))

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream events from now on, the first of kind CONNECTED. A broken stream raises `EngineUnavailable`."""
        return self._streams.open()

    async def close(self) -> None:
        """Close idle connections and event streams. The client can be used again."""
        self._streams.close()
        await self._transport.close()


def _marked(container: Container, asked: tuple[RequestedPort, ...] | EngineApiError) -> Container:
    requests = None if isinstance(asked, EngineApiError) else asked
    return replace(container, ports=port_bindings.marked(container.ports, requests))


def _segment(ref: str) -> str:
    """Quote for use as one segment of a path: a network's name may contain any character."""
    return quote(ref, safe="")
