"""Which networks a policy is for, and what it has done for them."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.api.policy import IPv6Policy
from dockerv6.dockerd.model import Network, SubnetConfig
from dockerv6.firewall.model import HostFilterState, PortIntent
from dockerv6.hostnet.model import BridgePort, Interface, ProxyNeighbour
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.inputs import MANAGED_BY, POLICY_LABEL, Holdings, Observed, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.policy import assign_networks, plan_policy
from tests.simulation.resources import policy
from tests.unit.planning.scene import (
    ENGINE_20_10,
    FORWARD,
    bridge,
    end,
    foreign,
    holding,
    holdings,
    host,
    kinds,
    lacking,
    live,
    observed,
    reasons,
    running,
    tracked,
)

SHOP = foreign("shop", "fd99::/64", 1, tier="web")
OFFICE = replace(foreign("office", "2001:db8:9::/64", 2), options={"com.docker.network.bridge.name": "br-office"})
OWNER = "policy/all"
PUBLISHED = {OWNER: (PortIntent(OWNER, TransportProtocol.TCP, 8080, SHOP.ipv6[0].subnet[5], 80),)}  # type: ignore[arg-type]


def mine(*networks: Network, **selectors: object) -> dict[str, list[str]]:
    """The names of each policy's networks; policies by their selectors."""
    policies = {name: policy(name, selector=selector) for name, selector in selectors.items()}
    assigned = assign_networks(policies, networks, {}).networks
    return {name: [n.name for n in each] for name, each in assigned.items()}


class TestSelection:
    @pytest.mark.parametrize(
        ("selector", "found"),
        [
            ({}, ["shop", "office"]),
            ({"prefixes": ["fc00::/7"]}, ["shop"]),
            ({"prefixes": ["fd99::/80"]}, []),
            ({"prefixes": ["fd00::/16", "2001:db8::/32"]}, ["office"]),
            ({"names": ["office", "gone"]}, ["office"]),
            ({"excludeNames": ["office", "gone"]}, ["shop"]),
            ({"names": ["shop", "office"], "excludeNames": ["shop"]}, ["office"]),
            ({"matchLabels": {"tier": "web"}}, ["shop"]),
            ({"matchLabels": {"tier": "db"}}, []),
            ({"drivers": ["bridge"]}, ["shop", "office"]),
            ({"drivers": ["macvlan"]}, []),
            ({"names": ["shop"], "prefixes": ["fc00::/7"], "matchLabels": {"tier": "web"}}, ["shop"]),
            ({"names": ["shop"], "prefixes": ["2001:db8::/32"]}, []),
        ],
        ids=str,
    )
    def test_every_criterion_that_is_written_must_hold(self, selector: object, found: list[str]) -> None:
        assert mine(SHOP, OFFICE, p=selector) == {"p": found}

    @pytest.mark.parametrize(
        "network",
        [
            replace(SHOP, driver="macvlan"),
            replace(SHOP, ipam=()),
            foreign("shop", "fe80::/64"),
            live(),
            foreign("shop", **{MANAGED_BY: "another"}),
        ],
        ids=["macvlan", "no ipv6", "link-local", "ours", "another operator's"],
    )
    def test_policies_apply_only_to_unmanaged_bridges_with_ipv6(self, network: Network) -> None:
        assert mine(network, p={}) == {"p": []}

    def test_the_default_bridge_is_one_like_others(self) -> None:
        default = replace(SHOP, name="bridge", options={"com.docker.network.bridge.name": "docker0"})
        assert mine(default, p={"prefixes": ["fc00::/7"]}) == {"p": ["bridge"]}


class TestSeveralPolicies:
    def test_the_first_by_name_has_what_several_match(self) -> None:
        assert mine(SHOP, OFFICE, b={}, a={"names": ["shop"]}) == {"a": ["shop"], "b": ["office"]}

    def test_the_others_get_a_finding_with_the_owner(self) -> None:
        found = assign_networks({"a": policy("a"), "b": policy("b")}, (SHOP,), {})
        assert found.claimed_by == {"a": {}, "b": {"shop": "IPv6Policy/a"}}

    def test_a_network_that_a_resource_observes_is_that_resources(self) -> None:
        found = assign_networks({"a": policy("a")}, (SHOP, OFFICE), {"shop": ["zz", "blog"]})
        assert [n.name for n in found.networks["a"]] == ["office"]
        assert found.claimed_by == {"a": {"shop": "IPv6Network/blog"}}

    def test_the_policy_that_has_the_rules_of_a_network_keeps_it(self) -> None:
        policies = {"a": policy("a"), "b": policy("b")}
        (subnet,) = (c.subnet for c in SHOP.ipv6 if isinstance(c.subnet, IPv6Network))

        def winner(observers: Mapping[str, list[str]], **since: int) -> tuple[list[str], Mapping[str, str]]:
            held = {(owner.replace("policy_", "policy/"), subnet): number for owner, number in since.items()}
            found = assign_networks(policies, (SHOP,), observers, held)
            return [n for n, networks in found.networks.items() if networks], found.claimed_by["a"]

        assert winner({}, policy_b=4) == (["b"], {"shop": "IPv6Policy/b"})
        assert winner({"shop": ["aa"]}, policy_b=4) == ([], {"shop": "IPv6Network/aa"})
        assert winner({"shop": ["aa", "bb"]}, policy_b=3, bb=4) == ([], {"shop": "IPv6Network/bb"})
        assert winner({}, policy_a=4, policy_b=3) == (["b"], {"shop": "IPv6Policy/b"})

    def test_the_label_of_a_network_chooses_among_the_policies_that_match_it(self) -> None:
        policies = {"a": policy("a"), "b": policy("b"), "c": policy("c", selector={"names": ["office"]})}
        (subnet,) = (c.subnet for c in SHOP.ipv6 if isinstance(c.subnet, IPv6Network))

        def winner(chosen: str, observers: Mapping[str, list[str]] | None = None) -> list[str]:
            network = replace(SHOP, labels={POLICY_LABEL: chosen})
            found = assign_networks(policies, (network,), observers or {}, {("policy/a", subnet): 1})
            return [n for n, networks in found.networks.items() if networks]

        assert winner("b") == ["b"]  # although policy a has the rules of the network
        assert winner("c") == winner("gone") == winner("") == ["a"]  # such a label takes no network from any policy
        assert winner("b", {"shop": ["blog"]}) == []

    def test_a_policy_can_be_for_the_networks_that_choose_it_only(self) -> None:
        chosen = replace(SHOP, labels={POLICY_LABEL: "p"})
        assert mine(chosen, OFFICE, all={}, p={"matchLabels": {POLICY_LABEL: "p"}}) == {
            "all": ["office"],
            "p": ["shop"],
        }

    def test_no_policy_has_no_networks(self) -> None:
        assert assign_networks({}, (SHOP,), {}).networks == {}


def plan(state: Observed, *networks: Network, of: IPv6Policy | None = None, held: Holdings | None = None) -> Plan:
    return plan_policy(of or policy("all"), state, networks, held or holdings())


class TestSelectionFindings:
    def found(self, *networks: Network, **selector: object) -> list[tuple[str, str]]:
        named = policy("all", selector=selector)
        applies = tuple(n for n in networks if mine(n, all=selector)["all"])
        self.plan = plan(observed(*networks), *applies, of=named)
        assert not self.plan.obstacles
        return reasons(self.plan)

    def test_a_selector_that_matches_nothing_does_not_look_finished(self) -> None:
        assert self.found(SHOP, names=["shpo"]) == [("FirewallReady", "NoNetwork")]
        assert "matches no Docker network" in self.plan.findings[0].message
        assert self.found(SHOP, names=["shop"]) == []

    @pytest.mark.parametrize(
        ("network", "why"),
        [
            (replace(SHOP, ipam=()), "shop has no IPv6 subnet (recreate it with --ipv6)"),
            (replace(SHOP, driver="macvlan"), "shop has the driver macvlan"),
            (replace(SHOP, labels={MANAGED_BY: "dockerv6"}), "shop has an IPv6Network"),
        ],
    )
    def test_networks_that_match_in_vain_are_named_with_the_cause(self, network: Network, why: str) -> None:
        assert self.found(network, names=["shop"]) == [("FirewallReady", "NoNetwork")]
        assert why in self.plan.findings[0].message

    def test_an_overlay_network_is_not_supported(self) -> None:
        overlay = replace(OFFICE, driver="overlay")
        assert self.found(SHOP, overlay, names=["shop", "office"]) == [("FirewallReady", "UnsupportedDriver")]
        assert "mode: host" in self.plan.findings[0].message

    def test_an_engine_in_another_network_namespace_is_reported(self) -> None:
        there = replace(foreign("bridge"), ipam=())
        assert reasons(plan(observed(SHOP, there, host=host()), SHOP)) == [("HostReady", "WrongNamespace")]

    def test_an_engine_that_is_away_or_not_docker_is_what_is_reported(self) -> None:
        assert reasons(plan(observed(engine=None))) == [("FirewallReady", "EngineUnavailable")]
        podman = plan(observed(engine=replace(ENGINE_20_10, podman=True)))
        assert (reasons(podman), podman.steps) == ([("FirewallReady", "EngineUnsupported")], ())


class TestPlan:
    def test_what_is_as_it_should_be_needs_nothing(self) -> None:
        assert plan(observed(SHOP), SHOP) == Plan("IPv6Policy", "all")

    def test_the_host_goes_before_the_rules_and_the_filter_after_them(self) -> None:
        rules = lacking(OWNER, filter=HostFilterState((FORWARD,)))
        found = plan(observed(SHOP, host=host(bridge(SHOP), forwarding="0"), rules=rules), SHOP)
        assert kinds(found) == ["SetSysctl", "UpdateFirewall", "AddAcceptRule"]
        assert found.drift == ()

    def test_rules_that_were_there_before_are_drift(self) -> None:
        found = plan(observed(SHOP, applied=True, rules=lacking("", OWNER)), SHOP)
        assert list(map(str, found.drift)) == [
            "firewall: our table was modified; the repair is 2 changes, first: add the table"
        ]

    def test_other_owners_rules_are_theirs(self) -> None:
        assert plan(observed(SHOP, rules=lacking("all", "policy/b")), SHOP).empty

    def test_one_without_networks_leaves_the_host_alone(self) -> None:
        state = observed(host=host(forwarding="0"), rules=RulesView(filter=HostFilterState((FORWARD,))))
        assert plan(state).empty

    def test_a_policy_without_networks_has_its_rules_removed(self) -> None:
        assert kinds(plan(observed(rules=lacking(OWNER)))) == ["UpdateFirewall"]

    def test_networks_are_never_made_changed_or_removed(self) -> None:
        off = lacking(OWNER, ports=PUBLISHED)
        for state in (observed(SHOP, rules=off), observed(host=host(), rules=off)):
            assert set(kinds(plan(state, SHOP))) <= {"UpdateFirewall"}

    def test_containers_reach_themselves_through_published_ports(self) -> None:
        port = Interface(20, "veth1", "veth", up=True, mtu=1500, master=9, bridge_port=BridgePort())
        view = host(bridge(SHOP), port, bridge_netfilter=True)
        assert kinds(plan(observed(SHOP, host=view, rules=RulesView(ports=PUBLISHED)), SHOP)) == ["SetHairpin"]
        assert plan(observed(SHOP, host=view), SHOP).empty

    def test_a_network_that_keeps_its_containers_apart_is_seen_by_the_filter(self) -> None:
        apart = replace(SHOP, options={"com.docker.network.bridge.enable_icc": "false"})
        found = plan(observed(apart, host=host(bridge(apart), bridge_netfilter=False)), apart)
        assert kinds(found) == ["SetBridgeNetfilter"]
        assert reasons(plan(observed(apart), apart)) == [("HostReady", "HostNotReady")]


class TestFindings:
    def test_a_kernel_without_ipv6_is_reported(self) -> None:
        found = plan(observed(SHOP, host=host(forwarding=None)), SHOP)
        assert (found.empty, reasons(found)) == (True, [("HostReady", "HostNotReady")])

    def test_a_silent_engine_is_no_reason_to_change_rules(self) -> None:
        found = plan(observed(SHOP, engine=None, engine_problem="refused"), SHOP)
        assert reasons(found) == [("FirewallReady", "EngineUnavailable")]
        assert (found.findings[0].blocks, found.findings[0].unknown) == (False, True)
        assert found.findings[0].retry

    def test_a_firewall_that_can_not_be_had_stops_everything(self) -> None:
        found = plan(observed(SHOP, rules=lacking(OWNER, problem="no nft")), SHOP)
        assert (found.empty, reasons(found)) == (True, [("FirewallReady", "FirewallUnavailable")])

    def test_engines_that_drop_the_requested_traffic_are_reported(self) -> None:
        of = policy("all", firewall={"ingress": [{}]})
        assert reasons(plan(observed(SHOP), SHOP, of=of)) == [("FirewallReady", "FirewallBlocked")]
        answered = replace(SHOP, options={"com.docker.network.bridge.gateway_mode_ipv6": "routed"})
        assert reasons(plan(observed(answered), answered, of=of)) == []


class TestRealIPv6:
    """Routed networks, tracked prefixes, NDP proxy entries."""

    TRANSLATED = policy("all", egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
    ON_LINK = policy("all", egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    PART = foreign("part", "2001:db8:1:0:5::/80", 3)
    ANSWERS = ProxiedSubnet(OWNER, IPv6Network("2001:db8:1:0:5::/80"))
    UPLINK = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))

    def test_a_pending_prefix_is_reported_once_for_all_networks(self) -> None:
        found = plan(observed(SHOP, OFFICE), SHOP, OFFICE, of=self.TRANSLATED)
        assert (found.empty, reasons(found)) == (True, [("FirewallReady", "PrefixPending")])

    def test_one_that_is_there_is_nothing_to_say(self) -> None:
        held = holding(following=tracked("2001:db8:100::/48"))
        assert plan(observed(SHOP), SHOP, of=self.TRANSLATED, held=held) == Plan("IPv6Policy", "all")

    def test_without_networks_prefixes_give_no_findings(self) -> None:
        assert reasons(plan(observed(), of=self.TRANSLATED)) == [("FirewallReady", "NoNetwork")]

    def test_networks_that_an_engine_would_drop_are_reported_and_not_recreated(self) -> None:
        found = plan(observed(OFFICE), OFFICE, of=policy("all", egress={"mode": "Routed"}))
        assert (found.empty, reasons(found)) == (True, [("FirewallReady", "FirewallBlocked")])

    def test_a_host_without_a_default_route_is_reported(self) -> None:
        state = observed(SHOP, host=host(bridge(SHOP), routes=()))
        assert reasons(plan(state, SHOP)) == [("HostReady", "NoDefaultRoute")]

    def state(self, *proxies: ProxyNeighbour, **changes: object) -> Observed:
        view = host(bridge(self.PART), self.UPLINK, proxies=frozenset(proxies), proxy_ndp={"eth0": "0"})
        web = running("web", end(self.PART, self.ANSWERS.subnet[5]))
        return replace(
            observed(self.PART, engine=ENGINE_20_10, host=view, proxied_subnets=(self.ANSWERS,), containers=(web,)),
            **changes,  # type: ignore[arg-type]
        )

    def test_the_uplink_proxies_containers_of_its_networks(self) -> None:
        found = plan(self.state(), self.PART, of=self.ON_LINK)
        assert kinds(found) == ["SetSysctl", "AddProxyNeighbour"]
        assert found.findings == ()

    def test_entries_of_removed_containers_are_removed(self) -> None:
        entry = ProxyNeighbour("eth0", self.ANSWERS.subnet[5], ours=True)
        found = plan(self.state(entry, containers=()), self.PART, of=self.ON_LINK)
        assert kinds(found) == ["SetSysctl", "RemoveProxyNeighbour"]

    def test_without_an_engine_the_containers_are_unknown(self) -> None:
        assert plan(self.state(engine=None), self.PART, of=self.ON_LINK).empty

    def test_without_bridges_no_subnet_is_proxied(self) -> None:
        found = plan(self.state(rules=RulesView(problem="no nft")), self.PART, of=self.ON_LINK)
        assert (found.empty, reasons(found)) == (True, [("FirewallReady", "FirewallUnavailable")])


def test_a_network_with_two_ipv6_subnets_matches_by_either() -> None:
    both = replace(SHOP, ipam=(*SHOP.ipam, SubnetConfig(OFFICE.ipv6[0].subnet)))
    assert mine(both, p={"prefixes": ["2001:db8::/32"]}) == {"p": ["shop"]}
