"""The end of everything: what an uninstall removes, whether or not a resource asks for it."""

from dockerv6.controller.context import Context
from dockerv6.controller.execute import SYSCTLS, carry_out
from dockerv6.controller.members import members
from dockerv6.planning.describe import describe
from dockerv6.planning.host.ndp_proxy import stray_neighbours
from dockerv6.planning.host.sysctls import restore_steps
from dockerv6.planning.inputs import NAME
from dockerv6.planning.steps import DetachMember, RemoveNetwork, Step


async def remove_everything(context: Context, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove networks (unless they are kept, or containers run on them), rules, and put sysctls back.

    Networks that are kept go on without our rules; they stay labelled, so a later installation takes them up again.
    """
    removed: list[str] = []
    ours = sorted(
        (n for n in await context.world.networks() if context.settings.identity.owns(n)), key=lambda n: n.name
    )
    for network in () if keep_networks else ours:
        owner = network.labels.get(NAME, "")
        ours_too = await members(context.store, owner)
        attached = await context.world.attachments(network.id)
        running = [a.container_name for a in attached if a.running and a.container_id not in ours_too]
        if running:
            removed.append(f"kept Docker network {network.name}: containers run on it ({', '.join(running)})")
            continue
        steps: list[Step] = [
            DetachMember(owner, network.id, a, "uninstall") for a in attached if a.container_id in ours_too
        ]
        steps.append(RemoveNetwork(network.id, network.name, "uninstall"))
        for step in steps:
            await carry_out(step, context)
            removed.append(describe(step))
    await context.firewall.sweep()
    removed.append(f"remove the {context.firewall.backend} rules and our accept rules")
    context.world.host_changed()
    for stray in stray_neighbours(await context.world.host_view.get(), ()):
        await carry_out(stray, context)
        removed.append(describe(stray))
    priors = {name: str(r.get("prior", "")) for name, r in (await context.store.records(SYSCTLS)).items()}
    now = {name: await context.world.host.sysctl(name) for name in priors}
    for restore in restore_steps(priors, now):
        await carry_out(restore, context)
        removed.append(describe(restore))
    return tuple(removed)
