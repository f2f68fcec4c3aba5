import pytest

from dockerv6.reconciler.errors import PermanentError
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Requeue
from dockerv6.reconciler.request import Key
from tests.unit.reconciler.harness import Bench, Script, registry

A, B, C = (Key("Network", name) for name in "abc")

A, B, C = (Key("Network", name) for name in "abc")


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
