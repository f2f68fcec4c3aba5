"""The handlers of IPv6Pool and IPv6Policy: they change nothing in the world, but say how they are."""

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.errors import dotted
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.pending import not_yet_in_effect
from dockerv6.api.pool import IPv6Pool
from dockerv6.controller.context import Context
from dockerv6.controller.statuses import never_accepted, write_simple
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.prefixes import subnet_count
from dockerv6.planning.steps import Finding, Plan
from dockerv6.reconciler.outcome import Requeue
from dockerv6.reconciler.request import Key


async def reconcile_pool(key: Key, context: Context) -> Requeue | None:
    """Count what the pool has given out, and have those looked at again that wait for it."""
    stored = context.inventory.get(POOL, key.name)
    resource = context.inventory.resource(POOL, key.name)
    if stored is None:
        return None
    if not isinstance(resource, IPv6Pool):
        await never_accepted(stored, context)
        return None
    spec = resource.spec
    holdings = context.inventory.holdings
    kept = holdings.pool_prefixes.get(key.name)
    prefixes = (spec.prefix,) if spec.prefix else spec.prefixes or ((kept,) if kept else ())
    mine = [a for a in holdings.allocations if a.pool == key.name]
    allocated = sum(1 for a in mine if a.state is AllocationState.BOUND)
    total = sum(subnet_count(p, spec.allocation_length) for p in prefixes if p.prefixlen <= spec.allocation_length)
    findings = tuple(
        Finding(ConditionType.ACCEPTED, Reason.NOT_YET_IN_EFFECT, f"not yet in effect: {dotted(p.path)}: {p.why}")
        for p in not_yet_in_effect(resource).blocking
    )
    fields = {
        "prefixes": [str(p) for p in prefixes],
        "allocationLength": spec.allocation_length,
        "allocated": allocated,
        "cooling": len(mine) - allocated,
        "total": total,
    }
    message = (
        f"{allocated} of {total} /{spec.allocation_length} in use" if prefixes else "its prefix is made on first use"
    )
    await write_simple(stored, Plan(POOL, key.name, findings=findings), fields, message, context)
    for name in _waiting(key.name, context):
        context.enqueue(Key(NETWORK, name), f"IPv6Pool {key.name} changed")
    return None


async def finalize_pool(key: Key, context: Context) -> Requeue | None:
    """A pool stays for as long as a subnet of it is in use."""
    stored = context.inventory.get(POOL, key.name)
    users = sorted(
        a.owner
        for a in context.inventory.holdings.allocations
        if a.pool == key.name and a.state is AllocationState.BOUND
    )
    if stored is None or not users:
        return None
    finding = Finding(
        ConditionType.READY,
        Reason.IN_USE,
        f"the pool goes when its subnets are free; they are held by {', '.join(users)}",
    )
    await write_simple(stored, Plan(POOL, key.name, findings=(finding,)), {"allocated": len(users)}, "", context)
    return Requeue(context.settings.resync)


def _waiting(pool: str, context: Context) -> list[str]:
    """Networks that draw from the pool and have nothing yet, or something that it no longer has."""
    spec = context.inventory.pools()[pool].spec
    bound = context.inventory.holdings.bound

    def content(name: str, length: int | None) -> bool:
        held = bound.get(name)
        return (
            held is not None
            and held.pool == pool
            and held.prefix.prefixlen == (length or spec.allocation_length)
            and (spec.generates or any(held.prefix.subnet_of(p) for p in spec.all_prefixes))
            and not any(held.prefix.overlaps(x) for x in spec.exclude)
        )

    drawing = {n: r.spec.addressing for n, r in context.inventory.networks().items() if r.spec.addressing.pool == pool}
    return [name for name, asked in drawing.items() if not content(name, asked.prefix_length)]
