"""What comes in and what stays out: allow-lists, isolation, internal networks, icc, ingress, and errors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.host.router import ask, opened, reaches
from tests.host.topology import CONTAINERS, NEIGHBOUR, ROUTER, SUBNETS, WORLD, Topology, endpoint, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"))
SHOP = NetworkIntent("shop", IPv6Network(f"{SUBNETS['shop']}::/64"), InterfaceName("br-shop"))
HOST = ROUTER["eth0"]
NEAR, FAR = WORLD["eth0"], WORLD["wg0"]
BRIDGE = f"{SUBNETS['blog']}::1"
PORT = PortIntent("blog", TransportProtocol.UDP, 5353, IPv6Address(CONTAINERS["blog"]), 53, IPv6Address(BRIDGE))


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        yield made


@pytest.fixture
async def bridging_router(router: Router, make_netns: Callable[[], Namespace]) -> Router:
    """With another container on blog's bridge, whose traffic the packet filter sees (as icc false asks for)."""
    router.topology.add_neighbour(make_netns())
    router.topology.router.exec("ip", "link", "set", "br-blog", "type", "bridge", "nf_call_ip6tables", "1")
    return router


async def reached(router: Router, where: str, container: str = "blog", source: str = "::") -> bool:
    """Whether a datagram from a namespace to a container's own address arrives."""
    topology = router.topology
    namespace = topology.world if where == "world" else topology.containers[where]
    with (
        endpoint(namespace, source, 0) as sender,
        endpoint(topology.router, f"{SUBNETS[container]}::1", 0) as host,
        endpoint(topology.containers[container], CONTAINERS[container]) as receiver,
    ):
        return reaches(sender, receiver, host)


async def test_only_the_allowed_reach_a_port(router: Router) -> None:
    await router.want(BLOG, ports=(replace(PORT, sources=(IPv6Network(f"{NEAR}/128"),)),))
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.world, NEAR) as near,
        endpoint(topology.world, FAR) as far,
        endpoint(topology.containers["shop"], CONTAINERS["shop"]) as shop,
    ):
        far.sendto(b"not allowed", (HOST, 5353))
        shop.sendto(b"not allowed", (HOST, 5353))
        assert ask(near, (HOST, 5353), container) == NEAR
        await router.want(BLOG, ports=(PORT,))
        for client, source in ((far, FAR), (shop, CONTAINERS["shop"])):
            assert ask(client, (HOST, 5353), container) == source


async def test_an_allow_list_also_guards_a_process_of_the_host_that_listens_there(router: Router) -> None:
    await router.want(BLOG, ports=(replace(PORT, sources=(IPv6Network(f"{FAR}/128"),)),))
    topology = router.topology
    router.stop_translating()
    with (
        endpoint(topology.router, HOST, 5353) as process,
        endpoint(topology.world, NEAR) as near,
        endpoint(topology.world, FAR) as far,
    ):
        near.sendto(b"not allowed", (HOST, 5353))
        assert ask(far, (HOST, 5353), process) == FAR


async def test_answers_to_what_the_host_itself_asked_from_a_guarded_port_come_in(router: Router) -> None:
    await router.want(BLOG, ports=(replace(PORT, sources=(IPv6Network(f"{FAR}/128"),)),))
    topology = router.topology
    with endpoint(topology.router, HOST, 5353) as process, endpoint(topology.world, NEAR, 53) as server:
        assert ask(process, (NEAR, 53), server) == HOST


@pytest.mark.parametrize("where", ["world", "shop", "db"])
async def test_unpublished_ports_are_closed_to_hosts_that_have_a_route(router: Router, where: str) -> None:
    assert await reached(router, where)
    await router.want(BLOG, SHOP)
    assert not await reached(router, where)


async def test_a_published_port_is_not_open_at_the_containers_own_address(router: Router) -> None:
    await router.want(BLOG, ports=(PORT,))
    topology = router.topology
    with (
        endpoint(topology.world, NEAR) as world,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
    ):
        assert not reaches(world, container, host)


@pytest.mark.parametrize("guests", [None, ("br-db", "br-shop", "br-blog")])
async def test_without_isolation_other_networks_get_in_but_nobody_from_outside(
    router: Router, guests: tuple[str, ...] | None
) -> None:
    await router.want(replace(BLOG, isolated=False), SHOP, guest_bridges=guests)
    await router.drop_all_but_ours()
    assert not await reached(router, "world")
    topology = router.topology
    with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
        with endpoint(topology.containers["db"], CONTAINERS["db"], 0) as db:
            for _ in range(2):
                assert exchange(db, blog) == CONTAINERS["db"]
        with endpoint(topology.containers["shop"], CONTAINERS["shop"], 0) as shop:
            for _ in range(2):
                assert exchange(shop, blog) == BRIDGE


async def test_nothing_leaves_or_enters_an_internal_network(router: Router) -> None:
    await router.want(replace(BLOG, internal=True), replace(SHOP, isolated=False))
    for where in ("world", "shop", "db"):
        assert not await reached(router, where)
    assert not await reached(router, "blog", container="shop")
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.router, HOST, 0) as host,
        endpoint(topology.world, NEAR) as world,
    ):
        assert not reaches(blog, world, host)
        assert exchange(host, blog) == HOST


@pytest.mark.parametrize("icc", [True, False])
async def test_containers_of_a_network_talk_to_one_another_if_icc_is_on(bridging_router: Router, *, icc: bool) -> None:
    router = bridging_router
    await router.want(replace(BLOG, icc=icc))
    await router.drop_all_but_ours()
    assert await reached(router, "neighbour") is icc


async def test_without_icc_neighbours_still_find_one_another_and_published_ports(bridging_router: Router) -> None:
    router = bridging_router
    await router.want(replace(BLOG, icc=False), ports=(PORT,))
    await router.drop_all_but_ours()
    topology = router.topology
    topology.containers["neighbour"].exec("ip", "-6", "neigh", "flush", "dev", "eth0")
    assert not await reached(router, "neighbour")
    shown = topology.containers["neighbour"].exec("ip", "-6", "neigh", "show", CONTAINERS["blog"]).stdout
    assert "lladdr" in shown
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.containers["neighbour"], NEIGHBOUR) as neighbour,
    ):
        for _ in range(2):
            assert ask(neighbour, (HOST, 5353), container) == BRIDGE


INGRESS = {
    "everybody": (Ingress(), {NEAR, FAR}),
    "one source": (Ingress(sources=(IPv6Network(f"{FAR}/128"),)), {FAR}),
    "one container": (Ingress(targets=(IPv6Network(CONTAINERS["blog"]),)), {NEAR, FAR}),
    "another container": (Ingress(targets=(IPv6Network(NEIGHBOUR),)), set()),
    "its port": (Ingress(ports=((TransportProtocol.TCP, 80), (TransportProtocol.UDP, 5300))), {NEAR, FAR}),
    "another port": (Ingress(ports=((TransportProtocol.TCP, 5300),)), set()),
}


@pytest.mark.parametrize("name", INGRESS)
async def test_ingress_lets_in_from_outside_what_it_says(router: Router, name: str) -> None:
    rule, allowed = INGRESS[name]
    await router.want(replace(BLOG, ingress=(rule,)), SHOP)
    await router.drop_all_but_ours()
    topology = router.topology
    for source in (NEAR, FAR):
        assert await reached(router, "world", source=source) is (source in allowed)
    assert not await reached(router, "shop")
    with endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog:
        for source in allowed:
            with endpoint(topology.world, source, 0) as world:
                for _ in range(3):  # the flow's later packets as well
                    assert exchange(world, blog) == source


async def test_from_outside_by_a_bridge_is_from_outside(make_netns: Callable[[], Namespace], backend: str) -> None:
    async for router in opened(Topology.make(make_netns, uplink_is_bridge=True), backend):
        opened_to_all = replace(BLOG, ingress=(Ingress(),))
        await router.want(opened_to_all)
        assert not await reached(router, "world", source=NEAR)
        await router.want(opened_to_all, uplink_bridges=("br0",))
        assert await reached(router, "world", source=NEAR)
        await router.want(replace(BLOG, isolated=False), uplink_bridges=("br0",))
        assert not await reached(router, "world", source=NEAR)


async def test_echo_comes_in_from_outside_alone(router: Router) -> None:
    await router.want(BLOG, SHOP)
    await router.drop_all_but_ours()
    topology = router.topology
    echo = ("ping", "-6", "-q", "-c", "3", "-i", "0.01", "-w", "10", CONTAINERS["blog"])
    assert "3 received" in topology.world.exec(*echo).stdout
    quick = ("ping", "-6", "-q", "-c", "1", "-W", "0.2", CONTAINERS["blog"])
    assert "0 received" in topology.containers["shop"].exec(*quick, check=False).stdout


async def test_ipv4_is_left_alone(bridging_router: Router) -> None:
    router = bridging_router
    await router.want(replace(BLOG, icc=False, internal=True), replace(SHOP, internal=True))
    topology = router.topology
    host = topology.router
    host.exec("ip", "link", "set", "br-blog", "type", "bridge", "nf_call_iptables", "1")
    host.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    for number, network in enumerate(("blog", "shop"), 1):
        host.exec("ip", "address", "add", f"192.0.2.{number * 64 + 1}/26", "dev", f"br-{network}")
    for name, number, gateway in (("blog", 66, 65), ("neighbour", 67, 65), ("shop", 130, 129)):
        container = topology.containers[name]
        container.exec("ip", "address", "add", f"192.0.2.{number}/26", "dev", "eth0")
        container.exec("ip", "route", "add", "default", "via", f"192.0.2.{gateway}")
    for target in ("192.0.2.67", "192.0.2.130"):
        topology.containers["blog"].exec("ping", "-q", "-c", "1", "-w", "10", target)
