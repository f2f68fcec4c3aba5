"""Pairs of prefixes as boxes in a plane, made disjoint: the kernel refuses an interval set whose elements overlap."""

from collections.abc import Iterable
from ipaddress import IPv6Network

Box = tuple[IPv6Network, IPv6Network]


def disjoint(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes that cover exactly what the given ones cover, no two of which overlap; in order.

    Two prefixes are nested or apart, so boxes that overlap are nested too, or they cross: one is wider, the other
    taller. The later of two crossing ones is cut to what the other leaves of it.
    """
    found: list[Box] = []
    waiting = sorted(set(boxes), reverse=True, key=_size)
    while waiting:
        box = waiting.pop(0)
        rival = next((other for other in found if _overlap(box, other)), None)
        if rival is None:
            found.append(box)
        elif not _inside(box, rival):
            waiting = [*_remainder(box, rival), *waiting]
    return tuple(sorted(found))


def _size(box: Box) -> tuple[int, Box]:
    return (-(box[0].prefixlen + box[1].prefixlen), box)


def _overlap(one: Box, other: Box) -> bool:
    return one[0].overlaps(other[0]) and one[1].overlaps(other[1])


def _inside(box: Box, other: Box) -> bool:
    return box[0].subnet_of(other[0]) and box[1].subnet_of(other[1])


def _remainder(box: Box, rival: Box) -> list[Box]:
    """What the rival leaves of the box: in one direction the rival lies inside it, and that part goes."""
    first, second = box
    if rival[0].subnet_of(first) and rival[0] != first:
        rest = [(part, second) for part in first.address_exclude(rival[0])]
        # what is left beside the rival in the other direction, where the box is the wider one there too
        return rest + ([] if second.subnet_of(rival[1]) else _remainder((rival[0], second), rival))
    return [(first, part) for part in second.address_exclude(rival[1])]
