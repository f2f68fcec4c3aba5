"""A host in memory, for tests and simulations: the port's behaviour, and the kernel's where plans depend on it.

That is: an interface brings its sysctls and takes them along; ``all.forwarding`` sets every interface's, and turning it
on deletes what router advertisements installed, unless accept_ra is 2; forwarding and proxy_ndp are announced, the
other sysctls are not.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.linkinfo import BRIDGE
from dockerv6.hostnet.model import (
    BridgePort,
    ChangeKind,
    HostChange,
    HostPrefix,
    Interface,
    Listener,
    ProxyNeighbour,
    Route,
    RouteProtocol,
    interface_sysctl,
)
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from dockerv6.hostnet.sysctl import ACCEPT_ALWAYS
from tests.fakes.hostnet.changes import Announcements
from tests.fakes.hostnet.prefixes import FakePrefixes
from tests.fakes.hostnet.sysctls import FakeSysctls

_NO_ADDRESSES: tuple[object, ...] = ((), frozenset(), frozenset())


def _standstill() -> float:
    return 0.0


class FakeHostNet:
    """Implements `port.HostNet`. The methods that are not the port's act as somebody else on the host would."""

    def __init__(
        self,
        interfaces: Iterable[Interface] = (),
        routes: Iterable[Route] = (),
        sysctls: Mapping[str, str] | None = None,
        now: Callable[[], float] = _standstill,
    ) -> None:
        """A host with these.

        Args:
            interfaces: those that it begins with.
            routes: likewise.
            sysctls: set on top of what the interfaces bring.
            now: seconds; lifetimes run by it. What has run out is there until `expire`.
        """
        self.writes: list[tuple[str, str]] = []
        """Sysctls written through the port, in order, by canonical name."""
        self.translated_flows: list[IPv6Address] = []
        """The outer address of each translated IPv6 flow in conntrack; anybody may add to them."""
        self.udp_flows: list[tuple[IPv6Address, int]] = []
        """Addresses and ports that the IPv6 UDP flows in conntrack were begun towards; anybody may add to them."""
        self._interfaces: dict[str, Interface] = {}
        self._listeners: set[Listener] = set()
        self._routes: list[Route] = list(routes)
        self._generation = 1
        self._denied = ""
        self._changes = Announcements()
        self._sysctls = FakeSysctls(self._changes)
        self._prefixes = FakePrefixes(now)
        self._proxies: dict[tuple[str, IPv6Address], bool] = {}  # whether it is ours
        for interface in interfaces:
            self.add_interface(interface)
        for key, value in (sysctls or {}).items():
            self._sysctls.put(key, value)

    # The port

    async def sysctl(self, name: str) -> str | None:
        """See `port.HostNet.sysctl`."""
        return self._sysctls.read(name)

    async def set_sysctl(self, name: str, value: str) -> None:
        """See `port.HostNet.set_sysctl`."""
        self._permit(f"set sysctl {sysctl.canonical(name)} to {value!r}")
        self.flip_sysctl(name, value)
        self.writes.append((sysctl.canonical(name), value))

    async def interfaces(self) -> tuple[Interface, ...]:
        """See `port.HostNet.interfaces`."""
        return tuple(sorted(self._interfaces.values(), key=lambda interface: interface.index))

    async def routes(self) -> tuple[Route, ...]:
        """See `port.HostNet.routes`."""
        return tuple(self._routes)

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """See `port.HostNet.prefixes`."""
        return self._prefixes.told(self._interfaces.values(), self._routes)

    async def proxy_neighbours(self) -> frozenset[ProxyNeighbour]:
        """See `port.HostNet.proxy_neighbours`."""
        return frozenset(ProxyNeighbour(*key, ours) for key, ours in self._proxies.items())

    async def add_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.add_proxy_neighbour`."""
        self._permit(f"answer for {address} on {interface}")
        self._proxies.setdefault((self._existing(interface).name, address), True)

    async def remove_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.remove_proxy_neighbour`."""
        self._permit(f"answer no more for {address} on {interface}")
        self._proxies.pop((interface, address), None)

    async def set_link_up(self, interface: str) -> None:
        """See `port.HostNet.set_link_up`."""
        self._permit(f"set {interface} up")
        self.add_interface(replace(self._existing(interface), up=True))

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """See `port.HostNet.add_address`."""
        self._permit(f"give {interface} the address {address}")
        there = self._existing(interface)
        self._prefixes.limit(interface, address.ip, None, None, temporary=False)
        proven = replace(there, tentative=there.tentative - {address.ip}, dad_failed=there.dad_failed - {address.ip})
        self.add_interface(replace(proven, addresses=tuple(sorted({*there.addresses, address}))))

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """See `port.HostNet.set_hairpin`."""
        self._permit(f"set hairpin mode of {port}")
        there = self._existing(port)
        if there.bridge_port is None:
            raise HostNetError(f"can't set hairpin mode of {port}: Operation not supported")
        self.add_interface(replace(there, bridge_port=replace(there.bridge_port, hairpin=on)))

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """See `port.HostNet.set_bridge_netfilter`."""
        self._permit(f"set nf_call_ip6tables of {bridge}")
        there = self._existing(bridge)
        if there.kind != BRIDGE:
            raise HostNetError(f"can't set nf_call_ip6tables of {bridge}: Operation not supported")
        self.add_interface(replace(there, bridge_netfilter=on))

    async def listeners(self) -> frozenset[Listener]:
        """See `port.HostNet.listeners`."""
        return frozenset(self._listeners)

    async def delete_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """See `port.HostNet.delete_udp_flows`."""
        self._permit("drop conntrack entries")
        before = len(self.udp_flows)
        self.udp_flows = [(to, port) for to, port in self.udp_flows if port not in ports or to not in destinations]
        return before - len(self.udp_flows)

    async def delete_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """See `port.HostNet.delete_translated_flows`."""
        self._permit("drop conntrack entries")
        before = len(self.translated_flows)
        self.translated_flows = [a for a in self.translated_flows if not any(a in prefix for prefix in prefixes)]
        return before - len(self.translated_flows)

    async def changes(self) -> AsyncIterator[HostChange]:
        """See `port.HostNet.changes`."""
        async for change in self._changes.follow():
            yield change

    async def close(self) -> None:
        """See `port.HostNet.close`."""
        self._changes.close()

    # Everybody else on the host

    def add_interface(self, interface: Interface) -> None:
        """It appears, with its sysctls, or is replaced by this one if there is one of its name."""
        if interface.name not in self._interfaces:
            self._sysctls.add_interface(interface.name)
        previous = self._interfaces.get(interface.name)
        self._interfaces[interface.name] = interface
        self._prefixes.forget(interface.name, but=[address.ip for address in interface.addresses])
        if previous is not None and previous.up and not interface.up:
            self._drop_proxies(interface.name)
        if previous is None or _link_of(previous) != _link_of(interface):
            self._changes.announce(ChangeKind.LINK, interface.name)
        if (_addresses_of(previous) if previous else _NO_ADDRESSES) != _addresses_of(interface):
            self._changes.announce(ChangeKind.ADDRESS, interface.name)

    def enslave(self, port: str, bridge: str | None) -> None:
        """An interface becomes a bridge's port, with settings as new; or (None) it is released.

        Raises:
            HostNetError: there is none of that name.
        """
        there = self._existing(port)
        if bridge is None:
            self.add_interface(replace(there, master=None, bridge_port=None))
        else:
            self.add_interface(replace(there, master=self._existing(bridge).index, bridge_port=BridgePort()))

    def remove_interface(self, name: str) -> None:
        """It goes, with its sysctls, addresses and routes; the ports of a bridge are released.

        Raises:
            KeyError: there is none.
        """
        gone = self._interfaces.pop(name)
        self._sysctls.remove_interface(name)
        self._drop_routes(lambda route: route.interface == name)
        self._prefixes.forget(name)
        self._drop_proxies(name)
        for port in [port for port in self._interfaces.values() if port.master == gone.index]:
            self.enslave(port.name, None)
        if gone.addresses:
            self._changes.announce(ChangeKind.ADDRESS, name)
        self._changes.announce(ChangeKind.LINK, name)

    def add_route(self, route: Route) -> None:
        """A route appears."""
        self._routes.append(route)
        self._changes.announce(ChangeKind.ROUTE, route.interface or "")

    def remove_route(self, route: Route) -> None:
        """A route goes.

        Raises:
            ValueError: there is none like it.
        """
        self._routes.remove(route)
        self._changes.announce(ChangeKind.ROUTE, route.interface or "")

    def advertise(
        self,
        interface: str,
        address: IPv6Interface,
        *,
        preferred: float | None = None,
        valid: float | None = None,
        temporary: bool = False,
    ) -> None:
        """An address comes, as of a router advertisement or DHCPv6, or its lifetimes (seconds) are new.

        Raises:
            HostNetError: there is no such interface.
        """
        there = self._existing(interface)
        self._prefixes.limit(interface, address.ip, preferred, valid, temporary=temporary)
        self._set_addresses(there, {*there.addresses, address})
        self._changes.announce(ChangeKind.ADDRESS, interface)

    def withdraw(self, interface: str, prefix: IPv6Network) -> None:
        """The interface's addresses of that prefix go at once, and its routes to it.

        Raises:
            HostNetError: there is no such interface.
        """
        there = self._existing(interface)
        self._set_addresses(there, {address for address in there.addresses if address.network != prefix})
        self._drop_routes(lambda route: route.interface == interface and route.destination == prefix)

    def expire(self) -> None:
        """The addresses whose valid lifetime is over go, as the kernel has it done."""
        for name, doomed in self._prefixes.ended():
            there = self._existing(name)
            self._set_addresses(there, {address for address in there.addresses if address.ip != doomed})

    def delegate(self, prefix: IPv6Network, valid: float | None = None, *, by_dhcp: bool = True) -> None:
        """A DHCPv6 client gets a prefix (RFC 8415, 18.2.10.1), or its lifetime (seconds) is new.

        With ``by_dhcp`` false a person makes the route to nowhere.

        The kernel, up to 6.18 at least, tells no lifetime of such routes.
        """
        self._prefixes.delegate(prefix, valid, by_dhcp=by_dhcp)
        self._changes.announce(ChangeKind.ROUTE, "")

    def undelegate(self, prefix: IPv6Network) -> None:
        """The delegated prefix is lost.

        Raises:
            KeyError: it was not delegated.
        """
        self._prefixes.undelegate(prefix)
        self._changes.announce(ChangeKind.ROUTE, "")

    def answer_for(self, interface: str, address: IPv6Address) -> None:
        """Somebody else has the kernel answer for an address; what is there stays as it is. Nothing is announced.

        Raises:
            HostNetError: there is no such interface.
        """
        self._proxies.setdefault((self._existing(interface).name, address), False)

    def stop_answering_for(self, interface: str, address: IPv6Address) -> None:
        """Somebody else removes a proxy neighbour, anybody's. Nothing is announced.

        Raises:
            KeyError: there is none.
        """
        del self._proxies[interface, address]

    def flip_sysctl(self, name: str, value: str) -> None:
        """Somebody writes a sysctl, with all that the kernel does upon it; nobody is denied.

        Raises:
            ValueError: not a name of a sysctl.
            HostNetError: no such key, or not a number.
        """
        path, value = self._sysctls.write(name, value, self._interfaces)
        if path.endswith("/forwarding") and value != "0":
            self._forget_advertised()

    def listen(self, *listeners: Listener) -> None:
        """Sockets of the host begin to wait. Nothing is announced, as in the kernel."""
        self._listeners.update(listeners)

    def stop_listening(self, *listeners: Listener) -> None:
        """They are closed; those that were not there do no harm."""
        self._listeners.difference_update(listeners)

    def change_firewall(self, *tables: str) -> int:
        """Somebody commits an nf_tables transaction that touches these tables ("inet dockerv6"); its generation."""
        self._generation += 1
        for table in tables:
            self._changes.announce(ChangeKind.FIREWALL, table, self._generation)
        return self._generation

    def lose_changes(self) -> None:
        """The readers' sockets overflow."""
        self._changes.lose()

    def deny(self, reason: str = "Read-only file system; /proc/sys is mounted read-only") -> None:
        """From now on the port's writes are refused."""
        self._denied = reason

    def permit(self) -> None:
        """The port's writes work (again)."""
        self._denied = ""

    def _permit(self, what: str) -> None:
        if self._denied:
            raise HostNetPermissionError(f"can't {what}: {self._denied}")

    def _existing(self, interface: str) -> Interface:
        if interface not in self._interfaces:
            raise HostNetError(f"No such device: {interface}")
        return self._interfaces[interface]

    def _set_addresses(self, interface: Interface, addresses: Iterable[IPv6Interface]) -> None:
        had = self._prefixes.is_autoconfigured(interface.name)
        own = tuple(sorted(addresses))
        here = {address.ip for address in own}
        tentative, failed = interface.tentative & here, interface.dad_failed & here
        self.add_interface(replace(interface, addresses=own, tentative=tentative, dad_failed=failed))
        has = self._prefixes.is_autoconfigured(interface.name)
        if had or has:
            self.add_interface(replace(self._interfaces[interface.name], autoconfigured=has))

    def _drop_proxies(self, interface: str) -> None:
        self._proxies = {key: ours for key, ours in self._proxies.items() if key[0] != interface}

    def _forget_advertised(self) -> None:
        self._drop_routes(
            lambda route: (
                route.protocol is RouteProtocol.RA
                and route.interface is not None
                and self._sysctls.read(interface_sysctl(route.interface, "accept_ra")) != ACCEPT_ALWAYS
            )
        )

    def _drop_routes(self, doomed: Callable[[Route], bool]) -> None:
        for route in [route for route in self._routes if doomed(route)]:
            self.remove_route(route)


def _link_of(interface: Interface) -> Interface:
    """Without what addresses tell of it."""
    return replace(interface, addresses=(), tentative=frozenset(), dad_failed=frozenset(), autoconfigured=False)


def _addresses_of(interface: Interface) -> tuple[object, ...]:
    return interface.addresses, interface.tentative, interface.dad_failed
