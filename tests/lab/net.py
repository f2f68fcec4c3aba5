"""The outside world of an engine: a neighbour namespace connected by veth, and traffic that is counted.

In the engine's namespace the link is `eth0`, the uplink, and the neighbour is the default router. The neighbour has no
route to any container network, just as the Internet has no route to unique local prefixes: only packets with the
uplink's own source address get a reply. Addresses are from 2001:db8::/32 (RFC 3849) and 192.0.2.0/24 (RFC 5737). Every
engine has its own namespace, so all engines use the same addresses.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.process import end

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

UPLINK = "eth0"
HOST_ADDRESS = "2001:db8:0:1::2"
NEIGHBOUR_ADDRESS = "2001:db8:0:1::1"
# on the neighbour too, but not on the link: "the Internet"
FAR_ADDRESS = "2001:db8:ffff::1"
HOST_ADDRESS_V4 = "192.0.2.2"
NEIGHBOUR_ADDRESS_V4 = "192.0.2.1"
# seconds; ends the traffic programs of a test that was killed, and those that never get an answer
_LIFETIME = 240.0
# seconds: an answer takes milliseconds, and a busy machine needs more; a missing answer costs the whole time
EXPECTED, _UNEXPECTED = 20, 1
_TRAFFIC = str(Path(__file__).with_name("traffic.py"))


class TrafficError(RuntimeError):
    """A traffic program ended early or printed something unexpected. The message contains its output."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a stream sent and got back. `error` is empty, or what ended the stream."""

    sent: int
    received: int
    error: str

    @property
    def lost(self) -> int:
        return self.sent - self.received


class Traffic:
    """A running traffic program; `stop` ends it and returns its counts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self._output = process.stdout

    def await_ready(self) -> None:
        """Wait until the program listens, or until its first packet came back.

        Raises:
            TrafficError: the program ended before; for a stream this means that nothing came back in its lifetime.
        """
        line = self._output.readline().strip()
        if line != "ready":
            raise self._failed(line)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def finish(self) -> dict[str, object]:
        """End the program and return what it counted."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        line = self._output.readline().strip()
        if not line.startswith("{"):
            raise self._failed(line)
        end(self._process)
        return dict(json.loads(line))

    def stop(self) -> Tally:
        """End a stream, after waiting for packets in flight, and return its counts."""
        return Tally(**self.finish())  # type: ignore[arg-type]

    def abandon(self) -> None:
        """End the program and discard its counts."""
        end(self._process)

    def _failed(self, line: str) -> TrafficError:
        self._process.kill()
        assert self._process.stderr is not None
        message = f"{' '.join(map(str, self._process.args))}: {line or 'ended'}\n{self._process.stderr.read()}"  # type: ignore[arg-type]
        end(self._process)
        return TrafficError(message)


class Neighbour:
    """The namespace next to an engine's: its router, and the Internet."""

    def __init__(self, namespace: Namespace, host: Namespace) -> None:
        self.namespace = namespace
        self._host = host

    @classmethod
    def join(cls, session: Session, host: Namespace) -> Neighbour:
        """Create a neighbour and its link to a host's namespace, with addresses and the host's default routes."""
        namespace = session.namespace("w")
        # engines before 28 leave a new bridge's address to detection: two seconds for the first container of a network
        host.exec("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0")
        _ip(namespace, f"address add {FAR_ADDRESS}/128 dev lo nodad")
        neighbour = cls(namespace, host)
        neighbour.plug()
        return neighbour

    def plug(self) -> None:
        """Create the link, its addresses, and the host's default routes."""
        namespace, host = self.namespace, self._host
        # both ends are created in their namespaces, so that their names can't collide with interfaces of this machine
        namespace.exec(*f"ip link add {UPLINK} type veth peer name {UPLINK} netns {host.name}".split())
        ends = (
            (namespace, (NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS_V4)),
            (host, (HOST_ADDRESS, HOST_ADDRESS_V4)),
        )
        for where, (address, address_v4) in ends:
            # nodad: usable at once, with no second of duplicate address detection
            commands = f"""
                address add {address}/64 dev {UPLINK} nodad
                address add {address_v4}/24 dev {UPLINK}
                link set {UPLINK} up
            """
            _ip(where, commands)
        _ip(host, f"route add default via {NEIGHBOUR_ADDRESS} dev {UPLINK}")
        _ip(host, f"route add default via {NEIGHBOUR_ADDRESS_V4} dev {UPLINK}")

    def unplug(self) -> None:
        """Remove the link with its addresses and routes. The host then has only the uplinks that a test creates."""
        self._host.exec("ip", "link", "del", UPLINK)

    def exec(self, *argv: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in the neighbour's namespace; errors as in `process.run`."""
        return self.namespace.exec(*argv, check=check, timeout=timeout)

    def ping(self, address: str, *, deadline: int = EXPECTED) -> bool:
        """Return whether an address answers the neighbour within `deadline` seconds."""
        return self.exec("ping", "-n", "-c", "1", "-w", str(deadline), address, check=False).returncode == 0

    def add_route(self, prefix: str) -> None:
        """Add a route to the neighbour for a prefix behind the host, as a provider routes a delegated prefix."""
        _ip(self.namespace, f"route replace {prefix} via {HOST_ADDRESS} dev {UPLINK}")

    def remove_route(self, prefix: str) -> None:
        """Remove the route of `add_route`."""
        _ip(self.namespace, f"route del {prefix} via {HOST_ADDRESS} dev {UPLINK}")

    @contextmanager
    def tcp_server(self, port: int, *, mode: str = "echo") -> Iterator[Traffic]:
        """Serve a TCP port on all of the neighbour's addresses for the block.

        `mode` is `echo`, `discard`, or `peer`: send each client its address as seen from here, one line, and close.
        """
        with _served(self.namespace, port, mode) as traffic:
            yield traffic

    def seen_as(self, engine: Engine, container: str, *, port: int = 7000, target: str = FAR_ADDRESS) -> str:
        """Return the source address that a TCP connection from a container has here.

        Raises:
            CommandFailedError: there is no connection.
        """
        with self.tcp_server(port, mode="peer"):
            return receive(engine, container, target, port)

    def remove(self) -> None:
        """Remove the neighbour's namespace, and with it the link."""
        self.namespace.remove()


@contextmanager
def tcp_server(host: Namespace, port: int, *, mode: str = "echo") -> Iterator[Traffic]:
    """Serve a TCP port in any namespace for the block; `mode` as in `Neighbour.tcp_server`."""
    with _served(host, port, mode) as traffic:
        yield traffic


def deadline_for(*, expected: bool) -> int:
    """Return how many seconds to wait for an answer that is expected, or for one that is not."""
    return EXPECTED if expected else _UNEXPECTED


def ping(engine: Engine, container: str, address: str, *, deadline: int = EXPECTED) -> bool:
    """Return whether an address answers a container within `deadline` seconds."""
    argv = ("ping", "-n", "-c", "1", "-i", "0.1", "-w", str(deadline), address)
    return engine.container_netns_exec(container, *argv, check=False).returncode == 0


def receive(engine: Engine, container: str, address: str, port: int, *, timeout: int = EXPECTED) -> str:
    """Return what a TCP server sends to a container before it closes the connection, stripped.

    Raises:
        CommandFailedError: no connection within `timeout` seconds.
    """
    program = (
        "import socket,sys\n"
        "with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as s:\n"
        "    print(s.makefile().read())"
    )
    argv = (sys.executable, "-I", "-S", "-c", program, address, str(port), str(timeout))
    return engine.container_netns_exec(container, *argv).stdout.strip()


@contextmanager
def ping_stream(engine: Engine, container: str, address: str, *, interval: float = 0.01) -> Iterator[Traffic]:
    """Ping an address from a container's namespace for the block, after the first reply."""
    argv = ["icmp", "--address", address, "--interval", str(interval)]
    with _streaming(engine, container, argv) as traffic:
        yield traffic


@contextmanager
def tcp_stream(engine: Engine, container: str, address: str, port: int, *, interval: float = 0.01) -> Iterator[Traffic]:
    """Keep one TCP connection from a container's namespace to an echo server open for the block."""
    argv = ["tcp", "--address", address, "--port", str(port), "--interval", str(interval)]
    with _streaming(engine, container, argv) as traffic:
        yield traffic


@contextmanager
def _served(host: Namespace, port: int, mode: str) -> Iterator[Traffic]:
    argv = _program("serve", "--port", str(port), "--mode", mode)
    with _running(Traffic(host.popen(argv))) as traffic:
        yield traffic


@contextmanager
def _streaming(engine: Engine, container: str, argv: list[str]) -> Iterator[Traffic]:
    with _running(Traffic(engine.container_netns_popen(container, _program(*argv)))) as traffic:
        yield traffic


@contextmanager
def _running(traffic: Traffic) -> Iterator[Traffic]:
    try:
        traffic.await_ready()
        yield traffic
    finally:
        traffic.abandon()


def _program(*argv: str) -> list[str]:
    # without the site packages it starts in 20 ms
    return [sys.executable, "-I", "-S", _TRAFFIC, *argv, "--lifetime", str(_LIFETIME)]


def _ip(where: Namespace, commands: str) -> None:
    where.exec("ip", "-batch", "-", stdin=commands)
