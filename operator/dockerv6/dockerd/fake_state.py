"""What the fake engine holds: networks, containers, and their endpoints. Synchronous; no faults, no tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from dockerv6.dockerd import dialect, encode, fake_addresses, refusal
from dockerv6.dockerd.model import BRIDGE_NAME, Attachment, Endpoint, EngineEvent, EventKind, Network, NetworkSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from dockerv6.dockerd.fake_addresses import AnyAddress, AnyNetwork
    from dockerv6.dockerd.model import SubnetConfig
    from dockerv6.dockerd.profiles import Profile

_PREDEFINED = ("bridge", "host", "none")
_DRIVERS = frozenset({"bridge", "ipvlan", "macvlan"})


@dataclass(slots=True)
class _Entry:
    """A container's configuration for one network, and its endpoint while it runs."""

    wish: Attachment  # what a user asked for; addresses in use are in `endpoint`
    network_id: str = ""  # unknown until the container first runs on it
    endpoint: Endpoint | None = None


@dataclass(slots=True)
class _Container:
    id: str
    name: str
    running: bool = False
    entries: dict[str, _Entry] = field(default_factory=dict)  # by the network's name, as engines keep them


class State:
    """An engine's networks and containers; refuses what real engines refuse, in their words.

    Attributes:
        profile: the version that it behaves like.
    """

    def __init__(self, profile: Profile, tell: Callable[[EngineEvent], None]) -> None:
        """Make the engine's own networks.

        Args:
            profile: the version to behave like.
            tell: is given every event.
        """
        self.profile = profile
        self._tell = tell
        self._serial = 0
        self._networks: dict[str, Network] = {}
        self._containers: dict[str, _Container] = {}
        bridge = NetworkSpec("bridge", enable_ipv6=False, options={BRIDGE_NAME: "docker0"})
        host = NetworkSpec("host", driver="host", enable_ipv6=False)
        none = NetworkSpec("none", driver="null", enable_ipv6=False)
        self._add_network(bridge, self._ipam(bridge, ""))
        self._add_network(host, ())
        self._add_network(none, ())

    def list_networks(self) -> tuple[Network, ...]:
        """All networks, oldest first, without endpoints."""
        return tuple(self._networks.values())

    def inspect_network(self, ref: str) -> Network | None:
        """One network by id, else by name, with endpoints."""
        found = self._networks.get(ref) or self._named(ref)
        return None if found is None else replace(found, endpoints=self._endpoints(found))

    def create_network(self, spec: NetworkSpec) -> str:
        """Create; return the id. Raises what `port.Engine.create_network` does."""
        encode.network(spec, self.profile.dialect)  # raises EngineTooOld as the client does
        if spec.name in _PREDEFINED:
            raise refusal.from_answer(403, f"operation is not permitted on predefined {spec.name} network ")
        if self._named(spec.name) is not None:
            raise refusal.from_answer(409, f"network with name {spec.name} already exists")
        if spec.driver not in _DRIVERS:
            raise refusal.from_answer(404, f'plugin "{spec.driver}" not found')
        for config in spec.ipam:
            if config.gateway is not None and config.gateway not in config.subnet:
                raise refusal.from_answer(400, f"invalid gateway {config.gateway}: not in {config.subnet}")
        ipam = self._ipam(spec, spec.name)
        if bridge := spec.options.get(BRIDGE_NAME):
            self._check_bridge(spec, bridge)
        return self._add_network(spec, ipam).id

    def _check_bridge(self, spec: NetworkSpec, bridge: str) -> None:
        for other in self._networks.values():
            if other.bridge == bridge:
                raise refusal.from_answer(
                    403,
                    f"cannot create network {spec.name} ({bridge}): conflicts with network {other.id} ({bridge}): "
                    "networks have same bridge name",
                )

    def _ipam(self, spec: NetworkSpec, seed: str) -> tuple[SubnetConfig, ...]:
        """Take the subnets that were asked for, and one out of a pool for each family that has none."""
        taken = [config.subnet for network in self._networks.values() for config in network.ipam]
        if any(fake_addresses.overlaps(config.subnet, taken) for config in spec.ipam):
            raise refusal.from_answer(403, self.profile.overlap)
        versions = {config.subnet.version for config in spec.ipam}
        ipam = list(spec.ipam)
        if spec.enable_ipv4 and 4 not in versions:  # noqa: PLR2004 - IP version
            ipam.append(self._ipv4_pool([*taken, *(config.subnet for config in spec.ipam)]))
        if spec.enable_ipv6 and 6 not in versions:  # noqa: PLR2004 - IP version
            if not self.profile.ipv6_pool:
                raise refusal.from_answer(404, "could not find an available, non-overlapping IPv6 address pool")
            ipam.append(fake_addresses.ipv6_pool(seed))
        return tuple(sorted(ipam, key=lambda config: config.subnet.version))

    def _ipv4_pool(self, taken: list[AnyNetwork]) -> SubnetConfig:
        pool = fake_addresses.ipv4_pool(taken)
        if pool is None:
            message, status = self.profile.exhausted
            raise refusal.from_answer(status, message)
        return pool

    def _add_network(self, spec: NetworkSpec, ipam: tuple[SubnetConfig, ...]) -> Network:
        network = Network(
            id=self._new_id(),
            name=spec.name,
            driver=spec.driver,
            internal=spec.internal,
            attachable=spec.attachable,
            enable_ipv4=spec.enable_ipv4,
            enable_ipv6=spec.enable_ipv6,
            ipam=ipam,
            options=dict(spec.options),
            labels=dict(spec.labels),
        )
        self._networks[network.id] = network
        self._tell_network("create", network)
        return network

    def remove_network(self, network_id: str) -> None:
        """Remove; already gone is success. Raises what `port.Engine.remove_network` does."""
        network = self._networks.get(network_id)
        if network is None:
            return
        if network.name in _PREDEFINED:
            raise refusal.from_answer(403, f"{network.name} is a pre-defined network and cannot be removed")
        if endpoints := self._endpoints(network):
            named = ", ".join(f'name:"{end.container_name}" id:"{end.endpoint_id[:12]}"' for end in endpoints)
            what = f"network {network.name} has active endpoints ({named})"
            if not self.profile.names_endpoints:
                what = f"network {network.name} id {network.id} has active endpoints"
            raise refusal.from_answer(403, f"error while removing network: {what}")
        del self._networks[network_id]
        self._tell_network("destroy", network)

    def attachments(self, network_id: str) -> tuple[Attachment, ...]:
        """See `port.Engine.attachments`."""
        network = self._networks.get(network_id)
        unstarted = None if network is None else network.name
        return self._select(
            lambda name, entry: entry.network_id == network_id or (not entry.network_id and name == unstarted)
        )

    def stranded(self, network_name: str) -> tuple[Attachment, ...]:
        """See `port.Engine.stranded`."""
        if network_name in _PREDEFINED:
            return ()
        gone = {"", *self._networks}
        return self._select(lambda name, entry: name == network_name and entry.network_id not in gone)

    def occupied(self) -> frozenset[str]:
        """See `port.Engine.occupied`."""
        entries = ((n, e.network_id) for c in self._containers.values() for n, e in c.entries.items())
        return frozenset(ref for entry in entries for ref in entry if ref)

    def _select(self, wanted: Callable[[str, _Entry], bool]) -> tuple[Attachment, ...]:
        found = [
            replace(
                entry.wish,
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

    def running(self) -> frozenset[str]:
        """Ids of all running containers."""
        return frozenset(c.id for c in self._containers.values() if c.running)

    def connect(self, network_id: str, wish: Attachment) -> None:
        """See `port.Engine.connect`."""
        network = self._existing_network(network_id)
        container = self._existing_container(wish.container_id)
        known = container.entries.get(network.name)
        if container.running and known is not None and known.network_id == network_id:
            return
        entry = self._entry(wish)
        if container.running:
            self._plug(container, network, entry)
        container.entries[network.name] = entry

    def disconnect(self, network_id: str, container_id: str) -> None:
        """See `port.Engine.disconnect`. An entry of the same name goes even where it holds another network's id."""
        network = self._networks.get(network_id)
        container = self._containers.get(container_id)
        if network is None or container is None:
            return
        entry = container.entries.pop(network.name, None)
        if entry is not None and entry.endpoint is not None:
            self._tell_network("disconnect", network, container)

    def create_container(self, name: str, network: str | None, wish: Attachment | None) -> str:
        """Create a container, on a network by its name; return its id."""
        if any(container.name == name for container in self._containers.values()):
            raise refusal.from_answer(409, f'Conflict. The container name "/{name}" is already in use')
        container = _Container(self._new_id(), name)
        self._containers[container.id] = container
        if network is not None:
            container.entries[network] = self._entry(wish or Attachment(container.id, name, running=False))
        self._tell_container("create", container)
        return container.id

    def start_container(self, container_id: str) -> None:
        """Start it on all its networks, or not at all."""
        container = self._existing_container(container_id)
        if container.running:
            return
        before = {name: replace(entry) for name, entry in container.entries.items()}
        try:
            for name, entry in container.entries.items():
                # user-defined networks are looked up by their id once it is known, the engine's own by name
                known = entry.network_id if name not in _PREDEFINED else ""
                self._plug(container, self._existing_network(known or name, by_name=not known), entry)
        except Exception:
            container.entries = before
            raise
        container.running = True
        self._tell_container("start", container)

    def stop_container(self, container_id: str) -> None:
        """Stop it; it keeps its configuration and gives its addresses back."""
        container = self._existing_container(container_id)
        if not container.running:
            return
        container.running = False
        for entry in container.entries.values():
            entry.endpoint = None
            self._tell_network("disconnect", self._networks[entry.network_id], container)
        self._tell_container("die", container)

    def remove_container(self, container_id: str) -> None:
        """Stop and remove it."""
        self.stop_container(container_id)
        self._tell_container("destroy", self._containers.pop(container_id))

    def _entry(self, wish: Attachment) -> _Entry:
        """Keep what this version can be told."""
        if not self.profile.dialect.understands(dialect.GATEWAY_PRIORITY):
            wish = replace(wish, gw_priority=0)
        return _Entry(replace(wish, mac_address=None))

    def _plug(self, container: _Container, network: Network, entry: _Entry) -> None:
        entry.endpoint = Endpoint(
            container_id=container.id,
            container_name=container.name,
            endpoint_id=self._new_id(),
            ipv4=_narrow4(self._address(network, 4, entry.wish.static_ipv4)) if network.enable_ipv4 else None,
            ipv6=_narrow6(self._address(network, 6, entry.wish.static_ipv6)) if network.enable_ipv6 else None,
        )
        entry.network_id = network.id
        self._tell_network("connect", network, container)

    def _address(self, network: Network, version: int, static: AnyAddress | None) -> AnyAddress | None:
        config = next((config for config in network.ipam if config.subnet.version == version), None)
        if config is None:
            return None
        used = {address for end in self._endpoints(network) for address in (end.ipv4, end.ipv6) if address is not None}
        if static is None:
            address = fake_addresses.free_address(config, used)
            if address is None:
                raise refusal.from_answer(403, "no available IPv4 addresses on this network's address pools")
            return address
        if static not in config.subnet:
            message, status = self.profile.foreign_address
            raise refusal.from_answer(status, message.format(address=static))
        if static in used or static == config.gateway:
            raise refusal.from_answer(403, "Address already in use")
        return static

    def _endpoints(self, network: Network) -> tuple[Endpoint, ...]:
        endpoints = (
            entry.endpoint
            for container in self._containers.values()
            for entry in container.entries.values()
            if entry.endpoint is not None and entry.network_id == network.id
        )
        return tuple(sorted(endpoints, key=lambda endpoint: endpoint.container_name))

    def _named(self, name: str) -> Network | None:
        return next((network for network in self._networks.values() if network.name == name), None)

    def _existing_network(self, ref: str, *, by_name: bool = False) -> Network:
        network = self._named(ref) if by_name else self._networks.get(ref)
        if network is None:
            raise refusal.from_answer(404, f"network {ref} not found")
        return network

    def _existing_container(self, container_id: str) -> _Container:
        if container_id not in self._containers:
            raise refusal.from_answer(404, f"No such container: {container_id}")
        return self._containers[container_id]

    def _new_id(self) -> str:
        self._serial += 1
        return hashlib.sha256(str(self._serial).encode()).hexdigest()

    def _tell_network(self, action: str, network: Network, container: _Container | None = None) -> None:
        container_id = None if container is None else container.id
        self._tell(EngineEvent(EventKind.NETWORK, action, network.id, network.name, container_id))

    def _tell_container(self, action: str, container: _Container) -> None:
        self._tell(EngineEvent(EventKind.CONTAINER, action, container_id=container.id))


def _narrow4(address: AnyAddress | None) -> IPv4Address | None:
    return address if isinstance(address, IPv4Address) else None


def _narrow6(address: AnyAddress | None) -> IPv6Address | None:
    return address if isinstance(address, IPv6Address) else None
