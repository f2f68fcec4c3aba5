"""Which subnet an owner gets: pure choice, the same for the same question.

The place where the search begins is a hash of the pool's and the owner's name, so that the answer hardly depends on
who asks first, and a lost ledger is rebuilt almost as it was. Nothing is enumerated: a pool may hold 2⁶⁴ subnets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Network

from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.lib.prefixes import first_overlap, free_gaps, nth_subnet, overlaps_any, subnet_count


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """What the choice depends on.

    Attributes:
        owner: who asks.
        pool: the pool's name.
        prefixes: what the pool gives subnets out of; in any order, they may overlap.
        length: the prefix length wanted.
        held: the ledger, the owner's own allocations included. As in every ledger, no two owners' overlap.
        avoid: what is in use elsewhere: other live networks, host routes, reserved and excluded ranges. The owner's
            own live network must not be in here, or the owner would be moved off its own subnet.
        now: Unix seconds.
        cooldown: seconds for which a released subnet is kept from everybody but its last owner.
    """

    owner: str
    pool: str
    prefixes: tuple[IPv6Network, ...]
    length: int
    held: tuple[Allocation, ...]
    avoid: tuple[IPv6Network, ...]
    now: float
    cooldown: float


@dataclass(frozen=True, slots=True)
class SubnetChoice:
    """The subnet to bind, and other owners' cooled-down allocations which the ledger must forget before that."""

    prefix: IPv6Network
    expired: tuple[Allocation, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolExhausted:
    """No subnet of that length is free.

    ``total`` subnets in the pool; ``held`` and ``cooling`` count the allocations that overlap it; ``soonest`` is the
    Unix time at which the first of the cooling ones is over, None when none is cooling.
    """

    pool: str
    length: int
    total: int
    held: int
    cooling: int
    soonest: float | None


@dataclass(frozen=True, slots=True)
class PrefixTooShort:
    """The length asked for is shorter than that of every prefix of the pool; ``shortest`` is the least possible."""

    pool: str
    length: int
    shortest: int | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A fixed subnet can't be had: it overlaps another owner's allocation, or a prefix in use elsewhere."""

    prefix: IPv6Network
    holder: Allocation | IPv6Network


def choose(request: BlockRequest) -> SubnetChoice | PoolExhausted | PrefixTooShort:
    """Choose a subnet out of a pool.

    The owner's bound subnet stays, if it lies in the pool, has that length and overlaps nothing else; then comes the
    one that it gave up last, if that is still cooling for it; then a free one. The first subnet of a prefix (the one
    whose network address is the prefix's own) is taken last, because people use it by hand. A free subnet that overlaps
    something of the owner's own (a different length asked in a small pool) is better than none.

    Never overlaps another owner's bound allocation, one that is still cooling, or anything to avoid.
    Costs n·log n in the number of allocations and prefixes to avoid; keeping the present subnet costs n.
    """
    prefixes = _distinct(prefix for prefix in request.prefixes if prefix.prefixlen <= request.length)
    if not prefixes:
        shortest = min((prefix.prefixlen for prefix in request.prefixes), default=None)
        return PrefixTooShort(request.pool, request.length, shortest)
    own = [allocation for allocation in request.held if allocation.owner == request.owner]
    kept = _kept(request, prefixes, own)
    if kept is not None:
        return SubnetChoice(kept)

    others = [allocation for allocation in request.held if allocation.owner != request.owner]
    active = [allocation for allocation in others if not _expired(allocation, request.now, request.cooldown)]
    taken = [*(allocation.prefix for allocation in active), *request.avoid]
    found = _free(request, prefixes, [*taken, *(allocation.prefix for allocation in own)])
    if found is None and own:
        found = _free(request, prefixes, taken)
    if found is None:
        return _exhausted(request, prefixes, active)
    return SubnetChoice(found, _to_forget(found, others, request.now, request.cooldown))


def fixed(request: BlockRequest, prefix: IPv6Network) -> SubnetChoice | Conflict:
    """Check a subnet that the user wrote down, against the same allocations and prefixes to avoid."""
    own = any(prefix == allocation.prefix for allocation in request.held if allocation.owner == request.owner)
    # Nobody else's overlaps what is the owner's already.
    others = [] if own else [allocation for allocation in request.held if allocation.owner != request.owner]
    for allocation in others:
        if not _expired(allocation, request.now, request.cooldown) and allocation.prefix.overlaps(prefix):
            return Conflict(prefix, allocation)
    elsewhere = first_overlap(prefix, request.avoid)
    if elsewhere is not None:
        return Conflict(prefix, elsewhere)
    return SubnetChoice(prefix, _to_forget(prefix, others, request.now, request.cooldown))


def cooled_down(held: Iterable[Allocation], now: float, cooldown: float) -> tuple[Allocation, ...]:
    """The allocations whose cooldown is over: the ledger may forget them."""
    return tuple(allocation for allocation in held if _expired(allocation, now, cooldown))


def _expired(allocation: Allocation, now: float, cooldown: float) -> bool:
    return allocation.state is AllocationState.COOLING and allocation.since + cooldown <= now


def _to_forget(
    prefix: IPv6Network, others: Iterable[Allocation], now: float, cooldown: float
) -> tuple[Allocation, ...]:
    return tuple(old for old in cooled_down(others, now, cooldown) if old.prefix.overlaps(prefix))


def _distinct(prefixes: Iterable[IPv6Network]) -> list[IPv6Network]:
    """Ascending, without those that lie inside another: each subnet is then numbered once, whatever the order given."""
    kept: list[IPv6Network] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.subnet_of(kept[-1]):
            kept.append(prefix)
    return kept


def _kept(request: BlockRequest, prefixes: Sequence[IPv6Network], own: Iterable[Allocation]) -> IPv6Network | None:
    """The owner's present subnet, or the one that it had last. Nobody else's can overlap it: it is in the ledger."""
    candidates = sorted(
        (allocation for allocation in own if allocation.prefix.prefixlen == request.length),
        key=lambda allocation: (allocation.state is AllocationState.COOLING, -allocation.since, allocation.prefix),
    )
    for allocation in candidates:
        inside = any(allocation.prefix.subnet_of(prefix) for prefix in prefixes)
        if inside and not overlaps_any(allocation.prefix, request.avoid):
            return allocation.prefix
    return None


def _free(request: BlockRequest, prefixes: Sequence[IPv6Network], taken: Sequence[IPv6Network]) -> IPv6Network | None:
    """The free subnet that comes first from the owner's starting point on, round to it again."""
    runs: list[range] = []  # the subnets of all prefixes numbered through
    firsts: list[range] = []
    bases: list[int] = []
    total = 0
    for prefix in prefixes:
        bases.append(total)
        for gap in free_gaps(prefix, request.length, taken):
            if gap.start == 0:
                firsts.append(range(total, total + 1))
            if gap.stop > 1:
                runs.append(range(total + max(gap.start, 1), total + gap.stop))
        total += subnet_count(prefix, request.length)
    # The separator keeps ("a", "bc") and ("ab", "c") apart.
    start = int.from_bytes(sha256(f"{request.pool}\0{request.owner}".encode()).digest()) % total
    number = _from(start, runs)
    if number is None:
        number = _from(start, firsts)
    if number is None:
        return None
    at = max(index for index, base in enumerate(bases) if base <= number)
    return nth_subnet(prefixes[at], request.length, number - bases[at])


def _from(start: int, runs: Sequence[range]) -> int | None:
    """The first number at or after `start` in ascending runs, or else the first of all."""
    for run in runs:
        if run.stop > start:
            return max(run.start, start)
    return runs[0].start if runs else None


def _exhausted(request: BlockRequest, prefixes: Sequence[IPv6Network], active: Iterable[Allocation]) -> PoolExhausted:
    inside = [allocation for allocation in active if overlaps_any(allocation.prefix, prefixes)]
    cooling = [allocation for allocation in inside if allocation.state is AllocationState.COOLING]
    return PoolExhausted(
        pool=request.pool,
        length=request.length,
        total=sum(subnet_count(prefix, request.length) for prefix in prefixes),
        held=len(inside) - len(cooling),
        cooling=len(cooling),
        soonest=min((allocation.since + request.cooldown for allocation in cooling), default=None),
    )
