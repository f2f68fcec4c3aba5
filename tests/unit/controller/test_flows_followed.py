"""A network is Ready once its flows were followed, and not before: the whole operator over time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.api import conditions as cond
from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.controller.network import WAITING
from dockerv6.controller.operator import _ready_owners
from dockerv6.controller.preview import plan_everything
from dockerv6.controller.status import conditions_before
from dockerv6.firewall.elements import EGRESS_ANY
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.walk.packet import Flow, Paths, first_packet
from dockerv6.firewall.walk.verdicts import PASSES, FilterPlace, FlowVerdict
from tests.fakes.firewall.backend import FakeHostFilter
from tests.simulation.resources import network, policy, pool
from tests.world import Host

READY = ("True", "ReconcileSucceeded")
NOT_FOLLOWED = ("False", "FlowsNotFollowed")
PLACE = FilterPlace(FilterVariant.NFTABLES, "inet", "site", "forward", "handle 4", "forward", "forward")


class SlowFilter(FakeHostFilter):
    """A filter that takes its time to follow flows: each walk waits until it may end."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()
        self.walks = 0

    async def follow(self, flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
        self.walks += 1
        await self.may_end.wait()
        return await super().follow(flows, paths)


def slow_host() -> tuple[Host, SlowFilter]:
    host = Host()
    slow = host.filter = SlowFilter()
    return host, slow


def history(host: Host, name: str = "a", kind: str = NETWORK) -> list[tuple[str, str]]:
    """Ready after each write of the status from now on, without repetitions."""
    found: list[tuple[str, str]] = []
    put = host.store.put_status

    async def noted(at: str, resource: str, status: dict[str, object]) -> None:
        await put(at, resource, status)
        if (at, resource) == (kind, name):
            ready = cond.get(conditions_before(await host.stored(resource, at)), "Ready")
            assert ready is not None
            if found[-1:] != [(ready.status, ready.reason)]:
                found.append((ready.status, ready.reason))

    setattr(host.store, "put_status", noted)  # noqa: B010 - mypy knows the method
    return found


async def test_a_network_is_not_ready_before_its_flows_were_followed() -> None:
    host, slow = slow_host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(60)
        assert await host.docker("a") is not None
        assert await host.ready("a") == NOT_FOLLOWED
        there = {each.type: each for each in await host.conditions("a")}
        assert (there["FirewallReady"].status, there["FirewallReady"].reason) == ("Unknown", "FlowsNotFollowed")
        assert there["FirewallReady"].message.startswith("the flows of this network have not been followed yet")
        assert "Reconciling" in there
        slow.may_end.set()
        await at_work.let(1)
        assert await host.ready("a") == READY
        assert not {each.reason for each in await host.events("a")} & {"FlowsNotFollowed"}
    assert "FlowsNotFollowed" in WAITING


@pytest.mark.parametrize(
    ("verdict", "end"),
    [
        (FlowVerdict(passes=False, place=PLACE), ("False", "FirewallBlocked")),
        (FlowVerdict(passes=None, place=PLACE, doubt="limit"), READY),
    ],
)
async def test_what_the_first_walk_finds_is_the_first_verdict(verdict: FlowVerdict, end: tuple[str, str]) -> None:
    host = Host()
    host.filter.verdict = verdict
    seen = history(host)
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(30)
    assert seen[-1] == end
    assert READY not in seen[:-1]


async def test_the_first_walk_of_a_new_network_does_not_wait_for_the_pace() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
        busy, follow = host.clock, host.filter.follow

        async def long(flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
            await busy.sleep(0.5)  # as beside a ban list of thousands of rules: the pause is 10 s then
            return await follow(flows, paths)

        setattr(host.filter, "follow", long)  # noqa: B010 - mypy knows the method
        host.net.commit_firewall("inet bans")
        await at_work.let(1)
        for name in ("b", "c"):
            host.files.write(network(name))
            await at_work.let(3)
            assert await host.ready(name) == READY


async def test_a_network_that_was_followed_never_loses_ready_while_others_come_and_go() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(network("a"), policy("p"))
    async with host.running() as at_work:
        await at_work.let(5)
        assert await host.ready("a") == READY
        assert await host.ready("p", POLICY) == READY
        seen = history(host)
        host.files.write(network("b"), network("c"))
        await at_work.let(5)
        host.files.delete("b")
        await at_work.let(30)
        host.flush_rules()
        await at_work.let(5)
        host.net.commit_firewall("inet site")
        await at_work.let(30)
    assert set(seen) <= {READY}


async def test_a_network_that_joins_a_policy_is_followed_before_the_policy_is_ready_again() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("p"))
    async with host.running() as at_work:
        await at_work.let(5)
        slow = SlowFilter()
        setattr(host.filter, "follow", slow.follow)  # noqa: B010 - mypy knows the method
        await host.create_foreign("mail", "fd98::/64")
        await at_work.let(5)
        assert await host.ready("p", POLICY) == NOT_FOLLOWED
        slow.may_end.set()
        await at_work.let(2)
        assert await host.ready("p", POLICY) == READY


@pytest.mark.parametrize("passes", [True, False])
async def test_until_the_first_walk_of_a_new_process_the_status_is_that_of_the_process_before(passes: bool) -> None:  # noqa: FBT001 - a parameter
    """What was Ready stays so, and what was not doesn't become Ready for a moment."""
    host = Host()
    if not passes:
        host.filter.verdict = FlowVerdict(passes=False, place=PLACE)
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
    before = READY if passes else ("False", "FirewallBlocked")
    assert await host.ready("a") == before
    slow = SlowFilter()
    slow.verdict, host.filter = host.filter.verdict, slow
    seen = history(host)
    async with host.running() as at_work:
        await at_work.let(5)
        assert slow.walks
        assert set(seen) <= ({READY} if passes else {("False", "FlowsNotFollowed")})
        slow.may_end.set()
        await at_work.let(5)
        assert await host.ready("a") == before
    assert seen[-1:] in ([], [before])


async def test_a_pool_that_was_ready_says_nothing_about_a_network_of_its_name() -> None:
    host = Host()
    host.filter.verdict = FlowVerdict(passes=False, place=PLACE)
    host.files.write(pool("a", prefix="fd77::/48"), network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
        assert await host.ready("a", POOL) == READY
    bench = await host.bench()
    assert "a" not in set(_ready_owners(bench.context))
    slow = host.filter = SlowFilter()
    seen = history(host)
    async with host.running() as at_work:
        await at_work.let(5)
        assert slow.walks
        assert set(seen) <= {NOT_FOLLOWED}
        slow.may_end.set()
        await at_work.let(5)


async def test_a_status_that_is_out_of_date_is_corrected_by_the_first_walk_of_a_new_process() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
    host.filter.verdict = FlowVerdict(passes=False, place=PLACE)
    async with host.running() as at_work:
        await at_work.let(5)
        assert await host.ready("a") == ("False", "FirewallBlocked")


async def test_apply_ends_with_what_the_walk_found() -> None:
    for verdict, end in (
        (FlowVerdict(passes=True), READY),
        (FlowVerdict(passes=False, place=PLACE), ("False", "FirewallBlocked")),
    ):
        host = Host()
        host.filter.verdict = verdict
        host.files.write(network("a"), network("b"))
        async with host.running() as at_work:
            await host.clock.run_until(at_work.operator.settle())
            assert {await host.ready(name) for name in "ab"} == {end}


async def test_a_plan_promises_nothing_about_flows_that_nobody_could_follow() -> None:
    bench = await Host().bench(network("a"))
    (new, *_) = await plan_everything(bench.host.files.read(), bench.context)
    assert new.steps
    assert new.findings == ()
    await bench.reconcile("a")
    other = await bench.host.bench(network("a"))
    (same, *_) = await plan_everything(bench.host.files.read(), other.context)
    assert (same.steps, same.findings) == ((), ())


@pytest.mark.parametrize("same", [True, False])
async def test_a_missing_route_is_named_and_nothing_waits_for_it(same: bool) -> None:  # noqa: FBT001 - a parameter
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
        seen = history(host)
        live = await host.docker("a")
        assert live is not None
        (own,) = [each for each in await host.net.routes() if each.interface == live.bridge]
        host.net.remove_route(own)
        await at_work.let(5)
    async with host.running() as at_work:
        await at_work.let(5)
        assert await host.ready("a") == ("False", "HostNotReady")
        (found,) = [each for each in await host.conditions("a") if each.type == "HostReady"]
        assert f"the host has no route for {own.destination} on {live.bridge}" in found.message
        assert f"`ip -6 route add {own.destination} dev {live.bridge}`" in found.message
        larger = IPv6Network((own.destination.network_address, 64)).supernet(new_prefix=56)
        host.net.add_route(replace(own, metric=1024) if same else replace(own, destination=larger))
        await at_work.let(5)
        assert await host.ready("a") == READY
    assert seen[0][1] == "HostNotReady"


OURS = FilterPlace(FilterVariant.NFTABLES, "inet", "dockerv6", "forward", "handle 9", "forward", "forward")


class Kernel(FakeHostFilter):
    """A filter in which our own table drops what containers of an internal network send, as soon as it is committed.

    `before` is called when a walk has begun: its flows are known, and the kernel is not read yet.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.before: list[Callable[[], Awaitable[object]]] = []

    async def follow(self, flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
        while self.before:
            await self.before.pop()()
        egress = self.host.firewall.ruleset.set(EGRESS_ANY)
        open_ = {each.key[0] for each in egress.elements} if egress is not None else set()
        packet = [first_packet(flow, paths) for flow in flows]
        return [
            PASSES if str(each.subnet) in open_ else FlowVerdict(passes=False, place=OURS, packet=first)
            for each, first in zip(flows, packet, strict=True)
        ]


async def test_a_table_that_is_committed_during_a_walk_is_not_what_blocks_its_flows() -> None:
    """As of a network that becomes internal: its flows are those of the rules before."""
    host = Host()
    kernel = host.filter = Kernel(host)
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(5)
        assert await host.ready("a") == READY
        seen = history(host)

        async def becomes_internal() -> None:
            host.files.write(network("a", internal=True))
            await host.clock.sleep(5)

        kernel.before = [becomes_internal]
        host.net.commit_firewall("inet site")
        await at_work.let(30)
        assert not kernel.before
        live = await host.docker("a")
        assert live is not None
        assert live.internal
        assert await host.ready("a") == READY
    assert "FirewallBlocked" not in {reason for _, reason in seen}
