"""Traffic of new flows: a program that `stage` runs inside a network namespace.

`serve PORT` answers every TCP connection and every datagram on a port with one byte, until its standard input ends.

`generate` reads commands, one per line, `PROTOCOL SECONDS SOURCE TARGET PORT`. It opens as many flows as it can in that
time, each with a different source port, and prints one JSON object. A flow counts when its answer has arrived. Flows
are opened in small batches, so that neither side waits for the wake-up of the other for each flow.

It uses only the standard library and cheap operations, because its own time would hide what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ANSWER = b"!"
_BACKLOG = 1024
_FIRST = -20
_BATCH = 64  # a datagram socket holds more than twice as many
_PATIENCE = 1  # seconds for one answer
_FIRST_PORT, _LAST_PORT = 1024, 65535
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, zero seconds: no source port is kept in TIME_WAIT
_WAIT_AT_MOST = struct.pack("ll", _PATIENCE, 0)


def main() -> None:
    """Serve, or generate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("serve", "generate"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cpu", type=int, default=-1, help="stay on this CPU")
    options = parser.parse_args()
    if options.cpu >= 0:
        _go_first(options.cpu)
    if options.role == "serve":
        _serve(options.port)
    else:
        _generate()


def _go_first(cpu: int) -> None:
    """Stay on one CPU with a higher priority than other programs."""
    os.sched_setaffinity(0, {cpu})
    os.setsid()  # if the scheduler groups processes by session, niceness applies only within the group
    os.nice(_FIRST)
    with suppress(FileNotFoundError):
        Path("/proc/self/autogroup").write_text(str(_FIRST))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _serve(port: int) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.bind(("::", port))
    for work in (_accept, listener), (_echo, datagrams):
        threading.Thread(target=work[0], args=(work[1],), daemon=True).start()
    _say("ready")
    sys.stdin.read()


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        try:
            connection.send(_ANSWER)
        except OSError:  # reset by a client that has given up
            continue
        finally:
            connection.close()


def _echo(datagrams: socket.socket) -> None:
    while True:
        _, client = datagrams.recvfrom(16)
        datagrams.sendto(_ANSWER, client)


def _generate() -> None:
    ports = _ports()
    _say("ready")
    for line in sys.stdin:
        protocol, seconds, source, target, port = line.split()
        # a flow that never starts would block forever: then this program ends, which the parent notices
        signal.alarm(int(float(seconds)) + 20)
        begin = {"tcp": _connect, "udp": _ask}[protocol]
        _say(json.dumps(_flood(begin, float(seconds), source, (target, int(port)), ports)))
        signal.alarm(0)


def _ports() -> Iterator[int]:
    while True:
        yield from range(_FIRST_PORT, _LAST_PORT + 1)


def _connect(source: tuple[str, int], target: tuple[str, int]) -> socket.socket:
    """Open a connection. This never sleeps: both ends are on this machine, so the answer is there at once."""
    begun = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _WAIT_AT_MOST)
    begun.bind(source)
    begun.connect(target)
    return begun


def _ask(source: tuple[str, int], target: tuple[str, int]) -> socket.socket:
    begun = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _WAIT_AT_MOST)
    begun.bind(source)
    begun.sendto(b"?", target)
    return begun


def _flood(
    begin: Callable[[tuple[str, int], tuple[str, int]], socket.socket],
    seconds: float,
    source: str,
    target: tuple[str, int],
    ports: Iterator[int],
) -> dict[str, object]:
    answered = lost = 0
    started = time.monotonic()
    end = started + seconds
    # no source port twice in a slice, because the packet filter would not see a new flow
    batches = (_LAST_PORT - _FIRST_PORT) // _BATCH
    while time.monotonic() < end and batches:
        batches -= 1
        batch = [begin((source, next(ports)), target) for _ in range(_BATCH)]
        for flow in batch:
            try:
                flow.recv(1)
                answered += 1
            except OSError:
                lost += 1
            flow.close()
    return {"flows": answered, "lost": lost, "seconds": time.monotonic() - started}


if __name__ == "__main__":
    main()
