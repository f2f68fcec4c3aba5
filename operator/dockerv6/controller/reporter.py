"""Events: what happened to a resource, for people; kept in the store and said in the log."""

import logging

from dockerv6.lib.clock import Clock
from dockerv6.store.model import EventType
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger("dockerv6.events")


class Reporter:
    """Writes events. Telling must never keep from doing: a store that refuses one is only logged."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def normal(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something went as it should."""
        await self._record(kind, name, EventType.NORMAL, reason, message)

    async def warning(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something that a person may want to look at."""
        await self._record(kind, name, EventType.WARNING, reason, message)

    async def _record(self, kind: str, name: str, type_: EventType, reason: str, message: str) -> None:
        level = logging.WARNING if type_ is EventType.WARNING else logging.INFO
        logger.log(level, "%s", message, extra={"kind": kind, "resource": name, "reason": str(reason)})
        try:
            await self._store.record_event(kind, name, type_, str(reason), message, self._clock.now())
        except StoreError as error:
            logger.warning("the event could not be kept: %s", error)
