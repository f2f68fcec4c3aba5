"""Triggers when the sources may have changed. It only triggers: the receiver reads all sources again.

Each directory is watched by itself, not recursively: inotify does not follow links, and the ``.git`` of a checkout
costs nothing this way. The set of directories is determined again after every change, and the watch is replaced when
the set differs. For a root that does not exist yet, the nearest existing directory is watched. A slow poll catches lost
notifications, and is all that remains where the limits of inotify are exhausted, and for directories whose names are
not UTF-8, which watchfiles can't take.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial

from dockerv6.lib.clock import Clock, wait_event
from dockerv6.lib.tasks import CancellationToken, to_cancellable_thread
from dockerv6.source.directory import DirectoryListing, list_root
from dockerv6.source.files import nearest_existing

logger = logging.getLogger(__name__)

_BURST = 500
"""Milliseconds after which a burst of changes is reported although it has not ended."""
_WAIT = 60_000
"""Milliseconds that the watcher's thread waits for a change at a time. Its stop event ends it earlier."""
_POLL_ALONE = 1.0
"""Seconds between polls without inotify."""
_PER_ENTRY = 0.01
"""Seconds between polls for each file and directory. Listing one takes 5 to 15 µs, so this is 0.1 % of a CPU."""
_PER_ENTRY_ALONE = 0.0005
_LONGEST = 60.0
"""Upper limit of the seconds between polls."""


class Trigger(StrEnum):
    """Why the sources should be read. For the log only: nothing may depend on it."""

    STARTED = "started"
    NOTIFIED = "notified"
    POLLED = "polled"


async def watch(
    roots: Sequence[str], *, clock: Clock, poll: float = 10.0, step: float = 0.25
) -> AsyncGenerator[Trigger, None]:
    """Trigger once at the start, as soon as no later change can be missed, and after every change.

    Changes that come together, or while the receiver is busy, cause one trigger. A change that can't affect the
    resources, such as an editor's temporary file, causes none.

    Args:
        roots: directories or files, which need not exist.
        clock: for the poll.
        poll: seconds between polls, in case that a notification was lost; longer with more than a thousand files.
        step: seconds without a further change that end a burst. The watcher's thread wakes up that often, which is the
            cost of an idle watch: about 0.02 % of a CPU.
    """
    listings = await _list(roots)
    changes = _Changes(step)
    try:
        await changes.arm(_directories(roots, listings))
        yield Trigger.STARTED
        reason = Trigger.NOTIFIED
        while True:
            # The listing may be older than the watch: list once more without waiting.
            changes.event.clear()
            found = await _list(roots)
            if found == listings and await changes.arm(_directories(roots, found)):
                continue
            if found != listings:
                listings = found
                yield reason
                reason = Trigger.NOTIFIED
                continue
            notified = await wait_event(clock, changes.event, _interval(found, poll, alone=not changes.complete))
            reason = Trigger.NOTIFIED if notified else Trigger.POLLED
    finally:
        await changes.disarm()


def _interval(listings: dict[str, DirectoryListing], poll: float, *, alone: bool) -> float:
    entries = sum(len(listing.files) + len(listing.watched) for listing in listings.values())
    if alone:
        return max(min(poll, _POLL_ALONE), min(entries * _PER_ENTRY_ALONE, _LONGEST))
    return max(poll, min(entries * _PER_ENTRY, _LONGEST))


async def _list(roots: Iterable[str]) -> dict[str, DirectoryListing]:
    def listings(token: CancellationToken) -> dict[str, DirectoryListing]:
        return {root: list_root(root, None, token) for root in roots}

    return await to_cancellable_thread(listings)


def _directories(roots: Iterable[str], listings: dict[str, DirectoryListing]) -> frozenset[str]:
    return frozenset().union(*(listings[root].watched or {nearest_existing(root)} for root in roots))


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Changes:
    """The watch on a set of directories."""

    def __init__(self, step: float) -> None:
        self.event = asyncio.Event()
        self._step = int(step * 1000)
        self._directories: frozenset[str] = frozenset()
        self._unwatchable: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()
        self._warned = False

    @property
    def armed(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def complete(self) -> bool:
        """Whether every directory is watched."""
        return self.armed and not self._unwatchable

    async def arm(self, directories: frozenset[str]) -> bool:
        """Watch exactly these directories. Returns whether the watch was replaced; later changes set the event.

        Replacing an existing watch takes one step.
        """
        if self.armed and directories == self._directories:
            return False
        await self.disarm()
        self._directories = directories
        self._unwatchable = frozenset(path for path in directories if not _is_utf8(path))
        if directories == self._unwatchable:
            return False
        self._stop = threading.Event()
        ready = asyncio.Event()
        self._task = asyncio.create_task(
            self._run(sorted(directories - self._unwatchable), self._stop, ready), name="source watch"
        )
        await ready.wait()
        return self.armed

    async def disarm(self) -> None:
        """End the watch. Its thread ends within one step."""
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await asyncio.wait({task})
            task.result()

    async def _run(self, directories: list[str], stop: threading.Event, ready: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(
                _follow,
                directories,
                self._step,
                stop,
                started=partial(loop.call_soon_threadsafe, ready.set),
                changed=partial(loop.call_soon_threadsafe, self.event.set),
            )
            self._warned = False
        except (OSError, RuntimeError) as error:
            # ENOSPC and EMFILE: limits of inotify. ENOENT: a directory was just deleted.
            if not self._warned:
                self._warned = True
                logger.warning(
                    "can't watch %d directories, polling instead: %s; raise fs.inotify.max_user_watches or "
                    "fs.inotify.max_user_instances with sysctl if it is a limit",
                    len(directories),
                    error,
                )
        finally:
            stop.set()
            ready.set()


def _follow(
    directories: list[str],
    step: int,
    stop: threading.Event,
    *,
    started: Callable[[], object],
    changed: Callable[[], object],
) -> None:
    """Report changes until the stop event is set. Blocks; raises what the constructor of the watch does."""
    # Imported here: it takes megabytes, and only the daemon needs it. `awatch` takes as much again, for anyio.
    from watchfiles._rust_notify import RustNotify  # noqa: PLC0415

    # no debug output, no polling, not recursive, no ignored permissions: that would also hide exhausted limits
    with RustNotify(directories, False, False, 0, False, False) as watcher:
        started()
        while True:
            try:
                found = watcher.watch(_BURST, step, _WAIT, stop)
            except RuntimeError:
                changed()  # of a file whose name is not UTF-8; the watch is broken and is replaced
                return
            if found == "stop":
                return
            if found != "timeout":
                changed()
