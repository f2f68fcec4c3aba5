import asyncio
from collections.abc import AsyncIterator

import pytest

from dockerv6.reconciler.errors import PermanentError, TemporaryError
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Outcome, Requeue
from dockerv6.reconciler.queue import Depth
from dockerv6.reconciler.registry import Registry
from dockerv6.reconciler.request import Key
from tests.unit.reconciler.harness import Bench, Recorder, Script, registry

A, B, C = (Key("Network", name) for name in "abc")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.manager.start()
    yield bench
    await bench.clock.run_until(bench.manager.stop())


async def test_enqueued_key_is_reconciled_once(bench: Bench) -> None:
    bench.manager.enqueue(A, "added")
    bench.manager.enqueue(A, "again")
    await bench.manager.idle()
    assert bench.script.times(A) == [0]
    assert bench.manager.last_outcome(A) == Outcome(final=True)
    assert bench.manager.last_outcome(B) is None


async def test_keys_are_handled_in_parallel_but_each_by_one_worker(bench: Bench) -> None:
    for key in (A, B, C):
        bench.script.plan(key, 10.0, 10.0)
        bench.manager.enqueue(key, "added")
    await bench.clock.run_for(5)
    assert bench.script.most_parallel == 3
    bench.manager.enqueue(A, "changed while it was handled")
    await bench.clock.run_for(30)
    assert bench.script.times(A) == [0, 10]
    assert bench.script.times(B) == [0]


async def test_no_more_keys_at_a_time_than_workers() -> None:
    bench = Bench(workers=2)
    async with bench.manager:
        for number in range(6):
            key = Key("Network", f"n{number}")
            bench.script.plan(key, 10.0)
            bench.manager.enqueue(key, "added")
        await bench.clock.run_until(bench.manager.idle())
        assert bench.script.most_parallel == 2
        assert bench.clock.monotonic() == 30


async def test_many_quick_runs_leave_room_for_other_tasks(bench: Bench) -> None:
    turns: list[int] = []

    async def watch() -> None:
        while len(bench.script.runs) < 100:
            turns.append(len(bench.script.runs))
            await asyncio.sleep(0)

    for number in range(100):
        bench.manager.enqueue(Key("Network", f"n{number}"), "resync")
    await watch()
    assert len(turns) > 10


async def test_unknown_error_is_retried_later_and_later_until_it_passes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.script.plan(A, OSError("one"), KeyError("two"), OSError("three"), None, OSError("four"), None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0, 1, 3, 7]
    assert "Network/a failed unexpectedly; again in 1.0 s" in caplog.text
    assert "Traceback" in caplog.text
    bench.manager.enqueue(A, "changed")
    await bench.clock.run_for(100)
    assert bench.script.times(A)[4:] == [100, 101]


async def test_temporary_error_is_retried_at_its_own_pace(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    waiting = TemporaryError("two containers are attached", delay=10)
    bench.script.plan(A, waiting, waiting, waiting, OSError("unforeseen"), None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0, 10, 20, 30, 31]
    assert "Network/a: two containers are attached; again in 10.0 s" in caplog.text


async def test_temporary_error_without_a_delay_backs_off(bench: Bench) -> None:
    bench.script.plan(A, *[TemporaryError("the engine is away")] * 4, None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0, 1, 3, 7, 15]


async def test_permanent_error_is_left_alone_until_something_changes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    error = PermanentError("subnet overlaps eth0")
    bench.script.plan(A, error, None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(100_000)
    assert bench.script.times(A) == [0]
    assert bench.manager.last_outcome(A) == Outcome(final=True, error=error)
    assert "Network/a: subnet overlaps eth0; not tried again until something changes" in caplog.text
    bench.manager.enqueue(A, "edited")
    await bench.manager.idle()
    assert bench.manager.last_outcome(A) == Outcome(final=True)


async def test_change_during_a_run_that_fails_for_good_is_not_lost(bench: Bench) -> None:
    async def enqueue_during_the_run() -> None:
        await bench.clock.sleep(1)
        bench.manager.enqueue(A, "edited")

    bench.script.plan(A, 2.0, None)
    bench.manager.enqueue(A, "added")
    await asyncio.gather(enqueue_during_the_run(), bench.clock.run_for(10))
    assert bench.script.times(A) == [0, 2]


async def test_requeue_runs_again_at_its_time(bench: Bench) -> None:
    bench.script.plan(A, Requeue(30), None)
    bench.manager.enqueue(A, "added")
    await bench.manager.idle(retries=True)
    assert bench.manager.last_outcome(A) == Outcome(final=False, delay=30, result=Requeue(30))
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0, 30]


async def test_change_supersedes_a_pending_retry(bench: Bench) -> None:
    bench.script.plan(A, Requeue(30), None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(10)
    bench.manager.enqueue(A, "changed")
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0, 10]


async def test_change_is_handled_at_once_in_spite_of_the_backoff(bench: Bench) -> None:
    bench.script.plan(A, *[OSError("x")] * 6, None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(20)
    bench.manager.enqueue(A, "changed")
    await bench.clock.settle()
    assert bench.script.times(A)[-1] == 20


async def test_key_can_be_enqueued_for_later(bench: Bench) -> None:
    bench.manager.enqueue_after(A, 5, "the grace of a deletion")
    await bench.manager.idle()
    assert bench.script.times(A) == []
    await bench.clock.run_for(5)
    assert bench.script.times(A) == [5]


async def test_handler_broken_off_by_a_foreign_cancellation_is_retried(bench: Bench) -> None:
    bench.script.plan(A, asyncio.CancelledError(), None)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(10)
    assert bench.script.times(A) == [0, 1]


async def test_failures_of_one_key_do_not_hold_up_the_others(bench: Bench) -> None:
    bench.script.plan(A, *[OSError("x")] * 50)
    for key in (A, B):
        bench.manager.enqueue(key, "added")
    await bench.clock.run_for(1)
    assert bench.manager.last_outcome(B) == Outcome(final=True)


async def test_kind_without_a_handler_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match=r"Pool/x can't be enqueued: handlers exist for Network"):
        bench.manager.enqueue(Key("Pool", "x"), "added")


async def test_everything_can_be_enqueued(bench: Bench) -> None:
    bench.lookup.objects |= {A, B, C}
    assert await bench.manager.enqueue_all("resync") == 3
    await bench.manager.idle()
    assert [key for _, _, key in bench.script.runs] == [A, B, C]


async def test_object_being_deleted_is_finalized_instead(bench: Bench) -> None:
    bench.lookup.objects.add(A)
    bench.lookup.delete(A)
    bench.manager.enqueue(A, "deleted")
    await bench.manager.idle()
    assert bench.script.times(A, "reconcile") == []
    assert bench.script.times(A, "finalize") == [0]
    assert A not in bench.lookup.objects
    assert bench.manager.last_outcome(A) is None


async def test_tombstone_stays_until_the_finalizer_is_through(bench: Bench) -> None:
    bench.lookup.objects.add(A)
    bench.lookup.delete(A)
    bench.script.plan(A, Requeue(5), TemporaryError("attached", delay=5), OSError("x"), None)
    bench.manager.enqueue(A, "deleted")
    await bench.clock.run_for(10.5)
    assert A in bench.lookup.tombstones
    await bench.clock.run_for(10)
    assert bench.script.times(A, "finalize") == [0, 5, 10, 11]
    assert A not in bench.lookup.tombstones


async def test_tombstone_of_a_kind_that_leaves_nothing_behind_is_removed() -> None:
    handlers: Registry[Script] = Registry()

    @handlers.reconcile("Network")
    async def reconcile(key: Key, context: Script) -> None:
        await context.play("reconcile", key)

    bench = Bench(handlers)
    bench.lookup.objects.add(A)
    bench.lookup.delete(A)
    async with bench.manager:
        bench.manager.enqueue(A, "deleted")
        await bench.manager.idle()
    assert bench.script.runs == []
    assert not bench.lookup.objects


async def test_failing_lookup_is_a_failure_of_the_key(bench: Bench) -> None:
    error = OSError("disk full")
    bench.lookup.failure = error
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(0.5)
    assert bench.manager.last_outcome(A) == Outcome(final=False, delay=1, error=error)
    bench.lookup.failure = None
    await bench.clock.run_for(10)
    assert bench.manager.last_outcome(A) == Outcome(final=True)


async def test_forgotten_key_is_not_retried(bench: Bench) -> None:
    bench.script.plan(A, OSError("x"), None)
    bench.manager.enqueue(A, "added")
    await bench.manager.idle()
    waiting = asyncio.ensure_future(bench.manager.idle(retries=True))
    await bench.clock.settle()
    bench.manager.forget(A)
    await waiting
    await bench.clock.run_for(100)
    assert bench.script.times(A) == [0]
    assert bench.manager.last_outcome(A) is None


async def test_idle_waits_for_what_is_ready_and_what_is_handled(bench: Bench) -> None:
    bench.script.plan(A, 5.0, 5.0)
    bench.manager.enqueue(A, "added")
    await bench.clock.run_for(1)
    bench.manager.enqueue(A, "changed")
    await bench.clock.run_until(bench.manager.idle())
    assert bench.clock.monotonic() == 10


async def test_idle_waits_for_retries_on_request(bench: Bench) -> None:
    bench.script.plan(A, OSError("x"), TemporaryError("y", delay=20), None)
    bench.script.plan(B, PermanentError("z"))
    bench.script.plan(C, Requeue(1000))
    for key in (A, B, C):
        bench.manager.enqueue(key, "added")
    await bench.clock.run_until(bench.manager.idle())
    assert bench.clock.monotonic() == 0
    await bench.clock.run_until(bench.manager.idle(retries=True))
    assert bench.clock.monotonic() == 21
    assert bench.manager.last_outcome(A) == Outcome(final=True)


async def test_observer_learns_depths_waits_and_outcomes() -> None:
    bench = Bench(workers=1)
    error = PermanentError("no")
    async with bench.manager:
        bench.script.plan(A, 3.0)
        bench.script.plan(B, error)
        for key in (A, B):
            bench.manager.enqueue(key, "added")
        await bench.clock.run_until(bench.manager.idle())
    assert Depth(ready=2, processing=0, delayed=0, retrying=0) in bench.recorder.depths
    assert bench.recorder.depths[-1] == Depth(ready=0, processing=0, delayed=0, retrying=0)
    assert bench.recorder.waits == [(A, 0), (B, 3)]
    assert bench.recorder.ends == [
        (A, Role.RECONCILE, Outcome(final=True), 3),
        (B, Role.RECONCILE, Outcome(final=True, error=error), 0),
    ]


async def test_broken_observer_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Recorder, *_news: object) -> None:
        raise RuntimeError("metrics are broken")

    for hook in ("queued", "started", "finished"):
        monkeypatch.setattr(Recorder, hook, fail)
    bench.manager.enqueue(A, "added")
    await bench.manager.idle()
    assert bench.manager.last_outcome(A) == Outcome(final=True)
    assert "metrics are broken" in caplog.text


class Timed:
    """Handlers with one timer of 10 s; the timer's runs follow the script as `timer`."""

    def __init__(self) -> None:
        self.registry = registry()

        @self.registry.timer("Network", interval=10)
        async def watch(key: Key, context: Script) -> Requeue | None:
            return await context.play("timer", key)

        self.bench = Bench(self.registry)
        self.bench.lookup.objects |= {A, B}


async def test_timer_is_called_for_every_object_at_its_interval() -> None:
    bench = Timed().bench
    async with bench.manager:
        await bench.clock.run_for(35)
    assert bench.script.times(A, "timer") == [10, 20, 30]
    assert bench.script.times(B, "timer") == [10, 20, 30]
    assert bench.script.times(A, "reconcile") == []


async def test_timer_can_ask_for_a_reconcile() -> None:
    bench = Timed().bench
    bench.script.plan(A, Requeue(0), None)
    bench.script.plan(B, Requeue(3), None)
    async with bench.manager:
        await bench.clock.run_for(15)
    assert bench.script.times(A, "reconcile") == [10]
    assert bench.script.times(B, "reconcile") == [13]


async def test_timer_leaves_out_objects_that_are_busy_or_being_deleted() -> None:
    bench = Timed().bench
    bench.lookup.delete(B)
    bench.script.plan(A, 12.0)
    async with bench.manager:
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(25)
    assert bench.script.times(A, "timer") == [20]
    assert bench.script.times(B, "timer") == []


async def test_key_enqueued_while_its_timer_runs_is_reconciled_afterwards() -> None:
    bench = Timed().bench
    bench.script.plan(A, 4.0, None)
    async with bench.manager:
        await bench.clock.run_for(11)
        bench.manager.enqueue(A, "changed")
        await bench.clock.run_until(bench.manager.idle())
    assert bench.script.times(A, "reconcile") == [14]


async def test_failing_timer_goes_on_at_its_next_round(caplog: pytest.LogCaptureFixture) -> None:
    bench = Timed().bench
    bench.script.plan(A, OSError("x"), PermanentError("y"), None)
    async with bench.manager:
        await bench.clock.run_for(35)
    assert bench.script.times(A, "timer") == [10, 20, 30]
    assert "timer watch of Network/a failed unexpectedly; again in 10.0 s" in caplog.text
    assert "timer watch of Network/a: y; again in 10.0 s" in caplog.text
    roles = [(role, outcome.succeeded) for key, role, outcome, _ in bench.recorder.ends if key == A]
    assert roles == [(Role.TIMER, False), (Role.TIMER, False), (Role.TIMER, True)]


async def test_timer_outlives_a_failing_lookup() -> None:
    bench = Timed().bench
    async with bench.manager:
        bench.lookup.failure = OSError("disk full")
        await bench.clock.run_for(15)
        bench.lookup.failure = None
        await bench.clock.run_for(30)
    assert bench.script.times(A, "timer")


async def test_timer_whose_setting_makes_no_sense_fails_the_start() -> None:
    handlers = registry()

    @handlers.timer("Network", interval=lambda _: -1.0)
    async def watch(key: Key, context: Script) -> None:
        await context.play("timer", key)

    with pytest.raises(ValueError, match="positive interval"):
        await Bench(handlers).manager.start()


class Hooked:
    """Two startup and two cleanup hooks that note their names; `failures` are raised by the first startup hook."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[str] = []
        self.failures = list(failures)
        self.registry = registry()

        @self.registry.startup
        async def open_store(_context: Script) -> None:
            self.calls.append("open store")
            if self.failures:
                raise self.failures.pop(0)

        @self.registry.startup
        async def connect(_context: Script) -> None:
            self.calls.append("connect")

        @self.registry.cleanup
        async def close_store(_context: Script) -> None:
            self.calls.append("close store")

        @self.registry.cleanup
        async def disconnect(_context: Script) -> None:
            self.calls.append("disconnect")
            raise OSError("the connection is gone already")

        self.bench = Bench(self.registry)


async def test_hooks_run_around_the_handlers(caplog: pytest.LogCaptureFixture) -> None:
    hooked = Hooked()
    async with hooked.bench.manager:
        hooked.bench.manager.enqueue(A, "added")
        await hooked.bench.manager.idle()
        assert hooked.calls == ["open store", "connect"]
    assert hooked.calls == ["open store", "connect", "disconnect", "close store"]
    assert "the connection is gone already" in caplog.text


async def test_startup_waits_for_what_is_away(caplog: pytest.LogCaptureFixture) -> None:
    hooked = Hooked(TemporaryError("no engine"), TemporaryError("no engine"), TemporaryError("no engine", delay=7))
    await hooked.bench.clock.run_until(hooked.bench.manager.start())
    assert hooked.calls == ["open store"] * 4 + ["connect"]
    assert hooked.bench.clock.monotonic() == 1 + 2 + 7
    assert "start-up waits: no engine; again in 7.0 s" in caplog.text
    await hooked.bench.manager.stop()


async def test_startup_that_fails_ends_the_start_and_cleans_up() -> None:
    hooked = Hooked(OSError("state is locked by another instance"))
    with pytest.raises(OSError, match="locked"):
        async with hooked.bench.manager:
            pass
    assert hooked.calls == ["open store", "disconnect", "close store"]


async def test_stopping_during_startup_ends_it() -> None:
    hooked = Hooked(*[TemporaryError("no engine", delay=5)] * 100)
    starting = asyncio.ensure_future(hooked.bench.manager.start())
    await hooked.bench.clock.run_for(12)
    await hooked.bench.manager.stop()
    await hooked.bench.clock.run_until(starting)
    assert "connect" not in hooked.calls
    assert hooked.bench.clock.monotonic() == 15


async def test_manager_starts_once(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="only once"):
        await bench.manager.start()


async def test_stopping_lets_a_running_handler_end_within_the_grace() -> None:
    bench = Bench(grace=0.5)
    await bench.manager.start()
    bench.script.plan(A, 0.4)
    bench.manager.enqueue(A, "added")
    await bench.clock.settle()
    await bench.clock.run_until(bench.manager.stop())
    assert bench.script.cancelled == []
    assert bench.manager.last_outcome(A) == Outcome(final=True)
    assert bench.clock.monotonic() == 0.4


async def test_stopping_cancels_a_handler_that_takes_longer(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(grace=0.5)
    await bench.manager.start()
    bench.script.plan(A, 60.0)
    bench.manager.enqueue(A, "added")
    await bench.clock.settle()
    await bench.clock.run_until(bench.manager.stop())
    assert bench.script.cancelled == [A]
    assert bench.manager.last_outcome(A) is None
    assert bench.clock.monotonic() == 0.5
    assert "cancelling 1 handlers" in caplog.text


async def test_stopping_takes_under_a_second_whatever_handlers_and_hooks_do(caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()
    handlers: Registry[Script] = Registry()

    async def ignore_cancellation() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    @handlers.reconcile("Network")
    async def reconcile(_key: Key, _context: Script) -> None:
        await ignore_cancellation()

    @handlers.cleanup
    async def close(_context: Script) -> None:
        await ignore_cancellation()

    bench = Bench(handlers)
    await bench.manager.start()
    bench.manager.enqueue(A, "added")
    await bench.clock.settle()
    await bench.clock.run_until(bench.manager.stop())
    assert bench.clock.monotonic() < 1
    assert "gave up tasks" in caplog.text
    assert "gave up cleanup hooks" in caplog.text
    release.set()
    await bench.clock.settle()


async def test_nothing_new_begins_while_stopping() -> None:
    bench = Bench(workers=1)
    await bench.manager.start()
    bench.script.plan(A, 0.4)
    for key in (A, B):
        bench.manager.enqueue(key, "added")
    await bench.clock.settle()
    stopping = asyncio.ensure_future(bench.manager.stop())
    await bench.clock.settle()
    bench.manager.enqueue(C, "added")
    assert bench.manager.depth.ready == 1
    await bench.clock.run_until(stopping)
    assert [key for _, _, key in bench.script.runs] == [A]


async def test_key_that_becomes_due_while_stopping_is_not_handled() -> None:
    bench = Bench()
    await bench.manager.start()
    bench.script.plan(A, 0.4)
    bench.manager.enqueue(A, "added")
    bench.manager.enqueue_after(B, 0.2, "the grace of a deletion")
    await bench.clock.settle()
    await bench.clock.run_until(bench.manager.stop())
    assert bench.clock.monotonic() == 0.4
    assert [key for _, _, key in bench.script.runs] == [A]


async def test_idle_ends_when_the_manager_stops() -> None:
    bench = Bench(workers=1)
    await bench.manager.start()
    bench.script.plan(A, 60.0)
    for key in (A, B):
        bench.manager.enqueue(key, "added")
    await bench.clock.settle()
    waiting = asyncio.ensure_future(bench.manager.idle())
    await bench.clock.settle()
    assert not waiting.done()
    await bench.clock.run_until(bench.manager.stop())
    await waiting


async def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    bench = Bench()
    await bench.manager.stop()
    hooked = Hooked()
    await hooked.bench.manager.start()
    await asyncio.gather(hooked.bench.manager.stop(), hooked.bench.manager.stop())
    assert hooked.calls.count("close store") == 1
