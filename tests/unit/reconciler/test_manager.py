import asyncio

import pytest

from dockerv6.reconciler.errors import PermanentError, TemporaryError
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Outcome, Requeue
from dockerv6.reconciler.queue import Depth
from dockerv6.reconciler.registry import Registry
from dockerv6.reconciler.request import Key
from tests.unit.reconciler.harness import Bench, Recorder, Script

A, B, C = (Key("Network", name) for name in "abc")

A, B, C = (Key("Network", name) for name in "abc")


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
