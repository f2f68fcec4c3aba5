"""Removes what no resource asks for: networks, allocations, NDP proxy entries, sysctls; and everything on uninstall."""

from collections.abc import Collection
from dataclasses import replace

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import NETWORK
from dockerv6.controller.context import Context
from dockerv6.controller.endpoints import pending_attachments, recorded_members, remembered_endpoints
from dockerv6.controller.execute import SYSCTLS, execute, execute_step
from dockerv6.dockerd.model import Network
from dockerv6.dockerd.port import EngineError
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.admission import exceeds_prune_limit
from dockerv6.planning.deletion import GarbageInputs, plan_garbage, unclaimed_networks
from dockerv6.planning.host.ndp_proxy import proxying_interfaces, unclaimed_proxy_entries
from dockerv6.planning.host.sysctls import restore_steps, unneeded_sysctls
from dockerv6.planning.inputs import NAME_LABEL
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import DetachMember, RemoveNetwork, Step
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError
from dockerv6.store.model import JsonObject

PRUNE = "prune"
"""Store scope: what the prune guard holds, and what of it a person confirmed."""

HELD_RESOURCES, HELD_NETWORKS = "resources", "networks"
"""Records in that scope: resources that are gone from their sources, and Docker networks without a resource."""

CONFIRMED = {HELD_RESOURCES: "confirmed-resources", HELD_NETWORKS: "confirmed-networks"}
"""The record with the confirmed names of each."""

ENGINE_DOWN_RETRY = 30.0  # seconds until garbage is collected after the engine did not answer
HELD_RETRY = 2.0  # seconds between checks for a confirmation

_SHOWN = 5  # networks that a message names
_LOST = (
    ". The state file is new or damaged, so it is not known whether their resources were deleted or left them behind"
    " (deletionPolicy: Orphan); to keep one, write an IPv6Network of its name"
)

ORPHANS = "orphan"
"""Store scope: Docker networks, by id, that stay after their resource because it says so."""

STRAY_RETRY = 30.0  # seconds between checks for a confirmation to remove networks that were not created here

LONGEST_CREATION = 600.0
"""Seconds after which a network whose creation was not confirmed is no longer expected to appear."""

GARBAGE = Key("Host", "garbage")


async def keep_orphan(network_id: str, context: Context) -> None:
    """Keep a Docker network although its labels say that it is ours: labels can't be changed."""
    await context.store.put_record(ORPHANS, network_id, {})


async def sweep(context: Context) -> Requeue | None:
    """Observe, plan and remove garbage. Does nothing before every source has been listed once.

    Raises:
        TemporaryError: the Docker Engine does not answer.
        StepFailed: something could not be removed.
    """
    if not context.inventory.sources_listed:
        return None
    if not context.settings.prune:
        await context.problems.report("garbage", Reason.PRUNE_HELD, [])
        await record_held(HELD_NETWORKS, frozenset(), context)
        return None
    _, problem = await context.world.engine_state()
    if problem:
        message = f"no garbage collection while the Docker Engine does not answer ({problem})"
        raise TemporaryError(message, delay=ENGINE_DOWN_RETRY)
    plan = await plan_sweep(context)
    for finding in plan.findings:
        await context.events.warning("Host", "garbage", finding.reason, finding.message)
    held = plan.blocked is not None
    strays = not held and any(f.condition is ConditionType.PRUNE_HELD for f in plan.findings)
    kept = [f.message for f in plan.findings if f.condition is ConditionType.PRUNE_HELD]
    await context.problems.report("garbage", Reason.PRUNE_HELD, kept)
    if held:
        return Requeue(HELD_RETRY)
    if not strays:
        await record_held(HELD_NETWORKS, frozenset(), context)
    await context.inventory.accept_loss()
    await execute(plan, context)
    await _restore_sysctls(context)
    if not plan.empty:
        await context.firewall.repair()
    return Requeue(STRAY_RETRY) if strays else None


async def plan_sweep(context: Context) -> Plan:
    """The plan of a sweep; it is empty while the prune guard holds it."""
    if not context.inventory.sources_listed:
        return Plan("Host", "garbage")
    names = frozenset(o.name for o in context.inventory.objects if o.kind == NETWORK)
    identity, networks = context.settings.identity, context.world.known_networks
    created = await created_networks(context)
    known = GarbageInputs(names, await _orphans(context), context.inventory.pools(), await _disowned(context))
    strays = tuple(n for n in unclaimed_networks(known, identity, networks) if n.id not in created)
    if context.inventory.state_lost:  # the records are lost too: everything is held below
        strays = ()
    known = replace(known, kept=frozenset({*known.kept, *(n.id for n in strays)}))
    unclaimed = unclaimed_networks(known, identity, networks)
    ours = [n for n in networks if identity.labelled(n)]
    held = exceeds_prune_limit(len(unclaimed), len(ours)) or (bool(unclaimed) and context.inventory.state_lost)
    if held:
        await record_held(HELD_NETWORKS, frozenset(n.name for n in unclaimed), context)
    if held and not await prune_confirmed(HELD_NETWORKS, context):
        message = (
            f"{len(unclaimed)} of {len(ours)} Docker networks belong to no resource and are kept: "
            f"{_names(unclaimed)}{_LOST if context.inventory.state_lost else ''};"
            " confirm their removal with `dockerv6 prune --confirm`"
        )
        return Plan("Host", "garbage", findings=(Finding(ConditionType.PRUNE_HELD, Reason.PRUNE_HELD, message),))
    findings: tuple[Finding, ...] = ()
    if strays and not held:
        await record_held(HELD_NETWORKS, frozenset(n.name for n in strays), context)
        if await prune_confirmed(HELD_NETWORKS, context):
            known = replace(known, kept=frozenset(known.kept) - {n.id for n in strays})
            unclaimed = unclaimed_networks(known, identity, networks)
        else:
            findings = (_stray_finding(strays),)
    idle = frozenset([s.id for s in unclaimed if await _idle(s, context)])
    proxied_subnets = await context.firewall.all_proxied_subnets()
    neighbours = (
        unclaimed_proxy_entries(await context.world.host_view.get(), proxied_subnets)
        if proxied_subnets is not None
        else ()
    )
    now = context.inventory.now()
    plan = plan_garbage(known, identity, networks, idle, context.inventory.holdings, now, neighbours)
    return replace(plan, findings=(*findings, *plan.findings))


def _names(networks: Collection[Network]) -> str:
    names = sorted(n.name for n in networks)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _stray_finding(strays: tuple[Network, ...]) -> Finding:
    message = (
        f"Docker network {_names(strays)} has the labels of dockerv6, but no resource asks for it, and this"
        " installation did not create it; it is kept, without rules; remove it with `docker network rm`, or confirm its"
        " removal with `dockerv6 prune --confirm`"
    )
    return Finding(ConditionType.PRUNE_HELD, Reason.PRUNE_HELD, message, blocks=False)


async def created_networks(context: Context) -> frozenset[str]:
    """Ids of the existing Docker networks that this installation created.

    A network without a record is adopted if it has the labels and the name that a resource asks for: a former version
    created it. So is one whose creation was requested and not confirmed: the operator was killed before it wrote the
    record, or the engine reported an error and created the network nevertheless.
    """
    inventory, networks = context.inventory, context.world.known_networks
    for gone in inventory.created_networks - {n.id for n in networks}:
        await inventory.forget_created(gone)
    for network in networks:
        if network.name in inventory.unconfirmed_networks and context.settings.identity.labelled(network):
            await inventory.record_created(network.id, network.name)
    for name, requested in tuple(inventory.unconfirmed_networks.items()):
        if inventory.now() - requested > LONGEST_CREATION:
            await inventory.forget_request(name)
    for resource in inventory.networks().values():
        if not resource.observed:
            for network in networks.owned(context.settings.identity, resource, inventory.created_networks):
                await inventory.record_created(network.id, network.name)
    return inventory.created_networks


async def _disowned(context: Context) -> frozenset[str]:
    """The networks with the labels of a resource that does not use them.

    Those that neither have its name nor a record of their creation: others wrote the labels; or the state was lost
    while ``networkName`` was changed. And those that were created for it with another ``networkName``, beside the
    present one: an engine that reports an error may have created the network nevertheless.
    """
    identity, networks = context.settings.identity, context.world.known_networks
    found: set[str] = set()
    for name, resource in context.inventory.networks().items():
        if resource.observed:
            continue
        owned = networks.owned(identity, resource, context.inventory.created_networks)
        found |= {n.id for n in networks.made_for(name) if n not in owned}
        renamed = {n.id for n in owned if n.name != resource.docker_name}
        if renamed and len(renamed) < len(owned) and not await _is_recreated(name, context):
            found |= renamed
    return frozenset(found)


async def _is_recreated(name: str, context: Context) -> bool:
    """Whether a recreation is under way: then the resource itself decides about its networks."""
    previous = await context.recreations.previous(name)
    return previous is not None or bool(pending_attachments(await remembered_endpoints(context.store, name)))


async def _orphans(context: Context) -> frozenset[str]:
    """The orphans that exist; records of others are dropped."""
    live = {n.id for n in context.world.known_networks}
    kept = await context.store.records(ORPHANS)
    for gone in kept.keys() - live:
        await context.store.drop_record(ORPHANS, gone)
    return frozenset(kept.keys() & live)


async def _idle(network: Network, context: Context) -> bool:
    try:
        return not any(a.running for a in await context.world.attachments(network.id))
    except EngineError:
        return False


async def record_held(what: str, names: frozenset[str], context: Context) -> None:
    """Store what the prune guard holds, for `dockerv6 prune`. When it holds nothing, a confirmation has been used."""
    if names:
        await context.store.put_record(PRUNE, what, {"names": sorted(names)})
        return
    await context.store.drop_record(PRUNE, what)
    await context.store.drop_record(PRUNE, CONFIRMED[what])


async def prune_confirmed(what: str, context: Context) -> bool:
    """Whether a person confirmed all that is held. By name: the clock may have been set since."""
    await context.store.refresh()  # `dockerv6 prune --confirm` writes from another process
    held = _names_in(await context.store.record(PRUNE, what))
    return bool(held) and held <= _names_in(await context.store.record(PRUNE, CONFIRMED[what]))


def _names_in(record: JsonObject | None) -> frozenset[str]:
    names = (record or {}).get("names")
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


async def _restore_sysctls(context: Context) -> None:
    """Restore sysctls that no resource needs; forwarding only if no Docker network with IPv6 is left."""
    priors = {name: str(r.get("prior", "")) for name, r in (await context.store.records(SYSCTLS)).items()}
    if not priors:
        return
    resources = (*context.inventory.networks().values(), *context.inventory.policies().values())
    forwards = bool(resources) or any(n.enable_ipv6 for n in context.world.known_networks)
    proxied_subnets = await context.firewall.all_proxied_subnets()
    if proxied_subnets is None:
        return
    needed = proxying_interfaces(proxied_subnets, await context.world.host_view.get())
    unneeded = unneeded_sysctls(priors, forwards=forwards, proxying=needed)
    now = {name: await context.world.host.sysctl(name) for name in unneeded}
    await execute(Plan("Host", "garbage", restore_steps(unneeded, now)), context)
    for name in unneeded:
        await context.store.drop_record(SYSCTLS, name)


async def remove_everything(context: Context, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove our networks, rules and NDP proxy entries, and restore sysctls; returns a line for each removal.

    A network stays if it is to be kept, or if containers run on it. It works on without our rules, and keeps its
    labels, so a later installation adopts it.
    """
    removed: list[str] = []
    ours = sorted(
        (n for n in await context.world.networks() if context.settings.identity.labelled(n)), key=lambda n: n.name
    )
    created = await created_networks(context)
    for network in () if keep_networks else ours:
        if network.id not in created:
            removed.append(
                f"kept Docker network {network.name}: it has the labels of dockerv6, but this installation did not"
                f" create it; remove it with `docker network rm {shell_quoted(network.name)}`"
            )
            continue
        owner = network.labels.get(NAME_LABEL, "")
        our_members = await recorded_members(context.store, owner)
        attached = await context.world.attachments(network.id)
        running = [a.container_name for a in attached if a.running and a.container_id not in our_members]
        if running:
            removed.append(f"kept Docker network {network.name}: containers run on it ({', '.join(running)})")
            continue
        steps: list[Step] = [
            DetachMember(owner, network.id, a, "uninstall") for a in attached if a.container_id in our_members
        ]
        steps.append(RemoveNetwork(network.id, network.name, "uninstall"))
        for step in steps:
            await execute_step(step, context)
            removed.append(step.describe())
    await context.firewall.sweep()
    removed.append(f"remove the {context.firewall.backend} rules and our accept rules")
    context.world.host_changed()
    for entry in unclaimed_proxy_entries(await context.world.host_view.get(), ()):
        await execute_step(entry, context)
        removed.append(entry.describe())
    priors = {name: str(r.get("prior", "")) for name, r in (await context.store.records(SYSCTLS)).items()}
    now = {name: await context.world.host.sysctl(name) for name in priors}
    for restore in restore_steps(priors, now):
        await execute_step(restore, context)
        removed.append(restore.describe())
    return tuple(removed)
