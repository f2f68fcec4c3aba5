"""Time as an injected dependency: the port, the system's clock, and waiting with a timeout.

Code receives a `Clock` and neither reads the time nor sleeps by itself. Wall time (`now`) is for what people
and files see; durations and deadlines use `monotonic`, which NTP does not step.
"""

import asyncio
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
