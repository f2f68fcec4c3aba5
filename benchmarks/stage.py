"""A neighbour and a container, and between them one host for each ruleset to compare.

    neighbour ---- eth<n>  host n  br-probe ---- container

One program in the neighbour opens all flows and one in the container answers them, or the reverse, each on its own CPU:
two measurements differ only in the host on the path. Addresses are from 2001:db8::/32 (RFC 3849) and a unique local
prefix.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from dockerv6.lib.netlink import NETLINK_NETFILTER
from tests.lab.process import end

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

    from benchmarks.bench import Bench
    from tests.lab.namespace import Namespace

Protocol = Literal["tcp", "udp"]

BRIDGE = "br-probe"
SERVED = 8000
"""The port of the server."""

_FLOWS = str(Path(__file__).with_name("flows.py"))
_AT_ONCE = (
    "default.accept_dad=0",
    "all.accept_dad=0",
    "default.accept_ra=0",
)  # links are usable without duplicate address detection
_CTNETLINK_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE; with no tuple: all
_REQUEST_ACK = 1 | 4
_ERROR = struct.Struct("=IHHIIi")


@dataclass(frozen=True, slots=True)
class Flood:
    """The results of one slice."""

    flows: int
    lost: int
    seconds: float

    @property
    def rate(self) -> float:
        """Flows per second."""
        return self.flows / self.seconds


class Host:
    """One host namespace with the bridge of the probed network."""

    def __init__(self, number: int, namespace: Namespace) -> None:
        """Describe the host of that number; the stage connects it."""
        self.namespace = namespace
        self.link = f"eth{number}"
        self.subnet = IPv6Network(((0xFD00_0000_0D00 << 80) + (number << 64), 64))
        self.container = self.subnet[2]
        self.bridge_address = self.subnet[1]
        outside = IPv6Network(((0x2001_0DB8_0000 << 80) + (number << 64), 64))
        self.neighbour, self.address = outside[1], outside[2]
        self.outer = IPv6Network(((0x2001_0DB8_0001 << 80) + (number << 64), 64))
        """Another prefix that the neighbour's routes lead through this host."""
        with namespace.entered():
            self._conntrack = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)

    def forget_flows(self) -> None:
        """Flush connection tracking, so that each slice starts with an empty table."""
        message = struct.pack("=IHHIIBBH", 20, _CTNETLINK_DELETE, _REQUEST_ACK, 0, 0, socket.AF_UNSPEC, 0, 0)
        self._conntrack.send(message)
        *_, error = _ERROR.unpack_from(self._conntrack.recv(4096))
        if error:
            raise OSError(-error, os.strerror(-error))

    def close(self) -> None:
        """Close the socket in the namespace."""
        self._conntrack.close()


class Stage:
    """The namespaces and both programs for a block."""

    def __init__(self, bench: Bench, *, outbound: bool = False) -> None:
        """Create the neighbour and the container, without a host between them. `outbound`: from the container."""
        self._bench = bench
        self._neighbour, self._container = bench.namespace("w"), bench.namespace("c")
        self._hosts: list[Host] = []
        for namespace in (self._neighbour, self._container):
            _settle(namespace)
        cpus = sorted(os.sched_getaffinity(0))
        self._outbound = outbound
        asks, answers = (self._container, self._neighbour) if outbound else (self._neighbour, self._container)
        self._programs = [
            _program(answers, cpus[-1], "serve", "--port", str(SERVED)),
            _program(asks, cpus[0], "generate"),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in self._programs:
            end(program)
        for host in self._hosts:
            host.close()
            host.namespace.remove()
        self._neighbour.remove()
        self._container.remove()

    def host(self) -> Host:
        """Add a host without rules between the two."""
        host = Host(len(self._hosts) + 1, self._bench.namespace("h"))
        self._hosts.append(host)
        _settle(host.namespace)
        host.namespace.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        port = "port0"
        _ip(
            host.namespace,
            f"""
            link add eth0 type veth peer name {host.link} netns {self._neighbour.name}
            link add {BRIDGE} type bridge
            link add {port} type veth peer name {host.link} netns {self._container.name}
            link set {port} master {BRIDGE} up
            link set {BRIDGE} up
            link set eth0 up
            address add {host.address}/64 dev eth0 nodad
            address add {host.bridge_address}/64 dev {BRIDGE} nodad
            """,
        )
        _ip(
            self._neighbour,
            f"""
            link set {host.link} up
            address add {host.neighbour}/64 dev {host.link} nodad
            route add {host.subnet} via {host.address} dev {host.link}
            route add {host.outer} via {host.address} dev {host.link}
            """,
        )
        _ip(
            self._container,
            f"""
            link set {host.link} up
            address add {host.container}/64 dev {host.link} nodad
            route add {host.neighbour}/128 via {host.bridge_address} dev {host.link}
            """,
        )
        # a bridge notices a port's carrier up to a second later, and both ends must resolve each other's addresses
        self._neighbour.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(host.container))
        return host

    def hide(self, host: Host) -> None:
        """Remove the neighbour's route to the container's subnet, so that only translated packets are answered."""
        _ip(self._neighbour, f"route del {host.subnet} via {host.address} dev {host.link}")

    def flood(self, host: Host, protocol: Protocol, seconds: float, target: IPv6Address, port: int) -> Flood:
        """Open as many flows as the programs can through a host with empty connection tracking.

        Raises:
            RuntimeError: no flow was answered or could be opened.
        """
        host.forget_flows()
        generator = self._programs[1]
        assert generator.stdin is not None  # noqa: S101 - for the type checker
        assert generator.stdout is not None  # noqa: S101 - for the type checker
        source = host.container if self._outbound else host.neighbour
        generator.stdin.write(f"{protocol} {seconds} {source} {target} {port}\n")
        generator.stdin.flush()
        answer = generator.stdout.readline()
        where = f"{protocol} to [{target}]:{port} from {source}"
        if not answer.startswith("{"):
            raise RuntimeError(f"{where}: the generator ended, status {generator.wait(5)}: {generator.stderr}")
        flood = Flood(**json.loads(answer))
        if not flood.flows:
            raise RuntimeError(f"{where}: no flow was answered, {flood.lost} were begun")
        return flood


def _program(namespace: Namespace, cpu: int, *arguments: str) -> subprocess.Popen[str]:
    program = namespace.popen([sys.executable, "-I", "-S", _FLOWS, *arguments, "--cpu", str(cpu)])
    assert program.stdout is not None  # noqa: S101 - for the type checker
    if program.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{' '.join(arguments)} did not start, status {end(program)}")
    return program


def _settle(namespace: Namespace) -> None:
    for setting in _AT_ONCE:
        namespace.exec("sysctl", "-q", "-w", f"net.ipv6.conf.{setting}")


def _ip(namespace: Namespace, commands: str) -> None:
    namespace.exec("ip", "-6", "-batch", "-", stdin=commands)
