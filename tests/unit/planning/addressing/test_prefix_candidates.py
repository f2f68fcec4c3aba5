from dataclasses import replace
from ipaddress import IPv6Network
from itertools import permutations

import pytest

from dockerv6.hostnet.model import HostPrefix, Route, RouteProtocol
from dockerv6.planning.addressing.prefix_candidates import Candidate, candidates
from tests.unit.planning.host_prefixes import DELEGATED, UPLINKS, address, delegation, on_link

TWO_UPLINKS = (*UPLINKS, Route(IPv6Network("::/0"), "ppp0", RouteProtocol.STATIC, 254))
NO_UPLINK = (Route(IPv6Network("2001:db8:9::/48"), "eth0", RouteProtocol.STATIC, 254),)

UNSETTLED = ["temporary", "tentative", "failed"]


def unsettled(text: str) -> list[HostPrefix]:
    plain = address(text)
    return [replace(plain, temporary=True), replace(plain, tentative=True), replace(plain, dad_failed=True)]


def best(*prefixes: HostPrefix, routes: tuple[Route, ...] = UPLINKS) -> list[str]:
    return [str(each.prefix) for each in candidates("eth0", prefixes, routes)]


class TestOnLink:
    def test_an_address_gives_its_prefix(self) -> None:
        found = candidates("eth0", [address("2001:db8:1::5/64")], UPLINKS)
        assert found == (Candidate(IPv6Network("2001:db8:1::/64"), True, 1800, 3600),)

    def test_a_route_gives_a_prefix_without_an_address(self) -> None:
        found = candidates("eth0", [on_link("2001:db8:1::/64", preferred=60, valid=90)], UPLINKS)
        assert found == (Candidate(IPv6Network("2001:db8:1::/64"), True, 60, 90),)

    def test_of_several_sources_of_one_prefix_the_longest_lifetimes_count(self) -> None:
        found = candidates(
            "eth0",
            [
                address("2001:db8:1::5/64", preferred=100, valid=900),
                address("2001:db8:1::6/64", preferred=200, valid=800),
                on_link("2001:db8:1::/64", valid=1000),
            ],
            UPLINKS,
        )
        assert found == (Candidate(IPv6Network("2001:db8:1::/64"), True, 200, 1000),)

    def test_for_ever_is_the_longest_lifetime(self) -> None:
        lasting = address("2001:db8:1::6/64", preferred=None, valid=None)
        found = candidates("eth0", [address("2001:db8:1::5/64"), lasting], UPLINKS)
        assert found == (Candidate(IPv6Network("2001:db8:1::/64"), True, None, None),)

    def test_a_prefix_whose_addresses_are_deprecated_is_none_although_its_route_is_there(self) -> None:
        assert (
            best(address("2001:db8:1::5/64", preferred=0), on_link("2001:db8:1::/64", preferred=None, valid=None)) == []
        )

    def test_nor_is_it_one_while_its_deprecated_address_is_still_tentative(self) -> None:
        tentative = replace(address("2001:db8:1::5/64", preferred=0), tentative=True)
        assert best(tentative, on_link("2001:db8:1::/64", preferred=None)) == []

    def test_a_route_whose_address_is_still_tentative_gives_a_prefix(self) -> None:
        tentative = replace(address("2001:db8:1::5/64", preferred=60), tentative=True)
        found = candidates("eth0", [tentative, on_link("2001:db8:1::/64", preferred=None)], UPLINKS)
        assert found == (Candidate(IPv6Network("2001:db8:1::/64"), True, 60, 3600),)

    def test_one_preferred_address_is_enough(self) -> None:
        assert best(address("2001:db8:1::5/64", preferred=0), address("2001:db8:1::6/64")) == ["2001:db8:1::/64"]

    def test_a_deprecated_temporary_address_does_not_deprecate_the_prefix(self) -> None:
        temporary = replace(address("2001:db8:1::5/64", preferred=0), temporary=True)
        assert best(temporary, on_link("2001:db8:1::/64")) == ["2001:db8:1::/64"]

    def test_another_interface_is_another_matter(self) -> None:
        elsewhere = (address("2001:db8:1::5/64", interface="eth1"), on_link("2001:db8:2::/64", interface="eth1"))
        assert best(*elsewhere) == []

    @pytest.mark.parametrize("reported", unsettled("2001:db8:1::5/64"), ids=UNSETTLED)
    def test_addresses_that_may_not_stay_are_ignored(self, reported: HostPrefix) -> None:
        assert best(reported) == []

    @pytest.mark.parametrize("lifetimes", [(0, 3600), (1800, 0)], ids=["deprecated", "expired"])
    @pytest.mark.parametrize("reported", [on_link("2001:db8:1::/64"), delegation("2001:db8:1::/64")], ids=str)
    def test_what_is_about_to_go_is_none(self, reported: HostPrefix, lifetimes: tuple[float, float]) -> None:
        assert best(replace(reported, preferred=lifetimes[0], valid=lifetimes[1])) == []


class TestScope:
    @pytest.mark.parametrize(
        "text",
        [
            "fd00:1:2:3::/64",
            "fc00::/7",
            "fe80::/64",
            "ff02::/16",
            "::1/128",
            "::/0",
            "2000::/3",
            "8000::/1",
            "64:ff9b::/96",
            "2001:db8::5/128",
        ],
    )
    def test_prefixes_that_are_not_the_hosts_part_of_the_internet(self, text: str) -> None:
        assert best(on_link(text), delegation(text)) == []

    @pytest.mark.parametrize("text", ["2001:db8::/32", "2001:db8:1::/48", "2001:db8::4/126"])
    def test_prefixes_that_are(self, text: str) -> None:
        assert best(on_link(text)) == [text]


class TestDelegated:
    def test_the_only_uplink_has_every_delegation(self) -> None:
        found = candidates("eth0", [delegation(preferred=60, valid=90)], UPLINKS)
        assert found == (Candidate(IPv6Network(DELEGATED), False, 60, 90),)

    def test_with_two_uplinks_a_delegation_has_no_interface(self) -> None:
        assert best(delegation(), routes=TWO_UPLINKS) == []

    def test_without_an_uplink_a_delegation_has_no_interface(self) -> None:
        assert best(delegation(), routes=NO_UPLINK) == []

    def test_several_default_routes_of_one_interface_are_one_uplink(self) -> None:
        second = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, 100, 5)
        nowhere = Route(IPv6Network("::/0"), None, RouteProtocol.STATIC, 254)
        assert best(delegation(), routes=(*UPLINKS, second, nowhere)) == [DELEGATED]

    @pytest.mark.parametrize("length", [64, 128])
    def test_an_address_within_it_assigns_it_to_its_interface(self, length: int) -> None:
        inside = address(f"2001:db8:100:7::1/{length}")
        assert best(delegation(), inside, routes=TWO_UPLINKS)[0] == DELEGATED

    @pytest.mark.parametrize("inside", unsettled("2001:db8:100:7::1/64"), ids=UNSETTLED)
    def test_an_address_within_it_that_may_not_stay_does_not(self, inside: HostPrefix) -> None:
        assert best(delegation(), inside, routes=TWO_UPLINKS) == []

    @pytest.mark.parametrize("lifetimes", [(0, 3600), (1800, 0)], ids=["deprecated", "expired"])
    def test_an_address_within_it_that_is_about_to_go_does_not(self, lifetimes: tuple[float, float]) -> None:
        inside = address("2001:db8:100:7::1/64", preferred=lifetimes[0], valid=lifetimes[1])
        assert best(delegation(), inside, routes=TWO_UPLINKS) == []

    def test_it_belongs_to_the_interface_while_an_address_within_it_is_valid(self) -> None:
        inside = address("2001:db8:100:7::1/64", preferred=1, valid=1)
        (found, *_) = candidates("eth0", [delegation(valid=3600), inside], TWO_UPLINKS)
        assert (str(found.prefix), found.valid) == (DELEGATED, 1)

    def test_another_interfaces_address_within_it_does_not(self) -> None:
        inside = address("2001:db8:100:7::1/64", interface="eth1")
        assert best(delegation(), inside, routes=TWO_UPLINKS) == []

    def test_one_that_is_on_link_too_is_delegated(self) -> None:
        (found,) = candidates("eth0", [on_link("2001:db8:1::/64"), delegation("2001:db8:1::/64")], UPLINKS)
        assert not found.on_link

    def test_one_that_expired_as_a_delegation_may_still_be_on_link(self) -> None:
        (found,) = candidates("eth0", [delegation("2001:db8:1::/64", valid=0), on_link("2001:db8:1::/64")], UPLINKS)
        assert found.on_link


class TestOrder:
    def test_delegated_then_short_then_lasting_then_low(self) -> None:
        in_order = [
            delegation("2001:db8:f00::/60", preferred=10),
            delegation("2001:db8:e00::/64"),
            on_link("2001:db8:d00::/56", preferred=10),
            on_link("2001:db8:c00::/64", preferred=None),
            on_link("2001:db8:b00::/64", preferred=20),
            on_link("2001:db8:a00::/64", preferred=10),
            on_link("2001:db8:a01::/64", preferred=10),
        ]
        expected = [str(each.prefix) for each in in_order]
        assert best(*in_order) == expected
        assert best(*reversed(in_order)) == expected

    def test_the_order_of_the_kernels_list_does_not_matter(self) -> None:
        reported = [
            delegation(),
            address("2001:db8:100::1/64"),
            on_link("2001:db8:100::/64"),
            on_link("2001:db8:1::/64"),
            address("2001:db8:1::9/64", preferred=5),
        ]
        assert len({candidates("eth0", order, UPLINKS) for order in permutations(reported)}) == 1
