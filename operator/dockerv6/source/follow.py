"""Watch and load together: a snapshot whenever there may be a new one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from dockerv6.lib.clock import Clock
from dockerv6.source.load import Loader
from dockerv6.source.model import Snapshot
from dockerv6.source.permissions import Trust
from dockerv6.source.watch import watch


async def follow(
    roots: Sequence[str],
    *,
    clock: Clock,
    trust: Trust | None,
    settle: float = 0.2,
    patience: float = 5.0,
    poll: float = 10.0,
) -> AsyncGenerator[Snapshot, None]:
    """The sources as they are now, and again after every change, and when a file that was being written is at rest.

    Snapshots follow one another without gaps in time: one is read when the last has been dealt with and there is
    reason to. They may be equal. Ending the iteration ends the watch within a fifth of a second.

    Args:
        roots: directories or files, in order of precedence; they need not exist.
        clock: for settling and polling.
        trust: whose files are obeyed; None obeys everybody's.
        settle: seconds that a file must have been at rest before it counts.
        patience: seconds after which a file that is never at rest is read all the same.
        poll: seconds between looks at everything, in case that a notification was lost.
    """
    loader = Loader(roots, clock=clock, trust=trust, settle=settle, patience=patience)
    due = asyncio.Event()

    async def note_changes() -> None:
        async with aclosing(watch(roots, clock=clock, poll=poll)) as triggers:
            async for _ in triggers:
                due.set()

    watching = asyncio.create_task(note_changes(), name="source triggers")
    try:
        delay: float | None = None
        while True:
            await _first_of(watching, due, clock, delay)
            due.clear()
            snapshot = await asyncio.to_thread(loader.load)
            delay = snapshot.settles_in
            yield snapshot
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _first_of(watching: "asyncio.Task[None]", due: asyncio.Event, clock: Clock, delay: float | None) -> None:
    """Wait until a snapshot is due.

    Raises:
        Exception: the watch failed.
    """
    waiting: list[asyncio.Task[object]] = [asyncio.create_task(due.wait())]
    if delay is not None:
        waiting.append(asyncio.create_task(clock.sleep(delay)))
    try:
        await asyncio.wait({watching, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        for task in waiting:
            task.cancel()
