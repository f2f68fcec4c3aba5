import asyncio
import time

import pytest

from dockerv6.lib.clock import Clock, SystemClock, wait_event, wait_for
from tests.fakes.clock import FakeClock


async def test_system_clock_reads_the_systems_clocks() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    await clock.sleep(0)
    assert before <= clock.now() <= time.time()
    assert clock.monotonic() <= time.monotonic()


async def test_wait_for_returns_the_result() -> None:
    clock = FakeClock()

    async def work() -> int:
        await clock.sleep(1)
        return 7

    assert await clock.run_until(wait_for(clock, work(), 2)) == 7
    assert clock.monotonic() == 1
    await clock.settle()
    assert clock.sleepers == 0


async def test_wait_for_raises_the_error() -> None:
    clock = FakeClock()

    async def work() -> None:
        raise LookupError("inner")

    with pytest.raises(LookupError, match="inner"):
        await wait_for(clock, work(), 2)


async def test_wait_for_awaits_the_cancellation_after_a_timeout() -> None:
    clock = FakeClock()
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await clock.sleep(60)
        finally:
            await clock.sleep(1)
            cleaned.set()

    with pytest.raises(TimeoutError, match="2 s"):
        await clock.run_until(wait_for(clock, work(), 2))
    assert cleaned.is_set()
    assert clock.monotonic() == 3


async def test_wait_for_returns_a_result_in_spite_of_the_cancellation() -> None:
    clock = FakeClock()

    async def stubborn() -> str:
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            return "late"
        return "early"

    assert await clock.run_until(wait_for(clock, stubborn(), 2)) == "late"


async def test_cancelling_wait_for_cancels_the_awaitable() -> None:
    clock = FakeClock()
    inner = asyncio.ensure_future(clock.sleep(60))
    outer = asyncio.ensure_future(wait_for(clock, inner, 30))
    await clock.settle()
    outer.cancel()
    await clock.settle()
    assert outer.cancelled()
    assert inner.cancelled()
    assert clock.sleepers == 0


async def test_wait_event_returns_whether_the_event_was_set() -> None:
    clock = FakeClock()
    event = asyncio.Event()
    assert await clock.run_until(wait_event(clock, event, 5)) is False
    assert clock.monotonic() == 5
    waiting = asyncio.ensure_future(wait_event(clock, event, 5))
    await clock.run_for(1)
    event.set()
    assert await waiting is True
    assert await wait_event(clock, event, 5) is True
    assert clock.monotonic() == 6
