"""Packets to published ports: from outside, from the host itself, from containers; and who sees whose address."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import NetworkIntent, PortIntent
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.host.router import ask, call, iptables_only, listener, nftables_only, opened
from tests.host.topology import CONTAINERS, NEIGHBOUR, ROUTER, SUBNETS, WORLD, Topology, endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"))
SHOP = NetworkIntent("shop", IPv6Network(f"{SUBNETS['shop']}::/64"), InterfaceName("br-shop"))
HOST = ROUTER["eth0"]
OUTSIDE = WORLD["eth0"]
BRIDGE = f"{SUBNETS['blog']}::1"
TCP, UDP = TransportProtocol.TCP, TransportProtocol.UDP


def published(protocol: TransportProtocol, port: int, target_port: int, **more: object) -> PortIntent:
    made = PortIntent("blog", protocol, port, IPv6Address(CONTAINERS["blog"]), target_port, IPv6Address(BRIDGE))
    fields = {name: getattr(made, name) for name in PortIntent.__dataclass_fields__}
    return PortIntent(**{**fields, **more})


PORTS = (published(TCP, 8080, 80), published(UDP, 5353, 53))


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        made.topology.add_neighbour(make_netns())
        yield made


@pytest.fixture(params=[0, 1], ids=["bridges pass by", "br_netfilter"])
async def either_router(router: Router, request: pytest.FixtureRequest) -> Router:
    router.sysctl("net.bridge.bridge-nf-call-ip6tables", request.param)
    return router


def called(router: Router, where: Namespace, address: str, source: str = "::") -> set[str]:
    """Who the container takes the caller for, by TCP and by UDP; what it answers arrives."""
    blog = router.topology.containers["blog"]
    with listener(blog, "::", 80) as server:
        seen = call(where, (address, 8080), server)
    with endpoint(blog, CONTAINERS["blog"], 53) as receiver, endpoint(where, source, 0) as sender:
        return {seen, ask(sender, (address, 5353), receiver)}


async def test_the_container_sees_the_address_of_an_outside_client(router: Router) -> None:
    await router.want(BLOG, ports=PORTS)
    await router.drop_all_but_ours()
    assert called(router, router.topology.world, HOST, OUTSIDE) <= {OUTSIDE, "2001:db8:0:1::2"}


@pytest.mark.parametrize("variant", ["nft", "legacy"])
async def test_published_ports_pass_a_host_filter_that_accepts_only_our_mark(router: Router, variant: str) -> None:
    await router.want(BLOG, ports=PORTS)
    router.drop_by_default(variant)
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.world, OUTSIDE) as world,
    ):
        world.sendto(b"too early", (HOST, 5353))
        await router.admit()
        assert ask(world, (HOST, 5353), container) == OUTSIDE
        for number in range(3):  # the flow's later packets as well
            assert ask(world, (HOST, 5353), container, f"again {number}") == OUTSIDE


async def test_a_port_among_hundreds_of_networks_and_ports_is_found_as_well(router: Router) -> None:
    others = tuple(
        NetworkIntent(f"n{n}", IPv6Network(f"fd77:0:0:{n:x}::/64"), InterfaceName(f"br-{n * 7919:08x}"))
        for n in range(200)
    )
    ports = tuple(
        published(protocol, 5000 + 17 * n, 80, owner=f"n{n}", target=IPv6Address(f"fd77:0:0:{n:x}::{n + 2:x}"))
        for n in range(200)
        for protocol in (TCP, UDP)
    )
    await router.want(BLOG, *others, ports=(*PORTS, *ports))
    await router.drop_all_but_ours()
    topology = router.topology
    assert called(router, topology.world, HOST, OUTSIDE) <= {OUTSIDE, "2001:db8:0:1::2"}
    assert called(router, topology.containers["shop"], HOST, CONTAINERS["shop"]) == {CONTAINERS["shop"]}
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, OUTSIDE) as world,
    ):
        assert ask(blog, (OUTSIDE, world.getsockname()[1]), world) == HOST


async def test_a_port_of_one_address_is_published_there_alone(router: Router) -> None:
    port = published(UDP, 5353, 53, host_address=IPv6Address(HOST))
    await router.want(BLOG, ports=(port,))
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.router, ROUTER["wg0"], 5353) as process,
        endpoint(topology.world, OUTSIDE) as world,
    ):
        assert ask(world, (HOST, 5353), container) == OUTSIDE
        assert ask(world, (ROUTER["wg0"], 5353), process) == OUTSIDE


async def test_what_is_only_forwarded_is_nobodys_published_port(router: Router) -> None:
    await router.want(BLOG, ports=PORTS)
    topology = router.topology
    with (
        endpoint(topology.world, OUTSIDE, 5353) as world,
        endpoint(topology.containers["shop"], CONTAINERS["shop"]) as shop,
        endpoint(topology.containers["neighbour"], NEIGHBOUR) as neighbour,
    ):
        for client, source in ((shop, CONTAINERS["shop"]), (neighbour, HOST)):
            assert ask(client, (OUTSIDE, 5353), world) == source


async def test_the_host_reaches_a_published_port_by_each_of_its_addresses(either_router: Router) -> None:
    router = either_router
    await router.want(BLOG, ports=PORTS)
    await router.drop_all_but_ours()
    for address in (*ROUTER.values(), BRIDGE, f"{SUBNETS['db']}::1"):
        assert called(router, router.topology.router, address) == {address}


@nftables_only
async def test_the_host_reaches_a_published_port_by_its_loopback_address(either_router: Router) -> None:
    router = either_router
    await router.want(BLOG, ports=PORTS)
    await router.drop_all_but_ours()
    for _ in range(2):
        assert called(router, router.topology.router, "::1") == {BRIDGE}


@nftables_only
async def test_a_port_of_the_loopback_address_is_for_the_host_alone(router: Router) -> None:
    await router.want(BLOG, ports=(published(UDP, 5353, 53, host_address=IPv6Address("::1")),))
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.router, HOST, 5353) as process,
        endpoint(topology.router, "::1", 0) as local,
        endpoint(topology.world, OUTSIDE) as world,
    ):
        assert ask(local, ("::1", 5353), container) == BRIDGE
        assert ask(world, (HOST, 5353), process) == OUTSIDE


@iptables_only
async def test_without_nftables_the_loopback_address_is_left_to_the_userland_proxy(router: Router) -> None:
    bound = published(UDP, 5353, 53, host_address=IPv6Address("::1"))
    await router.want(BLOG, ports=(PORTS[0], bound))
    host = router.topology.router
    with listener(host, "::", 8080) as proxy:
        assert call(host, ("::1", 8080), proxy) == "::1"
    with endpoint(host, "::1", 5353) as process, endpoint(host, "::1", 0) as local:
        assert ask(local, ("::1", 5353), process) == "::1"


async def test_other_loopback_traffic_is_left_alone(router: Router) -> None:
    await router.want(BLOG, ports=PORTS)
    host = router.topology.router
    with listener(host, "::1", 80) as server:
        assert call(host, ("::1", 80), server) == "::1"
    with endpoint(host, "::1", 54) as receiver, endpoint(host, "::1", 0) as sender:
        assert ask(sender, ("::1", 54), receiver) == "::1"


@pytest.mark.parametrize("address", [HOST, BRIDGE])
async def test_a_container_reaches_its_own_networks_port_through_the_host(either_router: Router, address: str) -> None:
    router = either_router
    await router.want(BLOG, ports=PORTS)
    await router.drop_all_but_ours()
    assert called(router, router.topology.containers["neighbour"], address) == {BRIDGE}


@pytest.mark.parametrize("address", [HOST, BRIDGE])
async def test_a_container_reaches_its_own_port_through_the_host(either_router: Router, address: str) -> None:
    router = either_router
    await router.want(BLOG, ports=PORTS)
    await router.drop_all_but_ours()
    router.topology.router.exec("bridge", "link", "set", "dev", "v-blog", "hairpin", "on")
    assert called(router, router.topology.containers["blog"], address) == {BRIDGE}


@pytest.mark.parametrize("name", ["shop", "db"])
async def test_a_container_of_another_bridge_reaches_a_port_through_the_host(either_router: Router, name: str) -> None:
    router = either_router
    await router.want(BLOG, SHOP, ports=PORTS)
    await router.drop_all_but_ours()
    # of a network that we look after by the bridge's address, as on IPv4; that of others is left to the engine
    source = BRIDGE if name == "shop" else CONTAINERS[name]
    for address in (HOST, f"{SUBNETS[name]}::1"):
        assert called(router, router.topology.containers[name], address) == {source}


async def test_a_neighbour_with_a_link_local_address_still_reaches_the_hosts_own_process(router: Router) -> None:
    await router.want(BLOG, ports=PORTS)
    topology = router.topology
    for namespace, address in ((topology.router, "fe80::1"), (topology.world, "fe80::2")):
        namespace.exec("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    with topology.world.entered():
        scope = socket.if_nametoindex("eth0")
    with listener(topology.router, "::", 8080) as proxy:
        assert call(topology.world, ("fe80::1", 8080, 0, scope), proxy).startswith("fe80::")


async def test_a_port_that_is_no_longer_published_is_the_hosts_again(router: Router) -> None:
    await router.want(BLOG, ports=PORTS)
    topology = router.topology
    with (
        endpoint(topology.router, HOST, 5353) as process,
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 53) as container,
        endpoint(topology.world, OUTSIDE) as world,
    ):
        assert ask(world, (HOST, 5353), container) == OUTSIDE
        await router.want(BLOG)
        with endpoint(topology.world, OUTSIDE, 0) as another:
            assert ask(another, (HOST, 5353), process) == OUTSIDE
