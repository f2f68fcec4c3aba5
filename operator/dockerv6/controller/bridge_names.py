"""The interfaces of the host that have the name of a bridge in a resource, a Docker network or a recorded intent."""

from collections.abc import Mapping
from ipaddress import IPv6Interface
from typing import NamedTuple

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.recorded_intents import RecordedIntents
from dockerv6.controller.world import World
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Interface
from dockerv6.planning.firewall.bridge_names import not_bridges
from dockerv6.planning.inputs import HostView, NetworkIndex, bridge_is_free


class BridgeNamesState(NamedTuple):
    """What the rules depend on.

    Attributes:
        not_bridges: names of interfaces that are no bridges.
        unused: interfaces with the name of the bridge of a network that does not exist, with their addresses, and
            whether they have ports: what `left_behind` looks at.
    """

    not_bridges: frozenset[str] = frozenset()
    unused: frozenset[tuple[str, tuple[IPv6Interface, ...], bool]] = frozenset()


class BridgeNames:
    """Looks up the names. They are collected again when the inventory or the world changes."""

    def __init__(self, inventory: Inventory, world: World, recorded: RecordedIntents) -> None:
        """Collect nothing yet."""
        self._inventory = inventory
        self._world = world
        self._recorded = recorded
        self._versions: tuple[int, int] | None = None
        self._names: frozenset[str] = frozenset()
        self._coming: frozenset[str] = frozenset()  # those of resources without a live network
        self._host: HostView | None = None  # that `_state` is about
        self._state = BridgeNamesState()  # as last evaluated

    @property
    def state(self) -> BridgeNamesState:
        """Differs when an interface has changed that matters to the rules."""
        versions, host = (self._inventory.version, self._world.version), self._world.host_view.last
        if self._versions == versions and self._host is host:
            return self._state
        if self._versions != versions:
            self._versions = versions
            live = self._world.known_networks.bridges
            asked = {r.bridge_name for r in self._inventory.networks().values() if not r.observed}
            self._coming = frozenset(asked - live)
            self._names = live | self._coming | self._recorded.bridges
        self._host, self._state = host, BridgeNamesState() if host is None else self._evaluate(host.interfaces)
        return self._state

    def _evaluate(self, interfaces: Mapping[str, Interface]) -> BridgeNamesState:
        there = self._coming & interfaces.keys()
        masters = {each.master for each in interfaces.values()} if there else set()
        unused = frozenset((name, interfaces[name].addresses, interfaces[name].index in masters) for name in there)
        return BridgeNamesState(not_bridges(self._names, interfaces), unused)

    def free(self, resource: NetworkResource, own: tuple[Network, ...], networks: NetworkIndex) -> bool:
        """Whether rules may name the bridge of the resource's next network, see `bridge_is_free`."""
        host, name = self._world.host_view.last, resource.bridge_name
        interfaces = host.interfaces if host is not None else {}
        if name not in interfaces and not networks.with_bridge(name):
            return True  # without a search for the subnets
        if any(network.bridge == name for network in own):
            return True
        subnets = self._inventory.holdings.subnets_of(resource.metadata.name)
        return bridge_is_free(resource, own, networks, interfaces, subnets)
