"""Events in every format of ``events``, and as a part of ``describe``."""

from collections.abc import Iterable

from dockerv6.cli.printers.documents import event_document, listed
from dockerv6.cli.printers.table import Table
from dockerv6.cli.targets import short_name
from dockerv6.cli.times import age
from dockerv6.store.model import Event

FORMATS = ("table", "json", "yaml")


def whole(events: Iterable[Event], form: str) -> str:
    """JSON or YAML of all, as a List."""
    from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - tables need none of it

    return text(listed(map(event_document, events)), form)


class EventPrinter:
    """Prints events as they come."""

    def __init__(self, form: str, *, of_one: bool = False) -> None:
        """In a format of `FORMATS`; a table ``of_one`` resource's events does not name it."""
        self._form = form
        self._of_one = of_one
        names = [] if of_one else ["Object"]
        self._table = Table(["Last seen", "Type", "Reason", *names, "Message"])
        self._documents = 0

    def lines(self, events: Iterable[Event], now: float) -> list[str]:
        """These events."""
        if self._form == "table":
            return self._table.lines([self._row(event, now) for event in events])
        from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - tables need none of it

        result = []
        for event in events:
            separator = "---\n" if self._form == "yaml" and self._documents else ""
            self._documents += 1
            result.append(separator + text(event_document(event), self._form))
        return result

    def _row(self, event: Event, now: float) -> list[str]:
        names = [] if self._of_one else [short_name(event.kind, event.name)]
        return [last_seen(event, now), str(event.type), event.reason, *names, event.message]


def last_seen(event: Event, now: float) -> str:
    """``3m (x5 over 2h)``, as kubectl says it."""
    ago = age(now - event.last_seen)
    return ago if event.count == 1 else f"{ago} (x{event.count} over {age(now - event.first_seen)})"
