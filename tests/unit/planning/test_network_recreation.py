"""The recreation of a network: when it happens, in which order, and when it is not repeated."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd.model import Attachment
from dockerv6.planning.inputs import SPEC_HASH, Desired, NetworkIndex, Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, DetachEndpoint, RememberEndpoints
from tests.simulation.resources import pool
from tests.unit.planning.scene import (
    HELD,
    LACKING,
    SUBNET,
    allocation,
    container,
    decide,
    desired,
    foreign,
    holding,
    holdings,
    in_sync,
    kinds,
    live,
    observed,
    reasons,
    recreate,
    tracked,
)


class TestUpdate:
    def test_an_idle_network_is_recreated(self) -> None:
        plan = recreate("WhenIdle")
        assert kinds(plan) == ["RememberNetwork", "RemoveNetwork", "UpdateFirewall", "CreateNetwork"]
        assert str(plan.disruption) == "Recreate"

    def test_stopped_containers_are_idle_and_are_attached_again(self) -> None:
        plan = recreate("WhenIdle", container("cron", running=False))
        assert kinds(plan) == [
            "RememberNetwork",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "UpdateFirewall",
            "CreateNetwork",
            "AttachEndpoint",
        ]
        assert plan.disconnected == 0

    def test_a_busy_network_waits_and_names_its_containers(self) -> None:
        plan = recreate("WhenIdle", container("web"), container("cron", running=False))
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert "web" in plan.findings[0].message
        assert "cron" not in plan.findings[0].message

    def test_a_busy_network_keeps_its_rules_while_it_waits(self) -> None:
        plan = recreate("WhenIdle", container("web"), rules=LACKING)
        assert kinds(plan) == ["UpdateFirewall"]

    def test_a_recreation_detaches_all_containers_and_attaches_them_again(self) -> None:
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
        _, state = in_sync()
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}), state, HELD)
        assert kinds(plan) == ["RememberNetwork", "BindSubnet", "RemoveNetwork", "UpdateFirewall", "CreateNetwork"]

    def test_a_detached_container_is_attached_again_although_the_recreation_was_stopped(self) -> None:
        state = observed(live(), foreign("x"), remembered=(container("web"),))
        plan = decide(desired(addressing={"subnet": "fd99::/64"}), state, HELD)
        assert (kinds(plan), reasons(plan)) == (["AttachEndpoint"], [("SubnetAllocated", "SubnetOverlap")])

    def test_addresses_follow_to_the_new_prefix_but_for_what_is_taken_there(self) -> None:
        inside, outside = container("a", ipv6="fd00:5::7"), container("b", ipv6=str(SUBNET[5]))
        gateway = container("c", ipv6="fd00:5::1")
        _, state = in_sync(attachments=(inside, outside, gateway))
        plan = decide(desired(addressing={"subnet": "fd00:5::/64"}, updateStrategy="Recreate"), state, HELD)
        again = {s.endpoint.container_name: s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)}
        assert again["a"].static_ipv6 == IPv6Address("fd00:5::7")
        assert again["b"].static_ipv6 == IPv6Address("fd00:5::5")
        assert again["c"].static_ipv6 is None

    def test_a_container_that_an_interrupted_recreation_left_out_is_attached(self) -> None:
        there, state = in_sync(remembered=(container("web"),))
        plan = decide(desired(), state, HELD)
        assert kinds(plan) == ["AttachEndpoint"]
        assert there.name == "blog"

    def test_a_lost_ledger_is_rebuilt_even_while_a_recreation_waits(self) -> None:
        _, state = in_sync(attachments=(container("web"),))
        plan = decide(desired(labels={"team": "web"}), state)
        assert kinds(plan) == ["BindSubnet"]

    def test_a_renamed_network_is_recreated_with_its_new_name(self) -> None:
        there, state = in_sync()
        plan = decide(desired(networkName="other"), replace(state, created=frozenset({there.id})), HELD)
        assert kinds(plan) == ["RememberNetwork", "RemoveNetwork", "CreateNetwork"]

    def test_a_network_of_another_name_that_was_not_created_for_it_is_left_alone(self) -> None:
        _, state = in_sync()
        plan = decide(desired(networkName="other"), state, HELD)
        assert (plan.empty, reasons(plan)) == (True, [("SubnetAllocated", "SubnetOverlap")])


class TestRenumbering:
    """The pool's prefix changed: its networks are recreated one after another."""

    DESIRED = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Recreate")
    MOVED = IPv6Network("2001:db8:7:1::/64")

    def state(self, *attached: Attachment, **changes: object) -> Observed:
        return observed(live(self.DESIRED), applied=True, attachments=attached, **changes)

    def test_everything_is_written_down_before_the_old_network_goes_and_all_is_ready_before_the_new_one_comes(
        self,
    ) -> None:
        plan = decide(self.DESIRED, self.state(container("web")), HELD)
        assert kinds(plan) == [
            "RememberNetwork",
            "BindSubnet",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "UpdateFirewall",
            "CreateNetwork",
            "AttachEndpoint",
        ]
        assert (plan.findings, str(plan.disruption), plan.disconnected) == ((), "Disconnects", 1)

    def test_number_suffixes_and_the_engines_ipv4_subnet_stay(self) -> None:
        db = container("db", ipv6=str(SUBNET[9]))
        plan = decide(self.DESIRED, self.state(db), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        (again,) = (s for s in plan.steps if isinstance(s, AttachEndpoint))
        assert [c.subnet for c in create.spec.ipam] == [live(self.DESIRED).ipv4[0].subnet, self.MOVED]
        assert create.spec.ipam[-1].gateway == self.MOVED[1]
        assert again.endpoint.static_ipv6 == self.MOVED[9]

    def test_once_it_is_there_nothing_is_left_to_do(self) -> None:
        state = observed(live(self.DESIRED, self.MOVED), applied=True)
        assert decide(self.DESIRED, state, holdings(allocation(self.MOVED))) == Plan("IPv6Network", "blog")

    def test_running_containers_are_waited_for_and_keep_what_they_have(self) -> None:
        patient = desired(None, pool(prefix="2001:db8:7::/48"))
        plan = decide(patient, self.state(container("web")), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])
        assert f"subnet is {SUBNET}, should be {self.MOVED}" in plan.findings[0].message

    def test_a_network_that_must_not_change_keeps_its_subnet(self) -> None:
        fixed = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Never")
        plan = decide(fixed, self.state(), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "RecreateBlocked")])

    @pytest.mark.parametrize(
        ("strategy", "attached"), [("Recreate", (container("web"),)), ("WhenIdle", ())], ids=["busy", "idle"]
    )
    def test_it_waits_for_its_turn_and_names_the_others(self, strategy: str, attached: tuple[Attachment, ...]) -> None:
        want = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy=strategy)
        plan = decide(want, self.state(*attached, in_flight=("shop",)), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "Renumbering")])
        (waits,) = plan.findings
        assert f"changes from {SUBNET} to {self.MOVED}" in waits.message
        assert "shop of the same pool" in waits.message
        assert (waits.blocks, waits.unknown) == (False, False)
        assert waits.retry

    def test_a_required_action_is_reported_rather_than_the_turn(self) -> None:
        patient = desired(None, pool(prefix="2001:db8:7::/48"))
        plan = decide(patient, self.state(container("web"), in_flight=("shop",)), HELD)
        assert reasons(plan) == [("NetworkReady", "RecreateBlocked")]

    @pytest.mark.parametrize(("others", "goes"), [(0, True), (1, True), (2, False), (3, False)])
    def test_as_many_go_at_the_same_time_as_the_pool_allows(self, others: int, *, goes: bool) -> None:
        want = desired(None, pool(prefix="2001:db8:7::/48", maxUnavailable=2))
        transit = tuple(f"n{i}" for i in range(others))
        plan = decide(want, self.state(in_flight=transit), HELD)
        assert ("CreateNetwork" in kinds(plan)) is goes

    def test_while_it_waits_its_rules_and_containers_are_looked_after(self) -> None:
        state = self.state(in_flight=("shop",), remembered=(container("web"),), rules=LACKING)
        plan = decide(self.DESIRED, state, HELD)
        assert kinds(plan) == ["UpdateFirewall", "AttachEndpoint"]

    def test_a_recreation_that_was_begun_is_completed_although_another_one_is_under_way(self) -> None:
        state = self.state(container("web"), in_flight=("shop",))
        plan = decide(self.DESIRED, state, holdings(allocation(self.MOVED, revision=8)))
        assert "CreateNetwork" in kinds(plan)

    def test_an_edit_of_the_resource_itself_takes_no_turns(self) -> None:
        _, state = in_sync(in_flight=("shop",))
        assert "CreateNetwork" in kinds(decide(desired(internal=True), state, HELD))

    def test_a_removed_network_is_created_with_the_new_subnet(self) -> None:
        plan = decide(self.DESIRED, observed(applied=True, in_flight=("shop",)), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam[-1].subnet == self.MOVED

    def test_while_the_engine_is_away_nothing_is_bound(self) -> None:
        plan = decide(self.DESIRED, self.state(engine=None), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("NetworkReady", "EngineUnavailable")])

    def test_a_pool_that_can_not_give_one_leaves_the_network_as_it_is(self) -> None:
        want = desired(None, pool(prefix="2001:db8:7::/64"))
        held = holdings(allocation(), allocation("2001:db8:7::/64", "shop"))
        plan = decide(want, self.state(container("web")), held)
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("SubnetAllocated", "PoolExhausted")])

    def test_and_has_it_made_again_when_it_was_removed(self) -> None:
        want = desired(None, pool(prefix="2001:db8:7::/64"))
        held = holdings(allocation(), allocation("2001:db8:7::/64", "shop"))
        plan = decide(want, observed(applied=True, remembered=(container("web"),)), held)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam[-1].subnet == SUBNET

    def test_a_withdrawn_prefix_is_reported_and_removes_nothing(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0"}))
        gone = replace(tracked("fd12:3456:789a::/48"), withdrawn=True)
        plan = decide(want, self.state(container("web")), holding(allocation(), following=gone))
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("SubnetAllocated", "PrefixWithdrawn")])

    def test_a_new_network_of_a_pool_without_a_prefix_waits_for_it(self) -> None:
        plan = decide(desired(None, pool(fromInterface={"name": "eth0"})), observed())
        assert (plan.empty, reasons(plan)) == (True, [("SubnetAllocated", "PrefixPending")])


class TestRolledBack:
    """A specification that failed is not tried again."""

    def refused(self, want: Desired) -> Observed:
        """The state after that specification was rolled back."""
        plan = decide(want, self.state(), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        return self.state(refused=create.spec.labels[SPEC_HASH], refusal="the engine refuses")

    def state(self, **changes: object) -> Observed:
        _, state = in_sync(**changes)
        return state

    @pytest.mark.parametrize(
        "want",
        [desired(internal=True), desired(None, pool(prefix="2001:db8:7::/48"))],
        ids=["the resource's", "the pool's"],
    )
    def test_a_rolled_back_specification_is_only_reported(self, want: Desired) -> None:
        plan = decide(want, self.refused(want), HELD)
        assert (plan.empty, plan.blocked, reasons(plan)) == (True, None, [("NetworkReady", "RolledBack")])
        assert (plan.findings[0].message, plan.findings[0].retry) == ("the engine refuses", None)

    def test_another_one_is_tried(self) -> None:
        state = self.refused(desired(internal=True))
        assert "CreateNetwork" in kinds(decide(desired(internal=True, attachable=True), state, HELD))

    def test_a_rolled_back_network_is_in_sync_with_the_previous_specification(self) -> None:
        assert decide(desired(), self.refused(desired(internal=True)), HELD) == Plan("IPv6Network", "blog")

    def test_rules_and_containers_are_looked_after_all_the_same(self) -> None:
        want = desired(internal=True)
        state = replace(self.refused(want), remembered=(container("web"),), rules=LACKING)
        assert kinds(decide(want, state, HELD)) == ["UpdateFirewall", "AttachEndpoint"]

    def test_a_removed_network_is_created_as_desired(self) -> None:
        want = desired(internal=True)
        state = replace(self.refused(want), networks=NetworkIndex())
        assert "CreateNetwork" in kinds(decide(want, state, HELD))
