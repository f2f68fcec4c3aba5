"""One document of a YAML file, with the position of each value."""

from collections.abc import Mapping
from dataclasses import dataclass

from yaml.events import Event

from dockerv6.api.errors import FieldPath
from dockerv6.source.model import Diagnostic, Position

Marks = dict[str | int, int]
"""For each entry of a mapping or list: where its key starts (in a list, the value itself) and where its value starts.

Both are in one integer, because marks take most of the memory of a document: see `place_of`.
"""

_COLUMN_BITS = 23
PLACE_BITS = 2 * _COLUMN_BITS
"""A file has at most 4 MiB, so line and column are below 2 ** 23."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file.

    Attributes:
        value: None, bool, int, float, str, list, or dict with string keys. An alias is the same object as the node at
            its anchor, so callers must not modify it.
        problems: why `value` can't be used; empty when it can.
    """

    value: object
    problems: tuple[Diagnostic, ...]
    _file: str
    _start: int
    _marks: Mapping[int, Marks]

    @property
    def empty(self) -> bool:
        """Whether the document has no content but comments."""
        return self.value is None and not self.problems

    def position(self, path: FieldPath = (), *, at_key: bool = False) -> Position:
        """The position of the value at a path, or of the nearest existing value around it.

        Args:
            path: keys and indexes from the top of the document.
            at_key: give the position of the key. The position of the key is also given for a value that starts on a
                later line than its key, and for a missing value: then it is the key of the mapping that lacks it.
        """
        value, place = self.value, self._start
        for depth, part in enumerate(path):
            marks = self._marks.get(id(value)) if isinstance(value, dict | list) else None
            if marks is None or part not in marks:
                break
            key_place, value_place = divmod(marks[part], 1 << PLACE_BITS)
            last = depth == len(path) - 1
            below = value_place >> _COLUMN_BITS > key_place >> _COLUMN_BITS
            place = value_place if last and not at_key and not below else key_place
            value = _child(value, part)
        return Position(self._file, *line_and_column_of(place))


def _child(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value[part]
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    return None


def place_of(event: Event) -> int:
    """Line and column of the start of an event, from 0."""
    mark = event.start_mark
    return mark.line << _COLUMN_BITS | mark.column if mark is not None else 0


def line_and_column_of(place: int) -> tuple[int, int]:
    """Line and column of a place, from 1."""
    line, column = divmod(place, 1 << _COLUMN_BITS)
    return line + 1, column + 1
