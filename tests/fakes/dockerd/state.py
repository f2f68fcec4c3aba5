"""The fake engine's state: networks, containers and endpoints. Synchronous; without faults and tasks."""

from __future__ import annotations

import hashlib
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
    families,
    parse_publish,
)
from tests.fakes.dockerd.networks import PREDEFINED, Networks, free_address, ipv4, ipv6

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dockerv6.dockerd.model import Container, Network, NetworkSpec
    from tests.fakes.dockerd.links import Links
    from tests.fakes.dockerd.networks import AnyAddress
    from tests.fakes.dockerd.versions import EngineVersion

_FIRST_EPHEMERAL_PORT = 32768
_FIRST_CREATED = 1_700_000_000
_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"


class State:
    """An engine's containers and networks; errors are those of real engines."""

    def __init__(self, version: EngineVersion, emit: Callable[[EngineEvent], None], *, userland_proxy: bool) -> None:
        """Create the predefined networks.

        Args:
            version: whose behaviour it has.
            emit: called with every event.
            userland_proxy: whether networks without IPv6 can publish ports on IPv6.
        """
        self._emit = emit
        self._userland_proxy = userland_proxy
        self._serial = 0
        self._containers: dict[str, FakeContainer] = {}
        self._ephemeral = count(_FIRST_EPHEMERAL_PORT)
        self._networks = Networks(version, self._new_id, self._emit_network_event)

    @property
    def version(self) -> EngineVersion:
        """The version whose behaviour it has."""
        return self._networks.version

    @property
    def links(self) -> Links:
        """The host's interfaces."""
        return self._networks.links

    def list_networks(self) -> tuple[Network, ...]:
        """List all networks, oldest first, without endpoints."""
        return self._networks.all()

    def inspect_network(self, ref: str) -> Network | None:
        """Inspect a network by id, else by name, with endpoints."""
        found = self._networks.get(ref) or self._networks.named(ref)
        return None if found is None else replace(found, endpoints=self._endpoints(found))

    def create_network(self, spec: NetworkSpec) -> str:
        """Create a network; return its id. Raises as `port.Engine.create_network` does."""
        return self._networks.create(spec)

    def remove_network(self, network_id: str) -> None:
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

    def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """See `port.Engine.attachments`."""
        network = self._networks.get(network_id)
        unstarted = None if network is None else network.name
        return self._select(
            lambda name, entry: entry.network_id == network_id or (not entry.network_id and name == unstarted)
        )

    def orphaned_attachments(self, network_name: str) -> tuple[Attachment, ...]:
        """See `port.Engine.orphaned_attachments`."""
        if network_name in PREDEFINED:
            return ()
        gone = {"", *(network.id for network in self._networks.all())}
        return self._select(lambda name, entry: name == network_name and entry.network_id not in gone)

    def networks_in_use(self) -> frozenset[str]:
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

    def running_container_ids(self) -> frozenset[str]:
        """List the ids of all running containers."""
        return frozenset(c.id for c in self._containers.values() if c.running)

    def all_containers(self) -> tuple[FakeContainer, ...]:
        """Return every container, running or not."""
        return tuple(self._containers.values())

    def containers(self) -> tuple[Container, ...]:
        """See `port.Engine.containers`."""
        running = (container for container in self._containers.values() if container.running)
        return tuple(sorted((container.view() for container in running), key=lambda container: container.id))

    def connect(self, network_id: str, requested: Attachment) -> None:
        """See `port.Engine.connect`."""
        network = self._existing_network(network_id)
        container = self._existing_container(requested.container_id)
        known = container.entries.get(network.name)
        if container.running and known is not None and known.network_id == network_id:
            return
        self._check_sharing(container, network)
        entry = self._entry(requested)
        if container.running:
            self._create_endpoint(container, network, entry)
        container.entries[network.name] = entry
        self._publish(container)

    def _check_sharing(self, container: FakeContainer, network: Network) -> None:
        """Reject a network for a container that shares a network namespace, as engines do."""
        mode = container.network_mode
        # a stopped container in mode "container:<id>" is accepted; on engines >= 28 it then fails to start
        if mode == "host" or (mode.startswith("container:") and container.running):
            raise api_errors.from_response(400, _SHARED)
        if network.driver == "host":
            raise api_errors.from_response(400, self.version.connect_to_host_network)
        if container.entries and (network.driver == "null" or "none" in container.entries):
            raise api_errors.from_response(400, _PRIVATE)

    def disconnect(self, network_id: str, container_id: str) -> None:
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
        networks: Sequence[str],
        requested: Attachment | None,
        *,
        labels: Mapping[str, str],
        ports: Sequence[str],
        network_mode: str | None,
    ) -> str:
        """Create a container, on networks by their names; return its id."""
        self._check_name(name)
        mode = self._mode(networks, network_mode)
        container = FakeContainer(
            self._new_id(),
            name,
            created=_FIRST_CREATED + self._serial,
            labels=dict(labels),
            network_mode=mode,
            publish=tuple(publish for written in ports for publish in parse_publish(written)),
        )
        for network in networks or ({mode} & {"host", "none"}):
            container.entries[network] = self._entry(requested or Attachment(container.id, name, running=False))
        self._containers[container.id] = container
        self._emit_container_event("create", container)
        return container.id

    def _check_name(self, name: str) -> None:
        if any(container.name == name for container in self._containers.values()):
            raise api_errors.from_response(409, f'Conflict. The container name "/{name}" is already in use')

    def _mode(self, networks: Sequence[str], requested: str | None) -> str:
        """Return the mode as in listings: the first network, or the other container by its id."""
        mode = requested or next(iter(networks), "default")
        kind, _, other = mode.partition(":")
        if kind in {"host", "none", "container"} and any(network != mode for network in networks):
            raise api_errors.from_response(400, _PRIVATE if kind == "none" else _SHARED)
        if kind != "container":
            return mode
        found = next((one.id for one in self._containers.values() if other in {one.id, one.name}), None)
        if found is None:
            raise api_errors.from_response(404, f"No such container: {other}")
        return f"container:{found}"

    def start_container(self, container_id: str) -> None:
        """Start a container on all its networks and with all its ports, or fail without a change."""
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
        """Stop and start a container."""
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

    def pause_container(self, container_id: str, *, paused: bool) -> None:
        """Pause or unpause a container; it keeps its addresses and ports."""
        container = self._existing_container(container_id)
        if not container.running or container.paused is paused:
            what = "already paused" if container.paused else "not paused" if container.running else "not running"
            raise api_errors.from_response(409, f"Container {container_id} is {what}")
        container.paused = paused
        self._emit_container_event("pause" if paused else "unpause", container)

    def rename_container(self, container_id: str, name: str) -> None:
        """Rename a container and its endpoints."""
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
            self.links.require(network, self._in_use())
        entry.endpoint = Endpoint(
            container_id=container.id,
            container_name=container.name,
            ipv4=ipv4(self._address(network, 4, entry.requested.static_ipv4)) if network.enable_ipv4 else None,
            ipv6=ipv6(self._address(network, 6, entry.requested.static_ipv6)) if network.enable_ipv6 else None,
        )
        entry.network_id = network.id
        self._emit_network_event("connect", network, container)

    def _address(self, network: Network, version: int, static: AnyAddress | None) -> AnyAddress | None:
        config = next((config for config in network.ipam if config.subnet.version == version), None)
        if config is None:
            return None
        used = {address for end in self._endpoints(network) for address in (end.ipv4, end.ipv6) if address is not None}
        if static is None:
            address = free_address(config, used)
            if address is None:
                raise api_errors.from_response(403, "no available IPv4 addresses on this network's address pools")
            return address
        if static not in config.subnet:
            message, status = self.version.address_outside_subnet
            raise api_errors.from_response(status, message.format(address=static))
        if static in used or static == config.gateway:
            raise api_errors.from_response(403, "Address already in use")
        return static

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
        self._emit(EngineEvent(EventKind.CONTAINER, action, container_id=container.id))


def _id(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()
