"""The end of everything: what an uninstall removes, whether or not a resource asks for it."""

from dockerv6.controller.context import Context
from dockerv6.controller.execute import SYSCTLS, carry_out
from dockerv6.planning.describe import describe
from dockerv6.planning.host import restore_steps
from dockerv6.planning.steps import RemoveNetwork


async def remove_everything(context: Context, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove networks (unless they are kept, or containers run on them), rules, and put sysctls back.

    Networks that are kept go on without our rules; they stay labelled, so a later installation takes them up again.
    """
    removed: list[str] = []
    ours = sorted(
        (n for n in await context.world.networks() if context.settings.identity.owns(n)), key=lambda n: n.name
    )
    for network in () if keep_networks else ours:
        running = [a.container_name for a in await context.world.attachments(network.id) if a.running]
        if running:
            removed.append(f"kept Docker network {network.name}: containers run on it ({', '.join(running)})")
            continue
        step = RemoveNetwork(network.id, network.name, "uninstall")
        await carry_out(step, context)
        removed.append(describe(step))
    await context.firewall.sweep()
    removed.append("remove table inet dockerv6 and our accept rules")
    priors = {name: str(r.get("prior", "")) for name, r in (await context.store.records(SYSCTLS)).items()}
    now = {name: await context.world.host.sysctl(name) for name in priors}
    for restore in restore_steps(priors, now):
        await carry_out(restore, context)
        removed.append(describe(restore))
    return tuple(removed)
