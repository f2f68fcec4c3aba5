"""A deterministic event loop: virtual time, callbacks in an order that a seed decides, processes that can be killed."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple

from tests.fakes.clock import FakeClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

HOST = 0
"""The number of the process that is the rest of the host. It can't be killed."""

_NANOSECOND = 1e-9
"""Seconds. The clock moves by whole nanoseconds; timers of the loop are sums of floats."""

_MOST_TURNS = 100_000
"""Turns of the loop without a moment passing, after which some code is in an endless loop."""

_PROCESS: ContextVar[int] = ContextVar("process", default=HOST)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in a random order, and moves the clock to the next deadline when none is ready.

    Calls on threads run on the loop, between two other callbacks. A task and all tasks that it starts belong to one
    simulated process. A killed process stops between two of its callbacks: none of its code runs any more, as after
    `kill -9`.
    """

    _ready: deque[asyncio.Handle]  # of the standard library's loop, as are the next two
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self, clock: FakeClock, random: Random) -> None:
        """``clock`` gives the time of the loop, too. ``random`` decides the order."""
        self._simulated = clock
        self._random = random
        self._dead: set[int] = set()
        self._left: dict[int, int] = {}  # by process: callbacks until it is killed
        self._parked: list[asyncio.Handle] = []  # callbacks of dead processes
        self._turns = 0
        super().__init__()

    def time(self) -> float:
        """The simulated monotonic time in seconds."""
        return self._simulated.monotonic()

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run the function as a callback of its own. ``executor`` is ignored."""
        del executor
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(run)
        return future

    def spawn(self, process: int, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of that process."""
        context: Context = copy_context()
        context.run(_PROCESS.set, process)
        return self.create_task(coroutine, context=context)

    def kill(self, process: int, after: int = 0) -> None:
        """Kill the process now, or after that many more callbacks of it."""
        if after:
            self._left[process] = after
        else:
            self._dead.add(process)

    def spare(self, process: int) -> None:
        """Don't kill the process."""
        self._left.pop(process, None)

    def is_dead(self, process: int) -> bool:
        """Whether the process was killed."""
        return process in self._dead

    def reap(self) -> None:
        """Let the tasks of killed processes run again, so that they can be cancelled."""
        self._dead.clear()
        self._left.clear()
        self._ready.extend(self._parked)
        self._parked.clear()

    def _run_once(self) -> None:
        self._turns += 1
        if self._turns > _MOST_TURNS:
            self._turns = 0  # for the end of the tasks
            raise RuntimeError(f"an endless loop at {self.time():.3f} s")
        runnable = self._runnable()
        while not runnable and not self._stopping:
            self._move_clock()
            runnable = self._runnable()
        self._random.shuffle(runnable)
        now = self._random.randrange(len(runnable)) + 1 if runnable else 0
        self._ready.extend(runnable[:now])
        super()._run_once()  # type: ignore[misc]
        self._ready.extend(runnable[now:])

    def _runnable(self) -> list[asyncio.Handle]:
        """Take the callbacks that are ready, except those of dead processes."""
        while self._scheduled and self._scheduled[0].when() < self.time() + _NANOSECOND:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(timer)
        runnable: list[asyncio.Handle] = []
        for handle in self._ready:
            process = handle._context.get(_PROCESS, HOST)  # type: ignore[attr-defined]
            if process in self._left:
                self._left[process] -= 1
                if not self._left[process]:
                    self._dead.add(process)
                    del self._left[process]
            (self._parked if process in self._dead else runnable).append(handle)
        self._ready.clear()
        return runnable

    def _move_clock(self) -> None:
        deadlines = [timer.when() for timer in self._scheduled[:1]]
        if (next_sleeper := self._simulated.next_deadline()) is not None:
            deadlines.append(next_sleeper)
        if not deadlines:
            raise RuntimeError("the simulation has ended: no callback is ready, and no task sleeps")
        self._turns = 0
        self._simulated.advance(max(0.0, min(deadlines) - self.time()))
