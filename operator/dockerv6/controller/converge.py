"""Plan, carry out, look again, until there is nothing left to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dockerv6.controller.context import Context
from dockerv6.controller.execute import StepFailed, execute
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Plan
from dockerv6.reconciler.handler import TemporaryError

ROUNDS = 3
"""Plans that one reconcile carries out: the second is empty, unless the world changed meanwhile."""


@dataclass(frozen=True, slots=True)
class ConvergeResult:
    """How far it came."""

    first: Plan  # what was done
    plan: Plan  # what is left: empty, or what ``failed`` ended
    observed: Observed
    failed: StepFailed | None = None


async def converge(
    observed: Observed,
    look: Callable[[], Awaitable[Observed]],
    decide: Callable[[Observed], Plan],
    context: Context,
) -> ConvergeResult:
    """Carry out plans until one is empty, or a step fails.

    Args:
        observed: the world now.
        look: looks at it again.
        decide: the plan for what is seen.
        context: everything that steps need.

    Raises:
        TemporaryError: the world changes faster than it can be mended.
    """
    first: Plan | None = None
    for _ in range(ROUNDS):
        plan = decide(observed)
        first = first or plan
        if plan.empty:
            return ConvergeResult(first, plan, observed)
        try:
            await execute(plan, context)
        except StepFailed as failed:
            if not failed.lost_race:
                return ConvergeResult(first, plan, observed, failed)
            first = None  # a lost race for a subnet: the winner is known now, so there is another plan
        observed = await look()
    raise TemporaryError("the world changes faster than it can be mended")


def requeue_after(plan: Plan) -> float | None:
    """When to look again without being told, in seconds."""
    return min((f.retry for f in plan.findings if f.retry is not None), default=None)
