"""A host in memory, with the kernel's behaviour that plans depend on.

Sysctls are added and removed with their interface. ``all.forwarding`` sets that of every interface, and turning it on
deletes what router advertisements have installed, unless accept_ra is 2. Changes of forwarding and proxy_ndp are
notified, those of other sysctls are not.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.model import (
    BRIDGE,
    BridgePort,
    ChangeKind,
    ContainerSockets,
    HostChange,
    HostPrefix,
    Interface,
    Listener,
    ProxyNeighbour,
    Route,
    RouteProtocol,
    RoutingRule,
    interface_sysctl,
)
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from tests.fakes.hostnet.kernel import FakePrefixes, FakeSysctls, Notifications

_ACCEPT_ALWAYS = "2"  # of accept_ra: also while forwarding is on
_NO_ADDRESSES: tuple[object, ...] = ((), frozenset(), frozenset())


def _no_time_passes() -> float:
    return 0.0


class FakeHostNet:
    """Implements `port.HostNet`. Its other methods are what other programs on the host do."""

    def __init__(
        self,
        interfaces: Iterable[Interface] = (),
        routes: Iterable[Route] = (),
        sysctls: Mapping[str, str] | None = None,
        now: Callable[[], float] = _no_time_passes,
    ) -> None:
        """Make a host.

        Args:
            interfaces: the first interfaces.
            routes: the first routes.
            sysctls: set in addition to those of the interfaces.
            now: the clock for lifetimes, in seconds. Expired addresses stay until `expire`.
        """
        self.writes: list[tuple[str, str]] = []
        """Canonical name and value of every sysctl that was written through the port, in order."""
        self.translated_flows: list[IPv6Address] = []
        """The translated address of each translated IPv6 flow in conntrack; tests may add some."""
        self.udp_flows: list[tuple[IPv6Address, int]] = []
        """Original destination and port of each IPv6 UDP flow in conntrack; tests may add some."""
        self.served_ports: set[int] = set()
        """TCP ports with connections that clients opened; tests may add some. The kernel does not notify it."""
        self.waiting: dict[str, ContainerSockets] = {}
        """The sockets of containers whose processes can be seen, by id; tests may add some."""
        self._interfaces: dict[str, Interface] = {}
        self._listeners: set[Listener] = set()
        self._routes: list[Route] = list(routes)
        self._rules: list[RoutingRule] = [RoutingRule(0, 255), RoutingRule(32766, 254)]  # as of a new namespace
        self._generation = 1
        self._denied = ""
        self._notifications = Notifications()
        self._sysctls = FakeSysctls(self._notifications)
        self._prefixes = FakePrefixes(now)
        self._proxy_neighbours: dict[tuple[str, IPv6Address], bool] = {}  # whether it is ours
        for interface in interfaces:
            self.add_interface(interface)
        for key, value in (sysctls or {}).items():
            self._sysctls.put(key, value)

    async def sysctl(self, name: str) -> str | None:
        """See `port.HostNet.sysctl`."""
        return self._sysctls.read(name)

    async def set_sysctl(self, name: str, value: str) -> None:
        """See `port.HostNet.set_sysctl`."""
        self._check_permission(f"set sysctl {sysctl.canonical(name)} to {value!r}")
        self.change_sysctl(name, value)
        self.writes.append((sysctl.canonical(name), value))

    async def interfaces(self) -> tuple[Interface, ...]:
        """See `port.HostNet.interfaces`."""
        return tuple(sorted(self._interfaces.values(), key=lambda interface: interface.index))

    async def routes(self) -> tuple[Route, ...]:
        """See `port.HostNet.routes`."""
        return (*self._routes, *self._prefixes.rejecting_routes())

    async def rules(self) -> tuple[RoutingRule, ...]:
        """See `port.HostNet.rules`."""
        return tuple(sorted(self._rules, key=lambda rule: rule.priority))

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """See `port.HostNet.prefixes`."""
        return self._prefixes.prefixes(self._interfaces.values(), self._routes)

    async def proxy_neighbours(self) -> frozenset[ProxyNeighbour]:
        """See `port.HostNet.proxy_neighbours`."""
        return frozenset(ProxyNeighbour(*key, ours) for key, ours in self._proxy_neighbours.items())

    async def add_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.add_proxy_neighbour`."""
        self._check_permission(f"add an NDP proxy entry for {address} to {interface}")
        self._proxy_neighbours.setdefault((self.interface(interface).name, address), True)

    async def remove_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.remove_proxy_neighbour`."""
        self._check_permission(f"remove the NDP proxy entry for {address} from {interface}")
        self._proxy_neighbours.pop((interface, address), None)

    async def set_link_up(self, interface: str) -> None:
        """See `port.HostNet.set_link_up`."""
        self._check_permission(f"set {interface} up")
        self.add_interface(replace(self.interface(interface), up=True))

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """See `port.HostNet.add_address`."""
        self._check_permission(f"add address {address} to {interface}")
        current = self.interface(interface)
        self._prefixes.set_lifetimes(interface, address.ip, None, None, temporary=False)
        proven = replace(
            current, tentative=current.tentative - {address.ip}, dad_failed=current.dad_failed - {address.ip}
        )
        self.add_interface(replace(proven, addresses=tuple(sorted({*current.addresses, address}))))

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """See `port.HostNet.set_hairpin`."""
        self._check_permission(f"set the hairpin mode of {port}")
        current = self.interface(port)
        if current.bridge_port is None:
            raise HostNetError(f"cannot set the hairpin mode of {port}: Operation not supported")
        self.add_interface(replace(current, bridge_port=replace(current.bridge_port, hairpin=on)))

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """See `port.HostNet.set_bridge_netfilter`."""
        self._check_permission(f"set nf_call_ip6tables of {bridge}")
        current = self.interface(bridge)
        if current.kind != BRIDGE:
            raise HostNetError(f"cannot set nf_call_ip6tables of {bridge}: Operation not supported")
        self.add_interface(replace(current, bridge_netfilter=on))

    async def listeners(self) -> frozenset[Listener]:
        """See `port.HostNet.listeners`."""
        return frozenset(self._listeners)

    async def container_sockets(self, containers: Collection[str]) -> Mapping[str, ContainerSockets]:
        """See `port.HostNet.container_sockets`."""
        return {each: found for each, found in self.waiting.items() if each in containers}

    async def served_tcp_ports(self) -> frozenset[int]:
        """See `port.HostNet.served_tcp_ports`."""
        return frozenset(self.served_ports)

    async def delete_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """See `port.HostNet.delete_udp_flows`."""
        self._check_permission("delete conntrack entries")
        before = len(self.udp_flows)
        self.udp_flows = [(to, port) for to, port in self.udp_flows if port not in ports or to not in destinations]
        return before - len(self.udp_flows)

    async def delete_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """See `port.HostNet.delete_translated_flows`."""
        self._check_permission("delete conntrack entries")
        before = len(self.translated_flows)
        self.translated_flows = [a for a in self.translated_flows if not any(a in prefix for prefix in prefixes)]
        return before - len(self.translated_flows)

    async def changes(self) -> AsyncIterator[HostChange]:
        """See `port.HostNet.changes`."""
        async for change in self._notifications.subscribe():
            yield change

    async def close(self) -> None:
        """See `port.HostNet.close`."""
        self._notifications.close()

    # What other programs do

    def interface(self, name: str) -> Interface:
        """An interface.

        Raises:
            HostNetError: the interface does not exist.
        """
        if name not in self._interfaces:
            raise HostNetError(f"No such device: {name}")
        return self._interfaces[name]

    def add_interface(self, interface: Interface) -> None:
        """Add an interface with its sysctls, or replace the one with its name."""
        if interface.name not in self._interfaces:
            self._sysctls.add_interface(interface.name)
        previous = self._interfaces.get(interface.name)
        self._interfaces[interface.name] = interface
        self._prefixes.keep_only(interface.name, [address.ip for address in interface.addresses])
        if previous is not None and previous.up and not interface.up:
            self._drop_proxy_neighbours(interface.name)
        if previous is None or _link_of(previous) != _link_of(interface):
            self._notifications.notify(ChangeKind.LINK, interface.name)
        if (_addresses_of(previous) if previous else _NO_ADDRESSES) != _addresses_of(interface):
            self._notifications.notify(ChangeKind.ADDRESS, interface.name)

    def enslave(self, port: str, bridge: str | None) -> None:
        """Make an interface a bridge port with default settings, or release it (None).

        Raises:
            HostNetError: an interface does not exist.
        """
        current = self.interface(port)
        if bridge is None:
            self.add_interface(replace(current, master=None, bridge_port=None))
        else:
            self.add_interface(replace(current, master=self.interface(bridge).index, bridge_port=BridgePort()))

    def remove_interface(self, name: str) -> None:
        """Remove an interface with its sysctls, addresses and routes; release the ports of a bridge.

        Raises:
            KeyError: the interface does not exist.
        """
        gone = self._interfaces.pop(name)
        self._sysctls.remove_interface(name)
        self._drop_routes(lambda route: route.interface == name)
        self._prefixes.keep_only(name)
        self._drop_proxy_neighbours(name)
        for port in [port for port in self._interfaces.values() if port.master == gone.index]:
            self.enslave(port.name, None)
        if gone.addresses:
            self._notifications.notify(ChangeKind.ADDRESS, name)
        self._notifications.notify(ChangeKind.LINK, name)

    def add_route(self, route: Route) -> None:
        """Add a route."""
        self._routes.append(route)
        self._notifications.notify(ChangeKind.ROUTE, _announced(route))

    def add_rule(self, rule: RoutingRule) -> None:
        """Add a routing policy rule."""
        self._rules.append(rule)
        self._notifications.notify(ChangeKind.ROUTE, "")

    def remove_rule(self, rule: RoutingRule) -> None:
        """Remove a routing policy rule.

        Raises:
            ValueError: the rule does not exist.
        """
        self._rules.remove(rule)
        self._notifications.notify(ChangeKind.ROUTE, "")

    def remove_route(self, route: Route) -> None:
        """Remove a route.

        Raises:
            ValueError: the route does not exist.
        """
        self._routes.remove(route)
        self._notifications.notify(ChangeKind.ROUTE, _announced(route))

    def advertise(
        self,
        interface: str,
        address: IPv6Interface,
        *,
        preferred: float | None = None,
        valid: float | None = None,
        temporary: bool = False,
    ) -> None:
        """Add an address as a router advertisement or DHCPv6 does, or renew its lifetimes (in seconds).

        Raises:
            HostNetError: the interface does not exist.
        """
        current = self.interface(interface)
        self._prefixes.set_lifetimes(interface, address.ip, preferred, valid, temporary=temporary)
        self._set_addresses(current, {*current.addresses, address})
        self._notifications.notify(ChangeKind.ADDRESS, interface)

    def withdraw(self, interface: str, prefix: IPv6Network) -> None:
        """Remove the interface's addresses in that prefix, and its routes to it.

        Raises:
            HostNetError: the interface does not exist.
        """
        current = self.interface(interface)
        self._set_addresses(current, {address for address in current.addresses if address.network != prefix})
        self._drop_routes(lambda route: route.interface == interface and route.destination == prefix)

    def expire(self) -> None:
        """Remove the addresses whose valid lifetime has ended, as the kernel does."""
        for name, expired in self._prefixes.expired():
            current = self.interface(name)
            self._set_addresses(current, {address for address in current.addresses if address.ip != expired})

    def delegate(self, prefix: IPv6Network, valid: float | None = None, *, by_dhcp: bool = True) -> None:
        """Delegate a prefix to a DHCPv6 client (RFC 8415, 18.2.10.1), or renew its lifetime (in seconds).

        With ``by_dhcp`` false, the rejecting route is a manual one. The kernel, at least up to 6.18, reports no
        lifetime of such routes; the fake can.
        """
        self._prefixes.delegate(prefix, valid, by_dhcp=by_dhcp)
        self._notifications.notify(ChangeKind.ROUTE, "")

    def undelegate(self, prefix: IPv6Network) -> None:
        """End a delegation.

        Raises:
            KeyError: the prefix is not delegated.
        """
        self._prefixes.undelegate(prefix)
        self._notifications.notify(ChangeKind.ROUTE, "")

    def add_other_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """Another program adds an NDP proxy entry; an existing one stays as it is. The kernel does not notify it.

        Raises:
            HostNetError: the interface does not exist.
        """
        self._proxy_neighbours.setdefault((self.interface(interface).name, address), False)

    def drop_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """Another program removes any NDP proxy entry. The kernel does not notify it.

        Raises:
            KeyError: the entry does not exist.
        """
        del self._proxy_neighbours[interface, address]

    def change_sysctl(self, name: str, value: str) -> None:
        """Another program writes a sysctl, with all effects that it has in the kernel.

        Raises:
            ValueError: not the name of a sysctl.
            HostNetError: no such key, or not a number.
        """
        path, value = self._sysctls.write(name, value, self._interfaces)
        if path.endswith("/forwarding") and value != "0":
            self._purge_advertised_routes()

    def set_boot_id(self, value: str) -> None:
        """The kernel has started with this boot id."""
        self._sysctls.put("kernel.random.boot_id", value)

    def listen(self, *listeners: Listener) -> None:
        """Open sockets. The kernel does not notify it."""
        self._listeners.update(listeners)

    def stop_listening(self, *listeners: Listener) -> None:
        """Close sockets, if they exist."""
        self._listeners.difference_update(listeners)

    def commit_firewall(self, *tables: str) -> int:
        """Commit an nf_tables transaction that modifies these tables ("inet dockerv6"). Returns its generation."""
        self._generation += 1
        for table in tables:
            self._notifications.notify(ChangeKind.FIREWALL, table, self._generation)
        return self._generation

    def overflow_notifications(self) -> None:
        """All consumers of `changes` lose notifications."""
        self._notifications.overflow()

    def deny(self, reason: str = "Read-only file system; /proc/sys is mounted read-only") -> None:
        """Refuse all writes through the port."""
        self._denied = reason

    def permit(self) -> None:
        """Allow writes through the port again."""
        self._denied = ""

    def _check_permission(self, what: str) -> None:
        if self._denied:
            raise HostNetPermissionError(f"cannot {what}: {self._denied}")

    def _set_addresses(self, interface: Interface, addresses: Iterable[IPv6Interface]) -> None:
        had = self._prefixes.is_autoconfigured(interface.name)
        own = tuple(sorted(addresses))
        here = {address.ip for address in own}
        tentative, failed = interface.tentative & here, interface.dad_failed & here
        self.add_interface(replace(interface, addresses=own, tentative=tentative, dad_failed=failed))
        has = self._prefixes.is_autoconfigured(interface.name)
        if had or has:
            self.add_interface(replace(self._interfaces[interface.name], autoconfigured=has))

    def _drop_proxy_neighbours(self, interface: str) -> None:
        self._proxy_neighbours = {key: ours for key, ours in self._proxy_neighbours.items() if key[0] != interface}

    def _purge_advertised_routes(self) -> None:
        self._drop_routes(
            lambda route: (
                route.protocol is RouteProtocol.RA
                and route.interface is not None
                and self._sysctls.read(interface_sysctl(route.interface, "accept_ra")) != _ACCEPT_ALWAYS
            )
        )

    def _drop_routes(self, matches: Callable[[Route], bool]) -> None:
        for route in [route for route in self._routes if matches(route)]:
            self.remove_route(route)


def _link_of(interface: Interface) -> Interface:
    """The interface without its addresses and what depends on them."""
    return replace(interface, addresses=(), tentative=frozenset(), dad_failed=frozenset(), autoconfigured=False)


def _addresses_of(interface: Interface) -> tuple[object, ...]:
    return interface.addresses, interface.tentative, interface.dad_failed


def _announced(route: Route) -> str:
    """The interface of the notification; "" for any: a prefix that rejects may be a delegated one."""
    may_be_delegated = route.rejects and 0 < route.destination.prefixlen <= 64
    return "" if may_be_delegated else route.interface or ""
