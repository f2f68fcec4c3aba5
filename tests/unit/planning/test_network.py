from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.firewall.model import HostFilterState
from dockerv6.planning.addressing.conflicts import foreign_subnets
from dockerv6.planning.docker.network_spec import own_network
from dockerv6.planning.inputs import Holdings, HostView, Identity, NetworkIndex, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, RepairBridge, UpdateFirewall
from tests.simulation.resources import network
from tests.unit.planning.scene import (
    ENGINE_20_10,
    FORWARD,
    HELD,
    LACKING,
    STUBBORN,
    SUBNET,
    allocation,
    bridge,
    container,
    decide,
    desired,
    foreign,
    host,
    in_sync,
    kinds,
    lacking,
    live,
    observed,
    reasons,
)


class TestCreation:
    def test_allocates_then_makes_the_rules_then_the_network(self) -> None:
        plan = decide(desired(), observed(host=host(forwarding="0")))
        assert kinds(plan) == ["BindSubnet", "SetSysctl", "UpdateFirewall", "CreateNetwork"]
        assert plan.findings == ()

    def test_a_network_that_is_as_it_should_be_needs_nothing(self) -> None:
        _, state = in_sync()
        assert decide(desired(), state, HELD) == Plan("IPv6Network", "blog")

    def test_what_was_allocated_before_a_crash_is_used(self) -> None:
        plan = decide(desired(), observed(), HELD)
        assert kinds(plan) == ["CreateNetwork"]
        (create,) = plan.steps
        assert isinstance(create, CreateNetwork)
        assert create.spec.ipam[-1].subnet == SUBNET
        assert "dockerv6.io/spec-hash" in create.spec.labels

    def test_a_network_that_never_was_is_no_drift(self) -> None:
        assert decide(desired(), observed(), HELD).drift == ()

    def test_router_advertisements_are_kept_before_forwarding_is_turned_on(self) -> None:
        plan = decide(desired(), observed(host=host(forwarding="0", accept_ra={"eth0": "1"})))
        names = [s.name for s in plan.steps if hasattr(s, "name")]
        assert names[:2] == ["net/ipv6/conf/eth0/accept_ra", "net.ipv6.conf.all.forwarding"]

    def test_the_hosts_filter_lets_us_pass_before_the_network_is_there(self) -> None:
        rules = RulesView(filter=HostFilterState((FORWARD,)))
        assert kinds(decide(desired(), observed(rules=rules), HELD)) == ["AddAcceptRule", "CreateNetwork"]


class TestRefusals:
    @pytest.mark.parametrize("ready", [True, False])
    def test_a_suspended_resource_blocks_nothing_if_it_was_ready(self, *, ready: bool) -> None:
        plan = decide(desired(suspend=True), observed(ready=ready), HELD)
        assert (plan.suspended, bool(plan.obstacles), plan.warnings) == (True, not ready, ())

    def test_a_suspended_resource_is_left_alone(self) -> None:
        plan = decide(desired(suspend=True), observed(rules=LACKING), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("Ready", "Suspended")])

    def test_an_unsupported_field_keeps_the_resource_from_being_applied(self) -> None:
        plan = decide(desired(hosts={"matchNames": ["a"]}), observed())
        assert (plan.empty, reasons(plan)) == (True, [("Accepted", "NotYetInEffect")])

    def test_an_engine_that_is_too_old_for_a_field_is_named(self) -> None:
        plan = decide(desired(ipv4={"enabled": False}), observed(engine=ENGINE_20_10))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineTooOld")])
        assert "20.10.24" in plan.findings[0].message

    def test_a_new_engine_can_do_without_ipv4(self) -> None:
        assert "CreateNetwork" in kinds(decide(desired(ipv4={"enabled": False}), observed()))

    def test_a_kernel_without_ipv6_is_reported(self) -> None:
        assert reasons(decide(desired(), observed(host=host(forwarding=None)))) == [("HostReady", "HostNotReady")]

    def test_an_engine_in_another_network_namespace_is_reported(self) -> None:
        there = (live(), replace(foreign("bridge"), ipam=()))
        plan = decide(desired(), observed(*there, host=host()), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("HostReady", "WrongNamespace")])
        rootless = decide(desired(), observed(*there, host=host(), engine=replace(ENGINE_20_10, rootless=True)), HELD)
        assert "rootless" in rootless.findings[0].message
        assert reasons(decide(desired(), observed(*there), HELD)) == []

    def test_replies_that_the_engine_drops_are_reported(self) -> None:
        exclude = {"exclude": ["fc00::/7"]}
        plan = decide(desired(egress=exclude), observed(), HELD)
        assert (kinds(plan), reasons(plan)) == (["CreateNetwork"], [("FirewallReady", "FirewallBlocked")])
        routed = {"com.docker.network.bridge.gateway_mode_ipv6": "routed"}
        assert reasons(decide(desired(egress=exclude, options=routed), observed(), HELD)) == []
        assert reasons(decide(desired(egress=exclude), observed(engine=ENGINE_20_10), HELD)) == []

    def test_a_subnet_that_can_not_be_had_stops_the_network_but_keeps_the_rules(self) -> None:
        want = desired(addressing={"subnet": "fd99::/64"})
        state = observed(live(), foreign("x"), rules=LACKING)
        plan = decide(want, state, HELD)
        assert kinds(plan) == ["UpdateFirewall"]
        assert reasons(plan) == [("SubnetAllocated", "SubnetOverlap")]

    def test_a_foreign_network_of_the_name_is_not_taken_over(self) -> None:
        plan = decide(desired(), observed(foreign("blog")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "ForeignNetwork")])

    def test_a_foreign_network_of_the_name_is_the_cause_where_it_has_the_subnet_too(self) -> None:
        want = desired(addressing={"subnet": "fd99::/64"})
        plan = decide(want, observed(foreign("blog")), HELD)
        assert (kinds(plan), reasons(plan)) == ([], [("NetworkReady", "ForeignNetwork")])
        assert "remove it, choose another networkName" in plan.findings[0].message

    def test_another_instances_network_is_foreign(self) -> None:
        theirs = foreign("blog", **{"dockerv6.io/managed-by": "other", "dockerv6.io/name": "blog"})
        assert reasons(decide(desired(), observed(theirs), HELD)) == [("NetworkReady", "ForeignNetwork")]

    def test_another_installations_network_is_foreign(self) -> None:
        labels = {"dockerv6.io/managed-by": "dockerv6", "dockerv6.io/name": "blog", "dockerv6.io/installation": "0123"}
        theirs = foreign("blog", **labels)
        want = replace(desired(), identity=Identity(installation="4567"))
        plan = decide(want, observed(theirs), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "ForeignNetwork")])
        assert "another installation of dockerv6 created it" in plan.findings[0].message

    def test_a_network_of_the_same_name_is_reported_with_its_resource(self) -> None:
        theirs = replace(live(desired(network("shop", networkName="blog")), IPv6Network("fd00::/64")), id="2")
        plan = decide(desired(), observed(theirs), HELD)
        assert reasons(plan) == [("NetworkReady", "NameConflict")]
        assert "IPv6Network shop" in plan.findings[0].message

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            ({"networkName": "taken"}, "ForeignNetwork"),
            ({"bridge": {"name": "br-000000000063"}}, "NameConflict"),
        ],
    )
    def test_nothing_is_removed_for_what_could_not_be_made(self, spec: dict[str, object], reason: str) -> None:
        there, _ = in_sync()
        state = observed(there, replace(foreign("taken"), id="000000000063" + "0" * 52), created=frozenset({there.id}))
        plan = decide(desired(updateStrategy="Recreate", **spec), state, HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", reason)])

    def test_an_ipv4_subnet_that_overlaps_anothers_is_found_beforehand(self) -> None:
        other = live(desired(network("shop", ipv4={"subnet": "192.0.2.0/24"})), IPv6Network("fd00::/64"), 2)
        plan = decide(desired(ipv4={"subnet": "192.0.2.0/25"}), observed(live(), other), HELD)
        assert reasons(plan) == [("NetworkReady", "SubnetOverlap")]


class TestFaults:
    def test_rules_are_repaired_while_the_engine_does_not_answer(self) -> None:
        there, state = in_sync(engine=None, engine_problem="refused", rules=LACKING)
        plan = decide(desired(), state, HELD)
        assert kinds(plan) == ["UpdateFirewall"]
        assert reasons(plan) == [("NetworkReady", "EngineUnavailable")]
        assert plan.findings[0].retry
        assert there.id

    def test_no_engine_and_nothing_applied_is_nothing_to_do(self) -> None:
        plan = decide(desired(), observed(engine=None))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineUnavailable")])

    def test_no_network_is_made_without_a_firewall(self) -> None:
        plan = decide(desired(), observed(rules=RulesView(problem="install nft")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("FirewallReady", "FirewallUnavailable")])

    def test_flows_that_are_dropped_are_reported_and_do_not_block(self) -> None:
        plan = decide(desired(), observed(rules=RulesView(flow_problems={"blog": (STUBBORN,)})), HELD)
        assert kinds(plan) == ["CreateNetwork"]
        assert reasons(plan) == [("FirewallReady", "FirewallBlocked")]
        assert not plan.findings[0].unknown

    def test_excluded_rules_are_reported(self) -> None:
        _, state = in_sync(rules=RulesView(overlapping={"blog": "overlaps shop's"}))
        plan = decide(desired(), state, HELD)
        assert reasons(plan) == [("FirewallReady", "SubnetOverlap")]
        assert plan.blocked is None


class TestDrift:
    def test_flushed_rules_come_back_and_are_drift(self) -> None:
        _, state = in_sync(rules=lacking("", "blog", "shop"))
        plan = decide(desired(), state, HELD)
        (ensure,) = plan.steps
        assert isinstance(ensure, UpdateFirewall)
        assert ensure.changes == ("add the table", "add x to set networks")
        assert list(map(str, plan.drift)) == [
            "firewall: our table was modified; the repair is 2 changes, first: add the table"
        ]

    def test_rules_that_never_were_are_no_drift(self) -> None:
        assert decide(desired(), observed(rules=LACKING), HELD).drift == ()

    def test_a_removed_network_comes_back_with_its_subnet_and_its_containers(self) -> None:
        web, db = container("web"), container("db", ipv6=str(SUBNET[5]))
        plan = decide(desired(), observed(applied=True, remembered=(web, db)), HELD)
        assert kinds(plan) == ["RememberEndpoints", "CreateNetwork", "AttachEndpoint", "AttachEndpoint"]
        assert [s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)] == [db, web]  # fixed addresses first
        assert list(map(str, plan.drift)) == ["Docker network blog was removed"]

    def test_a_bridge_that_lost_its_address_gets_it_back(self) -> None:
        there, _ = in_sync()
        state = observed(there, host=host(replace(bridge(there), addresses=())))
        plan = decide(desired(), state, HELD)
        assert plan.steps == (
            RepairBridge(
                "v6-blog", IPv6Interface(f"{SUBNET[1]}/64"), f"bridge v6-blog lost its address {SUBNET[1]}/64"
            ),
        )
        assert plan.drift

    def test_a_duplicate_gateway_address_is_added_again(self) -> None:
        there, _ = in_sync()
        disputed = replace(bridge(there), tentative=frozenset({SUBNET[1]}), dad_failed=frozenset({SUBNET[1]}))
        plan = decide(desired(), observed(there, host=host(disputed)), HELD)
        why = f"address {SUBNET[1]}/64 of bridge v6-blog failed duplicate address detection"
        assert plan.steps == (RepairBridge("v6-blog", IPv6Interface(f"{SUBNET[1]}/64"), why),)
        assert list(map(str, plan.drift)) == [why]

    def test_an_address_that_is_only_being_proven_is_left_alone(self) -> None:
        there, _ = in_sync()
        state = observed(there, host=host(replace(bridge(there), tentative=frozenset({SUBNET[1]}))))
        assert decide(desired(), state, HELD).empty

    def test_another_address_that_failed_is_no_affair_of_the_network(self) -> None:
        there, _ = in_sync()
        another = IPv6Interface("2001:db8::1/64")
        fine = bridge(there)
        moved = replace(fine, addresses=(another, *fine.addresses), dad_failed=frozenset({another.ip}))
        assert decide(desired(), observed(there, host=host(moved)), HELD).empty

    def test_a_bridge_that_is_down_is_set_up(self) -> None:
        there, _ = in_sync()
        plan = decide(desired(), observed(there, host=host(bridge(there, up=False))), HELD)
        assert list(map(str, plan.drift)) == ["bridge v6-blog is down"]

    def test_a_live_bridge_is_not_given_the_address_of_a_recreation_that_waits(self) -> None:
        there, state = in_sync(attachments=(container("web"),))
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}), state, HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert there.ipv6[0].subnet == SUBNET

    def test_a_deleted_bridge_has_its_network_recreated_even_with_containers(self) -> None:
        _, state = in_sync(attachments=(container("web"),), host=host())
        plan = decide(desired(), state, HELD)
        assert kinds(plan)[-4:] == ["DetachEndpoint", "RemoveNetwork", "CreateNetwork", "AttachEndpoint"]
        assert list(map(str, plan.drift)) == ["bridge v6-blog of Docker network blog was deleted"]

    def test_a_deleted_bridge_stays_deleted_if_recreation_is_forbidden(self) -> None:
        _, state = in_sync(host=host())
        plan = decide(desired(updateStrategy="Never"), state, HELD)
        assert plan.empty
        assert plan.drift

    def test_bridges_of_an_unobserved_host_are_not_reported(self) -> None:
        _, state = in_sync(host=HostView())
        assert decide(desired(), state, HELD).empty


class TestOrderOfFindings:
    """The status reports the first finding of a condition, so blocking ones come first."""

    def test_the_firewall_goes_before_translation_and_that_before_the_host(self) -> None:
        want = desired(
            egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth9"}},
            bridge={"icc": False},
            members={"matchLabels": {"a": "b"}},
        )
        there = live(want)
        state = observed(
            there, applied=True, host=host(bridge(there), routes=()), rules=RulesView(overlapping={"blog": "overlaps"})
        )
        plan = decide(want, state, HELD)
        assert reasons(plan) == [
            ("FirewallReady", "SubnetOverlap"),
            ("FirewallReady", "PrefixPending"),
            ("HostReady", "HostNotReady"),
            ("HostReady", "HostNotReady"),
            ("HostReady", "NoDefaultRoute"),
            ("NetworkReady", "NoMember"),
        ]

    def test_the_engine_goes_before_everything(self) -> None:
        state = observed(live(), applied=True, engine=None, host=host(bridge(live()), routes=()))
        assert reasons(decide(desired(), state, HELD)) == [
            ("NetworkReady", "EngineUnavailable"),
            ("HostReady", "NoDefaultRoute"),
        ]


class TestObserve:
    DESIRED = desired(managementPolicy="Observe", networkName="compose_default")

    def test_a_foreign_network_gets_rules_and_nothing_else(self) -> None:
        there = foreign("compose_default")
        plan = decide(self.DESIRED, observed(there, rules=LACKING, host=host(forwarding="0")))
        assert kinds(plan) == ["SetSysctl", "UpdateFirewall"]
        assert plan.findings == ()

    def test_a_network_that_is_not_there_is_waited_for(self) -> None:
        assert reasons(decide(self.DESIRED, observed())) == [("NetworkReady", "NetworkNotFound")]

    def test_a_network_is_not_reported_missing_while_the_engine_is_away(self) -> None:
        assert reasons(decide(self.DESIRED, observed(engine=None))) == [("NetworkReady", "EngineUnavailable")]

    def test_an_overlay_network_is_not_supported(self) -> None:
        plan = decide(self.DESIRED, observed(replace(foreign("compose_default"), driver="overlay")))
        assert reasons(plan) == [("NetworkReady", "UnsupportedDriver")]

    def test_a_network_without_ipv6_is_reported(self) -> None:
        there = replace(foreign("compose_default"), ipam=())
        assert reasons(decide(self.DESIRED, observed(there))) == [("NetworkReady", "NoIPv6")]

    def test_a_missing_firewall_backend_is_reported(self) -> None:
        plan = decide(self.DESIRED, observed(foreign("compose_default"), rules=RulesView(problem="install nft")))
        assert (plan.empty, reasons(plan)) == (True, [("FirewallReady", "FirewallUnavailable")])


def test_the_own_network_is_known_by_its_labels_and_its_recorded_id_whatever_its_name() -> None:
    there = replace(live(), name="renamed")
    state = observed(foreign("blog"), there)
    assert own_network(desired(), replace(state, created=frozenset({there.id}))) == there
    assert own_network(desired(), state) is None


def test_of_two_own_networks_the_one_with_the_right_name_counts() -> None:
    right, wrong = live(number=2), replace(live(), name="old")
    assert own_network(desired(), observed(wrong, right)) == right


def test_of_twins_it_is_always_the_same_one() -> None:
    twins = (live(number=2), live(number=1))
    assert own_network(desired(), observed(*twins)) == own_network(desired(), observed(*twins[::-1]))


def test_networks_are_found_by_name_and_by_resource() -> None:
    there = live()
    found = NetworkIndex((there, foreign("x")))
    assert (len(found), found.named("x"), found.named("y")) == (2, (foreign("x"),), ())
    assert found.owned(desired().identity, desired().resource, ()) == (there,)


def test_a_network_with_the_labels_of_a_resource_is_its_own_if_the_name_or_the_record_agrees() -> None:
    theirs = replace(live(), name="other")
    found, want = NetworkIndex((theirs,)), desired()
    assert found.owned(want.identity, want.resource, ()) == ()
    assert found.owned(want.identity, want.resource, {theirs.id}) == (theirs,)
    assert list(foreign_subnets(want, observed(theirs))) == [(SUBNET, "other")]


def test_the_bound_allocation_is_found_by_its_owner() -> None:
    assert Holdings((allocation(),)).bound == {"blog": allocation()}
