"""Networks that are made anew: how many at a time, and the way back when the new one can't be had."""

import logging
from dataclasses import replace

from dockerv6.api.conditions import Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.controller.context import Context
from dockerv6.controller.converge import ConvergeResult
from dockerv6.controller.execute import StepFailed, execute
from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.observe import observe_network
from dockerv6.dockerd.port import EngineApiError
from dockerv6.planning.docker.network_spec import own_network
from dockerv6.planning.docker.recreation import PreviousNetwork, plan_rollback
from dockerv6.planning.inputs import SPEC_HASH, Desired, Observed
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, RememberNetwork
from dockerv6.reconciler.handler import Key
from dockerv6.store.model import StoredObject

logger = logging.getLogger(__name__)


def decide(wish: Desired, seen: Observed, context: Context) -> Plan:
    """The plan for what is seen; a plan that makes the network anew takes its place among those in transit at once."""
    pool = wish.resource.spec.addressing.pool or ""
    others = context.recreations.others(pool, wish.name) if pool else ()
    refused, why = context.recreations.refused(wish.name)
    seen = replace(seen, in_flight=others, refused=refused, refusal=why)
    plan = plan_network(wish, seen, context.inventory.holdings)
    if any(isinstance(step, RememberNetwork) for step in plan.steps):
        context.recreations.claim(wish.name, pool)
    return plan


async def completed(name: str, context: Context) -> bool:
    """The network is as it should be, or as it was: the others of its pool may go on. Gives whether it was away."""
    pool = await context.recreations.complete(name)
    if pool is None:
        return False
    context.enqueue(GARBAGE, f"IPv6Network {name} is done")  # nobody needs to be answered for at the old addresses
    for other, resource in context.inventory.networks().items():
        if pool and other != name and resource.spec.addressing.pool == pool:
            context.enqueue(Key(NETWORK, other), f"IPv6Network {name} is done")
    if pool and context.inventory.get(POOL, pool) is not None:
        context.enqueue(Key(POOL, pool), f"IPv6Network {name} is done")
    return True


async def roll_back(wish: Desired, stored: StoredObject, outcome: ConvergeResult, context: Context) -> bool:
    """Bring back the network that was there before, if the engine refused the new one, or somebody's way onto it.

    What the engine refuses it would refuse again, so that wish is not tried again until it is another one. Everything
    else - an engine that is gone, a full disk - may mend itself: the way forward is tried again then.

    Gives whether the world is as it was before.
    """
    failed = outcome.failed
    if failed is None or not _refused(failed):
        return False
    previous = await context.recreations.previous(wish.name)
    made = _made(wish, outcome, previous)
    if previous is None or made is None:
        return False
    why = (
        f"it was brought back as it was, with {previous.subnet}, since it could not be made anew ({failed});"
        " this is tried again when the resource or its pool changes, or dockerv6 is started again"
    )
    context.recreations.refuse(wish.name, made, why)
    observed = await observe_network(wish, stored, context)
    try:
        await execute(plan_rollback(wish, observed, context.inventory.holdings, previous), context)
    except StepFailed as also:
        logger.warning("%s could not be brought back yet: %s", wish.name, also)
        return False
    await context.events.warning(NETWORK, wish.name, Reason.ROLLED_BACK, why)
    await completed(wish.name, context)
    return True


def _made(wish: Desired, outcome: ConvergeResult, previous: PreviousNetwork | None) -> str | None:
    """The fingerprint of the new network's wish: of what was to be made, or has been made by an earlier plan.

    None: what is there is the former one, which somebody can't be attached to either.
    """
    spec = next((step.spec for step in outcome.plan.steps if isinstance(step, CreateNetwork)), None)
    if spec is not None:
        return spec.labels.get(SPEC_HASH)
    there = own_network(wish, outcome.observed)
    if there is None or (previous is not None and there.labels == previous.spec.labels):
        return None
    return there.labels.get(SPEC_HASH)


def _refused(failed: StepFailed) -> bool:
    return isinstance(failed.step, CreateNetwork | AttachEndpoint) and isinstance(failed.__cause__, EngineApiError)
