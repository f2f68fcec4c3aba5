"""A clock that tests control."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class FakeClock:
    """Implements `lib.clock.Clock`. Time passes only when a test advances it.

    Sleeping tasks wake in the order of their deadlines, and those with the same deadline in the order of their calls.
    `advance` is synchronous and jumps; `run_for` goes from deadline to deadline and lets the woken tasks run, and sleep
    again, as in real time.
    """

    _NANOSECONDS = 1_000_000_000

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        """Start at Unix time `now`; the monotonic clock starts at 0."""
        # Whole nanoseconds: three sleeps of 0.1 s must end exactly when one of 0.3 s does.
        self._elapsed = 0
        self._wall = round(now * self._NANOSECONDS)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Unix time in seconds."""
        return (self._wall + self._elapsed) / self._NANOSECONDS

    def monotonic(self) -> float:
        """Seconds by which the clock was advanced."""
        return self._elapsed / self._NANOSECONDS

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        # At least 1 ns, or a loop that sleeps for a rounding error would never end.
        deadline = self._elapsed + max(1, round(seconds * self._NANOSECONDS))
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> int:
        """The number of sleeping tasks."""
        return sum(1 for _, _, woken in self._sleepers if not woken.done())

    def next_deadline(self) -> float | None:
        """The monotonic time at which the next task wakes; None: no task sleeps."""
        deadline = self._next_deadline()
        return None if deadline is None else deadline / self._NANOSECONDS

    def advance(self, seconds: float) -> None:
        """Advance both clocks and wake the tasks that are due; they run when the caller next yields to the event loop.

        Raises:
            ValueError: the number is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s")
        self._move_to(self._elapsed + round(seconds * self._NANOSECONDS))

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or an administrator does. It does not affect sleeping tasks."""
        self._wall += round(seconds * self._NANOSECONDS)

    async def settle(self, rounds: int = 100) -> None:
        """Let the other tasks run until they all wait for something: `rounds` turns of the event loop."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def run_for(self, seconds: float) -> None:
        """Let `seconds` pass as in real time: stop at every deadline and let the woken tasks run.

        Raises:
            ValueError: the number is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s")
        end = self._elapsed + round(seconds * self._NANOSECONDS)
        await self.settle()
        while (deadline := self._next_deadline()) is not None and deadline <= end:
            self._move_to(deadline)
            await self.settle()
        self._move_to(end)
        await self.settle()

    async def run_until(self, awaitable: Awaitable[T], *, limit: float = 86_400.0) -> T:
        """Let time pass, deadline by deadline, until `awaitable` is done. Returns its result.

        Raises:
            TimeoutError: no task sleeps any more, or `limit` seconds have passed. The awaitable is cancelled.
        """
        task = asyncio.ensure_future(awaitable)
        end = self._elapsed + round(limit * self._NANOSECONDS)
        try:
            await self.settle()
            while not task.done():
                deadline = self._next_deadline()
                if deadline is None or deadline > end:
                    raise TimeoutError(f"not done at {self.monotonic()} s, and no task wakes before the limit")
                self._move_to(deadline)
                await self.settle()
            return await task
        finally:
            task.cancel()

    def _next_deadline(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():  # cancelled in its sleep
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _move_to(self, elapsed: int) -> None:
        self._elapsed = elapsed
        while self._sleepers and self._sleepers[0][0] <= elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
