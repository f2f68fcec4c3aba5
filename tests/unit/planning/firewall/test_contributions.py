from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import ClassVar

import pytest

from dockerv6.dockerd.model import Container, Network
from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.contributions import (
    FirewallContribution,
    ProxiedSubnet,
    depends_on_containers,
    firewall_intent,
    network_contribution,
    policy_contribution,
    proxied_subnets_of,
)
from dockerv6.planning.firewall.port_assignment import PortAssignment
from dockerv6.planning.firewall.port_claims import PublishingNetwork
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import SUBNET, desired, end, foreign, live, running, tracked


def test_a_managed_networks_share_follows_its_allocation() -> None:
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

    def test_the_share_is_what_the_live_network_has(self) -> None:
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


class TestPublishingNetworks:
    def publishing(self, there: Network, **publish: object) -> PublishingNetwork:
        (found,) = network_contribution(network("blog", publish=publish), SUBNET, (there,)).publishing_networks
        return found

    def test_a_network_that_runs_is_where_ports_lead(self) -> None:
        found = self.publishing(live())
        assert (found.owner, found.network_name, found.gateway) == ("blog", "blog", SUBNET[1])
        assert found.host_address is None

    def test_one_that_is_not_there_yet_or_is_internal_has_none(self) -> None:
        assert network_contribution(network(), SUBNET, ()).publishing_networks == ()
        assert (
            network_contribution(network(internal=True), SUBNET, (replace(live(), internal=True),)).publishing_networks
            == ()
        )

    def test_ports_bind_to_the_address_of_the_resource(self) -> None:
        assert self.publishing(live(), hostAddress="2001:db8::1").host_address == IPv6Address("2001:db8::1")


HOST_BINDING = "com.docker.network.bridge.host_binding_ipv6"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"


class TestPolicies:
    """They do for others' networks what docker-ipv6nat did, and heed the same options."""

    def given(self, spec: dict[str, object] | None = None, **options: str) -> FirewallContribution:
        return policy_contribution(policy("all", **(spec or {})), (replace(foreign("shop"), options=options),))

    def test_the_share_is_owned_by_the_policy(self) -> None:
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


PUBLIC = IPv6Network("2001:db8:5:1::/64")
TRANSLATED: dict[str, object] = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}
OUTER = IPv6Network("2001:db8:100:1::/64")


class TestEgress:
    def intent(self, egress: dict[str, object], source: TrackedPrefix | None = None, **spec: object) -> NetworkIntent:
        known = {source.interface: source} if source is not None else {}
        (found,) = network_contribution(network("blog", egress=egress, **spec), SUBNET, (live(),), (), known).networks
        return found

    def test_a_routed_network_keeps_its_addresses(self) -> None:
        found = self.intent({"mode": "Routed", "interfaces": ["eth0"]})
        assert found == NetworkIntent(
            "blog", SUBNET, InterfaceName("v6-blog"), EgressMode.ROUTED, egress_interfaces=(InterfaceName("eth0"),)
        )

    def test_a_chosen_address_is_what_packets_come_from(self) -> None:
        found = self.intent({"mode": "SNAT", "snatAddress": "2001:db8::1"})
        assert (found.egress, found.snat_address, found.external_prefixes) == (
            EgressMode.SNAT,
            IPv6Address("2001:db8::1"),
            (),
        )

    def test_a_fixed_prefix_is_exchanged(self) -> None:
        found = self.intent({"mode": "PrefixTranslation", "prefix": "2001:db8:100::/48"})
        assert (found.egress, found.snat_address, found.external_prefixes) == (
            EgressMode.PREFIX_TRANSLATION,
            None,
            (OUTER,),
        )

    def test_a_tracked_prefix_comes_before_the_former_ones(self) -> None:
        found = self.intent(TRANSLATED, tracked("2001:db8:100::/48", "2001:db8:200::/48"))
        assert found.external_prefixes == (OUTER, IPv6Network("2001:db8:200:1::/64"))

    @pytest.mark.parametrize(
        "source",
        [None, tracked("2001:db8:100::/48", interface="eth1"), tracked("2001:db8:100:1:2::/80")],
        ids=["none yet", "another interface's", "too long"],
    )
    def test_without_one_nothing_leaves_untranslated(self, source: TrackedPrefix | None) -> None:
        found = self.intent(TRANSLATED, source)
        assert (found.egress, found.external_prefixes) == (EgressMode.NONE, ())

    def test_the_last_prefix_stays_in_use_when_it_is_withdrawn(self) -> None:
        gone = replace(tracked("2001:db8:100::/48"), withdrawn=True)
        assert self.intent(TRANSLATED, gone).external_prefixes == (OUTER,)

    def test_what_is_to_come_has_them_before_it_is_there(self) -> None:
        want = network("blog", egress=TRANSLATED)
        known = {"eth0": tracked("2001:db8:100::/48")}
        running_, coming = network_contribution(want, IPv6Network("fd00:0:0:7::/64"), (live(),), (), known).networks
        assert (running_.external_prefixes, coming.external_prefixes) == (
            (OUTER,),
            (IPv6Network("2001:db8:100:7::/64"),),
        )


class TestExternalPrefixesOnALink:
    """Others on the link have addresses in the same prefix: only the containers' own lead in."""

    LINK = IPv6Network("2001:db8:100::/56")

    def addresses(self, *links: IPv6Network, **spec: object) -> tuple[IPv6Address, ...] | None:
        want = network("blog", **{"egress": TRANSLATED, **spec})
        there = live()
        known = {"eth0": tracked("2001:db8:100::/48", "2001:db8:200::/48")}
        everybody = (
            running("web", end(there, SUBNET[5])),
            running("db", end(foreign("x"), "fd99::5"), end(there, SUBNET[6])),
            running("new", end(there, None)),
        )
        (found,) = network_contribution(want, SUBNET, (there,), everybody, known, links).networks
        return found.external_addresses

    def test_a_prefix_that_is_routed_here_leads_in_as_a_whole(self) -> None:
        assert self.addresses() is None
        assert self.addresses(IPv6Network("2001:db8:300::/64")) is None

    @pytest.mark.parametrize("spec", [{}, {"ndpProxy": {"enabled": True}}], ids=["seen", "asked for"])
    def test_of_one_on_a_link_the_containers_addresses_do(self, spec: dict[str, object]) -> None:
        links = () if spec else (self.LINK,)
        previous = IPv6Network("2001:db8:200:1::/64")
        assert self.addresses(*links, **spec) == (OUTER[5], OUTER[6], previous[5], previous[6])

    def test_untranslated_networks_have_none(self) -> None:
        assert self.addresses(self.LINK, egress={"mode": "Routed"}, ndpProxy={"enabled": True}) is None

    def test_a_network_that_does_not_exist_yet_has_no_containers(self) -> None:
        want = network("blog", egress={"mode": "PrefixTranslation", "prefix": "2001:db8:100::/48"})
        (coming,) = network_contribution(want, SUBNET, (), (), {}, (self.LINK,)).networks
        assert coming.external_addresses == ()

    def test_such_a_share_is_another_one_when_other_containers_run(self) -> None:
        translated, routed = network(egress=TRANSLATED).spec, network(egress={"mode": "Routed"}).spec
        named = network(egress={"mode": "Routed"}, firewall={"ingress": [{"containers": {"name": "web"}}]}).spec
        assert depends_on_containers(translated.egress, translated.firewall)
        assert not depends_on_containers(routed.egress, routed.firewall)
        assert depends_on_containers(named.egress, named.firewall)


class TestPortsOfRoutedNetworks:
    """They are open on the container's own address too."""

    HTTP = PortIntent("blog", TransportProtocol.TCP, 8080, SUBNET[5], 80)

    def ingress(self, *ports: PortIntent, **spec: object) -> tuple[Ingress, ...]:
        want = network("blog", **{"egress": {"mode": "Routed"}, **spec})
        there = replace(live(), internal=want.spec.internal)
        whole = firewall_intent([network_contribution(want, SUBNET, (there,))], port_assignment=PortAssignment(ports))
        assert whole.ports == ports
        return whole.networks[0].ingress

    def test_the_containers_own_port_is_open(self) -> None:
        assert self.ingress(self.HTTP) == (Ingress((), (IPv6Network(SUBNET[5]),), ((TransportProtocol.TCP, 80),)),)

    def test_only_clients_that_may_use_the_port_are_accepted(self) -> None:
        office = (IPv6Network("2001:db8:9::/48"),)
        (found,) = self.ingress(replace(self.HTTP, sources=office))
        assert found.sources == office

    def test_a_port_of_one_address_of_the_host_is_that_addresss_alone(self) -> None:
        assert self.ingress(replace(self.HTTP, host_address=IPv6Address("2001:db8::1"))) == ()

    def test_a_port_of_another_owner_is_not_its(self) -> None:
        assert self.ingress(replace(self.HTTP, owner="shop")) == ()

    def test_a_port_that_leads_to_another_of_the_owners_networks_is_not_this_ones(self) -> None:
        assert self.ingress(replace(self.HTTP, target=PUBLIC[5])) == ()

    def test_it_comes_on_top_of_what_the_firewall_lets_in(self) -> None:
        found = self.ingress(self.HTTP, firewall={"ingress": [{"ports": [{"port": 22}]}]})
        assert [i.ports for i in found] == [((TransportProtocol.TCP, 22),), ((TransportProtocol.TCP, 80),)]

    def test_every_port_of_a_container_is_open(self) -> None:
        dns = PortIntent("blog", TransportProtocol.UDP, 53, SUBNET[5], 53)
        assert [i.ports for i in self.ingress(self.HTTP, dns)] == [
            ((TransportProtocol.TCP, 80),),
            ((TransportProtocol.UDP, 53),),
        ]

    @pytest.mark.parametrize(
        "egress", [{}, {"mode": "None"}, {"mode": "PrefixTranslation", "prefix": "2001:db8:100::/48"}], ids=str
    )
    def test_other_networks_containers_are_reached_through_the_host_alone(self, egress: dict[str, object]) -> None:
        assert self.ingress(self.HTTP, egress=egress) == ()

    def test_so_are_those_of_policies_that_route(self) -> None:
        there = foreign("shop", "2001:db8:5:1::/64")
        routed = policy_contribution(policy("all", egress={"mode": "Routed"}), (there,))
        port = PortIntent("policy/all", TransportProtocol.TCP, 80, PUBLIC[5], 80)
        (found,) = firewall_intent([routed], port_assignment=PortAssignment((port,))).networks
        assert [i.targets for i in found.ingress] == [(IPv6Network(PUBLIC[5]),)]


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


class TestOtherDrivers:
    """Their packets pass neither a bridge nor the firewall of the host."""

    @pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
    def test_they_have_no_share(self, driver: str) -> None:
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


class TestEgressOfPolicies:
    def given(self, egress: dict[str, object], **options: str) -> NetworkIntent:
        there = replace(foreign("shop", "fd99:0:0:1::/64"), options=options)
        known = {"eth0": tracked("2001:db8:100::/48")}
        (found,) = policy_contribution(policy("all", egress=egress), (there,), (), known).networks
        return found

    def test_it_translates_to_what_it_follows(self) -> None:
        assert self.given(TRANSLATED).external_prefixes == (OUTER,)

    def test_a_network_that_is_not_to_be_masqueraded_is_not_translated_either(self) -> None:
        found = self.given(TRANSLATED, **{MASQUERADE: "false"})
        assert (found.egress, found.external_prefixes) == (EgressMode.NONE, ())

    def test_nor_has_it_neighbours_that_ask(self) -> None:
        there = replace(foreign("shop"), options={MASQUERADE: "false"})
        asked = policy("all", egress=TRANSLATED, ndpProxy={"enabled": True})
        assert policy_contribution(asked, (there,), (), {"eth0": tracked("2001:db8:100::/48")}).proxied_subnets == ()

    def test_but_it_is_routed_as_asked(self) -> None:
        assert self.given({"mode": "Routed"}, **{MASQUERADE: "false"}).egress is EgressMode.ROUTED
