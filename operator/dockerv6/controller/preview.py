"""Plans everything at once. Only steps that change the ledger are executed, on a copy in memory."""

from contextlib import suppress
from dataclasses import replace

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller.context import Context
from dockerv6.controller.execute import execute_step
from dockerv6.controller.garbage import plan_sweep
from dockerv6.controller.observe import desired_network, observe_host, observe_network
from dockerv6.controller.pool import plan_pool
from dockerv6.controller.prefixes import track_prefixes
from dockerv6.controller.renumbering import decide
from dockerv6.controller.sources import known_identities
from dockerv6.firewall.port import FirewallError
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.admission import PruneRules, admit_resources
from dockerv6.planning.deletion import plan_deletion
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.policy import plan_policy
from dockerv6.planning.status import PRUNE_HELD
from dockerv6.source.model import Snapshot


async def plan_everything(snapshot: Snapshot, context: Context) -> tuple[Plan, ...]:
    """The plan of every resource and of garbage, in the order of a run, without the grace period of deletions.

    The context's store and ledger must be copies: resources and allocations are written to them.
    """
    rules = PruneRules(context.settings.prune, grace=0.0)
    identities = await known_identities(context)
    now = context.inventory.now()
    admission = admit_resources(snapshot, context.inventory.objects, identities, now, rules)
    await context.inventory.write(admission.writes)
    await track_prefixes(context)
    context.inventory.sources_listed = admission.complete
    with suppress(FirewallError, HostNetError):  # the plans themselves report it
        await context.world.refresh()
        await context.firewall.observe()
        await context.firewall.follow_flows()
        await context.listening.refresh()
    plans = []
    for stored in context.inventory.objects:
        resource = context.inventory.resource(stored.kind, stored.name)
        if stored.kind != NETWORK or not isinstance(resource, NetworkResource):
            continue
        desired = desired_network(resource, context)
        observed = await observe_network(desired, stored, context)
        if stored.deleting_since is None:
            plan = decide(desired, observed, context)
        else:
            plan = plan_deletion(desired, observed, context.inventory.holdings)
        for step in plan.steps:
            if step.ledger_only:
                await execute_step(step, context)
        plans.append(plan)
    for name, policy in context.inventory.policies().items():
        observed, holdings = await observe_host(context, applied=False), context.inventory.holdings
        plans.append(plan_policy(policy, observed, context.firewall.assignment.networks.get(name, ()), holdings))
    plans += [plan_pool(stored, context) for stored in context.inventory.objects if stored.kind == POOL]
    plans.append(await plan_sweep(context))
    if ignored := tuple(context.ignored_labels() or ()):
        warning = Finding(ConditionType.ACCEPTED, Reason.LABEL_IGNORED, "", blocks=False, unknown=True)
        plans.append(Plan("Host", "labels", findings=tuple(replace(warning, message=each) for each in ignored)))
    return tuple(
        replace(p, findings=(*p.findings, PRUNE_HELD)) if f"{p.kind}/{p.name}" in admission.prune_held else p
        for p in plans
    )
