"""Every process that a program starts, as the kernel's process connector tells of it: none is too short to be seen."""

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
_FORK = 1
_FORKED = struct.Struct("=IIII")  # parent's thread and process, child's thread and process
_NLMSG_DONE = 3
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in Python's socket module
_BUFFER = 4 << 20


class Spawned:
    """Counts processes (not threads) that descend from those that it is told of, for a block.

    Enter the block before the first of them starts: what was forked before is not known to descend from anybody.
    """

    def __init__(self) -> None:
        """Open the connector; it speaks in the first network namespace only."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, _CN_IDX_PROC))
        self._forks: list[tuple[int, int]] = []  # parent, child
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._tell(_LISTEN)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._tell(_IGNORE)
        self._socket.close()

    def below(self, pid: int) -> int:
        """How many processes have been started by that one, or by one that it has started."""
        family = {pid}
        for parent, child in self._forks:
            if parent in family:
                family.add(child)
        return len(family) - 1

    def _tell(self, what: int) -> None:
        wish = struct.pack("=I", what)
        body = _MESSAGE.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(wish), 0) + wish
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _NLMSG_DONE, 0, 0, os.getpid()) + body)

    def _read(self) -> None:
        start = _HEADER.size + _MESSAGE.size
        while not self._ended.is_set():
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            message = self._socket.recv(4096)
            if len(message) < start + _EVENT.size + _FORKED.size:
                continue
            what, _, _ = _EVENT.unpack_from(message, start)
            if what != _FORK:
                continue
            _, parent, _, child = _FORKED.unpack_from(message, start + _EVENT.size)
            if parent != child:
                self._forks.append((parent, child))
