"""Arithmetic on IPv6 prefixes.

No function enumerates subnets, since a /32 has 2⁴⁸ subnets of length 80. The subnets of a prefix are numbered from 0,
in ascending order, and consecutive subnets are `range` objects of their numbers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network, collapse_addresses

ULA = IPv6Network("fc00::/7")
"""Unique local addresses, RFC 4193 §3.1."""

GLOBAL_ID_BYTES = 5
"""Size of the random part of a ULA prefix, RFC 4193 §3.1."""

_BITS = 128


def is_ula(prefix: IPv6Network) -> bool:
    """Whether the whole prefix is unique local (fc00::/7)."""
    return prefix.subnet_of(ULA)


def overlaps_any(prefix: IPv6Network, others: Iterable[IPv6Network]) -> bool:
    """Whether any of `others` shares an address with `prefix`."""
    return any(prefix.overlaps(other) for other in others)


def covers(prefixes: Iterable[IPv6Network], prefix: IPv6Network) -> bool:
    """Whether the prefixes together contain the whole of ``prefix``, such as its two halves."""
    return any(prefix.subnet_of(each) for each in collapse_addresses(prefixes))


class PrefixSet:
    """Many prefixes, for fast questions about others: each takes about log n steps, after n log n steps to sort.

    Prefixes are nested or disjoint. Those inside another one are left out, so that the rest is in order of both its
    first and its last addresses.
    """

    __slots__ = ("_firsts", "_lasts", "prefixes")

    def __init__(self, prefixes: Iterable[IPv6Network]) -> None:
        """Sort the prefixes."""
        kept: list[IPv6Network] = []
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, _, prefix in sorted((int(each.network_address), each.prefixlen, each) for each in prefixes):
            if not kept or first > self._lasts[-1]:
                kept.append(prefix)
                self._firsts.append(first)
                self._lasts.append(_last(prefix))
        self.prefixes = tuple(kept)
        """In ascending order, without those inside another one."""

    def containing(self, prefix: IPv6Network) -> IPv6Network | None:
        """The outermost prefix that is, or contains, this one."""
        place = bisect_left(self._lasts, _last(prefix))
        found = place < len(self._firsts) and self._firsts[place] <= int(prefix.network_address)
        return self.prefixes[place] if found else None

    def overlaps(self, prefix: IPv6Network) -> bool:
        """Whether one of them shares an address with the prefix."""
        return next(self._overlapping(prefix), None) is not None

    def ranges_in(self, prefix: IPv6Network) -> Iterator[tuple[int, int]]:
        """First and last addresses of those that overlap the prefix, in ascending order."""
        return ((self._firsts[place], self._lasts[place]) for place in self._overlapping(prefix))

    def _overlapping(self, prefix: IPv6Network) -> Iterator[int]:
        place, last = bisect_left(self._lasts, int(prefix.network_address)), _last(prefix)
        while place < len(self._firsts) and self._firsts[place] <= last:
            yield place
            place += 1


def _last(prefix: IPv6Network) -> int:
    return int(prefix.network_address) | ((1 << (_BITS - prefix.prefixlen)) - 1)


def first_address(prefix: IPv6Network) -> IPv6Address:
    """The first address after the subnet-router anycast address, which is all zeros (RFC 4291 §2.6.1).

    Raises:
        ValueError: the prefix is a /128.
    """
    if prefix.prefixlen == _BITS:
        raise ValueError(f"{prefix} is a single address; a network needs a prefix of 127 bits or fewer")
    return prefix.network_address + 1


def ula_prefix(randomness: bytes) -> IPv6Network:
    """A /48 of unique local addresses, RFC 4193 §3.1: fd and the Global ID.

    Args:
        randomness: the five bytes of the Global ID. They must be random, or the prefixes of two sites may be equal (RFC
            4193 §3.2).

    Raises:
        ValueError: not five bytes.
    """
    if len(randomness) != GLOBAL_ID_BYTES:
        raise ValueError(f"a Global ID has {GLOBAL_ID_BYTES} bytes, not {len(randomness)}")
    return IPv6Network((b"\xfd" + randomness + bytes(10), 48))


def subnet_count(prefix: IPv6Network, length: int) -> int:
    """The number of subnets of that length in the prefix.

    Raises:
        ValueError: the length is below that of the prefix, or above 128.
    """
    if not prefix.prefixlen <= length <= _BITS:
        raise ValueError(f"{prefix} has no subnets of length {length}: it must be {prefix.prefixlen} to {_BITS}")
    return 1 << (length - prefix.prefixlen)


def nth_subnet(prefix: IPv6Network, length: int, index: int) -> IPv6Network:
    """The subnet with the number `index`, from 0.

    Raises:
        ValueError: the prefix has no subnets of that length.
        IndexError: the prefix has fewer subnets.
    """
    count = subnet_count(prefix, length)
    if not 0 <= index < count:
        raise IndexError(f"{prefix} has {count} subnets of length {length}, numbered from 0; there is no {index}")
    return IPv6Network((int(prefix.network_address) + (index << (_BITS - length)), length))


def count_taken(prefixes: PrefixSet, length: int, taken: PrefixSet) -> int:
    """How many subnets of that length in the prefixes overlap with a taken prefix.

    Raises:
        ValueError: one of the prefixes has no subnets of that length.
    """
    gaps = (gap for prefix in prefixes.prefixes for gap in free_gaps(prefix, length, taken))
    free = sum(gap.stop - gap.start for gap in gaps)  # len() has a limit of 2⁶³
    return sum(subnet_count(prefix, length) for prefix in prefixes.prefixes) - free


def free_gaps(prefix: IPv6Network, length: int, taken: PrefixSet) -> Iterator[range]:
    """The numbers of the subnets of that length that overlap with no taken prefix, as separate, ascending ranges.

    The number of steps is that of the taken prefixes inside the prefix.

    Args:
        prefix: contains the subnets.
        length: of the subnets.
        taken: may also lie outside the prefix, or contain it.

    Raises:
        ValueError: the prefix has no subnets of that length (raised when the iteration starts).
    """
    count = subnet_count(prefix, length)
    host_bits = _BITS - length
    base = int(prefix.network_address)
    start = 0
    for first, last in taken.ranges_in(prefix):
        # Shifting right rounds down, also below zero: a block takes every subnet that it overlaps.
        low, high = (first - base) >> host_bits, (last - base) >> host_bits
        if low > start:
            yield range(start, low)
        start = max(start, high + 1)
    if start < count:
        yield range(start, count)
