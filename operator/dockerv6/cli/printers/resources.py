"""Resources in every format of ``get``."""

from collections.abc import Iterable, Mapping, Sequence

from dockerv6.api.kinds import Column, KindInfo
from dockerv6.cli.printers.columns import cell
from dockerv6.cli.printers.documents import document, listed
from dockerv6.cli.printers.table import Table
from dockerv6.cli.targets import full_name, short_name
from dockerv6.store.model import StoredObject

FORMATS = ("table", "wide", "json", "yaml", "name")
DELETED = "<deleted>"
"""In the first cell after the name, when a watched resource has gone."""

Printed = Sequence[tuple[KindInfo, Sequence[StoredObject]]]
"""Resources by kind, in the order in which they are printed."""


def whole(found: Printed, form: str, *, single: bool) -> str:
    """JSON or YAML of all: the object itself when ``single``, else a List."""
    from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - tables need none of it

    documents = [document(stored) for _, objects in found for stored in objects]
    return text(documents[0] if single else listed(documents), form)


class ResourcePrinter:
    """Prints resources as they come: tables by kind, names, or one document after the other."""

    def __init__(self, form: str, *, many_kinds: bool) -> None:
        """In a format of `FORMATS`; with many kinds, names carry theirs."""
        self._form = form
        self._many = many_kinds
        self._tables: dict[str, Table] = {}
        self._documents = 0

    def lines(self, info: KindInfo, objects: Iterable[StoredObject], now: float) -> list[str]:
        """Resources of one kind."""
        if self._form == "name":
            return [full_name(stored.kind, stored.name) for stored in objects]
        if self._form in ("json", "yaml"):
            return [self._document(document(stored)) for stored in objects]
        columns = self._columns(info)
        rows = []
        for stored in objects:
            shown = document(stored)
            rows.append([self._name(stored), *(cell(shown, column, now) for column in columns)])
        return self._table(info).lines(rows)

    def gone(self, info: KindInfo, stored: StoredObject, now: float) -> list[str]:
        """A watched resource that is no longer there: a table says so, a document has its deletionTimestamp."""
        if self._form == "name":
            return [full_name(stored.kind, stored.name)]
        shown = document(stored)
        if self._form in ("json", "yaml"):
            return [self._document(shown)]
        cells = [cell(shown, column, now) for column in self._columns(info)]
        return self._table(info).lines([[self._name(stored), DELETED, *cells[1:]]])

    def _document(self, shown: Mapping[str, object]) -> str:
        from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - tables need none of it

        self._documents += 1
        separator = "---\n" if self._form == "yaml" and self._documents > 1 else ""
        return separator + text(shown, self._form)

    def _name(self, stored: StoredObject) -> str:
        return short_name(stored.kind, stored.name) if self._many else stored.name

    def _table(self, info: KindInfo) -> Table:
        if info.kind not in self._tables:
            self._tables[info.kind] = Table(["Name", *(column.name for column in self._columns(info))])
        return self._tables[info.kind]

    def _columns(self, info: KindInfo) -> list[Column]:
        return [column for column in info.columns if self._form == "wide" or not column.wide]
