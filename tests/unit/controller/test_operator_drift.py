"""What others do to the host, and how soon the whole operator has put it right."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.hostnet.model import Interface, Route, RouteProtocol, RoutingRule
from dockerv6.planning.host.sysctls import FORWARDING
from tests.simulation.coupled import ETH0
from tests.simulation.resources import network
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)
READY = ("True", "ReconcileSucceeded")


class TestDrift:
    """Notifications are enough: nothing here waits for the resync."""

    async def test_rules_that_were_flushed_come_back_at_once(self) -> None:
        host = Host()
        host.filter.add_forward_drop(FORWARD)
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            rules, admitted = host.rules_of("blog"), set(host.filter.accept_rules)
            host.flush_rules()
            await at_work.let(0)
            assert host.rules_of("blog") == rules
            await at_work.let(1)
            assert host.filter.accept_rules == admitted
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
            host.net.change_sysctl(FORWARDING, "0")
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
            host.filter.add_forward_drop(FORWARD)
            host.net.commit_firewall("ip6 filter")
            await at_work.let(1)
            assert host.filter.accept_rules

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
            host.firewall.flush_all()  # without a notification
            host.net.overflow_notifications()
            await at_work.let(1)
            assert await host.snapshot() == before

    async def test_the_resync_finds_changes_without_notifications(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            before = await host.snapshot()
            host.firewall.flush_all()
            await at_work.let(601)
            assert await host.snapshot() == before


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


class TestRoutes:
    """Routes that others add (moby/moby#46615)."""

    async def test_one_that_takes_packets_of_a_network_is_reported_while_it_is_there(self) -> None:
        host = Host()
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            live = await host.docker("blog")
            assert live is not None
            taker = Route(IPv6Network(f"{live.ipv6[0].subnet.network_address}/80"), "wg0", RouteProtocol.STATIC, 254)
            host.net.add_route(taker)
            await at_work.let(2)
            assert await host.ready("blog") == ("False", "RouteConflict")
            host.net.remove_route(taker)
            await at_work.let(2)
            assert await host.ready("blog") == READY

    @pytest.mark.parametrize(
        ("kind", "bits", "metric"),
        [("unreachable", 64, 17), ("throw", 65, 1024), ("blackhole", 128, 5000), ("prohibit", 0, 3)],
    )
    async def test_one_that_drops_them_is_over_as_soon_as_the_remedy_was_pasted(
        self, kind: str, bits: int, metric: int
    ) -> None:
        """Also where it is too long or too short for a delegated prefix, and its notification was ignored."""
        host = Host()
        for rule in (RoutingRule(0, 255), RoutingRule(32766, 254)):
            host.net.add_rule(rule)
        host.files.write(network())
        async with host.running() as at_work:
            await at_work.let(1)
            live = await host.docker("blog")
            assert live is not None
            to = IPv6Network((live.ipv6[0].subnet.network_address if bits else 0, bits))
            drops = Route(to, "lo", RouteProtocol.STATIC, 254, metric, kind)
            host.net.add_route(drops)
            await at_work.let(2)
            assert await host.ready("blog") == ("False", "RouteConflict")
            (found,) = [each for each in await host.conditions("blog") if each.type == "HostReady"]
            assert f"`ip -6 route del {kind} {to} dev lo metric {metric}`" in found.message
            host.net.remove_route(drops)
            await at_work.let(2)
            assert await host.ready("blog") == READY
