import asyncio
import logging
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.tasks import Backoff, Supervisor
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def supervisor(clock: FakeClock) -> Supervisor:
    return Supervisor(clock=clock, random=Random(0), backoff=Backoff(initial=1, maximum=8, jitter=0))


class Flaky:
    """Fails after each of the given lengths of time, then goes on for ever."""

    def __init__(self, clock: FakeClock, lifetimes: list[float]) -> None:
        self.clock = clock
        self.started: list[float] = []
        self._lifetimes = iter(lifetimes)

    async def __call__(self) -> None:
        self.started.append(self.clock.monotonic())
        await self.clock.sleep(next(self._lifetimes))
        raise ConnectionResetError("the stream broke")


async def test_task_runs_once_under_its_name(supervisor: Supervisor, clock: FakeClock) -> None:
    supervisor.start("listing", lambda: clock.sleep(1))
    assert "listing" in supervisor.running
    await clock.run_for(1)
    assert "listing" not in supervisor.running


async def test_crash_is_logged_and_ends_a_task_that_runs_once(
    supervisor: Supervisor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.start("listing", Flaky(clock, [0.0]))
    await clock.run_for(60)
    assert supervisor.running == ()
    assert supervisor.crashes == {"listing": 1}
    assert "task listing crashed" in caplog.text
    assert "the stream broke" in caplog.text


async def test_kept_task_restarts_later_and_later(supervisor: Supervisor, clock: FakeClock) -> None:
    watcher = Flaky(clock, [0.0] * 6 + [1e9])
    supervisor.keep("watch", watcher)
    await clock.run_for(100)
    assert watcher.started == [0, 1, 3, 7, 15, 23, 31]
    assert supervisor.running == ("watch",)
    assert supervisor.crashes == {"watch": 6}
    await supervisor.stop()


async def test_long_run_makes_the_backoff_begin_anew(supervisor: Supervisor, clock: FakeClock) -> None:
    watcher = Flaky(clock, [0.0, 0.0, 0.0, 100.0, 1e9])
    supervisor.keep("watch", watcher)
    await clock.run_for(200)
    assert watcher.started == [0, 1, 3, 7, 108]
    await supervisor.stop()


async def test_kept_task_that_returns_is_done(supervisor: Supervisor, clock: FakeClock) -> None:
    supervisor.keep("watch", lambda: clock.sleep(1))
    await clock.run_for(60)
    assert supervisor.running == ()
    assert supervisor.crashes == {}


async def test_crash_of_one_task_leaves_the_others_alone(supervisor: Supervisor, clock: FakeClock) -> None:
    supervisor.start("good", lambda: clock.sleep(60))
    supervisor.start("bad", Flaky(clock, [0.0]))
    await clock.run_for(1)
    assert supervisor.running == ("good",)
    await supervisor.stop()


async def test_cancellation_of_what_a_task_waits_for_is_a_crash_not_an_end(
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
    assert supervisor.crashes == {"watch": 1}
    assert "broken off" in caplog.text
    await supervisor.stop()


async def test_name_is_taken_only_while_its_task_runs(supervisor: Supervisor, clock: FakeClock) -> None:
    supervisor.start("watch", lambda: clock.sleep(60))
    with pytest.raises(ValueError, match="watch"):
        supervisor.start("watch", lambda: clock.sleep(60))
    await supervisor.cancel("watch")
    supervisor.keep("watch", lambda: clock.sleep(60))
    await supervisor.cancel("watch")
    await supervisor.cancel("never started")
    assert supervisor.running == ()


async def test_leaving_the_block_ends_every_task(clock: FakeClock) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await clock.sleep(1e9)
        finally:
            ended.append(name)

    async with Supervisor(clock=clock, random=Random(0)) as supervisor:
        supervisor.start("a", lambda: work("a"))
        supervisor.keep("b", lambda: work("b"))
        await clock.settle()
    assert sorted(ended) == ["a", "b"]
    with pytest.raises(RuntimeError, match="stopped"):
        supervisor.start("c", lambda: work("c"))


async def test_kept_task_can_be_stopped_while_it_waits_for_its_restart(
    supervisor: Supervisor, clock: FakeClock
) -> None:
    watcher = Flaky(clock, [0.0, 0.0])
    supervisor.keep("watch", watcher)
    await clock.run_for(0.5)
    assert await supervisor.stop() == ()
    await clock.run_for(60)
    assert watcher.started == [0]


async def test_stopping_gives_up_a_task_that_ignores_it(
    supervisor: Supervisor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor.start("stubborn", stubborn)
    supervisor.start("obedient", lambda: clock.sleep(60))
    await clock.settle()
    assert await clock.run_until(supervisor.stop()) == ("stubborn",)
    assert clock.monotonic() < 1
    assert "ignored their cancellation" in caplog.text
    release.set()
    await clock.settle()


async def test_stopping_nothing_is_instant(supervisor: Supervisor) -> None:
    assert await supervisor.stop() == ()


def test_delays_grow_up_to_the_maximum() -> None:
    backoff = Backoff(initial=1, factor=2, maximum=10, jitter=0)
    assert [backoff.delay(attempt, Random(0)) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]


def test_same_randomness_gives_the_same_delays() -> None:
    backoff = Backoff()
    first, second = Random(7), Random(7)
    assert [backoff.delay(n, first) for n in range(9)] == [backoff.delay(n, second) for n in range(9)]


@given(st.integers(0, 1_000_000), st.integers(), st.floats(0, 1))
def test_delay_is_within_the_jitter_below_the_undisturbed_delay(attempt: int, seed: int, jitter: float) -> None:
    delay = Backoff(jitter=jitter).delay(attempt, Random(seed))
    undisturbed = Backoff(jitter=0).delay(attempt, Random(seed))
    assert undisturbed * (1 - jitter) <= delay <= undisturbed <= 60


def test_those_at_the_maximum_do_not_retry_in_step() -> None:
    random = Random(1)
    assert len({Backoff().delay(100, random) for _ in range(50)}) == 50


def test_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        Backoff().delay(-1, Random(0))


@pytest.mark.parametrize(
    "arguments",
    [{"initial": -1}, {"initial": 5, "maximum": 4}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}],
)
def test_senseless_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(**arguments)
