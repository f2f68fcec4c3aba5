"""A router between a client and a server, in which rules are tried with real packets and with the packet walk.

Nothing is waited for that may not come. After a packet, a frame of a protocol of its own goes the same way, which no
IPv6 filter sees: once it has arrived, the packet has arrived, or never will. That holds since one CPU handles both.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from dockerv6.firewall.hostfilter.reading import FilterReader
from dockerv6.firewall.walk.evaluator import Walk
from dockerv6.firewall.walk.packet import TCP, Flow, Link, Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dockerv6.firewall.walk.verdicts import FlowVerdict
    from tests.lab.namespace import Namespace

CLIENT, SERVER = "2001:db8:0:1::2", "fd12:0:0:1::2"
OUTER, INNER = "2001:db8:0:1::1", "fd12:0:0:1::1"
"""The router's own addresses, towards the client and towards the server."""

PORT, PUBLISHED = 8080, 8081
_ETHERTYPE = 0x88B5  # IEEE 802.1: for local experiments
_TIMEOUT = 30.0
_PORTS = count()
_Got = TypeVar("_Got")


@dataclass(frozen=True)
class Attempt:
    """A flow that is tried: from the client or from the router, to the server or to a port of the router."""

    protocol: int = TCP
    from_router: bool = False
    published: bool = False

    @property
    def flow(self) -> Flow:
        source = CLIENT if not self.from_router else OUTER if self.published else INNER
        return Flow(
            "lab",
            "a flow of the lab",
            IPv6Address(source),
            IPv6Address(OUTER if self.published else SERVER),
            "" if self.from_router else "out",
            self.protocol,
            PUBLISHED if self.published else PORT,
        )


class WalkLab:
    """The connected namespaces, with sockets in them."""

    def __init__(self, client: Namespace, router: Namespace, server: Namespace, stack: ExitStack) -> None:
        self.client, self.router, self.server = client, router, server
        for namespace in (client, router, server):
            for name in ("default.accept_dad=0", "all.accept_dad=0", "default.accept_ra=0"):
                namespace.exec("sysctl", "-q", "-w", f"net.ipv6.conf.{name}")
        self._connect(client, "out", CLIENT, OUTER)
        self._connect(server, "in", SERVER, INNER)
        router.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        self._wires = {
            name: _Wire(stack.enter_context(_frames(there, "eth0")), stack.enter_context(_frames(router, name)))
            for name, there in (("out", client), ("in", server))
        }
        places = [(server, SERVER, port) for port in (PORT, PUBLISHED)]
        places += [(router, own, port) for own in (OUTER, INNER, "::1") for port in (22, PORT, PUBLISHED)]
        self._udp = [stack.enter_context(_socket(*place, socket.SOCK_DGRAM)) for place in places]
        self._tcp = [stack.enter_context(_socket(*place, socket.SOCK_STREAM)) for place in places]
        for each in self._tcp:
            each.listen(64)
        with router.entered():
            self.reader = FilterReader()
            self.reader.nftables.generation()  # opens its socket here
        stack.callback(self.reader.close)
        self.paths = self._paths()

    def _connect(self, there: Namespace, link: str, far: str, near: str) -> None:
        self.router.exec(*f"ip link add {link} type veth peer name eth0 netns {there.name}".split())
        for where, name, own, peer in ((self.router, link, near, far), (there, "eth0", far, near)):
            where.exec(*f"ip address add {own}/64 dev {name} nodad".split())
            where.exec("ip", "link", "set", name, "address", _hardware(own), "up")
            where.exec(*f"ip -6 neighbour replace {peer} lladdr {_hardware(peer)} dev {name} nud permanent".split())
        there.exec("ip", "-6", "route", "add", "default", "via", near)

    def _paths(self) -> Paths:
        with self.router.entered():
            indexes = {name: socket.if_nametoindex(name) for name in ("lo", "out", "in")}
        return Paths(
            {name: Link(name, index, "" if name == "lo" else "veth") for name, index in indexes.items()},
            ((IPv6Network("2001:db8:0:1::/64"), "out"), (IPv6Network("fd12:0:0:1::/64"), "in")),
            {IPv6Address("::1"): "lo", IPv6Address(OUTER): "out", IPv6Address(INNER): "in"},
        )

    def walk(self, attempt: Attempt) -> FlowVerdict:
        """What the packet walk tells of the flow."""
        with self.router.entered():
            chains = self.reader.read()
        return Walk.through(chains, self.paths).follow(attempt.flow)

    def passes(self, attempt: Attempt) -> bool:
        """Whether a packet of the flow arrives at the server, and its answer at the sender."""
        return self._tcp_passes(attempt) if attempt.protocol == TCP else self._udp_passes(attempt)

    def nft(self, script: str) -> None:
        self._run(["nft", "-f", "-"], script)

    def ip6tables(self, variant: str, script: str) -> None:
        """Replace tables, given as `ip6tables-restore` takes them."""
        self._run([f"ip6tables-{variant}-restore", "-w"], script)

    def _run(self, program: list[str], script: str) -> None:
        with self.router.entered():
            done = subprocess.run(program, input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{script}"

    def _sender(self, attempt: Attempt, kind: int, number: int) -> socket.socket:
        where = self.router if attempt.from_router else self.client
        with where.entered():
            made = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # nothing is sent again
        made.bind((str(attempt.flow.source), number))
        return made

    def _udp_passes(self, attempt: Attempt) -> bool:
        to, number = (str(attempt.flow.destination), attempt.flow.port), _next_port()
        with self._sender(attempt, socket.SOCK_DGRAM, number) as sender:
            for nth in range(2):
                text = f"{number} {nth}".encode()
                with suppress(OSError):  # a rule refused it, or an earlier one was answered with an error
                    sender.sendto(text, to)
                self._settle(inwards=True)
                came = _first(self._udp, lambda each: (each, *each.recvfrom(100)), partial(_has_text, text))
                if came is None:
                    return False
                with suppress(OSError):
                    came[0].sendto(b"answer", came[2])
                self._settle(inwards=False)
                if _first([sender], lambda each: each.recv(100), lambda got: got == b"answer") is None:
                    return False
        return True

    def _tcp_passes(self, attempt: Attempt) -> bool:
        to, number = (str(attempt.flow.destination), attempt.flow.port), _next_port()
        with self._sender(attempt, socket.SOCK_STREAM, number) as sender:
            if sender.connect_ex(to) not in {0, errno.EINPROGRESS}:
                return False
            for inwards in (True, False, True):
                self._settle(inwards=inwards)
            accepted = _first(self._tcp, lambda each: each.accept(), lambda got: got[1][1] == number)
            if accepted is None:
                return False
            accepted[0].close()
        return True

    def _settle(self, *, inwards: bool) -> None:
        """Wait until everything that was sent has arrived."""
        for name in ("out", "in") if inwards else ("in", "out"):
            self._wires[name].pass_frame(to_router=(name == "out") is inwards)


def _has_text(text: bytes, got: tuple[socket.socket, bytes, object]) -> bool:
    return got[1] == text


def _next_port() -> int:
    """A source port, which tells the packets of this flow from those of earlier ones that were sent again."""
    return 20_000 + next(_PORTS) % 40_000


def _first(
    sockets: list[socket.socket], receive: Callable[[socket.socket], _Got], wanted: Callable[[_Got], bool]
) -> _Got | None:
    """The first of what the sockets have that is wanted; the rest before it is thrown away."""
    for each in sockets:
        with suppress(OSError):
            while True:
                got = receive(each)
                if wanted(got):
                    return got
    return None


class _Wire:
    """Both ends of a link."""

    def __init__(self, far: socket.socket, near: socket.socket) -> None:
        self._far, self._near = far, near

    def pass_frame(self, *, to_router: bool) -> None:
        sender, receiver = (self._far, self._near) if to_router else (self._near, self._far)
        sender.send(b"\xff" * 12 + _ETHERTYPE.to_bytes(2, "big") + bytes(46))
        receiver.recv(100)


@contextmanager
def _frames(namespace: Namespace, link: str) -> Iterator[socket.socket]:
    with namespace.entered():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
        made.bind((link, _ETHERTYPE))
    with made:
        made.settimeout(_TIMEOUT)
        yield made


@contextmanager
def _socket(namespace: Namespace, address: str, port: int, kind: int) -> Iterator[socket.socket]:
    with namespace.entered():
        made = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    with made:
        made.bind((address, port))
        yield made


def _hardware(address: str) -> str:
    """A hardware address for an IPv6 address."""
    raw = IPv6Address(address).packed
    return ":".join(f"{each:02x}" for each in (2, 0, raw[0], raw[1], raw[7], raw[15]))


@contextmanager
def opened_lab(make_netns: Callable[[], Namespace]) -> Iterator[WalkLab]:
    """A lab, whose packets and frames are handled by one CPU."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        with ExitStack() as stack:
            yield WalkLab(make_netns(), make_netns(), make_netns(), stack)
    finally:
        os.sched_setaffinity(0, cpus)
