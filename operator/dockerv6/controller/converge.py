"""Plan, execute, observe again, until there is nothing left to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dockerv6.controller.context import Context
from dockerv6.controller.execute import StepFailed, execute
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Drift, Plan
from dockerv6.planning.steps import DetachEndpoint, RemoveNetwork, Step
from dockerv6.reconciler.handler import Key, Unsettled

ROUNDS = 5
"""Plans that one reconcile executes. One is enough, unless the host changes in the meantime."""

RACES = 10
"""Plans of one reconcile that may be overtaken by another resource or by a change of our table."""


@dataclass(frozen=True, slots=True)
class ConvergeResult:
    """What a reconcile did and what is left.

    Attributes:
        plan: empty, or the plan that ``failed`` ended.
        observed: the host when that plan was made.
        executed: the steps that were executed, of all plans.
        drift: what others had changed and is repaired now, in this run or in an earlier one that did not end.
        failed: the step that failed, and why.
    """

    plan: Plan
    observed: Observed
    executed: tuple[Step, ...] = ()
    drift: tuple[Drift, ...] = ()
    failed: StepFailed | None = None


SETTLE_PAUSE = 0.5
"""Seconds until a resource is reconciled again that keeps changing, as while many containers start."""


async def converge(
    observed: Observed,
    observe: Callable[[], Awaitable[Observed]],
    decide: Callable[[Observed], Plan],
    context: Context,
) -> ConvergeResult:
    """Execute plans until one is empty or a step fails.

    A step that lost a race (for a subnet, or because our table changed after the plan was made) is no failure: a new
    plan is made from what is there now.

    Args:
        observed: the host now.
        observe: observes the host again.
        decide: makes the plan for an observation.
        context: what the steps need.

    What others changed is reported once it is repaired. A run that does not end leaves it to the next one.

    Raises:
        Unsettled: the host still changes after several plans.
    """
    executed: list[Step] = []
    noticed: list[Drift] = []
    done: tuple[Step, ...] | None = None  # the steps of a plan that was overtaken
    rounds = races = 0
    while rounds < ROUNDS and races < RACES:
        plan = decide(observed)
        key = Key(plan.kind, plan.name)
        if rounds == races == 0:
            noticed += context.unfinished_drift.pop(key, ())
        noticed += _news(plan, noticed, done) if rounds == 0 or done is not None else plan.drift
        if plan.empty:
            repaired = tuple(each for each in noticed if each not in plan.drift)
            return ConvergeResult(plan, observed, tuple(executed), repaired)
        if not observed.chains_missing and any(isinstance(step, DetachEndpoint | RemoveNetwork) for step in plan.steps):
            await context.engine_chains.check(fresh=0.0)  # what is removed must be possible to create again
            if context.engine_chains.missing:
                races += 1
                observed = await observe()
                continue
        try:
            await execute(plan, context)
        except StepFailed as failed:
            executed += failed.executed
            if not failed.lost_race:
                context.unfinished_drift[key] = tuple(noticed)
                return ConvergeResult(plan, observed, tuple(executed), failed=failed)
            done = failed.executed
            races += 1
        else:
            executed += plan.steps
            done = None
            rounds += 1
        observed = await observe()
    context.unfinished_drift[key] = tuple(noticed)
    raise Unsettled("the host still changes", delay=SETTLE_PAUSE)


def _news(plan: Plan, noticed: list[Drift], done: tuple[Step, ...] | None) -> list[Drift]:
    """The drift that is not known yet. ``done``: our own steps, after which a removed network is no drift."""
    removed = any(isinstance(step, RemoveNetwork) for step in done or ())
    return [d for d in plan.drift if d not in noticed and not (removed and d.condition is RemoveNetwork.condition)]


def requeue_after(plan: Plan) -> float | None:
    """Seconds until the resource is reconciled again without a trigger; None: only a trigger can help."""
    return min((f.retry for f in plan.findings if f.retry is not None), default=None)
