"""Plan, execute, observe again."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.api.conditions import ConditionType
from dockerv6.controller.converge import RACES, ROUNDS, ConvergeResult, converge, requeue_after
from dockerv6.controller.observe import observe_host
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.operations import AddTable
from dockerv6.firewall.ruleset import Ruleset, RulesetChange
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Drift, Finding, Plan
from dockerv6.planning.steps import BindSubnet, RemoveNetwork, SetSysctl, Step, UpdateFirewall
from dockerv6.reconciler.handler import Unsettled
from tests.world import Bench, Host

TAKEN = IPv6Network("fd00:1::/64")
FORWARD = SetSysctl(FORWARDING, "1", "0", "x")
BACK = SetSysctl(FORWARDING, "0", "1", "x")
RACE = BindSubnet("blog", "default", TAKEN, None, "x")
REMOVE = RemoveNetwork("1", "blog", "x")


def plan(*steps: Step, findings: tuple[Finding, ...] = ()) -> Plan:
    return Plan("IPv6Network", "blog", steps, findings)


NOTHING = plan()


GONE = Drift("Docker network blog was removed", ConditionType.NETWORK_READY)
FLUSHED = Drift("firewall: our table was modified", ConditionType.FIREWALL_READY)


class Rounds:
    """Plans that are decided on one after the other, each in a picture of its own."""

    def __init__(self, bench: Bench, first: Observed, plans: tuple[Plan, ...]) -> None:
        self.bench = bench
        self.pictures = [first]
        self.decided: list[Observed] = []
        self._plans = iter(plans)

    async def observe(self) -> Observed:
        self.pictures.append(replace(self.pictures[0], now=self.pictures[0].now + len(self.pictures)))
        return self.pictures[-1]

    def decide(self, seen: Observed) -> Plan:
        self.decided.append(seen)
        return next(self._plans)

    async def run(self) -> ConvergeResult:
        return await converge(self.pictures[0], self.observe, self.decide, self.bench.context)


async def rounds(*plans: Plan) -> Rounds:
    """On a host where another owner has the subnet already."""
    bench = await Host().bench()
    await bench.context.inventory.bind("other", "default", TAKEN, 0, None)
    return Rounds(bench, await observe_host(bench.context, applied=False), plans)


async def test_a_network_that_a_plan_removed_before_it_was_overtaken_is_no_drift_in_the_next_plan() -> None:
    it = await rounds(plan(REMOVE, RACE), replace(plan(BACK), drift=(GONE,)), NOTHING)
    assert (await it.run()).drift == ()


async def test_where_there_is_nothing_to_do_nothing_is_done() -> None:
    it = await rounds(NOTHING)
    assert await it.run() == ConvergeResult(NOTHING, it.pictures[0])
    assert len(it.pictures) == 1


async def test_after_a_plan_the_world_is_observed_again() -> None:
    it = await rounds(plan(FORWARD), NOTHING)
    assert await it.run() == ConvergeResult(NOTHING, it.pictures[1], (FORWARD,))
    assert await it.bench.host.net.sysctl(FORWARDING) == "1"
    assert it.decided == it.pictures


async def test_the_steps_and_the_drift_of_all_plans_are_reported() -> None:
    it = await rounds(replace(plan(FORWARD), drift=(GONE,)), replace(plan(BACK), drift=(GONE, FLUSHED)), NOTHING)
    assert await it.run() == ConvergeResult(NOTHING, it.pictures[2], (FORWARD, BACK), (GONE, GONE, FLUSHED))
    assert await it.bench.host.net.sysctl(FORWARDING) == "0"


async def test_drift_of_a_plan_that_was_overtaken_counts_once() -> None:
    it = await rounds(replace(plan(RACE), drift=(GONE,)), replace(plan(FORWARD), drift=(GONE, FLUSHED)), NOTHING)
    assert (await it.run()).drift == (GONE, FLUSHED)


async def test_drift_that_is_not_repaired_is_not_reported() -> None:
    it = await rounds(replace(NOTHING, drift=(GONE,)))
    assert (await it.run()).drift == ()
    assert it.bench.context.unfinished_drift == {}


async def test_drift_of_a_run_that_fails_is_reported_by_the_run_that_ends() -> None:
    it = await rounds(
        replace(plan(FORWARD, REMOVE), drift=(FLUSHED, GONE)), replace(plan(BACK), drift=(GONE,)), NOTHING
    )
    it.bench.host.engine.fail_next("remove_network", EngineUnavailable("gone"))
    assert (await it.run()).drift == ()
    assert (await it.run()).drift == (FLUSHED, GONE)


async def test_a_step_that_fails_ends_it() -> None:
    it = await rounds(plan(FORWARD, REMOVE, BACK))
    it.bench.host.engine.fail_next("remove_network", EngineUnavailable("gone"))
    outcome = await it.run()
    assert (outcome.plan, outcome.observed) == (plan(FORWARD, REMOVE, BACK), it.pictures[0])
    assert outcome.executed == (FORWARD,)
    assert outcome.failed is not None
    assert outcome.failed.step == REMOVE
    assert await it.bench.host.net.sysctl(FORWARDING) == "1"


async def test_after_a_lost_race_there_is_another_plan() -> None:
    it = await rounds(plan(BACK, RACE), plan(FORWARD), NOTHING)
    assert await it.run() == ConvergeResult(NOTHING, it.pictures[2], (BACK, FORWARD))


async def test_a_firewall_change_for_a_table_that_changed_is_planned_again() -> None:
    stale = RulesetChange((AddTable(),), Ruleset(exists=True), base=Ruleset(foreign=("a counter",), exists=True))
    it = await rounds(plan(UpdateFirewall("blog", stale, "x")), plan(FORWARD), NOTHING)
    assert (await it.run()).executed == (FORWARD,)
    assert it.bench.host.firewall.commits == 0


@pytest.mark.parametrize(("step", "limit"), [(FORWARD, ROUNDS), (RACE, RACES)], ids=["changes", "races"])
async def test_a_host_that_never_comes_to_rest_is_left_for_later(step: Step, limit: int) -> None:
    it = await rounds(*[plan(step)] * (limit + 1))
    with pytest.raises(Unsettled):
        await it.run()
    assert len(it.decided) == limit


async def test_drift_of_a_run_that_never_ends_is_reported_by_the_next_one() -> None:
    busy = [plan(FORWARD)] * (ROUNDS - 1)
    it = await rounds(replace(plan(FORWARD), drift=(FLUSHED,)), *busy, NOTHING)
    with pytest.raises(Unsettled):
        await it.run()
    assert (await it.run()).drift == (FLUSHED,)


def test_the_next_run_is_the_soonest_that_a_finding_asks_for() -> None:
    def finding(retry: float | None) -> Finding:
        return Finding("Ready", "X", "x", retry=retry)

    assert requeue_after(plan(findings=(finding(30), finding(None), finding(5)))) == 5
    assert requeue_after(plan(findings=(finding(None),))) is None
    assert requeue_after(NOTHING) is None
