"""Events of resources, in the store and in the log."""

import logging

from dockerv6.lib.clock import Clock
from dockerv6.store.model import EventType
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger("dockerv6.events")

REPEAT_INTERVAL = 60.0
"""Seconds for which a repeated event of a resource is counted, but logged at debug level only."""

UNSTORED_LIMIT = 500
"""Events that wait for a store that refuses them. The oldest are dropped; the log has them."""


class EventRecorder:
    """Writes events to the store and the log.

    A store that refuses one, such as on a full disk, never stops a reconcile: it gets the event later.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._logged: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._unstored: dict[tuple[str, str, EventType, str, str], float] = {}  # when each was last seen

    async def normal(self, kind: str, name: str, reason: str, message: str) -> None:
        """Record something that went as it should."""
        await self._record(kind, name, EventType.NORMAL, reason, message)

    async def warning(self, kind: str, name: str, reason: str, message: str) -> None:
        """Record something that a person may want to look at."""
        await self._record(kind, name, EventType.WARNING, reason, message)

    def log_warning(self, kind: str, name: str, reason: str, message: str) -> None:
        """Log a warning at once; `warning`, which waits for the store, does not repeat it."""
        self._log(kind, name, EventType.WARNING, reason, message)

    async def _record(self, kind: str, name: str, type_: EventType, reason: str, message: str) -> None:
        self._log(kind, name, type_, reason, message)
        event = (kind, name, type_, str(reason), message)
        self._unstored.pop(event, None)
        self._unstored[event] = self._clock.now()
        while len(self._unstored) > UNSTORED_LIMIT:
            del self._unstored[next(iter(self._unstored))]
        await self.store()

    async def store(self) -> None:
        """Write the events that the store does not have yet. What it refuses is logged, and written by a later call."""
        while self._unstored:
            event, seen = next(iter(self._unstored.items()))
            del self._unstored[event]  # another task may write the others meanwhile
            try:
                await self._store.record_event(*event, seen)
            except StoreError as error:
                self._unstored.setdefault(event, seen)  # as the last one: it may be refused for its own sake
                logger.warning("an event could not be stored and is tried again: %s", error)
                return

    def _log(self, kind: str, name: str, type_: EventType, reason: str, message: str) -> None:
        level = logging.WARNING if type_ is EventType.WARNING else logging.INFO
        if self._is_repeated((kind, name, str(reason)), message):
            level = logging.DEBUG
        logger.log(level, "%s", message, extra={"kind": kind, "resource": name, "reason": str(reason)})

    def _is_repeated(self, about: tuple[str, str, str], message: str) -> bool:
        """Whether the same message was logged lately: each reconcile finds the same as the one before."""
        now = self._clock.monotonic()
        last, at = self._logged.get(about, ("", 0.0))
        if last == message and now - at < REPEAT_INTERVAL:
            return True
        self._logged = {key: each for key, each in self._logged.items() if now - each[1] < REPEAT_INTERVAL}
        self._logged[about] = (message, now)
        return False
