"""Events: what happened to a resource, for people; kept in the store and said in the log."""

import logging

from dockerv6.lib.clock import Clock
from dockerv6.store.model import EventType
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger("dockerv6.events")

AGAIN = 60.0
"""Seconds for which the same event of the same resource is counted, but not said again in the log."""


class Reporter:
    """Writes events. Telling must never keep from doing: a store that refuses one is only logged."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._said: dict[tuple[str, str, str], tuple[str, float]] = {}

    async def normal(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something went as it should."""
        await self._record(kind, name, EventType.NORMAL, reason, message)

    async def warning(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something that a person may want to look at."""
        await self._record(kind, name, EventType.WARNING, reason, message)

    async def _record(self, kind: str, name: str, type_: EventType, reason: str, message: str) -> None:
        level = logging.WARNING if type_ is EventType.WARNING else logging.INFO
        if self._is_repeated((kind, name, str(reason)), message):
            level = logging.DEBUG
        logger.log(level, "%s", message, extra={"kind": kind, "resource": name, "reason": str(reason)})
        try:
            await self._store.record_event(kind, name, type_, str(reason), message, self._clock.now())
        except StoreError as error:
            logger.warning("the event could not be kept: %s", error)

    def _is_repeated(self, about: tuple[str, str, str], message: str) -> bool:
        """Whether it was said lately: each look at a resource finds the same as the one before."""
        now = self._clock.monotonic()
        last, at = self._said.get(about, ("", 0.0))
        if last == message and now - at < AGAIN:
            return True
        self._said = {key: each for key, each in self._said.items() if now - each[1] < AGAIN}
        self._said[about] = (message, now)
        return False
