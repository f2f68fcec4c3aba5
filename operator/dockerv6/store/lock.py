"""The instance lock: one process at a time uses a state directory.

The lock is flock(2), not a pid file: the kernel releases it however the process ends. The file stays, because removing
it would let a third process lock a new file while the second one waits for the old.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

LOCK_FILE = "lock"
"""The file's name in the state directory."""

_PID_BYTES = 32
_ATTEMPTS = 1000
_PAUSE = 0.0005  # seconds


class AlreadyRunning(Exception):  # noqa: N818 - named for the condition
    """Another instance uses this state directory; ``pid`` is its process id, 0 while it has not written it yet."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(
            f"another dockerv6 (process {pid or 'unknown'}) uses {path.parent}: "
            "stop it, or configure another state directory for this one"
        )
        self.pid = pid


class InstanceLock:
    """The lock of a state directory, from `acquire` to `release` or for a with block."""

    def __init__(self, state_dir: Path) -> None:
        """Take the directory; `acquire` creates it if needed."""
        self._path = state_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, and write this process's id into the file.

        Raises:
            AlreadyRunning: another process, or another lock object of this one, has the lock.
            OSError: the directory can't be created or written.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not inherited by child processes (PEP 446): one that outlives the daemon would keep the lock.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self._take(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; releasing again is success."""
        if self._descriptor is not None:
            # Explicitly: a child process that is being started has a copy of the descriptor until it calls exec.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        if not _lock(descriptor):
            raise AlreadyRunning(self._path, _pid(descriptor))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_holder(state_dir: Path) -> int | None:
    """Return the id of the process that uses the state directory; None without one, 0 while the id is not written yet.

    Raises:
        OSError: the lock can't be read.
    """
    try:
        descriptor = os.open(state_dir / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return None if _try(descriptor, fcntl.LOCK_SH) else _pid(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock unless another process has it. `lock_holder` shares it briefly, which must not count."""
    for _ in range(_ATTEMPTS):
        if _try(descriptor, fcntl.LOCK_EX):
            return True
        if not _try(descriptor, fcntl.LOCK_SH):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(_PAUSE)  # sharing takes microseconds, but on a busy machine that process may be preempted
    return False


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, _PID_BYTES, 0).strip()
    return int(text) if text.isdigit() else 0
