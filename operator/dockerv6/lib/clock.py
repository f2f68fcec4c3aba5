"""Time as an injected dependency: the port, the system's clock, and a fake whose hands a test moves.

No module of dockerv6 reads the time or sleeps by itself; it is given a `Clock`. Wall time (`now`) is for what people
and files see; durations and deadlines use `monotonic`, which NTP does not step.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")

RESOLUTION = 1e-6
"""Seconds. Two instants closer than this are the same one: sums of floats differ in their last digits."""


class Clock(Protocol):
    """Reads the time and waits for it to pass."""

    def now(self) -> float:
        """Unix time in seconds (wall clock; may jump when the system's time is set)."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. Zero or less only lets other tasks run."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which stands still while the machine is suspended."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


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


async def wait_for(clock: Clock, awaitable: Awaitable[T], seconds: float) -> T:
    """Await something for at most `seconds` of the given clock (`asyncio.wait_for` knows only the real one).

    Raises:
        TimeoutError: it took longer; it has been cancelled, and that cancellation has been awaited.
    """
    task = asyncio.ensure_future(awaitable)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise TimeoutError(f"not done within {seconds} s")
        return task.result()
    finally:
        task.cancel()
        timer.cancel()


async def wait_event(clock: Clock, event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, for at most `seconds`; tell whether it is set."""
    if not event.is_set():
        try:
            await wait_for(clock, event.wait(), seconds)
        except TimeoutError:
            return event.is_set()
    return True
