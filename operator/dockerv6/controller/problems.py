"""Problems that belong to no resource, such as a file of an unknown kind, or a damaged row of the state file.

Each is an event when it appears. Until it ends, it is a record in the store, which `dockerv6 get` and `dockerv6 doctor`
read, and the daemon is not ready. What others may cause, and harms only them, is a warning: the daemon is ready.
"""

import logging
from collections.abc import Iterable

from dockerv6.controller.events import EventRecorder
from dockerv6.store.model import PROBLEMS, WARNINGS
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger(__name__)

_SHOWN = 3  # problems that the readiness check names


class OpenProblems:
    """The problems that have not ended, by subject."""

    def __init__(self, store: Store, events: EventRecorder) -> None:
        """Know none before `load`."""
        self._store = store
        self._events = events
        self._open: dict[tuple[str, str], tuple[str, ...]] = {}  # by the scope of their records, and the subject
        self._stored: dict[tuple[str, str], tuple[str, ...]] = {}
        self._unrecorded: list[tuple[str, str, str, str]] = []  # events

    async def load(self) -> None:
        """Read what an earlier process reported; each check reports again. Raises `StoreError`."""
        for scope in (PROBLEMS, WARNINGS):
            for subject, record in (await self._store.records(scope)).items():
                self._stored[scope, subject] = _messages(record.get("messages"))
        self._open = dict(self._stored)

    async def report(
        self, subject: str, reason: str, messages: Iterable[str], kind: str = "Host", scope: str = PROBLEMS
    ) -> None:
        """Replace the problems of a subject.

        Args:
            subject: such as "state"; the name of the events' object.
            reason: of the events.
            messages: each with its remedy; none: the problems have ended.
            kind: of the events' object.
            scope: WARNINGS: they are no problems, but warnings.
        """
        self.note(subject, reason, messages, kind, scope)
        await self.store()

    def note(
        self, subject: str, reason: str, messages: Iterable[str], kind: str = "Host", scope: str = PROBLEMS
    ) -> None:
        """Replace the problems of a subject as `report` does, but leave the store to the next `report` or `store`."""
        now, before = tuple(dict.fromkeys(messages)), self._open.get((scope, subject), ())
        self._open[scope, subject] = now
        for message in now:
            if message not in before:
                self._events.log_warning(kind, subject, reason, message)
                self._unrecorded.append((kind, subject, reason, message))

    async def store(self) -> None:
        """Write what the store does not have yet. What it refuses is logged, and written by the next call."""
        while self._unrecorded:
            await self._events.warning(*self._unrecorded.pop(0))
        for (scope, subject), now in list(self._open.items()):
            if now == self._stored.get((scope, subject), ()):
                continue
            try:
                if now:
                    await self._store.put_record(scope, subject, {"messages": list(now)})
                else:
                    await self._store.drop_record(scope, subject)
            except StoreError as error:
                logger.warning("the problems of %s could not be stored: %s", subject, error)
            else:
                self._stored[scope, subject] = now

    def check(self) -> str:
        """A `HealthCheck`; names the first three."""
        found = [message for (scope, _), messages in self._open.items() if scope == PROBLEMS for message in messages]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return "; ".join(found[:_SHOWN]) + more


def _messages(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
