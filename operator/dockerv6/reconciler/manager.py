"""The manager runs handlers for keys.

The contract:

- A handler receives a key, never an event. It reads the current state and makes the host match it, so any number of
  events for one key needs one run.
- One run at a time for each key; several keys in parallel, as many as there are workers.
- A key that is enqueued while its handler runs is handled again afterwards.
- While the object is being deleted (it has a tombstone), the finalizer runs in place of the reconciler. The manager
  removes the tombstone when the finalizer returns None.

What follows a run:

=========================================  =============================================================
the handler                                next run
=========================================  =============================================================
returns None                               when the key is enqueued
returns `Requeue`                          after its delay
raises `TemporaryError` with a delay       after that delay
raises `TemporaryError` without a delay    after an exponential backoff
raises `PermanentError`                    when the key is enqueued
raises anything else                       after an exponential backoff; the traceback is logged
=========================================  =============================================================

A key that is enqueued before its next run is due is handled at once, and that run replaces the scheduled one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from dockerv6.lib.clock import Clock, wait_for
from dockerv6.lib.tasks import Backoff, Supervisor
from dockerv6.reconciler.handler import ContextT, Key, PermanentError, Registry, Requeue, TemporaryError, Unsettled
from dockerv6.reconciler.queue import KeyedQueue, QueueDepth

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CANCEL_TIMEOUT = 0.2
"""Seconds that `stop` waits for cancelled handlers, after the grace period."""


class Role(StrEnum):
    """Which handler of the key's kind ran."""

    RECONCILE = "reconcile"
    FINALIZE = "finalize"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one run.

    Attributes:
        retry_after: seconds until the next run; None if there is none until the key is enqueued.
        error: what the handler raised; None if it returned.
    """

    retry_after: float | None = None
    error: Exception | None = None


class Tombstones(Protocol):
    """Which objects are being deleted. An exception counts as a failure of the run and is retried with backoff."""

    async def is_deleting(self, key: Key) -> bool:
        """Whether the object has a tombstone. An unknown object has none."""
        ...

    async def remove(self, key: Key) -> None:
        """Remove the tombstone: nothing of the object remains on the host.

        The object may have been created again in the meantime; then its tombstone is gone already, and the new object
        must stay (compare and swap).
        """
        ...


class Observer(Protocol):
    """Receives what the manager does, on the event loop: it must not block. Its exceptions are logged and ignored."""

    def queued(self, depth: QueueDepth) -> None:
        """The queue has changed."""
        ...

    def started(self, key: Key, waited: float) -> None:
        """A worker has taken the key, which was ready for `waited` seconds."""
        ...

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        """A handler has run for `seconds`. A run that `Manager.stop` cancelled is not reported."""
        ...


class NullObserver:
    """Does nothing."""

    def queued(self, depth: QueueDepth) -> None:
        """Do nothing."""

    def started(self, key: Key, waited: float) -> None:
        """Do nothing."""

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        """Do nothing."""


class Manager(Generic[ContextT]):
    """Runs the handlers of a registry; see the module's docstring for the contract.

    All methods belong to one event loop; from another thread use `loop.call_soon_threadsafe(manager.enqueue, …)`.
    """

    def __init__(
        self,
        registry: Registry[ContextT],
        *,
        tombstones: Tombstones,
        context: ContextT,
        clock: Clock,
        random: Random,
        observer: Observer | None = None,
        backoff: Backoff | None = None,
        workers: int = 8,
        grace: float = 0.5,
    ) -> None:
        """Make a manager; nothing runs before `start`.

        Args:
            registry: the handlers.
            tombstones: which objects are being deleted.
            context: given to every handler.
            clock: for every delay.
            random: for the jitter of the backoff.
            observer: receives what happens.
            backoff: between consecutive failures of a key.
            workers: how many keys are handled at a time.
            grace: seconds that `stop` gives running handlers before it cancels them.
        """
        self._registry = registry
        self._tombstones = tombstones
        self._context = context
        self._clock = clock
        self._random = random
        self._observer = observer or NullObserver()
        self._backoff = backoff or Backoff()
        self._workers = workers
        self._grace = grace
        self._queue = KeyedQueue(clock)
        self._supervisor = Supervisor(clock=clock, random=random, timeout=_CANCEL_TIMEOUT)
        self._failures: dict[Key, int] = {}  # in a row
        self._progress = asyncio.Event()
        self._started = False
        self._stopping = False

    @property
    def depth(self) -> QueueDepth:
        """How many keys are ready, being processed, or due later."""
        return self._queue.depth

    @property
    def crashing(self) -> Mapping[str, str]:
        """The tasks of the manager that crash, with the cause."""
        return self._supervisor.crashing

    def enqueue(self, key: Key, reason: str) -> None:
        """Have the key handled as soon as possible. Ignored once the manager is stopping.

        Args:
            key: what may have changed.
            reason: for the log only; handlers do not receive it.

        A key whose kind has no handler is logged and dropped: it must not stop the task that found it.
        """
        if self._stopping:
            return
        if not self._registry.handles(key.kind):
            kinds = ", ".join(self._registry.kinds) or "nothing"
            logger.error("%s can't be handled: handlers exist for %s", key, kinds)
            return
        logger.debug("%s enqueued: %s", key, reason)
        self._queue.add(key)
        self._notify(lambda observer: observer.queued(self.depth))

    def pending(self, key: Key) -> bool:
        """Whether the key is ready or being processed."""
        return self._queue.pending(key)

    async def idle(self) -> None:
        """Wait until no key is ready or being processed, or the manager stops. Keys that are due later do not count."""
        while not self._stopping and (self.depth.ready or self.depth.processing):
            await self._progress.wait()

    def start(self) -> None:
        """Start the workers.

        Raises:
            RuntimeError: the manager was started before.
        """
        if self._started:
            raise RuntimeError("a manager can be started only once")
        self._started = True
        if self._stopping:
            return
        self._supervisor.keep("queue", self._queue.run)
        for number in range(self._workers):
            self._supervisor.keep(f"worker-{number}", self._work)

    async def stop(self) -> None:
        """Wait for running handlers within the grace period, then cancel them. Calling it again is harmless.

        A handler that ignores its cancellation for 0.2 s is logged and abandoned.
        """
        self._stopping = True
        self._progressed()
        try:
            await wait_for(self._clock, self._drained(), self._grace)
        except TimeoutError:
            logger.warning("cancelling %d handlers that still run after %.1f s", self.depth.processing, self._grace)
        await self._supervisor.stop()

    async def __aenter__(self) -> Self:
        self.start()
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
                self._queue.done(key)
                self._notify(lambda observer: observer.queued(self.depth))
                self._progressed()
            # Other tasks get their turn: a thousand handlers in a row that never wait must not block the event loop.
            await self._clock.sleep(0)

    async def _handle(self, key: Key, waited: float) -> None:
        """Run the key's handler once, schedule what follows, report it."""
        self._notify(lambda observer: observer.started(key, waited))
        started = self._clock.monotonic()
        role, outcome = Role.RECONCILE, Outcome()
        deleting, error = await _result_or_error(self._tombstones.is_deleting(key))
        if error is None:
            role = Role.FINALIZE if deleting else Role.RECONCILE
            requeue, error = await _result_or_error(self._finalize(key) if deleting else self._reconcile(key))
            outcome = Outcome(retry_after=requeue.after if requeue else None)
        if error is None:
            self._failures.pop(key, None)
        else:
            outcome = Outcome(retry_after=self._retry_delay(key, error), error=error)
            _log_failure(key, error, outcome.retry_after)
        if outcome.retry_after is not None:
            self._queue.retry_after(key, outcome.retry_after)
        seconds = self._clock.monotonic() - started
        logger.debug("%s: %s took %.3f s", key, role, seconds)
        self._notify(lambda observer: observer.finished(key, role, outcome, seconds))

    async def _reconcile(self, key: Key) -> Requeue | None:
        handler = self._registry.reconciler(key.kind)
        return None if handler is None else await handler(key, self._context)

    async def _finalize(self, key: Key) -> Requeue | None:
        handler = self._registry.finalizer(key.kind)
        requeue = None if handler is None else await handler(key, self._context)
        if requeue is None:
            await self._tombstones.remove(key)
        return requeue

    def _retry_delay(self, key: Key, error: Exception) -> float | None:
        if isinstance(error, PermanentError):
            self._failures.pop(key, None)
            return None
        if isinstance(error, TemporaryError) and error.delay is not None:
            return error.delay  # not counted as a failure: the backoff of the next error is independent of it
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return self._backoff.delay(failures, self._random)

    async def _drained(self) -> None:
        while self.depth.processing:
            await self._progress.wait()

    def _progressed(self) -> None:
        """Wake everyone who waits for a change of the depth."""
        self._progress.set()
        self._progress = asyncio.Event()

    def _notify(self, call: Callable[[Observer], None]) -> None:
        try:
            call(self._observer)
        except Exception:
            logger.exception("an observer failed; the manager continues")


async def _result_or_error(work: Awaitable[T]) -> tuple[T, None] | tuple[None, Exception]:
    """Await the work. Only the cancellation of the current task is raised."""
    try:
        return await work, None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Not this task was cancelled, but something that the handler waited for.
        interrupted = TemporaryError("interrupted: a task that the handler waited for was cancelled")
        interrupted.__cause__ = error
        return None, interrupted
    except Exception as error:  # noqa: BLE001 - part of the outcome
        return None, error


def _log_failure(key: Key, error: Exception, delay: float | None) -> None:
    next_run = "no retry until something changes" if delay is None else f"next try in {delay:.1f} s"
    if isinstance(error, PermanentError):
        logger.error("%s: %s; %s", key, error, next_run)
    elif isinstance(error, Unsettled):
        logger.debug("%s: %s; %s", key, error, next_run)
    elif isinstance(error, TemporaryError):
        logger.warning("%s: %s; %s", key, error, next_run)
    else:
        logger.error("%s failed unexpectedly; %s", key, next_run, exc_info=error)
