"""The start of a program and every process that it started, from the kernel's process connector."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

# linux/connector.h, linux/cn_proc.h
_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN, _IGNORE = 1, 2
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQ")
_FORK, _EXEC = 1, 2
_FORKED = struct.Struct("=IIII")  # parent's thread and process, child's thread and process
_NLMSG_DONE = 3
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in Python's socket module
_BUFFER = 4 << 20


class Spawned:
    """Watches processes for a block, which must be entered before the program starts."""

    def __init__(self) -> None:
        """Open the connector, which works only in the initial network namespace."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, _CN_IDX_PROC))
        self._forks: list[tuple[float, int, int]] = []  # when, parent, child
        self._execs: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._send(_LISTEN)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._send(_IGNORE)
        self._socket.close()

    def began(self, pid: int) -> float:
        """When the process last executed a program (`time.monotonic`), so that wrappers do not count."""
        return self._execs[pid]

    def below(self, pid: int) -> int:
        """The number of processes (not threads) that the program and its descendants started."""
        family = {pid}
        for when, parent, child in self._forks:
            if parent in family and when > self._execs[pid]:
                family.add(child)
        return len(family) - 1

    def _send(self, what: int) -> None:
        operation = struct.pack("=I", what)
        body = _MESSAGE.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(operation), 0) + operation
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _NLMSG_DONE, 0, 0, os.getpid()) + body)

    def _read(self) -> None:
        start = _HEADER.size + _MESSAGE.size
        while not self._ended.is_set():
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            message = self._socket.recv(4096)
            if len(message) < start + _EVENT.size + _FORKED.size:
                continue
            what, _, nanoseconds = _EVENT.unpack_from(message, start)  # of CLOCK_MONOTONIC
            _, process, _, child = _FORKED.unpack_from(message, start + _EVENT.size)
            if what == _EXEC:
                self._execs[process] = nanoseconds / 1e9
            elif what == _FORK and process != child:
                self._forks.append((nanoseconds / 1e9, process, child))
