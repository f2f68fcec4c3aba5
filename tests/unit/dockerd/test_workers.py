from __future__ import annotations

import asyncio
import threading

import pytest

from dockerv6.dockerd.workers import Workers


async def test_gives_what_the_call_gives() -> None:
    assert await Workers(1, "w").run(lambda: 42) == 42


async def test_raises_what_the_call_raises() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Workers(1, "w").run(fail)


async def test_threads_are_named_and_do_not_hold_up_the_exit() -> None:
    thread = await Workers(1, "dockerd").run(threading.current_thread)
    assert thread.name == "dockerd"
    assert thread.daemon


async def test_runs_no_more_than_the_limit_at_once() -> None:
    workers = Workers(2, "w")
    running, most = 0, 0
    lock, two = threading.Lock(), threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        two.wait()
        with lock:
            running -= 1

    await asyncio.gather(*(workers.run(work) for _ in range(8)))
    assert most == 2


async def test_a_cancelled_call_keeps_its_slot_until_it_ends() -> None:
    workers = Workers(1, "w")
    started, finish = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        finish.wait()

    hanging = asyncio.create_task(workers.run(hang))
    await asyncio.to_thread(started.wait)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    next_one = asyncio.create_task(workers.run(lambda: "done"))
    await asyncio.sleep(0)
    assert not next_one.done()
    finish.set()
    assert await next_one == "done"


def test_an_outcome_after_the_loop_has_closed_is_dropped() -> None:
    finish, finished = threading.Event(), threading.Event()

    def hang() -> None:
        finish.wait()
        threading.Thread(target=finished.set).start()

    async def leave() -> None:
        task = asyncio.create_task(Workers(1, "w").run(hang))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    finish.set()
    assert finished.wait(10)
