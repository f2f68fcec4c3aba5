"""Reconciles one IPv6Pool: observes what it has allocated and reports it. A pool changes nothing on the host."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.pool import IPv6Pool
from dockerv6.controller.context import Context
from dockerv6.controller.status import never_accepted, write_simple
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.prefixes import PrefixSet, subnet_count
from dockerv6.lib.timeformat import rfc3339
from dockerv6.planning.addressing.pools import known_prefixes, withdrawn_findings
from dockerv6.planning.plan import Finding, Plan
from dockerv6.reconciler.handler import Key, Requeue
from dockerv6.store.model import StoredObject


@dataclass(frozen=True, slots=True)
class _Usage:
    """The prefixes and subnets of a pool, and the networks that draw from it."""

    prefixes: tuple[IPv6Network, ...]
    findings: tuple[Finding, ...]
    allocated: int  # subnets in use
    cooling: int  # subnets that were released, and that other networks get later
    unallocated: tuple[str, ...]  # networks that draw from the pool and have no subnet, or not the one they ask for
    outdated: tuple[str, ...]  # those of them that have a subnet, and are to be renumbered
    overlapping: tuple[str, ...]  # other pools with the same addresses


async def reconcile(key: Key, context: Context) -> Requeue | None:
    """Count the pool's subnets, report them, and reconcile the networks that wait for one.

    Returns None: only a trigger can make a difference.
    """
    stored = context.inventory.get(POOL, key.name)
    resource = context.inventory.resource(POOL, key.name)
    if stored is None:
        return None
    if not isinstance(resource, IPv6Pool):
        await never_accepted(stored, context)
        return None

    usage = _observe(resource, context)
    plan = Plan(POOL, key.name, findings=usage.findings)
    for name in usage.unallocated:
        context.enqueue(Key(NETWORK, name), f"IPv6Pool {key.name} changed")
    await write_simple(stored, plan, _fields(resource, usage, context), _message(resource, usage), context)
    return None


async def finalize(key: Key, context: Context) -> Requeue | None:
    """Keep the pool while a subnet of it is in use."""
    stored = context.inventory.get(POOL, key.name)
    users = _users(key.name, context)
    if stored is None or not users:
        return None
    await write_simple(stored, _plan_deletion(key.name, users), {"allocated": len(users)}, "", context)
    return Requeue(context.settings.resync)


def plan_pool(stored: StoredObject, context: Context) -> Plan:
    """What `reconcile` or `finalize` finds. A pool has no steps."""
    resource = context.inventory.resource(POOL, stored.name)
    if stored.deleting_since is not None:
        return _plan_deletion(stored.name, _users(stored.name, context))
    findings = _prefixes(resource, context)[1] if isinstance(resource, IPv6Pool) else ()
    return Plan(POOL, stored.name, findings=findings)


def _users(name: str, context: Context) -> list[str]:
    """The networks that have a subnet of the pool."""
    allocations = context.inventory.holdings.allocations
    return sorted(a.owner for a in allocations if a.pool == name and a.state is AllocationState.BOUND)


def _plan_deletion(name: str, users: list[str]) -> Plan:
    """The deletion waits while networks have subnets of the pool."""
    message = f"the pool is deleted when its subnets are free; {', '.join(users)} use them"
    finding = Finding(ConditionType.READY, Reason.IN_USE, message, waits=True)
    return Plan(POOL, name, findings=(finding,) if users else ())


def _observe(pool: IPv6Pool, context: Context) -> _Usage:
    name, holdings = pool.metadata.name, context.inventory.holdings
    prefixes, findings = _prefixes(pool, context)
    mine = [a for a in holdings.allocations if a.pool == name]
    allocated = sum(1 for a in mine if a.state is AllocationState.BOUND)
    unallocated = _unallocated(name, prefixes, context)
    return _Usage(
        prefixes,
        findings,
        allocated=allocated,
        cooling=len(mine) - allocated,
        unallocated=unallocated,
        outdated=tuple(sorted(each for each in unallocated if each in holdings.bound)) if prefixes else (),
        overlapping=_overlapping(pool, prefixes, context),
    )


def _prefixes(pool: IPv6Pool, context: Context) -> tuple[tuple[IPv6Network, ...], tuple[Finding, ...]]:
    """The prefixes that the pool allocates from now, and what is wrong with them."""
    holdings = context.inventory.holdings
    known = known_prefixes(pool, holdings)
    if isinstance(known, Finding):
        return (), (replace(known, condition=ConditionType.READY),)
    gone = withdrawn_findings(pool, holdings)
    return known, tuple(replace(f, condition=ConditionType.READY, blocks=True) for f in gone)


def _unallocated(pool: str, prefixes: tuple[IPv6Network, ...], context: Context) -> tuple[str, ...]:
    """Networks that draw from the pool and have no subnet, or one that the pool no longer allocates."""
    spec = context.inventory.pools()[pool].spec
    bound = context.inventory.holdings.bound
    inside, excluded = PrefixSet(prefixes), PrefixSet(spec.exclude)

    def is_current(name: str, length: int | None) -> bool:
        held = bound.get(name)
        return (
            held is not None
            and held.pool == pool
            and held.prefix.prefixlen == (length or spec.allocation_length)
            and (spec.generates or inside.containing(held.prefix) is not None)
            and not excluded.overlaps(held.prefix)
        )

    drawing = {n: r.spec.addressing for n, r in context.inventory.networks().items() if r.spec.addressing.pool == pool}
    return tuple(name for name, asked in drawing.items() if not is_current(name, asked.prefix_length))


def _overlapping(pool: IPv6Pool, prefixes: tuple[IPv6Network, ...], context: Context) -> tuple[str, ...]:
    """Other pools that allocate from the same addresses, such as two delegated prefixes that overlap."""
    mine = PrefixSet(prefixes)
    return tuple(
        f"IPv6Pool {name}"
        for name, other in sorted(context.inventory.pools().items())
        if name != pool.metadata.name
        if any(mine.overlaps(theirs) for theirs in _prefixes(other, context)[0])
    )


def _fields(pool: IPv6Pool, usage: _Usage, context: Context) -> Mapping[str, object]:
    return {
        "prefixes": [str(p) for p in usage.prefixes],
        "allocationLength": pool.spec.allocation_length,
        "allocated": usage.allocated,
        "cooling": usage.cooling,
        "total": _total(pool, usage),
        **_tracked_prefix(pool, context),
        **({"renumbering": list(usage.outdated)} if usage.outdated else {}),
    }


def _message(pool: IPv6Pool, usage: _Usage) -> str:
    message = "its prefix is generated on first use"
    if usage.prefixes:
        message = f"{usage.allocated} of {_total(pool, usage)} /{pool.spec.allocation_length} in use"
    if usage.outdated:
        message += f"; {len(usage.outdated)} still to be renumbered: {', '.join(usage.outdated)}"
    if usage.overlapping:
        message += f"; it shares addresses with {', '.join(usage.overlapping)}: no two networks get the same subnet"
    return message


def _total(pool: IPv6Pool, usage: _Usage) -> int:
    """How many subnets the pool can allocate."""
    length = pool.spec.allocation_length
    return sum(subnet_count(p, length) for p in usage.prefixes if p.prefixlen <= length)


def _tracked_prefix(pool: IPv6Pool, context: Context) -> Mapping[str, object]:
    """The interface's prefix, for a pool that follows one."""
    source = pool.spec.from_interface
    tracked = context.inventory.holdings.tracked.get(source.name) if source is not None else None
    if tracked is None:
        return {}
    fields: dict[str, object] = {
        "interface": tracked.interface,
        "interfacePrefix": str(tracked.prefix),
        "onLink": tracked.on_link,
        "since": rfc3339(tracked.since),
    }
    if tracked.candidate is not None:
        fields["candidate"] = str(tracked.candidate)
    if tracked.former:
        fields["formerPrefixes"] = [str(each.prefix) for each in tracked.former]
    return fields
