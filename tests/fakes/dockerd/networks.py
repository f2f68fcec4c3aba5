"""The fake engine's networks: names, subnets, bridges, parents. Synchronous; it has no containers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import chain, islice
from typing import TYPE_CHECKING

from dockerv6.dockerd import api_errors, encode
from dockerv6.dockerd.model import BRIDGE_NAME, Network, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import StaleNetwork
from tests.fakes.dockerd import links as fake_links
from tests.fakes.dockerd.links import Links

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tests.fakes.dockerd.versions import EngineVersion

AnyNetwork = IPv4Network | IPv6Network
AnyAddress = IPv4Address | IPv6Address

# libnetwork's defaults: 172.17 to 172.31, then 192.168 in sixteen parts; the bridge network has the first
_POOLS = tuple(
    chain(
        (IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)),
        IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
    )
)

PREDEFINED = ("bridge", "host", "none")
_DRIVERS = fake_links.DRIVERS | {"bridge"}


class Networks:
    """An engine's networks; errors are those of real engines.

    Attributes:
        version: whose behaviour it has.
        links: the host's interfaces.
    """

    def __init__(self, version: EngineVersion, new_id: Callable[[], str], emit: Callable[[str, Network], None]) -> None:
        """Create the predefined networks.

        Args:
            version: whose behaviour it has.
            new_id: returns an unused id.
            emit: called with every action and its network.
        """
        self.version = version
        self.links = Links()
        self._new_id = new_id
        self._emit = emit
        self._networks: dict[str, Network] = {}
        self._stale: list[Network] = []
        bridge = NetworkSpec("bridge", enable_ipv6=False, options={BRIDGE_NAME: "docker0"})
        host = NetworkSpec("host", driver="host", enable_ipv6=False)
        none = NetworkSpec("none", driver="null", enable_ipv6=False)
        self._add(bridge, self._ipam(bridge, ""))
        self._add(host, ())
        self._add(none, ())

    def all(self) -> tuple[Network, ...]:
        """List all networks, oldest first, without endpoints."""
        return tuple(self._networks.values())

    def get(self, network_id: str) -> Network | None:
        """Get a network by id."""
        return self._networks.get(network_id)

    def named(self, name: str) -> Network | None:
        """Get a network by name."""
        return next((network for network in self._networks.values() if network.name == name), None)

    def create(self, spec: NetworkSpec) -> str:
        """Create a network; return its id. Raises as `port.Engine.create_network` does."""
        encode.network(spec, self.version.engine_api)  # raises EngineTooOld as the client does
        if spec.name in PREDEFINED:
            raise api_errors.from_response(403, f"operation is not permitted on predefined {spec.name} network ")
        if self.named(spec.name) is not None:
            raise api_errors.from_response(409, f"network with name {spec.name} already exists")
        if spec.driver not in _DRIVERS:
            raise api_errors.from_response(404, f'plugin "{spec.driver}" not found')
        for config in spec.ipam:
            if config.gateway is not None and config.gateway not in config.subnet:
                raise api_errors.from_response(400, f"invalid gateway {config.gateway}: not in {config.subnet}")
        ipam = self._ipam(spec, spec.name)
        if bridge := spec.options.get(BRIDGE_NAME):
            self._check_bridge(spec, bridge)
        self._check_stale(spec, ipam)
        return self._add(spec, ipam).id

    def remove(self, network: Network) -> None:
        """Remove a network without endpoints. Raises as `port.Engine.remove_network` does."""
        if network.name in PREDEFINED:
            raise api_errors.from_response(403, f"{network.name} is a pre-defined network and cannot be removed")
        del self._networks[network.id]
        self.links.release(network, self._on_links())
        self._emit("destroy", network)

    def make_stale(self, name: str) -> None:
        """Forget a network as an engine does that is killed before it records it: only its bridge driver keeps it."""
        network = self.named(name)
        assert network is not None
        self._stale.append(self._networks.pop(network.id))

    def recreate_default_bridge(self) -> tuple[str, str]:
        """Create the network "bridge" again, as an engine does when it starts; return the old id and the new one."""
        old = self.named("bridge")
        assert old is not None
        del self._networks[old.id]
        made = replace(old, id=self._new_id())
        self._networks[made.id] = made
        return old.id, made.id

    def _check_bridge(self, spec: NetworkSpec, bridge: str) -> None:
        for other in self._networks.values():
            if other.bridge == bridge:
                raise api_errors.from_response(
                    403,
                    f"cannot create network {spec.name} ({bridge}): conflicts with network {other.id} ({bridge}): "
                    "networks have same bridge name",
                )

    def _check_stale(self, spec: NetworkSpec, ipam: tuple[SubnetConfig, ...]) -> None:
        bridge = spec.options.get(BRIDGE_NAME)
        for other in self._stale:
            prefix = (
                f"cannot create network {spec.name} ({bridge}): conflicts with network {other.id[:12]} ({other.bridge})"
            )
            taken = [config.subnet for config in other.ipam]
            clash = next((c.subnet.version for c in ipam if overlaps(c.subnet, taken)), None)
            if bridge == other.bridge:
                message = f"{prefix}: networks have same bridge name"
            elif clash is not None:
                message = f"{prefix}: networks have overlapping IPv{clash}"
            else:
                continue
            raise StaleNetwork(message, 403, spec)

    def _ipam(self, spec: NetworkSpec, seed: str) -> tuple[SubnetConfig, ...]:
        """Return the requested subnets, and one from a pool for each address family without one."""
        taken = [config.subnet for network in self._networks.values() for config in network.ipam]
        if any(overlaps(config.subnet, taken) for config in spec.ipam):
            raise api_errors.from_response(403, self.version.subnet_overlap)
        versions = {config.subnet.version for config in spec.ipam}
        ipam = list(spec.ipam)
        if spec.enable_ipv4 and 4 not in versions:
            on_host = [config.subnet for network in self._stale for config in network.ipam]  # routes of their bridges
            ipam.append(self._ipv4_pool([*taken, *on_host, *(config.subnet for config in spec.ipam)]))
        if spec.enable_ipv6 and 6 not in versions:
            if not self.version.ipv6_pool:
                raise api_errors.from_response(404, "could not find an available, non-overlapping IPv6 address pool")
            ipam.append(generated_ipv6_pool(seed))
        return tuple(sorted(ipam, key=lambda config: config.subnet.version))

    def _ipv4_pool(self, taken: list[AnyNetwork]) -> SubnetConfig:
        pool = free_ipv4_pool(taken)
        if pool is None:
            message, status = self.version.pools_exhausted
            raise api_errors.from_response(status, message)
        return pool

    def _add(self, spec: NetworkSpec, ipam: tuple[SubnetConfig, ...]) -> Network:
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
        if network.driver in fake_links.DRIVERS:
            self.links.claim(network, self._on_links(), self.version)
        self._networks[network.id] = network
        self._emit("create", network)
        return network

    def _on_links(self) -> list[Network]:
        return [network for network in self._networks.values() if network.driver in fake_links.DRIVERS]


def overlaps(one: AnyNetwork, taken: Iterable[AnyNetwork]) -> bool:
    """Whether a subnet overlaps any of the others."""
    return any(one.version == other.version and one.overlaps(other) for other in taken)


def free_ipv4_pool(taken: Collection[AnyNetwork]) -> SubnetConfig | None:
    """Return the first free default pool, with its gateway; None when all are in use."""
    free = next((pool for pool in _POOLS if not overlaps(pool, taken)), None)
    return None if free is None else SubnetConfig(free, gateway=free[1])


def generated_ipv6_pool(network_id: str) -> SubnetConfig:
    """Return a ULA /64. A real engine's is random; this one is derived from the network's name."""
    digest = hashlib.sha256(network_id.encode()).digest()
    subnet = IPv6Network((int.from_bytes(b"\xfd" + digest[:5]) << 80, 64))
    return SubnetConfig(subnet, gateway=subnet[1])


def free_address(config: SubnetConfig, used: Collection[AnyAddress]) -> AnyAddress | None:
    """Return the lowest free address for an endpoint; None when there is none.

    Where no gateway was requested, the engine uses the range's first address without showing it in inspect.
    """
    pool = config.ip_range or config.subnet
    first = next(iter(_hosts(pool, config.subnet)), None)
    kept = {config.gateway or first, *(ip_address(text) for text in config.aux_addresses.values()), *used}
    return next(
        (address for address in islice(_hosts(pool, config.subnet), len(kept) + 1) if address not in kept), None
    )


def ipv4(address: AnyAddress | None) -> IPv4Address | None:
    """Return the address if it is an IPv4 address."""
    return address if isinstance(address, IPv4Address) else None


def ipv6(address: AnyAddress | None) -> IPv6Address | None:
    """Return the address if it is an IPv6 address."""
    return address if isinstance(address, IPv6Address) else None


def _hosts(pool: AnyNetwork, subnet: AnyNetwork) -> Iterable[AnyAddress]:
    last = subnet.broadcast_address if subnet.version == 4 else None
    return (pool[index] for index in range(min(pool.num_addresses, 1 << 20)) if pool[index] not in {subnet[0], last})


def assign_address(
    network: Network, family: int, static: AnyAddress | None, used: Collection[AnyAddress], version: EngineVersion
) -> AnyAddress | None:
    """Return the static address if it is valid, else a free one; None where the network has no subnet of that family.

    Raises:
        EngineConflict: the address is in use, or none is free.
        EngineApiError: the static address is outside the subnet.
    """
    config = next((config for config in network.ipam if config.subnet.version == family), None)
    if config is None:
        return None
    if static is None:
        address = free_address(config, used)
        if address is None:
            raise api_errors.from_response(403, "no available IPv4 addresses on this network's address pools")
        return address
    if static not in config.subnet:
        message, status = version.address_outside_subnet
        raise api_errors.from_response(status, message.format(address=static))
    if static in used or static == config.gateway:
        raise api_errors.from_response(403, "Address already in use")
    return static
