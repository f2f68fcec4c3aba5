"""The manager: workers, retries and timers around a registry of handlers."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from random import Random
from types import TracebackType
from typing import Generic, Self

from dockerv6.lib.backoff import Backoff
from dockerv6.lib.clock import Clock, wait_for
from dockerv6.lib.tasks import Supervisor
from dockerv6.reconciler.errors import TemporaryError
from dockerv6.reconciler.execution import Execution
from dockerv6.reconciler.lookup import Lookup
from dockerv6.reconciler.observer import Observer, Role, SilentObserver
from dockerv6.reconciler.outcome import Outcome
from dockerv6.reconciler.queue import Depth, KeyedQueue
from dockerv6.reconciler.registry import C, Hook, Registry, Timer
from dockerv6.reconciler.request import Key

logger = logging.getLogger(__name__)

# Seconds that stopping may take beyond the grace; with the default grace that is less than one second in all.
_CANCEL_BOUND = 0.2
_CLEANUP_BOUND = 0.2


class Manager(Generic[C]):
    """Calls handlers for keys: one worker a key at a time, several keys in parallel.

    What follows a run: None is the end of it; `Requeue`, `TemporaryError` with a delay, and any other error lead to
    another run at their time or with backoff, unless the key is enqueued before; `PermanentError` to none. A key that
    is enqueued while it is handled is handled again.

    All methods belong to one event loop; from another thread use `loop.call_soon_threadsafe(manager.enqueue, …)`.
    """

    def __init__(
        self,
        registry: Registry[C],
        *,
        lookup: Lookup,
        context: C,
        clock: Clock,
        random: Random,
        observer: Observer | None = None,
        backoff: Backoff | None = None,
        workers: int = 8,
        grace: float = 0.5,
    ) -> None:
        """Make a manager that does nothing before `start`.

        Args:
            registry: the handlers.
            lookup: tells which objects there are and which of them are being deleted.
            context: given to every handler.
            clock: for every delay.
            random: for the jitter of the backoff.
            observer: is told what happens.
            backoff: between failures of a key.
            workers: how many keys are handled at a time.
            grace: seconds that `stop` lets running handlers go on before it cancels them.
        """
        self._registry = registry
        self._lookup = lookup
        self._context = context
        self._clock = clock
        self._random = random
        self._observer = observer or SilentObserver()
        self._backoff = backoff or Backoff()
        self._workers = workers
        self._grace = grace
        self._queue = KeyedQueue(clock)
        self._execution = Execution(registry, lookup=lookup, context=context, backoff=self._backoff, random=random)
        self._supervisor = Supervisor(clock=clock, random=random, bound=_CANCEL_BOUND)
        self._outcomes: dict[Key, Outcome] = {}
        self._failing: set[Key] = set()  # an error's retry is pending
        self._progress = asyncio.Event()
        self._started = False
        self._stopping = False
        self._stopped = False
        self._stop_lock = asyncio.Lock()

    @property
    def depth(self) -> Depth:
        """How many keys wait, are handled, or are due later."""
        return self._queue.depth

    def last_outcome(self, key: Key) -> Outcome | None:
        """What came of the last run; None if there was none, or if the object has been finalized."""
        return self._outcomes.get(key)

    def enqueue(self, key: Key, reason: str) -> None:
        """Have the key handled as soon as possible. Ignored once the manager is stopping.

        Args:
            key: what may have changed.
            reason: for the log only; handlers never learn it.

        Raises:
            ValueError: no handler is registered for the kind.
        """
        self.enqueue_after(key, 0.0, reason)

    def enqueue_after(self, key: Key, delay: float, reason: str) -> None:
        """Have the key handled in `delay` seconds, whatever happens before; the earliest of several such times wins.

        Raises:
            ValueError: no handler is registered for the kind.
        """
        if not self._registry.handles(key.kind):
            raise ValueError(
                f"{key} can't be enqueued: handlers exist for {', '.join(self._registry.kinds) or 'nothing'}"
            )
        if self._stopping:
            return
        logger.debug("%s enqueued: %s", key, reason)
        self._queue.add_after(key, delay)
        self._tell(lambda observer: observer.queued(self.depth))

    async def enqueue_all(self, reason: str) -> int:
        """Enqueue every object of every kind that has a handler; give their number. Errors are the lookup's."""
        count = 0
        for kind in self._registry.kinds:
            for key in await self._lookup.keys(kind):
                self.enqueue(key, reason)
                count += 1
        return count

    def forget(self, key: Key) -> None:
        """Drop everything about a key that names no object any more. A run in progress goes on."""
        self._queue.forget(key)
        self._drop(key)
        self._progressed()

    async def idle(self, *, retries: bool = False) -> None:
        """Wait until no key is ready or being handled, or the manager is stopping.

        Keys due later do not count: neither `Requeue` nor `enqueue_after`, and retries after errors only on request.

        Args:
            retries: also wait until no error is to be retried; with an error that never passes, for ever.
        """
        while not self._stopping and (self._busy() or (retries and self._failing)):
            await self._progress.wait()

    async def start(self) -> None:
        """Run the startup hooks, then the workers and timers.

        A hook that raises `TemporaryError` is called again after its delay or with backoff; any other error ends the
        start and comes out of here.

        Raises:
            RuntimeError: it was started before.
            ValueError: a timer's interval is not positive.
        """
        if self._started:
            raise RuntimeError("a manager can be started only once")
        self._started = True
        for timer in self._registry.timers:
            timer.seconds(self._context)
        for hook in self._registry.startup_hooks:
            await self._start_up(hook)
        if self._stopping:
            return
        self._supervisor.keep("queue", self._queue.run)
        for number in range(self._workers):
            self._supervisor.keep(f"worker-{number}", self._work)
        for timer in self._registry.timers:
            self._supervisor.keep(f"timer-{timer.kind}-{timer.name}", partial(self._tick, timer))

    async def stop(self) -> None:
        """Let running handlers end within the grace, cancel those that don't, run the cleanup hooks.

        Takes at most the grace and 0.4 s. What ignores its cancellation is logged and left behind; so are cleanup
        hooks that fail or take too long.
        """
        async with self._stop_lock:
            self._stopping = True
            self._progressed()
            if self._stopped or not self._started:
                return
            try:
                await wait_for(self._clock, self._drained(), self._grace)
            except TimeoutError:
                logger.warning("cancelling %d handlers that still run after %.1f s", self.depth.processing, self._grace)
            await self._supervisor.stop()
            await self._clean_up()
            self._stopped = True

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _work(self) -> None:
        while not self._stopping:
            key, waited = await self._queue.get()
            try:
                if not self._stopping:
                    await self._handle(key, waited)
            finally:
                self._release(key)
            await self._breathe()

    async def _handle(self, key: Key, waited: float) -> None:
        self._failing.discard(key)
        self._tell(lambda observer: observer.started(key, waited))
        started = self._clock.monotonic()
        role, outcome = await self._execution.run(key)
        seconds = self._clock.monotonic() - started
        if role is Role.FINALIZE and outcome.final and outcome.succeeded:
            self._drop(key)
        else:
            self._outcomes[key] = outcome
        if outcome.delay is not None:
            self._queue.retry_after(key, outcome.delay)
            if not outcome.succeeded:
                self._failing.add(key)
        logger.debug("%s: %s took %.3f s", key, role, seconds)
        self._tell(lambda observer: observer.finished(key, role, outcome, seconds))

    async def _tick(self, timer: Timer[C]) -> None:
        while not self._stopping:
            await self._clock.sleep(timer.seconds(self._context))
            for key in tuple(await self._lookup.keys(timer.kind)):
                if not self._stopping and self._queue.claim(key):
                    try:
                        await self._handle_timer(timer, key)
                    finally:
                        self._release(key)
                    await self._breathe()

    async def _handle_timer(self, timer: Timer[C], key: Key) -> None:
        started = self._clock.monotonic()
        outcome = await self._execution.run_timer(timer, key)
        if outcome is None:
            return
        seconds = self._clock.monotonic() - started
        if outcome.result is not None:
            self.enqueue_after(key, outcome.result.after, f"timer {timer.name}")
        self._tell(lambda observer: observer.finished(key, Role.TIMER, outcome, seconds))

    async def _start_up(self, hook: Hook[C]) -> None:
        attempt = 0
        while not self._stopping:
            try:
                await hook(self._context)
            except TemporaryError as error:
                delay = self._backoff.delay(attempt, self._random) if error.delay is None else error.delay
                logger.warning("start-up waits: %s; again in %.1f s", error, delay)
                await self._clock.sleep(delay)
                attempt += 1
            else:
                return

    async def _clean_up(self) -> None:
        async def run_hooks() -> None:
            for hook in self._registry.cleanup_hooks:
                try:
                    await hook(self._context)
                except Exception:
                    logger.exception("a cleanup hook failed; the others run all the same")

        task = asyncio.create_task(run_hooks(), name="cleanup")
        try:
            await wait_for(self._clock, asyncio.wait({task}), _CLEANUP_BOUND)
        except TimeoutError:
            task.cancel()
            logger.warning("gave up cleanup hooks that took more than %.1f s", _CLEANUP_BOUND)

    async def _breathe(self) -> None:
        """Let other tasks run: handlers that never wait, a thousand in a row, must not hold up the event loop."""
        await self._clock.sleep(0)

    def _busy(self) -> bool:
        depth = self._queue.depth
        return depth.ready + depth.processing > 0

    async def _drained(self) -> None:
        while self._queue.depth.processing:
            await self._progress.wait()

    def _release(self, key: Key) -> None:
        self._queue.done(key)
        self._tell(lambda observer: observer.queued(self.depth))
        self._progressed()

    def _progressed(self) -> None:
        """Let whoever waits for a state look at it."""
        self._progress.set()
        self._progress = asyncio.Event()

    def _drop(self, key: Key) -> None:
        self._outcomes.pop(key, None)
        self._failing.discard(key)
        self._execution.forget(key)

    def _tell(self, news: Callable[[Observer], None]) -> None:
        try:
            news(self._observer)
        except Exception:
            logger.exception("an observer failed; the work goes on")
