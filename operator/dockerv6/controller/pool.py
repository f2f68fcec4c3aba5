"""The handlers of IPv6Pool: they change nothing in the world, but say how it is."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.pool import IPv6Pool
from dockerv6.controller.context import Context
from dockerv6.controller.status import never_accepted, write_simple
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.prefixes import subnet_count
from dockerv6.lib.times import rfc3339
from dockerv6.planning.addressing.pools import followed_prefix, withdrawn_findings
from dockerv6.planning.steps import Finding, Plan
from dockerv6.reconciler.handler import Key, Requeue


async def reconcile(key: Key, context: Context) -> Requeue | None:
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
    prefixes, findings = _prefixes(resource, context)
    mine = [a for a in holdings.allocations if a.pool == key.name]
    allocated = sum(1 for a in mine if a.state is AllocationState.BOUND)
    total = sum(subnet_count(p, spec.allocation_length) for p in prefixes if p.prefixlen <= spec.allocation_length)
    waiting = _waiting(key.name, prefixes, context)
    outdated = sorted(name for name in waiting if name in holdings.bound) if prefixes else []
    fields = {
        "prefixes": [str(p) for p in prefixes],
        "allocationLength": spec.allocation_length,
        "allocated": allocated,
        "cooling": len(mine) - allocated,
        "total": total,
        **_following(resource, context),
        **({"renumbering": outdated} if outdated else {}),
    }
    message = (
        f"{allocated} of {total} /{spec.allocation_length} in use" if prefixes else "its prefix is made on first use"
    )
    if outdated:
        message += f"; {len(outdated)} still to be renumbered: {', '.join(outdated)}"
    overlapping = _overlapping(resource, prefixes, context)
    if overlapping:
        message += f"; it shares addresses with {', '.join(overlapping)}: their subnets are kept apart"
    await write_simple(stored, Plan(POOL, key.name, findings=findings), fields, message, context)
    for name in waiting:
        context.enqueue(Key(NETWORK, name), f"IPv6Pool {key.name} changed")
    return None


def _prefixes(pool: IPv6Pool, context: Context) -> tuple[tuple[IPv6Network, ...], tuple[Finding, ...]]:
    """What the pool gives subnets out of now, and what a person should know of it."""
    holdings = context.inventory.holdings
    if pool.spec.from_interface is not None:
        followed = followed_prefix(pool, holdings)
        if isinstance(followed, Finding):
            return (), (replace(followed, condition=ConditionType.READY),)
        gone = withdrawn_findings(pool, holdings)
        return (followed,), tuple(replace(f, condition=ConditionType.READY, blocks=True) for f in gone)
    kept = holdings.pool_prefixes.get(pool.metadata.name)
    return pool.spec.all_prefixes or ((kept,) if kept else ()), ()


def _following(pool: IPv6Pool, context: Context) -> Mapping[str, object]:
    """What is known of the prefix that the pool follows."""
    source = pool.spec.from_interface
    followed = context.inventory.holdings.followed.get(source.name) if source is not None else None
    if followed is None:
        return {}
    fields: dict[str, object] = {
        "interface": followed.interface,
        "interfacePrefix": str(followed.prefix),
        "onLink": followed.on_link,
        "since": rfc3339(followed.since),
    }
    if followed.candidate is not None:
        fields["candidate"] = str(followed.candidate)
    if followed.former:
        fields["formerPrefixes"] = [str(each.prefix) for each in followed.former]
    return fields


def _overlapping(pool: IPv6Pool, prefixes: tuple[IPv6Network, ...], context: Context) -> list[str]:
    """Other pools that give out of the same addresses, such as two delegated prefixes that overlap."""
    return [
        f"IPv6Pool {name}"
        for name, other in sorted(context.inventory.pools().items())
        if name != pool.metadata.name
        if any(mine.overlaps(theirs) for mine in prefixes for theirs in _prefixes(other, context)[0])
    ]


async def finalize(key: Key, context: Context) -> Requeue | None:
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


def _waiting(pool: str, prefixes: tuple[IPv6Network, ...], context: Context) -> list[str]:
    """Networks that draw from the pool and have nothing yet, or something that it no longer has."""
    spec = context.inventory.pools()[pool].spec
    bound = context.inventory.holdings.bound

    def content(name: str, length: int | None) -> bool:
        held = bound.get(name)
        return (
            held is not None
            and held.pool == pool
            and held.prefix.prefixlen == (length or spec.allocation_length)
            and (spec.generates or any(held.prefix.subnet_of(p) for p in prefixes))
            and not any(held.prefix.overlaps(x) for x in spec.exclude)
        )

    drawing = {n: r.spec.addressing for n, r in context.inventory.networks().items() if r.spec.addressing.pool == pool}
    return [name for name, asked in drawing.items() if not content(name, asked.prefix_length)]
