"""Plan, execute, observe again, until there is nothing left to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dockerv6.controller.context import Context
from dockerv6.controller.execute import StepFailed, execute
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import Step
from dockerv6.reconciler.handler import TemporaryError

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
        drift: what differed from what was applied before, in words, when the first step was executed.
        failed: the step that failed, and why.
    """

    plan: Plan
    observed: Observed
    executed: tuple[Step, ...] = ()
    drift: tuple[str, ...] = ()
    failed: StepFailed | None = None


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

    Raises:
        TemporaryError: the host still changes after several plans.
    """
    executed: list[Step] = []
    drift: tuple[str, ...] = ()
    rounds = races = 0
    while rounds < ROUNDS and races < RACES:
        plan = decide(observed)
        if not executed:  # later differences may be of our own making: a network that a step removed is not drift
            drift = plan.drift if plan.blocked is None else ()
        if plan.empty:
            return ConvergeResult(plan, observed, tuple(executed), drift)
        try:
            await execute(plan, context)
        except StepFailed as failed:
            executed += failed.executed
            if not failed.lost_race:
                return ConvergeResult(plan, observed, tuple(executed), drift, failed)
            races += 1
        else:
            executed += plan.steps
            rounds += 1
        observed = await observe()
    raise TemporaryError("the host changes faster than it can be reconciled")


def requeue_after(plan: Plan) -> float | None:
    """Seconds until the resource is reconciled again without a trigger; None: only a trigger can help."""
    return min((f.retry for f in plan.findings if f.retry is not None), default=None)
