"""Time as an injected dependency: the port, the system's clock, and waiting with a timeout.

Code receives a `Clock` and neither reads the time nor sleeps by itself. Wall time (`now`) is for output and files;
durations and deadlines use `monotonic`, which NTP does not step. Tests use `tests.fakes.clock`.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")

RESOLUTION = 1e-6
"""Seconds. Times that are closer than this are equal: sums of floats differ in their last digits."""


class Clock(Protocol):
    """Reads the time and sleeps."""

    def now(self) -> float:
        """Unix time in seconds. It jumps when the system time is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep. With zero or less, only let other tasks run."""
        ...


class SystemClock:
    """The system's clocks."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which stops while the machine is suspended."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


async def wait_for(clock: Clock, awaitable: Awaitable[T], seconds: float) -> T:
    """Like `asyncio.wait_for`, with a timeout of the given clock.

    Raises:
        TimeoutError: the time is over. The awaitable was cancelled, and its cancellation was awaited.
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
    """Wait for the event for at most `seconds`. Returns whether it is set."""
    if not event.is_set():
        try:
            await wait_for(clock, event.wait(), seconds)
        except TimeoutError:
            return event.is_set()
    return True
