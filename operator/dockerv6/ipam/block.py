"""Chooses the subnet of an owner. Pure: equal requests get equal answers.

The search starts at a hash of the pool's and the owner's name. The result therefore hardly depends on the order of the
requests, and a lost ledger is rebuilt almost as it was. Subnets are never enumerated: a pool may hold 2⁶⁴ of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Network

from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.lib.prefixes import PrefixSet, count_taken, free_gaps, nth_subnet, overlaps_any, subnet_count


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """The inputs of `choose`.

    Attributes:
        owner: the resource that needs a subnet.
        pool: the pool's name.
        prefixes: the pool's prefixes, in any order; they may overlap.
        length: the prefix length of the subnet.
        held: every allocation in the ledger, including the owner's. Allocations of different owners never overlap.
        avoid: prefixes in use outside the ledger: other live networks, host routes, reserved and excluded ranges. The
            owner's own live network must not be among them, or the owner would lose its subnet.
        now: Unix seconds.
        cooldown: seconds for which a released subnet is reserved for its last owner.
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
    """The subnet to bind, and expired allocations of other owners that the ledger must forget first."""

    prefix: IPv6Network
    expired: tuple[Allocation, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolExhausted:
    """No subnet of that length is free.

    Attributes:
        pool: the pool's name.
        length: the prefix length that was requested.
        total: how many subnets of that length the pool has.
        held: how many of them overlap bound allocations.
        cooling: how many others overlap cooling allocations.
        soonest: Unix time at which the first cooldown ends that makes a subnet free; None: no cooldown does.
    """

    pool: str
    length: int
    total: int
    held: int
    cooling: int
    soonest: float | None


@dataclass(frozen=True, slots=True)
class PrefixTooShort:
    """Every prefix of the pool is longer than the requested length."""

    pool: str
    length: int


def choose(request: BlockRequest) -> SubnetChoice | PoolExhausted | PrefixTooShort:
    """Choose a subnet from a pool.

    In order of preference:

    1. the owner's bound subnet, if it is in the pool, has that length and overlaps nothing else;
    2. the subnet that the owner released last, while it is cooling;
    3. a free subnet. The first subnet of each prefix comes last, because people assign it by hand;
    4. a free subnet that overlaps the owner's own allocations, as after a change of the length in a small pool.

    The subnet never overlaps a bound or cooling allocation of another owner, nor a prefix to avoid. The cost is
    n·log n in the number of allocations and prefixes to avoid; keeping the present subnet costs n.
    """
    # without prefixes inside another one, each subnet has one number, whatever the order of the input
    usable = PrefixSet(prefix for prefix in request.prefixes if prefix.prefixlen <= request.length)
    if not usable.prefixes:
        return PrefixTooShort(request.pool, request.length)
    own = [allocation for allocation in request.held if allocation.owner == request.owner]
    kept = _kept(request, usable, own)
    if kept is not None:
        return SubnetChoice(kept)

    others = [allocation for allocation in request.held if allocation.owner != request.owner]
    active = [allocation for allocation in others if not _expired(allocation, request)]
    taken = [*(allocation.prefix for allocation in active), *request.avoid]
    found = _free(request, usable.prefixes, PrefixSet([*taken, *(allocation.prefix for allocation in own)]))
    if found is None and own:
        found = _free(request, usable.prefixes, PrefixSet(taken))
    if found is None:
        return _exhausted(request, usable, active)
    expired = (allocation for allocation in others if _expired(allocation, request))
    return SubnetChoice(found, tuple(old for old in expired if old.prefix.overlaps(found)))


def _expired(allocation: Allocation, request: BlockRequest) -> bool:
    return allocation.state is AllocationState.COOLING and allocation.since + request.cooldown <= request.now


def _kept(request: BlockRequest, usable: PrefixSet, own: Iterable[Allocation]) -> IPv6Network | None:
    """Return the owner's present subnet, or its last one. The ledger guarantees that no other owner's overlaps it."""
    candidates = sorted(
        (allocation for allocation in own if allocation.prefix.prefixlen == request.length),
        key=lambda allocation: (allocation.state is AllocationState.COOLING, -allocation.since, allocation.prefix),
    )
    for allocation in candidates:
        if usable.containing(allocation.prefix) and not overlaps_any(allocation.prefix, request.avoid):
            return allocation.prefix
    return None


def _free(request: BlockRequest, prefixes: Sequence[IPv6Network], taken: PrefixSet) -> IPv6Network | None:
    """Return the first free subnet at or after the owner's start index, wrapping around at the end."""
    runs: list[range] = []  # free subnets, numbered across all prefixes
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
    """Return the first number at or after `start` in ascending runs, else the first of all; None without runs."""
    for run in runs:
        if run.stop > start:
            return max(run.start, start)
    return runs[0].start if runs else None


def _exhausted(request: BlockRequest, usable: PrefixSet, active: Iterable[Allocation]) -> PoolExhausted:
    inside = [allocation for allocation in active if usable.overlaps(allocation.prefix)]
    cooling = [allocation for allocation in inside if allocation.state is AllocationState.COOLING]
    bound = PrefixSet(allocation.prefix for allocation in inside if allocation.state is AllocationState.BOUND)
    avoid = PrefixSet(request.avoid)
    held = count_taken(usable, request.length, bound)
    return PoolExhausted(
        pool=request.pool,
        length=request.length,
        total=sum(subnet_count(prefix, request.length) for prefix in usable.prefixes),
        held=held,
        cooling=count_taken(usable, request.length, PrefixSet(allocation.prefix for allocation in inside)) - held,
        soonest=min(
            (each.since + request.cooldown for each in cooling if not avoid.overlaps(each.prefix)), default=None
        ),
    )
