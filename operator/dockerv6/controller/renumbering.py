"""Recreates Docker networks: a limited number of a pool at a time, and rolled back if the engine refuses."""

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
from dockerv6.planning.docker.network_spec import fingerprint, network_spec, own_network
from dockerv6.planning.docker.recreation import PreviousNetwork, ipv4_taken, plan_rollback
from dockerv6.planning.inputs import SPEC_HASH, Desired, Observed
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, RememberNetwork
from dockerv6.reconciler.handler import Key
from dockerv6.store.model import StoredObject

logger = logging.getLogger(__name__)


def decide(desired: Desired, observed: Observed, context: Context) -> Plan:
    """Plan the network. A plan that recreates it counts as in flight from now on."""
    pool = desired.resource.spec.addressing.pool or ""
    others = context.recreations.others(pool, desired.name) if pool else ()
    refused, why = context.recreations.refused(desired.name)
    observed = replace(observed, in_flight=others, refused=refused, refusal=why)
    plan = plan_network(desired, observed, context.inventory.holdings)
    if any(isinstance(step, RememberNetwork) for step in plan.steps):
        context.recreations.claim(desired.name, pool)
    return plan


async def completed(name: str, context: Context) -> bool:
    """End the recreation of a network that is as it should be, or as it was, and enqueue the others of its pool.

    Returns whether it was being recreated.
    """
    pool = await context.recreations.complete(name)
    if pool is None:
        return False
    context.enqueue(
        GARBAGE, f"IPv6Network {name} was recreated"
    )  # the NDP proxy entries of the old addresses are removed
    for other, resource in context.inventory.networks().items():
        if pool and other != name and resource.spec.addressing.pool == pool:
            context.enqueue(Key(NETWORK, other), f"IPv6Network {name} was recreated")
    if pool and context.inventory.get(POOL, pool) is not None:
        context.enqueue(Key(POOL, pool), f"IPv6Network {name} was recreated")
    return True


async def roll_back(desired: Desired, stored: StoredObject, result: ConvergeResult, context: Context) -> bool:
    """Restore the previous network if the engine refused the new one, or refused to attach a container to it.

    Another network may also have taken the new subnet after the previous network was removed: then no plan creates the
    new one. What was refused is not tried again until the resource asks for another network. Other failures, such as an
    unavailable engine or a full disk, may pass: the recreation is retried.

    Returns whether the previous network is back.
    """
    cause, lost = _cause(result), _lost_subnet(desired, result)
    if cause is None and lost is None:
        return False
    previous = await context.recreations.previous(desired.name)
    made = _made(desired, result, previous) if lost is None else _intended(desired, result, context)
    if (
        previous is None
        or made is None
        or not context.recreations.may_roll_back(desired.name, context.clock.monotonic())
    ):
        return False
    observed = await observe_network(desired, stored, context)
    if cause is not None and isinstance(cause.step, CreateNetwork) and ipv4_taken(desired, observed, cause.step.spec):
        return False  # the next plan lets the engine choose another IPv4 subnet
    why = (
        f"rolled back to {previous.subnet}, because the network could not be recreated ({cause or lost});"
        " it is tried again when the resource or its pool changes, or when dockerv6 is restarted"
    )
    context.recreations.refuse(desired.name, made, why)
    try:
        way_back = plan_rollback(desired, observed, context.inventory.holdings, previous)
        await execute(way_back, context, approved=True)  # a plan file has no steps for its own failure
    except StepFailed as also:
        logger.warning("%s could not be rolled back yet: %s", desired.name, also)
        if isinstance(also.step, CreateNetwork) and _refused(also):
            context.recreations.refuse_rollback(desired.name, context.clock.monotonic())
        return False
    await context.events.warning(NETWORK, desired.name, Reason.ROLLED_BACK, why)
    await completed(desired.name, context)
    return True


def _made(desired: Desired, result: ConvergeResult, previous: PreviousNetwork | None) -> str | None:
    """The spec hash of the new network, which this plan or an earlier one was to create.

    None: the previous network is there, and the engine refuses to attach a container to it too.
    """
    spec = next((step.spec for step in result.plan.steps if isinstance(step, CreateNetwork)), None)
    if spec is not None:
        return spec.labels.get(SPEC_HASH)
    there = own_network(desired, result.observed)
    if there is None or (previous is not None and there.labels == previous.spec.labels):
        return None
    return there.labels.get(SPEC_HASH)


def _refused(failed: StepFailed) -> bool:
    if failed.reason == Reason.ENGINE_CHAINS_MISSING:  # the previous network can't be created either
        return False
    return isinstance(failed.step, CreateNetwork | AttachEndpoint) and isinstance(failed.__cause__, EngineApiError)


def _cause(result: ConvergeResult) -> StepFailed | None:
    """The refusal of the engine that ended the recreation."""
    return result.failed if result.failed is not None and _refused(result.failed) else None


def _lost_subnet(desired: Desired, result: ConvergeResult) -> str | None:
    """Why the network, which was removed, can't be created any longer: its new subnet is in use."""
    blocked = result.plan.blocked
    if result.failed is not None or blocked is None or blocked.reason != Reason.SUBNET_OVERLAP:
        return None
    return None if own_network(desired, result.observed) is not None else blocked.message


def _intended(desired: Desired, result: ConvergeResult, context: Context) -> str | None:
    """The fingerprint of the network that the blocked plan would create with the subnet that is allocated to it."""
    allocation = context.inventory.holdings.bound.get(desired.name)
    if allocation is None:
        return None
    return fingerprint(network_spec(desired.resource, allocation.prefix, desired.identity, result.observed.engine))
