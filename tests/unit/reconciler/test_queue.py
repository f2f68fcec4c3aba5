import asyncio

import pytest

from dockerv6.lib.clock import FakeClock
from dockerv6.reconciler.queue import Depth, KeyedQueue
from dockerv6.reconciler.request import Key

A, B, C = (Key("Thing", name) for name in "abc")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> KeyedQueue:
    return KeyedQueue(clock)


def drain(queue: KeyedQueue) -> list[Key]:
    """Take and finish whatever is ready."""
    keys = []
    while (taken := queue.take()) is not None:
        keys.append(taken[0])
        queue.done(taken[0])
    return keys


def test_first_in_first_out(queue: KeyedQueue) -> None:
    for key in (B, A, C):
        queue.add(key)
    assert drain(queue) == [B, A, C]


def test_key_that_is_ready_is_there_once_and_keeps_its_place(queue: KeyedQueue) -> None:
    for key in (A, B, A, A):
        queue.add(key)
    assert drain(queue) == [A, B]


def test_key_in_a_workers_hands_is_not_given_to_another(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert drain(queue) == [A]


def test_key_added_while_processed_goes_to_the_end_of_the_line(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    for key in (A, B, C):
        queue.add(key)
    queue.done(A)
    assert drain(queue) == [B, C, A]


def test_take_tells_how_long_the_key_waited(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add(A)
    clock.advance(3)
    assert queue.take() == (A, 3)
    queue.add(A)
    clock.advance(2)
    queue.done(A)
    assert queue.take() == (A, 2)


def test_giving_back_what_nobody_has_is_a_mistake(queue: KeyedQueue) -> None:
    with pytest.raises(ValueError, match="Thing/a"):
        queue.done(A)


async def test_get_waits_for_a_key(queue: KeyedQueue, clock: FakeClock) -> None:
    getting = asyncio.ensure_future(queue.get())
    await clock.settle()
    assert not getting.done()
    queue.add(A)
    assert await getting == (A, 0)


async def test_each_key_wakes_one_of_several_workers(queue: KeyedQueue, clock: FakeClock) -> None:
    getting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await clock.settle()
    queue.add(A)
    queue.add(B)
    await clock.settle()
    assert sorted(task.result()[0] for task in getting if task.done()) == [A, B]
    queue.add(C)
    await asyncio.gather(*getting)


async def test_cancelled_worker_takes_no_key_with_it(queue: KeyedQueue, clock: FakeClock) -> None:
    getting = asyncio.ensure_future(queue.get())
    await clock.settle()
    queue.add(A)
    getting.cancel()
    await clock.settle()
    assert getting.cancelled()
    assert drain(queue) == [A]


def test_delayed_key_is_ready_when_its_time_comes(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add_after(A, 5)
    assert queue.promote() == 5
    clock.advance(4)
    assert queue.promote() == 1
    assert queue.take() is None
    clock.advance(1)
    assert queue.promote() is None
    assert drain(queue) == [A]


def test_earliest_of_several_delays_wins(queue: KeyedQueue, clock: FakeClock) -> None:
    for delay in (5, 2, 9):
        queue.add_after(A, delay)
    clock.advance(2)
    queue.promote()
    assert drain(queue) == [A]
    clock.advance(100)
    queue.promote()
    assert drain(queue) == []


def test_delay_of_nothing_is_an_add(queue: KeyedQueue) -> None:
    queue.add_after(A, 0)
    queue.retry_after(B, 0)
    assert drain(queue) == [A, B]


def test_delayed_addition_survives_an_earlier_run(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add_after(A, 5)
    queue.add(A)
    assert drain(queue) == [A]
    clock.advance(5)
    queue.promote()
    assert drain(queue) == [A]


def test_retry_is_superseded_by_an_earlier_run(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.retry_after(A, 5)
    queue.add(A)
    assert drain(queue) == [A]
    clock.advance(5)
    queue.promote()
    assert drain(queue) == []


def test_retry_asked_for_during_a_run_follows_it(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add(A)
    queue.take()
    queue.retry_after(A, 5)
    queue.done(A)
    clock.advance(5)
    queue.promote()
    assert drain(queue) == [A]


def test_forgotten_key_waits_nowhere(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add(A)
    queue.add_after(A, 1)
    queue.retry_after(A, 2)
    queue.forget(A)
    clock.advance(10)
    assert queue.promote() is None
    assert drain(queue) == []


def test_key_forgotten_while_processed_is_not_handed_out_again(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    queue.add(A)
    queue.forget(A)
    queue.done(A)
    assert drain(queue) == []


def test_claimed_key_is_kept_from_workers_and_not_lost(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.add(B)
    assert queue.claim(A)
    assert not queue.claim(A)
    assert drain(queue) == [B]
    queue.done(A)
    assert drain(queue) == [A]


def test_claim_leaves_no_work_behind_when_there_was_none(queue: KeyedQueue) -> None:
    assert queue.claim(A)
    queue.done(A)
    assert drain(queue) == []


def test_depth_counts_every_place(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.add(B)
    queue.take()
    queue.add(A)
    queue.add_after(A, 5)
    queue.retry_after(C, 5)
    assert queue.depth == Depth(ready=2, processing=1, delayed=1, retrying=1)


async def test_run_moves_keys_on_by_itself(queue: KeyedQueue, clock: FakeClock) -> None:
    running = asyncio.ensure_future(queue.run())
    await clock.run_for(1)
    queue.add_after(A, 60)
    await clock.run_for(1)
    queue.add_after(B, 10)
    queue.retry_after(C, 20)
    await clock.run_for(9)
    assert drain(queue) == []
    await clock.run_for(1)
    assert drain(queue) == [B]
    await clock.run_for(10)
    assert drain(queue) == [C]
    await clock.run_for(39)
    assert drain(queue) == [A]
    running.cancel()
