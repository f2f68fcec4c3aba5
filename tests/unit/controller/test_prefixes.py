"""When the prefix of an interface is followed, and which resources are enqueued."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.api.scheme import Resource
from dockerv6.controller.inventory import TRACKED_PREFIXES
from dockerv6.controller.prefixes import track_prefixes, tracked_interfaces
from dockerv6.hostnet.model import HostPrefix, Route, RouteProtocol
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.addressing.tracked_prefixes import SETTLE, TrackedPrefix
from dockerv6.reconciler.handler import Key, TemporaryError
from dockerv6.store.port import StoreError
from tests.simulation.coupled import ETH0
from tests.simulation.provider import Provider
from tests.simulation.resources import network, policy, pool
from tests.world import Bench, Host

OLD, NEW = "2001:db8:a00::/56", "2001:db8:b00::/56"
ISP = pool("isp", fromInterface={"name": "eth0"})
DRAWS = network("draws", addressing={"poolRef": {"name": "isp"}})
OUTER = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}
ETH1 = replace(ETH0, index=4, name="eth1", addresses=(IPv6Interface("2001:db8:2::5/64"),))
TRANSLATED = network("translated", egress=OUTER)


class Follower:
    """An operator's workbench behind a provider, and what it enqueues."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host, self.context = bench, bench.host, bench.context
        self.provider = Provider(bench.host)
        self.enqueued: list[Key] = []
        bench.context.enqueue = lambda key, _: self.enqueued.append(key)

    async def look(self) -> float | None:
        """As after a notification; gives when it wants to look again without one."""
        self.enqueued.clear()
        self.bench.invalidate_all()
        again = await track_prefixes(self.context)
        return again.after if again is not None else None

    def prefix(self, interface: str = "eth0") -> str:
        return str(self.tracked(interface).prefix)

    def tracked(self, interface: str = "eth0") -> TrackedPrefix:
        return self.context.inventory.holdings.tracked[interface]

    async def events(self, name: str, kind: str = NETWORK) -> list[tuple[str, int]]:
        return [(e.reason, e.count) for e in await self.host.events(name, kind) if e.reason.startswith("Prefix")]


async def follower(*resources: Resource) -> Follower:
    it = Follower(await Host().bench(*(resources or (ISP, DRAWS))))
    it.provider.delegate(OLD)
    return it


async def changed(it: Follower) -> None:
    """Another prefix was there for long enough."""
    it.provider.replace_delegations(NEW)
    await it.look()
    it.host.clock.advance(SETTLE)
    await it.look()


async def test_prefixes_are_not_read_while_no_resource_follows_one() -> None:
    it = await follower(network(), pool("lan", prefix="fd00:1::/48"))
    assert tracked_interfaces(it.context) == frozenset()
    assert await it.look() is None
    assert await it.host.store.records(TRACKED_PREFIXES) == {}


async def test_the_first_prefix_is_believed_at_once_and_durably() -> None:
    it = await follower()
    await it.look()
    assert it.prefix() == OLD
    restarted = await it.host.bench()
    assert restarted.context.inventory.holdings.tracked == it.context.inventory.holdings.tracked


async def test_an_interface_without_a_prefix_is_waited_for() -> None:
    it = await follower(pool("other", fromInterface={"name": "eth7"}))
    await it.look()
    assert it.context.inventory.holdings.tracked == {}
    assert await it.events("other", POOL) == []


async def test_a_change_is_believed_when_it_has_lasted() -> None:
    it = await follower()
    await it.look()
    it.provider.replace_delegations(NEW)
    assert await it.look() == SETTLE
    assert it.prefix() == OLD
    it.host.clock.advance(SETTLE - 0.5)
    assert await it.look() == 0.5
    assert it.prefix() == OLD
    it.host.clock.advance(0.5)
    await it.look()
    assert it.prefix() == NEW


async def test_one_that_comes_back_meanwhile_has_never_been_away() -> None:
    it = await follower()
    await it.look()
    it.provider.replace_delegations(NEW)
    await it.look()
    it.host.clock.advance(SETTLE / 2)
    it.provider.replace_delegations(OLD)
    await it.look()
    it.host.clock.advance(10 * SETTLE)
    await it.look()
    assert it.prefix() == OLD
    assert await it.events("draws") == [("PrefixFollowed", 1)]


async def test_a_change_is_believed_after_a_restart_without_a_second_wait() -> None:
    it = await follower()
    await it.look()
    it.provider.replace_delegations(NEW)
    await it.look()
    it.host.clock.advance(SETTLE)
    again = Follower(await it.host.bench())
    await again.look()
    assert again.prefix() == NEW


async def test_a_prefix_without_a_successor_is_kept_and_reported() -> None:
    it = await follower()
    it.provider.withdraw("2001:db8:1::/64")
    await it.look()
    it.provider.undelegate(OLD)
    assert await it.look() == SETTLE
    it.host.clock.advance(SETTLE)
    await it.look()
    assert it.prefix() == OLD
    assert it.tracked().withdrawn
    assert await it.events("draws") == [("PrefixFollowed", 1), ("PrefixWithdrawn", 1)]
    it.provider.delegate(OLD)
    await it.look()
    assert not it.tracked().withdrawn
    assert await it.events("draws") == [("PrefixFollowed", 1), ("PrefixWithdrawn", 1), ("PrefixReturned", 1)]


async def test_all_resources_that_use_it_are_enqueued_pools_first() -> None:
    it = await follower(
        ISP, DRAWS, TRANSLATED, network("neither"), policy("outer", egress=OUTER), policy("others"),
        pool("lan", fromInterface={"name": "eth1"}),
    )  # fmt: skip
    await it.look()
    users = [Key(POOL, "isp"), Key(NETWORK, "draws"), Key(NETWORK, "translated"), Key(POLICY, "outer")]
    assert it.enqueued == users
    await it.look()
    assert it.enqueued == []
    await changed(it)
    assert [key for key in it.enqueued if key in users] == users


async def test_each_resource_that_uses_it_gets_one_event() -> None:
    both = network("both", addressing={"poolRef": {"name": "isp"}}, egress=OUTER)
    it = await follower(ISP, both)
    await it.look()
    await it.look()
    await changed(it)
    await it.look()
    expected = [("PrefixFollowed", 1), ("PrefixChanged", 1)]
    assert await it.events("isp", POOL) == expected
    assert await it.events("both") == expected


async def test_prefixes_that_can_not_be_read_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    it = await follower()

    async def broken() -> Sequence[HostPrefix]:
        raise HostNetError("no buffer space")

    with monkeypatch.context() as patch:
        patch.setattr(it.host.net, "prefixes", broken)
        with pytest.raises(TemporaryError, match="no buffer space"):
            await it.look()
    await it.look()
    assert it.prefix() == OLD


async def test_what_can_not_be_kept_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    it = await follower()

    async def full(*_: object) -> None:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(it.host.store, "put_record", full)
        with pytest.raises(StoreError):
            await it.look()
    assert it.context.inventory.holdings.tracked == {}
    await it.look()
    assert it.prefix() == OLD


async def test_each_interface_has_a_prefix_of_its_own() -> None:
    it = await follower(ISP, DRAWS, pool("lan", fromInterface={"name": "eth1"}))
    it.host.net.add_interface(ETH1)
    it.host.net.add_route(Route(IPv6Network("2001:db8:2::/64"), "eth1", RouteProtocol.KERNEL, 254))
    await it.look()
    assert (it.prefix("eth0"), it.prefix("eth1")) == (OLD, "2001:db8:2::/64")
    await changed(it)
    assert (it.prefix("eth0"), it.prefix("eth1")) == (NEW, "2001:db8:2::/64")
    assert [reason for reason, _ in await it.events("lan", POOL)] == ["PrefixFollowed"]


async def test_an_interface_that_is_no_longer_followed_is_forgotten() -> None:
    it = await follower()
    await it.look()
    await it.bench.accept(pool("isp", prefix="fd00:1::/48"))
    await it.look()
    assert it.context.inventory.holdings.tracked == {}
    assert await it.host.store.records(TRACKED_PREFIXES) == {}


async def test_an_interface_that_comes_back_under_its_name_is_the_same() -> None:
    it = await follower()
    await it.look()
    since = it.tracked().since
    it.provider.unplug()
    await it.look()
    it.host.clock.advance(60)
    await it.look()
    assert it.prefix() == OLD
    it.provider.plug("2001:db8:1::5/64", index=77)
    await it.look()
    found = it.tracked()
    assert (str(found.prefix), found.since, found.withdrawn) == (OLD, since, False)
