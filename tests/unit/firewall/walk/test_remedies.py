"""What is offered where our own rules drop a flow: nothing that opens what they close."""

import pytest

from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.walk.remedies import is_ours, remedy
from dockerv6.firewall.walk.verdicts import FilterPlace
from tests.unit.firewall.walk.scene import EGRESS, packet


@pytest.mark.parametrize(
    ("variant", "family", "table", "chain"),
    [
        (FilterVariant.NFTABLES, "inet", "dockerv6", "forward"),
        (FilterVariant.XTABLES_LEGACY, "ip6", "mangle", "DOCKERV6-FORWARD"),
    ],
)
def test_our_own_rule_is_not_to_be_overridden(variant: FilterVariant, family: str, table: str, chain: str) -> None:
    place = FilterPlace(variant, family, table, chain, "rule", "FORWARD", "forward")
    assert is_ours(place)
    assert remedy(place, packet(), EGRESS, 0x10000000).commands == ()


def test_an_engine_has_no_rules_of_ours() -> None:
    assert not is_ours(FilterPlace(FilterVariant.XTABLES_LEGACY, "ip6", "filter", "DOCKER-USER", "rule"))
