from ipaddress import IPv6Network

import pytest

from dockerv6.planning.pools import DEFAULT_COOLDOWN, PoolView, cooldown, pool_view
from tests.simulation.resources import pool
from tests.unit.planning.scene import SUBNET, desired, foreign, holdings, live, observed

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
    wish = desired(None, pool())
    others = [live(wish, IPv6Network(f"fd77:0:0:{i}::/64"), i) for i in (2, 3)]
    moment = observed(live(wish, SUBNET), *others, foreign("x", "fd66::/64"))
    found = pool_view(wish, moment, holdings())
    assert isinstance(found, PoolView)
    assert found.prefixes == (IPv6Network("fd77::/48"),)


def test_cooldowns() -> None:
    pools = {"default": pool(cooldown="90s")}
    assert [cooldown(name, pools) for name in ("", "default", "gone")] == [0, 90, DEFAULT_COOLDOWN]
