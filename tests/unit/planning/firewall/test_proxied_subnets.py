from dataclasses import replace
from ipaddress import IPv6Network
from typing import ClassVar

import pytest

from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.contributions import (
    FirewallContribution,
    ProxiedSubnet,
    network_contribution,
    policy_contribution,
    proxied_subnets_of,
)
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import OUTER, PUBLIC, SUBNET, TRANSLATED, foreign, live, tracked


class TestProxiedSubnets:
    """The subnets that need NDP proxy entries."""

    ROUTED: ClassVar[dict[str, object]] = {"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}}

    def proxied_subnets(
        self, spec: dict[str, object], source: TrackedPrefix | None = None
    ) -> tuple[ProxiedSubnet, ...] | None:
        known = {source.interface: source} if source is not None else {}
        return network_contribution(network("blog", **spec), SUBNET, (live(),), (), known).proxied_subnets

    def test_they_are_for_the_subnet_that_runs(self) -> None:
        assert self.proxied_subnets(self.ROUTED) == (ProxiedSubnet("blog", SUBNET),)

    def test_without_ndp_proxy_no_subnet_is_proxied(self) -> None:
        assert self.proxied_subnets({"egress": {"mode": "Routed"}}) == ()

    def test_the_configured_interface_is_used(self) -> None:
        proxy = {"enabled": True, "interface": "eth1"}
        assert self.proxied_subnets({**self.ROUTED, "ndpProxy": proxy}) == (ProxiedSubnet("blog", SUBNET, "eth1"),)

    def test_they_are_there_before_the_network_is(self) -> None:
        assert network_contribution(network("blog", **self.ROUTED), SUBNET, ()).proxied_subnets == (
            ProxiedSubnet("blog", SUBNET),
        )

    def test_both_subnets_are_proxied_during_a_renumbering(self) -> None:
        found = network_contribution(network("blog", **self.ROUTED), PUBLIC, (live(),)).proxied_subnets
        assert found == (ProxiedSubnet("blog", SUBNET), ProxiedSubnet("blog", PUBLIC))

    def test_neighbours_of_a_translated_network_ask_for_what_they_see(self) -> None:
        spec = {"egress": TRANSLATED, "ndpProxy": {"enabled": True}}
        found = self.proxied_subnets(spec, tracked("2001:db8:100::/48", "2001:db8:200::/48"))
        assert found == (ProxiedSubnet("blog", SUBNET, None, (OUTER, IPv6Network("2001:db8:200:1::/64"))),)

    def test_without_a_prefix_the_proxied_subnets_are_unknown(self) -> None:
        assert self.proxied_subnets({"egress": TRANSLATED, "ndpProxy": {"enabled": True}}) is None
        assert self.proxied_subnets({"egress": TRANSLATED}) == ()

    @pytest.mark.parametrize("spec", [{"suspend": True}, {"hosts": {"matchNames": ["a"]}}], ids=str)
    def test_a_suspended_network_keeps_its_proxied_subnets(self, spec: dict[str, object]) -> None:
        found = network_contribution(network("blog", **self.ROUTED, **spec), PUBLIC, (live(),))
        assert found == FirewallContribution("blog", proxied_subnets=(ProxiedSubnet("blog", SUBNET),), keep=True)

    def test_without_observed_networks_the_proxied_subnets_are_unknown(self) -> None:
        want = network("blog", suspend=True, **self.ROUTED)
        assert network_contribution(want, SUBNET, None) == FirewallContribution("blog", proxied_subnets=None, keep=True)

    def test_nor_of_what_has_lost_its_allocation(self) -> None:
        assert network_contribution(network("blog", **self.ROUTED), None, (live(),)).proxied_subnets is None

    def test_one_unknown_contribution_makes_all_proxied_subnets_unknown(self) -> None:
        known, unknown = (
            FirewallContribution("a", proxied_subnets=(ProxiedSubnet("a", SUBNET),)),
            FirewallContribution("c", proxied_subnets=None, keep=True),
        )
        assert proxied_subnets_of((known, FirewallContribution("b"))) == (ProxiedSubnet("a", SUBNET),)
        assert proxied_subnets_of((known, unknown)) is None
        assert proxied_subnets_of(()) == ()

    def test_an_observed_network_is_proxied_while_it_exists(self) -> None:
        want = network("blog", managementPolicy="Observe", networkName="x", **self.ROUTED)
        assert network_contribution(want, None, (foreign("x"),)).proxied_subnets == (
            ProxiedSubnet("blog", IPv6Network("fd99::/64")),
        )
        assert network_contribution(want, None, ()).proxied_subnets == ()

    def test_a_policy_proxies_all_of_its_networks(self) -> None:
        there = (foreign("a"), foreign("b", "fd98::/64", 98))
        found = policy_contribution(policy("all", **self.ROUTED), there).proxied_subnets
        subnets = (IPv6Network("fd99::/64"), IPv6Network("fd98::/64"))
        assert found == tuple(ProxiedSubnet("policy/all", each) for each in subnets)

    def test_internal_networks_are_not_proxied(self) -> None:
        there = replace(foreign("a"), internal=True)
        assert policy_contribution(policy("all", **self.ROUTED), (there,)).proxied_subnets == ()
