"""Properties of choosing subnets, and of ledgers for any history."""

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path
from random import Random
from typing import TypeVar

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dockerv6.ipam.block import (
    BlockRequest,
    PoolExhausted,
    PrefixTooShort,
    SubnetChoice,
    choose,
)
from dockerv6.ipam.ledger import Allocation, AllocationState, LedgerConflict, LedgerError, PoolPrefix, SubnetTaken
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.ipam.sqlite import SqliteLedger
from tests.property.examples import examples

T = TypeVar("T")

BASE = IPv6Network("fd00:1:2::/60")
LENGTH = 64
NOW = 1000.0

owners = st.sampled_from(["blog", "shop", "mail", "wiki"])


@st.composite
def blocks(draw: st.DrawFn, shortest: int = 59, longest: int = 68) -> IPv6Network:
    """A prefix in or around the tiny pool, so that overlaps of every kind are common."""
    length = draw(st.integers(shortest, longest))
    offset = draw(st.integers(0, 31)) << 64
    return IPv6Network((int(BASE.network_address) - (8 << 64) + offset, length), strict=False)


allocations = st.builds(
    Allocation,
    owner=owners,
    pool=st.sampled_from(["default", ""]),
    prefix=blocks(shortest=62),
    state=st.sampled_from(AllocationState),
    since=st.floats(NOW - 20, NOW),
    revision=st.integers(1, 100),
)


def without_overlaps(wanted: list[Allocation]) -> tuple[Allocation, ...]:
    """Drop allocations that overlap an earlier one of another owner, as a ledger does."""
    held: list[Allocation] = []
    for each in wanted:
        if not any(each.prefix.overlaps(other.prefix) for other in held if other.owner != each.owner):
            held.append(each)
    return tuple(held)


requests = st.builds(
    BlockRequest,
    owner=owners,
    pool=st.just("default"),
    prefixes=st.lists(blocks(shortest=60, longest=65), min_size=1, max_size=3).map(tuple),
    length=st.sampled_from([62, 63, 64, 65]),
    held=st.lists(allocations, max_size=12).map(without_overlaps),
    avoid=st.lists(blocks(), max_size=4).map(tuple),
    now=st.just(NOW),
    cooldown=st.sampled_from([0.0, 10.0, 1000.0]),
)


def blocking(request: BlockRequest) -> list[IPv6Network]:
    """List the prefixes that the owner may not get, by a slow and simple rule."""
    return [
        *request.avoid,
        *(
            each.prefix
            for each in request.held
            if each.owner != request.owner
            and (each.state is AllocationState.BOUND or each.since + request.cooldown > request.now)
        ),
    ]


def free_by_brute_force(request: BlockRequest) -> set[IPv6Network]:
    return {
        subnet
        for prefix in request.prefixes
        if prefix.prefixlen <= request.length
        for subnet in prefix.subnets(new_prefix=request.length)
        if not any(subnet.overlaps(other) for other in blocking(request))
    }


@given(requests)
def test_a_free_subnet_is_chosen_if_one_exists(request: BlockRequest) -> None:
    found = choose(request)

    free = free_by_brute_force(request)
    if isinstance(found, SubnetChoice):
        assert found.prefix in free
    elif isinstance(found, PrefixTooShort):
        assert all(prefix.prefixlen > request.length for prefix in request.prefixes)
    else:
        assert not free
        assert any(prefix.prefixlen <= request.length for prefix in request.prefixes)


@given(requests)
def test_a_bound_subnet_is_chosen_again(request: BlockRequest) -> None:
    found = choose(request)
    assume(isinstance(found, SubnetChoice))
    assert isinstance(found, SubnetChoice)
    rest = tuple(each for each in request.held if each.owner != request.owner and each not in found.expired)
    bound = Allocation(request.owner, "default", found.prefix, AllocationState.BOUND, NOW, 101)

    again = choose(replace(request, held=(*rest, bound)))
    after_release = choose(replace(request, held=(*rest, replace(bound, state=AllocationState.COOLING))))

    assert isinstance(again, SubnetChoice)
    assert isinstance(after_release, SubnetChoice)
    assert again.prefix == after_release.prefix == found.prefix


@given(requests, st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(request: BlockRequest, random: Random) -> None:
    def shuffled(items: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(random.sample(items, len(items)))

    mixed = replace(
        request, prefixes=shuffled(request.prefixes), held=shuffled(request.held), avoid=shuffled(request.avoid)
    )

    first, second = choose(request), choose(mixed)

    if isinstance(first, SubnetChoice) and isinstance(second, SubnetChoice):
        assert first.prefix == second.prefix
        assert set(first.expired) == set(second.expired)
    else:
        assert first == second


@given(requests)
def test_own_subnets_are_overlapped_only_if_nothing_else_is_free(request: BlockRequest) -> None:
    found = choose(request)
    own = [each.prefix for each in request.held if each.owner == request.owner]
    if isinstance(found, SubnetChoice) and any(found.prefix.overlaps(prefix) for prefix in own):
        without_overlap = {
            subnet for subnet in free_by_brute_force(request) if not any(subnet.overlaps(prefix) for prefix in own)
        }
        assert found.prefix in own or not without_overlap


def expired(allocation: Allocation, cooldown: float) -> bool:
    return allocation.state is AllocationState.COOLING and allocation.since + cooldown <= NOW


@given(requests)
def test_a_choice_lists_the_expired_allocations_that_it_overlaps(request: BlockRequest) -> None:
    found = choose(request)
    if isinstance(found, SubnetChoice):
        overlapping = [
            each for each in request.held if each.owner != request.owner and each.prefix.overlaps(found.prefix)
        ]
        assert list(found.expired) == overlapping
        assert all(expired(each, request.cooldown) for each in found.expired)


@given(
    st.lists(st.tuples(st.sampled_from(AllocationState), st.floats(NOW - 20, NOW)), min_size=4, max_size=4),
    st.sampled_from([0.0, 10.0, 1000.0]),
)
def test_an_exhausted_pool_reports_when_a_subnet_becomes_free(
    states: list[tuple[AllocationState, float]], cooldown: float
) -> None:
    pool = IPv6Network("fd00:1:2::/62")
    held = tuple(
        Allocation(f"owner-{number}", "default", prefix, state, since, number)
        for number, (prefix, (state, since)) in enumerate(zip(pool.subnets(new_prefix=64), states, strict=True))
    )
    request = BlockRequest("new", "default", (pool,), 64, held, (), NOW, cooldown)

    found = choose(request)

    if isinstance(found, PoolExhausted):
        assert (found.total, found.held + found.cooling) == (4, 4)
        if found.soonest is None:
            assert found.cooling == 0
        else:
            assert found.soonest > request.now
            assert isinstance(choose(replace(request, now=found.soonest)), SubnetChoice)
    else:
        assert any(expired(each, cooldown) for each in held)


@given(
    st.integers(16, 80),
    st.lists(st.tuples(owners, st.integers(0, 2**128 - 1), st.integers(17, 128)), max_size=20),
    st.integers(80, 128),
)
def test_huge_pools_have_the_same_properties(pool_length: int, others: list[tuple[str, int, int]], length: int) -> None:
    pool = IPv6Network((int(BASE.network_address), pool_length), strict=False)
    held = without_overlaps(
        [
            Allocation(owner, "default", IPv6Network((value, size), strict=False), AllocationState.BOUND, 0.0, 1)
            for owner, value, size in others
        ]
    )

    found = choose(BlockRequest("new", "default", (pool,), length, held, (), NOW, 0.0))

    if isinstance(found, SubnetChoice):
        assert found.prefix.prefixlen == length
        assert found.prefix.subnet_of(pool)
        assert not any(found.prefix.overlaps(each.prefix) for each in held)
    else:
        assert any(each.prefix.overlaps(pool) for each in held)


class LedgerHistory(RuleBasedStateMachine):
    """Compare the in-memory ledger with the durable one, which is reopened now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.memory = MemoryLedger()
        self.sqlite = self.runner.run(SqliteLedger.open(self.path))
        self.seen: list[Allocation] = []
        self.now = 0.0

    @property
    def path(self) -> Path:
        return Path(self.directory.name, "state.db")

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(
        owner=owners,
        pool=st.sampled_from(["default", ""]),
        prefix=blocks(shortest=62),
        fresh=st.booleans(),
        pick=st.integers(0),
    )
    def bind(self, owner: str, pool: str, prefix: IPv6Network, pick: int, *, fresh: bool) -> None:
        self.now += 1
        revision = self._present(owner) if fresh else self._any_revision(pick)

        async def both() -> list[Allocation | LedgerError]:
            return [
                await _outcome(ledger.bind(owner, pool, prefix, self.now, revision=revision))
                for ledger in (self.memory, self.sqlite)
            ]

        first, second = self.runner.run(both())
        assert _same(first, second)
        if isinstance(first, Allocation):
            self.seen.append(first)

    @rule(pick=st.integers(0), current=st.booleans(), forget=st.booleans())
    def end(self, pick: int, *, current: bool, forget: bool) -> None:
        self.now += 1
        candidates = self.runner.run(self.memory.allocations()) if current else tuple(self.seen)
        if not candidates:
            return
        allocation = candidates[pick % len(candidates)]

        async def both() -> list[LedgerError | None]:
            return [
                await _outcome(ledger.forget(allocation) if forget else ledger.release(allocation, self.now))
                for ledger in (self.memory, self.sqlite)
            ]

        first, second = self.runner.run(both())
        assert _same(first, second)

    @rule(pool=st.sampled_from(["default", "other"]), prefix=blocks())
    def keep(self, pool: str, prefix: IPv6Network) -> None:
        async def both() -> list[PoolPrefix]:
            return [await ledger.keep_pool_prefix(pool, prefix) for ledger in (self.memory, self.sqlite)]

        first, second = self.runner.run(both())
        assert first == second

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = self.runner.run(SqliteLedger.open(self.path))

    @invariant()
    def both_ledgers_are_equal(self) -> None:
        assert self.runner.run(self.memory.allocations()) == self.runner.run(self.sqlite.allocations())
        assert self.runner.run(self.memory.pool_prefixes()) == self.runner.run(self.sqlite.pool_prefixes())

    @invariant()
    def allocations_are_valid(self) -> None:
        held = self.runner.run(self.memory.allocations())
        bound = [each.owner for each in held if each.state is AllocationState.BOUND]
        assert len(bound) == len(set(bound))
        assert len({each.revision for each in held}) == len(held)
        for each in held:
            assert not any(other.prefix.overlaps(each.prefix) for other in held if other.owner != each.owner)

    def _present(self, owner: str) -> int | None:
        held = self.runner.run(self.memory.allocations())
        return next(
            (each.revision for each in held if each.owner == owner and each.state is AllocationState.BOUND), None
        )

    def _any_revision(self, pick: int) -> int | None:
        return self.seen[pick % len(self.seen)].revision if self.seen else None


async def _outcome(call: Awaitable[T]) -> T | LedgerError:
    try:
        return await call
    except LedgerError as error:
        return error


def _same(first: object, second: object) -> bool:
    if isinstance(first, SubnetTaken) and isinstance(second, SubnetTaken):
        return first.holder == second.holder
    if isinstance(first, LedgerConflict):
        return isinstance(second, LedgerConflict)
    return first == second


TestLedgerHistory = LedgerHistory.TestCase
TestLedgerHistory.settings = settings(examples(20), stateful_step_count=30)
