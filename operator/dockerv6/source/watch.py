"""Tells when the sources may have changed. It only triggers: whoever is told reads everything anew.

Every directory that matters is watched by itself, not recursively: so links, which inotify does not follow, are seen
through, and the ``.git`` of a checkout costs nothing. The set of directories is found anew at every change, and the
watch is armed again when it differs; a root that is not there yet is awaited in the nearest directory that is.
A slow poll is the net beneath, and all that is left where inotify's limits are exhausted.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from enum import StrEnum

from dockerv6.lib.clock import Clock, wait_event
from dockerv6.source.directory import Listing, list_root
from dockerv6.source.inotify import Inotify
from dockerv6.source.links import nearest_existing

logger = logging.getLogger(__name__)

_BURST = 0.5
"""Seconds after which a burst of changes that does not end is reported all the same."""
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
    roots: Sequence[str], *, clock: Clock, poll: float = 10.0, step: float = 0.02
) -> AsyncGenerator[Trigger, None]:
    """Trigger once at the start, when it is certain that no later change is missed, and after every change.

    Changes that come together, and those that come while the receiver is busy, give one trigger. A change that can't
    alter what would be read (an editor's temporary file, say) gives none.

    Args:
        roots: directories or files, which need not exist.
        clock: for the poll.
        poll: seconds between looks at everything, in case that a notification was lost; done less often with more
            than a thousand files.
        step: seconds without a further change that end a burst.
    """
    look = await asyncio.to_thread(_look, roots)
    changes = _Changes(step)
    try:
        changes.arm(_directories(roots, look))
        yield Trigger.STARTED
        reason = Trigger.NOTIFIED
        while True:
            # What was seen when the watch was armed may be older than the watch: look once without waiting.
            changes.event.clear()
            seen = await asyncio.to_thread(_look, roots)
            changes.arm(_directories(roots, seen))
            if seen != look:
                look = seen
                yield reason
                reason = Trigger.NOTIFIED
                continue
            notified = await wait_event(clock, changes.event, _rest(seen, poll, alone=not changes.armed))
            reason = Trigger.NOTIFIED if notified else Trigger.POLLED
    finally:
        changes.disarm()


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
        self._step = step
        self._directories: frozenset[str] = frozenset()
        self._inotify: Inotify | None = None
        self._burst: asyncio.TimerHandle | None = None
        self._burst_since = 0.0
        self._complained = False

    @property
    def armed(self) -> bool:
        return self._inotify is not None

    def arm(self, directories: frozenset[str]) -> None:
        """Watch these, and only these. What changes after this returns is notified."""
        if self._inotify is not None and not self._inotify.stale and directories == self._directories:
            return
        before, self._inotify, self._directories = self._inotify, None, directories
        try:
            self._inotify = Inotify(sorted(directories), self._notified)
            self._complained = False
        except OSError as error:
            # ENOSPC and EMFILE are inotify's limits; a directory that has just gone is ENOENT.
            if not self._complained:
                self._complained = True
                logger.warning(
                    "can't watch %d directories, polling instead: %s; raise fs.inotify.max_user_watches or "
                    "fs.inotify.max_user_instances with sysctl if it is a limit",
                    len(directories),
                    error,
                )
        if before is not None:  # last, so that there is no moment without a watch
            before.close()

    def disarm(self) -> None:
        """End the watch."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._burst is not None:
            self._burst.cancel()

    def _notified(self) -> None:
        """Tell once the burst is over: the writer of one file may be about to write the next."""
        loop = asyncio.get_running_loop()
        if self._burst is None:
            self._burst_since = loop.time()
        else:
            self._burst.cancel()
        left = self._burst_since + _BURST - loop.time()
        self._burst = loop.call_later(max(0.0, min(self._step, left)), self._tell)

    def _tell(self) -> None:
        self._burst = None
        self.event.set()
