"""Traffic that counts what it loses: a program that the lab runs inside a network namespace.

It uses only the standard library and ends after its lifetime at the latest. It prints `ready` when it listens, or when
its first number came back. When TERM or the lifetime ends it, it prints one JSON object with its counts. A sender first
waits for the numbers that are still in flight, so that stopping it does not count as a loss.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import FrameType

_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_ECHO = struct.Struct("!BBHHH")
_NUMBER = struct.Struct("!Q")
_POLL = 0.1
# how long a sender that was stopped waits for the next answer
_LAST_ANSWER = 2.0


class _Stop:
    """True once the program must stop: at the end of its lifetime, or after TERM."""

    def __init__(self, lifetime: float) -> None:
        self.at = time.monotonic() + lifetime
        signal.signal(signal.SIGTERM, self._now)

    def _now(self, _signal: int, _frame: FrameType | None) -> None:
        self.at = time.monotonic()

    def __bool__(self) -> bool:
        return time.monotonic() >= self.at


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("serve", "tcp", "icmp"))
    parser.add_argument("--address", default="::")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", choices=("echo", "discard", "peer"), default="echo")
    parser.add_argument("--interval", type=float, default=0.01)
    parser.add_argument("--lifetime", type=float, default=240.0)
    options = parser.parse_args()
    stop = _Stop(options.lifetime)
    if options.role == "serve":
        result = _serve(options.address, options.port, options.mode, stop)
    elif options.role == "tcp":
        with socket.create_connection((options.address, options.port), timeout=30.0) as connection:
            result = _measure(_Stream(connection), options.interval, stop)
    else:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            result = _measure(_Ping(raw, options.address), options.interval, stop)
    _print(json.dumps(result))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _serve(address: str, port: int, mode: str, stop: _Stop) -> dict[str, object]:
    """Accept connections: echo or discard what they send, or send each client its address as seen here and close."""
    connections = received = 0
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with selectors.DefaultSelector() as selector, socket.create_server((address, port), family=family) as listener:
        selector.register(listener, selectors.EVENT_READ)
        _print("ready")
        while not stop:
            for key, _ in selector.select(_POLL):
                if key.fileobj is not listener:
                    received += _answer(selector, key.data, mode)
                    continue
                connection, peer = listener.accept()
                connections += 1
                if mode == "peer":
                    with connection:
                        connection.sendall(f"{peer[0]}\n".encode())
                else:
                    selector.register(connection, selectors.EVENT_READ, connection)
        for key in list(selector.get_map().values()):
            if key.data is not None:
                key.data.close()
    return {"connections": connections, "received": received}


def _answer(selector: selectors.BaseSelector, connection: socket.socket, mode: str) -> int:
    content = b""
    with suppress(OSError):
        content = connection.recv(65536)
        if mode == "echo":
            connection.sendall(content)
    if not content:
        selector.unregister(connection)
        connection.close()
    return len(content)


class _Probe(Protocol):
    """Sends numbers to a peer that sends them back."""

    def send(self, number: int) -> None:
        """Send one number. After an OSError the number counts as lost, and the error is reported."""

    def receive(self, timeout: float) -> list[int]:
        """Return the numbers that came back within `timeout` seconds. A ConnectionError ends the measurement."""


class _Stream:
    """Numbers through one TCP connection to an echo server."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._pending = b""

    def send(self, number: int) -> None:
        self._connection.sendall(_NUMBER.pack(number))

    def receive(self, timeout: float) -> list[int]:
        if not _readable(self._connection, timeout):
            return []
        content = self._connection.recv(65536)
        if not content:
            raise ConnectionError("the server closed the connection")
        self._pending += content
        whole = len(self._pending) - len(self._pending) % _NUMBER.size
        numbers = [number for (number,) in _NUMBER.iter_unpack(self._pending[:whole])]
        self._pending = self._pending[whole:]
        return numbers


class _Ping:
    """Numbers in ICMPv6 echo requests and replies (RFC 4443 section 4)."""

    def __init__(self, raw: socket.socket, address: str) -> None:
        self._raw = raw
        self._address = address
        self._identifier = os.getpid() & 0xFFFF

    def send(self, number: int) -> None:
        # the kernel fills in the checksum
        self._raw.sendto(_ECHO.pack(_ECHO_REQUEST, 0, 0, self._identifier, number & 0xFFFF), (self._address, 0))

    def receive(self, timeout: float) -> list[int]:
        if not _readable(self._raw, timeout):
            return []
        content = self._raw.recv(2048)
        if len(content) < _ECHO.size:
            return []
        kind, _, _, identifier, number = _ECHO.unpack_from(content)
        return [number] if (kind, identifier) == (_ECHO_REPLY, self._identifier) else []


def _readable(connection: socket.socket, timeout: float) -> bool:
    return bool(select.select([connection], [], [], max(0.0, timeout))[0])


class _Tally:
    """The numbers that were sent, and those that came back.

    Numbers sent before the first one came back do not count: they waited for address resolution or duplicate detection.
    """

    def __init__(self) -> None:
        self.next = 0
        self.received = 0
        self.outstanding: set[int] = set()
        self.last = 0.0

    def number(self) -> int:
        number = self.next
        self.next += 1
        self.outstanding.add(number)
        return number

    def mark_received(self, number: int) -> None:
        if number not in self.outstanding:
            return
        if self.received == 0:
            self.outstanding = {later for later in self.outstanding if later >= number}
            _print("ready")
        self.outstanding.remove(number)
        self.received += 1
        self.last = time.monotonic()


def _measure(probe: _Probe, interval: float, stop: _Stop) -> dict[str, object]:
    """Send a number every `interval` seconds until `stop`, and count those that do not come back."""
    tally, error = _Tally(), ""
    due = time.monotonic()
    while not stop or (tally.outstanding and time.monotonic() < max(stop.at, tally.last) + _LAST_ANSWER):
        try:
            if not stop and time.monotonic() >= due:
                due += interval
                probe.send(tally.number())
            for number in probe.receive(_POLL if stop else due - time.monotonic()):
                tally.mark_received(number)
        except ConnectionError as failure:
            error = error or str(failure)
            break
        except OSError as failure:
            error = error or str(failure)
    return {
        "sent": tally.received + len(tally.outstanding),
        "received": tally.received,
        "error": error,
    }


if __name__ == "__main__":
    main()
