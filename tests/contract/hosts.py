"""The hosts that the contract suite of the host port runs on: the fake and a network namespace."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Protocol

import pytest

from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.model import (
    BridgePort,
    ChangeKind,
    HostChange,
    Interface,
    Listener,
    Route,
    RouteProtocol,
    RoutingRule,
)
from dockerv6.hostnet.port import HostNet
from tests.fakes.hostnet.host import FakeHostNet
from tests.host.network import ip, nft, private_network, set_sysctl

HOSTS = (pytest.param("fake"), pytest.param("linux", marks=pytest.mark.host))

TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class World(Protocol):
    """What other programs do on the host."""

    @property
    def net(self) -> HostNet: ...
    def add_bridge(self, name: str) -> None: ...
    def add_veth(self, name: str) -> None: ...
    def add_address(self, name: str, address: IPv6Interface) -> None: ...
    def remove_bridge(self, name: str) -> None: ...
    def add_route(self, name: str, destination: IPv6Network, protocol: RouteProtocol) -> None: ...
    def add_rule(self, rule: RoutingRule, *arguments: str) -> None: ...
    def reject(self, kind: str, destination: IPv6Network) -> None: ...
    def stop_rejecting(self, kind: str, destination: IPv6Network) -> None: ...
    def set_sysctl(self, name: str, value: str) -> None: ...
    def commit(self, table: str) -> None: ...
    def enslave(self, port: str, bridge: str) -> None: ...
    def release(self, port: str) -> None: ...
    def unset_hairpin(self, port: str) -> None: ...
    def add_tentative_address(self, veth: str, address: IPv6Interface) -> None: ...
    def finish_address_detection(self, veth: str) -> None: ...
    def listen(self, listener: Listener) -> None: ...
    def close_sockets(self) -> None: ...
    def serve_client(self, port: int) -> None: ...
    def start_udp_flow(self, to: IPv6Address, port: int) -> None: ...
    def start_translated_flow(self, translated: IPv6Address) -> None: ...
    def advertise(self, name: str, address: IPv6Interface, preferred: int, valid: int) -> None: ...
    def withdraw(self, name: str, address: IPv6Interface) -> None: ...
    def delegate(self, prefix: IPv6Network) -> None: ...
    def undelegate(self, prefix: IPv6Network) -> None: ...
    def add_other_proxy_neighbour(self, name: str, address: IPv6Address) -> None: ...
    def drop_proxy_neighbour(self, name: str, address: IPv6Address) -> None: ...
    def set_down(self, name: str) -> None: ...


@dataclass
class FakeWorld:
    net: FakeHostNet = field(default_factory=FakeHostNet)
    created: int = 0  # interfaces
    listeners: list[Listener] = field(default_factory=list)

    def add_bridge(self, name: str) -> None:
        self._add(name, "bridge")

    def add_veth(self, name: str) -> None:
        self._add(name, "veth")

    def _add(self, name: str, kind: str) -> None:
        self.created += 1
        self.net.add_interface(Interface(index=self.created, name=name, kind=kind, up=True, mtu=1500))

    def _change(self, name: str, **changes: object) -> None:
        self.net.add_interface(replace(self.net.interface(name), **changes))  # type: ignore[arg-type]

    def add_address(self, name: str, address: IPv6Interface) -> None:
        self._change(name, addresses=(address,))

    def remove_bridge(self, name: str) -> None:
        self.net.remove_interface(name)

    def add_route(self, name: str, destination: IPv6Network, protocol: RouteProtocol) -> None:
        self.net.add_route(Route(destination, name, protocol, table=254, metric=77))

    def reject(self, kind: str, destination: IPv6Network) -> None:
        self.net.add_route(Route(destination, "lo", RouteProtocol.STATIC, table=254, metric=77, rejects=kind))

    def stop_rejecting(self, kind: str, destination: IPv6Network) -> None:
        self.net.remove_route(Route(destination, "lo", RouteProtocol.STATIC, table=254, metric=77, rejects=kind))

    def add_rule(self, rule: RoutingRule, *arguments: str) -> None:
        del arguments  # `rule` says the same
        self.net.add_rule(rule)

    def set_sysctl(self, name: str, value: str) -> None:
        self.net.change_sysctl(name, value)

    def commit(self, table: str) -> None:
        self.net.commit_firewall(table)

    def enslave(self, port: str, bridge: str) -> None:
        self.net.enslave(port, bridge)

    def release(self, port: str) -> None:
        self.net.enslave(port, None)

    def unset_hairpin(self, port: str) -> None:
        self._change(port, bridge_port=BridgePort())

    def add_tentative_address(self, veth: str, address: IPv6Interface) -> None:
        self._change(veth, addresses=(address,), tentative=frozenset({address.ip}))

    def finish_address_detection(self, veth: str) -> None:
        self._change(veth, tentative=frozenset())

    def listen(self, listener: Listener) -> None:
        self.listeners.append(listener)
        self.net.listen(listener)

    def close_sockets(self) -> None:
        self.net.stop_listening(*self.listeners)
        self.net.served_ports.clear()

    def serve_client(self, port: int) -> None:
        self.net.served_ports.add(port)

    def start_udp_flow(self, to: IPv6Address, port: int) -> None:
        self.net.udp_flows.append((to, port))

    def start_translated_flow(self, translated: IPv6Address) -> None:
        self.net.translated_flows.append(translated)

    def advertise(self, name: str, address: IPv6Interface, preferred: int, valid: int) -> None:
        self.net.advertise(name, address, preferred=preferred, valid=valid)

    def withdraw(self, name: str, address: IPv6Interface) -> None:
        self.net.withdraw(name, address.network)

    def delegate(self, prefix: IPv6Network) -> None:
        self.net.delegate(prefix)

    def undelegate(self, prefix: IPv6Network) -> None:
        self.net.undelegate(prefix)

    def add_other_proxy_neighbour(self, name: str, address: IPv6Address) -> None:
        self.net.add_other_proxy_neighbour(name, address)

    def drop_proxy_neighbour(self, name: str, address: IPv6Address) -> None:
        self.net.drop_proxy_neighbour(name, address)

    def set_down(self, name: str) -> None:
        self._change(name, up=False)


@dataclass
class LinuxWorld:
    net: LinuxHostNet = field(default_factory=LinuxHostNet)
    sockets: ExitStack = field(default_factory=ExitStack)

    def add_bridge(self, name: str) -> None:
        ip("link", "add", name, "type", "bridge")
        ip("link", "set", name, "up")

    def add_veth(self, name: str) -> None:
        # its peer is down, so it has no carrier
        ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        ip("link", "set", name, "up")

    def add_address(self, name: str, address: IPv6Interface) -> None:
        ip("address", "add", str(address), "dev", name, "nodad")

    def remove_bridge(self, name: str) -> None:
        ip("link", "delete", name)

    def add_route(self, name: str, destination: IPv6Network, protocol: RouteProtocol) -> None:
        ip("route", "add", str(destination), "dev", name, "metric", "77", "proto", protocol)

    def add_rule(self, rule: RoutingRule, *arguments: str) -> None:
        action = (rule.rejects,) if rule.rejects else ("table", str(rule.table))
        ip("rule", "add", *arguments, "priority", str(rule.priority), *action)

    def reject(self, kind: str, destination: IPv6Network) -> None:
        ip("route", "add", kind, str(destination), "metric", "77", "proto", "static")

    def stop_rejecting(self, kind: str, destination: IPv6Network) -> None:
        ip("route", "del", kind, str(destination), "metric", "77")

    def set_sysctl(self, name: str, value: str) -> None:
        set_sysctl(name, value)

    def commit(self, table: str) -> None:
        nft(f"add table {table}; add chain {table} touched;")

    def enslave(self, port: str, bridge: str) -> None:
        ip("link", "set", port, "master", bridge)

    def release(self, port: str) -> None:
        ip("link", "set", port, "nomaster")

    def unset_hairpin(self, port: str) -> None:
        ip("link", "set", port, "type", "bridge_slave", "hairpin", "off")

    def add_tentative_address(self, veth: str, address: IPv6Interface) -> None:
        # without a carrier, duplicate address detection does not start
        ip("address", "add", str(address), "dev", veth)

    def finish_address_detection(self, veth: str) -> None:
        set_sysctl(f"net/ipv6/neigh/{veth}/retrans_time_ms", "1")
        ip("link", "set", f"{veth}-peer", "up")

    def listen(self, listener: Listener) -> None:
        ip("link", "set", "lo", "up")
        opened = self.sockets.enter_context(socket.socket(socket.AF_INET6, TYPES[listener.protocol]))
        opened.bind((str(listener.address), listener.port))
        if listener.protocol == "tcp":
            opened.listen()

    def close_sockets(self) -> None:
        self.sockets.close()

    def serve_client(self, port: int) -> None:
        ip("link", "set", "lo", "up")
        with socket.create_server(("::1", port), family=socket.AF_INET6) as listening:
            self.sockets.enter_context(socket.create_connection(("::1", port)))
            self.sockets.enter_context(listening.accept()[0])

    def start_udp_flow(self, to: IPv6Address, port: int) -> None:
        ip("link", "set", "lo", "up")
        ip("address", "replace", f"{to}/128", "dev", "lo", "nodad")
        # conntrack is off in a namespace until a rule needs it
        nft(
            "add table inet tracking;"
            "add chain inet tracking out { type filter hook output priority 0; };"
            "add rule inet tracking out ct state new accept;"
        )
        self._send(to, port)

    def start_translated_flow(self, translated: IPv6Address) -> None:
        ip("link", "set", "lo", "up")
        nft(
            "add table inet translating;"
            "add chain inet translating out { type nat hook postrouting priority 100; };"
            f"flush chain inet translating out; add rule inet translating out udp dport 9 snat ip6 to {translated};"
        )
        self._send(IPv6Address("::1"), 9)

    def _send(self, to: IPv6Address, port: int) -> None:
        """Send until the kernel tracks the flow, which may take a moment on a busy machine."""
        sender = self.sockets.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        deadline = time.monotonic() + 30
        while True:
            with suppress(ConnectionRefusedError):
                sender.sendto(b"hello", (str(to), port))
            own_port = sender.getsockname()[1]
            flow = f"dst={to.exploded} sport={own_port} dport={port} "
            if flow in Path("/proc/thread-self/net/nf_conntrack").read_text():
                return
            assert time.monotonic() < deadline, f"the flow to {to} is not tracked"
            time.sleep(0.02)

    def advertise(self, name: str, address: IPv6Interface, preferred: int, valid: int) -> None:
        lifetimes = ("preferred_lft", str(preferred), "valid_lft", str(valid))
        ip("address", "replace", str(address), "dev", name, "nodad", *lifetimes)

    def withdraw(self, name: str, address: IPv6Interface) -> None:
        ip("address", "delete", str(address), "dev", name)
        # the route of an address without a valid lifetime is gone already
        ip("route", "flush", "exact", str(address.network), "dev", name)

    def delegate(self, prefix: IPv6Network) -> None:
        ip("route", "add", "unreachable", str(prefix), "proto", "dhcp")

    def undelegate(self, prefix: IPv6Network) -> None:
        ip("route", "delete", "unreachable", str(prefix), "proto", "dhcp")

    def add_other_proxy_neighbour(self, name: str, address: IPv6Address) -> None:
        ip("neigh", "add", "proxy", str(address), "dev", name)

    def drop_proxy_neighbour(self, name: str, address: IPv6Address) -> None:
        ip("neigh", "delete", "proxy", str(address), "dev", name)

    def set_down(self, name: str) -> None:
        ip("link", "set", name, "down")


@contextmanager
def new_host(kind: str) -> Iterator[FakeWorld | LinuxWorld]:
    """A host with the bridge br0, which is up. The calling thread is in its namespace."""
    with ExitStack() as stack:
        made: FakeWorld | LinuxWorld
        if kind == "fake":
            made = FakeWorld()
        else:
            stack.enter_context(private_network())
            made = LinuxWorld()
            stack.enter_context(made.sockets)
        made.add_bridge("br0")
        yield made


async def subscribed(world: World) -> AsyncIterator[HostChange]:
    """The changes from now on, after the first one, which is LOST."""
    changes = world.net.changes()
    assert await anext(changes) == HostChange(ChangeKind.LOST)
    return changes


async def reported(changes: AsyncIterator[HostChange], kind: ChangeKind, subject: str) -> HostChange:
    """The next change of that kind and subject."""
    return await anext(aiter(change async for change in changes if (change.kind, change.subject) == (kind, subject)))
