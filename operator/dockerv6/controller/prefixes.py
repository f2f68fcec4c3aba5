"""The prefixes that pools and translations follow: looked at when the kernel tells, believed when they last."""

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
    """The interfaces whose prefix some resource follows."""
    return frozenset(_pools(context).values()) | frozenset(_translations(context).values())


async def track_prefixes(context: Context) -> Requeue | None:
    """Look at the prefixes that are followed, write down what is believed, and have those looked at who use them.

    Raises:
        TemporaryError: the kernel gives no answer.
    """
    wanted = tracked_interfaces(context)
    for interface in context.inventory.holdings.tracked.keys() - wanted:
        await context.inventory.untrack_prefix(interface)
    if not wanted:
        return None
    try:
        prefixes = await context.world.host.prefixes()
    except HostNetError as error:
        raise TemporaryError(str(error)) from error
    routes = (await context.world.host_view.get()).routes
    known = context.inventory.holdings.tracked
    now = context.clock.now()
    again: list[float] = []
    left: set[IPv6Network] = set()
    for interface in sorted(wanted):
        before = known.get(interface)
        after, wait = track_prefix(before, interface, prefixes, routes, now)
        if wait is not None:
            again.append(wait)
        if after is not None and after != before:
            await context.inventory.track_prefix(after)
            await _tell(before, after, context)
            left |= _in_use(before) - _in_use(after)
    if left:
        await _let_go(frozenset(left), context)
        context.enqueue(GARBAGE, "a prefix leads nowhere any more")  # nobody needs to be answered for under it
    return Requeue(min(again)) if again else None


def _in_use(tracked: TrackedPrefix | None) -> frozenset[IPv6Network]:
    """The prefixes that flows may have been translated to and that still work."""
    return frozenset((tracked.prefix, *(f.prefix for f in tracked.former))) if tracked is not None else frozenset()


async def _let_go(prefixes: frozenset[IPv6Network], context: Context) -> None:
    """End flows of prefixes that lead nowhere any more, once the rules no longer make such ones.

    What goes on (a tunnel over UDP) is translated to the present prefix from its next packet on.
    """
    try:
        await context.firewall.sync()
        count = await context.world.host.delete_translated_flows(prefixes)
    except (FirewallError, HostNetError) as error:
        logger.warning("flows may still be translated to %s: %s", ", ".join(map(str, sorted(prefixes))), error)
    else:
        logger.info("ended %d flows of %s", count, ", ".join(map(str, sorted(prefixes))))


async def _tell(before: TrackedPrefix | None, after: TrackedPrefix, context: Context) -> None:
    """Events for everybody who uses the prefix, and a look at each: a candidate alone concerns nobody."""
    said = _said(before, after)
    keys = tuple(dict.fromkeys(_users(after.interface, context)))
    for key in keys:
        context.enqueue(key, f"the prefix of {after.interface} changed")
        if said is not None:
            reason, message = said
            tell = context.events.warning if after.withdrawn else context.events.normal
            await tell(key.kind, key.name, reason, message)
    if said is not None:
        logger.info("%s", said[1], extra={"interface": after.interface})


def _said(before: TrackedPrefix | None, after: TrackedPrefix) -> tuple[str, str] | None:
    """Reason and message of the event; None: nothing that a person must know."""
    interface = after.interface
    if before is None:
        return "PrefixFollowed", f"the prefix of interface {interface} is {after.prefix}"
    if before.prefix != after.prefix:
        return "PrefixChanged", f"the prefix of interface {interface} is {after.prefix} instead of {before.prefix}"
    if after.withdrawn and not before.withdrawn:
        return "PrefixWithdrawn", f"the prefix {after.prefix} of interface {interface} is gone, and no other came"
    if before.withdrawn and not after.withdrawn:
        return "PrefixReturned", f"the prefix {after.prefix} of interface {interface} is back"
    return None


def _users(interface: str, context: Context) -> Iterator[Key]:
    """Who uses the prefix: pools, then the networks that draw from them, then who is translated to it."""
    pools = [name for name, follows in _pools(context).items() if follows == interface]
    yield from (Key(POOL, name) for name in pools)
    for name, resource in context.inventory.networks().items():
        if resource.spec.addressing.pool in pools:
            yield Key(NETWORK, name)
    yield from (key for key, follows in _translations(context).items() if follows == interface)


def _pools(context: Context) -> dict[str, str]:
    """Pools by name, and the interface that each follows."""
    sources = ((name, pool.spec.from_interface) for name, pool in context.inventory.pools().items())
    return {name: source.name for name, source in sources if source is not None}


def _translations(context: Context) -> dict[Key, str]:
    """Networks and policies that are translated to an interface's prefix, and that interface."""
    everybody = (
        *((Key(NETWORK, name), each.spec.egress) for name, each in context.inventory.networks().items()),
        *((Key(POLICY, name), each.spec.egress) for name, each in context.inventory.policies().items()),
    )
    return {key: egress.prefix_from.interface for key, egress in everybody if egress.prefix_from is not None}
