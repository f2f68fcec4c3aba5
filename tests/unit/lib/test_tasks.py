import asyncio
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.tasks import (
    Backoff,
    CancellationToken,
    OperationCancelled,
    Supervisor,
    to_cancellable_thread,
    together,
)
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def supervisor(clock: FakeClock) -> Supervisor:
    return Supervisor(clock=clock, random=Random(0), backoff=Backoff(initial=1, maximum=8, jitter=0))


async def test_what_is_done_together_has_ended_before_the_error_of_one_is_raised() -> None:
    ended: list[str] = []

    async def failing() -> int:
        await asyncio.sleep(0)
        raise KeyError("one")

    async def lasting() -> int:
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(0)
            ended.append("the other")
        return 1

    with pytest.raises(KeyError, match="one"):
        await together(lasting(), failing())
    assert ended == ["the other"]
    assert await together(asyncio.sleep(0.01, 1), asyncio.sleep(0, 2)) == [1, 2]
    assert await together() == []


class Flaky:
    """Crashes after each of the given times, then runs forever."""

    def __init__(self, clock: FakeClock, lifetimes: list[float]) -> None:
        self.clock = clock
        self.started: list[float] = []
        self._lifetimes = iter(lifetimes)

    async def __call__(self) -> None:
        self.started.append(self.clock.monotonic())
        await self.clock.sleep(next(self._lifetimes))
        raise ConnectionResetError("the stream broke")


async def test_a_crashed_task_restarts_with_backoff(
    supervisor: Supervisor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = Flaky(clock, [0.0] * 6 + [1e9])
    supervisor.keep("watch", watcher)
    await clock.run_for(100)
    assert watcher.started == [0, 1, 3, 7, 15, 23, 31]
    assert "task watch crashed" in caplog.text
    assert "the stream broke" in caplog.text
    await supervisor.stop()


async def test_a_task_is_crashing_until_it_has_run_for_the_longest_delay(
    supervisor: Supervisor, clock: FakeClock
) -> None:
    supervisor.keep("good", partial(clock.sleep, 1e9))
    supervisor.keep("watch", Flaky(clock, [5.0, 0.0, 1e9]))
    await clock.run_for(4)
    assert supervisor.crashing == {}
    await clock.run_for(1.5)
    assert supervisor.crashing == {"watch": "ConnectionResetError: the stream broke"}
    await clock.run_for(10)
    assert set(supervisor.crashing) == {"watch"}
    await clock.run_for(8)
    assert supervisor.crashing == {}
    await supervisor.stop()


async def test_the_backoff_starts_again_after_a_long_run(supervisor: Supervisor, clock: FakeClock) -> None:
    watcher = Flaky(clock, [0.0, 0.0, 0.0, 100.0, 1e9])
    supervisor.keep("watch", watcher)
    await clock.run_for(200)
    assert watcher.started == [0, 1, 3, 7, 108]
    await supervisor.stop()


async def test_a_task_that_returns_is_not_restarted_and_its_name_is_free(
    supervisor: Supervisor, clock: FakeClock
) -> None:
    runs: list[float] = []

    async def work() -> None:
        await clock.sleep(1)
        runs.append(clock.monotonic())

    supervisor.keep("watch", work)
    with pytest.raises(ValueError, match="watch"):
        supervisor.keep("watch", work)
    await clock.run_for(60)
    supervisor.keep("watch", work)
    await clock.run_for(60)
    assert runs == [1, 61]


async def test_a_crash_does_not_affect_other_tasks(supervisor: Supervisor, clock: FakeClock) -> None:
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(10)
            ticks.append(clock.monotonic())

    supervisor.keep("good", tick)
    supervisor.keep("bad", Flaky(clock, [0.0, 1e9]))
    await clock.run_for(30)
    assert ticks == [10, 20, 30]
    await supervisor.stop()


async def test_the_cancellation_of_an_awaited_task_is_a_crash(
    supervisor: Supervisor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    connection: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    attempts: list[int] = []

    async def watch() -> None:
        attempts.append(1)
        await (connection if len(attempts) == 1 else clock.sleep(1e9))

    supervisor.keep("watch", watch)
    await clock.settle()
    connection.cancel()
    await clock.run_for(1)
    assert len(attempts) == 2
    assert "task watch was interrupted" in caplog.text
    await supervisor.stop()


async def test_stopping_ends_every_task_and_no_task_can_start_afterwards(
    supervisor: Supervisor, clock: FakeClock
) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await clock.sleep(1e9)
        finally:
            ended.append(name)

    for name in ("a", "b"):
        supervisor.keep(name, partial(work, name))
    await clock.settle()
    await supervisor.stop()
    assert sorted(ended) == ["a", "b"]
    with pytest.raises(RuntimeError, match="stopped"):
        supervisor.keep("c", partial(work, "c"))


async def test_a_task_that_waits_for_its_restart_can_be_stopped(supervisor: Supervisor, clock: FakeClock) -> None:
    watcher = Flaky(clock, [0.0, 0.0])
    supervisor.keep("watch", watcher)
    await clock.run_for(0.5)
    await supervisor.stop()
    await clock.run_for(60)
    assert watcher.started == [0]


async def test_a_task_that_ignores_its_cancellation_is_abandoned(
    supervisor: Supervisor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor.keep("stubborn", stubborn)
    supervisor.keep("obedient", lambda: clock.sleep(60))
    await clock.settle()
    await clock.run_until(supervisor.stop())
    assert clock.monotonic() < 1
    assert "ignored their cancellation for 0.8 s: stubborn" in caplog.text
    release.set()
    await clock.settle()


async def test_stopping_without_tasks_is_instant(supervisor: Supervisor, clock: FakeClock) -> None:
    await supervisor.stop()
    assert clock.monotonic() == 0


def test_delays_grow_up_to_the_maximum() -> None:
    backoff = Backoff(initial=1, factor=2, maximum=10, jitter=0)
    assert [backoff.delay(attempt, Random(0)) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]


def test_equal_seeds_give_equal_delays() -> None:
    backoff = Backoff()
    first, second = Random(7), Random(7)
    assert [backoff.delay(n, first) for n in range(9)] == [backoff.delay(n, second) for n in range(9)]


@given(st.integers(0, 1_000_000), st.integers(), st.floats(0, 1))
def test_jitter_only_reduces_the_delay(attempt: int, seed: int, jitter: float) -> None:
    delay = Backoff(jitter=jitter).delay(attempt, Random(seed))
    exact = Backoff(jitter=0).delay(attempt, Random(seed))
    assert exact * (1 - jitter) <= delay <= exact <= 60


def test_delays_at_the_maximum_differ() -> None:
    random = Random(1)
    assert len({Backoff().delay(100, random) for _ in range(50)}) == 50


def test_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        Backoff().delay(-1, Random(0))


@pytest.mark.parametrize(
    "arguments",
    [{"initial": -1}, {"initial": 5, "maximum": 4}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}],
)
def test_invalid_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(**arguments)


async def test_cancelling_the_task_ends_its_thread() -> None:
    started, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(token: CancellationToken) -> None:
        loop.call_soon_threadsafe(started.set)
        try:
            while True:
                token.check()
        except OperationCancelled:
            loop.call_soon_threadsafe(ended.set)

    task = asyncio.create_task(to_cancellable_thread(endless))
    await started.wait()
    task.cancel()
    await asyncio.wait_for(ended.wait(), 30)
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_thread_that_is_not_cancelled_returns_its_result() -> None:
    def work(token: CancellationToken) -> int:
        token.check()
        return 7

    assert await to_cancellable_thread(work) == 7
