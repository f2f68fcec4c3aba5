"""The state directory as commands read it: beside a running daemon or without one, writing nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dockerv6.cli.times import Time
from dockerv6.lib.statefile import STATE_FILE
from dockerv6.store.model import Event, StoredObject
from dockerv6.store.tables import read_events, read_objects

if TYPE_CHECKING:
    from dockerv6.ipam.ledger import Allocation

T = TypeVar("T")

POLL = 0.25
"""Seconds between two looks at the files' change times, while something is watched."""

ANYWAY = 1.0
"""Seconds after which the file is read whatever its change times say."""

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class State:
    """A daemon's state directory. Methods raise `StateFileMissingError`, or `StateFileError` if it cannot be read."""

    directory: Path

    @property
    def file(self) -> Path:
        """The state file."""
        return self.directory / STATE_FILE

    def objects(self, kind: str | None = None, name: str | None = None) -> tuple[StoredObject, ...]:
        """Resources, ordered by kind and name."""
        return read_objects(self.file, kind, name)

    def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """Events, the one seen longest ago first."""
        return read_events(self.file, kind, name)

    def allocations(self) -> "tuple[Allocation, ...]":
        """Subnets given out, ordered by prefix."""
        from dockerv6.ipam.tables import read_allocations  # noqa: PLC0415 - only `describe` shows them

        return read_allocations(self.file)

    def daemon(self) -> int | None:
        """The process id of the daemon at work here, 0 when it is unknown, None when there is none.

        Raises:
            OSError: its lock can't be read.
        """
        from dockerv6.store.lock import lock_holder  # noqa: PLC0415 - not every verb asks

        return lock_holder(self.directory)

    def watch(self, read: Callable[[], T], time: Time, *, until: float | None = None) -> Iterator[T]:
        """What `read` gives now, and again whenever the state file may have changed.

        Endless, or as long as the monotonic clock is before ``until``. While nothing changes this costs two stat(2)
        calls per `POLL`, and a read per `ANYWAY`: SQLite writes a commit's frames, which a stamp tells, and lets others
        see them only once the disk has them, which none does (wal.c, sqlite3WalFrames).
        """
        before = self._stamps()
        yield read()
        seen = time.monotonic()
        again = False
        while until is None or time.monotonic() < until:
            time.sleep(POLL if until is None else min(POLL, until - time.monotonic()))
            now = self._stamps()
            # Once more after a change: two writes within one tick of the file system's clock leave equal stamps.
            if now != before or again or time.monotonic() - seen >= ANYWAY:
                yield read()
                seen = time.monotonic()
            again, before = now != before, now

    def _stamps(self) -> tuple[Stamp, Stamp]:
        return _stamp(self.file), _stamp(self.file.with_name(f"{STATE_FILE}-wal"))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
