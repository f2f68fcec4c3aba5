"""The conditions of a resource, computed once at the end of a reconcile by the rules of Flux and kstatus."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
"""The conditions that Ready of an IPv6Network depends on, in the order in which they become True."""

POLICY_DOMAIN = (ConditionType.FIREWALL_READY, ConditionType.PORTS_PUBLISHED, ConditionType.HOST_READY)
"""The conditions that Ready of an IPv6Policy depends on."""

_GOOD = {
    ConditionType.SUBNET_ALLOCATED: Reason.ALLOCATED,
    ConditionType.NETWORK_READY: Reason.IN_SYNC,
    ConditionType.FIREWALL_READY: Reason.IN_SYNC,
    ConditionType.PORTS_PUBLISHED: Reason.PUBLISHED,
    ConditionType.HOST_READY: Reason.IN_SYNC,
}


PRUNE_HELD = Finding(
    ConditionType.PRUNE_HELD,
    Reason.PRUNE_HELD,
    "its file is gone; to delete it, run `dockerv6 prune --confirm`, or else restore the file",
    blocks=False,
)
"""What is found of a resource that the prune guard keeps."""

_SHOWN = 10  # messages of one condition


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed."""

    step: Step
    reason: str  # a `Reason`
    message: str
    brief: str = ""  # the message without the words of the engine, for all conditions but the step's; "": the same

    @property
    def summary(self) -> str:
        """What the conditions say that depend on the step's."""
        return self.brief or self.message


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """What a reconcile found and did."""

    now: float  # Unix seconds
    generation: int
    plan: Plan  # what remains to be done; empty after a complete reconcile
    domain: tuple[ConditionType, ...] = NETWORK_DOMAIN
    problem: str = ""  # why the accepted version is not that of its source; "": it is
    problem_reason: str = Reason.INVALID_SPEC  # of `problem`
    failure: Failure | None = None
    retry: float | None = None  # seconds until the next try; None: only a change leads to one
    restored: tuple[str, ...] = ()  # drift that was repaired
    prune_held: bool = False  # its deletion waits for `dockerv6 prune --confirm`
    messages: Mapping[ConditionType, str] = field(default_factory=dict)  # the messages of conditions that are True


def conditions_of(before: Conditions, inputs: StatusInputs) -> Conditions:
    """The resource's conditions. Those whose status does not change keep their transition time."""
    found = [_accepted(inputs), *(_domain(type_, inputs) for type_ in inputs.domain)]
    found += _drifted(before, inputs)
    found += _abnormal(inputs)
    found += _readiness(found, inputs)
    return cond.merge(before, found)


def suspended_conditions(before: Conditions, inputs: StatusInputs, message: str) -> Conditions:
    """The previous conditions of a resource that is suspended, and therefore not observed; Ready says so."""
    ready = cond.get(before, ConditionType.READY)
    status = ready.status if ready is not None else "Unknown"
    current = [
        _accepted(inputs),
        *_abnormal(inputs),
        _make(inputs, ConditionType.READY, status, Reason.SUSPENDED, message),
    ]
    stale = {c.type for c in current} | cond.ABNORMAL_TRUE
    return cond.merge(before, [*(c for c in before if c.type not in stale), *current])


def _abnormal(inputs: StatusInputs) -> list[Condition]:
    """Conditions that are present only while they are True."""
    found = []
    if inputs.prune_held:
        found.append(_make(inputs, PRUNE_HELD.condition, "True", PRUNE_HELD.reason, PRUNE_HELD.message))
    return found


def _accepted(inputs: StatusInputs) -> Condition:
    if inputs.problem:
        return _make(inputs, ConditionType.ACCEPTED, "False", inputs.problem_reason, inputs.problem)
    finding = _finding(ConditionType.ACCEPTED, inputs.plan)
    if finding is not None:
        return _make(inputs, ConditionType.ACCEPTED, "False", finding.reason, finding.message)
    return _make(inputs, ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "the newest version is valid and in effect")


def _domain(type_: ConditionType, inputs: StatusInputs) -> Condition:
    """One domain condition: a failed step, a finding, a dependency that is not ready, or True."""
    failure = inputs.failure
    if failure is not None and failure.step.condition is type_:
        return _make(inputs, type_, "False", failure.reason, failure.message)
    finding = _finding(type_, inputs.plan)
    if finding is not None:
        status: cond.Status = "Unknown" if finding.unknown else "False"
        return _make(inputs, type_, status, finding.reason, finding.message)
    blocked = inputs.plan.blocked
    if blocked is not None:
        message = f"waits for {blocked.condition}: {blocked.message}"
        return _make(inputs, type_, "Unknown", Reason.DEPENDENCY_NOT_READY, message)
    if failure is not None and inputs.domain.index(type_) > inputs.domain.index(failure.step.condition):
        message = f"waits for {failure.step.condition}: {failure.summary}"
        return _make(inputs, type_, "Unknown", Reason.DEPENDENCY_NOT_READY, message)
    return _make(inputs, type_, "True", _GOOD[type_], inputs.messages.get(type_, "in sync"))


def _drifted(before: Conditions, inputs: StatusInputs) -> list[Condition]:
    """Changes by others: True until they are repaired, then False with what was repaired last."""
    if inputs.plan.drift:
        message = "; ".join(map(str, inputs.plan.drift))
        return [_make(inputs, ConditionType.DRIFTED, "True", Reason.RETRYING, message)]
    if inputs.restored:
        message = f"repaired: {'; '.join(inputs.restored)}"
        return [_make(inputs, ConditionType.DRIFTED, "False", Reason.RESTORED, message)]
    old = cond.get(before, ConditionType.DRIFTED)
    if old is None:
        return []
    if old.status == "False":
        return [old]
    return [_make(inputs, ConditionType.DRIFTED, "False", Reason.NO_DRIFT, "the drift has ended")]


def _readiness(found: list[Condition], inputs: StatusInputs) -> list[Condition]:
    """Ready; and if it is False, Reconciling or Stalled."""
    counts = {ConditionType.ACCEPTED, *inputs.domain}
    causes = (c for c in found if (c.type in counts and c.status == "False") or c.type == ConditionType.PRUNE_HELD)
    cause = next(causes, None)
    if cause is None and inputs.plan.obstacles:  # whose condition is Unknown, or of no domain
        first = inputs.plan.blocked or inputs.plan.obstacles[0]
        cause = _make(inputs, first.condition, "False", first.reason, first.message)
    if cause is None:
        message = inputs.messages.get(ConditionType.READY, "the resource is applied")
        return [_make(inputs, ConditionType.READY, "True", Reason.RECONCILE_SUCCEEDED, message)]
    if inputs.failure is not None and cause.type == inputs.failure.step.condition:
        cause = replace(cause, message=inputs.failure.summary)
    ready = _make(inputs, ConditionType.READY, "False", cause.reason, cause.message)
    if inputs.retry is not None or any(f.waits and f.reason == cause.reason for f in inputs.plan.obstacles):
        return [ready, _make(inputs, ConditionType.RECONCILING, "True", Reason.RETRYING, cause.message)]
    return [ready, _make(inputs, ConditionType.STALLED, "True", cause.reason, cause.message)]


def warnings_of(plan: Plan) -> list[str]:
    """The reasons of what is reported although it doesn't prevent Ready: what a person should look at."""
    return list(dict.fromkeys(str(f.reason) for f in plan.warnings))


def _finding(type_: ConditionType, plan: Plan) -> Finding | None:
    """The most severe finding for a condition: blocking before False before Unknown.

    Equally severe ones follow in its message: a host can have two problems at once.
    """
    found = sorted((f for f in plan.findings if f.condition == type_), key=_severity)
    if not found:
        return None
    messages = list(dict.fromkeys(f.message for f in found if _severity(f) == _severity(found[0])))
    more = f"; and {len(messages) - _SHOWN} more" if len(messages) > _SHOWN else ""
    return replace(found[0], message="; ".join(messages[:_SHOWN]) + more)


def _severity(finding: Finding) -> tuple[bool, bool]:
    return not finding.blocks, finding.unknown


def _make(inputs: StatusInputs, type_: str, status: cond.Status, reason: str, message: str) -> Condition:
    return Condition(type_, status, reason, message, inputs.now, inputs.generation)
