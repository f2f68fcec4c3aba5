"""Resources and events as tables, names, JSON and YAML."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dockerv6.api.kinds import API_VERSION, Column, KindInfo
from dockerv6.cli.printers.jsonpath import parse_path, value_text
from dockerv6.cli.printers.outputs import COLUMNS, Output, rendered
from dockerv6.cli.printers.table import TextTable, age
from dockerv6.cli.selection import full_name, labels_of, short_name
from dockerv6.lib.timeformat import parse_rfc3339, rfc3339
from dockerv6.store.model import Event, StoredObject

Json = dict[str, object]

RESOURCE_FORMATS = ("table", "wide", "json", "yaml", "name")
EVENT_FORMATS = ("table", "wide", "json", "yaml")
TABLE = Output("table")
NONE = "<none>"
"""kubectl's text for a missing value."""

DELETED = "<deleted>"
"""The first cell after the name of a watched resource that was deleted."""


def document(stored: StoredObject) -> Json:
    """The resource with apiVersion, kind, metadata, spec and status. It is valid as a resource file."""
    source = stored.document.get("metadata")
    metadata: Json = {"name": stored.name}
    if isinstance(source, Mapping):
        metadata |= {key: source[key] for key in ("labels", "annotations") if source.get(key)}
    metadata["generation"] = stored.generation
    metadata["creationTimestamp"] = rfc3339(stored.created)
    if stored.deleting_since is not None:
        metadata["deletionTimestamp"] = rfc3339(stored.deleting_since)
    return {
        "apiVersion": API_VERSION,
        "kind": stored.kind,
        "metadata": metadata,
        "spec": stored.document.get("spec") or {},
        "status": dict(stored.status),
    }


def event_document(event: Event) -> Json:
    """An event with the field names of Kubernetes' core/v1 Event."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Event",
        "type": str(event.type),
        "reason": event.reason,
        "message": event.message,
        "involvedObject": {"kind": event.kind, "name": event.name},
        "count": event.count,
        "firstTimestamp": rfc3339(event.first_seen),
        "lastTimestamp": rfc3339(event.last_seen),
    }


class TableOptions(NamedTuple):
    """What is added to tables, and left out."""

    headings: bool = True
    labels: bool = False  # a column with all labels
    label_columns: tuple[str, ...] = ()  # a column for each of these labels


class ResourcePrinter:
    """Prints resources one after another: one table per kind, names, or one document per resource."""

    def __init__(self, output: Output, table: TableOptions | None = None, *, many_kinds: bool) -> None:
        """Use a format. With many kinds, names include the kind."""
        self._output = output
        self._options = table or TableOptions()
        self._many = many_kinds
        self._tables: dict[str, TextTable] = {}
        self._documents = 0

    def lines(self, info: KindInfo, objects: Iterable[StoredObject], now: float) -> list[str]:
        """Resources of one kind."""
        if self._output.form == "name":
            return [full_name(stored.kind, stored.name) for stored in objects]
        if self._output.whole:
            return [self._document(document(stored)) for stored in objects]
        return self._table(info).lines([self._row(info, stored, now) for stored in objects])

    def deleted(self, info: KindInfo, stored: StoredObject, now: float) -> list[str]:
        """A watched resource that was deleted: a table marks it, a document has its deletionTimestamp."""
        if self._output.whole or self._output.form in ("name", COLUMNS):
            return self.lines(info, [stored], now)
        name, _, *cells = self._row(info, stored, now)
        return self._table(info).lines([[name, DELETED, *cells]])

    def _document(self, content: Json) -> str:
        self._documents += 1
        separator = "---\n" if self._output.form == "yaml" and self._documents > 1 else ""
        return separator + rendered([content], self._output, single=True).removesuffix("\n")

    def _row(self, info: KindInfo, stored: StoredObject, now: float) -> list[str]:
        content = document(stored)
        if self._output.form == COLUMNS:
            return [cell(content, column, now) for column in self._output.columns]
        name = short_name(stored.kind, stored.name) if self._many else stored.name
        row = [name, *(cell(content, column, now) for column in self._columns(info))]
        labels = labels_of(stored)
        row += [labels.get(key, NONE) for key in self._options.label_columns]
        if self._options.labels:
            row.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE)
        return row

    def _table(self, info: KindInfo) -> TextTable:
        own = self._output.form == COLUMNS
        kind = "" if own else info.kind
        if kind not in self._tables:
            self._tables[kind] = TextTable(self._headings(info), shown=self._options.headings, exact=own)
        return self._tables[kind]

    def _headings(self, info: KindInfo) -> list[str]:
        if self._output.form == COLUMNS:
            return [column.name for column in self._output.columns]
        added = [key.rpartition("/")[2] for key in self._options.label_columns]
        added += ["Labels"] if self._options.labels else []
        return ["Name", *(column.name for column in self._columns(info)), *added]

    def _columns(self, info: KindInfo) -> list[Column]:
        return [column for column in info.columns if self._output.form == "wide" or not column.wide]


class EventPrinter:
    """Prints events one after another."""

    def __init__(self, output: Output = TABLE, *, one_object: bool = False, headings: bool = True) -> None:
        """Use a format. A table of the events of ``one_object`` has no object column."""
        self._output = output
        self._one_object = one_object
        names = [] if one_object else ["Object"]
        columns = [column.name for column in output.columns] or ["Last seen", "Type", "Reason", *names, "Message"]
        self._table = TextTable(columns, shown=headings, exact=bool(output.columns))
        self._documents = 0

    def lines(self, events: Iterable[Event], now: float) -> list[str]:
        """These events."""
        if not self._output.whole:
            return self._table.lines([self._row(event, now) for event in events])
        result = []
        for event in events:
            separator = "---\n" if self._output.form == "yaml" and self._documents else ""
            self._documents += 1
            text = rendered([event_document(event)], self._output, single=True)
            result.append(separator + text.removesuffix("\n"))
        return result

    def _row(self, event: Event, now: float) -> list[str]:
        if self._output.columns:
            return [cell(event_document(event), column, now) for column in self._output.columns]
        names = [] if self._one_object else [short_name(event.kind, event.name)]
        return [_last_seen(event, now), str(event.type), event.reason, *names, event.message]


def _last_seen(event: Event, now: float) -> str:
    """``3m (x5 over 2h)``, as kubectl prints it."""
    ago = age(now - event.last_seen)
    return ago if event.count == 1 else f"{ago} (x{event.count} over {age(now - event.first_seen)})"


def cell(content: Mapping[str, object], column: Column, now: float) -> str:
    """The text of a column for a resource: a date as its age, a list as its items."""
    found = parse_path(column.path).find(content)
    value = found[0] if len(found) == 1 else found
    if value is None or value in ("", [], {}):
        return NONE
    if column.type == "date" and isinstance(value, str):
        return age(now - parse_rfc3339(value))
    return ",".join(map(value_text, value)) if isinstance(value, list) else value_text(value)
