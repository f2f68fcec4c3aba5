"""A Docker host without Docker: bridges with one container each, and an outside world behind two uplinks.

    blog, shop (managed), db (not) --- br-*  router  eth0, wg0 --- world

The world has routes to all containers, so that untranslated packets are answered too. The source address that the world
sees distinguishes them. Addresses are from 2001:db8::/32 (RFC 3849) and from fd12::/16.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.namespace import Namespace

UPLINKS = {"eth0": "2001:db8:0:1", "wg0": "2001:db8:0:2"}
ROUTER = {name: f"{prefix}::1" for name, prefix in UPLINKS.items()}
"""The router's own address on each uplink: what the world sees of a masqueraded packet."""

WORLD = {"eth0": "2001:db8:ffff::1", "wg0": "2001:db8:eeee::1"}
"""An address of the world that is reached through each uplink."""

SUBNETS = {"blog": "fd12:3456:789a:1", "shop": "fd12:3456:789a:2", "db": "fd12:3456:789a:9"}
CONTAINERS = {name: f"{prefix}::2" for name, prefix in SUBNETS.items()}
NEIGHBOUR = f"{SUBNETS['blog']}::3"
"""Another container on blog's bridge, where a test adds one."""

_Got = TypeVar("_Got")

_PORT = 5300
_TRIES = 5
_ANSWERS = count(1)
_TIMEOUT = 30.0
"""Seconds to wait for what must come; nothing is ever waited for that must not come."""


@dataclass
class Topology:
    """The connected namespaces."""

    router: Namespace
    world: Namespace
    containers: dict[str, Namespace] = field(default_factory=dict)
    uplink_is_bridge: bool = False

    @classmethod
    def make(cls, make_netns: Callable[[], Namespace], *, uplink_is_bridge: bool = False) -> Topology:
        made = cls(make_netns(), make_netns(), uplink_is_bridge=uplink_is_bridge)
        for namespace in (made.router, made.world):
            _settle(namespace)
        for uplink in UPLINKS:
            made._join_world(uplink)
        made.router.exec("ip", "-6", "route", "add", "default", "via", f"{UPLINKS['eth0']}::2")
        made.router.exec("ip", "-6", "route", "add", "2001:db8:eeee::/48", "via", f"{UPLINKS['wg0']}::2")
        made.world.exec("ip", "-6", "route", "add", "fd12::/16", "via", ROUTER["eth0"])
        for name in SUBNETS:
            made.containers[name] = make_netns()
            _settle(made.containers[name])
            made._join_container(name)
        made.router.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        made._await_links()
        return made

    def _await_links(self) -> None:
        """Wait until every link passes packets: a bridge notices a port's carrier up to a second later."""
        neighbours = [(self.containers[name], f"{prefix}::1") for name, prefix in SUBNETS.items()]
        neighbours += [(self.world, f"{prefix}::1") for prefix in UPLINKS.values()]
        for namespace, router in neighbours:
            namespace.exec("ping", "-6", "-q", "-c", "1", "-w", "10", router)

    def _join_world(self, uplink: str) -> None:
        prefix = UPLINKS[uplink]
        self.router.exec(*f"ip link add {uplink} type veth peer name {uplink} netns {self.world.name}".split())
        inner = uplink
        if self.uplink_is_bridge and uplink == "eth0":
            inner = "br0"
            self.router.exec("ip", "link", "add", inner, "type", "bridge")
            self.router.exec("ip", "link", "set", uplink, "master", inner)
            self.router.exec("ip", "link", "set", uplink, "up")
        for where, link, host in ((self.router, inner, 1), (self.world, uplink, 2)):
            where.exec(*f"ip address add {prefix}::{host}/64 dev {link} nodad".split())
            where.exec("ip", "link", "set", link, "up")
        self.world.exec(*f"ip address add {WORLD[uplink]}/128 dev lo nodad".split())

    def _join_container(self, name: str) -> None:
        namespace, bridge, prefix = self.containers[name], f"br-{name}", SUBNETS[name]
        self.router.exec("ip", "link", "add", bridge, "type", "bridge")
        self.router.exec(*f"ip address add {prefix}::1/64 dev {bridge} nodad".split())
        self.router.exec("ip", "link", "set", bridge, "up")
        self.attach(namespace, name, name, 2)

    def attach(self, namespace: Namespace, network: str, port: str, host: int) -> None:
        """Connect a container to a network's bridge by a port of that name."""
        prefix = SUBNETS[network]
        self.router.exec(*f"ip link add v-{port} type veth peer name eth0 netns {namespace.name}".split())
        self.router.exec("ip", "link", "set", f"v-{port}", "master", f"br-{network}", "up")
        namespace.exec(*f"ip address add {prefix}::{host}/64 dev eth0 nodad".split())
        namespace.exec("ip", "link", "set", "eth0", "up")
        namespace.exec("ip", "-6", "route", "add", "default", "via", f"{prefix}::1")

    def add_neighbour(self, namespace: Namespace) -> None:
        """Add NEIGHBOUR, another container on blog's bridge."""
        _settle(namespace)
        self.containers["neighbour"] = namespace
        self.attach(namespace, "blog", "neighbour", 3)
        namespace.exec("ping", "-6", "-q", "-c", "1", "-w", "10", f"{SUBNETS['blog']}::1")


def _settle(namespace: Namespace) -> None:
    # links are usable at once: no duplicate address detection, no router advertisements
    for name in ("default.accept_dad=0", "all.accept_dad=0", "default.accept_ra=0"):
        namespace.exec("sysctl", "-q", "-w", f"net.ipv6.conf.{name}")


@contextmanager
def endpoint(namespace: Namespace, address: str, port: int = _PORT) -> Iterator[socket.socket]:
    """A UDP socket in a namespace."""
    with namespace.entered():
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with made:
        made.settimeout(_TIMEOUT)
        made.bind((address, port))
        yield made


def received(at: socket.socket) -> tuple[str, str]:
    """The next datagram: its text and its source address."""
    text, source = at.recvfrom(100)
    return text.decode(), str(source[0])


def first_datagram(text: str, sender: socket.socket, to: tuple[str, int], receiver: socket.socket) -> tuple[str, str]:
    """Send the first datagram of a flow until it arrives: a busy machine may lose it. Return it as `received` does."""
    return _sent_until(lambda: sender.sendto(text.encode(), to), lambda: received(receiver), receiver)


def exchange(sender: socket.socket, receiver: socket.socket, text: str = "hello") -> str:
    """Exchange one datagram in each direction; return the source address that the receiver saw."""
    sender.sendto(text.encode(), receiver.getsockname())
    got, source = receiver.recvfrom(100)
    assert got.decode() == text, "something came through before"
    answer(receiver, source, sender)
    return str(source[0])


def answer(receiver: socket.socket, to: tuple[str, int], sender: socket.socket) -> tuple[str, int]:
    """Send an answer until it arrives; return the address that it came from.

    On a busy machine, neighbour discovery may give up on the first datagram.
    """
    text = f"answer {next(_ANSWERS)}".encode()
    return _sent_until(lambda: receiver.sendto(text, to), lambda: _source_of(text, sender), sender)


def _sent_until(send: Callable[[], object], receive: Callable[[], _Got], at: socket.socket) -> _Got:
    """Send again until something arrives at this socket; the last `TimeoutError` is raised."""
    at.settimeout(_TIMEOUT / _TRIES)
    try:
        for _ in range(_TRIES - 1):
            send()
            with suppress(TimeoutError):
                return receive()
        send()
        return receive()
    finally:
        at.settimeout(_TIMEOUT)


def _source_of(text: bytes, at: socket.socket) -> tuple[str, int]:
    """Where this datagram came from; those of earlier exchanges, which were sent again, are dropped."""
    while True:
        got, source = at.recvfrom(100)
        if got == text:
            return str(source[0]), int(source[1])
