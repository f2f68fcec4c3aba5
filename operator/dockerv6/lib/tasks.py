"""Background tasks that restart with backoff after a crash and stop within a time limit; what ends early cleans up."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TypeVar

from dockerv6.lib.clock import Clock, wait_for

T = TypeVar("T")

logger = logging.getLogger(__name__)

TaskFunction = Callable[[], Coroutine[object, object, None]]
"""Makes the coroutine of a task; called again for every restart."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays of `initial * factor**attempt` seconds, up to `maximum`, each reduced by a random jitter.

    The jitter only reduces a delay. If it were added and then limited to the maximum, everything that has failed for a
    long time would retry at the same moment, which is what jitter prevents.

    Attributes:
        initial: seconds before the first retry.
        factor: growth from one retry to the next, at least 1.
        maximum: the longest delay in seconds.
        jitter: the largest fraction of a delay, 0 to 1, that is subtracted.
    """

    initial: float = 0.2
    factor: float = 2.0
    maximum: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.initial < 0 or self.maximum < self.initial:
            raise ValueError(f"a backoff needs 0 <= initial <= maximum, not {self.initial} and {self.maximum}")
        if self.factor < 1:
            raise ValueError(f"a backoff needs a factor of at least 1, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"a backoff needs a jitter between 0 and 1, not {self.jitter}")

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait before a retry.

        Args:
            attempt: how many retries there were before, from 0.
            random: for the jitter.

        Raises:
            ValueError: the attempt is negative.
        """
        if attempt < 0:
            raise ValueError(f"attempts are counted from 0, not {attempt}")
        try:
            delay = min(self.maximum, self.initial * self.factor**attempt)
        except OverflowError:
            delay = self.maximum
        return delay * (1 - self.jitter * random.random())


async def together(*work: Coroutine[object, object, T]) -> list[T]:
    """The results, in this order. If one raises, the others are cancelled, and have ended before its error is raised.

    As with `asyncio.TaskGroup`, but without its groups of exceptions: the first one is raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [each.result() for each in tasks]


class Supervisor:
    """Runs the background tasks of a component: logs their crashes, restarts them, and stops them together.

    Unlike in `asyncio.TaskGroup`, a crash affects no other task: a watcher that fails must not end the others.
    """

    def __init__(self, *, clock: Clock, random: Random, backoff: Backoff | None = None, timeout: float = 0.8) -> None:
        """Make a supervisor without tasks.

        Args:
            clock: for the delays and the timeout.
            random: for the jitter of the backoff.
            backoff: between restarts; it starts again after a run that was longer than its maximum.
            timeout: seconds that `stop` waits for cancelled tasks.
        """
        self._clock = clock
        self._random = random
        self._backoff = backoff or Backoff()
        self._timeout = timeout
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._crashes: dict[str, tuple[str, float]] = {}  # the cause, and when the task started again, monotonic
        self._stopped = False

    @property
    def crashing(self) -> Mapping[str, str]:
        """The tasks that crashed, and have not run for the backoff's maximum since; with the cause."""
        now, ended = self._clock.monotonic(), self._backoff.maximum
        return {name: cause for name, (cause, again) in self._crashes.items() if now - again <= ended}

    def keep(self, name: str, function: TaskFunction) -> None:
        """Run a task until it returns; restart it after every crash.

        Raises:
            ValueError: a task with this name is running.
            RuntimeError: the supervisor was stopped.
        """
        if self._stopped:
            raise RuntimeError(f"task {name} cannot start: its supervisor was stopped")
        if name in self._tasks:
            raise ValueError(f"a task named {name} is running already")
        task = asyncio.get_running_loop().create_task(self._run(name, function), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def stop(self) -> None:
        """Cancel all tasks and wait for them. Those that ignore it beyond the timeout are logged and abandoned.

        No task can start afterwards.
        """
        self._stopped = True
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        if not tasks:
            return
        try:
            await wait_for(self._clock, asyncio.wait(tasks.values()), self._timeout)
        except TimeoutError:
            remaining = ", ".join(sorted(name for name, task in tasks.items() if not task.done()))
            logger.warning("abandoned tasks that ignored their cancellation for %.1f s: %s", self._timeout, remaining)

    async def _run(self, name: str, function: TaskFunction) -> None:
        attempt = 0
        started = self._clock.monotonic()
        while (cause := await self._run_once(name, function)) is not None:
            self._crashes[name] = (cause, inf)
            if self._clock.monotonic() - started > self._backoff.maximum:
                attempt = 0
            delay = self._backoff.delay(attempt, self._random)
            logger.info("task %s restarts in %.1f s", name, delay)
            await self._clock.sleep(delay)
            attempt += 1
            started = self._clock.monotonic()
            self._crashes[name] = (cause, started)
        self._crashes.pop(name, None)

    async def _run_once(self, name: str, function: TaskFunction) -> str | None:
        """Run until the task returns (None) or crashes; the cause."""
        try:
            await function()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task was cancelled, but something that it waited for.
            logger.exception("task %s was interrupted: something that it waited for was cancelled", name)
            return "something that it waited for was cancelled"
        except Exception as error:
            logger.exception("task %s crashed", name)
            return f"{type(error).__name__}: {error}"
        return None


class OperationCancelled(Exception):  # noqa: N818 - an outcome
    """A blocking operation ended early, because its `CancellationToken` was cancelled."""


class CancellationToken:
    """Asks a blocking operation on another thread to end. The operation calls `check` often."""

    def __init__(self) -> None:
        """Not cancelled."""
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Let the next check raise."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise `OperationCancelled` if the operation was cancelled."""
        if self._cancelled.is_set():
            raise OperationCancelled


async def to_cancellable_thread(function: Callable[[CancellationToken], T]) -> T:
    """Run a blocking function on a thread. Cancelling the task also ends the thread, at its next check."""
    token = CancellationToken()
    try:
        return await asyncio.to_thread(function, token)
    finally:
        token.cancel()


def run_until_signal(main: Coroutine[object, object, T]) -> T:
    """Run an event loop for a command. SIGTERM ends it as SIGINT does: by cancellation, so it cleans up after itself.

    Raises:
        SystemExit: SIGTERM came; the code is the one of a shell, 143.
        KeyboardInterrupt: SIGINT came.
    """
    terminated = False

    async def interruptible() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        if threading.current_thread() is threading.main_thread():  # others get no signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await main

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None
