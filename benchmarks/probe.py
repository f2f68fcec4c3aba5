"""Repeated connections: a program that is run inside a network namespace.

Every `--interval` seconds it connects, waits for one byte from the server, and resets the connection. A connection
alone would prove nothing, because engines have listening sockets on which they never accept. A connection without a
byte after `--patience` seconds counts as unanswered. The kernel repeats a lost SYN after one second, so with a shorter
time a lost packet does not count as a late one. Each connection starts at its time, independently of the previous ones.

It prints `ready` when it starts, and one JSON object with its counts when its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_EVENTS = selectors.EVENT_READ


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    answered: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds, of the answered ones
    seconds: float = 0.0


class _Prober:
    """Open connections, each with its deadline."""

    def __init__(self, target: tuple[str, int], patience: float) -> None:
        self.counts = _Counts()
        self._target = target
        self._patience = patience
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, _EVENTS)
        self._begun: dict[socket.socket, float] = {}  # in the order of their start

    @property
    def pending(self) -> int:
        return len(self._begun)

    def begin(self) -> None:
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._begun[connection] = time.monotonic()
        self.counts.sent += 1
        try:
            connection.connect(self._target)
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection)
            return
        self._selector.register(connection, _EVENTS)

    def wait(self, until: float) -> bool:
        """Read answers; return whether standard input has ended."""
        ended = False
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            if isinstance(key.fileobj, socket.socket):
                self._take(key.fileobj)
            else:
                self._selector.unregister(key.fileobj)
                ended = True
        return ended

    def give_up(self) -> None:
        """Drop connections after their deadline."""
        oldest = time.monotonic() - self._patience
        for connection in [each for each, began in self._begun.items() if began < oldest]:
            self._selector.unregister(connection)
            self._end(connection)

    def _take(self, connection: socket.socket) -> None:
        try:
            content = connection.recv(1)
        except OSError:
            content = b""
        if content:
            self.counts.answered += 1
            self.counts.slowest = max(self.counts.slowest, time.monotonic() - self._begun[connection])
        else:
            self.counts.refused += 1
        self._selector.unregister(connection)
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        del self._begun[connection]
        connection.close()


def main() -> None:
    """Probe until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--interval", type=float, default=0.004)
    parser.add_argument("--patience", type=float, default=0.9)
    options = parser.parse_args()
    prober = _Prober((options.address, options.port), options.patience)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    started = due = time.monotonic()
    ended = False
    while not ended or prober.pending:
        now = time.monotonic()
        if not ended and now >= due:
            prober.begin()
            due = max(due + options.interval, now)  # missed starts are not made up in a burst
        ended = prober.wait(due if not ended else now + 0.01) or ended
        if ended and not prober.counts.seconds:
            prober.counts.seconds = time.monotonic() - started
        prober.give_up()
    counts = prober.counts
    sys.stdout.write(json.dumps({name: getattr(counts, name) for name in counts.__slots__}) + "\n")


if __name__ == "__main__":
    main()
