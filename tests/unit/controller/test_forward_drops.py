"""Drops in the host's filter that only a person can remove."""

from dataclasses import replace
from functools import partial

import pytest

from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.port import FirewallError
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

DROP = ForwardDrop(
    FilterVariant.NFTABLES,
    "inet firewalld",
    "filter_FORWARD",
    has_accept_rule=False,
    repairable=False,
    remedy="allow it there",
)
FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False, repairable=True)
OWNERS = ["a", "policy/p"]


class Heard:
    """A bench with a network and a policy, and the owners that were reported."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.filter = bench, bench.host.filter
        self.owners: list[str] = []
        bench.context.firewall.on_owner_changed(self.owners.append)

    async def since(self) -> list[str]:
        """Read the host's filter; return the owners that were reported meanwhile."""
        self.owners.clear()
        self.bench.context.firewall.invalidate_filter()
        await self.bench.context.firewall.view()
        return list(self.owners)


async def heard(*drops: ForwardDrop) -> Heard:
    bench = await Host().bench(network("a"), policy("p"))
    for drop in drops:
        bench.host.filter.add_forward_drop(drop)
    return Heard(bench)


async def test_what_is_there_at_the_first_look_is_no_news() -> None:
    it = await heard(DROP)
    assert await it.since() == []


async def test_one_that_comes_or_goes_concerns_every_owner_once() -> None:
    it = await heard()
    await it.since()
    it.filter.add_forward_drop(DROP)
    assert (await it.since(), await it.since()) == (OWNERS, [])
    it.filter.clear_forward_drops()
    assert (await it.since(), await it.since()) == (OWNERS, [])


async def test_another_remedy_concerns_every_owner() -> None:
    it = await heard(DROP)
    await it.since()
    it.filter.clear_forward_drops()
    it.filter.add_forward_drop(replace(DROP, remedy="switch it off"))
    assert await it.since() == OWNERS


async def test_a_place_that_can_be_mended_concerns_nobody() -> None:
    it = await heard()
    await it.since()
    it.filter.add_forward_drop(FORWARD)
    assert await it.since() == []
    await it.bench.context.firewall.add_accept_rule(FORWARD)
    assert await it.since() == []


async def test_statuses_tell_of_one_when_it_comes_and_no_longer_when_it_goes() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(network("a"), policy("p"))
    async with host.running() as at_work:
        await at_work.let(1)
        for change, reported in (
            (partial(host.filter.add_forward_drop, DROP), True),
            (host.filter.clear_forward_drops, False),
        ):
            change()
            host.net.commit_firewall(DROP.table)
            await at_work.let(3)
            for name, kind in (("a", "IPv6Network"), ("p", "IPv6Policy")):
                said = {c.message for c in await host.conditions(name, kind)}
                assert any(DROP.remedy in message for message in said) is reported


async def test_a_filter_that_can_not_be_read_keeps_nothing_from_being_created(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.filter.add_forward_drop(FORWARD)
    host.files.write(network("a"))

    async def unreadable(_: int) -> HostFilterState:
        raise FirewallError("Cannot allocate memory")

    async with host.running() as it:
        with monkeypatch.context() as patched:
            patched.setattr(host.filter, "observe", unreadable)
            await it.let(30)
            assert host.rules_of("a")
            assert await host.docker("a") is not None
            condition = await host.condition("a", "FirewallReady")
            assert condition is not None
            assert (condition.status, condition.reason) == ("Unknown", "FirewallBlocked")
            assert "can't be read (Cannot allocate memory)" in condition.message
            assert not host.filter.accept_rules
        await it.let(60)
        assert host.filter.accept_rules
        condition = await host.condition("a", "FirewallReady")
        assert condition is not None
        assert condition.status == "True"
