from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.ipam.block import (
    BlockRequest,
    PoolExhausted,
    PrefixTooShort,
    SubnetChoice,
    choose,
)
from dockerv6.ipam.ledger import Allocation, AllocationState

POOL = IPv6Network("fd00:1:2::/48")
NOW = 10_000.0
HOUR = 3600.0


def request(
    owner: str = "blog",
    *,
    prefixes: tuple[IPv6Network, ...] = (POOL,),
    length: int = 64,
    held: tuple[Allocation, ...] = (),
) -> BlockRequest:
    return BlockRequest(owner, "default", prefixes, length, held, (), NOW, HOUR)


def holds(
    owner: str, prefix: IPv6Network, *, cooling: bool = False, since: float = NOW - 60, revision: int = 1
) -> Allocation:
    state = AllocationState.COOLING if cooling else AllocationState.BOUND
    return Allocation(owner, "default", prefix, state, since, revision)


def chosen(wanted: BlockRequest) -> IPv6Network:
    found = choose(wanted)
    assert isinstance(found, SubnetChoice)
    return found.prefix


def test_choices_are_the_same_in_every_version() -> None:
    # A change of these would move networks whose ledger was lost.
    assert chosen(request("blog")) == IPv6Network("fd00:1:2:b81c::/64")
    assert chosen(request("shop")) == IPv6Network("fd00:1:2:bbd1::/64")


def test_choices_do_not_depend_on_the_order_of_requests() -> None:
    names = [f"network-{number}" for number in range(50)]

    def share_out(order: list[str]) -> dict[str, IPv6Network]:
        held: tuple[Allocation, ...] = ()
        for name in order:
            held = (*held, holds(name, chosen(request(name, held=held))))
        return {allocation.owner: allocation.prefix for allocation in held}

    assert share_out(names) == share_out(names[::-1])


def test_pool_and_owner_names_are_hashed_separately() -> None:
    first = replace(request("lane"), pool="default-p")
    second = replace(request("plane"), pool="default-")

    assert chosen(first) != chosen(second)


def test_keeps_the_bound_subnet() -> None:
    subnet = IPv6Network("fd00:1:2:7::/64")

    assert chosen(request(held=(holds("blog", subnet),))) == subnet


def test_keeps_a_fixed_subnet_inside_the_pool() -> None:
    subnet = IPv6Network("fd00:1:2:7::/64")

    assert chosen(request(held=(replace(holds("blog", subnet), pool=""),))) == subnet


@pytest.mark.parametrize(
    "elsewhere", ["fd00:1:2:7::/64", "fd00:1:2:7:8::/80", "fd00:1:2::/61"], ids=["same", "inside", "around"]
)
def test_leaves_a_bound_subnet_that_is_in_use_elsewhere(elsewhere: str) -> None:
    subnet = IPv6Network("fd00:1:2:7::/64")
    wanted = replace(request(held=(holds("blog", subnet),)), avoid=(IPv6Network(elsewhere),))

    assert not chosen(wanted).overlaps(IPv6Network(elsewhere))


def test_leaves_a_bound_subnet_outside_the_pool() -> None:
    assert chosen(request(held=(holds("blog", IPv6Network("fd00:9::/64")),))).subnet_of(POOL)


def test_leaves_a_bound_subnet_of_another_length() -> None:
    held = (holds("blog", IPv6Network("fd00:1:2:7::/80")),)

    found = chosen(request(held=held))

    assert found.prefixlen == 64
    assert not found.overlaps(held[0].prefix)


def test_prefers_the_subnet_released_last() -> None:
    older = holds("blog", IPv6Network("fd00:1:2:7::/64"), cooling=True, since=NOW - 90)
    newer = holds("blog", IPv6Network("fd00:1:2:5::/64"), cooling=True, since=NOW - 30)

    assert chosen(request(held=(older, newer))) == newer.prefix


def test_prefers_an_own_subnet_after_its_cooldown() -> None:
    old = holds("blog", IPv6Network("fd00:1:2:7::/64"), cooling=True, since=0.0)

    assert choose(request(held=(old,))) == SubnetChoice(old.prefix)


def test_prefers_the_bound_subnet_to_a_cooling_one() -> None:
    bound = holds("blog", IPv6Network("fd00:1:2:7::/64"), since=0.0)
    cooling = holds("blog", IPv6Network("fd00:1:2:5::/64"), cooling=True, since=NOW)

    assert chosen(request(held=(cooling, bound))) == bound.prefix


def test_takes_the_next_free_subnet() -> None:
    first = chosen(request())

    second = chosen(request(held=(holds("shop", first),)))

    assert int(second.network_address) == int(first.network_address) + (1 << 64)


def test_the_search_wraps_around() -> None:
    first = chosen(request())
    index = (int(first.network_address) - int(POOL.network_address)) >> 64
    rest = tuple(
        holds(f"other-{number}", subnet) for number, subnet in enumerate(POOL.subnets(new_prefix=64)) if number >= index
    )

    assert chosen(request(held=rest)) == IPv6Network("fd00:1:2:1::/64")


def test_the_first_subnet_of_a_prefix_is_taken_last() -> None:
    pool = IPv6Network("fd00:1:2::/62")
    held: tuple[Allocation, ...] = ()
    for number in range(4):
        held = (*held, holds(f"owner-{number}", chosen(request(f"owner-{number}", prefixes=(pool,), held=held))))

    assert held[-1].prefix == IPv6Network("fd00:1:2::/64")


def test_uses_every_prefix_of_a_pool() -> None:
    pools = (IPv6Network("fd00:1:2::/63"), IPv6Network("fd00:9::/64"), IPv6Network("fd00:5::/62"))
    held: tuple[Allocation, ...] = ()
    for number in range(7):
        held = (*held, holds(f"owner-{number}", chosen(request(f"owner-{number}", prefixes=pools, held=held))))

    assert choose(request(prefixes=pools, held=held)) == PoolExhausted("default", 64, 7, 7, 0, None)
    # the first of each prefix came last
    assert {each.prefix for each in held[-3:]} == {
        IPv6Network(text) for text in ("fd00:1:2::/64", "fd00:5::/64", "fd00:9::/64")
    }


def test_overlapping_prefixes_of_a_pool_count_once() -> None:
    pools = (IPv6Network("fd00:1:2:1::/64"), IPv6Network("fd00:1:2::/63"))
    taken = replace(request(prefixes=pools), avoid=(POOL,))

    assert choose(taken) == PoolExhausted("default", 64, 2, 0, 0, None)


def test_a_cooling_subnet_is_not_assigned_to_others() -> None:
    pool = IPv6Network("fd00:1:2:7::/64")
    cooling = holds("shop", pool, cooling=True, since=NOW - 60)

    assert choose(request(prefixes=(pool,), held=(cooling,))) == PoolExhausted("default", 64, 1, 0, 1, NOW - 60 + HOUR)


def test_after_the_cooldown_the_choice_lists_expired_allocations() -> None:
    pool = IPv6Network("fd00:1:2:7::/64")
    cooled = holds("shop", pool, cooling=True, since=NOW - HOUR)

    assert choose(request(prefixes=(pool,), held=(cooled,))) == SubnetChoice(pool, expired=(cooled,))


def test_reports_when_the_first_cooldown_ends() -> None:
    pool = IPv6Network("fd00:1:2:6::/63")
    later, sooner = pool.subnets(new_prefix=64)
    held = (holds("shop", later, cooling=True, since=NOW - 1), holds("mail", sooner, cooling=True, since=NOW - 2))

    assert choose(request(prefixes=(pool,), held=held)) == PoolExhausted("default", 64, 2, 0, 2, NOW - 2 + HOUR)


def test_the_only_owner_may_divide_a_small_pool_again() -> None:
    pool = IPv6Network("fd00:1:2:7::/64")

    assert chosen(request(prefixes=(pool,), length=80, held=(holds("blog", pool),))).subnet_of(pool)


def test_skips_prefixes_longer_than_requested() -> None:
    long = IPv6Network("fd00:9::/80")

    assert choose(request(prefixes=(long,))) == PrefixTooShort("default", 64)
    assert choose(request(prefixes=())) == PrefixTooShort("default", 64)
    assert chosen(request(prefixes=(long, POOL))).subnet_of(POOL)


def test_searches_a_huge_half_taken_pool_without_enumerating() -> None:
    pool = IPv6Network("fd00::/16")
    half = IPv6Network("fd00::/17")

    found = chosen(replace(request(prefixes=(pool,), length=80), avoid=(half,)))

    assert found.subnet_of(IPv6Network("fd00:8000::/17"))
