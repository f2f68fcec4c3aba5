"""Prefix translation: external addresses, prefixes that change during connections, and on-link prefixes."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from tests.host.router import ask, call, listener, opened, reaches
from tests.host.topology import CONTAINERS, NEIGHBOUR, ROUTER, SUBNETS, UPLINKS, WORLD, Topology, endpoint, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BRIDGE = f"{SUBNETS['blog']}::1"
OLD, NEW = IPv6Network("2001:db8:a:1::/64"), IPv6Network("2001:db8:a:2::/64")
HOME = NetworkIntent(
    "blog",
    IPv6Network(f"{SUBNETS['blog']}::/64"),
    InterfaceName("br-blog"),
    egress=EgressMode.PREFIX_TRANSLATION,
    external_prefixes=(OLD,),
    ingress=(Ingress(),),
)
SHOP = replace(
    HOME,
    owner="shop",
    subnet=IPv6Network(f"{SUBNETS['shop']}::/64"),
    bridge=InterfaceName("br-shop"),
    external_prefixes=(IPv6Network("2001:db8:a:3::/64"),),
)
ON_LINK = IPv6Network(f"{UPLINKS['eth0']}::/64")
NEAR = WORLD["eth0"]
_TIMEOUT = 30.0


def external(prefix: IPv6Network, host: int = 2) -> str:
    return str(prefix[host])


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        made.topology.add_neighbour(make_netns())
        made.topology.world.exec("ip", "-6", "route", "add", "2001:db8:a::/48", "via", ROUTER["eth0"])
        yield made


@pytest.fixture(params=[0, 1], ids=["bridges pass by", "br_netfilter"])
async def either_router(router: Router, request: pytest.FixtureRequest) -> Router:
    router.sysctl("net.bridge.bridge-nf-call-ip6tables", request.param)
    return router


@contextmanager
def connected(
    caller: Namespace, address: tuple[str, int], server: socket.socket
) -> Iterator[tuple[socket.socket, socket.socket, str]]:
    """A TCP connection: both ends, and the source address that the server sees."""
    with caller.entered():
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with client:
        client.settimeout(_TIMEOUT)
        client.connect(address)
        accepted, source = server.accept()
        with accepted:
            accepted.settimeout(_TIMEOUT)
            yield client, accepted, str(source[0])


def exchange_data(one: socket.socket, other: socket.socket) -> None:
    for sender, receiver in ((one, other), (other, one)):
        sender.sendall(b"still here")
        assert receiver.recv(100) == b"still here"


# ---- who reaches an external address ----


async def test_each_container_has_its_own_external_address(router: Router) -> None:
    await router.want(HOME)
    topology = router.topology
    for name, address, seen in (
        ("blog", CONTAINERS["blog"], external(OLD)),
        ("neighbour", NEIGHBOUR, external(OLD, 3)),
    ):
        with (
            endpoint(topology.containers[name], address) as container,
            endpoint(topology.world, NEAR) as world,
        ):
            assert exchange(container, world) == seen
            assert ask(world, (seen, 5300), container) == NEAR


async def test_the_host_reaches_a_container_by_its_external_address(router: Router) -> None:
    await router.want(HOME)
    topology = router.topology
    with (
        endpoint(topology.router, ROUTER["eth0"], 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        assert ask(host, (external(OLD), 5300), blog) == ROUTER["eth0"]
    topology.router.exec("ping", "-6", "-q", "-c", "1", "-w", "10", external(OLD))


async def test_containers_reach_their_own_and_each_others_external_addresses(either_router: Router) -> None:
    """With br_netfilter, their own address needs hairpin mode on the bridge port."""
    router = either_router
    await router.want(HOME)
    router.topology.router.exec("bridge", "link", "set", "dev", "v-blog", "hairpin", "on")
    await router.drop_all_but_ours()
    topology = router.topology
    blog = topology.containers["blog"]
    for caller in (blog, topology.containers["neighbour"]):
        with endpoint(caller, "::", 0) as client, endpoint(blog, CONTAINERS["blog"]) as receiver:
            assert ask(client, (external(OLD), 5300), receiver) == BRIDGE
        with listener(blog, "::", 80) as server:
            assert call(caller, (external(OLD), 80), server) == BRIDGE
        caller.exec("ping", "-6", "-q", "-c", "1", "-w", "10", external(OLD))


async def test_without_icc_external_addresses_of_containers_are_blocked_too(either_router: Router) -> None:
    router = either_router
    port = PortIntent("blog", TransportProtocol.UDP, 5353, IPv6Address(CONTAINERS["blog"]), 5300, IPv6Address(BRIDGE))
    await router.want(replace(HOME, icc=False), ports=(port,))
    await router.drop_all_but_ours()
    topology = router.topology
    with (
        endpoint(topology.containers["neighbour"], NEIGHBOUR, 0) as neighbour,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        assert not reaches(neighbour, blog, host, external(OLD))
        assert ask(neighbour, (ROUTER["eth0"], 5353), blog) == BRIDGE
        with endpoint(topology.world, NEAR, 0) as world:
            assert ask(world, (external(OLD), 5300), blog) == NEAR


async def test_containers_of_other_networks_are_accepted_only_without_isolation(router: Router) -> None:
    topology = router.topology
    with (
        endpoint(topology.containers["shop"], CONTAINERS["shop"], 0) as shop,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        await router.want(HOME, SHOP)
        await router.drop_all_but_ours()
        assert not reaches(shop, blog, host, external(OLD))
        await router.want(replace(HOME, isolated=False), SHOP)
        assert ask(shop, (external(OLD), 5300), blog) == external(SHOP.external_prefixes[0])


async def test_containers_of_unmanaged_networks_are_blocked(router: Router) -> None:
    topology = router.topology
    with (
        endpoint(topology.containers["db"], CONTAINERS["db"], 0) as db,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        await router.want(HOME)
        assert not reaches(db, blog, host, external(OLD))


async def test_a_published_port_is_closed_at_the_external_address(router: Router) -> None:
    port = PortIntent("blog", TransportProtocol.UDP, 5353, IPv6Address(CONTAINERS["blog"]), 5300, IPv6Address(BRIDGE))
    only_here = replace(port, port=5354, host_address=IPv6Address("::1"))
    await router.want(replace(HOME, ingress=()), ports=(port, only_here))
    topology = router.topology
    with (
        endpoint(topology.world, NEAR, 0) as world,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        assert not reaches(world, blog, host, external(OLD))
        assert ask(world, (ROUTER["eth0"], 5353), blog) == NEAR


async def test_listeners_on_the_address_of_the_bridge_are_not_reached_by_an_external_address(router: Router) -> None:
    await router.want(HOME)
    topology = router.topology
    with (
        endpoint(topology.world, NEAR, 0) as world,
        endpoint(topology.router, BRIDGE) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 0) as blog,
    ):
        assert not reaches(world, host, blog, external(OLD, 1))
        assert reaches(world, host, blog), "routing alone would reach it"


# ---- a prefix that changes ----


async def test_connections_continue_when_the_prefix_changes(router: Router) -> None:
    await router.want(HOME)
    await router.drop_all_but_ours()
    topology = router.topology
    blog, world = topology.containers["blog"], topology.world
    with (
        listener(world, NEAR, 80) as outside,
        listener(blog, "::", 80) as inside,
        connected(blog, (NEAR, 80), outside) as (out, out_there, out_source),
        connected(world, (external(OLD), 80), inside) as (into, into_there, _),
    ):
        assert out_source == external(OLD)
        for prefixes in ((OLD,), (NEW, OLD), (NEW, OLD), (OLD, NEW), (NEW, OLD)):
            await router.want(replace(HOME, external_prefixes=prefixes))
            exchange_data(out, out_there)
            exchange_data(into, into_there)
            with connected(blog, (NEAR, 80), outside) as (_, _, source):
                assert source == external(prefixes[0])
            for prefix in prefixes:
                assert call(world, (external(prefix), 80), inside) == "2001:db8:0:1::2"


async def test_a_change_of_the_prefix_is_one_transaction(router: Router) -> None:
    """Every new flow has the old or the new prefix, and none its internal address."""
    topology = router.topology
    await router.want(HOME)
    seen: set[str] = set()
    with endpoint(topology.world, NEAR) as world:
        for prefixes in ((NEW, OLD), (OLD, NEW)) * 5:
            await router.want(replace(HOME, external_prefixes=prefixes))
            with endpoint(topology.containers["blog"], CONTAINERS["blog"], 0) as blog:
                assert exchange(blog, world) == external(prefixes[0])
                seen.add(external(prefixes[0]))
    assert seen == {external(OLD), external(NEW)}


async def test_a_removed_prefix_accepts_no_new_flows_and_open_connections_continue(
    router: Router,
) -> None:
    await router.want(HOME)
    topology = router.topology
    with (
        listener(topology.world, NEAR, 80) as outside,
        connected(topology.containers["blog"], (NEAR, 80), outside) as (client, accepted, _),
        endpoint(topology.world, NEAR, 0) as world,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        await router.want(replace(HOME, external_prefixes=(NEW,)))
        exchange_data(client, accepted)
        assert not reaches(world, blog, host, external(OLD))
        assert ask(world, (external(NEW), 5300), blog) == NEAR


@pytest.mark.parametrize("length", [48, 60, 77])
async def test_the_bits_after_a_prefix_of_any_length_are_kept(router: Router, length: int) -> None:
    """Including subnet bits, on byte boundaries or not."""
    topology = router.topology
    own = IPv6Network(f"fd12:aaaa:bbbb{':10' if length > 48 else ''}::/{length}")
    given = IPv6Network(f"2001:db8:a::/{length}")
    address = own[(0x5 << 64) | 0x1234_0005] if length < 64 else own[0x1234_0005]
    expected = str(given[int(address) - int(own.network_address)])
    # on link: the container's neighbour advertisements have an address of the network, as source validation asks
    topology.router.exec("ip", "-6", "route", "add", str(own), "dev", "br-blog")
    blog = topology.containers["blog"]
    blog.exec("ip", "-6", "address", "add", f"{address}/128", "dev", "eth0", "nodad")
    await router.want(replace(HOME, subnet=own, external_prefixes=(given,)))
    with endpoint(blog, str(address)) as container, endpoint(topology.world, NEAR) as world:
        assert exchange(container, world) == expected
        assert ask(world, (expected, 5300), container) == NEAR


# ---- an on-link prefix ----


async def test_an_on_link_prefix_is_shared_with_the_host_and_other_hosts(router: Router) -> None:
    """A VPS with one /64: the host keeps its address and ports, containers get the listed addresses."""
    port = PortIntent("blog", TransportProtocol.UDP, 5353, IPv6Address(CONTAINERS["blog"]), 5300, IPv6Address(BRIDGE))
    mine, theirs = external(ON_LINK, 3), external(ON_LINK)
    topology = router.topology
    router.sysctl("net.ipv6.conf.eth0.proxy_ndp", 1)
    topology.router.exec("ip", "-6", "neigh", "add", "proxy", mine, "dev", "eth0")
    home = replace(HOME, external_prefixes=(ON_LINK,), external_addresses=(IPv6Address(mine),))
    await router.want(home, SHOP, ports=(port,))
    await router.drop_all_but_ours()
    with (
        endpoint(topology.world, theirs) as world,
        endpoint(topology.containers["neighbour"], NEIGHBOUR) as neighbour,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.containers["shop"], CONTAINERS["shop"], 0) as shop,
        endpoint(topology.router, "::", 7777) as host,
    ):
        assert ask(world, (mine, 5300), neighbour) == theirs
        assert exchange(neighbour, world) == mine
        assert exchange(host, world) == ROUTER["eth0"], "the address of no container"
        assert exchange(shop, world) == external(SHOP.external_prefixes[0])
        assert ask(world, (ROUTER["eth0"], 5353), blog) == theirs
        assert ask(world, (ROUTER["eth0"], 7777), host) == theirs
        await router.want(replace(home, ingress=()), SHOP, ports=(port,))
        assert ask(world, (ROUTER["eth0"], 5353), blog) == theirs
        with endpoint(topology.router, BRIDGE, 0) as through:
            assert not reaches(world, neighbour, through, mine)


async def test_ports_at_a_host_address_in_an_external_prefix_are_open(router: Router) -> None:
    port = PortIntent("blog", TransportProtocol.UDP, 5353, IPv6Address(CONTAINERS["blog"]), 5300, IPv6Address(BRIDGE))
    own = OLD[0x77]
    topology = router.topology
    topology.router.exec("ip", "-6", "address", "add", f"{own}/128", "dev", "lo", "nodad")
    closed = replace(HOME, ingress=())
    with (
        endpoint(topology.world, NEAR, 0) as world,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.router, str(own), 7777) as host,
    ):
        await router.want(closed, ports=(port,), host_addresses=(own,))
        await router.drop_all_but_ours()
        assert ask(world, (str(own), 5353), blog) == NEAR
        assert ask(world, (str(own), 7777), host) == NEAR
        with endpoint(topology.router, BRIDGE, 0) as through:
            assert not reaches(world, blog, through, external(OLD))


async def test_a_redirection_by_the_host_in_an_on_link_prefix_still_works(router: Router) -> None:
    """Even if the whole prefix is translated."""
    topology = router.topology
    await router.want(replace(HOME, external_prefixes=(ON_LINK,)))
    redirection = "-t nat -A PREROUTING -p udp --dport 7000 -j REDIRECT --to-ports 7777"
    router.ip6tables("legacy", *redirection.split())
    with endpoint(topology.world, NEAR, 0) as world, endpoint(topology.router, "::", 7777) as host:
        assert ask(world, (ROUTER["eth0"], 7000), host) == NEAR


async def test_the_second_of_two_networks_with_one_external_prefix_is_not_translated(router: Router) -> None:
    rival = replace(SHOP, owner="zzz", external_prefixes=HOME.external_prefixes)
    await router.want(HOME, rival)
    await router.drop_all_but_ours()
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, NEAR) as world,
        endpoint(topology.containers["shop"], CONTAINERS["shop"], 0) as shop,
    ):
        shop.sendto(b"nowhere to go", world.getsockname())
        assert exchange(blog, world) == external(OLD)
