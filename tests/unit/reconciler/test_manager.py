import asyncio

import pytest

from dockerv6.reconciler.handler import Key, PermanentError, Registry, Requeue, TemporaryError, Unsettled
from dockerv6.reconciler.manager import Outcome, Role
from dockerv6.reconciler.queue import QueueDepth
from tests.unit.reconciler.harness import Bench, Recorder, Script

A, B, C = (Key("Network", name) for name in "abc")

TEMPORARY = TemporaryError("the engine restarts", delay=9)
PERMANENT = PermanentError("the subnet overlaps eth0")
UNFORESEEN = LookupError("a bug")


async def test_enqueued_key_is_reconciled_once(bench: Bench) -> None:
    bench.manager.enqueue(A, "added")
    bench.manager.enqueue(A, "again")
    await bench.manager.idle()
    assert bench.script.times(A) == [0]


async def test_a_key_without_a_handler_is_dropped(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.manager.enqueue(Key("Pool", "x"), "added")
    bench.manager.enqueue(A, "added")
    await bench.manager.idle()
    assert "Pool/x can't be handled: handlers exist for Network" in caplog.text
    assert bench.script.times(A) == [0]


class TestParallelism:
    async def test_keys_are_handled_in_parallel_but_each_by_one_worker(self, bench: Bench) -> None:
        for key in (A, B, C):
            bench.script.plan(key, 10.0, 10.0)
            bench.manager.enqueue(key, "added")
        await bench.clock.run_for(5)
        assert bench.script.most_parallel == 3
        bench.manager.enqueue(A, "changed while it was handled")
        await bench.clock.run_for(30)
        assert bench.script.times(A) == [0, 10]
        assert bench.script.times(B) == [0]

    async def test_no_more_keys_at_a_time_than_workers(self) -> None:
        bench = Bench(workers=2)
        async with bench.manager:
            for number in range(6):
                key = Key("Network", f"n{number}")
                bench.script.plan(key, 10.0)
                bench.manager.enqueue(key, "added")
            await bench.clock.run_until(bench.manager.idle())
            assert bench.script.most_parallel == 2
            assert bench.clock.monotonic() == 30

    async def test_many_quick_runs_let_other_tasks_run(self, bench: Bench) -> None:
        turns: list[int] = []

        async def watch() -> None:
            while len(bench.script.runs) < 100:
                turns.append(len(bench.script.runs))
                await asyncio.sleep(0)

        for number in range(100):
            bench.manager.enqueue(Key("Network", f"n{number}"), "resync")
        await watch()
        assert len(turns) > 10

    async def test_failures_of_one_key_do_not_delay_the_others(self, bench: Bench) -> None:
        bench.script.plan(A, *[OSError("x")] * 50)
        for key in (A, B):
            bench.manager.enqueue(key, "added")
        await bench.clock.run_for(1)
        assert bench.recorder.last(B) == Outcome()


class TestNextRun:
    @pytest.mark.parametrize("role", Role)
    @pytest.mark.parametrize(
        ("result", "outcome"),
        [
            (None, Outcome()),
            (Requeue(5), Outcome(retry_after=5)),
            (TEMPORARY, Outcome(retry_after=9, error=TEMPORARY)),
            (PERMANENT, Outcome(error=PERMANENT)),
            (UNFORESEEN, Outcome(retry_after=1, error=UNFORESEEN)),
        ],
    )
    async def test_every_result_has_its_outcome(
        self, bench: Bench, role: Role, result: Requeue | Exception | None, outcome: Outcome
    ) -> None:
        if role is Role.FINALIZE:
            bench.tombstones.keys.add(A)
        bench.script.plan(A, result)
        bench.manager.enqueue(A, "changed")
        await bench.manager.idle()
        assert bench.recorder.ends == [(A, role, outcome, 0)]

    async def test_unforeseen_error_is_retried_with_backoff(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.script.plan(A, OSError("one"), KeyError("two"), OSError("three"), None, OSError("four"), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 1, 3, 7]
        assert "Network/a failed unexpectedly; next try in 1.0 s" in caplog.text
        assert "Traceback" in caplog.text
        bench.manager.enqueue(A, "changed")
        await bench.clock.run_for(100)
        assert bench.script.times(A)[4:] == [100, 101]

    async def test_temporary_error_with_a_delay_is_retried_after_it_and_does_not_affect_the_backoff(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        waiting = TemporaryError("two containers are attached", delay=10)
        bench.script.plan(A, waiting, waiting, waiting, OSError("unforeseen"), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 10, 20, 30, 31]
        assert "Network/a: two containers are attached; next try in 10.0 s" in caplog.text

    async def test_what_is_not_settled_is_retried_and_no_warning(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.script.plan(A, Unsettled("the host still changes", delay=0.5), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 0.5]
        assert [record for record in caplog.records if record.levelname != "DEBUG"] == []

    async def test_temporary_error_without_a_delay_is_retried_with_backoff(self, bench: Bench) -> None:
        bench.script.plan(A, *[TemporaryError("the engine is away")] * 4, None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 1, 3, 7, 15]

    async def test_permanent_error_is_not_retried(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.script.plan(A, PERMANENT, None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100_000)
        assert bench.script.times(A) == [0]
        assert "Network/a: the subnet overlaps eth0; no retry until something changes" in caplog.text
        bench.manager.enqueue(A, "edited")
        await bench.manager.idle()
        assert bench.recorder.last(A) == Outcome()

    @pytest.mark.parametrize("end", [None, PERMANENT, Requeue(60)])
    async def test_backoff_starts_again_after_the_failures_end(
        self, bench: Bench, end: Requeue | Exception | None
    ) -> None:
        bench.script.plan(A, UNFORESEEN, UNFORESEEN, end, UNFORESEEN)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(10)
        bench.manager.enqueue(A, "changed")
        await bench.manager.idle()
        assert [outcome.retry_after for *_, outcome, _ in bench.recorder.ends[:2]] == [1, 2]
        assert bench.recorder.last(A) == Outcome(retry_after=1, error=UNFORESEEN)

    async def test_requeue_runs_again_after_its_delay(self, bench: Bench) -> None:
        bench.script.plan(A, Requeue(30), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 30]

    async def test_change_replaces_a_scheduled_run(self, bench: Bench) -> None:
        bench.script.plan(A, Requeue(30), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(10)
        bench.manager.enqueue(A, "changed")
        await bench.clock.run_for(100)
        assert bench.script.times(A) == [0, 10]

    async def test_change_is_handled_at_once_in_spite_of_the_backoff(self, bench: Bench) -> None:
        bench.script.plan(A, *[OSError("x")] * 6, None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(20)
        bench.manager.enqueue(A, "changed")
        await bench.clock.settle()
        assert bench.script.times(A)[-1] == 20

    async def test_change_during_a_run_that_fails_permanently_is_not_lost(self, bench: Bench) -> None:
        async def fail_late(key: Key, context: Script) -> None:
            await context.play("reconcile", key)
            raise PERMANENT

        handlers: Registry[Script] = Registry()
        handlers.reconcile("Network")(fail_late)
        bench = Bench(handlers)
        bench.script.plan(A, 2.0)
        async with bench.manager:
            bench.manager.enqueue(A, "added")
            await bench.clock.run_for(1)
            bench.manager.enqueue(A, "edited")
            await bench.clock.run_for(10)
        assert bench.script.times(A) == [0, 2]

    async def test_handler_whose_awaited_task_is_cancelled_is_retried(self, bench: Bench) -> None:
        bench.script.plan(A, asyncio.CancelledError(), None)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(10)
        assert bench.script.times(A) == [0, 1]
        assert isinstance(bench.recorder.ends[0][2].error, TemporaryError)


class TestDeletion:
    async def test_deleted_object_is_finalized_instead_of_reconciled(self, bench: Bench) -> None:
        bench.tombstones.keys.add(A)
        bench.manager.enqueue(A, "deleted")
        await bench.manager.idle()
        assert bench.script.times(A, "reconcile") == []
        assert bench.script.times(A, "finalize") == [0]
        assert A not in bench.tombstones.keys

    async def test_tombstone_stays_until_the_finalizer_succeeds(self, bench: Bench) -> None:
        bench.tombstones.keys.add(A)
        bench.script.plan(A, Requeue(5), TemporaryError("attached", delay=5), OSError("x"), None)
        bench.manager.enqueue(A, "deleted")
        await bench.clock.run_for(10.5)
        assert A in bench.tombstones.keys
        await bench.clock.run_for(10)
        assert bench.script.times(A, "finalize") == [0, 5, 10, 11]
        assert A not in bench.tombstones.keys

    async def test_kind_without_a_finalizer_loses_its_tombstone(self) -> None:
        handlers: Registry[Script] = Registry()

        @handlers.reconcile("Network")
        async def reconcile(key: Key, context: Script) -> None:
            await context.play("reconcile", key)

        bench = Bench(handlers)
        bench.tombstones.keys.add(A)
        async with bench.manager:
            bench.manager.enqueue(A, "deleted")
            await bench.manager.idle()
        assert bench.script.runs == []
        assert not bench.tombstones.keys

    async def test_failing_store_is_retried_with_backoff(self, bench: Bench) -> None:
        error = OSError("disk full")
        bench.tombstones.error = error
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(0.5)
        assert bench.recorder.last(A) == Outcome(retry_after=1, error=error)
        bench.tombstones.error = None
        await bench.clock.run_for(10)
        assert bench.recorder.last(A) == Outcome()


class TestObserver:
    async def test_receives_depths_waits_and_outcomes(self) -> None:
        bench = Bench(workers=1)
        async with bench.manager:
            bench.script.plan(A, 3.0)
            bench.script.plan(B, PERMANENT)
            for key in (A, B):
                bench.manager.enqueue(key, "added")
            await bench.clock.run_until(bench.manager.idle())
        assert QueueDepth(ready=2, processing=0, retrying=0) in bench.recorder.depths
        assert bench.recorder.depths[-1] == QueueDepth(ready=0, processing=0, retrying=0)
        assert bench.recorder.waits == [(A, 0), (B, 3)]
        assert bench.recorder.ends == [
            (A, Role.RECONCILE, Outcome(), 3),
            (B, Role.RECONCILE, Outcome(error=PERMANENT), 0),
        ]

    async def test_errors_of_an_observer_are_logged_and_ignored(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_self: Recorder, *_arguments: object) -> None:
            raise RuntimeError("metrics are broken")

        for hook in ("queued", "started", "finished"):
            monkeypatch.setattr(Recorder, hook, fail)
        bench.manager.enqueue(A, "added")
        await bench.manager.idle()
        assert bench.script.times(A) == [0]
        assert "metrics are broken" in caplog.text


class TestIdle:
    async def test_waits_for_ready_keys_and_running_handlers(self, bench: Bench) -> None:
        bench.script.plan(A, 5.0, 5.0)
        bench.manager.enqueue(A, "added")
        await bench.clock.run_for(1)
        bench.manager.enqueue(A, "changed")
        await bench.clock.run_until(bench.manager.idle())
        assert bench.clock.monotonic() == 10

    async def test_does_not_wait_for_keys_that_are_due_later(self, bench: Bench) -> None:
        bench.script.plan(A, OSError("x"), None)
        bench.script.plan(B, Requeue(1000))
        for key in (A, B):
            bench.manager.enqueue(key, "added")
        await bench.clock.run_until(bench.manager.idle())
        assert bench.clock.monotonic() == 0

    async def test_ends_when_the_manager_stops(self) -> None:
        bench = Bench(workers=1)
        bench.manager.start()
        bench.script.plan(A, 60.0)
        for key in (A, B):
            bench.manager.enqueue(key, "added")
        await bench.clock.settle()
        waiting = asyncio.ensure_future(bench.manager.idle())
        await bench.clock.settle()
        assert not waiting.done()
        await bench.clock.run_until(bench.manager.stop())
        await waiting


class TestStop:
    async def test_manager_starts_once(self, bench: Bench) -> None:
        with pytest.raises(RuntimeError, match="only once"):
            bench.manager.start()

    async def test_running_handler_may_end_within_the_grace(self) -> None:
        bench = Bench(grace=0.5)
        bench.manager.start()
        bench.script.plan(A, 0.4)
        bench.manager.enqueue(A, "added")
        await bench.clock.settle()
        await bench.clock.run_until(bench.manager.stop())
        assert bench.script.cancelled == []
        assert bench.recorder.last(A) == Outcome()
        assert bench.clock.monotonic() == 0.4

    async def test_handler_that_takes_longer_is_cancelled_and_not_reported(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench(grace=0.5)
        bench.manager.start()
        bench.script.plan(A, 60.0)
        bench.manager.enqueue(A, "added")
        await bench.clock.settle()
        await bench.clock.run_until(bench.manager.stop())
        assert bench.script.cancelled == [A]
        assert bench.recorder.last(A) is None
        assert bench.clock.monotonic() == 0.5
        assert "cancelling 1 handlers" in caplog.text

    async def test_stopping_takes_under_a_second_whatever_handlers_do(self, caplog: pytest.LogCaptureFixture) -> None:
        release = asyncio.Event()
        handlers: Registry[Script] = Registry()

        @handlers.reconcile("Network")
        async def ignore_cancellation(_key: Key, _context: Script) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        bench = Bench(handlers)
        bench.manager.start()
        bench.manager.enqueue(A, "added")
        await bench.clock.settle()
        await bench.clock.run_until(bench.manager.stop())
        assert bench.clock.monotonic() < 1
        assert "ignored their cancellation" in caplog.text
        release.set()
        await bench.clock.settle()

    async def test_no_key_is_handled_while_stopping(self) -> None:
        bench = Bench(workers=1)
        bench.manager.start()
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

    async def test_retry_that_becomes_due_while_stopping_is_not_handled(self) -> None:
        bench = Bench()
        bench.manager.start()
        bench.script.plan(A, 0.4)
        bench.script.plan(B, Requeue(0.2))
        for key in (A, B):
            bench.manager.enqueue(key, "added")
        await bench.clock.settle()
        await bench.clock.run_until(bench.manager.stop())
        assert bench.clock.monotonic() == 0.4
        assert [key for _, _, key in bench.script.runs] == [A, B]

    async def test_stopping_twice_or_before_the_start_is_harmless(self) -> None:
        bench = Bench()
        await bench.manager.stop()
        bench = Bench()
        bench.manager.start()
        await asyncio.gather(bench.manager.stop(), bench.manager.stop())
