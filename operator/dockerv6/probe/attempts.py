"""The probes: a ping, a TCP connection, a DNS query, a path MTU. Each describes what was sent and what came back.

Nothing waits longer than a few seconds. The sockets may belong to any network namespace: a socket stays in the
namespace where it was created, so the event loop need not enter it.
"""

import asyncio
import errno
import fcntl
import os
import re
import secrets
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dockerv6.lib.networking import MINIMUM_MTU
from dockerv6.probe.packets import (
    ICMPV6,
    TCP,
    EchoReply,
    IcmpError,
    decode_dns,
    decode_icmp,
    dns_query,
    echo_request,
)

OpenSocket = Callable[[int, int, int], socket.socket]
"""Creates a non-blocking socket of a family, type and protocol in some network namespace. Raises `OSError`."""

_SMALL = 64
_FAR = 64  # the hop limit of hosts
_ATTEMPTS, _INTERVAL = 3, 1.2
"""A lost packet, a neighbour that must be found first or an NDP proxy entry that is just added should not count."""
_LATE = 0.2  # seconds for messages about what is known already
_CONNECT, _QUERY = 4.0, 3.0  # seconds; the first retransmissions of TCP are after 1 and 3
_SIOCGIFINDEX, _IFREQ = 0x8933, struct.Struct("16si20x")  # netdevice(7)
_INDEX = re.compile(r"[0-9]{1,9}")
_IPV6_MTU_DISCOVER, _PMTUDISC_PROBE, _IPV6_DONTFRAG, _IPV6_UNICAST_HOPS = 23, 3, 62, 16  # linux/in6.h


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """The result of a probe.

    Attributes:
        passed: an answer came back.
        message: what was sent where, and what came back.
        rejected: a router, a firewall or the kernel gave an error; otherwise nothing came back at all.
        reset: the connection was reset (TCP RST): packets pass in both directions.
    """

    passed: bool
    message: str
    rejected: bool = False
    reset: bool = False


class Prober:
    """Sends probes from one network namespace."""

    def __init__(self, open_socket: OpenSocket, origin: str, near: Collection[str] = ()) -> None:
        """Send nothing yet. ``origin`` is the sender in messages, ``near`` has its addresses and those of its host."""
        self._open = open_socket
        self.origin = origin
        self._near = near

    async def ping(self, target: IPv6Address, hops: int = _FAR) -> ProbeOutcome:
        """Send echo requests until one is answered.

        With a small hop limit, any error of a router counts as an answer: Linux looks up a route before it reports that
        the limit is reached. Errors of the sender and its host do not count.
        """
        what = f"echo request from {self.origin} to {target}" + (f", hop limit {hops}" if hops < _FAR else "")
        try:
            with self._icmp(hops) as opened:
                answers = _Answers(opened, target)
                for sequence in range(_ATTEMPTS):
                    await answers.send(sequence, _SMALL)
                    if await answers.wait(_INTERVAL, lambda: bool(answers.replies or answers.errors)):
                        break
        except OSError as error:
            return ProbeOutcome(False, f"{what}: {_explained(error)}", rejected=True)
        if answers.replies:
            return ProbeOutcome(True, f"{what}: answered")
        if answers.errors:
            router, icmp = answers.errors[0]
            return ProbeOutcome(
                hops < _FAR and router not in self._near, f"{what}: {router} answers: {icmp.what}", rejected=True
            )
        return ProbeOutcome(False, f"{what}: nothing came back")

    async def path_mtu(self, target: IPv6Address, mtu: int) -> ProbeOutcome:
        """Find out whether packets of the interface's MTU are answered, or routers report that they are too big.

        Not passed: those of `MINIMUM_MTU` are answered, and the large ones are lost. ``target`` answers small ones.
        """
        what = f"echo requests of {mtu} bytes to {target}"
        try:
            with self._icmp(_FAR) as opened:
                answers = _Answers(opened, target)
                for _ in range(_ATTEMPTS):
                    for sequence, size in enumerate((mtu, MINIMUM_MTU)):
                        with suppress(OSError):  # EMSGSIZE: a route is narrower, and the kernel knows it
                            await answers.send(sequence, size)
                    if await answers.wait(_INTERVAL, lambda: 0 in answers.replies or bool(answers.too_big)):
                        break
        except OSError as error:
            return ProbeOutcome(False, f"{what}: {_explained(error)}", rejected=True)
        if 0 in answers.replies:
            return ProbeOutcome(True, f"{what}: answered")
        if answers.too_big:
            router, icmp = min(answers.too_big, key=lambda each: each[1].mtu)
            return ProbeOutcome(True, f"{what}: {router} answers: packet too big, its MTU is {icmp.mtu}")
        if answers.replies:
            lost = f"lost, and no packet-too-big message came back; those of {MINIMUM_MTU} are answered"
            return ProbeOutcome(False, f"{what}: {lost}")
        return ProbeOutcome(True, f"not tested: {target} answers small echo requests only")

    async def connect(self, target: IPv6Address, port: int, hops: int = _FAR) -> ProbeOutcome:
        """Open a TCP connection and close it. With a hop limit of 1, only the next host itself can accept it."""
        what = f"TCP connection from {self.origin} to [{target}]:{port}"
        loop = asyncio.get_running_loop()
        try:
            with self._open(socket.AF_INET6, socket.SOCK_STREAM, 0) as opened, self._icmp(_FAR) as heard:
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_HOPS, hops)
                opened.bind(("::", 0))
                answers = _Answers(heard, target, opened.getsockname()[1])
                try:
                    seconds = _CONNECT if hops == _FAR else _INTERVAL  # kernels limit the rate of their errors
                    await asyncio.wait_for(loop.sock_connect(opened, (str(target), port)), seconds)
                except TimeoutError:
                    return ProbeOutcome(False, f"{what}: nothing came back")
                except OSError as error:
                    await answers.wait(_LATE, lambda: bool(answers.tcp_errors))
                    if answers.tcp_errors:
                        router, answer = answers.tcp_errors[0]
                        return ProbeOutcome(False, f"{what}: {router} answers: {answer.what}", rejected=True)
                    reset = isinstance(error, ConnectionRefusedError)
                    return ProbeOutcome(False, f"{what}: {_explained(error)}", rejected=True, reset=reset)
        except OSError as error:
            return ProbeOutcome(False, f"{what}: {_explained(error)}", rejected=True)
        return ProbeOutcome(True, f"{what}: accepted")

    async def resolve(
        self, server: IPv4Address | IPv6Address, name: str
    ) -> tuple[ProbeOutcome, tuple[IPv6Address, ...]]:
        """Ask a resolver for the AAAA records of a name. An answer without records counts as passed."""
        what = f"DNS query from {self.origin} to {server}: {name} AAAA"
        loop = asyncio.get_running_loop()
        family = socket.AF_INET if server.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the version itself
        identifier = secrets.randbelow(1 << 16)
        try:
            with self._open(family, socket.SOCK_DGRAM, 0) as opened:
                opened.connect(_endpoint(opened, server, 53))
                for _ in range(_ATTEMPTS):
                    await loop.sock_sendall(opened, dns_query(identifier, name))
                    with suppress(TimeoutError):
                        answer = decode_dns(await asyncio.wait_for(loop.sock_recv(opened, 4096), _QUERY), identifier)
                        if answer is not None:
                            code, addresses = answer
                            shown = ", ".join(map(str, addresses[:3])) or "no address"
                            return ProbeOutcome(
                                code in {"NOERROR", "NXDOMAIN"}, f"{what}: {code}, {shown}", True
                            ), addresses
        except OSError as error:
            return ProbeOutcome(False, f"{what}: {_explained(error)}", rejected=True), ()
        return ProbeOutcome(False, f"{what}: nothing came back"), ()

    def _icmp(self, hops: int) -> socket.socket:
        opened = self._open(socket.AF_INET6, socket.SOCK_RAW, ICMPV6)
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_HOPS, hops)
        # large packets are neither fragmented nor held back by what the kernel has learned of the path
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
        return opened


class _Answers:
    """What a raw socket receives about packets to one target."""

    def __init__(self, opened: socket.socket, target: IPv6Address, source_port: int = 0) -> None:
        self._socket = opened
        self._target = target
        self._source_port = source_port
        self._identifier = secrets.randbelow(1 << 16)
        self.replies: set[int] = set()
        self.errors: list[tuple[str, IcmpError]] = []
        self.too_big: list[tuple[str, IcmpError]] = []
        self.tcp_errors: list[tuple[str, IcmpError]] = []

    async def send(self, sequence: int, size: int) -> None:
        packet = echo_request(self._identifier, sequence, size)
        await asyncio.get_running_loop().sock_sendto(self._socket, packet, (str(self._target), 0))

    async def wait(self, seconds: float, enough: Callable[[], bool]) -> bool:
        """Receive until it is enough, or the time is over; whether it is enough."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not enough():
                    message, source = await loop.sock_recvfrom(self._socket, 65536)
                    self._sort(decode_icmp(message), str(source[0]))
        return enough()

    def _sort(self, found: EchoReply | IcmpError | None, source: str) -> None:
        if isinstance(found, EchoReply):
            if found.identifier == self._identifier:
                self.replies.add(found.sequence)
        elif found is not None and found.destination == self._target:
            if found.protocol == TCP and found.source_port == self._source_port:
                self.tcp_errors.append((source, found))
            elif found.protocol == ICMPV6 and found.source_port == self._identifier:
                (self.too_big if found.mtu else self.errors).append((source, found))


def _endpoint(opened: socket.socket, server: IPv4Address | IPv6Address, port: int) -> tuple[str | int, ...]:
    """For `connect`. A zone is the name or the number of an interface in the socket's namespace. Raises `OSError`."""
    host, _, zone = str(server).partition("%")
    if not zone:
        return host, port
    try:
        answer = fcntl.ioctl(opened, _SIOCGIFINDEX, _IFREQ.pack(os.fsencode(zone), 0))
    except OSError:
        if not _INDEX.fullmatch(zone):
            raise
        return host, port, 0, int(zone)
    return host, port, 0, _IFREQ.unpack(answer)[1]


_ERRNOS = {
    errno.ENETUNREACH: "no route to it",
    errno.EACCES: "administratively prohibited: a firewall rejects it",
    errno.EPERM: "a firewall of the sender drops it",
    errno.EHOSTUNREACH: "unreachable",
    errno.ECONNREFUSED: "refused (reset)",
}


def _explained(error: OSError) -> str:
    return _ERRNOS.get(error.errno or 0) or error.strerror or os.strerror(error.errno or 0)
