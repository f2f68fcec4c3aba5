"""What the parts of a JSONPath select of the values before them. The parser is `jsonpath`."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Values = list[object]
Select = Callable[[Values], Values]
"""The values that one part of a path selects of the values before it."""

MAX_VALUES = 1_000_000
"""Of a path: more than ten thousand resources have."""


class JSONPathError(ValueError):
    """The template can't be parsed, and the message shows where; or it leads to too many values."""


COMPARE: Mapping[str, Callable[[object, object], bool]] = {
    "==": lambda a, b: _comparable(a, b) and a == b,
    "!=": lambda a, b: not (_comparable(a, b) and a == b),
    "<": lambda a, b: _ordered(a, b) and a < b,  # type: ignore[operator]  # _ordered has checked the types
    "<=": lambda a, b: _ordered(a, b) and a <= b,  # type: ignore[operator]
    ">": lambda a, b: _ordered(a, b) and a > b,  # type: ignore[operator]
    ">=": lambda a, b: _ordered(a, b) and a >= b,  # type: ignore[operator]
}


def of_each(select: Callable[[object], Values]) -> Select:
    """What a function selects of each value."""
    return lambda values: bounded(found for value in values for found in select(value))


def bounded(values: Iterable[T]) -> list[T]:
    """The values as a list; .. repeats what is in one another, so that a short path can lead to any number."""
    found = list(islice(values, MAX_VALUES + 1))
    if len(found) > MAX_VALUES:
        raise JSONPathError(f"the JSONPath leads to more than {MAX_VALUES} values; select fewer")
    return found


def constant(value: object) -> Select:
    """The value itself, once for each value."""
    return lambda values: [value for _ in values]


def member(key: str) -> Select:
    """The value of a key of each mapping."""
    return lambda values: [value[key] for value in values if isinstance(value, Mapping) and key in value]


def item(index: int) -> Select:
    """One item of each list; a negative index counts from its end."""
    end = index + 1 or None  # of [-1]
    return of_each(lambda value: [] if -index > len(_items(value)) else _items(value)[index:end])


def sliced(part: slice) -> Select:
    """A part of each list."""
    return of_each(lambda value: _items(value)[part])


def _items(value: object) -> Values:
    return list(value) if isinstance(value, list | tuple) else []


def children(value: object) -> Values:
    """What a mapping or a list has."""
    return list(value.values()) if isinstance(value, Mapping) else _items(value)


def descendants(value: object) -> Values:
    """The value and everything in it, each before what it has."""
    found: Values = []
    left: Values = [value]
    while left:
        each = left.pop()
        found.append(each)
        left.extend(reversed(children(each)))
    return found


def _comparable(a: object, b: object) -> bool:
    """1 == True in Python, but not in JSON."""
    return isinstance(a, bool) == isinstance(b, bool)


def _ordered(a: object, b: object) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (a, b))
    return numbers or (isinstance(a, str) and isinstance(b, str))
