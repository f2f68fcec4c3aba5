"""A resource's table cells: the printer columns of its kind, by the JSONPath that ``api.kinds`` uses."""

import re
from collections.abc import Iterator, Mapping, Sequence

from dockerv6.api.kinds import Column
from dockerv6.cli.times import age
from dockerv6.lib.timeformat import parse_rfc3339

NONE = "<none>"
"""What kubectl shows for a value that is not there."""

_PART = re.compile(
    r'\.(?P<key>[A-Za-z0-9_-]+)|\[(?P<index>\d+)\]|\[\?\(@\.(?P<filter>[A-Za-z0-9_-]+)=="(?P<value>[^"]*)"\)\]'
)


def find(document: object, path: str) -> object:
    """The (first) value at a path: keys, indexes, and ``[?(@.key=="value")]``; None when there is none.

    Raises:
        ValueError: the path is more than that.
    """
    value = document
    for part in _parts(path):
        value = _step(value, part)
    return value


def _parts(path: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(path):
        part = _PART.match(path, position)
        if part is None:
            raise ValueError(f"{path!r} is more than the JSONPath that columns are made of")
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


def cell(document: Mapping[str, object], column: Column, now: float) -> str:
    """The column's text for a resource; a date as its age, a list as its items."""
    value = find(document, column.path)
    if value is None or value in ("", [], {}):
        return NONE
    if column.type == "date" and isinstance(value, str):
        return age(now - parse_rfc3339(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
