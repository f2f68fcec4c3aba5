"""The queue of keys: first in, first out; each key at most once; never given to two workers at the same time."""

import asyncio
import heapq
from collections import OrderedDict
from dataclasses import dataclass

from dockerv6.lib.clock import RESOLUTION, Clock, wait_event
from dockerv6.reconciler.handler import Key

_MAX_STALE_ENTRIES = 64
"""Stale entries that the heap of retries may have on top of twice its size before it is rebuilt."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Numbers of keys; a key that is being processed may also be ready or retrying.

    Attributes:
        ready: keys that wait for a worker.
        processing: keys that a worker has taken.
        retrying: keys that become ready later.
    """

    ready: int
    processing: int
    retrying: int


class KeyedQueue:
    """Holds keys until a worker takes them.

    A key that is added while it is ready stays in its place. A key that is added while it is being processed becomes
    ready again afterwards, since the worker may have read the state before the change: no addition is lost.

    All methods belong to one event loop; from another thread use `loop.call_soon_threadsafe(queue.add, key)`.
    """

    def __init__(self, clock: Clock) -> None:
        """Make an empty queue. Retries become ready only while `run` runs, or when `promote` is called."""
        self._clock = clock
        self._ready: OrderedDict[Key, float] = OrderedDict()  # since when; a dict is slow to pop at the front
        self._processing: set[Key] = set()
        self._again: dict[Key, float] = {}  # added while being processed, since when
        self._retries = RetryTimes()
        self._filled = asyncio.Event()
        self._sooner = asyncio.Event()

    @property
    def depth(self) -> QueueDepth:
        """How many keys are in which state. Keys added while they are processed count as ready too."""
        return QueueDepth(
            ready=len(self._ready) + len(self._again),
            processing=len(self._processing),
            retrying=len(self._retries),
        )

    def pending(self, key: Key) -> bool:
        """Whether the key is ready or being processed."""
        return key in self._ready or key in self._processing

    def add(self, key: Key) -> None:
        """Make the key ready, or ready again once its worker is done with it."""
        if key in self._processing:
            self._again.setdefault(key, self._clock.monotonic())
        elif key not in self._ready:
            self._ready[key] = self._clock.monotonic()
            self._filled.set()

    def retry_after(self, key: Key, delay: float) -> None:
        """Add the key in `delay` seconds, unless a worker takes it before: that run replaces the retry."""
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay
        first = self._retries.earliest()
        self._retries.add(key, due)
        if first is None or due < first:
            self._sooner.set()

    def take(self) -> tuple[Key, float] | None:
        """Take the key that has been ready longest; None if there is none. `done` must follow.

        Returns:
            The key, and for how many seconds it was ready.
        """
        if not self._ready:
            return None
        key, since = self._ready.popitem(last=False)
        self._processing.add(key)
        self._retries.discard(key)
        return key, self._clock.monotonic() - since

    async def get(self) -> tuple[Key, float]:
        """Like `take`, but wait for a key."""
        while (taken := self.take()) is None:
            self._filled.clear()
            await self._filled.wait()
        return taken

    def done(self, key: Key) -> None:
        """End the processing of a key. If it was added in the meantime, it goes to the end of the queue.

        Raises:
            ValueError: the key is not being processed.
        """
        if key not in self._processing:
            raise ValueError(f"{key} is not being processed")
        self._processing.remove(key)
        if (since := self._again.pop(key, None)) is not None:
            self._ready[key] = since
            self._filled.set()

    def promote(self) -> float | None:
        """Add the keys whose retry is due. Returns the seconds until the next retry, None if there is none."""
        now = self._clock.monotonic()
        for key in self._retries.pop(now + RESOLUTION):
            self.add(key)
        due = self._retries.earliest()
        return None if due is None else due - now

    async def run(self) -> None:
        """Promote retries when they are due, forever."""
        while True:
            self._sooner.clear()
            wait = self.promote()
            if wait is None:
                await self._sooner.wait()
            else:
                await wait_event(self._clock, self._sooner, wait)


class RetryTimes:
    """At most one due time for each key: the earliest that was added. Reads no clock."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []  # may contain stale entries; `_due` is authoritative
        self._added = 0

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: Key, due: float) -> None:
        """Make the key due at that time, unless it is due earlier."""
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._added += 1  # keys with the same due time come in the order in which they were added
        heapq.heappush(self._heap, (due, self._added, key))
        if len(self._heap) > 2 * len(self._due) + _MAX_STALE_ENTRIES:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def discard(self, key: Key) -> None:
        """Remove the key's due time, if it has one."""
        self._due.pop(key, None)

    def earliest(self) -> float | None:
        """The earliest due time."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> list[Key]:
        """Remove and return the keys that are due, earliest first."""
        keys = []
        while (due := self.earliest()) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            keys.append(key)
        return keys
