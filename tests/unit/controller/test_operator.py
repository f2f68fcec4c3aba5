"""The whole operator on a simulated host: what happens to it, and what it makes of that, on the fake clock."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.controller.settings import ControllerSettings
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.model import Barrier, FilterVariant
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.hostnet.port import HostNetDenied
from dockerv6.planning.host import FORWARDING
from tests.simulation.kernel import ETH0
from tests.simulation.resources import ROOT, invalid, network, pool
from tests.world import Host

FORWARD = Barrier(FilterVariant.XTABLES_NFT, "filter", "FORWARD", admitted=False, mendable=True)
READY = ("True", "ReconcileSucceeded")


async def test_a_file_becomes_a_network() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert await host.docker("blog")


async def test_a_file_that_comes_later_and_changes_is_followed() -> None:
    host = Host()
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network())
        await at_work.let(1)
        host.files.write(network("blog", internal=True))
        await at_work.let(1)
        there = await host.docker("blog")
        assert there is not None
        assert there.internal
        assert host.rules_of("blog") == {"internal v6-blog", "own_bridge v6-blog . v6-blog"}


async def test_many_files_become_many_networks_that_do_not_overlap() -> None:
    host = Host()
    host.files.write(*(network(f"n{i}") for i in range(20)))
    async with host.running() as at_work:
        await at_work.let(5)
        held = [a.prefix for a in await host.ledger.allocations()]
        assert len(held) == 20
        assert not any(a.overlaps(b) for i, a in enumerate(held) for b in held[i + 1 :])
        assert {await host.ready(f"n{i}") for i in range(20)} == {READY}
        assert len(await host.ours()) == 20
        assert len([c for c in host.engine.calls if c.method == "create_network"]) == 20


async def test_a_file_that_is_gone_for_the_grace_takes_its_network_along() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.delete("a")
        await at_work.let(4)
        assert await host.docker("a")
        await at_work.let(2)
        assert await host.docker("a") is None
        assert await host.docker("b")


async def test_the_last_file_takes_its_network_along_and_the_host_is_as_it_was() -> None:
    host = Host()
    host.filter.raise_barrier(FORWARD)
    host.files.write(network())
    before = await host.snapshot()
    async with host.running() as at_work:
        await at_work.let(1)
        assert host.filter.admitted
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.snapshot() == before
        assert not host.filter.admitted
        assert await host.net.sysctl(FORWARDING) == "0"
        assert await host.store.objects("IPv6Network") == ()


async def test_an_invalid_version_leaves_the_last_good_one_and_says_so() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        before = await host.snapshot()
        host.files.write(invalid("blog", "unknown field"))
        await at_work.let(10)
        assert await host.snapshot() == before
        accepted = await host.condition("blog", "Accepted")
        assert accepted is not None
        assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
        assert "InvalidSpec" in {e.reason for e in await host.events("blog")}
        host.files.write(network())
        await at_work.let(1)
        assert await host.ready("blog") == READY


@pytest.mark.parametrize("damage", ["unlisted", "empty", "broken"])
async def test_a_source_that_can_not_be_trusted_prunes_nothing(damage: str) -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        before = await host.snapshot()
        if damage == "broken":
            host.files.broken.add(f"{ROOT}/blog.yaml")
        else:
            host.files.contents.clear()
            host.files.root = replace(host.files.root, listed=damage == "empty", identity="9:9", problem="gone")
        host.files.touch()
        await at_work.let(60)
        assert await host.snapshot() == before


async def test_a_mass_deletion_waits_for_a_persons_word() -> None:
    host = Host()
    names = [f"n{i}" for i in range(5)]
    host.files.write(*(network(n) for n in names))
    async with host.running() as at_work:
        await at_work.let(2)
        host.files.delete(*names[:4])
        await at_work.let(30)
        assert len(await host.ours()) == 5
        held = await host.condition("n0", "PruneHeld")
        assert held is not None
        await host.store.put_record("prune", "confirmed", {"at": host.clock.now()})
        await at_work.let(10)
        assert [n.name for n in await host.ours()] == ["n4"]


async def test_a_word_that_was_given_before_does_not_count() -> None:
    host = Host()
    names = [f"n{i}" for i in range(5)]
    host.files.write(*(network(n) for n in names))
    async with host.running() as at_work:
        await at_work.let(2)
        await host.store.put_record("prune", "confirmed", {"at": host.clock.now()})
        await at_work.let(2)
        host.files.delete(*names[:4])
        await at_work.let(30)
        assert len(await host.ours()) == 5


async def test_files_that_come_back_end_the_wait() -> None:
    host = Host()
    resources = [network(f"n{i}") for i in range(4)]
    host.files.write(*resources)
    async with host.running() as at_work:
        await at_work.let(2)
        host.files.delete(*(r.metadata.name for r in resources))
        await at_work.let(10)
        host.files.write(*resources)
        await at_work.let(1)
        assert await host.condition("n0", "PruneHeld") is None
        assert await host.ready("n0") == READY


async def test_without_prune_nothing_is_deleted() -> None:
    host = Host(settings=ControllerSettings(roots=(ROOT,), prune=False))
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.delete("blog")
        await at_work.let(60)
        assert await host.docker("blog")


async def test_what_was_deleted_while_nobody_watched_goes_at_the_next_start() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
    host.files.delete("a")
    async with host.running() as at_work:
        await at_work.let(10)
        assert [n.name for n in await host.ours()] == ["b"]


async def test_a_deletion_waits_until_the_containers_have_left() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog")
        await at_work.let(1)
        host.files.delete("blog")
        await at_work.let(20)
        assert await host.ready("blog") == ("False", "Deleting")
        host.engine.stop_container(web)
        await at_work.let(1)
        assert await host.ours() == ()


async def test_a_resource_that_comes_back_while_it_is_deleted_stays() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        before = await host.snapshot()
        host.files.delete("blog")
        await at_work.let(20)
        host.files.write(network())
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert await host.snapshot() == before


class TestDrift:
    """Notifications are enough: nothing here waits for the resync."""

    async def test_rules_that_were_flushed_come_back_at_once(self) -> None:
        host = Host()
        host.filter.raise_barrier(FORWARD)
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            rules, admitted = host.rules_of("blog"), set(host.filter.admitted)
            host.flush_rules()
            await at_work.let(0)
            assert host.rules_of("blog") == rules
            await at_work.let(1)
            assert host.filter.admitted == admitted
            drifted = await host.condition("blog", "Drifted")
            assert drifted is not None
            assert drifted.reason == "Restored"

    async def test_a_removed_network_comes_back_with_its_containers(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            host.engine.run_container("web", "blog")
            await at_work.let(1)
            before = await host.snapshot()
            await host.remove_by_hand("blog")
            await at_work.let(1)
            assert await host.snapshot() == before

    async def test_forwarding_that_was_turned_off_is_turned_on(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            host.net.flip_sysctl(FORWARDING, "0")
            await at_work.let(1)
            assert await host.net.sysctl(FORWARDING) == "1"

    async def test_a_deleted_bridge_comes_back(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before = await host.snapshot()
            host.net.remove_interface("v6-blog")
            await at_work.let(1)
            assert await host.snapshot() == before

    async def test_a_bridge_that_was_set_down_is_set_up(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before = await host.snapshot()
            bridge = next(i for i in await host.net.interfaces() if i.name == "v6-blog")
            host.net.add_interface(replace(bridge, up=False, addresses=()))
            await at_work.let(1)
            assert await host.snapshot() == before

    async def test_a_barrier_that_is_raised_later_is_passed(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            host.filter.raise_barrier(FORWARD)
            host.net.change_firewall("ip6 filter")
            await at_work.let(1)
            assert host.filter.admitted

    async def test_an_uplink_that_begins_to_hear_a_router_is_guarded(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            wifi = Interface(9, "wlan0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:2::7/64"),))
            host.net.add_interface(replace(wifi, autoconfigured=True))
            await at_work.let(1)
            assert await host.net.sysctl("net/ipv6/conf/wlan0/accept_ra") == "2"

    async def test_lost_notifications_cost_nothing(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before = await host.snapshot()
            host.firewall.flush_all()  # and nobody is told
            host.net.lose_changes()
            await at_work.let(1)
            assert await host.snapshot() == before

    async def test_the_resync_finds_what_nobody_told(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before = await host.snapshot()
            host.firewall.flush_all()
            await at_work.let(601)
            assert await host.snapshot() == before


class TestFaults:
    async def test_an_engine_that_starts_later_is_waited_for(self) -> None:
        host = Host()
        host.engine.down()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(30)
            assert await host.ready("blog") == ("False", "EngineUnavailable")
            host.engine.up()
            await at_work.let(10)
            assert await host.ready("blog") == READY

    async def test_an_engine_that_restarts_costs_nothing(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before, commits = await host.snapshot(), host.firewall.commits
            host.engine.down()
            await at_work.let(60)
            host.engine.up()
            await at_work.let(60)
            assert await host.snapshot() == before
            assert host.firewall.commits == commits
            assert await host.ready("blog") == READY

    async def test_a_silent_engine_is_not_asked_by_everybody_all_the_time(self) -> None:
        host = Host()
        host.files.write(*(network(f"n{i}") for i in range(10)))
        async with host.running() as at_work:
            await at_work.let(5)
            host.engine.down()
            await at_work.let(1)
            before = len(host.engine.calls)
            await at_work.let(60)
            assert len(host.engine.calls) - before < 300

    async def test_a_firewall_that_can_be_had_later_is_waited_for(self) -> None:
        host = Host()
        host.files.write(network())
        original = host.firewall.observe
        host.firewall.observe = _no_firewall  # type: ignore[method-assign]
        async with host.running() as at_work:
            await at_work.let(60)
            assert await host.ready("blog") == ("False", "FirewallUnavailable")
            assert await host.ours() == ()
            host.firewall.observe = original  # type: ignore[method-assign]
            await at_work.let(60)
            assert await host.ready("blog") == READY

    async def test_a_host_that_denies_is_told_of_and_tried_again(self) -> None:
        host = Host()
        host.net.deny()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            assert await host.ready("blog") == ("False", "HostDenied")
            host.net.permit()
            await at_work.let(120)
            assert await host.ready("blog") == READY

    async def test_kernel_notifications_that_fail_are_opened_again(self) -> None:
        host = Host()
        host.files.write(network())
        original = host.net.changes
        host.net.changes = _denied  # type: ignore[method-assign,assignment]
        async with host.running() as at_work:
            await at_work.let(1)
            assert await host.ready("blog") == READY
            host.net.changes = original  # type: ignore[method-assign]
            await at_work.let(60)
            rules = host.rules_of("blog")
            host.flush_rules()
            await at_work.let(0)
            assert host.rules_of("blog") == rules

    async def test_a_hiccup_of_the_engine_is_over_soon(self) -> None:
        host = Host()
        host.files.write(network())
        host.engine.fail_next("create_network", EngineUnavailable("timeout"), times=2)
        async with host.running() as at_work:
            await at_work.let(30)
            assert await host.ready("blog") == READY


async def _no_firewall() -> Ruleset:
    raise FirewallUnavailable("install nftables")


def _denied() -> object:
    raise HostNetDenied("nf_tables' notifications need CAP_NET_ADMIN")


class TestRestart:
    async def test_a_restart_changes_nothing(self) -> None:
        host = Host()
        host.files.write(network("a"), network("b", egress={"interfaces": ["eth0"]}))
        async with host.running() as at_work:
            await at_work.let(2)
            host.engine.run_container("web", "a")
            await at_work.let(1)
        before, commits, calls = await host.snapshot(), host.firewall.commits, len(host.engine.calls)
        writes = len(host.net.writes)
        async with host.running() as at_work:
            await at_work.let(60)
        assert await host.snapshot() == before
        assert host.firewall.commits == commits
        assert len(host.net.writes) == writes
        changing = {"create_network", "remove_network", "connect", "disconnect"}
        assert not changing & {c.method for c in host.engine.calls[calls:]}

    async def test_a_restart_with_an_unreadable_source_removes_no_rules_even_when_the_state_is_lost(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
        rules = host.rules_of("blog")
        host.store, host.ledger = Host().store, Host().ledger
        host.files.root = replace(host.files.root, listed=False)
        async with host.running() as at_work:
            await at_work.let(30)
            assert host.rules_of("blog") == rules
            assert await host.docker("blog")
            host.files.root = replace(host.files.root, listed=True)
            await at_work.let(10)
            assert host.rules_of("blog") == rules
            assert await host.ready("blog") == READY

    async def test_it_stops_within_a_second(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            started = host.clock.monotonic()
            await host.clock.run_until(at_work.operator.stop())
            assert host.clock.monotonic() - started < 1


async def test_router_advertisements_survive_the_first_network() -> None:
    host = Host()
    advertised = Route(IPv6Network("::/0"), "eth0", RouteProtocol.RA, 254)
    host.net.add_interface(replace(ETH0, autoconfigured=True))
    host.net.add_route(advertised)
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        assert advertised in await host.net.routes()
        assert host.net.writes[:2] == [
            ("net/ipv6/conf/eth0/accept_ra", "2"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ]


async def test_an_observed_network_is_followed() -> None:
    host = Host()
    host.files.write(network("blog", managementPolicy="Observe", networkName="compose_default"))
    async with host.running() as at_work:
        await at_work.let(1)
        assert await host.ready("blog") == ("False", "NetworkNotFound")
        there = await host.create_foreign("compose_default", "fd00:77::/64")
        await at_work.let(1)
        assert host.rules_of("blog")
        await host.engine.remove_network(there)
        await at_work.let(1)
        assert host.rules_of("blog") == frozenset()


async def test_networks_that_wait_for_a_pool_have_it_as_soon_as_it_is_there() -> None:
    host = Host()
    host.files.write(network("blog", addressing={"poolRef": {"name": "office"}}))
    async with host.running() as at_work:
        await at_work.let(1)
        assert await host.ready("blog") == ("False", "PoolNotFound")
        host.files.write(pool("office", prefix="fd00:9::/48"))
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert (await host.stored("office", "IPv6Pool")).status["allocated"] == 1
        host.files.delete("office")
        await at_work.let(10)
        assert (await host.ready("office", "IPv6Pool"))[1] == "InUse"
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.store.object("IPv6Pool", "office") is None


async def test_it_settles_when_everything_is_done() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await host.clock.run_until(at_work.operator.settle())
        assert await host.ready("blog") == READY
