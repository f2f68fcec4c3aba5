"""`plan`, `apply`, `get` and `wait` agree on whether a resource is as it should be."""

from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import POLICY, kind_info
from dockerv6.cli.commands import plan as plan_command
from dockerv6.cli.commands import wait
from dockerv6.cli.main import main
from dockerv6.cli.printers.objects import TABLE, ResourcePrinter
from dockerv6.daemon import process
from dockerv6.daemon.preview import Preview
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.status import NETWORK_DOMAIN, POLICY_DOMAIN, StatusInputs, conditions_of, warnings_of
from dockerv6.store.model import StoredObject
from tests.golden.test_plans import PLANS
from tests.unit.cli.harness import NOW, stored

FINDINGS = st.builds(
    Finding,
    condition=st.sampled_from(NETWORK_DOMAIN),
    reason=st.sampled_from([Reason.RECREATE_BLOCKED, Reason.MTU_MISMATCH, Reason.NO_MEMBER, Reason.PORT_CONFLICT]),
    message=st.sampled_from(["stop them", "set it"]),
    blocks=st.booleans(),
    retry=st.sampled_from([None, 5.0]),
    unknown=st.booleans(),
    waits=st.booleans(),
)


def after_apply(plan: Plan) -> StoredObject:
    """The resource after the steps of its plan have been executed: what was found is still so."""
    domain = POLICY_DOMAIN if plan.kind == POLICY else NETWORK_DOMAIN
    left = replace(plan, steps=(), drift=())
    found = conditions_of((), StatusInputs(NOW, 1, left, domain))
    status = {"observedGeneration": 1, "conditions": cond.to_json(found), "warnings": warnings_of(left)}
    return stored(plan.name, plan.kind, status=status)


def verdicts(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether each command calls the resource good, by command."""
    there = after_apply(plan)
    with monkeypatch.context() as patch:
        patch.setattr("dockerv6.daemon.preview.plan_now", lambda *_: Preview((plan,), ()))
        patch.setattr(process, "apply", lambda *_: (process._result(there),))
        planned = CliRunner().invoke(main, ["plan"]).exit_code
        applied = CliRunner().invoke(main, ["apply", "--state-dir", "/nonexistent"]).exit_code
    headings, row = ResourcePrinter(TABLE, many_kinds=False).lines(kind_info(plan.kind), [there], NOW)
    return {
        "plan": planned in (plan_command.NOTHING_TO_DO, plan_command.CHANGES),
        "apply": applied == 0,
        "get": row[headings.index("READY") :].split()[0] == "True",
        "wait": wait.parse_awaited("condition=Ready").met(there),
    }


@pytest.mark.parametrize("name", PLANS)
def test_the_verdicts_on_a_golden_scenario_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(verdicts(PLANS[name], monkeypatch).values())) == 1


@given(findings=st.lists(FINDINGS, max_size=4))
def test_the_verdicts_on_any_findings_agree(findings: list[Finding]) -> None:
    plan = Plan("IPv6Network", "blog", findings=tuple(findings))
    with pytest.MonkeyPatch.context() as monkeypatch:
        good = verdicts(plan, monkeypatch)
    assert set(good.values()) == {not plan.obstacles}


@given(findings=st.lists(FINDINGS, max_size=4))
def test_every_finding_is_visible_after_an_apply(findings: list[Finding]) -> None:
    plan = Plan("IPv6Network", "blog", findings=tuple(findings))
    status = after_apply(plan).status
    shown = cond.from_json(status["conditions"])  # type: ignore[arg-type]
    assert status["warnings"] == list(dict.fromkeys(str(f.reason) for f in findings if not f.prevents_ready))
    for finding in findings:
        condition = cond.get(shown, finding.condition)
        assert condition is not None
        assert condition.status != "True"
    ready = cond.get(shown, ConditionType.READY)
    assert ready is not None
    assert (ready.status == "False") == any(f.prevents_ready for f in findings)
