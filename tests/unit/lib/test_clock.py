import asyncio
import time

import pytest

from dockerv6.lib.clock import Clock, FakeClock, SystemClock, wait_event, wait_for


async def test_system_clock_reads_the_machine() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    await clock.sleep(0)
    assert before <= clock.now() <= time.time()
    assert clock.monotonic() <= time.monotonic()


def test_fake_clock_stands_still_until_advanced() -> None:
    clock = FakeClock(now=1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (1002.5, 2.5)


def test_wall_clock_can_be_set_back_without_the_monotonic_one() -> None:
    clock = FakeClock(now=1000.0)
    clock.step_wall(-600)
    assert (clock.now(), clock.monotonic()) == (400.0, 0.0)


async def test_fake_clock_does_not_go_back() -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="-1"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="-1"):
        await clock.run_for(-1)


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock = FakeClock()
    woken: list[str] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    sleepers = [asyncio.ensure_future(sleep(*each)) for each in (("late", 3), ("one", 1), ("other", 1), ("later", 9))]
    await clock.settle()
    assert clock.sleepers == 4
    clock.advance(3)
    await clock.settle()
    assert woken == ["one", "other", "late"]
    assert clock.sleepers == 1
    clock.advance(6)
    await asyncio.gather(*sleepers)
    assert woken[-1] == "later"


async def test_run_for_lets_a_loop_tick_as_in_real_time() -> None:
    clock = FakeClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(0.1)
            ticks.append(clock.monotonic())

    task = asyncio.ensure_future(tick())
    await clock.run_for(0.35)
    assert ticks == [0.1, 0.2, 0.3]
    assert clock.monotonic() == 0.35
    task.cancel()


async def test_many_short_sleeps_end_with_one_long_sleep() -> None:
    clock = FakeClock()

    async def short() -> None:
        for _ in range(3):
            await clock.sleep(0.1)

    both = asyncio.gather(short(), clock.sleep(0.3))
    await clock.run_for(0.3)
    assert both.done()


async def test_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await clock.settle()
    task.cancel()
    await clock.settle()
    assert clock.sleepers == 0
    await clock.run_for(10)
    assert clock.monotonic() == 10


async def test_sleep_of_nothing_only_yields() -> None:
    await FakeClock().sleep(0)
    await FakeClock().sleep(-1)


async def test_shortest_sleep_still_takes_time() -> None:
    clock = FakeClock()
    await clock.run_until(clock.sleep(1e-12))
    assert clock.monotonic() > 0


async def test_run_until_moves_the_clock_as_far_as_needed() -> None:
    clock = FakeClock()

    async def work() -> str:
        await clock.sleep(30)
        await clock.sleep(12)
        return "done"

    assert await clock.run_until(work()) == "done"
    assert clock.monotonic() == 42


async def test_run_until_says_when_nothing_can_happen_any_more() -> None:
    clock = FakeClock()
    with pytest.raises(TimeoutError, match="no sleeper"):
        await clock.run_until(asyncio.Event().wait())


async def test_run_until_stops_at_its_limit() -> None:
    clock = FakeClock()
    with pytest.raises(TimeoutError, match="limit"):
        await clock.run_until(clock.sleep(11), limit=10)


async def test_wait_for_gives_the_result_in_time() -> None:
    clock = FakeClock()

    async def work() -> int:
        await clock.sleep(1)
        return 7

    assert await clock.run_until(wait_for(clock, work(), 2)) == 7
    assert clock.monotonic() == 1
    await clock.settle()
    assert clock.sleepers == 0


async def test_wait_for_passes_errors_on() -> None:
    clock = FakeClock()

    async def work() -> None:
        raise LookupError("inner")

    with pytest.raises(LookupError, match="inner"):
        await wait_for(clock, work(), 2)


async def test_wait_for_cancels_what_takes_too_long_and_waits_for_its_cleaning_up() -> None:
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


async def test_wait_for_keeps_a_result_that_comes_in_spite_of_the_cancellation() -> None:
    clock = FakeClock()

    async def stubborn() -> str:
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            return "late"
        return "early"

    assert await clock.run_until(wait_for(clock, stubborn(), 2)) == "late"


async def test_cancelling_wait_for_cancels_what_it_waits_for() -> None:
    clock = FakeClock()
    inner = asyncio.ensure_future(clock.sleep(60))
    outer = asyncio.ensure_future(wait_for(clock, inner, 30))
    await clock.settle()
    outer.cancel()
    await clock.settle()
    assert outer.cancelled()
    assert inner.cancelled()
    assert clock.sleepers == 0


async def test_wait_event_tells_an_event_from_a_timeout() -> None:
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
