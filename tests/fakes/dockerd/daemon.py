"""The fake engine's daemon: its networks, containers and endpoints, and what users do to them. Synchronous."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from dockerv6.dockerd import api_errors
from dockerv6.dockerd.encode import GATEWAY_PRIORITY
from dockerv6.dockerd.model import Attachment, Endpoint, EngineEvent, EventKind
from tests.fakes.dockerd import links as fake_links
from tests.fakes.dockerd.containers import (
    Entry,
    FakeContainer,
    assign_host_ports,
    check_network,
    families,
    listed_network_mode,
    parse_publish,
)
from tests.fakes.dockerd.networks import PREDEFINED, Networks, assign_address, ipv4, ipv6
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dockerv6.dockerd.model import Container, Network, NetworkSpec
    from tests.fakes.dockerd.networks import AnyAddress

_FIRST_EPHEMERAL_PORT = 32768
_FIRST_CREATED = 1_700_000_000


class FakeDaemon(ABC):
    """Containers and networks of an engine, without its API. Errors are those of real engines."""

    def __init__(self, version: EngineVersion = ENGINE_28_5, *, userland_proxy: bool = True) -> None:
        """Create the predefined networks.

        Args:
            version: whose behaviour it has.
            userland_proxy: as in daemon.json. Without it a network that has no IPv6 gets IPv4 port bindings only.
        """
        self._userland_proxy = userland_proxy
        self._serial = 0
        self._containers: dict[str, FakeContainer] = {}
        self._ephemeral = count(_FIRST_EPHEMERAL_PORT)
        self._networks = Networks(version, self._new_id, self._emit_network_event)

    @abstractmethod
    def _emit(self, event: EngineEvent) -> None:
        """Send an event to all listeners."""

    @property
    def version(self) -> EngineVersion:
        """The version whose behaviour it has."""
        return self._networks.version

    @property
    def links(self) -> frozenset[str]:
        """The host's interfaces: lo, eth0, and those that a test added or the engine created."""
        return self._networks.links.names

    def add_link(self, name: str) -> None:
        """Add an interface to the host."""
        self._networks.links.add(name)

    def remove_link(self, name: str) -> None:
        """Remove an interface from the host; networks on it stay, as with real engines."""
        self._networks.links.remove(name)

    def list_networks(self) -> tuple[Network, ...]:
        """List all networks, oldest first, without endpoints."""
        return self._networks.all()

    def inspect_network(self, ref: str) -> Network | None:
        """Inspect a network by id, else by name, with endpoints."""
        found = self._networks.get(ref) or self._networks.named(ref)
        return None if found is None else replace(found, endpoints=self._endpoints(found))

    def add_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id. Raises as `port.Engine.create_network` does."""
        return self._networks.create(spec)

    def delete_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is success. Raises as `port.Engine.remove_network` does."""
        network = self._networks.get(network_id)
        if network is None:
            return
        if network.name not in PREDEFINED and (endpoints := self._endpoints(network)):
            named = ", ".join(f'name:"{end.container_name}" id:"{_id(end.container_id)[:12]}"' for end in endpoints)
            what = f"network {network.name} has active endpoints ({named})"
            if not self.version.names_endpoints:
                what = f"network {network.name} id {network.id} has active endpoints"
            raise api_errors.from_response(403, f"error while removing network: {what}")
        self._networks.remove(network)

    def list_attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """See `port.Engine.attachments`."""
        network = self._networks.get(network_id)
        unstarted = None if network is None else network.name
        return self._select(
            lambda name, entry: entry.network_id == network_id or (not entry.network_id and name == unstarted)
        )

    def list_orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """See `port.Engine.orphaned_attachments`."""
        if network_name in PREDEFINED:
            return ()
        gone = {"", *(network.id for network in self._networks.all())}
        return self._select(lambda name, entry: name == network_name and entry.network_id not in gone)

    def list_networks_in_use(self) -> frozenset[str]:
        """See `port.Engine.networks_in_use`."""
        entries = ((n, e.network_id) for c in self._containers.values() for n, e in c.entries.items())
        return frozenset(ref for entry in entries for ref in entry if ref)

    def _select(self, wanted: Callable[[str, Entry], bool]) -> tuple[Attachment, ...]:
        found = [
            replace(
                entry.requested,
                container_id=container.id,
                container_name=container.name,
                running=container.running,
                ipv4=entry.endpoint.ipv4 if entry.endpoint else None,
                ipv6=entry.endpoint.ipv6 if entry.endpoint else None,
            )
            for container in self._containers.values()
            for name, entry in container.entries.items()
            if wanted(name, entry)
        ]
        return tuple(sorted(found, key=lambda attachment: attachment.container_name))

    def list_running_ids(self) -> frozenset[str]:
        """See `port.Engine.running_container_ids`."""
        return frozenset(c.id for c in self._containers.values() if c.running)

    def container_ids(self) -> dict[str, str]:
        """Return the id of each container, running or not, by name."""
        return {container.name: container.id for container in self._containers.values()}

    def list_containers(self) -> tuple[Container, ...]:
        """See `port.Engine.containers`."""
        running = (container for container in self._containers.values() if container.running)
        return tuple(sorted((container.view() for container in running), key=lambda container: container.id))

    def attach(self, network_id: str, requested: Attachment) -> None:
        """See `port.Engine.connect`."""
        network = self._existing_network(network_id)
        container = self._existing_container(requested.container_id)
        known = container.entries.get(network.name)
        if container.running and known is not None and known.network_id == network_id:
            return
        check_network(container, network, self.version)
        entry = self._entry(requested)
        if container.running:
            self._create_endpoint(container, network, entry)
        container.entries[network.name] = entry
        self._publish(container)

    def detach(self, network_id: str, container_id: str) -> None:
        """See `port.Engine.disconnect`. An entry of that name is removed even if it has another network's id."""
        network = self._networks.get(network_id)
        container = self._containers.get(container_id)
        if network is None or container is None:
            return
        entry = container.entries.pop(network.name, None)
        if entry is None:
            return
        if entry.endpoint is not None:
            self._emit_network_event("disconnect", network, container)
        if self.version.repeats_disconnect:
            self._emit_network_event("disconnect", network, container)
        self._publish(container)

    def create_container(
        self,
        name: str,
        networks: str | Sequence[str] | None = None,
        requested: Attachment | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        image_labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        """Create a container; return its id.

        Args:
            name: of the container.
            networks: names; None: none, unless `network_mode` names one.
            requested: settings for each network.
            labels: of the container, besides those of its image.
            image_labels: of its image.
            ports: as ``docker run -p`` takes them: "8080:80", "80", "[::1]:8080:80/udp", "9000-9002:90-92".
            network_mode: "host", "none" or "container:<name or id>"; None: the first network.

        Raises:
            EngineConflict: the name is taken.
            EngineApiError: the mode excludes networks.
            ContainerNotFound: the container of the mode does not exist.
            ValueError: a port is invalid.
        """
        names = (networks,) if isinstance(networks, str) else tuple(networks or ())
        self._check_name(name)
        mode = listed_network_mode(names, network_mode, self._containers.values())
        container = FakeContainer(
            self._new_id(),
            name,
            created=_FIRST_CREATED + self._serial,
            labels=dict(labels or {}),
            image_labels=dict(image_labels or {}),
            network_mode=mode,
            publish=tuple(publish for written in ports for publish in parse_publish(written)),
        )
        for network in names or ({mode} & {"host", "none"}):
            container.entries[network] = self._entry(requested or Attachment(container.id, name, running=False))
        self._containers[container.id] = container
        self._emit_container_event("create", container)
        return container.id

    def _check_name(self, name: str) -> None:
        if any(container.name == name for container in self._containers.values()):
            raise api_errors.from_response(409, f'Conflict. The container name "/{name}" is already in use')

    def run_container(
        self,
        name: str,
        networks: str | Sequence[str] | None = None,
        requested: Attachment | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        image_labels: Mapping[str, str] | None = None,
        ports: Sequence[str] = (),
        network_mode: str | None = None,
    ) -> str:
        """Create and start a container; return its id. Arguments and errors as in both."""
        container_id = self.create_container(
            name,
            networks,
            requested,
            labels=labels,
            image_labels=image_labels,
            ports=ports,
            network_mode=network_mode,
        )
        self.start_container(container_id)
        return container_id

    def start_container(self, container_id: str) -> None:
        """Start a container on all its networks and with all its ports, or fail without a change.

        Raises:
            NetworkNotFound: it has an orphaned attachment (see `port.Engine.orphaned_attachments`).
            EngineConflict: a static address or a port is in use.
        """
        container = self._existing_container(container_id)
        if container.running:
            return
        before = {name: replace(entry) for name, entry in container.entries.items()}
        try:
            for name, entry in container.entries.items():
                # user-defined networks are resolved by id once it is known, predefined ones by name
                known = entry.network_id if name not in PREDEFINED else ""
                self._create_endpoint(container, self._existing_network(known or name, by_name=not known), entry)
            container.running = True
            self._publish(container)
        except Exception:
            container.running = False
            container.entries = before
            raise
        self._emit_container_event("start", container)

    def stop_container(self, container_id: str) -> None:
        """Stop a container; it keeps its configuration and releases its addresses and ports."""
        self._stop_processes(self._existing_container(container_id), stopped=True)

    def restart_container(self, container_id: str) -> None:
        """Stop and start a container; the engine chooses its ports again."""
        self.stop_container(container_id)
        self.start_container(container_id)

    def remove_container(self, container_id: str) -> None:
        """Kill and remove a container."""
        container = self._existing_container(container_id)
        self._stop_processes(container, stopped=False)
        del self._containers[container_id]
        self._emit_container_event("destroy", container)

    def _stop_processes(self, container: FakeContainer, *, stopped: bool) -> None:
        """End its processes, after a stop or by a kill."""
        if not container.running:
            return
        container.running = container.paused = False
        container.host_ports = {}
        if self.version.die_precedes_disconnect:
            self._emit_container_event("die", container)
        for entry in container.entries.values():
            entry.endpoint = None
            self._emit_network_event("disconnect", self._existing_network(entry.network_id), container)
        if stopped:
            self._emit_container_event("stop", container)
        if not self.version.die_precedes_disconnect:
            self._emit_container_event("die", container)

    def pause_container(self, container_id: str) -> None:
        """Pause a container; it keeps its addresses and ports.

        Raises:
            EngineConflict: it is not running, or is paused.
        """
        self._set_paused(self._existing_container(container_id), paused=True)

    def unpause_container(self, container_id: str) -> None:
        """Unpause a container.

        Raises:
            EngineConflict: it is not paused.
        """
        self._set_paused(self._existing_container(container_id), paused=False)

    def _set_paused(self, container: FakeContainer, *, paused: bool) -> None:
        if not container.running or container.paused is paused:
            what = "already paused" if container.paused else "not paused" if container.running else "not running"
            raise api_errors.from_response(409, f"Container {container.id} is {what}")
        container.paused = paused
        self._emit_container_event("pause" if paused else "unpause", container)

    def rename_container(self, container_id: str, name: str) -> None:
        """Rename a container and its endpoints.

        Raises:
            EngineConflict: the name is taken.
        """
        container = self._existing_container(container_id)
        self._check_name(name)
        container.name = name
        for entry in container.entries.values():
            if entry.endpoint is not None:
                entry.endpoint = replace(entry.endpoint, container_name=name)
        self._emit_container_event("rename", container)

    def _publish(self, container: FakeContainer) -> None:
        """Bind the ports that a running container's networks allow; existing bindings stay."""
        if not container.running:
            return
        connected = (self._existing_network(entry.network_id) for entry in container.entries.values())
        container.families = families(connected, userland_proxy=self._userland_proxy)
        others = [one for other in self._containers.values() if other is not container for one in other.bindings]
        container.host_ports = assign_host_ports(
            container.publish, container.families, others, container.host_ports, self._ephemeral
        )

    def _entry(self, requested: Attachment) -> Entry:
        """Build an entry without the settings that this version does not support."""
        if not self.version.engine_api.supports(GATEWAY_PRIORITY):
            requested = replace(requested, gw_priority=0)
        return Entry(replace(requested, mac_address=None))

    def _create_endpoint(self, container: FakeContainer, network: Network, entry: Entry) -> None:
        if network.driver in fake_links.DRIVERS:
            self._networks.links.require(network, self._in_use())
        entry.endpoint = Endpoint(
            container_id=container.id,
            container_name=container.name,
            ipv4=ipv4(self._address(network, 4, entry.requested.static_ipv4)) if network.enable_ipv4 else None,
            ipv6=ipv6(self._address(network, 6, entry.requested.static_ipv6)) if network.enable_ipv6 else None,
        )
        entry.network_id = network.id
        self._emit_network_event("connect", network, container)

    def _address(self, network: Network, family: int, static: AnyAddress | None) -> AnyAddress | None:
        ends = self._endpoints(network)
        used = {address for end in ends for address in (end.ipv4, end.ipv6) if address is not None}
        return assign_address(network, family, static, used, self.version)

    def _in_use(self) -> list[Network]:
        """List the network of each endpoint."""
        ends = (e for c in self._containers.values() for e in c.entries.values() if e.endpoint is not None)
        return [network for end in ends if (network := self._networks.get(end.network_id)) is not None]

    def _endpoints(self, network: Network) -> tuple[Endpoint, ...]:
        endpoints = (
            entry.endpoint
            for container in self._containers.values()
            for entry in container.entries.values()
            if entry.endpoint is not None and entry.network_id == network.id
        )
        return tuple(sorted(endpoints, key=lambda endpoint: endpoint.container_name))

    def _existing_network(self, ref: str, *, by_name: bool = False) -> Network:
        network = self._networks.named(ref) if by_name else self._networks.get(ref)
        if network is None:
            raise api_errors.from_response(404, f"network {ref} not found")
        return network

    def _existing_container(self, container_id: str) -> FakeContainer:
        if container_id not in self._containers:
            raise api_errors.from_response(404, f"No such container: {container_id}")
        return self._containers[container_id]

    def _new_id(self) -> str:
        self._serial += 1
        return _id(str(self._serial))

    def _emit_network_event(self, action: str, network: Network, container: FakeContainer | None = None) -> None:
        container_id = None if container is None else container.id
        self._emit(EngineEvent(EventKind.NETWORK, action, network.id, network.name, container_id))

    def _emit_container_event(self, action: str, container: FakeContainer) -> None:
        self._emit(EngineEvent(EventKind.CONTAINER, action, container_id=container.id, container_name=container.name))


def _id(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()
