"""What every `Firewall` does, the fake as much as nftables."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.fake import FakeFirewall
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.rules import render
from dockerv6.firewall.ruleset import EMPTY, Change, diff
from dockerv6.firewall.steps import DeleteTable
from dockerv6.firewall.terms import Chain, Element
from tests.host.network import private_network
from tests.unit.firewall.intents import BLOG, SHOP, intent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dockerv6.firewall.port import Firewall

ONE = render(intent(BLOG))
BOTH = render(FirewallIntent((BLOG, SHOP), uplink_bridges=("br0",)))


@pytest.fixture(params=["fake", pytest.param("nftables", marks=pytest.mark.host)])
async def firewall(request: pytest.FixtureRequest) -> AsyncIterator[Firewall]:
    if request.param == "fake":
        yield FakeFirewall()
        return
    with private_network():
        session = NftSession()
        yield NftablesFirewall(session)
        await session.close()


async def test_nothing_is_there_at_first(firewall: Firewall) -> None:
    assert firewall.backend
    assert await firewall.observe() == EMPTY


async def test_what_was_applied_is_read_back(firewall: Firewall) -> None:
    assert await firewall.apply(diff(BOTH, EMPTY)) == BOTH
    assert await firewall.observe() == BOTH


async def test_what_is_seen_grows_with_what_is_applied(firewall: Firewall) -> None:
    await firewall.observe()
    before = firewall.seen
    await firewall.apply(diff(ONE, EMPTY))
    if before is None:
        assert firewall.seen is None
    else:
        assert firewall.seen == before + 1


async def test_an_empty_change_changes_nothing(firewall: Firewall) -> None:
    await firewall.apply(diff(ONE, EMPTY))
    assert await firewall.apply(diff(ONE, ONE)) == ONE


async def test_networks_come_and_go(firewall: Firewall) -> None:
    for desired in (ONE, BOTH, ONE, EMPTY, BOTH):
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_destinations_can_shrink_and_grow_into_each_other(firewall: Firewall) -> None:
    for exclude in ("fc00::/7", "fd00::/8", "fd12::/16", "fc00::/7", "::/0"):
        desired = render(intent(replace(BLOG, egress_exclude=(IPv6Network(exclude),))))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_a_subnet_can_shrink_grow_and_change_its_owner(firewall: Firewall) -> None:
    for subnet, owner in (("fd00::/64", "a"), ("fd00::/48", "a"), ("fd00::/80", "b"), ("fd00::5/128", "b")):
        desired = render(intent(replace(BLOG, owner=owner, subnet=IPv6Network(subnet))))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_held_elements_stay(firewall: Firewall) -> None:
    await firewall.apply(diff(BOTH, EMPTY))
    hold = frozenset({"shop"})
    after = await firewall.apply(diff(EMPTY, await firewall.observe(), hold))
    assert after.owners == hold
    assert after.chains == BOTH.chains


async def test_a_dry_run_changes_nothing(firewall: Firewall) -> None:
    change = diff(BOTH, EMPTY)
    await firewall.check(change)
    await firewall.check(change)
    assert await firewall.observe() == EMPTY
    assert await firewall.apply(change) == BOTH


async def test_a_change_that_fails_in_its_middle_does_nothing_at_all(firewall: Firewall) -> None:
    await firewall.apply(diff(ONE, EMPTY))
    inside = Element(("fd12:3456:789a:1::/80",), "other")
    target = replace(ONE, sets=(replace(ONE.sets[0], elements=ONE.sets[0].elements | {inside}), *ONE.sets[1:]))
    change = diff(replace(target, chains=(*ONE.chains, Chain("zzz"))), ONE)
    assert len(change.steps) == 2
    with pytest.raises(FirewallRejected):
        await firewall.check(change)
    with pytest.raises(FirewallRejected):
        await firewall.apply(change)
    assert await firewall.observe() == ONE


async def test_a_change_made_against_what_is_no_longer_there_still_reaches_its_target(firewall: Firewall) -> None:
    stale = diff(BOTH, EMPTY)
    await firewall.apply(diff(ONE, EMPTY))
    assert await firewall.apply(stale) == BOTH
    assert await firewall.apply(Change((DeleteTable("gone"),), EMPTY)) == EMPTY
    assert await firewall.apply(diff(ONE, BOTH)) == ONE


async def test_sweeping_removes_everything_and_twice_is_no_error(firewall: Firewall) -> None:
    await firewall.apply(diff(BOTH, EMPTY))
    await firewall.sweep()
    await firewall.sweep()
    assert await firewall.observe() == EMPTY
