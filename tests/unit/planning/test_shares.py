from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.model import EgressMode, NetworkIntent
from dockerv6.planning.shares import Share, share, whole_intent
from tests.unit.planning.scene import SUBNET, allocation, foreign, live
from tests.world import network


def test_a_managed_networks_share_follows_its_allocation() -> None:
    assert share(network(), allocation(), ()) == Share("blog", (NetworkIntent("blog", SUBNET, "v6-blog"),))


def test_every_egress_field_reaches_the_firewall() -> None:
    wish = network(egress={"interfaces": ["eth0"], "exclude": ["fc00::/7"]})
    (intent,) = share(wish, allocation(), ()).networks
    assert intent.egress is EgressMode.MASQUERADE
    assert intent.egress_interfaces == ("eth0",)
    assert intent.egress_exclude == (IPv6Network("fc00::/7"),)


def test_an_internal_network_is_told_to_be_so() -> None:
    assert share(network(internal=True), allocation(), ()).networks[0].internal


@pytest.mark.parametrize("spec", [{"suspend": True}, {"egress": {"mode": "Routed"}}])
def test_what_is_suspended_or_not_yet_in_effect_stays_as_it_is(spec: dict[str, object]) -> None:
    assert share(network("blog", **spec), allocation(), ()) == Share("blog", hold=True)


def test_what_has_no_allocation_yet_keeps_what_it_may_have_had() -> None:
    assert share(network(), None, ()) == Share("blog", hold=True)


class TestRecreation:
    """What runs keeps its rules until it is gone, and what comes has them before it is there."""

    RUNNING = NetworkIntent("blog", SUBNET, "v6-blog")

    def test_both_subnets_have_rules_while_one_takes_over_from_the_other(self) -> None:
        coming = NetworkIntent("blog", IPv6Network("fd00:5::/64"), "v6-blog")
        assert share(network(), allocation("fd00:5::/64"), (live(),)).networks == (self.RUNNING, coming)

    def test_the_bridge_that_runs_counts_while_another_is_asked_for(self) -> None:
        wish = network(bridge={"name": "br-new"})
        assert share(wish, allocation(), (live(),)).networks == (self.RUNNING,)
        assert share(wish, allocation(), ()).networks == (NetworkIntent("blog", SUBNET, "br-new"),)

    def test_what_overlaps_the_running_subnet_has_its_rules_when_that_is_gone(self) -> None:
        inside = allocation(f"{SUBNET[0]}/80")
        assert share(network(), inside, (live(),)).networks == (self.RUNNING,)


class TestObserved:
    WISH = network(managementPolicy="Observe", networkName="x")

    def test_the_share_is_what_the_live_network_has(self) -> None:
        there = foreign("x")
        (intent,) = share(self.WISH, None, (there,)).networks
        assert (intent.subnet, intent.bridge) == (IPv6Network("fd99::/64"), there.bridge)

    def test_a_network_that_is_gone_has_none(self) -> None:
        assert share(self.WISH, None, ()) == Share("blog")

    def test_an_engine_that_was_never_seen_leaves_it_as_it_is(self) -> None:
        assert share(self.WISH, None, None) == Share("blog", hold=True)

    def test_link_local_subnets_are_none_of_ours(self) -> None:
        assert share(self.WISH, None, (foreign("x", "fe80::/64"),)) == Share("blog")


def test_the_whole_intent_is_in_the_order_of_owners() -> None:
    shares = [share(network(n), allocation(f"fd00:{n}::/64", n), ()) for n in ("b", "a")]
    whole = whole_intent([*shares, Share("c", hold=True)], 0x40, ("br0",))
    assert [n.owner for n in whole.networks] == ["a", "b"]
    assert (whole.hold, whole.mark, whole.uplink_bridges) == (frozenset({"c"}), 0x40, ("br0",))
