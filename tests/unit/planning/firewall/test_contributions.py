from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd.model import Container, Network
from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from dockerv6.planning.firewall.contributions import (
    FirewallContribution,
    firewall_intent,
    network_contribution,
    policy_contribution,
)
from dockerv6.planning.firewall.port_assignment import PortAssignment
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import SUBNET, desired, end, foreign, live, running


def test_a_managed_networks_contribution_follows_its_allocation() -> None:
    assert network_contribution(network(), SUBNET, ()) == FirewallContribution(
        "blog", (NetworkIntent("blog", SUBNET, InterfaceName("v6-blog")),)
    )


def test_every_egress_field_reaches_the_firewall() -> None:
    want = network(egress={"interfaces": ["eth0"], "exclude": ["fc00::/7"]})
    (intent,) = network_contribution(want, SUBNET, ()).networks
    assert intent.egress is EgressMode.MASQUERADE
    assert intent.egress_interfaces == ("eth0",)
    assert intent.egress_exclude == (IPv6Network("fc00::/7"),)


def test_an_internal_network_is_marked_internal() -> None:
    assert network_contribution(network(internal=True), SUBNET, ()).networks[0].internal


@pytest.mark.parametrize("spec", [{"suspend": True}, {"hosts": {"matchNames": ["a"]}}])
def test_what_is_suspended_or_not_yet_in_effect_stays_as_it_is(spec: dict[str, object]) -> None:
    assert network_contribution(network("blog", **spec), SUBNET, ()) == FirewallContribution("blog", keep=True)


def test_what_has_no_allocation_yet_keeps_what_it_may_have_had() -> None:
    assert network_contribution(network(), None, ()) == FirewallContribution("blog", proxied_subnets=None, keep=True)


class TestRecreation:
    """What runs keeps its rules until it is gone, and what comes has them before it is there."""

    RUNNING = NetworkIntent("blog", SUBNET, InterfaceName("v6-blog"))

    def test_both_subnets_have_rules_while_one_takes_over_from_the_other(self) -> None:
        coming = NetworkIntent("blog", IPv6Network("fd00:5::/64"), InterfaceName("v6-blog"))
        assert network_contribution(network(), IPv6Network("fd00:5::/64"), (live(),)).networks == (self.RUNNING, coming)

    def test_the_bridge_that_runs_counts_while_another_is_asked_for(self) -> None:
        want = network(bridge={"name": "br-new"})
        assert network_contribution(want, SUBNET, (live(),)).networks == (self.RUNNING,)
        assert network_contribution(want, SUBNET, ()).networks == (
            NetworkIntent("blog", SUBNET, InterfaceName("br-new")),
        )

    def test_an_allocation_that_overlaps_the_live_subnet_gets_its_rules_later(self) -> None:
        inside = IPv6Network(f"{SUBNET[0]}/80")
        assert network_contribution(network(), inside, (live(),)).networks == (self.RUNNING,)


class TestObserved:
    DESIRED = network(managementPolicy="Observe", networkName="x")

    def test_the_contribution_is_what_the_live_network_has(self) -> None:
        there = foreign("x")
        found = network_contribution(self.DESIRED, None, (there,))
        (intent,) = found.networks
        assert [s.network_id for s in found.publishing_networks] == [there.id]
        assert (intent.subnet, intent.bridge) == (IPv6Network("fd99::/64"), there.bridge)

    def test_a_removed_network_has_none(self) -> None:
        assert network_contribution(self.DESIRED, None, ()) == FirewallContribution("blog")

    def test_an_engine_that_was_never_seen_leaves_it_as_it_is(self) -> None:
        assert network_contribution(self.DESIRED, None, None) == FirewallContribution(
            "blog", proxied_subnets=None, keep=True
        )

    def test_link_local_subnets_are_none_of_ours(self) -> None:
        assert network_contribution(self.DESIRED, None, (foreign("x", "fe80::/64"),)) == FirewallContribution("blog")


def test_the_whole_intent_is_in_the_order_of_owners() -> None:
    shares = [network_contribution(network(n), IPv6Network(f"fd00:{n}::/64"), ()) for n in ("b", "a")]
    whole = firewall_intent([*shares, FirewallContribution("c", keep=True)], 0x40, ("br0",))
    assert [n.owner for n in whole.networks] == ["a", "b"]
    assert (whole.keep, whole.mark, whole.uplink_bridges) == (frozenset({"c"}), 0x40, ("br0",))
    assert (whole.ports, whole.guest_bridges) == ((), None)


def test_the_intent_has_the_ports_and_the_bridges_that_a_backend_needs() -> None:
    port = PortIntent("a", TransportProtocol.TCP, 80, SUBNET[5], 80)
    whole = firewall_intent((), port_assignment=PortAssignment((port,)), guests=("docker0",))
    assert (whole.ports, whole.guest_bridges) == ((port,), ("docker0",))


class TestFirewall:
    def intent(self, *there: Network, containers: tuple[Container, ...] = (), **spec: object) -> NetworkIntent:
        (found,) = network_contribution(network("blog", **spec), SUBNET, there, containers).networks
        return found

    def test_isolation_and_icc_reach_the_firewall(self) -> None:
        assert (self.intent().isolated, self.intent().icc) == (True, True)
        assert not self.intent(firewall={"isolation": False}).isolated
        assert not self.intent(bridge={"icc": False}).icc
        assert not self.intent(live(), bridge={"icc": False}).icc

    def test_an_engines_own_option_keeps_containers_apart_too(self) -> None:
        apart = live()
        apart = replace(apart, options={**apart.options, ICC: "false"})
        assert not self.intent(apart).icc

    def test_ingress_is_for_the_whole_network_unless_containers_are_named(self) -> None:
        rule = {"from": ["2001:db8::/32"], "ports": [{"port": 443}, {"protocol": "udp", "port": 53}]}
        (found,) = self.intent(firewall={"ingress": [rule]}).ingress
        ports = ((TransportProtocol.TCP, 443), (TransportProtocol.UDP, 53))
        assert found == Ingress((IPv6Network("2001:db8::/32"),), (SUBNET,), ports)

    def test_ingress_for_some_is_for_their_addresses_in_this_network(self) -> None:
        rules = [{"containers": {"matchLabels": {"app": "web"}}}]
        there = live()
        containers = (
            running("one", end(there, SUBNET[5]), end(foreign("x"), "fd99::5"), app="web"),
            running("two", end(there, SUBNET[6]), app="web"),
            running("db", end(there, SUBNET[7]), app="db"),
            running("new", end(there, None), app="web"),
        )
        (found,) = self.intent(there, containers=containers, firewall={"ingress": rules}).ingress
        assert found.targets == (IPv6Network(SUBNET[5]), IPv6Network(SUBNET[6]))

    def test_ingress_without_a_matching_container_accepts_nothing(self) -> None:
        rules = [{"containers": {"name": "gone"}}]
        assert self.intent(live(), firewall={"ingress": rules}).ingress == ()


HOST_BINDING = "com.docker.network.bridge.host_binding_ipv6"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"


class TestPolicies:
    """They do for others' networks what docker-ipv6nat did, and heed the same options."""

    def given(self, spec: dict[str, object] | None = None, **options: str) -> FirewallContribution:
        return policy_contribution(policy("all", **(spec or {})), (replace(foreign("shop"), options=options),))

    def test_the_contribution_is_owned_by_the_policy(self) -> None:
        found = self.given()
        assert found.owner == "policy/all"
        assert [i.owner for i in found.networks] == ["policy/all"]
        assert found.publishing_networks[0].gateway == IPv6Address("fd99::1")

    @pytest.mark.parametrize("value", ["false", "False", "0", "f", "FALSE"])
    def test_a_network_that_is_not_to_be_masqueraded_is_not(self, value: str) -> None:
        assert self.given(None, **{MASQUERADE: value}).networks[0].egress is EgressMode.NONE
        assert self.given(None, **{MASQUERADE: "true"}).networks[0].egress is EgressMode.MASQUERADE

    def test_an_observed_network_is_masqueraded_despite_its_driver_option(self) -> None:
        want = network("shop", managementPolicy="Observe")
        there = replace(foreign("shop"), options={MASQUERADE: "false"})
        assert network_contribution(want, None, (there,)).networks[0].egress is EgressMode.MASQUERADE

    def test_a_network_that_keeps_its_containers_apart_does(self) -> None:
        assert not self.given(None, **{ICC: "false"}).networks[0].icc
        assert self.given(None, **{ICC: "nonsense"}).networks[0].icc

    @pytest.mark.parametrize(
        ("value", "address"), [("2001:db8::1", "2001:db8::1"), ("::", None), ("", None), ("192.0.2.1", None)]
    )
    def test_ports_bind_to_the_address_of_the_network_option(self, value: str, address: str | None) -> None:
        found = self.given(None, **{HOST_BINDING: value}).publishing_networks[0].host_address
        assert found == (IPv6Address(address) if address else None)

    def test_the_policys_own_word_goes_before_the_networks(self) -> None:
        found = self.given({"publish": {"hostAddress": "2001:db8::2"}}, **{HOST_BINDING: "2001:db8::1"})
        assert found.publishing_networks[0].host_address == IPv6Address("2001:db8::2")

    def test_an_engines_own_name_of_a_bridge_is_heeded(self) -> None:
        assert self.given(None, **{"com.docker.network.bridge.name": "br-shop"}).networks[0].bridge == "br-shop"

    def test_an_engine_that_was_never_seen_leaves_everything_as_it_is(self) -> None:
        assert policy_contribution(policy("all"), None) == FirewallContribution(
            "policy/all", proxied_subnets=None, keep=True
        )

    def test_every_ipv6_subnet_of_a_network_has_its_rules(self) -> None:
        there = foreign("shop")
        both = replace(there, ipam=(*there.ipam, *foreign("x", "fd98::/64").ipam))
        found = policy_contribution(policy("all"), (both,))
        assert [str(i.subnet) for i in found.networks] == ["fd99::/64", "fd98::/64"]
        assert len(found.publishing_networks) == 1


class TestOtherDrivers:
    """Their packets pass neither a bridge nor the firewall of the host."""

    @pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
    def test_they_contribute_nothing(self, driver: str) -> None:
        want = network("blog", driver=driver, options={"parent": "eth0"})
        assert network_contribution(want, SUBNET, (live(desired(want)),)) == FirewallContribution("blog")
        assert network_contribution(want, None, None) == FirewallContribution("blog")

    @pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
    def test_nor_does_the_resource_that_observes_them(self, driver: str) -> None:
        want = network("blog", managementPolicy="Observe", networkName="x")
        assert network_contribution(want, None, (replace(foreign("x"), driver=driver),)) == FirewallContribution("blog")

    def test_a_bridge_that_still_runs_keeps_its_rules(self) -> None:
        want = network("blog", driver="macvlan", options={"parent": "eth0"})
        assert network_contribution(want, SUBNET, (live(),)) == network_contribution(network("blog"), SUBNET, (live(),))

    def test_a_suspended_one_is_left_as_it_is(self) -> None:
        want = network("blog", driver="macvlan", options={"parent": "eth0"}, suspend=True)
        assert network_contribution(want, SUBNET, (live(desired(want)),)) == FirewallContribution("blog", keep=True)
