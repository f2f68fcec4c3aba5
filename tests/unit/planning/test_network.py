from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import ClassVar

import pytest

from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.dockerd.model import BRIDGE_NAME, Attachment, EngineInfo, Network
from dockerv6.firewall.model import HostFilterState
from dockerv6.hostnet.model import Interface, ProxyNeighbour
from dockerv6.planning.answers import Answers
from dockerv6.planning.blueprint import network_spec, stamped
from dockerv6.planning.inputs import SPEC_HASH, Desired, Holdings, HostView, Networks, Observed, RulesView
from dockerv6.planning.network import own_network
from dockerv6.planning.steps import (
    AddProxyNeighbour,
    AttachEndpoint,
    CreateNetwork,
    DetachEndpoint,
    EnsureRules,
    MendBridge,
    Plan,
    RememberEndpoints,
    RemoveProxyNeighbour,
)
from tests.simulation.resources import network, pool
from tests.unit.planning.scene import (
    ENGINE_20_10,
    ENGINE_28,
    FORWARD,
    IDENTITY,
    STUBBORN,
    SUBNET,
    allocation,
    bridge,
    container,
    created,
    decide,
    desired,
    end,
    followed,
    foreign,
    holding,
    holdings,
    host,
    kinds,
    live,
    observed,
    reasons,
    running,
)

HELD = holdings(allocation())
OFF = {"blog": ("add x to set networks",)}


def settled(**changes: object) -> tuple[Network, Observed]:
    """A network as it should be."""
    there = live()
    return there, observed(there, applied=True, **changes)


def recreate(strategy: str, *endpoints: object, **changes: object) -> Plan:
    """The plan for a network that has to be made anew, with these attached."""
    _, moment = settled(attachments=endpoints, **changes)
    return decide(desired(updateStrategy=strategy, internal=True), moment, HELD)


class TestCreation:
    def test_allocates_then_makes_the_rules_then_the_network(self) -> None:
        plan = decide(desired(), observed(host=host(forwarding="0")))
        assert kinds(plan) == ["BindSubnet", "SetSysctl", "EnsureRules", "CreateNetwork"]
        assert plan.findings == ()

    def test_a_network_that_is_as_it_should_be_needs_nothing(self) -> None:
        _, moment = settled()
        assert decide(desired(), moment, HELD) == Plan("IPv6Network", "blog")

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
        assert kinds(decide(desired(), observed(rules=rules), HELD)) == ["AdmitMark", "CreateNetwork"]


class TestRefusals:
    def test_a_suspended_resource_is_left_alone(self) -> None:
        plan = decide(desired(suspend=True), observed(rules=RulesView(off=OFF)), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("Ready", "Suspended")])

    def test_what_is_not_yet_in_effect_stops_the_whole(self) -> None:
        plan = decide(desired(hosts={"matchNames": ["a"]}), observed())
        assert (plan.empty, reasons(plan)) == (True, [("Accepted", "NotYetInEffect")])

    def test_what_only_adds_and_is_not_yet_in_effect_does_not(self) -> None:
        plan = decide(desired(members={"matchLabels": {"a": "b"}}), observed(), HELD)
        assert kinds(plan) == ["CreateNetwork"]

    def test_an_engine_that_is_too_old_for_a_field_is_named(self) -> None:
        plan = decide(desired(ipv4={"enabled": False}), observed(engine=ENGINE_20_10))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineTooOld")])
        assert "20.10.24" in plan.findings[0].message

    def test_a_new_engine_can_do_without_ipv4(self) -> None:
        assert "CreateNetwork" in kinds(decide(desired(ipv4={"enabled": False}), observed()))

    def test_a_kernel_without_ipv6_is_told_of(self) -> None:
        assert reasons(decide(desired(), observed(host=host(forwarding=None)))) == [("HostReady", "HostNotReady")]

    def test_an_engine_in_another_network_namespace_is_told_of(self) -> None:
        there = (live(), replace(foreign("bridge"), ipam=()))
        plan = decide(desired(), observed(*there, host=host()), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("HostReady", "WrongNamespace")])
        assert reasons(decide(desired(), observed(*there), HELD)) == []

    def test_replies_that_the_engine_drops_are_told_of(self) -> None:
        exclude = {"exclude": ["fc00::/7"]}
        plan = decide(desired(egress=exclude), observed(), HELD)
        assert (kinds(plan), reasons(plan)) == (["CreateNetwork"], [("FirewallReady", "FirewallBlocked")])
        routed = {"com.docker.network.bridge.gateway_mode_ipv6": "routed"}
        assert reasons(decide(desired(egress=exclude, options=routed), observed(), HELD)) == []
        assert reasons(decide(desired(egress=exclude), observed(engine=ENGINE_20_10), HELD)) == []

    def test_a_subnet_that_can_not_be_had_stops_the_network_but_keeps_the_rules(self) -> None:
        wish = desired(addressing={"subnet": "fd99::/64"})
        moment = observed(live(), foreign("x"), rules=RulesView(off=OFF))
        plan = decide(wish, moment, HELD)
        assert kinds(plan) == ["EnsureRules"]
        assert reasons(plan) == [("SubnetAllocated", "SubnetOverlap")]

    def test_a_foreign_network_of_the_name_is_not_taken_over(self) -> None:
        plan = decide(desired(), observed(foreign("blog")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "ForeignNetwork")])

    def test_another_instances_network_is_foreign(self) -> None:
        theirs = foreign("blog", **{"dockerv6.io/managed-by": "other", "dockerv6.io/name": "blog"})
        assert reasons(decide(desired(), observed(theirs), HELD)) == [("NetworkReady", "ForeignNetwork")]

    def test_another_resources_network_of_the_name_is_told_by_its_resource(self) -> None:
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
        there, _ = settled()
        moment = observed(there, replace(foreign("taken"), id="000000000063" + "0" * 52))
        plan = decide(desired(updateStrategy="Recreate", **spec), moment, HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", reason)])

    def test_an_ipv4_subnet_that_overlaps_anothers_is_found_beforehand(self) -> None:
        other = live(desired(network("shop", ipv4={"subnet": "192.0.2.0/24"})), IPv6Network("fd00::/64"), 2)
        plan = decide(desired(ipv4={"subnet": "192.0.2.0/25"}), observed(live(), other), HELD)
        assert reasons(plan) == [("NetworkReady", "SubnetOverlap")]


class TestFaults:
    def test_an_engine_that_gives_no_answer_does_not_keep_the_rules_from_being_mended(self) -> None:
        there, moment = settled(engine=None, engine_problem="refused", rules=RulesView(off=OFF))
        plan = decide(desired(), moment, HELD)
        assert kinds(plan) == ["EnsureRules"]
        assert reasons(plan) == [("NetworkReady", "EngineUnavailable")]
        assert plan.findings[0].retry
        assert there.id

    def test_no_engine_and_nothing_applied_is_nothing_to_do(self) -> None:
        plan = decide(desired(), observed(engine=None))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineUnavailable")])

    def test_no_network_is_made_without_a_firewall(self) -> None:
        plan = decide(desired(), observed(rules=RulesView(problem="install nft")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("FirewallReady", "FirewallUnavailable")])

    def test_a_filter_that_only_a_person_can_open_is_told_of_and_no_obstacle(self) -> None:
        plan = decide(desired(), observed(rules=RulesView(filter=HostFilterState((STUBBORN,)))), HELD)
        assert kinds(plan) == ["CreateNetwork"]
        assert reasons(plan) == [("FirewallReady", "FirewallBlocked")]
        assert plan.findings[0].doubtful

    def test_elements_that_are_kept_out_are_told_of(self) -> None:
        _, moment = settled(rules=RulesView(left_out={"blog": "overlaps shop's"}))
        plan = decide(desired(), moment, HELD)
        assert reasons(plan) == [("FirewallReady", "SubnetOverlap")]
        assert plan.blocked is None


class TestDrift:
    def test_flushed_rules_come_back_and_are_drift(self) -> None:
        _, moment = settled(rules=RulesView(off={"": ("add table",), "blog": ("add x",), "shop": ("add y",)}))
        plan = decide(desired(), moment, HELD)
        (ensure,) = plan.steps
        assert isinstance(ensure, EnsureRules)
        assert ensure.changes == ("add table", "add x")
        assert plan.drift == ("firewall: add table", "firewall: add x")

    def test_rules_that_never_were_are_no_drift(self) -> None:
        assert decide(desired(), observed(rules=RulesView(off=OFF)), HELD).drift == ()

    def test_a_removed_network_comes_back_with_its_subnet_and_its_containers(self) -> None:
        web, db = container("web"), container("db", ipv6=str(SUBNET[5]))
        plan = decide(desired(), observed(applied=True, remembered=(web, db)), HELD)
        assert kinds(plan) == ["RememberEndpoints", "CreateNetwork", "AttachEndpoint", "AttachEndpoint"]
        assert [s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)] == [db, web]  # fixed addresses first
        assert plan.drift == ("Docker network blog was removed",)

    def test_a_bridge_that_lost_its_address_gets_it_back(self) -> None:
        there, _ = settled()
        moment = observed(there, host=host(replace(bridge(there), addresses=())))
        plan = decide(desired(), moment, HELD)
        assert plan.steps == (
            MendBridge("v6-blog", IPv6Interface(f"{SUBNET[1]}/64"), f"bridge v6-blog lost its address {SUBNET[1]}/64"),
        )
        assert plan.drift

    def test_an_address_that_somebody_else_on_the_bridge_has_is_taken_back(self) -> None:
        there, _ = settled()
        disputed = replace(bridge(there), tentative=frozenset({SUBNET[1]}), failed=frozenset({SUBNET[1]}))
        plan = decide(desired(), observed(there, host=host(disputed)), HELD)
        why = f"address {SUBNET[1]}/64 of bridge v6-blog failed duplicate address detection"
        assert plan.steps == (MendBridge("v6-blog", IPv6Interface(f"{SUBNET[1]}/64"), why),)
        assert plan.drift == (why,)

    def test_an_address_that_is_only_being_proven_is_left_alone(self) -> None:
        there, _ = settled()
        moment = observed(there, host=host(replace(bridge(there), tentative=frozenset({SUBNET[1]}))))
        assert decide(desired(), moment, HELD).empty

    def test_another_address_that_failed_is_no_affair_of_the_network(self) -> None:
        there, _ = settled()
        another = IPv6Interface("2001:db8::1/64")
        fine = bridge(there)
        moved = replace(fine, addresses=(another, *fine.addresses), failed=frozenset({another.ip}))
        assert decide(desired(), observed(there, host=host(moved)), HELD).empty

    def test_a_bridge_that_is_down_is_set_up(self) -> None:
        there, _ = settled()
        plan = decide(desired(), observed(there, host=host(bridge(there, up=False))), HELD)
        assert plan.drift == ("bridge v6-blog is down",)

    def test_a_live_bridge_is_not_given_the_address_of_a_recreation_that_waits(self) -> None:
        there, moment = settled(attachments=(container("web"),))
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}), moment, HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert there.ipv6[0].subnet == SUBNET

    def test_a_deleted_bridge_has_its_network_made_anew_whoever_is_attached(self) -> None:
        _, moment = settled(attachments=(container("web"),), host=host())
        plan = decide(desired(), moment, HELD)
        assert kinds(plan)[-4:] == ["DetachEndpoint", "RemoveNetwork", "CreateNetwork", "AttachEndpoint"]
        assert plan.drift == ("bridge v6-blog of Docker network blog was deleted",)

    def test_a_deleted_bridge_stays_so_where_nothing_may_be_made_anew(self) -> None:
        _, moment = settled(host=host())
        plan = decide(desired(updateStrategy="Never"), moment, HELD)
        assert plan.empty
        assert plan.drift

    def test_a_host_that_was_not_looked_at_says_nothing_of_bridges(self) -> None:
        _, moment = settled(host=HostView())
        assert decide(desired(), moment, HELD).empty


class TestUpdate:
    def test_an_idle_network_is_made_anew(self) -> None:
        plan = recreate("WhenIdle")
        assert kinds(plan) == ["RememberNetwork", "RemoveNetwork", "CreateNetwork"]
        assert str(plan.disruption) == "Recreate"

    def test_stopped_containers_are_idle_and_are_attached_again(self) -> None:
        plan = recreate("WhenIdle", container("cron", running=False))
        assert kinds(plan) == [
            "RememberNetwork",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "CreateNetwork",
            "AttachEndpoint",
        ]
        assert plan.disconnected == 0

    def test_a_busy_network_waits_and_names_who_is_in_the_way(self) -> None:
        plan = recreate("WhenIdle", container("web"), container("cron", running=False))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert "web" in plan.findings[0].message
        assert "cron" not in plan.findings[0].message

    def test_a_busy_network_keeps_its_rules_while_it_waits(self) -> None:
        plan = recreate("WhenIdle", container("web"), rules=RulesView(off=OFF))
        assert kinds(plan) == ["EnsureRules"]

    def test_a_recreation_detaches_everybody_and_attaches_them_again(self) -> None:
        web, cron = container("web"), container("cron", running=False)
        plan = recreate("Recreate", web, cron)
        assert next(s for s in plan.steps if isinstance(s, RememberEndpoints)).endpoints == (web, cron)
        assert [s.endpoint for s in plan.steps if isinstance(s, DetachEndpoint)] == [web, cron]
        assert {s.endpoint.container_name for s in plan.steps if isinstance(s, AttachEndpoint)} == {"web", "cron"}
        assert (str(plan.disruption), plan.disconnected) == ("Disconnects", 1)

    def test_a_network_that_must_not_change_is_only_reported(self) -> None:
        plan = recreate("Never")
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])

    def test_a_new_subnet_is_surely_ours_before_the_old_network_goes(self) -> None:
        _, moment = settled()
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}), moment, HELD)
        assert kinds(plan) == ["RememberNetwork", "BindSubnet", "RemoveNetwork", "EnsureRules", "CreateNetwork"]

    def test_who_was_detached_comes_back_although_the_recreation_was_stopped(self) -> None:
        moment = observed(live(), foreign("x"), remembered=(container("web"),))
        plan = decide(desired(addressing={"subnet": "fd99::/64"}), moment, HELD)
        assert (kinds(plan), reasons(plan)) == (["AttachEndpoint"], [("SubnetAllocated", "SubnetOverlap")])

    def test_addresses_follow_to_the_new_prefix_but_for_what_is_taken_there(self) -> None:
        inside, outside = container("a", ipv6="fd00:5::7"), container("b", ipv6=str(SUBNET[5]))
        gateway = container("c", ipv6="fd00:5::1")
        _, moment = settled(attachments=(inside, outside, gateway))
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}, updateStrategy="Recreate"), moment, HELD)
        again = {s.endpoint.container_name: s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)}
        assert again["a"].static_ipv6 == IPv6Address("fd00:5::7")
        assert again["b"].static_ipv6 == IPv6Address("fd00:5::5")
        assert again["c"].static_ipv6 is None

    def test_who_is_missing_from_an_interrupted_recreation_is_attached(self) -> None:
        there, moment = settled(remembered=(container("web"),))
        plan = decide(desired(), moment, HELD)
        assert kinds(plan) == ["AttachEndpoint"]
        assert there.name == "blog"

    def test_a_lost_ledger_is_rebuilt_even_while_a_recreation_waits(self) -> None:
        _, moment = settled(attachments=(container("web"),))
        plan = decide(desired(labels={"team": "web"}), moment)
        assert kinds(plan) == ["BindSubnet", "EnsureRules"]

    def test_a_renamed_network_is_made_anew_under_its_new_name(self) -> None:
        _, moment = settled()
        plan = decide(desired(networkName="other"), moment, HELD)
        assert kinds(plan) == ["RememberNetwork", "RemoveNetwork", "CreateNetwork"]


class TestRenumbering:
    """The pool's prefix is another one: one network after the other is made anew."""

    WISH = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Recreate")
    MOVED = IPv6Network("2001:db8:7:1::/64")

    def moment(self, *attached: Attachment, **changes: object) -> Observed:
        return observed(live(self.WISH), applied=True, attachments=attached, **changes)

    def test_everything_is_written_down_before_the_old_network_goes_and_all_is_ready_before_the_new_one_comes(
        self,
    ) -> None:
        plan = decide(self.WISH, self.moment(container("web")), HELD)
        assert kinds(plan) == [
            "RememberNetwork",
            "BindSubnet",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "EnsureRules",
            "CreateNetwork",
            "AttachEndpoint",
        ]
        assert (plan.findings, str(plan.disruption), plan.disconnected) == ((), "Disconnects", 1)

    def test_number_suffixes_and_the_engines_ipv4_subnet_stay(self) -> None:
        db = container("db", ipv6=str(SUBNET[9]))
        plan = decide(self.WISH, self.moment(db), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        (again,) = (s for s in plan.steps if isinstance(s, AttachEndpoint))
        assert [c.subnet for c in create.spec.ipam] == [live(self.WISH).ipv4[0].subnet, self.MOVED]
        assert create.spec.ipam[-1].gateway == self.MOVED[1]
        assert again.endpoint.static_ipv6 == self.MOVED[9]

    def test_once_it_is_there_nothing_is_left_to_do(self) -> None:
        moment = observed(live(self.WISH, self.MOVED), applied=True)
        assert decide(self.WISH, moment, holdings(allocation(self.MOVED))) == Plan("IPv6Network", "blog")

    def test_running_containers_are_waited_for_and_keep_what_they_have(self) -> None:
        patient = desired(None, pool(prefix="2001:db8:7::/48"))
        plan = decide(patient, self.moment(container("web")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert f"subnet is {SUBNET}, should be {self.MOVED}" in plan.findings[0].message

    def test_a_network_that_must_not_change_keeps_its_subnet(self) -> None:
        fixed = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Never")
        plan = decide(fixed, self.moment(), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])

    @pytest.mark.parametrize(
        ("strategy", "attached"), [("Recreate", (container("web"),)), ("WhenIdle", ())], ids=["busy", "idle"]
    )
    def test_it_waits_for_its_turn_and_says_for_whom(self, strategy: str, attached: tuple[Attachment, ...]) -> None:
        wish = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy=strategy)
        plan = decide(wish, self.moment(*attached, in_transit=("shop",)), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "Renumbering")])
        (waits,) = plan.findings
        assert f"becomes {self.MOVED} instead of {SUBNET}" in waits.message
        assert "shop of the same pool" in waits.message
        assert (waits.blocks, waits.doubtful) == (False, False)
        assert waits.retry

    def test_what_is_asked_of_a_person_is_said_rather_than_whose_turn_it_is(self) -> None:
        patient = desired(None, pool(prefix="2001:db8:7::/48"))
        plan = decide(patient, self.moment(container("web"), in_transit=("shop",)), HELD)
        assert reasons(plan) == [("NetworkReady", "RecreateBlocked")]

    @pytest.mark.parametrize(("others", "goes"), [(0, True), (1, True), (2, False), (3, False)])
    def test_as_many_go_at_the_same_time_as_the_pool_allows(self, others: int, *, goes: bool) -> None:
        wish = desired(None, pool(prefix="2001:db8:7::/48", maxUnavailable=2))
        transit = tuple(f"n{i}" for i in range(others))
        plan = decide(wish, self.moment(in_transit=transit), HELD)
        assert ("CreateNetwork" in kinds(plan)) is goes

    def test_while_it_waits_its_rules_and_containers_are_looked_after(self) -> None:
        moment = self.moment(in_transit=("shop",), remembered=(container("web"),), rules=RulesView(off=OFF))
        plan = decide(self.WISH, moment, HELD)
        assert kinds(plan) == ["EnsureRules", "AttachEndpoint"]

    def test_what_was_begun_is_ended_whoever_else_is_on_the_way(self) -> None:
        moment = self.moment(container("web"), in_transit=("shop",))
        plan = decide(self.WISH, moment, holdings(allocation(self.MOVED, revision=8)))
        assert "CreateNetwork" in kinds(plan)

    def test_an_edit_of_the_resource_itself_takes_no_turns(self) -> None:
        _, moment = settled(in_transit=("shop",))
        assert "CreateNetwork" in kinds(decide(desired(internal=True), moment, HELD))

    def test_a_network_that_is_gone_anyway_is_made_with_the_new_one(self) -> None:
        plan = decide(self.WISH, observed(applied=True, in_transit=("shop",)), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam[-1].subnet == self.MOVED

    def test_while_the_engine_is_away_nothing_is_bound(self) -> None:
        plan = decide(self.WISH, self.moment(engine=None), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineUnavailable")])

    def test_a_pool_that_can_not_give_one_leaves_the_network_as_it_is(self) -> None:
        wish = desired(None, pool(prefix="2001:db8:7::/64"))
        held = holdings(allocation(), allocation("2001:db8:7::/64", "shop"))
        plan = decide(wish, self.moment(container("web")), held)
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("SubnetAllocated", "PoolExhausted")])

    def test_and_has_it_made_again_when_it_was_removed(self) -> None:
        wish = desired(None, pool(prefix="2001:db8:7::/64"))
        held = holdings(allocation(), allocation("2001:db8:7::/64", "shop"))
        plan = decide(wish, observed(applied=True, remembered=(container("web"),)), held)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam[-1].subnet == SUBNET

    def test_a_prefix_that_is_gone_is_told_of_and_nothing_is_torn_down(self) -> None:
        wish = desired(None, pool(fromInterface={"name": "eth0"}))
        gone = replace(followed("fd12:3456:789a::/48"), withdrawn=True)
        plan = decide(wish, self.moment(container("web")), holding(allocation(), following=gone))
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("SubnetAllocated", "PrefixWithdrawn")])

    def test_a_new_network_of_a_pool_without_a_prefix_waits_for_it(self) -> None:
        plan = decide(desired(None, pool(fromInterface={"name": "eth0"})), observed())
        assert (plan.empty, reasons(plan)) == (True, [("SubnetAllocated", "PrefixPending")])


class TestRolledBack:
    """What could not be had is not tried again and again."""

    def refused(self, wish: Desired) -> Observed:
        """The moment after that very wish was rolled back."""
        plan = decide(wish, self.moment(), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        return self.moment(refused=create.spec.labels[SPEC_HASH], refusal="the engine said no")

    def moment(self, **changes: object) -> Observed:
        _, moment = settled(**changes)
        return moment

    @pytest.mark.parametrize(
        "wish",
        [desired(internal=True), desired(None, pool(prefix="2001:db8:7::/48"))],
        ids=["the resource's", "the pool's"],
    )
    def test_the_same_wish_is_only_told_of(self, wish: Desired) -> None:
        plan = decide(wish, self.refused(wish), HELD)
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("NetworkReady", "RolledBack")])
        assert (plan.findings[0].message, plan.findings[0].retry) == ("the engine said no", None)

    def test_another_one_is_tried(self) -> None:
        moment = self.refused(desired(internal=True))
        assert "CreateNetwork" in kinds(decide(desired(internal=True, attachable=True), moment, HELD))

    def test_what_is_there_again_is_as_it_should_be_once_the_wish_is_the_old_one(self) -> None:
        assert decide(desired(), self.refused(desired(internal=True)), HELD) == Plan("IPv6Network", "blog")

    def test_rules_and_containers_are_looked_after_all_the_same(self) -> None:
        wish = desired(internal=True)
        moment = replace(self.refused(wish), remembered=(container("web"),), rules=RulesView(off=OFF))
        assert kinds(decide(wish, moment, HELD)) == ["EnsureRules", "AttachEndpoint"]

    def test_a_network_that_is_gone_is_made_as_it_is_wanted(self) -> None:
        wish = desired(internal=True)
        moment = replace(self.refused(wish), networks=Networks())
        assert "CreateNetwork" in kinds(decide(wish, moment, HELD))


class TestRouted:
    WISH = desired(egress={"mode": "Routed"})
    ROUTED: ClassVar[dict[str, str]] = {GATEWAY_MODE_IPV6: "routed"}

    def there(self, engine: EngineInfo | None) -> Network:
        """The network as that engine made it."""
        resource = self.WISH.resource
        return created(stamped(network_spec(resource, SUBNET, self.WISH.identity, engine)))

    @pytest.mark.parametrize(("release", "told"), [((26, 1), False), ((27, 0), True), ((29, 0), True)], ids=str)
    def test_engines_that_know_how_are_told_not_to_drop(self, release: tuple[int, int], *, told: bool) -> None:
        engine = replace(ENGINE_28, release=release)
        plan = decide(self.WISH, observed(engine=engine), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert (GATEWAY_MODE_IPV6 in create.spec.options) is told
        assert plan.findings == ()

    @pytest.mark.parametrize("engine", [ENGINE_20_10, ENGINE_28])
    def test_what_an_engine_made_is_as_it_should_be(self, engine: EngineInfo) -> None:
        there = self.there(engine)
        assert decide(self.WISH, observed(there, engine=engine, applied=True), HELD) == Plan("IPv6Network", "blog")

    def test_a_downgrade_recreates_nothing(self) -> None:
        there = self.there(ENGINE_28)
        assert decide(self.WISH, observed(there, engine=ENGINE_20_10, applied=True), HELD).empty

    def test_an_upgrade_recreates_it_since_the_engine_would_drop_what_is_let_in(self) -> None:
        there = self.there(ENGINE_20_10)
        plan = decide(self.WISH, observed(there, applied=True), HELD)
        assert f"option {GATEWAY_MODE_IPV6} is unset, should be routed" in plan.steps[-1].reason
        assert str(plan.disruption) == "Recreate"

    def test_while_that_waits_it_is_told_what_for(self) -> None:
        there = self.there(ENGINE_20_10)
        plan = decide(self.WISH, observed(there, applied=True, attachments=(container("web"),)), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert f"option {GATEWAY_MODE_IPV6} is unset, should be routed" in plan.findings[0].message

    def test_what_the_resource_says_itself_goes_before(self) -> None:
        own = desired(egress={"mode": "Routed"}, options={GATEWAY_MODE_IPV6: "nat-unprotected"})
        (create,) = (s for s in decide(own, observed(), HELD).steps if isinstance(s, CreateNetwork))
        assert create.spec.options[GATEWAY_MODE_IPV6] == "nat-unprotected"

    def test_a_network_that_is_no_longer_routed_is_made_anew(self) -> None:
        plan = decide(desired(), observed(self.there(ENGINE_28), applied=True), HELD)
        assert f"option {GATEWAY_MODE_IPV6} is routed, should be unset" in plan.steps[-1].reason


class TestNeighbours:
    """An on-link prefix: eth0 has 2001:db8:1::/64, the network a part of it."""

    SUBNET = IPv6Network("2001:db8:1:0:5::/80")
    WISH = desired(addressing={"subnet": str(SUBNET)}, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    ANSWERS = Answers("blog", SUBNET)
    HELD = holdings(allocation(SUBNET, pool=""))
    ENTRY = ProxyNeighbour("eth0", SUBNET[5], ours=True)

    def plan(self, *proxies: ProxyNeighbour, proxy_ndp: str = "1", **changes: object) -> Plan:
        there = created(stamped(network_spec(self.WISH.resource, self.SUBNET, self.WISH.identity, ENGINE_28)))
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
        view = host(bridge(there), eth0, proxies=frozenset(proxies), proxy_ndp={"eth0": proxy_ndp})
        moment = observed(there, applied=True, host=view, answers=(self.ANSWERS,), **changes)
        web = running("web", end(there, self.SUBNET[5]))
        return decide(self.WISH, replace(moment, containers=changes.get("containers", (web,))), self.HELD)  # type: ignore[arg-type]

    def test_the_uplink_answers_for_who_runs(self) -> None:
        assert self.plan().steps == (AddProxyNeighbour("eth0", self.SUBNET[5]),)

    def test_it_is_switched_on_before(self) -> None:
        plan = self.plan(proxy_ndp="0")
        assert kinds(plan) == ["SetSysctl", "AddProxyNeighbour"]

    def test_what_is_there_needs_nothing(self) -> None:
        plan = self.plan(self.ENTRY)
        assert (plan.empty, plan.findings) == (True, ())

    def test_who_is_gone_is_answered_for_no_more(self) -> None:
        assert self.plan(self.ENTRY, containers=()).steps == (RemoveProxyNeighbour("eth0", self.SUBNET[5]),)

    def test_while_the_engine_is_away_nobody_knows_who_runs(self) -> None:
        assert self.plan(self.ENTRY, engine=None, containers=()).empty

    def test_they_are_kept_up_while_something_else_is_wrong(self) -> None:
        taken = replace(foreign("x"), options={BRIDGE_NAME: "br-blog"})
        wish = desired(addressing={"subnet": str(self.SUBNET)}, ndpProxy={"enabled": True},
                       egress={"mode": "Routed"}, bridge={"name": "br-blog"})  # fmt: skip
        there = created(stamped(network_spec(self.WISH.resource, self.SUBNET, IDENTITY, ENGINE_28)))
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
        moment = observed(
            there,
            taken,
            applied=True,
            host=host(bridge(there), eth0, proxy_ndp={"eth0": "1"}),
            answers=(self.ANSWERS,),
            containers=(running("web", end(there, self.SUBNET[5])),),
        )
        plan = decide(wish, moment, self.HELD)
        assert (kinds(plan), reasons(plan)) == (["AddProxyNeighbour"], [("NetworkReady", "NameConflict")])

    def test_they_come_after_the_network(self) -> None:
        fresh = host(Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),)),
                     proxy_ndp={"eth0": "0"})  # fmt: skip
        plan = decide(self.WISH, observed(host=fresh, answers=(self.ANSWERS,)), self.HELD)
        assert kinds(plan) == ["CreateNetwork", "SetSysctl"]


class TestTranslated:
    def test_without_a_prefix_the_network_works_and_that_is_said(self) -> None:
        wish = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        plan = decide(wish, observed(), HELD)
        assert (kinds(plan), reasons(plan)) == (["CreateNetwork"], [("FirewallReady", "PrefixPending")])

    def test_a_prefix_that_changes_touches_no_container(self) -> None:
        wish = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        there = live(wish)
        held = holding(allocation(), following=followed("2001:db8:200::/48", "2001:db8:100::/48"))
        moment = observed(there, applied=True, attachments=(container("web"),), rules=RulesView(off=OFF))
        plan = decide(wish, moment, held)
        assert (kinds(plan), plan.disconnected, plan.findings) == (["EnsureRules"], 0, ())

    def test_a_prefix_that_is_too_long_is_told_of_for_the_subnet_that_is_asked_for(self) -> None:
        wish = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        held = holding(allocation(), following=followed("2001:db8:100:1:2::/80"))
        plan = decide(wish, observed(), held)
        assert reasons(plan) == [("FirewallReady", "PrefixTooLong")]
        assert str(SUBNET) in plan.findings[0].message


class TestOrderOfFindings:
    """The first of a condition is what its status says: what stops the whole precedes what only a part lacks."""

    def test_the_firewall_goes_before_translation_and_that_before_the_host(self) -> None:
        wish = desired(
            egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth9"}},
            bridge={"icc": False},
            members={"matchLabels": {"a": "b"}},
        )
        there = live(wish)
        moment = observed(
            there, applied=True, host=host(bridge(there), routes=()), rules=RulesView(left_out={"blog": "overlaps"})
        )
        plan = decide(wish, moment, HELD)
        assert reasons(plan) == [
            ("FirewallReady", "SubnetOverlap"),
            ("FirewallReady", "PrefixPending"),
            ("HostReady", "HostNotReady"),
            ("HostReady", "HostNotReady"),
            ("HostReady", "NoDefaultRoute"),
            ("NetworkReady", "NoMember"),
        ]

    def test_the_engine_goes_before_everything(self) -> None:
        moment = observed(live(), applied=True, engine=None, host=host(bridge(live()), routes=()))
        assert reasons(decide(desired(), moment, HELD)) == [
            ("NetworkReady", "EngineUnavailable"),
            ("HostReady", "NoDefaultRoute"),
        ]


class TestOtherDrivers:
    """Their containers are on the parent's link by themselves: the host's firewall and bridges are none of theirs."""

    @pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
    def test_a_network_is_made_without_rules_and_without_forwarding(self, driver: str) -> None:
        wish = desired(driver=driver, options={"parent": "eth0"})
        rules = RulesView(problem="install nft", off=OFF)
        plan = decide(wish, observed(host=host(forwarding="0"), rules=rules))
        assert (kinds(plan), plan.findings) == (["BindSubnet", "CreateNetwork"], ())

    def test_what_was_made_is_as_it_should_be(self) -> None:
        wish = desired(driver="macvlan", options={"parent": "eth0"})
        assert decide(wish, observed(live(wish), applied=True), HELD) == Plan("IPv6Network", "blog")

    def test_one_takes_over_from_a_bridge_in_the_same_way(self) -> None:
        wish = desired(driver="macvlan", options={"parent": "eth0"}, updateStrategy="Recreate")
        _, moment = settled(attachments=(container("web"),))
        assert kinds(decide(wish, moment, HELD)) == [
            "RememberNetwork",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "CreateNetwork",
            "AttachEndpoint",
        ]

    def test_rules_of_a_bridge_that_it_took_over_from_go(self) -> None:
        wish = desired(driver="macvlan", options={"parent": "eth0"})
        moment = observed(live(wish), applied=True, rules=RulesView(off=OFF))
        assert kinds(decide(wish, moment, HELD)) == ["EnsureRules"]
        assert decide(wish, replace(moment, rules=RulesView(off=OFF, problem="install nft")), HELD).empty

    def test_a_bridge_that_still_runs_is_looked_after(self) -> None:
        wish = desired(driver="macvlan", options={"parent": "eth0"})
        _, moment = settled(attachments=(container("web"),), rules=RulesView(off=OFF))
        plan = decide(wish, moment, HELD)
        assert (kinds(plan), reasons(plan)) == (["EnsureRules"], [("NetworkReady", "RecreateBlocked")])

    def test_an_observed_one_needs_nothing_of_the_host(self) -> None:
        there = replace(foreign("x"), driver="macvlan", options={"parent": "eth0"})
        wish = desired(managementPolicy="Observe", networkName="x")
        moment = observed(there, host=host(forwarding="0"), rules=RulesView(off={"": ("add table",)}))
        assert decide(wish, moment) == Plan("IPv6Network", "blog")
        assert reasons(decide(wish, replace(moment, networks=Networks((replace(there, ipam=()),))))) == [
            ("NetworkReady", "NoIPv6")
        ]


class TestObserve:
    WISH = desired(managementPolicy="Observe", networkName="compose_default")

    def test_a_foreign_network_gets_rules_and_nothing_else(self) -> None:
        there = foreign("compose_default")
        plan = decide(self.WISH, observed(there, rules=RulesView(off=OFF), host=host(forwarding="0")))
        assert kinds(plan) == ["SetSysctl", "EnsureRules"]
        assert plan.findings == ()

    def test_a_network_that_is_not_there_is_waited_for(self) -> None:
        assert reasons(decide(self.WISH, observed())) == [("NetworkReady", "NetworkNotFound")]

    def test_a_network_that_can_not_be_seen_is_not_said_to_be_missing(self) -> None:
        assert reasons(decide(self.WISH, observed(engine=None))) == [("NetworkReady", "EngineUnavailable")]

    def test_a_network_without_ipv6_is_told_of(self) -> None:
        there = replace(foreign("compose_default"), ipam=())
        assert reasons(decide(self.WISH, observed(there))) == [("NetworkReady", "NoIPv6")]

    def test_no_firewall_is_told_of(self) -> None:
        plan = decide(self.WISH, observed(foreign("compose_default"), rules=RulesView(problem="install nft")))
        assert (plan.empty, reasons(plan)) == (True, [("FirewallReady", "FirewallUnavailable")])


def test_the_own_network_is_known_by_its_labels_whatever_its_name() -> None:
    there = replace(live(), name="renamed")
    assert own_network(desired(), observed(foreign("blog"), there)) == there


def test_of_two_own_networks_the_one_with_the_right_name_counts() -> None:
    right, wrong = live(number=2), replace(live(), name="old")
    assert own_network(desired(), observed(wrong, right)) == right


def test_of_twins_it_is_always_the_same_one() -> None:
    twins = (live(number=2), live(number=1))
    assert own_network(desired(), observed(*twins)) == own_network(desired(), observed(*twins[::-1]))


def test_networks_are_found_by_name_and_by_resource() -> None:
    there = live()
    found = Networks((there, foreign("x")))
    assert (len(found), found.named("x"), found.named("y")) == (2, (foreign("x"),), ())
    assert found.owned(desired().identity, "blog") == (there,)


def test_the_bound_allocation_is_found_by_its_owner() -> None:
    assert Holdings((allocation(),)).bound == {"blog": allocation()}
