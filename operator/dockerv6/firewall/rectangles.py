"""Pairs of prefixes, as rectangles in the plane of two addresses: which don't overlap and cover the same. Pure.

The kernel refuses elements that overlap. Prefixes are nested or disjoint, so they are kept as ranges of numbers, which
are merged and subtracted in about n log n steps. An allow-list of a country has tens of thousands of prefixes.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv6Network
from itertools import chain, islice

_BITS = 128

Rectangle = tuple[IPv6Network, IPv6Network]
"""A pair of prefixes."""

Box = tuple[Collection[IPv6Network], Collection[IPv6Network]]
"""Every pair of one of the first and one of the second prefixes."""

_Ranges = Sequence[tuple[int, int]]
"""First and last addresses, in order; they neither overlap nor adjoin."""


def collapsed(prefixes: Iterable[IPv6Network]) -> Iterator[IPv6Network]:
    """The fewest prefixes that cover the same addresses, in order."""
    return _prefixes(_merged(_range(each) for each in prefixes))


def disjoint(boxes: Sequence[Box], limit: int) -> Iterator[Rectangle]:
    """At most `limit` rectangles that cover exactly what the boxes cover, and don't overlap; in order.

    A prefix on the first axis gets what its boxes have on the second, except what prefixes around it have there
    already. Prefixes with the same boxes share the result.
    """
    second = [_merged(_range(each) for each in sources) for _, sources in boxes]
    numbers: dict[IPv6Network, list[int]] = {}
    for number, (targets, _) in enumerate(boxes):
        for target in dict.fromkeys(targets):
            numbers.setdefault(target, []).append(number)
    results: dict[tuple[int, frozenset[int]], tuple[_Node, tuple[IPv6Network, ...]]] = {}
    around = [_Node(0, last=1 << _BITS, outer=(), own=())]
    for target in sorted(numbers):
        first, last = _range(target)
        while around[-1].last < first:
            around.pop()
        key = around[-1].number, frozenset(numbers[target])
        if key not in results:
            own = _merged(chain.from_iterable(second[each] for each in key[1]))
            rest = tuple(islice(_prefixes(_without(own, around[-1].ranges)), limit))
            results[key] = _Node(len(results) + 1, last, around[-1].ranges, own), rest
        node, rest = results[key]
        around.append(_Node(node.number, last, node.outer, node.own))
        for source in rest:
            if limit == 0:
                return
            limit -= 1
            yield target, source


class _Node:
    """A prefix on the first axis. `ranges`: what it and those around it have on the second axis."""

    def __init__(self, number: int, last: int, outer: _Ranges, own: _Ranges) -> None:
        self.number, self.last, self.outer, self.own = number, last, outer, own
        self._ranges: _Ranges | None = None

    @property
    def ranges(self) -> _Ranges:
        """Computed only for a prefix that has others inside."""
        if self._ranges is None:
            self._ranges = _merged((*self.outer, *self.own))
        return self._ranges


def _range(prefix: IPv6Network) -> tuple[int, int]:
    first = int(prefix.network_address)
    return first, first | ((1 << (_BITS - prefix.prefixlen)) - 1)


def _merged(ranges: Iterable[tuple[int, int]]) -> _Ranges:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if not found or first > found[-1][1] + 1:
            found.append((first, last))
        elif last > found[-1][1]:
            found[-1] = found[-1][0], last
    return found


def _without(ranges: _Ranges, others: _Ranges) -> Iterator[tuple[int, int]]:
    """The parts of the ranges outside the others."""
    for first, last in ranges:
        place = bisect_left(others, first, key=lambda other: other[1])  # the first one that ends here or behind
        start = first
        while place < len(others) and others[place][0] <= last:
            if others[place][0] > start:
                yield start, others[place][0] - 1
            start = others[place][1] + 1
            place += 1
        if start <= last:
            yield start, last


def _prefixes(ranges: Iterable[tuple[int, int]]) -> Iterator[IPv6Network]:
    """The fewest prefixes that the ranges consist of."""
    for first, last in ranges:
        start = first
        while start <= last:
            aligned = (start & -start).bit_length() - 1 if start else _BITS
            bits = min(aligned, (last - start + 1).bit_length() - 1)
            yield IPv6Network((start, _BITS - bits))
            start += 1 << bits
