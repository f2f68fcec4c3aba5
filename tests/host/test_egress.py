"""Packets through the ruleset: who is translated, who is let through, and who is not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import DEFAULT_MARK, NetworkIntent
from dockerv6.lib.networking import InterfaceName
from tests.host.router import opened
from tests.host.topology import CONTAINERS, ROUTER, SUBNETS, WORLD, Topology, endpoint, exchange, received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"))
SHOP = NetworkIntent("shop", IPv6Network(f"{SUBNETS['shop']}::/64"), InterfaceName("br-shop"))
XTABLES = ["nft", "legacy"]


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        yield made


@pytest.fixture
async def bridged_router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns, uplink_is_bridge=True), backend):
        yield made


def seen_by_world(router: Router, name: str, uplink: str = "eth0") -> str:
    """The address under which a container's datagram reaches the world; its answer comes back."""
    topology = router.topology
    with (
        endpoint(topology.containers[name], CONTAINERS[name], 0) as container,
        endpoint(topology.world, WORLD[uplink]) as world,
    ):
        return exchange(container, world)


async def test_containers_are_translated_out_of_every_uplink(router: Router) -> None:
    assert seen_by_world(router, "blog") == CONTAINERS["blog"]
    await router.want(BLOG)
    assert seen_by_world(router, "blog") == ROUTER["eth0"]
    assert seen_by_world(router, "blog", "wg0") == ROUTER["wg0"]
    assert seen_by_world(router, "shop") == CONTAINERS["shop"]


async def test_traffic_to_another_network_shows_the_routers_address_there(router: Router) -> None:
    await router.want(BLOG)
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.containers["db"], CONTAINERS["db"]) as db,
    ):
        assert exchange(blog, db) == f"{SUBNETS['db']}::1"


@pytest.mark.parametrize("variant", XTABLES)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(replace(BLOG, egress_exclude=(IPv6Network("2001:db8:ffff::/48"),)), id="destination"),
        pytest.param(replace(BLOG, egress_interfaces=(InterfaceName("wg0"),)), id="interface"),
    ],
)
async def test_what_is_excluded_stays_untranslated_though_the_engine_would_masquerade(
    router: Router, variant: str, network: NetworkIntent
) -> None:
    router.ip6tables(
        variant, "-t", "nat", "-A", "POSTROUTING", "-s", str(BLOG.subnet), "!", "-o", "br-blog", "-j", "MASQUERADE"
    )
    await router.want(network)
    assert seen_by_world(router, "blog") == CONTAINERS["blog"]
    assert seen_by_world(router, "blog", "wg0") == ROUTER["wg0"]


@pytest.mark.parametrize("variant", XTABLES)
async def test_flows_and_their_replies_pass_a_dropping_forward_once_admitted(router: Router, variant: str) -> None:
    await router.want(BLOG)
    router.drop_by_default(variant)
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, WORLD["eth0"]) as world,
    ):
        blog.sendto(b"too early", world.getsockname())
        await router.admit()
        assert exchange(blog, world) == ROUTER["eth0"]


@pytest.mark.parametrize("variant", XTABLES)
async def test_what_the_world_begins_stays_out(router: Router, variant: str) -> None:
    await router.want(BLOG)
    router.drop_by_default(variant)
    await router.admit()
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, WORLD["eth0"]) as world,
        endpoint(topology.world, WORLD["eth0"], 666) as stranger,
    ):
        stranger.sendto(b"unsolicited", blog.getsockname())
        exchange(blog, world)  # its answer is the first that comes in
        stranger.sendto(b"unsolicited", blog.getsockname())
        exchange(blog, world)


@pytest.mark.parametrize("variant", XTABLES)
async def test_nothing_is_opened_towards_networks_that_are_not_ours(router: Router, variant: str) -> None:
    await router.want(BLOG, SHOP)
    router.drop_by_default(variant)
    await router.admit()
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.containers["db"], CONTAINERS["db"]) as neighbour,
    ):
        blog.sendto(b"across", neighbour.getsockname())
        router.ip6tables(variant, "-P", "FORWARD", "ACCEPT")
        exchange(blog, neighbour)


async def test_an_unmanaged_network_gains_nothing(router: Router) -> None:
    await router.want(BLOG)
    router.drop_by_default("nft")
    await router.admit()
    topology = router.topology
    with (
        endpoint(topology.containers["db"], CONTAINERS["db"]) as db,
        endpoint(topology.world, WORLD["eth0"]) as world,
    ):
        db.sendto(b"out", world.getsockname())
        router.ip6tables("nft", "-P", "FORWARD", "ACCEPT")
        exchange(db, world)


async def test_a_source_address_of_another_network_gains_nothing(router: Router) -> None:
    await router.want(BLOG)
    router.drop_by_default("nft")
    await router.admit()
    topology = router.topology
    stolen = f"{SUBNETS['blog']}::66"
    topology.containers["db"].exec("ip", "address", "add", f"{stolen}/128", "dev", "eth0", "nodad")
    with (
        endpoint(topology.containers["db"], stolen) as thief,
        endpoint(topology.world, WORLD["eth0"]) as world,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        thief.sendto(b"spoofed", world.getsockname())
        exchange(blog, world)


async def test_a_bridge_is_no_way_out_until_it_is_known_to_lead_there(bridged_router: Router) -> None:
    router = bridged_router
    await router.want(BLOG)
    router.drop_by_default("nft")
    await router.admit()
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, WORLD["eth0"]) as world,
    ):
        blog.sendto(b"too early", world.getsockname())
        await router.want(BLOG, uplink_bridges=("br0",))
        assert exchange(blog, world) == ROUTER["eth0"]
    await router.want(replace(BLOG, egress_interfaces=(InterfaceName("br0"),)))
    assert seen_by_world(router, "blog") == ROUTER["eth0"]


async def test_the_mark_keeps_other_bits_and_is_gone_after_the_filters(router: Router) -> None:
    await router.want(BLOG)
    router.topology.router.exec(
        "nft",
        "-f",
        "-",
        stdin=f"""table inet probe {{
            counter filtered {{ }}
            counter leaked {{ }}
            counter kept {{ }}
            chain first {{ type filter hook prerouting priority mangle; meta mark set 0x5; }}
            chain filter {{
                type filter hook forward priority filter;
                meta mark {DEFAULT_MARK | 5} counter name filtered
            }}
            chain last {{
                type filter hook postrouting priority filter;
                meta mark & {DEFAULT_MARK} != 0 counter name leaked
                oifname "eth0" meta mark 0x5 ip6 daddr 2001:db8:ffff::1 counter name kept
            }}
        }}""",
    )
    seen_by_world(router, "blog")
    counted = router.counters()
    assert counted["filtered"] == 2  # out and back
    assert counted["leaked"] == 0
    assert counted["kept"] == 1


async def test_a_network_that_joins_or_leaves_interrupts_nobody(router: Router) -> None:
    await router.want(BLOG)
    router.drop_by_default("nft")
    await router.admit()
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, WORLD["eth0"]) as world,
    ):
        for networks in ((BLOG,), (BLOG, SHOP), (BLOG,)):
            await router.want(*networks)
            assert exchange(blog, world) == ROUTER["eth0"]


async def test_errors_about_a_flow_come_back_through_a_dropping_forward(router: Router) -> None:
    await router.want(BLOG)
    router.drop_by_default("nft")
    await router.admit()
    topology = router.topology
    with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
        blog.connect((WORLD["eth0"], 9))
        blog.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            received(blog)
