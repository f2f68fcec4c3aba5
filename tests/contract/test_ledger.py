"""Contract of the ledger. Runs on every implementation."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.ipam.ledger import Allocation, AllocationState, Ledger, LedgerConflict, PoolPrefix, SubnetTaken
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.ipam.sqlite import SqliteLedger

A = IPv6Network("fd00:1:2:3::/64")
B = IPv6Network("fd00:1:2:4::/64")
INSIDE_A = IPv6Network("fd00:1:2:3:8::/80")
AROUND_A = IPv6Network("fd00:1:2::/48")


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger: Ledger = MemoryLedger() if request.param == "memory" else await SqliteLedger.open(tmp_path / "state.db")
    yield ledger
    await ledger.close()


async def test_a_new_ledger_is_empty(ledger: Ledger) -> None:
    assert await ledger.allocations() == ()
    assert await ledger.pool_prefixes() == ()


async def test_lists_a_bound_subnet(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 100.0, revision=None)

    assert bound == Allocation("blog", "default", A, AllocationState.BOUND, 100.0, bound.revision)
    assert await ledger.allocations() == (bound,)


async def test_sorts_allocations_by_prefix(ledger: Ledger) -> None:
    prefixes = [B, A, IPv6Network("fd00::/64"), IPv6Network("2001:db8::/64")]
    for number, prefix in enumerate(prefixes):
        await ledger.bind(f"owner-{number}", "default", prefix, 1.0, revision=None)

    assert [allocation.prefix for allocation in await ledger.allocations()] == sorted(prefixes)


async def test_sorts_a_prefix_before_prefixes_inside_it(ledger: Ledger) -> None:
    wide = await ledger.bind("blog", "default", AROUND_A, 1.0, revision=None)
    await ledger.bind("blog", "default", IPv6Network("fd00:1:2::/64"), 2.0, revision=wide.revision)

    assert [allocation.prefix.prefixlen for allocation in await ledger.allocations()] == [48, 64]


async def test_repeated_binding_changes_nothing(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 100.0, revision=None)

    assert await ledger.bind("blog", "default", A, 200.0, revision=None) == bound
    assert await ledger.bind("blog", "default", A, 200.0, revision=bound.revision) == bound
    assert await ledger.allocations() == (bound,)


async def test_moving_a_subnet_to_another_pool_starts_no_cooldown(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "", A, 100.0, revision=None)

    moved = await ledger.bind("blog", "default", A, 200.0, revision=bound.revision)

    assert (moved.pool, moved.since) == ("default", 100.0)
    assert moved.revision > bound.revision
    assert await ledger.allocations() == (moved,)


async def test_binding_another_subnet_starts_the_cooldown_of_the_previous_one(ledger: Ledger) -> None:
    first = await ledger.bind("blog", "default", A, 100.0, revision=None)

    second = await ledger.bind("blog", "default", B, 200.0, revision=first.revision)

    cooling, bound = await ledger.allocations()
    assert bound == second
    assert (cooling.prefix, cooling.state, cooling.since) == (A, AllocationState.COOLING, 200.0)
    assert cooling.revision > first.revision


async def test_an_owner_can_bind_its_cooling_subnet(ledger: Ledger) -> None:
    first = await ledger.bind("blog", "default", A, 100.0, revision=None)
    await ledger.release(first, 200.0)

    again = await ledger.bind("blog", "default", A, 300.0, revision=None)

    assert (again.state, again.since) == (AllocationState.BOUND, 300.0)
    assert await ledger.allocations() == (again,)


async def test_an_owner_can_alternate_between_subnets(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)
    for now, prefix in enumerate((B, A, B, A), 2):
        bound = await ledger.bind("blog", "default", prefix, float(now), revision=bound.revision)

    assert [(each.prefix, each.state.value) for each in await ledger.allocations()] == [(A, "bound"), (B, "cooling")]


@pytest.mark.parametrize("prefix", [A, INSIDE_A, AROUND_A], ids=["same", "inside", "around"])
@pytest.mark.parametrize("released", [False, True], ids=["bound", "cooling"])
async def test_rejects_an_overlap_with_another_owner(ledger: Ledger, prefix: IPv6Network, *, released: bool) -> None:
    held = await ledger.bind("blog", "default", A, 100.0, revision=None)
    if released:
        await ledger.release(held, 150.0)
        (held,) = await ledger.allocations()

    with pytest.raises(SubnetTaken, match="is allocated to blog") as refused:
        await ledger.bind("shop", "default", prefix, 200.0, revision=None)

    assert refused.value.holder == held
    assert await ledger.allocations() == (held,)


async def test_adjacent_subnets_do_not_overlap(ledger: Ledger) -> None:
    await ledger.bind("blog", "default", A, 1.0, revision=None)
    await ledger.bind("shop", "default", B, 1.0, revision=None)

    assert [allocation.owner for allocation in await ledger.allocations()] == ["blog", "shop"]


async def test_an_owner_can_overlap_its_own_subnets(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)

    await ledger.bind("blog", "default", INSIDE_A, 2.0, revision=bound.revision)

    assert [each.state.value for each in await ledger.allocations()] == ["cooling", "bound"]


async def test_a_rejected_bind_keeps_the_previous_subnet(ledger: Ledger) -> None:
    await ledger.bind("shop", "default", B, 1.0, revision=None)
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)

    with pytest.raises(SubnetTaken):
        await ledger.bind("blog", "default", B, 2.0, revision=bound.revision)

    assert bound in await ledger.allocations()


@pytest.mark.parametrize("offset", [None, -1, 1])
async def test_rejects_a_bind_with_a_stale_revision(ledger: Ledger, offset: int | None) -> None:
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)

    with pytest.raises(LedgerConflict):
        await ledger.bind("blog", "default", B, 2.0, revision=None if offset is None else bound.revision + offset)

    assert await ledger.allocations() == (bound,)


async def test_rejects_a_bind_with_a_released_revision(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)
    await ledger.release(bound, 2.0)

    with pytest.raises(LedgerConflict):
        await ledger.bind("blog", "default", B, 3.0, revision=bound.revision)


async def test_release_starts_the_cooldown(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 100.0, revision=None)

    await ledger.release(bound, 200.0)

    (cooling,) = await ledger.allocations()
    assert (cooling.owner, cooling.state, cooling.since) == ("blog", AllocationState.COOLING, 200.0)


async def test_a_second_release_does_not_extend_the_cooldown(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 100.0, revision=None)
    await ledger.release(bound, 200.0)
    (cooling,) = await ledger.allocations()

    await ledger.release(bound, 300.0)
    await ledger.release(cooling, 300.0)

    assert await ledger.allocations() == (cooling,)


async def test_rejects_a_stale_release(ledger: Ledger) -> None:
    stale = await ledger.bind("blog", "default", A, 100.0, revision=None)
    await ledger.release(stale, 200.0)
    bound = await ledger.bind("blog", "default", A, 300.0, revision=None)

    with pytest.raises(LedgerConflict):
        await ledger.release(stale, 400.0)

    assert await ledger.allocations() == (bound,)


async def test_releasing_a_subnet_of_another_owner_is_success(ledger: Ledger) -> None:
    stale = await ledger.bind("blog", "default", A, 100.0, revision=None)
    await ledger.release(stale, 200.0)
    await ledger.forget((await ledger.allocations())[0])
    bound = await ledger.bind("shop", "default", A, 300.0, revision=None)

    await ledger.release(stale, 400.0)
    await ledger.forget(stale)

    assert await ledger.allocations() == (bound,)


async def test_others_can_bind_a_forgotten_subnet(ledger: Ledger) -> None:
    await ledger.release(await ledger.bind("blog", "default", A, 1.0, revision=None), 2.0)
    (cooling,) = await ledger.allocations()

    await ledger.forget(cooling)
    await ledger.forget(cooling)

    assert await ledger.allocations() == ()
    bound = await ledger.bind("shop", "default", A, 3.0, revision=None)
    assert bound.revision > cooling.revision


async def test_rejects_forgetting_a_bound_subnet(ledger: Ledger) -> None:
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)

    with pytest.raises(LedgerConflict):
        await ledger.forget(bound)

    assert await ledger.allocations() == (bound,)


async def test_rejects_a_stale_forget(ledger: Ledger) -> None:
    await ledger.release(await ledger.bind("blog", "default", A, 1.0, revision=None), 2.0)
    (stale,) = await ledger.allocations()
    await ledger.release(await ledger.bind("blog", "default", A, 3.0, revision=None), 4.0)

    with pytest.raises(LedgerConflict):
        await ledger.forget(stale)


async def test_keeps_the_first_prefix_of_a_pool(ledger: Ledger) -> None:
    first = await ledger.keep_pool_prefix("default", AROUND_A)
    second = await ledger.keep_pool_prefix("default", IPv6Network("fd00:9:9::/48"))

    assert first == second == PoolPrefix("default", AROUND_A)
    await ledger.keep_pool_prefix("another", IPv6Network("fd00:9:9::/48"))
    assert [kept.pool for kept in await ledger.pool_prefixes()] == ["another", "default"]


async def test_one_of_many_owners_gets_a_contested_subnet(ledger: Ledger) -> None:
    outcomes = await asyncio.gather(
        *(ledger.bind(f"owner-{number}", "default", A, 1.0, revision=None) for number in range(20)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Allocation) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SubnetTaken) for outcome in outcomes) == 19
    assert len(await ledger.allocations()) == 1


async def test_many_owners_can_bind_concurrently(ledger: Ledger) -> None:
    prefixes = list(AROUND_A.subnets(new_prefix=58))

    await asyncio.gather(
        *(ledger.bind(f"owner-{n}", "default", prefix, 1.0, revision=None) for n, prefix in enumerate(prefixes))
    )

    held = await ledger.allocations()
    assert [allocation.prefix for allocation in held] == prefixes
    assert len({allocation.revision for allocation in held}) == len(prefixes)
