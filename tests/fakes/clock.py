"""A clock that tests control."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class FakeClock:
    """A clock that stands still until it is told to move; for tests and simulations.

    Sleepers wake in the order of their deadlines, those with the same deadline in the order in which they went to
    sleep. `advance` is synchronous and moves the hands at once; `run_for` moves them from deadline to deadline and
    lets the woken tasks work (and sleep again) in between, as they would in real time.
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
        """Unix time in seconds, as far as the clock was moved."""
        return (self._wall + self._elapsed) / self._NANOSECONDS

    def monotonic(self) -> float:
        """Seconds by which the clock was moved since it was made."""
        return self._elapsed / self._NANOSECONDS

    async def sleep(self, seconds: float) -> None:
        """Wait until somebody moves the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        # At least one unit, or a loop that sleeps out a rounding error would spin.
        deadline = self._elapsed + max(1, round(seconds * self._NANOSECONDS))
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep."""
        return sum(1 for _, _, woken in self._sleepers if not woken.done())

    def advance(self, seconds: float) -> None:
        """Move both clocks on and wake whoever is due. The woken run when the caller next yields to the event loop.

        Raises:
            ValueError: the clock can't go back.
        """
        if seconds < 0:
            raise ValueError(f"a clock can't be advanced by {seconds} s")
        self._move_to(self._elapsed + round(seconds * self._NANOSECONDS))

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forth or back, as NTP or an administrator does; sleepers don't notice."""
        self._wall += round(seconds * self._NANOSECONDS)

    async def settle(self, rounds: int = 100) -> None:
        """Let the other tasks run until they all wait for something (`rounds` turns of the event loop)."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def run_for(self, seconds: float) -> None:
        """Let `seconds` pass as in real time: stop at every deadline on the way and let the woken tasks work.

        Raises:
            ValueError: the clock can't go back.
        """
        if seconds < 0:
            raise ValueError(f"a clock can't be advanced by {seconds} s")
        end = self._elapsed + round(seconds * self._NANOSECONDS)
        await self.settle()
        while (deadline := self._next_deadline()) is not None and deadline <= end:
            self._move_to(deadline)
            await self.settle()
        self._move_to(end)
        await self.settle()

    async def run_until(self, awaitable: Awaitable[T], *, limit: float = 86_400.0) -> T:
        """Let time pass, deadline by deadline, until `awaitable` is done; give its result.

        Raises:
            TimeoutError: nobody sleeps any more, or `limit` seconds passed, and it is still not done (it is cancelled).
        """
        task = asyncio.ensure_future(awaitable)
        end = self._elapsed + round(limit * self._NANOSECONDS)
        try:
            await self.settle()
            while not task.done():
                deadline = self._next_deadline()
                if deadline is None or deadline > end:
                    raise TimeoutError(f"not done at {self.monotonic()} s, and no sleeper is due before the limit")
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
