"""Fakes of engine, kernel and firewall that affect one another as the real ones do."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from dockerv6.dockerd.model import EngineEvent, EventKind, Network
from dockerv6.firewall.ruleset import Ruleset, RulesetChange
from dockerv6.hostnet.model import BridgePort, Interface, Listener, Route, RouteProtocol
from dockerv6.lib.prefixes import first_address
from dockerv6.planning.host.sysctls import FORWARDING
from tests.fakes.dockerd.engine import FakeEngine
from tests.fakes.dockerd.versions import ENGINE_28_5, EngineVersion
from tests.fakes.firewall.backend import FakeFirewall
from tests.fakes.hostnet.host import FakeHostNet

OUR_TABLE = "inet dockerv6"
ETH0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::5/64"),))
DOCKER0 = Interface(3, "docker0", "bridge", up=True, mtu=1500)
ETH0_LINK = Route(IPv6Network("2001:db8:1::/64"), "eth0", RouteProtocol.KERNEL, 254, 256)
DEFAULT_ROUTE = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, 254, 1024)


class CoupledEngine(FakeEngine):
    """An engine that creates bridges, veths and userland proxies on the fake host, and turns forwarding on."""

    def __init__(self, host: FakeHostNet, profile: EngineVersion = ENGINE_28_5, *, userland_proxy: bool = True) -> None:
        self._host = host
        self._index = 100
        self._bridges: dict[str, str] = {}
        self._veths: dict[tuple[str, str], str] = {}  # by container and network
        self._sockets: frozenset[Listener] = frozenset()  # of the userland proxy
        self._proxy = userland_proxy
        self._booted = False  # `FakeEngine` emits events for its default networks
        super().__init__(profile, userland_proxy=userland_proxy)
        self._booted = True

    def _emit(self, event: EngineEvent) -> None:
        if self._booted and event.kind is EventKind.NETWORK and event.network_id is not None:
            if event.action == "create":
                made = self.inspect_network(event.network_id)
                assert made is not None
                self._make_bridge(made)
            elif event.action == "destroy":
                self._drop_bridge(event.network_id)
        super()._emit(event)
        if self._booted:
            self._sync_host()

    def start_container(self, container_id: str) -> None:
        try:
            super().start_container(container_id)
        finally:  # the engine emits no event if the container failed to start
            self._sync_host()

    def _sync_host(self) -> None:
        """Add veths and sockets of the userland proxy for running containers, and remove the others."""
        running = self.list_containers()
        endpoints = {(c.id, e.network_id): self._bridges.get(e.network_id) for c in running for e in c.endpoints}
        for removed in self._veths.keys() - endpoints.keys():
            name = self._veths.pop(removed)
            if name in self._host._interfaces:
                self._host.remove_interface(name)
        for new in endpoints.keys() - self._veths.keys():
            bridge = self._host._interfaces.get(endpoints[new] or "")
            if bridge is not None:
                self._index += 1
                name = self._veths[new] = f"veth{self._index}"
                veth = Interface(self._index, name, "veth", up=True, mtu=1500, master=bridge.index)
                self._host.add_interface(replace(veth, bridge_port=BridgePort()))
        sockets = frozenset(
            Listener(binding.protocol, binding.host_address, binding.host_port)
            for container in running
            for binding in container.ports
            if self._proxy and isinstance(binding.host_address, IPv6Address)
        )
        self._host.stop_listening(*(self._sockets - sockets))
        self._host.listen(*(sockets - self._sockets))
        self._sockets = sockets

    def _make_bridge(self, made: Network) -> None:
        if made.bridge is None:
            return
        self._bridges[made.id] = made.bridge
        self._index += 1
        addresses = tuple(
            IPv6Interface((int(c.gateway or first_address(c.subnet)), c.subnet.prefixlen))
            for c in made.ipv6
            if isinstance(c.subnet, IPv6Network)
        )
        self._host.add_interface(Interface(self._index, made.bridge, "bridge", up=True, mtu=1500, addresses=addresses))
        for address in addresses:
            self._host.add_route(Route(address.network, made.bridge, RouteProtocol.KERNEL, 254, 256))
        if made.enable_ipv6:
            self._host.change_sysctl(FORWARDING, "1")

    def _drop_bridge(self, network_id: str) -> None:
        bridge = self._bridges.pop(network_id, None)
        if bridge in self._host._interfaces:
            self._host.remove_interface(bridge)


class NotifyingFirewall(FakeFirewall):
    """A firewall whose commits cause nfnetlink notifications."""

    def __init__(self, host: FakeHostNet) -> None:
        super().__init__()
        self._host = host

    async def apply(self, change: RulesetChange) -> Ruleset:
        before = self.commits
        ruleset = await super().apply(change)
        if self.commits != before:
            self._host.commit_firewall(OUR_TABLE)
        return ruleset

    async def sweep(self) -> None:
        await super().sweep()
        self._host.commit_firewall(OUR_TABLE)
