from collections.abc import Iterable
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall import rectangles
from dockerv6.firewall.rectangles import Rectangle, collapsed

MANY = 10_000


def disjoint(given: Iterable[Rectangle], limit: int = MANY) -> tuple[Rectangle, ...]:
    return tuple(rectangles.disjoint([((first,), (second,)) for first, second in given], limit))


def rectangle(first: str, second: str) -> Rectangle:
    return IPv6Network(first), IPv6Network(second)


APART = (rectangle("fd00::/64", "::/0"), rectangle("fd00:0:0:1::/64", "::/0"))


def test_rectangles_that_do_not_overlap_stay_as_they_are() -> None:
    assert disjoint(reversed(APART)) == APART


@pytest.mark.parametrize("second", ["fd00::/64", "fd00:0:0:0:8000::/65", "fd00::5/128"])
def test_a_rectangle_inside_another_is_left_out(second: str) -> None:
    wide = rectangle("fd00::/64", "::/0")
    assert disjoint([rectangle(second, "2001:db8::/32"), wide]) == (wide,)


def test_of_rectangles_that_cross_the_later_is_cut() -> None:
    tall, wide = rectangle("fd00::5/128", "::/0"), rectangle("fd00::/64", "2001:db8::/32")
    cut = disjoint([tall, wide])
    assert wide in cut
    assert len(cut) == 33
    assert {first for first, _ in cut} == {tall[0], wide[0]}


def test_nothing_covers_nothing() -> None:
    assert disjoint([]) == ()


def many(count: int) -> list[IPv6Network]:
    """Prefixes that don't adjoin."""
    return [IPv6Network((0x20010DB8 << 96 | each << 81, 48)) for each in range(count)]


def test_each_source_of_a_long_list_is_one_rectangle() -> None:
    subnet = IPv6Network("fd00::/64")
    found = tuple(rectangles.disjoint([((subnet,), many(20_000))], 20_000))
    assert found == tuple((subnet, source) for source in many(20_000))


def test_targets_with_the_same_sources_share_the_result() -> None:
    hosts = [IPv6Network(f"fd00::{number:x}/128") for number in range(500)]
    assert len(tuple(rectangles.disjoint([(hosts, many(200))], 1_000_000))) == 500 * 200


def test_a_target_inside_another_has_what_the_other_has_not() -> None:
    subnet, host, more = IPv6Network("fd00::/64"), IPv6Network("fd00::5/128"), IPv6Network("2001:db9::/32")
    found = tuple(rectangles.disjoint([((subnet,), many(3)), ((host,), [*many(5), more])], MANY))
    assert found == (*((subnet, each) for each in many(3)), *((host, each) for each in (*many(5)[3:], more)))


def test_no_more_is_computed_than_the_limit() -> None:
    cut = [((IPv6Network("fd00::/64"),), many(30_000)), ((IPv6Network("fd00::5/128"),), [IPv6Network("::/0")])]
    assert len(tuple(rectangles.disjoint(cut, 40_000))) == 40_000
    assert tuple(rectangles.disjoint(cut, 0)) == ()


def test_adjoining_prefixes_are_one() -> None:
    halves = [IPv6Network("fd00::/65"), IPv6Network("fd00:0:0:0:8000::/65"), IPv6Network("fd00::1/128")]
    assert list(collapsed(halves)) == [IPv6Network("fd00::/64")]
    assert list(collapsed([IPv6Network("::/0")])) == [IPv6Network("::/0")]
