from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.api.pool import IPv6Pool
from dockerv6.planning.addressing.pools import (
    DEFAULT_COOLDOWN,
    PoolView,
    cooldown,
    pool_view,
    tracked_pool_prefix,
    withdrawn_findings,
)
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.inputs import Holdings
from dockerv6.planning.plan import Finding
from tests.simulation.resources import pool
from tests.unit.planning.scene import SUBNET, desired, foreign, holding, holdings, live, observed, tracked

KEPT = IPv6Network("fd01:203:405::/48")


def view(**spec: object) -> PoolView:
    found = pool_view(desired(None, pool("default", **spec)), observed(), holdings())
    assert isinstance(found, PoolView)
    return found


def test_a_pool_is_seen_with_all_that_an_allocation_needs() -> None:
    found = view(prefixes=["fd00:1::/48", "fd00:2::/48"], allocationLength=80, exclude=["fd00:1::/64"], cooldown="90s")
    assert found.prefixes == (IPv6Network("fd00:1::/48"), IPv6Network("fd00:2::/48"))
    assert (found.length, found.exclude, found.cooldown) == (80, (IPv6Network("fd00:1::/64"),), 90)
    assert not found.disabled
    assert not found.generated_now


@pytest.mark.parametrize(
    ("prefix", "length", "gives"),
    [
        ("fd00:1:0:5::/64", 64, True),
        ("fd00:1:0:5::/64", 80, False),
        ("fd00:2::/64", 64, False),
        ("fd00:1::/64", 64, False),
    ],
    ids=["free", "of another length", "elsewhere", "excluded"],
)
def test_what_a_pool_could_give(prefix: str, length: int, *, gives: bool) -> None:
    found = view(prefix="fd00:1::/48", exclude=["fd00:1::1"])
    assert found.could_give(IPv6Network(prefix), length) is gives


def test_a_pool_without_a_prefix_is_generated_once() -> None:
    fresh = pool_view(desired(None, pool()), observed(entropy=b"\x01\x02\x03\x04\x05"), holdings())
    assert isinstance(fresh, PoolView)
    assert (fresh.prefixes, fresh.generated_now) == ((KEPT,), True)
    kept = pool_view(desired(None, pool()), observed(), holdings(default=KEPT))
    assert isinstance(kept, PoolView)
    assert (kept.prefixes, kept.generated_now) == ((KEPT,), False)


def test_a_lost_prefix_is_what_most_of_the_pools_networks_have() -> None:
    want = desired(None, pool())
    others = [live(want, IPv6Network(f"fd77:0:0:{i}::/64"), i) for i in (2, 3)]
    state = observed(live(want, SUBNET), *others, foreign("x", "fd66::/64"))
    found = pool_view(want, state, holdings())
    assert isinstance(found, PoolView)
    assert found.prefixes == (IPv6Network("fd77::/48"),)


def test_cooldowns() -> None:
    pools = {"default": pool(cooldown="90s")}
    assert [cooldown(name, pools) for name in ("", "default", "gone")] == [0, 90, DEFAULT_COOLDOWN]


class TestFollowingAnInterface:
    DELEGATED = "2001:db8:100:ff00::/56"

    def seen(self, source: TrackedPrefix | None, **part: object) -> PoolView | Finding:
        want = desired(None, pool(fromInterface={"name": "eth0", **part}, allocationLength=80))
        return pool_view(want, observed(), holding(following=source) if source is not None else holdings())

    def prefix(self, source: TrackedPrefix, **part: object) -> str:
        found = self.seen(source, **part)
        assert isinstance(found, PoolView), found
        assert not found.generated_now
        return ", ".join(map(str, found.prefixes))

    def refused(self, source: TrackedPrefix | None, **part: object) -> Finding:
        found = self.seen(source, **part)
        assert isinstance(found, Finding), found
        waits = found.reason == "PrefixPending"
        assert (found.condition, found.blocks, found.retry) == ("SubnetAllocated", True, 30.0 if waits else None)
        return found

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ({}, DELEGATED),
            ({"prefixLength": 56}, DELEGATED),
            ({"prefixLength": 60}, "2001:db8:100:ff00::/60"),
            ({"prefixLength": 60, "offset": 15}, "2001:db8:100:fff0::/60"),
            ({"prefixLength": 64, "offset": 1}, "2001:db8:100:ff01::/64"),
        ],
        ids=str,
    )
    def test_the_pool_is_its_part_of_the_prefix(self, part: dict[str, object], expected: str) -> None:
        assert self.prefix(tracked(self.DELEGATED), **part) == expected

    def test_it_waits_for_the_first_prefix(self) -> None:
        found = self.refused(None)
        assert found.reason == "PrefixPending"
        assert "IPv6Pool default follows interface eth0" in found.message

    def test_another_interfaces_prefix_is_not_its(self) -> None:
        assert self.refused(tracked(self.DELEGATED, interface="eth1")).reason == "PrefixPending"

    def test_a_prefix_shorter_than_asked_for_is_no_trouble_but_a_longer_one_is(self) -> None:
        assert self.refused(tracked("2001:db8:100:ff00::/64"), prefixLength=60).reason == "PrefixTooLong"

    def test_a_missing_part_is_reported_with_the_existing_ones(self) -> None:
        found = self.refused(tracked(self.DELEGATED), prefixLength=60, offset=16)
        assert found.reason == "PrefixTooLong"
        assert "an offset of 0 to 15" in found.message

    def test_a_former_prefix_gives_no_subnets(self) -> None:
        assert self.prefix(tracked(self.DELEGATED, "2001:db8:200::/56")) == self.DELEGATED

    def test_a_pool_that_follows_nothing_is_no_question(self) -> None:
        with pytest.raises(ValueError, match="IPv6Pool default follows no interface"):
            tracked_pool_prefix(pool(), holdings())


class TestWithdrawn:
    POOL = pool(fromInterface={"name": "eth0"})
    GONE = replace(tracked("2001:db8:100::/56"), withdrawn=True)

    def test_a_withdrawn_prefix_is_reported_and_still_gives_subnets(self) -> None:
        held = holding(following=self.GONE)
        (found,) = withdrawn_findings(self.POOL, held)
        assert (found.condition, found.reason, found.blocks) == ("SubnetAllocated", "PrefixWithdrawn", False)
        assert "2001:db8:100::/56 of interface eth0" in found.message
        assert tracked_pool_prefix(self.POOL, held) == self.GONE.prefix

    @pytest.mark.parametrize(
        ("of", "held"),
        [
            (POOL, holding(following=tracked("2001:db8:100::/56"))),
            (POOL, holding(following=replace(GONE, interface="eth1"))),
            (POOL, holdings()),
            (pool(), holding(following=GONE)),
            (pool(prefix="2001:db8:100::/56"), holding(following=GONE)),
            (None, holding(following=GONE)),
        ],
        ids=["there", "another interface's", "never there", "generated", "fixed", "no pool"],
    )
    def test_other_networks_give_no_findings(self, of: IPv6Pool | None, held: Holdings) -> None:
        assert withdrawn_findings(of, held) == ()
