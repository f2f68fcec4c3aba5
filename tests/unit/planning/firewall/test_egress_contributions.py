from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.firewall.model import NetworkIntent
from dockerv6.lib.networking import EgressMode, InterfaceName
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.contributions import (
    depends_on_containers,
    network_contribution,
    policy_contribution,
)
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import OUTER, SUBNET, TRANSLATED, end, foreign, live, running, tracked

MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"


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

    def test_such_a_contribution_depends_on_the_running_containers(self) -> None:
        translated, routed = network(egress=TRANSLATED).spec, network(egress={"mode": "Routed"}).spec
        named = network(egress={"mode": "Routed"}, firewall={"ingress": [{"containers": {"name": "web"}}]}).spec
        assert depends_on_containers(translated.egress, translated.firewall)
        assert not depends_on_containers(routed.egress, routed.firewall)
        assert depends_on_containers(named.egress, named.firewall)


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
