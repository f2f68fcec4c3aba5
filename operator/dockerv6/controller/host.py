"""The handlers of the host's own keys: our table and forwarding, repaired without waiting for any one resource."""

import logging

from dockerv6.controller.context import Context
from dockerv6.controller.desired_firewall import resource_of
from dockerv6.controller.execute import carry_out, execute
from dockerv6.controller.garbage import GARBAGE, sweep
from dockerv6.controller.prefixes import PREFIXES, track_prefixes
from dockerv6.firewall.port import FirewallError, FirewallUnavailable
from dockerv6.planning.describe import describe, rules_changed
from dockerv6.planning.host.sysctls import filter_steps, sysctl_steps
from dockerv6.planning.steps import Plan
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError

logger = logging.getLogger(__name__)

HOST = "Host"
FIREWALL = Key(HOST, "firewall")
FORWARDING = Key(HOST, "forwarding")


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Reconcile the part of the host that the key names. Raises `TemporaryError`."""
    if key == FIREWALL:
        await repair_firewall(context)
    elif key == FORWARDING:
        await _forwarding(context)
    elif key == PREFIXES:
        return await track_prefixes(context)
    elif key == GARBAGE:
        again = await sweep(context)
        if context.firewall.idle:
            await repair_firewall(context)
        return again
    return None


async def repair_firewall(context: Context) -> None:
    """Bring our table back to what it was. Its owners' statuses tell of it. Raises `TemporaryError`."""
    started = context.clock.monotonic()
    try:
        repair = await context.firewall.sync()
        view = await context.firewall.view()
        needed = context.firewall.wanted
        steps = filter_steps(view, wanted=needed) if needed or context.firewall.idle else ()
        for step in steps:
            await carry_out(step, context)
        await context.firewall.sweep_residues()
    except FirewallUnavailable as error:
        raise TemporaryError(str(error), delay=30) from error
    except FirewallError as error:
        raise TemporaryError(str(error)) from error
    if repair.drift:
        took = (context.clock.monotonic() - started) * 1000
        logger.warning("firewall: repaired in %.1f ms", took, extra={"changes": len(repair.change.describe())})
    found = repair.change.by_owner() if repair.drift else {}
    shared = found.pop("", ())
    for owner in sorted(context.firewall.owners if shared else found):
        _repaired(owner, rules_changed((*shared, *found.get(owner, ()))), context)
    for step in steps:
        await context.reporter.normal(HOST, FIREWALL.name, "HostFilterChanged", f"{describe(step)}: {step.reason}")


async def _forwarding(context: Context) -> None:
    """Forwarding, and accept_ra on the uplinks, while a network needs them."""
    if not context.firewall.wanted:
        return
    context.world.host_changed()
    steps = sysctl_steps(await context.world.host_view.get())
    await execute(Plan(HOST, "forwarding", steps), context)
    for name in context.inventory.networks() if steps else ():
        _repaired(name, f"{'; '.join(describe(s) for s in steps)}", context)


def _repaired(owner: str, what: str, context: Context) -> None:
    """Have the owner's next status say what was repaired for it."""
    kind, name = resource_of(owner)
    if context.inventory.get(kind, name) is None:
        return
    context.unreported_repairs[owner].append(what)
    context.enqueue(Key(kind, name), "drift was repaired")
