"""Which subnet a resource gets, or why it gets none.

An allocation in the ledger stays. Without one, the resource gets the subnet of its own live network (the ledger was
lost), or else a free subnet of the pool.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Network
from dockerv6.ipam.block import BlockRequest, PoolExhausted, SubnetChoice, choose
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.lib.prefixes import overlaps_any
from dockerv6.planning.addressing.conflicts import RETRY, on_link_remedy, prefix_conflict
from dockerv6.planning.addressing.occupied import exhausted, few, occupied, own_addresses
from dockerv6.planning.addressing.pools import PoolView, pool_view
from dockerv6.planning.addressing.tracked_prefixes import renumbered
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import BindSubnet, ForgetSubnet, KeepPoolPrefix

_POOL_REASONS = frozenset(
    {
        Reason.POOL_DISABLED,
        Reason.POOL_EXHAUSTED,
        Reason.POOL_NOT_FOUND,
        Reason.PREFIX_PENDING,
        Reason.PREFIX_TOO_LONG,
    }
)
"""Reasons why a pool allocates nothing. A resource with a subnet keeps it nevertheless."""


@dataclass(frozen=True, slots=True)
class SubnetDecision:
    """The subnet, and the steps that allocate it."""

    prefix: IPv6Network
    steps: tuple[KeepPoolPrefix | ForgetSubnet | BindSubnet, ...] = ()
    finding: Finding | None = None  # why it stays, although the pool no longer has it; does not block
    replaces: IPv6Network | None = None  # the present subnet, if the pool's prefix changed


def choose_subnet(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None
) -> SubnetDecision | Finding:
    """The resource's subnet, or why there is none. ``live`` is its own Docker network, if it exists."""
    bound = holdings.bound.get(desired.name)
    fixed = desired.resource.spec.addressing.subnet
    if fixed is not None:
        return _fixed(desired, observed, holdings, live, bound, fixed)
    decided = _from_pool(desired, observed, holdings, live, bound)
    if isinstance(decided, Finding) and bound is not None and decided.reason in _POOL_REASONS:
        message = f"{decided.message}; until then {bound.prefix} stays in use"
        return SubnetDecision(bound.prefix, finding=replace(decided, message=message, blocks=False))
    return decided


def _fixed(
    desired: Desired,
    observed: Observed,
    holdings: Holdings,
    live: Network | None,
    bound: Allocation | None,
    fixed: IPv6Network,
) -> SubnetDecision | Finding:
    if bound is not None and bound.prefix == fixed and bound.pool == "" and live is not None:
        return SubnetDecision(fixed)
    conflict = prefix_conflict(desired, observed, holdings, fixed)
    if conflict:
        on_link = on_link_remedy(desired, observed, fixed)
        choice = f"{on_link}; or " if on_link else ""
        return _overlap(fixed, conflict, f"{choice}choose another subnet, or omit it to get a free one from a pool")
    if bound is not None and bound.prefix == fixed and bound.pool == "":
        return SubnetDecision(fixed)
    seen = bound.revision if bound else None
    expired = _expired(desired, holdings, fixed)
    return SubnetDecision(fixed, (*expired, BindSubnet(desired.name, "", fixed, seen, "spec.addressing.subnet")))


def _from_pool(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, bound: Allocation | None
) -> SubnetDecision | Finding:
    pool = pool_view(desired, observed, holdings)
    if isinstance(pool, Finding):
        return pool
    length = desired.resource.spec.addressing.prefix_length or pool.length
    if bound is not None and bound.pool == pool.name and pool.could_give(bound.prefix, length):
        return _keep_bound(desired, observed, holdings, live, bound)
    if pool.disabled:
        return Finding(
            ConditionType.SUBNET_ALLOCATED,
            Reason.POOL_DISABLED,
            f"IPv6Pool {pool.name} is disabled and allocates nothing; enable it, or set another poolRef",
        )
    adoptable = _own_live_subnet(live, pool, length, holdings, desired.name)
    if bound is not None and bound.pool == pool.name and adoptable is None:
        return _replaced(desired, observed, holdings, pool, bound, length)
    return _first(desired, observed, holdings, adoptable, pool, length)


def _first(
    desired: Desired, observed: Observed, holdings: Holdings, adopted: IPv6Network | None, pool: PoolView, length: int
) -> SubnetDecision | Finding:
    """Allocate the subnet of the resource's live network, if the ledger was lost, or a free one."""
    bound = holdings.bound.get(desired.name)
    seen = bound.revision if bound else None
    keep = (KeepPoolPrefix(pool.name, pool.prefixes[0]),) if pool.generated_now else ()
    if adopted is not None:
        return SubnetDecision(
            adopted, (*keep, BindSubnet(desired.name, pool.name, adopted, seen, "the live network has it"))
        )
    chosen = _choose(desired, observed, holdings, pool, length)
    if isinstance(chosen, Finding):
        return chosen
    forget = tuple(ForgetSubnet(a) for a in chosen.expired)
    bind = BindSubnet(desired.name, pool.name, chosen.prefix, seen, "it is free; the resource keeps it from now on")
    return SubnetDecision(chosen.prefix, (*keep, *forget, bind))


def _replaced(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, bound: Allocation, length: int
) -> SubnetDecision | Finding:
    """The pool no longer has the subnet: allocate the one with the same number in its new prefix, or a free one."""
    keep = (KeepPoolPrefix(pool.name, pool.prefixes[0]),) if pool.generated_now else ()
    moved = _renumbered(desired, observed, holdings, pool, length)
    if moved is not None:
        forget = _expired(desired, holdings, moved)
        why = f"the prefix of IPv6Pool {pool.name} changed; the subnet keeps its number"
    else:
        chosen = _choose(desired, observed, holdings, pool, length)
        if isinstance(chosen, Finding):
            return chosen
        moved, forget = chosen.prefix, tuple(ForgetSubnet(a) for a in chosen.expired)
        why = f"IPv6Pool {pool.name} no longer has {bound.prefix}"
    bind = BindSubnet(desired.name, pool.name, moved, bound.revision, why)
    return SubnetDecision(moved, (*keep, *forget, bind), replaces=bound.prefix)


def _expired(desired: Desired, holdings: Holdings, prefix: IPv6Network) -> tuple[ForgetSubnet, ...]:
    """Forget allocations of others that overlap a free prefix, and whose cooldown is over."""
    return tuple(
        ForgetSubnet(a)
        for a in holdings.allocations
        if a.state is AllocationState.COOLING and a.owner != desired.name and a.prefix.overlaps(prefix)
    )


def _renumbered(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, length: int
) -> IPv6Network | None:
    """The subnet with the same number in the pool's new prefix, if it is free."""
    bound = holdings.bound[desired.name]
    for prefix in pool.prefixes:
        if bound.prefix.prefixlen != length or prefix.prefixlen > length:
            continue
        moved = renumbered(bound.prefix, prefix)
        taken = overlaps_any(moved, own_addresses(desired, observed))
        if (
            pool.could_give(moved, length)
            and not taken
            and not prefix_conflict(desired, observed, holdings, moved, pooled=True)
        ):
            return moved
    return None


def _keep_bound(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, bound: Allocation
) -> SubnetDecision | Finding:
    """The allocation stays. It is a conflict if others use its prefix while the network does not exist."""
    conflict = "" if live is not None else prefix_conflict(desired, observed, holdings, bound.prefix, pooled=True)
    if conflict:
        return _overlap(bound.prefix, conflict, "it is allocated to this resource; remove what uses it")
    return SubnetDecision(bound.prefix)


def _choose(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, length: int
) -> SubnetChoice | Finding:
    """A free subnet of the pool."""
    chosen = choose(
        BlockRequest(
            owner=desired.name,
            pool=pool.name,
            prefixes=pool.prefixes,
            length=length,
            held=holdings.allocations,
            avoid=(*pool.exclude, *(each.prefix for each in occupied(desired, observed, pool))),
            now=observed.now,
            cooldown=pool.cooldown,
        )
    )
    if isinstance(chosen, SubnetChoice):
        return chosen
    if isinstance(chosen, PoolExhausted):
        return exhausted(desired, observed, holdings, pool, chosen)
    message = (
        f"IPv6Pool {pool.name} ({few(map(str, pool.prefixes))}) is too small for a /{length};"
        " set a longer prefixLength, or give the pool a shorter prefix"
    )
    return Finding(ConditionType.SUBNET_ALLOCATED, Reason.POOL_EXHAUSTED, message)


def _own_live_subnet(
    live: Network | None, pool: PoolView, length: int, holdings: Holdings, owner: str
) -> IPv6Network | None:
    """The subnet of our own live network, if the pool can allocate it and no other owner has it."""
    for config in live.ipv6 if live else ():
        subnet = config.subnet
        if (
            isinstance(subnet, IPv6Network)
            and pool.could_give(subnet, length)
            and not any(a.owner != owner and a.prefix.overlaps(subnet) for a in holdings.allocations)
        ):
            return subnet
    return None


def _overlap(prefix: IPv6Network, conflict: str, remedy: str) -> Finding:
    return Finding(
        ConditionType.SUBNET_ALLOCATED,
        Reason.SUBNET_OVERLAP,
        f"{prefix} overlaps {conflict}; {remedy}",
        retry=RETRY,
    )
