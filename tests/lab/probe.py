"""Requests to the responder (`responder.c`) in a container, from any network namespace, and its answers.

Only an answer proves that a port is open: it contains the name of the container, and the client's address as the
container saw it. A connection alone proves nothing, because dockerd 20.10 without userland proxy listens on every
published port and never accepts. A request needs no process: a socket stays in the network namespace that it was
created in.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tests.lab.namespace import entered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 30.0
"""Seconds to wait for a state that must be reached. A busy machine needs some of them; a failing test needs all."""

SILENCE = 0.3
"""Seconds without an answer after which a port counts as closed. An answer takes about a hundredth of this."""

_ATTEMPT = 0.2
_LONGEST_ATTEMPT = 1.6
_PAUSE = 0.02
_REQUEST = b"who\n"
_SCTP_HEADER = struct.Struct("!HHI4s")
_SCTP_INIT = struct.Struct("!BBHIIHHI")
_INIT, _INIT_ACK, _STATE_COOKIE = 1, 2, 7
_CRC32C = 0x82F63B78

Place: TypeAlias = Path
"""The network namespace of a client, as a file (`Namespace.path`, `Engine.container_netns`)."""


class ProbeError(AssertionError):
    """A port is open that must be closed, or the reverse. The message has the port, the client and the answer."""


@dataclass(frozen=True, slots=True)
class Port:
    """One port of one address, such as ("tcp", "2001:db8::1", 80).

    A link-local address has the index of the client's interface as its scope: "fe80::1%2".
    """

    protocol: str
    address: str
    number: int

    @property
    def target(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address for `socket.connect`."""
        address, _, scope = self.address.partition("%")
        return (address, self.number, 0, int(scope)) if scope else (address, self.number)

    def __str__(self) -> str:
        return f"[{self.address}]:{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The container that answered, and the client's address and port as that container saw them."""

    name: str
    client: IPv4Address | IPv6Address
    port: int

    @classmethod
    def read(cls, content: bytes) -> Answer | None:
        """Parse an answer; None if it is not the responder's."""
        words = content.decode(errors="replace").split()
        if len(words) != 3:
            return None
        client = ip_address(words[1])
        mapped = client.ipv4_mapped if isinstance(client, IPv6Address) else None
        return cls(words[0], mapped or client, int(words[2]))


def ask(place: Place, port: Port, *, source: str | None = None, patience: float = PATIENCE) -> Answer | None:
    """Send one request, from the address `source` if given; None if refused or not answered in `patience` seconds.

    A shorter patience is for repeated requests: on a busy machine one answer may take long.
    """
    return next(_ask_all(place, [port], source, patience))


def reach(
    place: Place, port: Port, *, name: str | None = None, source: str | None = None, patience: float = PATIENCE
) -> Answer:
    """Send requests until there is an answer (from the container `name`, if given); return it; `source` as in `ask`.

    Raises:
        ProbeError: no answer within `patience` seconds.
    """
    deadline, attempt = time.monotonic() + patience, _ATTEMPT
    while True:
        answer = ask(place, port, source=source, patience=attempt)
        if answer is not None and name in (None, answer.name):
            return answer
        if time.monotonic() > deadline:
            raise ProbeError(f"{port} doesn't answer {place} as {name or 'any container'} should: {answer}")
        time.sleep(_PAUSE)
        attempt = min(2 * attempt, _LONGEST_ATTEMPT)


def assert_closed(place: Place, *ports: Port, source: str | None = None, silence: float = SILENCE) -> None:
    """Check once that none of the ports answers within `silence` seconds; `source` as in `ask`.

    The caller must have checked that the responder is running and reachable.

    Raises:
        ProbeError: a port answered.
    """
    answers = dict(zip(ports, _ask_all(place, ports, source, silence), strict=True))
    if opened := [f"{port} answers: {answer}" for port, answer in answers.items() if answer is not None]:
        raise ProbeError(f"from {place}: {'; '.join(opened)}")


def wait_closed(place: Place, *ports: Port, patience: float = PATIENCE) -> None:
    """Wait until none of the ports answers.

    Raises:
        ProbeError: a port still answers after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            assert_closed(place, *ports)
        except ProbeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def download(place: Place, port: Port, size: int, *, patience: float = PATIENCE) -> int:
    """Request `size` bytes from a responder over TCP; return how many arrived within `patience` seconds."""
    received = 0
    deadline = time.monotonic() + patience
    with connect(place, port, patience=patience) as connection:
        connection.sendall(f"send {size}\n".encode())
        answer = connection.makefile("rb")
        with suppress(TimeoutError):
            answer.readline()
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                content = answer.read1(65536)
                if not content:
                    break
                received += len(content)
    return received


def upload(place: Place, port: Port, size: int, *, patience: float = PATIENCE) -> Answer | None:
    """Send `size` bytes to a responder over TCP; return its answer, or None without one in `patience` seconds."""
    with connect(place, port, patience=patience) as connection:
        try:
            connection.sendall(f"take {size}\n".encode() + bytes(size))
            return Answer.read(connection.makefile("rb").readline())
        except TimeoutError:
            return None


def connect(place: Place, port: Port, *, patience: float = PATIENCE) -> socket.socket:
    """Return a TCP connection from a namespace. Errors are those of the socket."""
    connection = _socket(place, port, socket.SOCK_STREAM, 0)
    try:
        connection.settimeout(patience)
        connection.connect(port.target)
    except BaseException:
        connection.close()
        raise
    return connection


def _socket(place: Place, port: Port, kind: socket.SocketKind, protocol: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    with entered(place):
        return socket.socket(family, kind, protocol)


class _Request:
    """One request in flight. `step` reads its socket. The request is complete when `answer` or `over` is set."""

    def __init__(self, place: Place, port: Port) -> None:
        self.port = port
        self.answer: Answer | None = None
        self.over = False
        self.events = selectors.EVENT_READ
        kind, protocol = {
            "tcp": (socket.SOCK_STREAM, 0),
            "udp": (socket.SOCK_DGRAM, 0),
            "sctp": (socket.SOCK_RAW, socket.IPPROTO_SCTP),
        }[port.protocol]
        self.socket = _socket(place, port, kind, protocol)
        self.socket.setblocking(False)

    def start(self) -> None:
        """Send the first packet."""
        with suppress(BlockingIOError):
            self.socket.connect(self.port.target)
        self.socket.send(_REQUEST)

    def step(self) -> None:
        """Read the socket."""
        self.answer = Answer.read(self.socket.recv(2048))
        self.over = True


class _Stream(_Request):
    def start(self) -> None:
        self.events = selectors.EVENT_WRITE
        with suppress(BlockingIOError):
            self.socket.connect(self.port.target)

    def step(self) -> None:
        if self.events == selectors.EVENT_WRITE:
            if number := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))
            self.socket.send(_REQUEST)
            self.events = selectors.EVENT_READ
            return
        super().step()


class _Association(_Request):
    """An SCTP INIT (RFC 9260 section 3.3.2) and its INIT ACK on a raw socket: a kernel may have no SCTP sockets."""

    def start(self) -> None:
        self._own = 49152 + secrets.randbelow(16384)
        self._tag = 1 + secrets.randbelow(2**32 - 1)
        chunk = _SCTP_INIT.pack(_INIT, 0, _SCTP_INIT.size, self._tag, 65536, 1, 1, self._tag)
        header = _SCTP_HEADER.pack(self._own, self.port.number, 0, bytes(4))
        packet = _SCTP_HEADER.pack(self._own, self.port.number, 0, _crc32c(header + chunk)) + chunk
        self.socket.sendto(packet, (self.port.address, 0))

    def step(self) -> None:
        # a raw socket receives every SCTP packet of its namespace, including our own INIT
        packet = self.socket.recv(2048)
        cookie = _SCTP_HEADER.size + _SCTP_INIT.size
        if len(packet) < cookie + 4:
            return
        source, target, tag, _ = _SCTP_HEADER.unpack_from(packet)
        if (source, target, tag) != (self.port.number, self._own, self._tag):
            return
        kind, length = struct.unpack_from("!HH", packet, cookie)
        if packet[_SCTP_HEADER.size] == _INIT_ACK and kind == _STATE_COOKIE:
            self.answer = Answer.read(packet[cookie + 4 : cookie + length])
        self.over = True


_REQUESTS = {"tcp": _Stream, "udp": _Request, "sctp": _Association}


def _ask_all(place: Place, ports: Sequence[Port], source: str | None, patience: float) -> Iterator[Answer | None]:
    """Send requests to several ports at once, and yield their answers in order once all are complete or time is up."""
    deadline = time.monotonic() + patience
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        requests = [_REQUESTS[port.protocol](place, port) for port in ports]
        for request in requests:
            stack.callback(request.socket.close)
            if source is not None:
                request.socket.bind((source, 0))
            try:
                request.start()
                selector.register(request.socket, request.events, request)
            except OSError:
                # no route, or refused at once
                request.over = True
        while not all(request.over for request in requests) and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                _step(selector, key.data)
    yield from (request.answer for request in requests)


def _step(selector: selectors.BaseSelector, request: _Request) -> None:
    before = request.events
    try:
        request.step()
    except OSError:
        request.over = True
    if request.over:
        selector.unregister(request.socket)
    elif request.events != before:
        selector.modify(request.socket, request.events, request)


def _crc32c(content: bytes) -> bytes:
    # RFC 9260 appendix A: the checksum's bytes are sent in the order of a little-endian number
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")
