"""The keyed queue: first in, first out, each key at most once, never given to two workers at a time."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from dockerv6.lib.clock import RESOLUTION, Clock, wait_event
from dockerv6.reconciler.delays import Delays
from dockerv6.reconciler.request import Key


@dataclass(frozen=True, slots=True)
class Depth:
    """How many keys are where; a key may be in several places, such as being processed and delayed.

    Attributes:
        ready: waiting for a worker.
        processing: in a worker's hands.
        delayed: to be added later.
        retrying: to be handled again later, unless they are handled before.
    """

    ready: int
    processing: int
    delayed: int
    retrying: int


class KeyedQueue:
    """Holds keys until a worker takes them; a key added again while it is ready is there once.

    A key added while it is being processed is handed out again afterwards, since the worker may have read the world
    before the change: nothing added is lost. Belongs to one event loop; from another thread use
    `loop.call_soon_threadsafe(queue.add, key)`.
    """

    def __init__(self, clock: Clock) -> None:
        """Make an empty queue. Delayed keys move on only while `run` runs, or when `promote` is called."""
        self._clock = clock
        self._ready: OrderedDict[Key, float] = OrderedDict()  # since when; a dict is slow to pop at the front
        self._processing: set[Key] = set()
        self._again: dict[Key, float] = {}  # added while being processed, since when
        self._delays = Delays()
        self._retries = Delays()
        self._filled = asyncio.Event()
        self._sooner = asyncio.Event()

    @property
    def depth(self) -> Depth:
        """How many keys are where. Those added while being processed count as ready too."""
        return Depth(
            ready=len(self._ready) + len(self._again),
            processing=len(self._processing),
            delayed=len(self._delays),
            retrying=len(self._retries),
        )

    def add(self, key: Key) -> None:
        """Hand the key out as soon as a worker is free and nobody has the key."""
        if key in self._processing:
            self._again.setdefault(key, self._clock.monotonic())
        elif key not in self._ready:
            self._ready[key] = self._clock.monotonic()
            self._filled.set()

    def add_after(self, key: Key, delay: float) -> None:
        """Add the key in `delay` seconds, whatever happens to it before. Of several such times the earliest wins."""
        self._delay(self._delays, key, delay)

    def retry_after(self, key: Key, delay: float) -> None:
        """Add the key in `delay` seconds, but not if it is handed out before: that run supersedes this one."""
        self._delay(self._retries, key, delay)

    def forget(self, key: Key) -> None:
        """Drop the key wherever it waits. A worker that has it may finish."""
        self._ready.pop(key, None)
        self._again.pop(key, None)
        self._delays.discard(key)
        self._retries.discard(key)

    def take(self) -> tuple[Key, float] | None:
        """The key that has waited longest and for how many seconds, if any is ready. `done` must follow."""
        if not self._ready:
            return None
        key, since = self._ready.popitem(last=False)
        self._processing.add(key)
        self._retries.discard(key)
        return key, self._clock.monotonic() - since

    async def get(self) -> tuple[Key, float]:
        """Wait for a key; like `take`."""
        while (taken := self.take()) is None:
            self._filled.clear()
            await self._filled.wait()
        return taken

    def claim(self, key: Key) -> bool:
        """Keep workers from the key for a while, unless one has it: then false. `done` must follow.

        If it is ready it stays so, and is handed out after `done`.
        """
        if key in self._processing:
            return False
        self._processing.add(key)
        if (since := self._ready.pop(key, None)) is not None:
            self._again[key] = since
        return True

    def done(self, key: Key) -> None:
        """Give the key back; if it was added in the meantime it goes to the end of the line.

        Raises:
            ValueError: nobody has the key.
        """
        if key not in self._processing:
            raise ValueError(f"{key} is not being processed")
        self._processing.remove(key)
        if (since := self._again.pop(key, None)) is not None:
            self._ready[key] = since
            self._filled.set()

    def promote(self) -> float | None:
        """Add the keys whose time has come; tell in how many seconds the next one is due, if any is."""
        now = self._clock.monotonic()
        for delays in (self._delays, self._retries):
            for key in delays.pop(now + RESOLUTION):
                self.add(key)
        waiting = [due for delays in (self._delays, self._retries) if (due := delays.next()) is not None]
        return min(waiting) - now if waiting else None

    async def run(self) -> None:
        """Move delayed keys on when their time comes, for ever."""
        while True:
            self._sooner.clear()
            wait = self.promote()
            if wait is None:
                await self._sooner.wait()
            else:
                await wait_event(self._clock, self._sooner, wait)

    def _delay(self, delays: Delays, key: Key, delay: float) -> None:
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay
        first = delays.next()
        delays.add(key, due)
        if first is None or due < first:
            self._sooner.set()
