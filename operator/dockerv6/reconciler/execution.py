"""One run of a handler: choosing it, calling it, weighing what came of it."""

import asyncio
import logging
from collections.abc import Awaitable
from random import Random
from typing import Generic, TypeVar

from dockerv6.lib.backoff import Backoff
from dockerv6.reconciler.errors import PermanentError, TemporaryError
from dockerv6.reconciler.lookup import Lookup
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Outcome, Requeue
from dockerv6.reconciler.registry import C, Registry, Timer
from dockerv6.reconciler.request import Key

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Execution(Generic[C]):
    """Runs handlers and remembers how often each key has failed in a row.

    Nothing that a handler raises comes out of here, but for the cancellation of the task that runs it.
    """

    def __init__(self, registry: Registry[C], *, lookup: Lookup, context: C, backoff: Backoff, random: Random) -> None:
        """Run the registry's handlers with the context; `random` is for jitter."""
        self._registry = registry
        self._lookup = lookup
        self._context = context
        self._backoff = backoff
        self._random = random
        self._failures: dict[Key, int] = {}

    async def run(self, key: Key) -> tuple[Role, Outcome]:
        """Reconcile the object, or finalize it if it is being deleted."""
        deleting, error = await _guarded(self._lookup.deleting(key))
        role = Role.FINALIZE if deleting else Role.RECONCILE
        result: Requeue | None = None
        if error is None:
            result, error = await _guarded(self._finalize(key) if deleting else self._reconcile(key))
        return role, self._succeeded(key, result) if error is None else self._failed(key, error)

    async def run_timer(self, timer: Timer[C], key: Key) -> Outcome | None:
        """Call a timer's handler; None if the object is being deleted. An error is not retried before the next round.

        The error is logged here.
        """
        deleting, error = await _guarded(self._lookup.deleting(key))
        result: Requeue | None = None
        if error is None:
            if deleting:
                return None
            result, error = await _guarded(timer.handler(key, self._context))
        if error is None:
            return Outcome(final=True, result=result)
        delay = timer.seconds(self._context)
        _report(f"timer {timer.name} of {key}", error, delay)
        return Outcome(final=False, delay=delay, error=error)

    def forget(self, key: Key) -> None:
        """The object is gone; so are its failures."""
        self._failures.pop(key, None)

    async def _reconcile(self, key: Key) -> Requeue | None:
        handler = self._registry.reconciler(key.kind)
        return None if handler is None else await handler(key, self._context)

    async def _finalize(self, key: Key) -> Requeue | None:
        handler = self._registry.finalizer(key.kind)
        result = None if handler is None else await handler(key, self._context)
        if result is None:
            await self._lookup.finalized(key)
        return result

    def _succeeded(self, key: Key, result: Requeue | None) -> Outcome:
        self._failures.pop(key, None)
        if result is None:
            return Outcome(final=True)
        return Outcome(final=False, delay=result.after, result=result)

    def _failed(self, key: Key, error: Exception) -> Outcome:
        delay = self._retry_delay(key, error)
        _report(str(key), error, delay)
        return Outcome(final=delay is None, delay=delay, error=error)

    def _retry_delay(self, key: Key, error: Exception) -> float | None:
        if isinstance(error, PermanentError):
            self._failures.pop(key, None)
            return None
        if isinstance(error, TemporaryError) and error.delay is not None:
            return error.delay  # the handler's own pace says nothing about how the next error should be paced
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return self._backoff.delay(failures, self._random)


async def _guarded(work: Awaitable[T]) -> tuple[T, None] | tuple[None, Exception]:
    """Await the work; give its result or its error."""
    try:
        return await work, None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Not this task was cancelled, but something that the handler waited for.
        broken = TemporaryError("broken off: something that it waited for was cancelled")
        broken.__cause__ = error
        return None, broken
    except Exception as error:  # noqa: BLE001 - the report comes with the outcome
        return None, error


def _report(what: str, error: Exception, delay: float | None) -> None:
    then = "not tried again until something changes" if delay is None else f"again in {delay:.1f} s"
    if isinstance(error, PermanentError):
        logger.error("%s: %s; %s", what, error, then)
    elif isinstance(error, TemporaryError):
        logger.warning("%s: %s; %s", what, error, then)
    else:
        logger.error("%s failed unexpectedly; %s", what, then, exc_info=error)
