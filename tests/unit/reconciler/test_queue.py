import asyncio
import pickle

import pytest

from dockerv6.reconciler.handler import Key
from dockerv6.reconciler.queue import KeyedQueue, QueueDepth, RetryTimes
from tests.fakes.clock import FakeClock

A, B, C = (Key("Thing", name) for name in "abc")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> KeyedQueue:
    return KeyedQueue(clock)


def drain(queue: KeyedQueue) -> list[Key]:
    """Take and finish every ready key."""
    keys = []
    while (taken := queue.take()) is not None:
        keys.append(taken[0])
        queue.done(taken[0])
    return keys


def test_first_in_first_out(queue: KeyedQueue) -> None:
    for key in (B, A, C):
        queue.add(key)
    assert drain(queue) == [B, A, C]


def test_key_that_is_ready_is_queued_once_and_keeps_its_place(queue: KeyedQueue) -> None:
    for key in (A, B, A, A):
        queue.add(key)
    assert drain(queue) == [A, B]


def test_key_that_is_being_processed_is_not_given_to_another_worker(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert drain(queue) == [A]


def test_key_added_while_processed_goes_to_the_end_of_the_queue(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    for key in (A, B, C):
        queue.add(key)
    queue.done(A)
    assert drain(queue) == [B, C, A]


def test_take_returns_how_long_the_key_was_ready(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add(A)
    clock.advance(3)
    assert queue.take() == (A, 3)
    queue.add(A)
    clock.advance(2)
    queue.done(A)
    assert queue.take() == (A, 2)


def test_done_without_take_is_refused(queue: KeyedQueue) -> None:
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


async def test_cancelled_worker_loses_no_key(queue: KeyedQueue, clock: FakeClock) -> None:
    getting = asyncio.ensure_future(queue.get())
    await clock.settle()
    queue.add(A)
    getting.cancel()
    await clock.settle()
    assert getting.cancelled()
    assert drain(queue) == [A]


def test_retry_is_ready_when_it_is_due(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.retry_after(A, 5)
    assert queue.promote() == 5
    clock.advance(4)
    assert queue.promote() == 1
    assert queue.take() is None
    clock.advance(1)
    assert queue.promote() is None
    assert drain(queue) == [A]


def test_earliest_of_several_retries_wins(queue: KeyedQueue, clock: FakeClock) -> None:
    for delay in (5, 2, 9):
        queue.retry_after(A, delay)
    clock.advance(2)
    queue.promote()
    assert drain(queue) == [A]
    clock.advance(100)
    queue.promote()
    assert drain(queue) == []


def test_retry_without_a_delay_is_ready_at_once(queue: KeyedQueue) -> None:
    queue.retry_after(A, 0)
    assert drain(queue) == [A]


def test_retry_is_replaced_by_an_earlier_run(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.retry_after(A, 5)
    queue.add(A)
    assert drain(queue) == [A]
    clock.advance(5)
    queue.promote()
    assert drain(queue) == []


def test_retry_that_is_added_during_a_run_follows_it(queue: KeyedQueue, clock: FakeClock) -> None:
    queue.add(A)
    queue.take()
    queue.retry_after(A, 5)
    queue.done(A)
    clock.advance(5)
    queue.promote()
    assert drain(queue) == [A]


def test_depth_counts_every_state(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.add(B)
    queue.take()
    queue.add(A)
    queue.retry_after(C, 5)
    assert queue.depth == QueueDepth(ready=2, processing=1, retrying=1)


async def test_run_promotes_retries_when_they_are_due(queue: KeyedQueue, clock: FakeClock) -> None:
    running = asyncio.ensure_future(queue.run())
    await clock.run_for(1)
    queue.retry_after(A, 60)
    await clock.run_for(1)
    queue.retry_after(B, 10)
    await clock.run_for(9)
    assert drain(queue) == []
    await clock.run_for(1)
    assert drain(queue) == [B]
    await clock.run_for(49)
    assert drain(queue) == [A]
    running.cancel()


class TestRetryTimes:
    def test_keys_are_returned_when_due_earliest_first(self) -> None:
        times = RetryTimes()
        for key, due in ((A, 3.0), (B, 1.0), (C, 2.0)):
            times.add(key, due)
        assert times.earliest() == 1
        assert times.pop(2) == [B, C]
        assert times.pop(2) == []
        assert len(times) == 1

    def test_keys_with_the_same_due_time_keep_their_order(self) -> None:
        times = RetryTimes()
        for key in (C, A, B):
            times.add(key, 1)
        assert times.pop(1) == [C, A, B]

    def test_earliest_due_time_wins(self) -> None:
        times = RetryTimes()
        for due in (5, 2, 9):
            times.add(A, due)
        assert times.pop(2) == [A]
        assert times.pop(100) == []

    def test_discarded_key_is_not_returned(self) -> None:
        times = RetryTimes()
        times.add(A, 1)
        times.discard(A)
        times.discard(B)
        assert times.earliest() is None
        assert times.pop(100) == []

    def test_discarded_key_can_be_added_again_for_later(self) -> None:
        times = RetryTimes()
        times.add(A, 1)
        times.discard(A)
        times.add(A, 5)
        assert times.pop(4) == []
        assert times.pop(5) == [A]

    def test_key_that_is_added_and_discarded_often_uses_no_memory(self) -> None:
        times = RetryTimes()
        for n in range(10_000):
            times.add(A, 86_400 + n)
            times.discard(A)
        times.add(A, 100_000)
        assert len(pickle.dumps(times)) < 10_000
        assert times.pop(1e9) == [A]
