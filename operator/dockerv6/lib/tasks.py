"""Background tasks that are supervised, restarted with backoff, and stopped within a time limit."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType, TracebackType
from typing import Self

from dockerv6.lib.clock import Clock, wait_for

logger = logging.getLogger(__name__)

Work = Callable[[], Coroutine[object, object, None]]
"""Makes the coroutine to run; called again for every restart."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of `initial * factor**attempt` seconds, never more than `maximum`, each shortened by a random share.

    Jitter only shortens. Were it added and then cut at the ceiling, everything that has failed for long would retry
    in step, which is what jitter is there to prevent.

    Attributes:
        initial: seconds before the first retry.
        factor: growth from one retry to the next, at least 1.
        maximum: ceiling in seconds.
        jitter: largest share, 0 to 1, that is taken off.
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
        """Seconds to wait before retry number `attempt`, counted from 0 (0: it has failed once).

        Raises:
            ValueError: a negative attempt.
        """
        if attempt < 0:
            raise ValueError(f"attempts are counted from 0, not {attempt}")
        try:
            grown = min(self.maximum, self.initial * self.factor**attempt)
        except OverflowError:
            grown = self.maximum
        return grown * (1 - self.jitter * random.random())


class Supervisor:
    """Runs background tasks, reports their crashes, restarts those that are to be kept alive, and stops them all.

    A crash never reaches another task, nor whoever made the supervisor: unlike in `asyncio.TaskGroup`, one watcher
    that fails must not end the others.
    """

    def __init__(self, *, clock: Clock, random: Random, backoff: Backoff | None = None, bound: float = 0.8) -> None:
        """Hold the tasks of one component.

        Args:
            clock: for delays and the bound.
            random: for jitter.
            backoff: between restarts; it begins anew after a run that lasted longer than its maximum.
            bound: seconds that `stop` waits for cancelled tasks before it gives them up.
        """
        self._clock = clock
        self._random = random
        self._backoff = backoff or Backoff()
        self._bound = bound
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._crashes: Counter[str] = Counter()
        self._stopped = False

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the tasks that have not ended (one that waits for its restart has not), in alphabetical order."""
        return tuple(sorted(self._tasks))

    @property
    def crashes(self) -> Mapping[str, int]:
        """How often each task has crashed."""
        return MappingProxyType(self._crashes)

    def start(self, name: str, work: Work) -> None:
        """Run once. A crash is logged and ends it.

        Raises:
            ValueError: a task of that name is running.
            RuntimeError: the supervisor has been stopped.
        """
        self._launch(name, partial(self._once, name, work))

    def keep(self, name: str, work: Work) -> None:
        """Run, and after a crash run again, later each time. It ends when `work` returns.

        Raises:
            ValueError: a task of that name is running.
            RuntimeError: the supervisor has been stopped.
        """
        self._launch(name, partial(self._forever, name, work))

    async def cancel(self, name: str) -> None:
        """End one task if it runs, waiting within the bound for it to clean up after itself."""
        if (task := self._tasks.get(name)) is not None:
            await self._end({name: task})

    async def stop(self) -> tuple[str, ...]:
        """End all tasks, within the bound; give the names of those that would not end. No task can start after this."""
        self._stopped = True
        return await self._end(dict(self._tasks))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _launch(self, name: str, body: Callable[[], Coroutine[object, object, object]]) -> None:
        if self._stopped:
            raise RuntimeError(f"task {name} can't start: its supervisor has been stopped")
        if name in self._tasks:
            raise ValueError(f"a task named {name} is running already")
        task = asyncio.get_running_loop().create_task(body(), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _once(self, name: str, work: Work) -> bool:
        """Run to the end; tell whether it came to one without a crash."""
        try:
            await work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task was cancelled, but something that it waited for.
            self._crashes[name] += 1
            logger.exception("task %s was broken off by the cancellation of what it waited for", name)
        except Exception:
            self._crashes[name] += 1
            logger.exception("task %s crashed", name)
        else:
            return True
        return False

    async def _forever(self, name: str, work: Work) -> None:
        attempt = 0
        started = self._clock.monotonic()
        while not await self._once(name, work):
            if self._clock.monotonic() - started > self._backoff.maximum:
                attempt = 0
            delay = self._backoff.delay(attempt, self._random)
            logger.info("task %s restarts in %.1f s", name, delay)
            await self._clock.sleep(delay)
            attempt += 1
            started = self._clock.monotonic()

    async def _end(self, tasks: Mapping[str, asyncio.Task[object]]) -> tuple[str, ...]:
        for task in tasks.values():
            task.cancel()
        if tasks:
            try:
                await wait_for(self._clock, asyncio.wait(tasks.values()), self._bound)
            except TimeoutError:
                logger.warning("gave up tasks that ignored their cancellation for %.1f s", self._bound)
        return tuple(sorted(name for name, task in tasks.items() if not task.done()))
