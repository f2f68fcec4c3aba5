"""Bytes of which some bits may be unknown, and answers that may be unknown."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_

Answer = bool | None
"""None: unknown."""


def every(*answers: Answer) -> Answer:
    """Whether all are true."""
    if False in answers:
        return False
    return None if None in answers else True


def negated(answer: Answer, negate: bool = True) -> Answer:  # noqa: FBT001, FBT002 - reads as "negated(x, flag)"
    """The opposite, if `negate`."""
    return answer if answer is None or not negate else not answer


@dataclass(frozen=True, slots=True)
class Bits:
    """A value of a fixed size.

    Attributes:
        data: its bytes; unknown bits are 0.
        known: 1 for every bit that is known.
    """

    data: bytes
    known: bytes

    @property
    def exact(self) -> bool:
        """Whether every bit is known."""
        return self.known.count(0xFF) == len(self.known)

    def part(self, start: int, size: int) -> "Bits":
        """Some bytes of it; those behind its end are unknown."""
        end = start + size
        data, known = self.data[start:end].ljust(size, b"\0"), self.known[start:end].ljust(size, b"\0")
        return exact(data) if known.count(0xFF) == size else Bits(data, known)

    def replaced(self, start: int, value: "Bits") -> "Bits":
        """With another value in place of some bytes; a place that is outside changes nothing."""
        end = start + len(value.data)
        if start < 0 or end > len(self.data):
            return self
        return Bits(
            self.data[:start] + value.data + self.data[end:], self.known[:start] + value.known + self.known[end:]
        )

    def padded(self) -> "Bits":
        """Filled with zeros to whole registers of 4 bytes, as the kernel does."""
        missing = -len(self.data) % 4
        return Bits(self.data + bytes(missing), self.known + b"\xff" * missing) if missing else self

    def equals(self, value: bytes) -> Answer:
        """Whether it is that value, as far as the value reaches."""
        size = len(value)
        if len(self.data) < size:
            return None
        known = self.known[:size]
        if known.count(0xFF) == size:
            return self.data[:size] == value
        mask = _number(known)
        return None if _number(self.data[:size]) == _number(value) & mask else False

    def within(self, first: bytes, last: bytes) -> Answer:
        """Whether it is at least the first and at most the last value, in the order of memcmp(3)."""
        size = len(first)
        if len(self.data) < size:
            return None
        least = _number(self.data[:size])
        most = least | ~_number(self.known[:size]) & (1 << 8 * size) - 1
        low, high = _number(first), _number(last)
        if most < low or least > high:
            return False
        return True if low <= least and most <= high else None

    def masked(self, mask: bytes, inverted: bytes) -> "Bits":
        """Only the bits of the mask, then some bits inverted. A bit that the mask clears is known."""
        size = len(mask)
        keep = _number(mask)
        known = _number(self.part(0, size).known) | ~keep & (1 << 8 * size) - 1
        value = (_number(self.part(0, size).data) & keep ^ _number(inverted.ljust(size, b"\0")[:size])) & known
        return Bits(value.to_bytes(size, "big"), known.to_bytes(size, "big"))

    def swapped(self, size: int) -> "Bits":
        """With the byte order of each number of that size reversed."""
        return Bits(_swapped(self.data, size), _swapped(self.known, size))


def exact(data: bytes) -> Bits:
    """A value that is known."""
    return Bits(data, _all_known(len(data)))


@lru_cache(maxsize=128)
def _all_known(size: int) -> bytes:
    return b"\xff" * size


def unknown(size: int) -> Bits:
    """A value of which nothing is known."""
    return Bits(bytes(size), bytes(size))


def alike(values: Sequence[Bits]) -> Bits:
    """What is the same in all of the values, which have one size."""
    first = _number(values[0].data)
    size = len(values[0].data)
    known = reduce(and_, (_number(each.known) & ~(_number(each.data) ^ first) for each in values))
    return Bits((first & known).to_bytes(size, "big"), known.to_bytes(size, "big"))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _swapped(data: bytes, size: int) -> bytes:
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))
