"""The handlers of IPv6Network: observe, plan, apply, say."""

import logging
from collections.abc import Mapping

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, ConditionType, Reason
from dockerv6.api.kinds import NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.context import Context
from dockerv6.controller.converge import converge, requeue_after
from dockerv6.controller.endpoints import forget_endpoints, forget_members
from dockerv6.controller.execute import StepFailed, execute, failure_of
from dockerv6.controller.garbage import keep_orphan
from dockerv6.controller.observe import desired, observe_network
from dockerv6.controller.renumbering import completed, decide, roll_back
from dockerv6.controller.status import conditions_before, fields_before, network_status, never_accepted, write_status
from dockerv6.planning import network as planning
from dockerv6.planning.deletion import keeps_network, plan_deletion
from dockerv6.planning.describe import describe
from dockerv6.planning.docker.members import wanted_members
from dockerv6.planning.host.ndp_proxy import Spot, wanted
from dockerv6.planning.inputs import Desired, Observed
from dockerv6.planning.status import StatusInputs, conditions_of, suspended
from dockerv6.planning.steps import (
    AttachEndpoint,
    AttachMember,
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    DetachMember,
    Finding,
    Plan,
    RemoveNetwork,
    RepairBridge,
)
from dockerv6.reconciler.handler import Key, Requeue
from dockerv6.store.model import StoredObject

logger = logging.getLogger(__name__)

_TOLD: Mapping[type[object], str] = {
    BindSubnet: "SubnetAllocated",
    RemoveNetwork: "NetworkRemoved",
    CreateNetwork: "NetworkCreated",
    RepairBridge: "BridgeRepaired",
    DetachEndpoint: "EndpointDetached",
    AttachEndpoint: "EndpointAttached",
    AttachMember: "MemberAttached",
    DetachMember: "MemberDetached",
}
"""Steps that become events, by their reason."""

WAITING = frozenset({Reason.NO_ENDPOINT, Reason.ADDRESS_PENDING, Reason.NO_MEMBER})
"""What is said in the status and is no event: containers come and go."""


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Bring the resource about, and say how it is."""
    stored = context.inventory.get(NETWORK, key.name)
    resource = context.inventory.resource(NETWORK, key.name)
    if stored is None:
        return None
    if not isinstance(resource, NetworkResource):
        await never_accepted(stored, context)
        return None
    wish = desired(resource, context)
    observed = await observe_network(wish, stored, context)
    if (
        context.converged.get(key.name) == _picture(wish, stored, observed, context)
        and key.name not in context.unreported_repairs
    ):
        return None
    outcome = await converge(
        observed,
        lambda: observe_network(wish, stored, context),
        lambda seen: decide(wish, seen, context),
        context,
    )
    if outcome.failed is not None and await roll_back(wish, stored, outcome, context):
        return Requeue(0.0)  # what is there now is what was there before: the status is told of that
    first, plan, observed = outcome.first, outcome.plan, outcome.observed
    if any(f.condition == ConditionType.SUBNET_ALLOCATED for f in plan.findings):
        context.unallocated.add(key.name)
    else:
        context.unallocated.discard(key.name)
    if outcome.failed is not None:
        await _say(stored, resource, observed, plan, context, failed=outcome.failed)
        await _tell_failure(key, outcome.failed, context)
        raise failure_of(outcome.failed).error from outcome.failed
    await _tell(first, context)
    there = planning.own_network(wish, observed) is not None and not plan.blocked
    if there and await completed(key.name, context):
        why = next((f": {step.reason}" for step in first.steps if isinstance(step, CreateNetwork)), "")
        await context.reporter.normal(NETWORK, key.name, "Recreated", f"it was made anew{why}")
    await _say(stored, resource, observed, plan, context, restored=first.drift if not first.blocked else ())
    if plan.findings or plan.drift:
        context.converged.pop(key.name, None)
    else:
        context.converged[key.name] = _picture(wish, stored, observed, context)
    retry = requeue_after(plan)
    return Requeue(retry) if retry is not None else None


def _picture(wish: Desired, stored: StoredObject, observed: Observed, context: Context) -> tuple[object, ...]:
    """Everything that plan and status are made from, but the time: where nothing was to be done, nothing is now."""
    rules = observed.rules
    return (
        context.inventory.version,
        context.world.version,
        stored.problem,
        f"{NETWORK}/{stored.name}" in context.prune_held,
        observed.engine,
        observed.attachments,
        observed.remembered,
        observed.members,
        wanted_members(wish, observed.containers),
        _neighbours(stored.name, observed),
        observed.applied,
        observed.host,
        (rules.off.get("", ()), rules.off.get(stored.name, ()), rules.left_out.get(stored.name)),
        rules.outer_left_out.get(stored.name),
        (rules.problem, rules.filter, rules.backend, rules.rival),
        (rules.ports.get(stored.name, ()), rules.port_problems.get(stored.name, ())),
    )


def _neighbours(name: str, observed: Observed) -> frozenset[Spot]:
    """Whom neighbour solicitations are to be answered for."""
    mine = [answers for answers in observed.answers if answers.owner == name]
    return wanted(mine, observed.containers, observed.host) if mine else frozenset()


async def finalize(key: Key, context: Context) -> Requeue | None:
    """Take the resource out of the world; it waits, visibly, while containers are attached."""
    stored = context.inventory.get(NETWORK, key.name)
    resource = context.inventory.resource(NETWORK, key.name)
    if stored is None or not isinstance(resource, NetworkResource):
        return None
    wish = desired(resource, context)
    observed = await observe_network(wish, stored, context)
    live = planning.own_network(wish, observed)
    if live is not None and keeps_network(wish):
        await keep_orphan(live.id, context)
    plan = plan_deletion(wish, observed, context.inventory.holdings)
    if plan.findings:
        finding = plan.findings[0]
        await _say_deleting(stored, finding, context)
        return Requeue(finding.retry if finding.retry is not None else context.settings.resync)
    try:
        await execute(plan, context)
    except StepFailed as failed:
        consequence = failure_of(failed)
        if consequence.said is not None:
            waits = Finding(ConditionType.READY, consequence.said.reason, consequence.said.message)
            await _say_deleting(stored, waits, context)
        raise consequence.error from failed
    await forget_endpoints(context.store, key.name)
    await forget_members(context.store, key.name)
    await completed(key.name, context)
    context.recreations.forget(key.name)
    context.unallocated.discard(key.name)
    context.converged.pop(key.name, None)
    await context.reporter.normal(NETWORK, key.name, "Deleted", f"IPv6Network {key.name} is gone")
    return None


async def _say(
    stored: StoredObject,
    resource: NetworkResource,
    observed: Observed,
    plan: Plan,
    context: Context,
    *,
    restored: tuple[str, ...] = (),
    failed: StepFailed | None = None,
) -> None:
    """Write the status, once, at the end."""
    failure = failure_of(failed) if failed is not None else None
    status = network_status(resource, observed, context)
    elsewhere = tuple(context.unreported_repairs.pop(stored.name, ()))
    for what in elsewhere:
        await context.reporter.warning(NETWORK, stored.name, "Drifted", what)
    verdict = StatusInputs(
        now=observed.now,
        generation=stored.generation,
        plan=plan,
        problem=stored.problem,
        failure=failure.said if failure is not None else None,
        retry=failure.retry if failure is not None else requeue_after(plan),
        restored=(*restored, *elsewhere),
        held=f"{NETWORK}/{stored.name}" in context.prune_held,
        messages=status.messages,
    )
    before = conditions_before(stored)
    if resource.spec.suspend:
        after = suspended(before, verdict, plan.findings[0].message)
    else:
        after = conditions_of(before, verdict)
    await write_status(stored, after, status.fields, context)


async def _say_deleting(stored: StoredObject, finding: Finding, context: Context) -> None:
    """The tombstone waits: the status says for what."""
    now, generation = context.clock.now(), stored.generation
    ready = Condition(ConditionType.READY, "False", Reason.DELETING, finding.message, now, generation)
    waits = Condition(ConditionType.RECONCILING, "True", finding.reason, finding.message, now, generation)
    before = conditions_before(stored)
    kept = [c for c in before if c.type not in {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}]
    await write_status(stored, cond.merge(before, [*kept, ready, waits]), fields_before(stored), context)
    await context.reporter.normal(NETWORK, stored.name, finding.reason, finding.message)


async def _tell(plan: Plan, context: Context) -> None:
    """Events of what was done."""
    for what in plan.drift if plan.blocked is None else ():
        await context.reporter.warning(NETWORK, plan.name, "Drifted", what)
    for step in plan.steps:
        if (reason := _TOLD.get(type(step))) is not None:
            await context.reporter.normal(NETWORK, plan.name, reason, f"{describe(step)}: {step.reason}")
    for finding in plan.findings:
        if not finding.doubtful or finding.reason not in WAITING:
            await context.reporter.warning(NETWORK, plan.name, finding.reason, finding.message)


async def _tell_failure(key: Key, failed: StepFailed, context: Context) -> None:
    said = failure_of(failed).said
    if said is not None:
        await context.reporter.warning(key.kind, key.name, said.reason, said.message)
