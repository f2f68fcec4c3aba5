"""The resources of one test run on this machine: a unique name, a directory, and the removal of all that has the name.

A session locks a file as long as its process lives, and the kernel releases the lock when the process ends. A session
whose file can be locked is therefore dead, even if its process identifier was reused or the machine was rebooted, and
`sweep` removes what it left. A developer's session must outlive the command that started it: it is marked as kept, and
removed on request or after a reboot.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.namespace import Namespace
from tests.lab.process import kill_marked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.warm import WarmProgram

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CGROUPS = Path("/sys/fs/cgroup")
_NAMESPACES = Path("/run/netns")
_NAME = re.compile(r"[a-z0-9]{1,12}")


def lab_directory() -> Path:
    """Return the directory of trees, caches and engines: outside the checkout, on a disk, with a short path.

    `DOCKERV6_LAB_DIR` sets it. The path of a unix socket has at most 107 bytes, and overlayfs can't have its upper
    layer on another overlay.
    """
    return Path(os.environ.get("DOCKERV6_LAB_DIR", "/var/tmp/dockerv6-lab")).resolve()  # noqa: S108 - checked below


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file exclusively for the block; waits until it is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Session:
    """The owner of namespaces, engines and processes; `close` removes all of them."""

    def __init__(self, identifier: str, directory: Path, lock: int | None) -> None:
        self.id = identifier
        self.directory = directory
        self._lock = lock
        self._serial = 0
        self.warm: WarmProgram | None = None
        """What operators start `dockerv6` with, so that it starts faster; None: they execute the installed program."""

    @classmethod
    def create(cls) -> Session:
        """Start a session that ends with this process at the latest."""
        with _sessions_locked() as sessions:
            identifier = secrets.token_hex(3)
            directory = sessions / identifier
            directory.mkdir(mode=0o700)
            lock = os.open(_lock_file(directory), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(identifier, directory, lock)

    @classmethod
    def keep(cls, name: str) -> Session:
        """Open or start the developer's session of that name. It lasts until `close` or a reboot."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r}: a name is 1 to 12 characters of a-z and 0-9")
        with _sessions_locked() as sessions:
            directory = sessions / name
            directory.mkdir(mode=0o700, exist_ok=True)
            _kept_file(directory).write_text(_BOOT_ID.read_text())
        return cls(name, directory, None)

    @staticmethod
    def kept() -> list[str]:
        """Return the names of developers' sessions."""
        with _sessions_locked() as sessions:
            return sorted(path.name for path in sessions.iterdir() if _kept_file(path).exists())

    def unique(self, prefix: str) -> str:
        """Return a unique name for a namespace, control group or engine."""
        self._serial += 1
        return f"{_prefix(self.id)}{prefix}{self._serial}"

    def namespace(self, purpose: str) -> Namespace:
        """Create a network namespace that is removed with this session."""
        return Namespace.create(self.id, self.unique(purpose))

    def close(self) -> None:
        """Kill and remove everything with this session's name."""
        if self.warm is not None:
            self.warm.close()
        with _sessions_locked():  # without its lock file, another run's sweep would take it for dead
            _remove(self.id, self.directory)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep() -> list[str]:
    """Remove what dead sessions left; return their identifiers. Live sessions are not touched."""
    swept = []
    with _sessions_locked() as sessions:
        for directory in sorted(sessions.iterdir()):
            if _is_dead(directory):
                _remove(directory.name, directory)
                swept.append(directory.name)
    return swept


def remove_cgroups(name: str) -> None:
    """Remove the control groups (version 1: one in each hierarchy) that a killed engine left."""
    for top in (*CGROUPS.glob(f"*/{name}"), CGROUPS / name):
        if top.is_dir():
            for path, _, _ in os.walk(top, topdown=False):
                Path(path).rmdir()


@contextmanager
def _sessions_locked() -> Iterator[Path]:
    directory = lab_directory()
    with locked(directory / "sessions.lock"):
        sessions = directory / "sessions"
        sessions.mkdir(exist_ok=True)
        yield sessions


def _prefix(identifier: str) -> str:
    return f"d6-{identifier}-"


def _lock_file(directory: Path) -> Path:
    return directory / "lock"


def _kept_file(directory: Path) -> Path:
    return directory / "kept"


def _is_dead(directory: Path) -> bool:
    kept = _kept_file(directory)
    if kept.exists():
        return kept.read_text() != _BOOT_ID.read_text()
    return _is_unlocked(_lock_file(directory))


def _is_unlocked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    else:
        return True
    finally:
        os.close(descriptor)


def _remove(identifier: str, directory: Path) -> None:
    kill_marked(identifier)
    prefix = _prefix(identifier)
    for path in _NAMESPACES.glob(f"{prefix}*"):
        Namespace(identifier, path.name).remove()
    for path in (*CGROUPS.glob(f"*/{prefix}*"), *CGROUPS.glob(f"{prefix}*")):
        remove_cgroups(path.name)
    shutil.rmtree(directory)
