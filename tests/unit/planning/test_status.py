from dataclasses import replace

import pytest

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Conditions, ConditionType, Reason
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.planning.inputs import SPEC_HASH
from dockerv6.planning.plan import Drift, Finding, Plan
from dockerv6.planning.status import (
    NETWORK_DOMAIN,
    Failure,
    StatusInputs,
    conditions_of,
    suspended_conditions,
    warnings_of,
)
from dockerv6.planning.steps import CreateNetwork, RemoveNetwork, UpdateFirewall
from tests.condition_rules import check_conditions
from tests.simulation.resources import pool
from tests.unit.planning.scene import (
    NOW,
    allocation,
    decide,
    desired,
    holding,
    holdings,
    live,
    observed,
    tracked,
)

RULES = UpdateFirewall("blog", RulesetChange(), "why")
REMOVE = RemoveNetwork("1", "blog", "why")
NOTHING = Plan("IPv6Network", "blog")


def finding(condition: ConditionType, reason: Reason = Reason.SUBNET_OVERLAP, **more: object) -> Finding:
    return replace(Finding(condition, reason, "do something"), **more)  # type: ignore[arg-type]


def plan(*findings: Finding, drift: tuple[str, ...] = ()) -> Plan:
    changed = tuple(Drift(each, ConditionType.NETWORK_READY) for each in drift)
    return Plan("IPv6Network", "blog", (), findings, changed)


def say(plan: Plan = NOTHING, before: Conditions = (), **more: object) -> Conditions:
    verdict = replace(StatusInputs(NOW, 2, plan), **more)  # type: ignore[arg-type]
    found = conditions_of(before, verdict)
    check_conditions(found)
    return found


def short(found: Conditions) -> dict[str, tuple[str, str]]:
    return {str(c.type): (c.status, str(c.reason)) for c in found}


def test_what_others_end_is_waited_for_and_not_stalled() -> None:
    waits = finding(ConditionType.NETWORK_READY, Reason.NETWORK_NOT_FOUND, waits=True)
    assert {"Ready", "Reconciling"} <= short(say(plan(waits))).keys()
    assert "Stalled" not in short(say(plan(waits)))
    assert "Stalled" in short(say(plan(replace(waits, waits=False))))


def test_two_problems_of_one_condition_are_both_in_its_message() -> None:
    two = [
        replace(finding(ConditionType.HOST_READY, reason, blocks=False, unknown=True), message=message)
        for reason, message in ((Reason.MTU_MISMATCH, "set the MTU"), (Reason.NO_DEFAULT_ROUTE, "add a route"))
    ]
    found = cond.get(say(plan(*two)), ConditionType.HOST_READY)
    assert found is not None
    assert (found.status, found.reason, found.message) == ("Unknown", "MTUMismatch", "set the MTU; add a route")
    assert warnings_of(plan(*two)) == ["MTUMismatch", "NoDefaultRoute"]
    many = [replace(two[0], message=str(number)) for number in range(12)]
    found = cond.get(say(plan(*many)), ConditionType.HOST_READY)
    assert found is not None
    assert found.message.endswith("8; 9; and 2 more")


def test_all_is_well() -> None:
    assert short(say()) == {
        "Ready": ("True", "ReconcileSucceeded"),
        "Accepted": ("True", "Accepted"),
        "SubnetAllocated": ("True", "Allocated"),
        "NetworkReady": ("True", "InSync"),
        "FirewallReady": ("True", "InSync"),
        "PortsPublished": ("True", "Published"),
        "HostReady": ("True", "InSync"),
    }


def test_conditions_that_are_true_have_their_message() -> None:
    found = say(messages={ConditionType.READY: "fd00::/64 on v6-blog"})
    assert cond.get(found, "Ready").message == "fd00::/64 on v6-blog"  # type: ignore[union-attr]


def test_every_condition_has_the_generation() -> None:
    assert {c.observed_generation for c in say()} == {2}


@pytest.mark.parametrize("type_", NETWORK_DOMAIN)
def test_a_finding_that_only_a_person_can_end_stalls(type_: ConditionType) -> None:
    found = short(say(plan(finding(type_))))
    assert found[type_] == ("False", "SubnetOverlap")
    assert found["Ready"] == ("False", "SubnetOverlap")
    assert found["Stalled"] == ("True", "SubnetOverlap")
    assert {s for t, (s, _) in found.items() if t in NETWORK_DOMAIN and t != type_} == {"Unknown"}


def test_a_finding_that_may_pass_is_reconciling() -> None:
    found = short(say(plan(finding(ConditionType.NETWORK_READY, retry=5.0)), retry=5.0))
    assert found["Reconciling"] == ("True", "Retrying")
    assert "Stalled" not in found


def test_a_finding_that_does_not_block_leaves_the_others_good() -> None:
    found = short(say(plan(finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, blocks=False))))
    assert found["NetworkReady"] == ("False", "RecreateBlocked")
    assert found["FirewallReady"][0] == "True"
    assert found["Ready"] == ("False", "RecreateBlocked")


def test_an_unknown_finding_is_not_an_error() -> None:
    found = short(say(plan(finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, blocks=False, unknown=True))))
    assert found["FirewallReady"] == ("Unknown", "FirewallBlocked")
    assert found["Ready"][0] == "True"


def test_of_two_findings_the_blocking_one_is_reported() -> None:
    doubt = finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, blocks=False, unknown=True)
    block = finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_UNAVAILABLE)
    assert short(say(plan(doubt, block)))["FirewallReady"] == ("False", "FirewallUnavailable")


def test_an_unaccepted_field_is_not_accepted() -> None:
    found = short(say(plan(finding(ConditionType.ACCEPTED, Reason.NOT_YET_IN_EFFECT))))
    assert found["Accepted"] == ("False", "NotYetInEffect")
    assert found["Ready"] == ("False", "NotYetInEffect")


def test_an_invalid_newer_version_is_reported_while_the_last_good_one_is_applied() -> None:
    found = short(say(problem="spec.x: unknown field"))
    assert found["Accepted"] == ("False", "InvalidSpec")
    assert found["NetworkReady"][0] == "True"
    assert found["Ready"] == ("False", "InvalidSpec")
    assert found["Stalled"] == ("True", "InvalidSpec")


def test_a_failed_step_is_reported_in_its_condition_and_later_ones_wait() -> None:
    found = short(say(failure=Failure(RULES, Reason.APPLY_FAILED, "refused"), retry=30.0))
    assert found["FirewallReady"] == ("False", "ApplyFailed")
    assert found["HostReady"] == ("Unknown", "DependencyNotReady")
    assert found["SubnetAllocated"][0] == "True"
    assert found["Reconciling"] == ("True", "Retrying")


def test_a_failure_without_another_try_stalls() -> None:
    assert "Stalled" in short(say(failure=Failure(REMOVE, Reason.ENGINE_TOO_OLD, "too old")))


class TestRenumbering:
    MOVING = desired(None, pool(prefix="2001:db8:7::/48"), updateStrategy="Recreate")
    HELD = holdings(allocation())

    def conditions_of(self, plan: Plan) -> dict[str, tuple[str, str]]:
        retry = min((f.retry for f in plan.findings if f.retry is not None), default=None)
        return short(say(plan, retry=retry))

    def test_a_resource_that_waits_for_its_turn_is_reconciling(self) -> None:
        found = self.conditions_of(decide(self.MOVING, observed(live(), applied=True, in_flight=("shop",)), self.HELD))
        assert found["NetworkReady"] == ("False", "Renumbering")
        assert found["Reconciling"] == ("True", "Retrying")
        assert found["SubnetAllocated"][0] == "True"

    def test_what_was_rolled_back_needs_a_person(self) -> None:
        (create,) = (
            s for s in decide(self.MOVING, observed(live(), applied=True), self.HELD).steps
            if isinstance(s, CreateNetwork)
        )  # fmt: skip
        state = observed(live(), applied=True, refused=create.spec.labels[SPEC_HASH], refusal="the engine refuses")
        found = self.conditions_of(decide(self.MOVING, state, self.HELD))
        assert (found["NetworkReady"], found["Stalled"]) == (("False", "RolledBack"), ("True", "RolledBack"))

    def test_a_prefix_without_a_successor_stalls_and_leaves_the_rest_good(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0"}))
        gone = replace(tracked("fd12:3456:789a::/48"), withdrawn=True)
        found = self.conditions_of(decide(want, observed(live(), applied=True), holding(allocation(), following=gone)))
        assert found["Stalled"] == ("True", "PrefixWithdrawn")
        assert found["SubnetAllocated"] == ("False", "PrefixWithdrawn")
        assert {found[each][0] for each in ("NetworkReady", "FirewallReady", "HostReady")} == {"True"}

    def test_so_does_a_pool_that_became_too_small(self) -> None:
        small = pool(prefix="2001:db8:7::/72", allocationLength=80)
        want = desired(None, small, addressing={"prefixLength": 64})
        found = self.conditions_of(decide(want, observed(live(), applied=True), self.HELD))
        assert found["Stalled"] == ("True", "PoolExhausted")
        assert found["NetworkReady"][0] == "True"


class TestDrift:
    def drifted(self, found: Conditions) -> tuple[str, str, str] | None:
        condition = cond.get(found, "Drifted")
        return (condition.status, str(condition.reason), condition.message) if condition else None

    def test_without_drift_there_is_no_condition(self) -> None:
        assert self.drifted(say()) is None

    def test_what_is_not_repaired_is_drifted(self) -> None:
        assert self.drifted(say(plan(drift=("bridge gone",)))) == ("True", "Retrying", "bridge gone")

    def test_repairs_are_reported(self) -> None:
        assert self.drifted(say(restored=("a", "b"))) == ("False", "Restored", "repaired: a; b")

    def test_the_last_repair_stays_reported(self) -> None:
        before = say(restored=("a",))
        assert self.drifted(say(before=before)) == ("False", "Restored", "repaired: a")

    def test_drift_that_went_by_itself_is_over(self) -> None:
        before = say(plan(drift=("a",)))
        assert self.drifted(say(before=before)) == ("False", "NoDrift", "the drift has ended")


def test_a_held_prune_is_reported_while_it_is_held() -> None:
    found = say(prune_held=True)
    assert short(found)["PruneHeld"] == ("True", "PruneHeld")
    assert short(found)["Ready"] == ("False", "PruneHeld")
    assert "PruneHeld" not in short(say(before=found))


def test_a_transition_keeps_its_time_while_the_status_stays() -> None:
    before = say()
    later = say(plan(finding(ConditionType.NETWORK_READY)), before, now=NOW + 60)
    times = {str(c.type): c.last_transition_time for c in later}
    assert (times["Accepted"], times["Ready"]) == (NOW, NOW + 60)


class TestSuspended:
    def conditions_of(self, before: Conditions = (), **more: object) -> dict[str, tuple[str, str]]:
        verdict = replace(StatusInputs(NOW, 2, NOTHING), **more)  # type: ignore[arg-type]
        found = suspended_conditions(before, verdict, "it is suspended")
        check_conditions(found)
        return short(found)

    def test_what_was_never_looked_at_is_unknown(self) -> None:
        assert self.conditions_of() == {"Ready": ("Unknown", "Suspended"), "Accepted": ("True", "Accepted")}

    @pytest.mark.parametrize("before", [say(), say(plan(finding(ConditionType.NETWORK_READY)))])
    def test_what_was_known_stays(self, before: Conditions) -> None:
        after, known = self.conditions_of(before), short(before)
        assert after["Ready"] == (known["Ready"][0], "Suspended")
        assert after["NetworkReady"] == known["NetworkReady"]
        assert "Stalled" not in after

    def test_temporary_conditions_are_computed_again(self) -> None:
        assert "PruneHeld" not in self.conditions_of(say(prune_held=True))
        assert "PruneHeld" in self.conditions_of(prune_held=True)

    def test_an_invalid_version_is_reported(self) -> None:
        assert self.conditions_of(say(), problem="wrong")["Accepted"] == ("False", "InvalidSpec")
