"""Follows Git sources: asks each remote at an interval, and has the sources read when a tree or a problem changed."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

from dockerv6.controller.context import Context
from dockerv6.controller.sources import Read
from dockerv6.lib.clock import Clock
from dockerv6.lib.tasks import Backoff, CancellationToken
from dockerv6.source.git.checkout import HISTORY, CheckoutState, GitCheckout, with_commits
from dockerv6.source.git.location import GitSource
from dockerv6.source.model import Snapshot

logger = logging.getLogger(__name__)

_FIRST_RETRY = 2.0
"""Seconds until a remote that could not be read is asked again; doubled up to the interval."""


AT_ONCE = 3
"""Remotes that are asked at the same time. Threads, and the processes of git, must fit into the unit's TasksMax."""

SLOW_AT_ONCE = 2
"""As `AT_ONCE`, of the remotes that could not be read the last time, or have taken longer than `PATIENCE`."""

PATIENCE = 5.0
"""Seconds after which a remote is a slow one."""


class GitSources:
    """All Git sources of an operator.

    Remotes that could not be read the last time, and slow ones, do not take the places of the others. So those that
    hang delay the others by `PATIENCE` once, and after that only those that fail as well.
    """

    def __init__(self, sources: Iterable[GitSource], interval: float, clock: Clock, random: Random) -> None:
        """Know what earlier processes checked out; nothing is fetched yet.

        Args:
            sources: of the settings.
            interval: seconds between two questions to a remote.
            clock: for the interval.
            random: for the jitter of retries.
        """
        self._checkouts = {source.root: GitCheckout(source) for source in sources}
        self._backoff = Backoff(min(_FIRST_RETRY, interval), maximum=interval)
        self._interval = interval
        self._clock = clock
        self._random = random
        self._changed = asyncio.Event()
        self._threads = ThreadPoolExecutor(AT_ONCE + SLOW_AT_ONCE, thread_name_prefix="git")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._slow_places = asyncio.Semaphore(SLOW_AT_ONCE)
        self._failing: set[str] = set()  # roots

    def tasks(self, context: Context) -> Mapping[str, Callable[[], Coroutine[object, object, None]]]:
        """The background tasks, by name."""
        return {
            f"git {checkout.source.location.directory_name}": partial(self._follow, checkout, context)
            for checkout in self._checkouts.values()
        }

    async def ask_all(self, context: Context) -> None:
        """Ask every remote once, all at the same time, before anything is read. Failures become problems."""
        await asyncio.gather(*(self._ask(checkout, context) for checkout in self._checkouts.values()))

    def read(self, read: Read) -> Read:
        """The function that reads all sources, with the commits and problems of the Git sources in its result."""

        def annotated(token: CancellationToken) -> Snapshot:
            return with_commits(read(token), self._checkouts)

        return annotated if self._checkouts else read

    async def watch(self, triggers: AsyncIterator[object]) -> AsyncIterator[object]:
        """The triggers of the files, and one for each change of a commit or of a problem."""
        trigger: asyncio.Task[object] | None = None
        try:
            while True:
                trigger = trigger or asyncio.ensure_future(anext(triggers))
                changed = asyncio.ensure_future(self._changed.wait())
                waiting: set[asyncio.Task[object]] = {trigger, changed}
                try:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                self._changed.clear()
                if trigger.done():
                    trigger.result()
                    trigger = None
                yield "changed"
        finally:
            if trigger is not None:
                trigger.cancel()

    async def close(self) -> None:
        """Wait until the threads of the cancelled tasks have ended: the next operator uses the same directories."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def _follow(self, checkout: GitCheckout, context: Context) -> None:
        failures = 0
        while True:
            state = await self._ask(checkout, context)
            failures = failures + 1 if state.problem else 0
            delay = self._backoff.delay(failures - 1, self._random) if failures else self._interval
            await self._clock.sleep(delay)

    async def _ask(self, checkout: GitCheckout, context: Context) -> CheckoutState:
        before = checkout.state
        after = await self._sync(checkout)
        await self._report(checkout, before, after, context)
        if after != before:
            self._changed.set()
        return after

    async def _sync(self, checkout: GitCheckout) -> CheckoutState:
        """Ask a remote. If it is slow, go on in one of the places for slow ones, or begin again once one is free."""
        first, second = CancellationToken(), CancellationToken()
        asking: asyncio.Future[CheckoutState] | None = None
        try:
            if checkout.root not in self._failing:
                async with self._places:
                    asking = self._start(checkout, first)
                    await self._for_a_while(asking)
                    if not asking.done() and self._slow_places.locked():
                        first.cancel()
                        await asyncio.wait({asking})
                        asking = None if asking.exception() else asking
            if asking is None or not asking.done():
                async with self._slow_places:
                    asking = asking or self._start(checkout, second)
                    await asyncio.wait({asking})
            state = asking.result()
        finally:
            first.cancel()
            second.cancel()
            if asking is not None:
                asking.cancel()  # else the end of its thread would be logged as an error
        (self._failing.add if state.problem else self._failing.discard)(checkout.root)
        return state

    async def _for_a_while(self, asking: "asyncio.Future[CheckoutState]") -> None:
        patience = asyncio.ensure_future(self._clock.sleep(PATIENCE))
        waiting: set[asyncio.Future[CheckoutState] | asyncio.Task[None]] = {asking, patience}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()

    def _start(self, checkout: GitCheckout, token: CancellationToken) -> "asyncio.Future[CheckoutState]":
        return asyncio.get_running_loop().run_in_executor(self._threads, checkout.sync, token)

    async def _report(
        self, checkout: GitCheckout, before: CheckoutState, after: CheckoutState, context: Context
    ) -> None:
        """Record a new commit as an event. A problem is reported by the code that reads the sources."""
        if not after.commit or after.commit == before.commit:
            return
        name, location = checkout.source.location.directory_name, checkout.source.location
        was = f" (before: {before.commit})" if before.commit else ""
        await context.events.normal("Source", name, "CommitCheckedOut", f"{location}: commit {after.commit}{was}")
        if after.rewritten:
            message = (
                f"{location}: commit {after.commit} does not follow {after.rewritten} within {HISTORY} commits: the"
                " branch was rewritten (force-pushed), or moved by more commits than that; check that this was meant"
            )
            await context.events.warning("Source", name, "HistoryRewritten", message)


def remove_unconfigured(directory: Path, sources: Iterable[GitSource]) -> None:
    """Remove the clones and trees of sources that are no longer in the settings."""
    kept = {source.directory for source in sources}
    for found in directory.iterdir() if directory.is_dir() else ():
        if found not in kept:
            logger.info("removing %s: its repository is no longer configured", found)
            shutil.rmtree(found, ignore_errors=True)
