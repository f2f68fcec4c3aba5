"""What a subnet is translated to."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.api.traffic import Egress
from dockerv6.planning.addressing.tracked_prefixes import PreviousPrefix, TrackedPrefix
from dockerv6.planning.addressing.translation import NOTHING, Translation, translate_subnet, translation_findings
from tests.simulation.resources import network
from tests.unit.planning.scene import NOW, SUBNET, tracked

NOBODY: Mapping[str, TrackedPrefix] = {}
PREFIX = "2001:db8:100::/48"
FIXED = network(egress={"mode": "PrefixTranslation", "prefix": PREFIX}).spec.egress
FOLLOWING = network(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}).spec.egress
OUTER = IPv6Network("2001:db8:100:1::/64")


def following(source: TrackedPrefix, subnet: IPv6Network = SUBNET) -> Translation:
    return translate_subnet(FOLLOWING, subnet, {source.interface: source})


def outer(found: Translation) -> list[str]:
    return [str(prefix) for prefix in found.external_prefixes]


class TestFixed:
    def test_the_first_bits_are_the_prefixs_and_the_others_stay(self) -> None:
        assert translate_subnet(FIXED, SUBNET, NOBODY) == Translation((OUTER,))

    @pytest.mark.parametrize(
        ("subnet", "expected"),
        [
            ("fd12:3456:789a:1:2::/80", "2001:db8:100:1:2::/80"),
            ("fd12:3456:789a::/48", "2001:db8:100::/48"),
            ("fd12:3456:789a:ff00::/56", "2001:db8:100:ff00::/56"),
        ],
    )
    def test_it_is_as_long_as_the_subnet(self, subnet: str, expected: str) -> None:
        assert outer(translate_subnet(FIXED, IPv6Network(subnet), NOBODY)) == [expected]

    def test_a_prefix_that_is_longer_than_the_subnet_is_reported(self) -> None:
        found = translate_subnet(FIXED, IPv6Network("fd12:3456::/32"), NOBODY)
        assert found.external_prefixes == ()
        assert found.finding is not None
        assert found.finding.reason == "PrefixTooLong"
        assert found.finding.message.startswith(f"{PREFIX} is longer than the subnet fd12:3456::/32")

    def test_what_interfaces_have_is_no_concern_of_it(self) -> None:
        source = tracked("2001:db8:200::/48")
        assert translate_subnet(FIXED, SUBNET, {"eth0": source}) == translate_subnet(FIXED, SUBNET, NOBODY)


class TestTrackedPrefix:
    def test_the_interfaces_prefix_is_taken(self) -> None:
        assert following(tracked(PREFIX)) == Translation((OUTER,))

    def test_without_one_nothing_is_translated_until_it_comes(self) -> None:
        found = translate_subnet(FOLLOWING, SUBNET, {"eth1": tracked(PREFIX, interface="eth1")})
        assert found.external_prefixes == ()
        assert found.finding is not None
        assert found.finding.reason == "PrefixPending"
        assert "eth0" in found.finding.message

    def test_one_that_is_too_long_is_named_with_its_interface(self) -> None:
        found = following(tracked("2001:db8:100:1:2::/80"))
        assert found.external_prefixes == ()
        assert found.finding is not None
        assert found.finding.reason == "PrefixTooLong"
        assert "the prefix of eth0, 2001:db8:100:1:2::/80," in found.finding.message

    def test_a_withdrawn_prefix_stays_in_use_and_is_reported(self) -> None:
        found = following(replace(tracked(PREFIX), withdrawn=True))
        assert found.external_prefixes == (OUTER,)
        assert found.finding is not None
        assert found.finding.reason == "PrefixWithdrawn"
        assert PREFIX in found.finding.message

    def test_what_is_about_to_take_its_place_has_not_done_so(self) -> None:
        source = replace(tracked(PREFIX), candidate=IPv6Network("2001:db8:200::/48"), candidate_since=NOW)
        assert following(source) == Translation((OUTER,))


class TestFormerPrefixes:
    """Flows that began under them go on for as long as they live."""

    def test_they_lead_in_after_the_present_one_newest_first(self) -> None:
        found = following(tracked(PREFIX, "2001:db8:200::/48", "2001:db8:300::/56"))
        assert outer(found) == [str(OUTER), "2001:db8:200:1::/64", "2001:db8:300:1::/64"]
        assert found.finding is None

    def test_one_that_is_too_long_for_the_subnet_leads_nowhere(self) -> None:
        found = following(tracked(PREFIX, "2001:db8:200:1:2::/80", "2001:db8:300::/48"))
        assert outer(found) == [str(OUTER), "2001:db8:300:1::/64"]

    def test_an_equal_prefix_is_listed_once(self) -> None:
        assert outer(following(tracked(PREFIX, "2001:db8:100::/56"))) == [str(OUTER)]

    def test_two_that_give_the_same_are_one(self) -> None:
        found = following(tracked(PREFIX, "2001:db8:200::/56", "2001:db8:200::/48"))
        assert outer(found) == [str(OUTER), "2001:db8:200:1::/64"]

    def test_former_prefixes_stay_when_the_present_one_is_withdrawn(self) -> None:
        found = following(replace(tracked(PREFIX, "2001:db8:200::/48"), withdrawn=True))
        assert len(found.external_prefixes) == 2


@pytest.mark.parametrize(
    "egress",
    [{}, {"mode": "None"}, {"mode": "Routed"}, {"mode": "SNAT", "snatAddress": "2001:db8::1"}],
    ids=str,
)
def test_no_other_mode_translates_prefixes(egress: dict[str, object]) -> None:
    assert translate_subnet(Egress.model_validate(egress), SUBNET, {"eth0": tracked(PREFIX)}) is NOTHING


class TestFindings:
    SUBNETS = (SUBNET, IPv6Network("fd12:3456:789a:2::/64"))

    def test_all_well_is_nothing_to_say(self) -> None:
        assert translation_findings(FIXED, self.SUBNETS, NOBODY) == ()

    def test_a_finding_for_all_subnets_is_reported_once(self) -> None:
        (found,) = translation_findings(FOLLOWING, self.SUBNETS, NOBODY)
        assert (found.condition, found.reason) == ("FirewallReady", "PrefixPending")

    def test_every_difference_is_described(self) -> None:
        short = (IPv6Network("fd12::/32"), IPv6Network("fd13::/32"), SUBNET)
        assert [f.reason for f in translation_findings(FIXED, short, NOBODY)] == ["PrefixTooLong", "PrefixTooLong"]

    def test_they_stop_nothing_and_are_no_guesses(self) -> None:
        (found,) = translation_findings(FOLLOWING, (SUBNET,), NOBODY)
        assert (found.blocks, found.unknown, found.retry) == (False, False, 30.0)

    def test_networks_that_are_not_there_have_none(self) -> None:
        assert translation_findings(FOLLOWING, (), NOBODY) == ()


def test_a_former_prefix_without_an_end_is_one_like_others() -> None:
    source = replace(tracked(PREFIX), former=(PreviousPrefix(IPv6Network("2001:db8:200::/48"), None),))
    assert len(following(source).external_prefixes) == 2
