"""Tells when the sources may have changed. It only triggers: whoever is told reads everything anew.

Every directory that matters is watched by itself, not recursively: so links, which inotify does not follow, are seen
through, and the ``.git`` of a checkout costs nothing. The set of directories is found anew at every change, and the
watch is armed again when it differs; a root that is not there yet is awaited in the nearest directory that is.
A slow poll is the net beneath, and all that is left where inotify's limits are exhausted.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from enum import StrEnum

from dockerv6.lib.clock import Clock, wait_event
from dockerv6.source.directory import Listing, list_root
from dockerv6.source.links import nearest_existing

logger = logging.getLogger(__name__)

_BURST = 500
"""Milliseconds after which a burst of changes that does not end is reported all the same."""
_WAIT = 60_000
"""Milliseconds for which the watcher's thread waits between looks at nothing; it is stopped through its event."""
_POLL_ALONE = 1.0
"""Seconds between polls where nothing else tells of changes."""
_PER_ENTRY = 0.01
"""Seconds of rest for every file and directory that a poll looks at, which takes 5 to 15 µs: 0.1 % of a CPU."""
_PER_ENTRY_ALONE = 0.0005
_LONGEST = 60.0
"""Seconds between polls, however many files there are."""


class Trigger(StrEnum):
    """Why the sources should be read; for the log only, as nothing may depend on it."""

    STARTED = "started"
    NOTIFIED = "notified"
    POLLED = "polled"


async def watch(
    roots: Sequence[str], *, clock: Clock, poll: float = 10.0, step: float = 0.15
) -> AsyncGenerator[Trigger, None]:
    """Trigger once at the start, when it is certain that no later change is missed, and after every change.

    Changes that come together, and those that come while the receiver is busy, give one trigger. A change that can't
    alter what would be read (an editor's temporary file, say) gives none.

    Args:
        roots: directories or files, which need not exist.
        clock: for the poll.
        poll: seconds between looks at everything, in case that a notification was lost; done less often with more
            than a thousand files.
        step: seconds without a further change that end a burst. The watcher's thread looks up that often, which is what
            an idle watch costs: 0.05 % of a CPU at 0.1 s.
    """
    look = await asyncio.to_thread(_look, roots)
    changes = _Changes(step)
    try:
        await changes.arm(_directories(roots, look))
        yield Trigger.STARTED
        reason = Trigger.NOTIFIED
        while True:
            # What was seen when the watch was armed may be older than the watch: look once without waiting.
            changes.event.clear()
            seen = await asyncio.to_thread(_look, roots)
            if seen == look and await changes.arm(_directories(roots, seen)):
                continue
            if seen != look:
                look = seen
                yield reason
                reason = Trigger.NOTIFIED
                continue
            notified = await wait_event(clock, changes.event, _rest(seen, poll, alone=not changes.armed))
            reason = Trigger.NOTIFIED if notified else Trigger.POLLED
    finally:
        await changes.disarm()


def _rest(look: dict[str, Listing], poll: float, *, alone: bool) -> float:
    entries = sum(len(listing.files) + len(listing.directories) for listing in look.values())
    if alone:
        return max(min(poll, _POLL_ALONE), min(entries * _PER_ENTRY_ALONE, _LONGEST))
    return max(poll, min(entries * _PER_ENTRY, _LONGEST))


def _look(roots: Iterable[str]) -> dict[str, Listing]:
    return {root: list_root(root, None) for root in roots}


def _directories(roots: Iterable[str], look: dict[str, Listing]) -> frozenset[str]:
    return frozenset().union(*(look[root].directories or {nearest_existing(root)} for root in roots))


class _Changes:
    """The running watch on a set of directories."""

    def __init__(self, step: float) -> None:
        self.event = asyncio.Event()
        self._step = int(step * 1000)
        self._directories: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._complained = False

    @property
    def armed(self) -> bool:
        return self._task is not None and not self._task.done()

    async def arm(self, directories: frozenset[str]) -> bool:
        """Watch these, and only these; tells whether that is new. What changes after this returns is notified.

        It takes a step when there was a watch already, so a change is told of first.
        """
        if self.armed and directories == self._directories:
            return False
        await self.disarm()
        self._directories = directories
        self._stop = asyncio.Event()
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(sorted(directories), self._stop, ready), name="source watch")
        await ready.wait()
        return self.armed

    async def disarm(self) -> None:
        """End the watch; its thread notices within one step."""
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await asyncio.wait({task})
            task.result()

    async def _run(self, directories: list[str], stop: asyncio.Event, ready: asyncio.Event) -> None:
        # Importing it takes megabytes that commands other than the daemon have no use for.
        from watchfiles import awatch  # noqa: PLC0415

        asyncio.get_running_loop().call_soon(ready.set)  # runs when the generator below has armed and waits
        try:
            batches = awatch(
                *directories,
                watch_filter=None,
                debounce=_BURST,
                step=self._step,
                stop_event=stop,
                rust_timeout=_WAIT,
                force_polling=False,
                recursive=False,
                ignore_permission_denied=False,  # true would hide exhausted limits as well
            )
            async with aclosing(batches):
                async for _ in batches:
                    self.event.set()
            self._complained = False
        except (OSError, RuntimeError) as error:
            # ENOSPC and EMFILE are inotify's limits; a directory that has just gone is ENOENT.
            if not self._complained:
                self._complained = True
                logger.warning(
                    "can't watch %d directories, polling instead: %s; raise fs.inotify.max_user_watches or "
                    "fs.inotify.max_user_instances with sysctl if it is a limit",
                    len(directories),
                    error,
                )
        finally:
            ready.set()
