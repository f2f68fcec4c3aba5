from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.overlaps import resolve_overlaps
from dockerv6.lib.networking import InterfaceName
from tests.unit.firewall.intents import BLOG, HOME, ROAD, SHOP

EXTERNAL = HOME.external_prefixes
AWAY = replace(HOME, owner="away", subnet=IPv6Network("fd12:3456:789a:a::/64"), bridge=InterfaceName("br-away"))


@pytest.mark.parametrize("subnet", ["fd12:3456:789a::/48", "fd12:3456:789a:1:8000::/65", str(BLOG.subnet)])
def test_of_overlapping_networks_the_first_by_name_is_kept(subnet: str) -> None:
    other = replace(SHOP, subnet=IPv6Network(subnet))
    assert resolve_overlaps((other, BLOG)) == ((BLOG,), {"shop": "blog"}, {})
    assert resolve_overlaps((SHOP, BLOG)) == ((BLOG, SHOP), {}, {})


def test_a_bridge_with_a_subnet_that_is_left_out_has_no_source_validation() -> None:
    """Its containers have addresses in that subnet, whichever network has the rules for it."""
    second = replace(SHOP, subnet=BLOG.subnet)
    assert resolve_overlaps((SHOP, second, BLOG)).networks == (BLOG, replace(SHOP, source_validation=False))


def test_two_owners_of_one_bridge_and_subnet_keep_its_source_validation() -> None:
    assert resolve_overlaps((BLOG, replace(BLOG, owner="other"))).networks == (BLOG,)


def test_networks_without_overlaps_stay_as_they_are() -> None:
    away = replace(AWAY, external_prefixes=(IPv6Network("2001:db8:8:9::/64"),))
    assert resolve_overlaps((HOME, away, ROAD)) == ((away, HOME, ROAD), {}, {})


@pytest.mark.parametrize(
    ("external", "kept"),
    [
        (EXTERNAL, ()),
        ((EXTERNAL[0],), ()),
        ((EXTERNAL[1],), ()),
        ((IPv6Network("2001:db8:8:9::/64"), EXTERNAL[0]), (IPv6Network("2001:db8:8:9::/64"),)),
    ],
)
def test_of_overlapping_external_prefixes_the_first_owner_by_name_gets_them(
    external: tuple[IPv6Network, ...], kept: tuple[IPv6Network, ...]
) -> None:
    later = replace(AWAY, owner="later", external_prefixes=external)
    assert resolve_overlaps((later, HOME)) == ((HOME, replace(later, external_prefixes=kept)), {}, {"later": "home"})


def test_a_prefix_that_is_left_out_is_free_for_others() -> None:
    """Without its first external prefix, a network has none: its former one may be another's now."""
    first, second = (
        replace(AWAY, owner="a", external_prefixes=EXTERNAL[:1]),
        replace(AWAY, owner="b", external_prefixes=EXTERNAL, subnet=BLOG.subnet),
    )
    third = replace(HOME, owner="c", external_prefixes=EXTERNAL[1:])
    assert resolve_overlaps((third, second, first)) == (
        (first, replace(second, external_prefixes=()), third),
        {},
        {"b": "a"},
    )


@pytest.mark.parametrize("subnet", ["2001:db8:8:8::/64", "2001:db8:8::/48", "2001:db8:8:8:1::/80"])
def test_an_external_prefix_that_overlaps_a_subnet_is_left_out(subnet: str) -> None:
    other = replace(ROAD, subnet=IPv6Network(subnet))
    assert resolve_overlaps((HOME, other)).external_lost == {"home": "road"}
    assert resolve_overlaps((HOME, replace(other, internal=True))).external_lost == {"home": "road"}


def test_an_external_prefix_may_be_the_own_subnet() -> None:
    same = replace(HOME, external_prefixes=(HOME.subnet,))
    assert resolve_overlaps((same,)) == ((same,), {}, {})


def test_external_prefixes_of_another_length_and_duplicates_are_left_out() -> None:
    other = IPv6Network("2001:db8:9::/48")
    assert resolve_overlaps((replace(HOME, external_prefixes=(*EXTERNAL, other, EXTERNAL[0])),)) == ((HOME,), {}, {})
    assert resolve_overlaps((replace(HOME, external_prefixes=(other, *EXTERNAL)),)) == (
        (replace(HOME, external_prefixes=()),),
        {},
        {},
    )


def test_external_prefixes_in_other_modes_do_not_conflict() -> None:
    internal = replace(AWAY, internal=True)
    routed = replace(ROAD, owner="away", external_prefixes=EXTERNAL)
    assert resolve_overlaps((internal, HOME)).external_lost == resolve_overlaps((routed, HOME)).external_lost == {}
