"""Reconciles `Host/prefixes`: tracks the prefixes of the interfaces that pools and translations follow."""

import logging
from collections.abc import Iterator
from ipaddress import IPv6Network

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.controller.context import Context
from dockerv6.controller.garbage import GARBAGE
from dockerv6.firewall.port import FirewallError
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix, track_prefix
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError

logger = logging.getLogger(__name__)

PREFIXES = Key("Host", "prefixes")


def tracked_interfaces(context: Context) -> frozenset[str]:
    """The interfaces whose prefix at least one resource follows."""
    return frozenset(_pools(context).values()) | frozenset(_translations(context).values())


async def track_prefixes(context: Context) -> Requeue | None:
    """Observe the followed prefixes, store what is tracked, and reconcile the resources that use a changed one.

    Returns:
        When a candidate will have lasted long enough to replace the tracked prefix.

    Raises:
        TemporaryError: the host's prefixes can't be read.
    """
    wanted = tracked_interfaces(context)
    for interface in context.inventory.holdings.tracked.keys() - wanted:
        await context.inventory.untrack_prefix(interface)
    if not wanted:
        return None
    try:
        prefixes = await context.world.host.prefixes()
        routes = (await context.world.host_view.get()).routes
    except HostNetError as error:
        raise TemporaryError(str(error)) from error
    now = context.inventory.now()
    known = context.inventory.holdings.tracked
    again: list[float] = []
    ended: set[IPv6Network] = set()
    for interface in sorted(wanted):
        before = known.get(interface)
        after, wait = track_prefix(before, interface, prefixes, routes, now)
        if wait is not None:
            again.append(wait)
        if after is not None and after != before:
            await context.inventory.track_prefix(after)
            await _report_change(before, after, context)
            ended |= _in_use(before) - _in_use(after)
    if ended:
        await _end_flows(frozenset(ended), context)
        context.enqueue(GARBAGE, "a prefix is no longer routed")  # its NDP proxy entries are removed
    return Requeue(min(again)) if again else None


def _in_use(tracked: TrackedPrefix | None) -> frozenset[IPv6Network]:
    """The valid prefixes that flows may have been translated to."""
    return frozenset((tracked.prefix, *(f.prefix for f in tracked.former))) if tracked is not None else frozenset()


async def _end_flows(prefixes: frozenset[IPv6Network], context: Context) -> None:
    """Delete the connection tracking entries of prefixes that are no longer routed, after the rules that made them.

    A flow that continues (a tunnel over UDP) is translated to the current prefix from its next packet on.
    """
    try:
        await context.firewall.repair()
        count = await context.world.host.delete_translated_flows(prefixes)
    except (FirewallError, HostNetError) as error:
        logger.warning("flows may still be translated to %s: %s", ", ".join(map(str, sorted(prefixes))), error)
    else:
        logger.info("ended %d flows of %s", count, ", ".join(map(str, sorted(prefixes))))


async def _report_change(before: TrackedPrefix | None, after: TrackedPrefix, context: Context) -> None:
    """Reconcile the resources that use the prefix, and record an event for each."""
    event = _event(before, after)
    keys = tuple(dict.fromkeys(_users(after.interface, context)))
    for key in keys:
        context.enqueue(key, f"the prefix of {after.interface} changed")
        if event is not None:
            reason, message = event
            record = context.events.warning if after.withdrawn else context.events.normal
            await record(key.kind, key.name, reason, message)
    if event is not None:
        logger.info("%s", event[1], extra={"interface": after.interface})


def _event(before: TrackedPrefix | None, after: TrackedPrefix) -> tuple[str, str] | None:
    """Reason and message of the event; None: the change concerns only a candidate or a previous prefix."""
    interface = after.interface
    if before is None:
        return "PrefixFollowed", f"the prefix of interface {interface} is {after.prefix}"
    if before.prefix != after.prefix:
        return "PrefixChanged", f"the prefix of interface {interface} is {after.prefix} instead of {before.prefix}"
    if after.withdrawn and not before.withdrawn:
        return "PrefixWithdrawn", f"the prefix {after.prefix} of interface {interface} is gone, and there is no other"
    if before.withdrawn and not after.withdrawn:
        return "PrefixReturned", f"the prefix {after.prefix} of interface {interface} is back"
    return None


def _users(interface: str, context: Context) -> Iterator[Key]:
    """The resources that use the prefix: pools, networks that draw from them, then those that are translated to it."""
    pools = [name for name, follows in _pools(context).items() if follows == interface]
    yield from (Key(POOL, name) for name in pools)
    for name, resource in context.inventory.networks().items():
        if resource.spec.addressing.pool in pools:
            yield Key(NETWORK, name)
    yield from (key for key, follows in _translations(context).items() if follows == interface)


def _pools(context: Context) -> dict[str, str]:
    """The interface that each pool follows, by the pool's name."""
    sources = ((name, pool.spec.from_interface) for name, pool in context.inventory.pools().items())
    return {name: source.name for name, source in sources if source is not None}


def _translations(context: Context) -> dict[Key, str]:
    """The interface that each network or policy is translated to the prefix of."""
    translated = (
        *((Key(NETWORK, name), each.spec.egress) for name, each in context.inventory.networks().items()),
        *((Key(POLICY, name), each.spec.egress) for name, each in context.inventory.policies().items()),
    )
    return {key: egress.prefix_from.interface for key, egress in translated if egress.prefix_from is not None}
