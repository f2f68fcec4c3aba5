"""The networks of the fake engine: names, address pools, bridges, parents. Synchronous; knows nothing of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerv6.dockerd import encode, refusal
from dockerv6.dockerd.model import BRIDGE_NAME, Network, NetworkSpec
from tests.fakes.dockerd import addresses as fake_addresses
from tests.fakes.dockerd import links as fake_links
from tests.fakes.dockerd.links import Links

if TYPE_CHECKING:
    from collections.abc import Callable

    from dockerv6.dockerd.model import SubnetConfig
    from tests.fakes.dockerd.addresses import AnyNetwork
    from tests.fakes.dockerd.versions import EngineVersion

PREDEFINED = ("bridge", "host", "none")
_DRIVERS = fake_links.DRIVERS | {"bridge"}


class Networks:
    """An engine's networks; refuses what real engines refuse, in their words.

    Attributes:
        profile: the version that it behaves like.
        links: the host's interfaces.
    """

    def __init__(self, profile: EngineVersion, new_id: Callable[[], str], tell: Callable[[str, Network], None]) -> None:
        """Make the engine's own networks.

        Args:
            profile: the version to behave like.
            new_id: gives an id that was never used.
            tell: is given every action and the network.
        """
        self.profile = profile
        self.links = Links()
        self._new_id = new_id
        self._tell = tell
        self._networks: dict[str, Network] = {}
        bridge = NetworkSpec("bridge", enable_ipv6=False, options={BRIDGE_NAME: "docker0"})
        host = NetworkSpec("host", driver="host", enable_ipv6=False)
        none = NetworkSpec("none", driver="null", enable_ipv6=False)
        self._add(bridge, self._ipam(bridge, ""))
        self._add(host, ())
        self._add(none, ())

    def all(self) -> tuple[Network, ...]:
        """All networks, oldest first, without endpoints."""
        return tuple(self._networks.values())

    def get(self, network_id: str) -> Network | None:
        """One network by id."""
        return self._networks.get(network_id)

    def named(self, name: str) -> Network | None:
        """One network by name."""
        return next((network for network in self._networks.values() if network.name == name), None)

    def create(self, spec: NetworkSpec) -> str:
        """Create; return the id. Raises what `port.Engine.create_network` does."""
        encode.network(spec, self.profile.dialect)  # raises EngineTooOld as the client does
        if spec.name in PREDEFINED:
            raise refusal.from_answer(403, f"operation is not permitted on predefined {spec.name} network ")
        if self.named(spec.name) is not None:
            raise refusal.from_answer(409, f"network with name {spec.name} already exists")
        if spec.driver not in _DRIVERS:
            raise refusal.from_answer(404, f'plugin "{spec.driver}" not found')
        for config in spec.ipam:
            if config.gateway is not None and config.gateway not in config.subnet:
                raise refusal.from_answer(400, f"invalid gateway {config.gateway}: not in {config.subnet}")
        ipam = self._ipam(spec, spec.name)
        if bridge := spec.options.get(BRIDGE_NAME):
            self._check_bridge(spec, bridge)
        return self._add(spec, ipam).id

    def remove(self, network: Network) -> None:
        """Remove; whoever asks has seen that it has no endpoints. Raises what `port.Engine.remove_network` does."""
        if network.name in PREDEFINED:
            raise refusal.from_answer(403, f"{network.name} is a pre-defined network and cannot be removed")
        del self._networks[network.id]
        self.links.release(network, self._on_links())
        self._tell("destroy", network)

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
        if spec.enable_ipv4 and 4 not in versions:
            ipam.append(self._ipv4_pool([*taken, *(config.subnet for config in spec.ipam)]))
        if spec.enable_ipv6 and 6 not in versions:
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
            self.links.claim(network, self._on_links(), self.profile)
        self._networks[network.id] = network
        self._tell("create", network)
        return network

    def _on_links(self) -> list[Network]:
        return [network for network in self._networks.values() if network.driver in fake_links.DRIVERS]
