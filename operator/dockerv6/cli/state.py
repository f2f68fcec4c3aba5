"""The daemon's state directory, read without writing, and the clock of commands that wait."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import click

from dockerv6.api.conditions import Reason
from dockerv6.cli.printers.table import age, plain
from dockerv6.lib.statefile import STATE_FILE
from dockerv6.store.model import Event, JsonObject, StoredObject
from dockerv6.store.tables import read_events, read_objects, read_problems, read_records, read_warnings

if TYPE_CHECKING:
    from dockerv6.ipam.ledger import Allocation

T = TypeVar("T")

POLL_INTERVAL = 0.25
"""Seconds between two checks of the files' change times during a watch."""

READ_INTERVAL = 1.0
"""Seconds after which the file is read whatever its change times are."""

_NANOSECONDS = 1e9


class FileStamp(NamedTuple):
    """Differs when a file was changed or replaced."""

    inode: int
    size: int
    modified: int  # ns


class BlockingClock(Protocol):
    """The clock of a command. Not `lib.clock`: importing asyncio takes a large part of the start time of ``get``."""

    def now(self) -> float:
        """Unix time in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemBlockingClock:
    """The system's clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the process."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A daemon's state directory. Methods raise `StateFileError`, or `StateFileMissingError` when there is no state."""

    path: Path

    @property
    def file(self) -> Path:
        """The state file."""
        return self.path / STATE_FILE

    def objects(self, kind: str | None = None, name: str | None = None) -> tuple[StoredObject, ...]:
        """Resources, ordered by kind and name."""
        return read_objects(self.file, kind, name)

    def events(self, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
        """Events, the one that was last seen longest ago first."""
        return read_events(self.file, kind, name)

    def problems(self) -> tuple[str, ...]:
        """What is wrong and belongs to no resource."""
        return read_problems(self.file)

    def warnings(self) -> tuple[str, ...]:
        """What a person should look at, belongs to no resource, and harms none."""
        return read_warnings(self.file)

    def records(self, scope: str) -> "Mapping[str, JsonObject]":
        """Small records of the daemon, by name."""
        return read_records(self.file, scope)

    def allocations(self) -> "tuple[Allocation, ...]":
        """Allocated subnets, ordered by prefix."""
        from dockerv6.ipam.tables import read_allocations  # noqa: PLC0415 - only `describe` shows them

        return read_allocations(self.file)

    def daemon(self) -> int | None:
        """The process id of the running daemon, 0 when it is unknown, None when no daemon runs.

        Raises:
            OSError: its lock can't be read.
        """
        from dockerv6.store.lock import lock_holder  # noqa: PLC0415 - only some commands ask

        return lock_holder(self.path)

    def staleness(self, now: float) -> str:
        """Why what is stored may not be true now: no daemon runs, and when the state was written; "": one runs.

        Raises:
            OSError: the lock can't be read.
        """
        if self.daemon() is not None:
            return ""
        written = max((stamp.modified for stamp in self._stamps() if stamp is not None), default=0) / _NANOSECONDS
        return (
            f"no dockerv6 is running with {self.path}: this is the state of {age(now - written)} ago; start it"
            " (systemctl start dockerv6), or run `dockerv6 apply`"
        )

    def watch(self, read: Callable[[], T], clock: BlockingClock, *, until: float | None = None) -> Iterator[T]:
        """Yield the result of `read` now and after every change of the state file.

        Ends when the monotonic clock reaches ``until``; without it, never. While nothing changes, this costs two
        stat(2) calls each `POLL_INTERVAL` and one read each `READ_INTERVAL`. The read is necessary: SQLite writes the
        frames of a commit, which changes the stamps, and makes them visible to others only after the fsync, which does
        not change them (wal.c, sqlite3WalFrames).
        """
        before = self._stamps()
        yield read()
        last_read = clock.monotonic()
        again = False
        while until is None or clock.monotonic() < until:
            clock.sleep(POLL_INTERVAL if until is None else min(POLL_INTERVAL, until - clock.monotonic()))
            stamps = self._stamps()
            # Once more after a change: two writes within one tick of the file system's clock leave equal stamps.
            if stamps != before or again or clock.monotonic() - last_read >= READ_INTERVAL:
                yield read()
                last_read = clock.monotonic()
            again, before = stamps != before, stamps

    def _stamps(self) -> tuple[FileStamp | None, FileStamp | None]:
        return _stamp(self.file), _stamp(self.file.with_name(f"{STATE_FILE}-wal"))


def warn_if_stale(state: StateDirectory, clock: BlockingClock) -> None:
    """Say on standard error that no daemon keeps up what is about to be shown."""
    stale = state.staleness(clock.now()) if state.file.exists() else ""
    if stale:
        click.echo(f"Warning: {plain(stale)}", err=True)


def condition_of(stored: StoredObject, type_: str) -> Mapping[str, object]:
    """The condition of that type, in any letter case; empty when there is none."""
    return next((c for c in conditions_of(stored) if str(c.get("type", "")).casefold() == type_.casefold()), {})


def conditions_of(stored: StoredObject) -> list[Mapping[str, object]]:
    """The conditions in the status of a resource."""
    conditions = stored.status.get("conditions")
    return [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []


_PROBLEMS: Mapping[str, str] = {
    Reason.SOURCE_UNAVAILABLE: "the source is lost",
    Reason.STATE_UNREADABLE: "the stored version can't be read",
}


def problem_summary(stored: StoredObject) -> str:
    """What kind of problem a resource has whose accepted version is not that of its source."""
    return _PROBLEMS.get(stored.problem_reason, "the newest version in the source is invalid")


def _stamp(path: Path) -> FileStamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return FileStamp(status.st_ino, status.st_size, status.st_mtime_ns)
