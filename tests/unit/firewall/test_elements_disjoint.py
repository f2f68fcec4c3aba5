from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.elements import Rectangle, disjoint


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
