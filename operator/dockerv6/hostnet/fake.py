"""A host in memory, for tests and simulations: the port's behaviour, and the kernel's where plans depend on it.

That is: an interface brings its sysctls and takes them along; ``all.forwarding`` sets every interface's, and turning it
on deletes what router advertisements installed, unless accept_ra is 2; forwarding and proxy_ndp are announced, the
other sysctls are not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.changes import Pending
from dockerv6.hostnet.linkinfo import BRIDGE
from dockerv6.hostnet.model import (
    BridgePort,
    Change,
    ChangeKind,
    Interface,
    Listener,
    Route,
    RouteProtocol,
    interface_sysctl,
)
from dockerv6.hostnet.port import HostNetDenied, HostNetError
from dockerv6.hostnet.uplinks import ACCEPT_ALWAYS

_DEFAULTS = {"forwarding": "0", "accept_ra": "1", "proxy_ndp": "0", "disable_ipv6": "0"}
_ANNOUNCED = frozenset({"forwarding", "proxy_ndp"})
_TREE = ("net", "ipv6", "conf")
_EVERYWHERE = ("all", "default")
_NO_ADDRESSES: tuple[object, ...] = ((), frozenset(), frozenset())


class FakeHostNet:
    """Implements `port.HostNet`. The methods that are not the port's act as somebody else on the host would."""

    def __init__(
        self,
        interfaces: Iterable[Interface] = (),
        routes: Iterable[Route] = (),
        sysctls: Mapping[str, str] | None = None,
    ) -> None:
        """A host with these; `sysctls` are set on top of what the interfaces bring."""
        self.writes: list[tuple[str, str]] = []
        """Sysctls written through the port, in order, by canonical name."""
        self.udp_flows: list[tuple[IPv6Address, int]] = []
        """Addresses and ports that the IPv6 UDP flows in conntrack were begun towards; anybody may add to them."""
        self._interfaces: dict[str, Interface] = {}
        self._listeners: set[Listener] = set()
        self._routes: list[Route] = list(routes)
        self._sysctls: dict[str, str] = {}
        self._generation = 1
        self._denied = ""
        self._readers: set[_Reader] = set()
        self._closed = False
        for name in _EVERYWHERE:
            self._bring_sysctls(name, _DEFAULTS)
        for interface in interfaces:
            self.add_interface(interface)
        for key, value in (sysctls or {}).items():
            self._sysctls[sysctl.canonical(key)] = value

    # The port

    async def sysctl(self, name: str) -> str | None:
        """See `port.HostNet.sysctl`."""
        return self._sysctls.get(sysctl.canonical(name))

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

    async def set_up(self, interface: str) -> None:
        """See `port.HostNet.set_up`."""
        self._permit(f"set {interface} up")
        self.add_interface(replace(self._existing(interface), up=True))

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """See `port.HostNet.add_address`."""
        self._permit(f"give {interface} the address {address}")
        there = self._existing(interface)
        proven = replace(there, tentative=there.tentative - {address.ip}, failed=there.failed - {address.ip})
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

    async def forget_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """See `port.HostNet.forget_udp_flows`."""
        self._permit("drop conntrack entries")
        before = len(self.udp_flows)
        self.udp_flows = [(to, port) for to, port in self.udp_flows if port not in ports or to not in destinations]
        return before - len(self.udp_flows)

    async def firewall_generation(self) -> int | None:
        """See `port.HostNet.firewall_generation`."""
        return self._generation

    async def changes(self) -> AsyncIterator[Change]:
        """See `port.HostNet.changes`."""
        reader = _Reader(closed=self._closed)
        self._readers.add(reader)
        try:
            while (change := await reader.take()) is not None:
                yield change
        finally:
            self._readers.discard(reader)

    async def close(self) -> None:
        """See `port.HostNet.close`."""
        self._closed = True
        for reader in self._readers:
            reader.close()

    # Everybody else on the host

    def add_interface(self, interface: Interface) -> None:
        """It appears, with its sysctls, or is replaced by this one if there is one of its name."""
        if interface.name not in self._interfaces:
            inherited = {key: self._sysctls[interface_sysctl("default", key)] for key in _DEFAULTS}
            self._bring_sysctls(interface.name, inherited)
            self._announce(ChangeKind.SYSCTL, interface.name)
        previous = self._interfaces.get(interface.name)
        self._interfaces[interface.name] = interface
        if previous is None or _link_of(previous) != _link_of(interface):
            self._announce(ChangeKind.LINK, interface.name)
        if (_addresses_of(previous) if previous else _NO_ADDRESSES) != _addresses_of(interface):
            self._announce(ChangeKind.ADDRESS, interface.name)

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
        prefix = interface_sysctl(name, "")
        self._sysctls = {key: value for key, value in self._sysctls.items() if not key.startswith(prefix)}
        self._drop_routes(lambda route: route.interface == name)
        for port in [port for port in self._interfaces.values() if port.master == gone.index]:
            self.enslave(port.name, None)
        if gone.addresses:
            self._announce(ChangeKind.ADDRESS, name)
        self._announce(ChangeKind.LINK, name)

    def add_route(self, route: Route) -> None:
        """A route appears."""
        self._routes.append(route)
        self._announce(ChangeKind.ROUTE, route.interface or "")

    def remove_route(self, route: Route) -> None:
        """A route goes.

        Raises:
            ValueError: there is none like it.
        """
        self._routes.remove(route)
        self._announce(ChangeKind.ROUTE, route.interface or "")

    def flip_sysctl(self, name: str, value: str) -> None:
        """Somebody writes a sysctl, with all that the kernel does upon it; nobody is denied.

        Raises:
            ValueError: not a name of a sysctl.
            HostNetError: no such key, or not a number.
        """
        path = sysctl.canonical(name)
        if path not in self._sysctls:
            raise HostNetError(f"can't set sysctl {path} to {value!r}: the kernel has no such key")
        try:
            value = str(int(value))
        except ValueError as error:
            raise HostNetError(f"can't set sysctl {path} to {value!r}: Invalid argument") from error
        for written in self._reached_by(path):
            self._write(written, value)
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
            self._announce(ChangeKind.FIREWALL, table, self._generation)
        return self._generation

    def lose_changes(self) -> None:
        """The readers' sockets overflow."""
        for reader in self._readers:
            reader.lose()

    def deny(self, reason: str = "Read-only file system; /proc/sys is mounted read-only") -> None:
        """From now on the port's writes are refused."""
        self._denied = reason

    def permit(self) -> None:
        """The port's writes work (again)."""
        self._denied = ""

    def _permit(self, what: str) -> None:
        if self._denied:
            raise HostNetDenied(f"can't {what}: {self._denied}")

    def _existing(self, interface: str) -> Interface:
        if interface not in self._interfaces:
            raise HostNetError(f"No such device: {interface}")
        return self._interfaces[interface]

    def _bring_sysctls(self, interface: str, values: Mapping[str, str]) -> None:
        self._sysctls.update({interface_sysctl(interface, key): value for key, value in values.items()})

    def _reached_by(self, path: str) -> tuple[str, ...]:
        if path == interface_sysctl("all", "forwarding"):
            return tuple(interface_sysctl(name, "forwarding") for name in (*_EVERYWHERE, *self._interfaces))
        return (path,)

    def _write(self, path: str, value: str) -> None:
        *tree, interface, key = path.split("/")
        changed = self._sysctls[path] != value
        self._sysctls[path] = value
        if changed and tuple(tree) == _TREE and key in _ANNOUNCED:
            self._announce(ChangeKind.SYSCTL, interface)

    def _forget_advertised(self) -> None:
        self._drop_routes(
            lambda route: (
                route.protocol is RouteProtocol.RA
                and route.interface is not None
                and self._sysctls.get(interface_sysctl(route.interface, "accept_ra")) != ACCEPT_ALWAYS
            )
        )

    def _drop_routes(self, doomed: Callable[[Route], bool]) -> None:
        for route in [route for route in self._routes if doomed(route)]:
            self.remove_route(route)

    def _announce(self, kind: ChangeKind, subject: str, generation: int | None = None) -> None:
        for reader in self._readers:
            reader.add(kind, subject, generation)


def _link_of(interface: Interface) -> Interface:
    """Without what addresses tell of it."""
    return replace(interface, addresses=(), tentative=frozenset(), failed=frozenset(), autoconfigured=False)


def _addresses_of(interface: Interface) -> tuple[object, ...]:
    return interface.addresses, interface.tentative, interface.failed


class _Reader:
    """One iteration of changes."""

    def __init__(self, *, closed: bool) -> None:
        self._pending = Pending()
        self._pending.lose()
        self._closed = closed
        self._wake = asyncio.Event()

    async def take(self) -> Change | None:
        while not self._pending and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        return None if self._closed else self._pending.take()

    def add(self, kind: ChangeKind, subject: str, generation: int | None) -> None:
        self._pending.add(kind, subject, generation)
        self._wake.set()

    def lose(self) -> None:
        self._pending.lose()
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
