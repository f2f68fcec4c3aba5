"""Reconciles the host's own keys: our rules, forwarding, followed prefixes and garbage."""

import logging

from dockerv6.controller.context import Context
from dockerv6.controller.execute import execute, execute_step
from dockerv6.controller.garbage import GARBAGE, sweep
from dockerv6.controller.packet_walk import FLOWS
from dockerv6.controller.prefixes import PREFIXES, track_prefixes
from dockerv6.firewall.expr import SHARED
from dockerv6.firewall.port import FirewallError, FirewallUnavailable
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.firewall.contributions import resource_of
from dockerv6.planning.firewall.rules import filter_steps, modified_table
from dockerv6.planning.host.sysctls import sysctl_steps
from dockerv6.planning.plan import Plan
from dockerv6.planning.saved_plan import StepNotApproved
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError

logger = logging.getLogger(__name__)

HOST = "Host"
FIREWALL = Key(HOST, "firewall")
HOST_FILTER = Key(HOST, "host-filter")
FORWARDING_KEY = Key(HOST, "forwarding")

_LONGEST_FIRST_PAUSE = 1.0
"""Seconds at most between two walks that statuses wait for."""

UNAVAILABLE_RETRY = 30.0
"""Seconds until a firewall backend that is not available is tried again."""


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Reconcile the part of the host that the key names. Raises `TemporaryError`."""
    if key == FIREWALL:
        await repair_firewall(context, noticed=context.clock.monotonic())
        context.enqueue(HOST_FILTER, "the rules are in place")
    elif key == HOST_FILTER:
        try:
            await reconcile_host_filter(context)
        finally:
            await follow_flows(context)
    elif key == FLOWS:
        return await _follow_new_flows(context)
    elif key == FORWARDING_KEY:
        await _enable_forwarding(context)
    elif key == PREFIXES:
        return await track_prefixes(context)
    elif key == GARBAGE:
        again = await sweep(context)
        if context.firewall.idle:
            await repair_firewall(context, noticed=context.clock.monotonic())
            context.enqueue(HOST_FILTER, "no resource needs rules")
        return again
    return None


async def repair_firewall(context: Context, *, noticed: float) -> None:
    """Bring our rules to what all resources together ask for. The engine and the host's own filter are not waited for.

    A repair of a change by others is reported in the status of each owner that it concerns.

    Args:
        context: the operator's.
        noticed: when the change was noticed, as of `Clock.monotonic`.

    Raises:
        TemporaryError: the firewall refused, or is not available.
    """
    try:
        repair = await context.firewall.repair()
    except (FirewallError, HostNetError) as error:
        raise _temporary(error) from error
    if repair.drift:
        took = context.clock.monotonic() - noticed
        context.drift.repaired(took)
        logger.warning("firewall: repaired in %.1f ms", took * 1000, extra={"changes": len(repair.change.describe())})
        owners = repair.change.owners
        for owner in sorted(context.firewall.owners if SHARED in owners else owners):
            _report_repair(owner, "rules", modified_table(repair.change.lines_for(owner)), context)


async def reconcile_host_filter(context: Context) -> None:
    """Bring our accept rules in the host's own filter to what all resources together ask for.

    Then what an earlier run left in other backends is removed. Both may wait long for a lock that other programs hold,
    or for a child process, so no repair of our rules waits for them.

    Raises:
        TemporaryError: the filter refused, is busy or is not available.
    """
    try:
        view = await context.firewall.view()
        needed = context.firewall.wanted
        steps = filter_steps(view, wanted=needed) if needed or context.firewall.idle else ()
        for step in steps:
            context.approve(str(HOST_FILTER), step)
            await execute_step(step, context)
            message = f"{step.describe()}: {step.reason}"
            await context.events.normal(HOST, FIREWALL.name, "HostFilterChanged", message)
        await context.firewall.sweep_residues()
    except (FirewallError, HostNetError, StepNotApproved) as error:
        raise _temporary(error) from error


async def _follow_new_flows(context: Context) -> Requeue | None:
    """The walk that statuses wait for. In a burst of new networks, it is made for half of the time at most.

    Raises:
        TemporaryError: as `follow_flows`.
    """
    started = context.clock.monotonic()
    if started < context.next_first_walk:
        return Requeue(context.next_first_walk - started)
    if not (await context.firewall.view()).unfollowed:  # another walk was faster
        return None
    context.world.host_changed()  # it may have the new bridges without their routes
    await follow_flows(context)
    ended = context.clock.monotonic()
    context.next_first_walk = ended + min(ended - started, _LONGEST_FIRST_PAUSE)
    return None


async def follow_flows(context: Context) -> None:
    """Follow the flows that our rules let through, through all filters of the host. Raises `TemporaryError`."""
    try:
        await context.firewall.follow_flows()
    except (FirewallError, HostNetError) as error:
        raise _temporary(error) from error


def _temporary(error: Exception) -> TemporaryError:
    return TemporaryError(str(error), delay=UNAVAILABLE_RETRY if isinstance(error, FirewallUnavailable) else None)


async def _enable_forwarding(context: Context) -> None:
    """Set forwarding, and accept_ra on the uplinks, while a network needs them."""
    if not context.firewall.wanted:
        return
    noticed = context.clock.monotonic()
    context.world.host_changed()
    steps = sysctl_steps(await context.world.host_view.get())
    if not steps:
        return
    await execute(Plan(HOST, FORWARDING_KEY.name, steps), context)
    context.drift.repaired(context.clock.monotonic() - noticed)
    for name in context.inventory.networks():
        _report_repair(name, "host", "; ".join(s.describe() for s in steps), context)


def _report_repair(owner: str, part: str, what: str, context: Context) -> None:
    """Count what was repaired for an owner, and have its next status and an event report it."""
    kind, name = resource_of(owner)
    if context.inventory.get(kind, name) is None:
        return
    context.drift.drifted(kind, part)
    context.unreported_repairs[owner].append(what)
    context.enqueue(Key(kind, name), "drift was repaired")
