"""Blocking calls on threads that never hold up an exit.

A call to an engine can hang for minutes. The interpreter waits at its end for the threads of every
`concurrent.futures` pool, so a stop would take as long; it does not wait for daemon threads.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Workers:
    """Runs calls on daemon threads, a limited number at a time."""

    def __init__(self, limit: int, name: str) -> None:
        """Take the greatest number of threads, and the name that they carry."""
        self._slots = asyncio.Semaphore(limit)
        self._name = name

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call on a thread and give what it gives, or raise what it raises.

        When the waiting task is cancelled the call goes on and its outcome is dropped; it keeps its slot until it
        ends, so that a hanging engine can't make threads pile up.
        """
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            self._slots.release()
            if outcome.cancelled():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # None is a T where the call gives None

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - carried over to the task that waits
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result, error)

        try:
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError:
            self._slots.release()
            raise
        return await outcome
