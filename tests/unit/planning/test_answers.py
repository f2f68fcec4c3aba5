"""Whom neighbour solicitations are answered for, by prefix."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.planning.host.proxied_subnets import ProxiedSubnet
from tests.unit.planning.scene import SUBNET

NEW, OLD = IPv6Network("2001:db8:100:1::/64"), IPv6Network("2001:db8:200:1::/64")
UNTRANSLATED, TRANSLATED = ProxiedSubnet("blog", SUBNET), ProxiedSubnet("blog", SUBNET, external_prefixes=(NEW, OLD))


def test_neighbours_know_containers_by_what_the_subnet_is_translated_to() -> None:
    assert UNTRANSLATED.prefixes == (SUBNET,)
    assert TRANSLATED.prefixes == (NEW, OLD)


@pytest.mark.parametrize(
    ("answers", "address", "there"),
    [
        (UNTRANSLATED, SUBNET[5], True),
        (UNTRANSLATED, NEW[5], False),
        (TRANSLATED, NEW[5], True),
        (TRANSLATED, OLD[5], True),
        (TRANSLATED, SUBNET[5], True),  # from before it was translated
        (TRANSLATED, IPv6Address("2001:db8:300:1::5"), False),
    ],
)
def test_an_entry_is_there_because_of_any_of_its_prefixes(
    answers: ProxiedSubnet, address: IPv6Address, *, there: bool
) -> None:
    assert answers.has(address) is there
