"""Arithmetic on IPv6 prefixes.

Nothing here enumerates subnets: a /32 holds 2⁴⁸ of length 80. Subnets are numbered from 0 at the low end of their
prefix, and runs of them are `range` objects of those numbers.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network

ULA = IPv6Network("fc00::/7")
"""Unique local addresses, RFC 4193 §3.1."""

GLOBAL_ID_BYTES = 5
"""The random part of a ULA prefix, RFC 4193 §3.1: 40 bits."""

_BITS = 128


def is_ula(prefix: IPv6Network) -> bool:
    """Whether every address of it is unique local (fc00::/7)."""
    return prefix.subnet_of(ULA)


def overlaps_any(prefix: IPv6Network, others: Iterable[IPv6Network]) -> bool:
    """Whether any of `others` shares an address with `prefix`."""
    return any(prefix.overlaps(other) for other in others)


def first_address(prefix: IPv6Network) -> IPv6Address:
    """The one after the prefix itself, which is the subnet-router anycast address (RFC 4291 §2.6.1).

    Raises:
        ValueError: a /128 has no other address than itself.
    """
    if prefix.prefixlen == _BITS:
        raise ValueError(f"{prefix} is a single address; a network needs a prefix of 127 bits or fewer")
    return prefix.network_address + 1


def ula_prefix(randomness: bytes) -> IPv6Network:
    """A /48 of unique local addresses, RFC 4193 §3.1: fd, then the Global ID.

    Args:
        randomness: the 40 bits of the Global ID. RFC 4193 §3.2: they must be random, or prefixes clash when sites meet.

    Raises:
        ValueError: not exactly five bytes.
    """
    if len(randomness) != GLOBAL_ID_BYTES:
        raise ValueError(f"a Global ID has {GLOBAL_ID_BYTES} bytes, not {len(randomness)}")
    return IPv6Network((b"\xfd" + randomness + bytes(10), 48))


def subnet_count(prefix: IPv6Network, length: int) -> int:
    """How many subnets of that length the prefix holds.

    Raises:
        ValueError: the length is shorter than the prefix's own, or above 128.
    """
    if not prefix.prefixlen <= length <= _BITS:
        raise ValueError(f"{prefix} has no subnets of length {length}: it must be {prefix.prefixlen} to {_BITS}")
    return 1 << (length - prefix.prefixlen)


def nth_subnet(prefix: IPv6Network, length: int, index: int) -> IPv6Network:
    """Subnet number `index`, counted from 0.

    Raises:
        ValueError: the prefix has no subnets of that length.
        IndexError: it has fewer.
    """
    count = subnet_count(prefix, length)
    if not 0 <= index < count:
        raise IndexError(f"{prefix} has {count} subnets of length {length}, numbered from 0; there is no {index}")
    return IPv6Network((int(prefix.network_address) + (index << (_BITS - length)), length))


def free_gaps(prefix: IPv6Network, length: int, taken: Iterable[IPv6Network]) -> Iterator[range]:
    """The runs of subnets of that length that overlap nothing taken, as ascending, never adjoining, ranges of numbers.

    `taken` may be in any order, overlap, be of any length and lie outside the prefix. Costs n·log n in its size.

    Raises:
        ValueError: the prefix has no subnets of that length (raised when iteration starts).
    """
    count = subnet_count(prefix, length)
    host_bits = _BITS - length
    base = int(prefix.network_address)
    start = 0
    for first, last in sorted((int(block.network_address), int(block.broadcast_address)) for block in taken):
        # Shifting right rounds down, also below zero: a block that only touches a subnet takes all of it, and one
        # below the prefix takes none.
        low, high = (first - base) >> host_bits, (last - base) >> host_bits
        if low >= count:
            break
        if low > start:
            yield range(start, low)
        start = max(start, high + 1)
    if start < count:
        yield range(start, count)
