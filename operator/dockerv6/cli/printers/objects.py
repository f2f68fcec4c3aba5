"""Resources and events as tables, names, JSON and YAML."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dockerv6.api.kinds import API_VERSION, Column, KindInfo
from dockerv6.cli.printers.table import TextTable, age
from dockerv6.cli.selection import full_name, short_name
from dockerv6.lib.text import escaped, escaped_json
from dockerv6.lib.timeformat import parse_rfc3339, rfc3339
from dockerv6.store.model import Event, StoredObject

Json = dict[str, object]

RESOURCE_FORMATS = ("table", "wide", "json", "yaml", "name")
EVENT_FORMATS = ("table", "json", "yaml")
NONE = "<none>"
"""kubectl's text for a missing value."""

DELETED = "<deleted>"
"""The first cell after the name of a watched resource that was deleted."""

ObjectsByKind = Sequence[tuple[KindInfo, Sequence[StoredObject]]]
"""Resources grouped by kind, in the order of printing."""


def encode(value: Mapping[str, object], form: str) -> str:
    """The value as ``json`` or ``yaml`` text without a final newline. Keys keep their order."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 - only for -o yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
        if any(escaped(line) != line for line in text.split("\n")):  # then as \u escapes, in double quotes
            text = yaml.safe_dump(value, sort_keys=False, width=120)
        return text.rstrip("\n")
    import json  # noqa: PLC0415 - only for -o json

    return escaped_json(json.dumps(value, indent=4, ensure_ascii=False))


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


def resources_text(found: ObjectsByKind, form: str, *, single: bool) -> str:
    """JSON or YAML of all resources: a List, or the object itself when ``single``."""
    documents = [document(stored) for _, objects in found for stored in objects]
    return encode(documents[0] if single else _list(documents), form)


def events_text(events: Iterable[Event], form: str) -> str:
    """JSON or YAML of all events, as a List."""
    return encode(_list(map(event_document, events)), form)


def _list(items: Iterable[Json]) -> Json:
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}


class ResourcePrinter:
    """Prints resources one after another: one table per kind, names, or one document per resource."""

    def __init__(self, form: str, *, many_kinds: bool) -> None:
        """Use a format of `RESOURCE_FORMATS`. With many kinds, names include the kind."""
        self._form = form
        self._many = many_kinds
        self._tables: dict[str, TextTable] = {}
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
            content = document(stored)
            rows.append([self._name(stored), *(cell(content, column, now) for column in columns)])
        return self._table(info).lines(rows)

    def deleted(self, info: KindInfo, stored: StoredObject, now: float) -> list[str]:
        """A watched resource that was deleted: a table marks it, a document has its deletionTimestamp."""
        if self._form == "name":
            return [full_name(stored.kind, stored.name)]
        content = document(stored)
        if self._form in ("json", "yaml"):
            return [self._document(content)]
        cells = [cell(content, column, now) for column in self._columns(info)]
        return self._table(info).lines([[self._name(stored), DELETED, *cells[1:]]])

    def _document(self, content: Mapping[str, object]) -> str:
        self._documents += 1
        separator = "---\n" if self._form == "yaml" and self._documents > 1 else ""
        return separator + encode(content, self._form)

    def _name(self, stored: StoredObject) -> str:
        return short_name(stored.kind, stored.name) if self._many else stored.name

    def _table(self, info: KindInfo) -> TextTable:
        if info.kind not in self._tables:
            self._tables[info.kind] = TextTable(["Name", *(column.name for column in self._columns(info))])
        return self._tables[info.kind]

    def _columns(self, info: KindInfo) -> list[Column]:
        return [column for column in info.columns if self._form == "wide" or not column.wide]


class EventPrinter:
    """Prints events one after another."""

    def __init__(self, form: str, *, one_object: bool = False) -> None:
        """Use a format of `EVENT_FORMATS`. A table of the events of ``one_object`` has no object column."""
        self._form = form
        self._one_object = one_object
        names = [] if one_object else ["Object"]
        self._table = TextTable(["Last seen", "Type", "Reason", *names, "Message"])
        self._documents = 0

    def lines(self, events: Iterable[Event], now: float) -> list[str]:
        """These events."""
        if self._form == "table":
            return self._table.lines([self._row(event, now) for event in events])
        result = []
        for event in events:
            separator = "---\n" if self._form == "yaml" and self._documents else ""
            self._documents += 1
            result.append(separator + encode(event_document(event), self._form))
        return result

    def _row(self, event: Event, now: float) -> list[str]:
        names = [] if self._one_object else [short_name(event.kind, event.name)]
        return [_last_seen(event, now), str(event.type), event.reason, *names, event.message]


def _last_seen(event: Event, now: float) -> str:
    """``3m (x5 over 2h)``, as kubectl prints it."""
    ago = age(now - event.last_seen)
    return ago if event.count == 1 else f"{ago} (x{event.count} over {age(now - event.first_seen)})"


_PATH_PART = re.compile(
    r'\.(?P<key>[A-Za-z0-9_-]+)|\[(?P<index>\d+)\]|\[\?\(@\.(?P<filter>[A-Za-z0-9_-]+)=="(?P<value>[^"]*)"\)\]'
)


def find(content: object, path: str) -> object:
    """The first value at a JSONPath of keys, indexes and ``[?(@.key=="value")]``; None when there is none.

    Raises:
        ValueError: the path uses other parts of JSONPath.
    """
    value = content
    for part in _path_parts(path):
        value = _step(value, part)
    return value


def _path_parts(path: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(path):
        part = _PATH_PART.match(path, position)
        if part is None:
            raise ValueError(f"{path!r} uses JSONPath that printer columns don't support")
        yield part
        position = part.end()


def _step(value: object, part: re.Match[str]) -> object:
    if part["key"] is not None:
        return value.get(part["key"]) if isinstance(value, Mapping) else None
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if part["index"] is not None:
        index = int(part["index"])
        return value[index] if index < len(value) else None
    return next((i for i in value if isinstance(i, Mapping) and i.get(part["filter"]) == part["value"]), None)


def cell(content: Mapping[str, object], column: Column, now: float) -> str:
    """The text of a column for a resource: a date as its age, a list as its items."""
    value = find(content, column.path)
    if value is None or value in ("", [], {}):
        return NONE
    if column.type == "date" and isinstance(value, str):
        return age(now - parse_rfc3339(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
