"""Reconciles one IPv6Network: observe, plan, execute, report."""

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, ConditionType, Reason
from dockerv6.api.kinds import NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.context import Context
from dockerv6.controller.converge import ConvergeResult, converge, requeue_after
from dockerv6.controller.endpoints import forget_endpoints, forget_members
from dockerv6.controller.garbage import keep_orphan
from dockerv6.controller.observe import desired_network, observe_network
from dockerv6.controller.renumbering import completed, decide, roll_back
from dockerv6.controller.status import (
    conditions_before,
    fields_before,
    network_status,
    never_accepted,
    report,
    write_status,
)
from dockerv6.planning.deletion import keeps_network, plan_deletion
from dockerv6.planning.docker.members import matching_members
from dockerv6.planning.docker.network_spec import own_network
from dockerv6.planning.host.ndp_proxy import ProxyEntry, required_entries
from dockerv6.planning.inputs import Desired, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import CreateNetwork, RemoveNetwork
from dockerv6.reconciler.handler import Key, Requeue
from dockerv6.store.model import StoredObject

WAITING = frozenset({Reason.NO_ENDPOINT, Reason.ADDRESS_PENDING, Reason.NO_MEMBER, Reason.FLOWS_NOT_FOLLOWED})
"""Findings that appear in the status but are no events: containers come and go, and packet walks follow."""


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Bring the subnet, the Docker network, its rules and its containers to what the resource asks for.

    The key is only a name: whatever the trigger was, everything is read here. A run may be interrupted at any step;
    the next one continues from what it finds.

    Returns:
        When to reconcile again without a trigger; None: only a trigger can make a difference.

    Raises:
        StepFailed: a step failed. The status reports it; the queue retries after its delay, or with backoff.
        Unsettled: the host still changes.
    """
    versions = context.inventory.version, context.world.version
    stored = context.inventory.get(NETWORK, key.name)
    resource = context.inventory.resource(NETWORK, key.name)
    if stored is None:
        return None
    if not isinstance(resource, NetworkResource):
        await never_accepted(stored, context)
        return None

    # Observe
    started = context.clock.monotonic()
    desired = desired_network(resource, context)
    observed = await observe_network(desired, stored, context)
    inputs = _inputs(desired, stored, observed, context)
    if context.converged.get(key.name) == inputs and key.name not in context.unreported_repairs:
        return None
    context.converged.pop(key.name, None)

    # Plan and execute, until a plan is empty
    result = await converge(
        observed,
        lambda: observe_network(desired, stored, context),
        lambda seen: decide(desired, seen, context),
        context,
    )
    if await roll_back(desired, stored, result, context):
        return Requeue(0.0)  # the previous network is back: the next run reports that
    plan = result.plan
    if any(f.condition == ConditionType.SUBNET_ALLOCATED for f in plan.findings):
        context.unallocated.add(key.name)
    else:
        context.unallocated.discard(key.name)

    # Report
    await _record_events(key, desired, result, context)
    facts = network_status(resource, result.observed, context)
    await report(stored, result, facts, context, owner=key.name, started=started, suspended=resource.spec.suspend)
    if result.failed is not None:
        raise result.failed
    # what changed meanwhile, such as the file, was not an input of this run
    if not plan.findings and not plan.drift and versions == (context.inventory.version, context.world.version):
        context.converged[key.name] = _inputs(desired, stored, result.observed, context)
    retry = requeue_after(plan)
    return Requeue(retry) if retry is not None else None


async def finalize(key: Key, context: Context) -> Requeue | None:
    """Remove everything that the resource asked for. It waits, and its status says so, while containers are attached.

    Raises:
        StepFailed: as `reconcile`.
    """
    stored = context.inventory.get(NETWORK, key.name)
    resource = context.inventory.resource(NETWORK, key.name)
    if stored is None or not isinstance(resource, NetworkResource):
        return None

    # Observe
    desired = desired_network(resource, context)
    observed = await observe_network(desired, stored, context)
    live = own_network(desired, observed)
    if live is not None and keeps_network(desired) and not desired.suspended:
        await keep_orphan(live.id, context)

    # Plan and execute
    result = await converge(
        observed,
        lambda: observe_network(desired, stored, context),
        lambda seen: plan_deletion(desired, seen, context.inventory.holdings),
        context,
    )
    if result.failed is not None:
        finding = Finding(ConditionType.READY, result.failed.reason, str(result.failed))
        await _report_deleting(stored, finding, context)
        raise result.failed
    if result.plan.findings:
        finding = result.plan.findings[0]
        await _report_deleting(stored, finding, context)
        return Requeue(finding.retry if finding.retry is not None else context.settings.resync)

    # Forget
    await forget_endpoints(context.store, key.name)
    await forget_members(context.store, key.name)
    await completed(key.name, context)
    context.recreations.forget(key.name)
    context.unallocated.discard(key.name)
    context.converged.pop(key.name, None)
    context.unreported_repairs.pop(key.name, None)
    await context.events.normal(NETWORK, key.name, "Deleted", f"IPv6Network {key.name} is deleted")
    return None


def _inputs(desired: Desired, stored: StoredObject, observed: Observed, context: Context) -> tuple[object, ...]:
    """Everything that the plan and the status are computed from, except the time.

    Where a run with equal inputs had nothing to do and nothing to report, another one has neither.
    """
    rules = observed.rules
    return (
        context.inventory.version,
        context.world.version,
        (stored.problem, stored.problem_reason),
        f"{NETWORK}/{stored.name}" in context.prune_held,
        observed.engine,
        observed.attachments,
        observed.remembered,
        observed.members,
        matching_members(desired, observed.containers),
        _proxy_entries(stored.name, observed),
        observed.applied,
        (observed.chains_missing, observed.chains_problem, observed.ipv4_only),
        observed.host,
        (rules.pending_changes(stored.name), rules.overlapping.get(stored.name)),
        rules.shared_networks.get(stored.name),
        rules.refused.get(stored.name),
        (rules.untranslated.get(stored.name), rules.flow_problems.get(stored.name), stored.name in rules.unfollowed),
        (rules.problem, rules.filter, rules.filter_problem, rules.filter_read, rules.backend, rules.rival),
        (rules.ports.get(stored.name, ()), rules.port_problems.get(stored.name, ())),
    )


def _proxy_entries(name: str, observed: Observed) -> frozenset[ProxyEntry]:
    """The NDP proxy entries that the network asks for."""
    mine = [proxied_subnets for proxied_subnets in observed.proxied_subnets if proxied_subnets.owner == name]
    return required_entries(mine, observed.containers, observed.host) if mine else frozenset()


async def _record_events(key: Key, desired: Desired, result: ConvergeResult, context: Context) -> None:
    """Record what was found and done, or the step that failed."""
    for step in result.executed:
        if step.event is not None:
            await context.events.normal(NETWORK, key.name, step.event, f"{step.describe()}: {step.reason}")
    if result.failed is not None:
        await context.events.warning(NETWORK, key.name, result.failed.reason, str(result.failed))
        return
    for finding in result.plan.findings:
        if finding.reason == Reason.SUSPENDED:
            await context.events.normal(NETWORK, key.name, finding.reason, finding.message)
        elif not finding.unknown or finding.reason not in WAITING:
            await context.events.warning(NETWORK, key.name, finding.reason, finding.message)
    there = own_network(desired, result.observed) is not None and not result.plan.blocked
    if there and await completed(key.name, context):
        recreation = (step for step in result.executed if isinstance(step, RemoveNetwork | CreateNetwork))
        why = next((f": {step.reason}" for step in recreation), "")
        await context.events.normal(NETWORK, key.name, "Recreated", f"the Docker network was created again{why}")


async def _report_deleting(stored: StoredObject, finding: Finding, context: Context) -> None:
    """Write to the status of a tombstone what its deletion waits for."""
    now, generation = context.clock.now(), stored.generation
    ready = Condition(ConditionType.READY, "False", Reason.DELETING, finding.message, now, generation)
    waits = Condition(ConditionType.RECONCILING, "True", finding.reason, finding.message, now, generation)
    before = conditions_before(stored)
    kept = [c for c in before if c.type not in {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}]
    await write_status(stored, cond.merge(before, [*kept, ready, waits]), fields_before(stored), context)
    await context.events.normal(NETWORK, stored.name, finding.reason, finding.message)
