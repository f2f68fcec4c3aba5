"""Which subnet a resource gets, and what stands in its way.

An allocation is sticky: what the ledger says stays, whatever else happens. Without one, the subnet of our own live
network is taken up again (the ledger was lost), else a free block of the pool is chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Network
from dockerv6.ipam.block import BlockRequest, PoolExhausted, SubnetChoice, choose
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.lib.prefixes import overlaps_any
from dockerv6.lib.timeformat import rfc3339
from dockerv6.planning.addressing.conflicts import RETRY, foreign_routes, foreign_subnets, own_bridges, prefix_conflict
from dockerv6.planning.addressing.pools import PoolView, pool_view
from dockerv6.planning.addressing.tracked_prefixes import renumbered
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import BindSubnet, ForgetSubnet, KeepPoolPrefix

_POOLS_OWN = frozenset(
    {
        Reason.POOL_DISABLED,
        Reason.POOL_EXHAUSTED,
        Reason.POOL_NOT_FOUND,
        Reason.PREFIX_PENDING,
        Reason.PREFIX_TOO_LONG,
    }
)
"""Why a pool gives nothing: that takes nothing away from who has a subnet."""


@dataclass(frozen=True, slots=True)
class SubnetDecision:
    """The decision: the prefix, and the ledger's steps that make it the resource's own."""

    prefix: IPv6Network
    steps: tuple[KeepPoolPrefix | ForgetSubnet | BindSubnet, ...] = ()
    finding: Finding | None = None  # why it is no other, although the pool no longer has it; blocks nothing
    replaces: IPv6Network | None = None  # the pool's prefix is another one: what the resource has had until now


def choose_subnet(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None
) -> SubnetDecision | Finding:
    """The resource's subnet, or why there is none. ``live`` is its own Docker network, where there is one."""
    bound = holdings.bound.get(desired.name)
    fixed = desired.resource.spec.addressing.subnet
    if fixed is not None:
        return _fixed(desired, observed, holdings, live, bound, fixed)
    decided = _from_pool(desired, observed, holdings, live, bound)
    if isinstance(decided, Finding) and bound is not None and decided.reason in _POOLS_OWN:
        said = f"{decided.message}; until then {bound.prefix} stays in use"
        return SubnetDecision(bound.prefix, finding=replace(decided, message=said, blocks=False))
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
    rival = prefix_conflict(desired, observed, holdings, fixed)
    if rival:
        return _overlap(fixed, rival, "choose another subnet or leave it out, and a pool gives a free one")
    if bound is not None and bound.prefix == fixed and bound.pool == "":
        return SubnetDecision(fixed)
    seen = bound.revision if bound else None
    expired = _expired(desired, holdings, fixed)
    return SubnetDecision(fixed, (*expired, BindSubnet(desired.name, "", fixed, seen, "the resource fixes it")))


def _from_pool(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, bound: Allocation | None
) -> SubnetDecision | Finding:
    pool = pool_view(desired, observed, holdings)
    if isinstance(pool, Finding):
        return pool
    length = desired.resource.spec.addressing.prefix_length or pool.length
    if bound is not None and bound.pool == pool.name and pool.could_give(bound.prefix, length):
        return _kept(desired, observed, holdings, live, bound)
    if pool.disabled:
        return Finding(
            ConditionType.SUBNET_ALLOCATED,
            Reason.POOL_DISABLED,
            f"IPv6Pool {pool.name} is disabled and gives out nothing new; enable it or name another poolRef",
        )
    adoptable = _own_live_subnet(live, pool, length, holdings, desired.name)
    if bound is not None and bound.pool == pool.name and adoptable is None:
        return _replaced(desired, observed, holdings, pool, bound, length)
    return _anew(desired, observed, holdings, adoptable, pool, length)


def _anew(
    desired: Desired, observed: Observed, holdings: Holdings, adopted: IPv6Network | None, pool: PoolView, length: int
) -> SubnetDecision | Finding:
    """The first subnet of this pool: that of the resource's live network, when the ledger was lost, or a free one."""
    bound = holdings.bound.get(desired.name)
    seen = bound.revision if bound else None
    keep = (KeepPoolPrefix(pool.name, pool.prefixes[0]),) if pool.generated_now else ()
    if adopted is not None:
        return SubnetDecision(
            adopted, (*keep, BindSubnet(desired.name, pool.name, adopted, seen, "its live network has it"))
        )
    chosen = _choose(desired, observed, holdings, pool, length)
    if isinstance(chosen, Finding):
        return chosen
    forget = tuple(ForgetSubnet(a) for a in chosen.expired)
    bind = BindSubnet(desired.name, pool.name, chosen.prefix, seen, "it is free, and kept from now on")
    return SubnetDecision(chosen.prefix, (*keep, *forget, bind))


def _replaced(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, bound: Allocation, length: int
) -> SubnetDecision | Finding:
    """The pool no longer has what it gave: the subnet of the same number under its new prefix, else a free one."""
    keep = (KeepPoolPrefix(pool.name, pool.prefixes[0]),) if pool.generated_now else ()
    moved = _renumbered(desired, observed, holdings, pool, length)
    if moved is not None:
        forget = _expired(desired, holdings, moved)
        why = f"IPv6Pool {pool.name} has another prefix; the subnet keeps its number"
    else:
        chosen = _choose(desired, observed, holdings, pool, length)
        if isinstance(chosen, Finding):
            return chosen
        moved, forget = chosen.prefix, tuple(ForgetSubnet(a) for a in chosen.expired)
        why = f"IPv6Pool {pool.name} no longer has {bound.prefix}"
    bind = BindSubnet(desired.name, pool.name, moved, bound.revision, why)
    return SubnetDecision(moved, (*keep, *forget, bind), replaces=bound.prefix)


def _expired(desired: Desired, holdings: Holdings, prefix: IPv6Network) -> tuple[ForgetSubnet, ...]:
    """What others released and has cooled down, in the way of a prefix that is free otherwise."""
    return tuple(
        ForgetSubnet(a)
        for a in holdings.allocations
        if a.state is AllocationState.COOLING and a.owner != desired.name and a.prefix.overlaps(prefix)
    )


def _renumbered(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, length: int
) -> IPv6Network | None:
    """The subnet of the same number under the pool's new prefix, if it is free."""
    bound = holdings.bound[desired.name]
    for prefix in pool.prefixes:
        if bound.prefix.prefixlen != length or prefix.prefixlen > length:
            continue
        moved = renumbered(bound.prefix, prefix)
        taken = overlaps_any(moved, _own_addresses(desired, observed))
        if (
            pool.could_give(moved, length)
            and not taken
            and not prefix_conflict(desired, observed, holdings, moved, pooled=True)
        ):
            return moved
    return None


def _kept(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, bound: Allocation
) -> SubnetDecision | Finding:
    """The allocation stays; but if somebody took its prefix while the network was gone, a person has to know."""
    rival = "" if live is not None else prefix_conflict(desired, observed, holdings, bound.prefix, pooled=True)
    if rival:
        return _overlap(bound.prefix, rival, "it is this resource's own: remove what took it")
    return SubnetDecision(bound.prefix)


def _choose(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, length: int
) -> SubnetChoice | Finding:
    """A free block of the pool."""
    chosen = choose(
        BlockRequest(
            owner=desired.name,
            pool=pool.name,
            prefixes=pool.prefixes,
            length=length,
            held=holdings.allocations,
            avoid=(*pool.exclude, *_occupied(desired, observed, pool)),
            now=observed.now,
            cooldown=pool.cooldown,
        )
    )
    if isinstance(chosen, SubnetChoice):
        return chosen
    if isinstance(chosen, PoolExhausted):
        when = f"; the next one is free at {rfc3339(chosen.soonest)}" if chosen.soonest else ""
        message = (
            f"IPv6Pool {pool.name} has no free /{length}: {chosen.held} of {chosen.total} are held and {chosen.cooling}"
            f" cool down{when}; add a prefix to the pool or remove a network"
        )
        retry = max(1.0, chosen.soonest - observed.now) if chosen.soonest else None
    else:
        message = (
            f"IPv6Pool {pool.name} ({', '.join(map(str, pool.prefixes))}) is too small to hold a /{length};"
            " ask for a longer prefixLength or give the pool a shorter prefix"
        )
        retry = None
    return Finding(ConditionType.SUBNET_ALLOCATED, Reason.POOL_EXHAUSTED, message, retry=retry)


def _own_live_subnet(
    live: Network | None, pool: PoolView, length: int, holdings: Holdings, owner: str
) -> IPv6Network | None:
    """The subnet of our own live network, when the pool could have given it and nobody else holds it."""
    for config in live.ipv6 if live else ():
        subnet = config.subnet
        if (
            isinstance(subnet, IPv6Network)
            and pool.could_give(subnet, length)
            and not any(a.owner != owner and a.prefix.overlaps(subnet) for a in holdings.allocations)
        ):
            return subnet
    return None


def _overlap(prefix: IPv6Network, rival: str, remedy: str) -> Finding:
    return Finding(
        ConditionType.SUBNET_ALLOCATED,
        Reason.SUBNET_OVERLAP,
        f"{prefix} overlaps {rival}; {remedy}",
        retry=RETRY,
    )


def _occupied(desired: Desired, observed: Observed, pool: PoolView) -> Iterator[IPv6Network]:
    """What a choice from the pool must keep clear of: live networks, and the host's routes and addresses inside it."""
    yield from (subnet for subnet, _ in foreign_subnets(desired, observed))
    yield from _own_addresses(desired, observed)
    for route in foreign_routes(desired, observed):
        if not any(prefix.subnet_of(route.destination) for prefix in pool.prefixes):
            yield route.destination


def _own_addresses(desired: Desired, observed: Observed) -> Iterator[IPv6Network]:
    """The host's own, but for those of the resource's bridge: in an on-link prefix they lie among the subnets."""
    own = own_bridges(desired, observed)
    for interface in observed.host.interfaces.values():
        if interface.name not in own:
            yield from (IPv6Network(address.ip) for address in interface.addresses)
