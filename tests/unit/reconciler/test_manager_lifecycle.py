import asyncio

import pytest

from dockerv6.reconciler.errors import TemporaryError
from dockerv6.reconciler.outcome import Outcome
from dockerv6.reconciler.registry import Registry
from dockerv6.reconciler.request import Key
from tests.unit.reconciler.harness import Bench, Script, registry

A, B, C = (Key("Network", name) for name in "abc")

A, B, C = (Key("Network", name) for name in "abc")


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
