"""inotify(7) on the running event loop: no thread, no polling, and no package that brings both.

It only says that something happened in one of the directories, never what: its receiver looks at everything anyway.
"""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterable

_IN_MODIFY = 0x2
_IN_ATTRIB = 0x4
_IN_CLOSE_WRITE = 0x8
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x1000000
_CHANGES = (
    _IN_MODIFY
    | _IN_ATTRIB
    | _IN_CLOSE_WRITE
    | _IN_MOVED_FROM
    | _IN_MOVED_TO
    | _IN_CREATE
    | _IN_DELETE
    | _IN_DELETE_SELF
    | _IN_MOVE_SELF
)
_GONE = _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_IGNORED
_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name that follows
_READ_SIZE = 65536

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


class Inotify:
    """Watches on a set of directories, each by itself; from when it is made until it is closed."""

    def __init__(self, directories: Iterable[str], notify: Callable[[], None]) -> None:
        """Watch; `notify` is called on the event loop when there were changes, for many of them perhaps once.

        Raises:
            OSError: a limit of inotify is exhausted (ENOSPC: watches, EMFILE: instances), or a directory is not there.
        """
        self._loop = asyncio.get_running_loop()
        self._notify = notify
        self.stale = False
        """Whether one of the directories is gone, or elsewhere: what is at its path now is not watched."""
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        try:
            for directory in directories:
                mask = _CHANGES | _IN_ONLYDIR
                _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask), directory)
        except OSError:
            os.close(self._descriptor)
            raise
        self._loop.add_reader(self._descriptor, self._read)

    def close(self) -> None:
        """End the watches. Again is success."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            events = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        start = 0
        while start < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, start)
            self.stale = self.stale or bool(mask & _GONE)
            start += _EVENT.size + length
        self._notify()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
