from ipaddress import IPv6Network
from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.elements import Rectangle, disjoint

BITS = 4
WHOLE = IPv6Network("fd00::/124")


@st.composite
def small_prefixes(draw: st.DrawFn) -> IPv6Network:
    """Of the sixteen addresses of WHOLE."""
    length = draw(st.integers(0, BITS))
    number = draw(st.integers(0, 2**length - 1)) << (BITS - length)
    return IPv6Network((int(WHOLE.network_address) + number, WHOLE.prefixlen + length))


rectangles = st.lists(st.tuples(small_prefixes(), small_prefixes()), max_size=6)


def covered(found: tuple[Rectangle, ...] | list[Rectangle]) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for first, second in found for x in first for y in second}


@given(rectangles)
def test_disjoint_boxes_cover_exactly_what_the_given_ones_cover(given_boxes: list[Rectangle]) -> None:
    assert covered(disjoint(given_boxes)) == covered(given_boxes)


@given(rectangles)
def test_disjoint_boxes_never_overlap(given_boxes: list[Rectangle]) -> None:
    for one, other in combinations(disjoint(given_boxes), 2):
        assert not (one[0].overlaps(other[0]) and one[1].overlaps(other[1]))


@given(rectangles, st.randoms())
def test_the_order_of_boxes_does_not_matter(given_boxes: list[Rectangle], random: Random) -> None:
    shuffled = sorted(given_boxes, key=lambda _: random.random())
    assert disjoint(shuffled) == disjoint(given_boxes)
