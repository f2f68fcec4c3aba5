"""What is said of a resource at the end of a reconcile: its conditions, written once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, Conditions, ConditionType, Reason
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import Step

NETWORK_DOMAIN = (
    ConditionType.SUBNET_ALLOCATED,
    ConditionType.NETWORK_READY,
    ConditionType.FIREWALL_READY,
    ConditionType.PORTS_PUBLISHED,
    ConditionType.HOST_READY,
)
"""What an IPv6Network's readiness is made of, in the order in which it comes about."""

POLICY_DOMAIN = (ConditionType.FIREWALL_READY, ConditionType.PORTS_PUBLISHED, ConditionType.HOST_READY)
"""What an IPv6Policy's readiness is made of."""

_GOOD = {
    ConditionType.SUBNET_ALLOCATED: Reason.ALLOCATED,
    ConditionType.NETWORK_READY: Reason.IN_SYNC,
    ConditionType.FIREWALL_READY: Reason.IN_SYNC,
    ConditionType.PORTS_PUBLISHED: Reason.PUBLISHED,
    ConditionType.HOST_READY: Reason.IN_SYNC,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that could not be carried out."""

    step: Step
    reason: str  # a `Reason`
    message: str


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """What a reconcile found and did."""

    now: float  # Unix seconds
    generation: int
    plan: Plan  # what is left to be done: empty at the end of a reconcile that could do all of it
    domain: tuple[ConditionType, ...] = NETWORK_DOMAIN
    problem: str = ""  # the newest version in the source is invalid: why
    failure: Failure | None = None
    retry: float | None = None  # seconds until the next try, when there is one without a change
    restored: tuple[str, ...] = ()  # drift that was found and repaired now
    held: bool = False  # a deletion of it waits for a person's word
    messages: Mapping[ConditionType, str] = field(default_factory=dict)  # what is said of each that is good


def conditions_of(before: Conditions, verdict: StatusInputs) -> Conditions:
    """The resource's conditions, with the transition times of those whose status stays."""
    found = [_accepted(verdict), *(_domain(type_, verdict) for type_ in verdict.domain)]
    found += _drifted(before, verdict)
    found += _abnormal(verdict)
    found += _readiness(found, verdict)
    return cond.merge(before, found)


def suspended_conditions(before: Conditions, verdict: StatusInputs, message: str) -> Conditions:
    """The world was not looked at, so nothing new is known of it: what was said stays, but that it is suspended."""
    ready = cond.get(before, ConditionType.READY)
    status = ready.status if ready is not None else "Unknown"
    said = [
        _accepted(verdict),
        *_abnormal(verdict),
        _make(verdict, ConditionType.READY, status, Reason.SUSPENDED, message),
    ]
    stale = {c.type for c in said} | cond.ABNORMAL_TRUE
    return cond.merge(before, [*(c for c in before if c.type not in stale), *said])


def _abnormal(verdict: StatusInputs) -> list[Condition]:
    """What is only said while it is so."""
    found = []
    if verdict.held:
        message = "its file is gone, but so are too many others at once; confirm with `dockerv6 prune --confirm`"
        found.append(_make(verdict, ConditionType.PRUNE_HELD, "True", Reason.PRUNE_HELD, message))
    return found


def _accepted(verdict: StatusInputs) -> Condition:
    if verdict.problem:
        return _make(verdict, ConditionType.ACCEPTED, "False", Reason.INVALID_SPEC, verdict.problem)
    finding = _finding(ConditionType.ACCEPTED, verdict.plan)
    if finding is not None:
        return _make(verdict, ConditionType.ACCEPTED, "False", finding.reason, finding.message)
    return _make(verdict, ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "the newest version is valid and in force")


def _domain(type_: ConditionType, verdict: StatusInputs) -> Condition:
    """One domain condition: a failed step, a finding, something earlier that stands in the way, or all is well."""
    failure = verdict.failure
    if failure is not None and failure.step.condition is type_:
        return _make(verdict, type_, "False", failure.reason, failure.message)
    finding = _finding(type_, verdict.plan)
    if finding is not None:
        status: cond.Status = "Unknown" if finding.unknown else "False"
        return _make(verdict, type_, status, finding.reason, finding.message)
    waits_for = verdict.plan.blocked
    if waits_for is not None:
        message = f"waits for {waits_for.condition}: {waits_for.message}"
        return _make(verdict, type_, "Unknown", Reason.DEPENDENCY_NOT_READY, message)
    if failure is not None and verdict.domain.index(type_) > verdict.domain.index(failure.step.condition):
        message = f"waits for {failure.step.condition}: {failure.message}"
        return _make(verdict, type_, "Unknown", Reason.DEPENDENCY_NOT_READY, message)
    return _make(verdict, type_, "True", _GOOD[type_], verdict.messages.get(type_, "as it should be"))


def _drifted(before: Conditions, verdict: StatusInputs) -> list[Condition]:
    """What was found changed by others: True until it is repaired, then what was repaired last."""
    if verdict.plan.drift:
        message = "; ".join(verdict.plan.drift)
        return [_make(verdict, ConditionType.DRIFTED, "True", Reason.RETRYING, message)]
    if verdict.restored:
        message = f"repaired: {'; '.join(verdict.restored)}"
        return [_make(verdict, ConditionType.DRIFTED, "False", Reason.RESTORED, message)]
    old = cond.get(before, ConditionType.DRIFTED)
    if old is None:
        return []
    if old.status == "False":
        return [old]
    return [_make(verdict, ConditionType.DRIFTED, "False", Reason.NO_DRIFT, "nothing differs any more")]


def _readiness(found: list[Condition], verdict: StatusInputs) -> list[Condition]:
    """Ready, and Reconciling or Stalled beside a Ready that is False."""
    counts = {ConditionType.ACCEPTED, *verdict.domain}
    cause = next((c for c in found if c.type in counts and c.status == "False"), None)
    if cause is None and (blocked := verdict.plan.blocked) is not None:
        cause = _make(verdict, blocked.condition, "False", blocked.reason, blocked.message)
    if cause is None:
        message = verdict.messages.get(ConditionType.READY, "everything is as it was asked for")
        return [_make(verdict, ConditionType.READY, "True", Reason.RECONCILE_SUCCEEDED, message)]
    ready = _make(verdict, ConditionType.READY, "False", cause.reason, cause.message)
    if verdict.retry is not None:
        return [ready, _make(verdict, ConditionType.RECONCILING, "True", Reason.RETRYING, cause.message)]
    return [ready, _make(verdict, ConditionType.STALLED, "True", cause.reason, cause.message)]


def _finding(type_: ConditionType, plan: Plan) -> Finding | None:
    """The plan's finding about a condition: what blocks before what is wrong, and that before what is doubtful."""
    mine = [f for f in plan.findings if f.condition == type_]
    return min(mine, key=lambda f: (not f.blocks, f.unknown), default=None)


def _make(verdict: StatusInputs, type_: str, status: cond.Status, reason: str, message: str) -> Condition:
    return Condition(type_, status, reason, message, verdict.now, verdict.generation)
