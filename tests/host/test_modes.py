"""Routed networks and networks with an address of the host's: the source that the world sees, and who gets in."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from tests.host.router import ask, call, listener, opened, reaches
from tests.host.topology import CONTAINERS, NEIGHBOUR, ROUTER, SUBNETS, WORLD, Topology, endpoint, exchange, received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"))
SHOP = NetworkIntent("shop", IPv6Network(f"{SUBNETS['shop']}::/64"), InterfaceName("br-shop"))
BRIDGE = f"{SUBNETS['blog']}::1"
CHOSEN = "2001:db8:0:1::77"
OUTER = IPv6Network("2001:db8:a:1::/64")
ROUTED = replace(BLOG, egress=EgressMode.ROUTED)
SNAT = replace(BLOG, egress=EgressMode.SNAT, snat_address=IPv6Address(CHOSEN))
PREFIX = replace(BLOG, egress=EgressMode.PREFIX_TRANSLATION, external_prefixes=(OUTER,))
SOURCES = {"routed": (ROUTED, CONTAINERS["blog"]), "snat": (SNAT, CHOSEN), "prefix": (PREFIX, str(OUTER[2]))}
XTABLES = ["nft", "legacy"]
NEAR, FAR = WORLD["eth0"], WORLD["wg0"]

every_mode = pytest.mark.parametrize(("network", "source"), SOURCES.values(), ids=SOURCES)
every_network = pytest.mark.parametrize("network", [network for network, _ in SOURCES.values()], ids=SOURCES)
reachable = pytest.mark.parametrize("network", [ROUTED, PREFIX], ids=["routed", "prefix"])


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        made.topology.add_neighbour(make_netns())
        made.topology.router.exec("ip", "address", "add", f"{CHOSEN}/64", "dev", "eth0", "nodad")
        made.topology.world.exec("ip", "-6", "route", "add", "2001:db8:a::/48", "via", ROUTER["eth0"])
        yield made


def masquerade(router: Router, variant: str) -> None:
    """As an engine does, behind our rules."""
    rule = f"-t nat -A POSTROUTING -s {BLOG.subnet} ! -o br-blog -j MASQUERADE"
    router.ip6tables(variant, *rule.split())


def seen_by_world(router: Router, uplink: str = "eth0") -> str:
    """The source of blog's datagrams as the world sees it, the same by TCP; answers come back."""
    topology = router.topology
    with (
        endpoint(topology.containers["blog"], CONTAINERS["blog"], 0) as container,
        endpoint(topology.world, WORLD[uplink]) as world,
        listener(topology.world, WORLD[uplink], 80) as server,
    ):
        source = exchange(container, world)
        assert call(topology.containers["blog"], (WORLD[uplink], 80), server) == source
        return source


@every_mode
@pytest.mark.parametrize("variant", XTABLES)
async def test_the_world_sees_the_source_of_the_mode_though_the_engine_would_masquerade(
    router: Router, network: NetworkIntent, source: str, variant: str
) -> None:
    masquerade(router, variant)
    await router.want(network, SHOP)
    await router.drop_all_but_ours(variant)
    for uplink in ("eth0", "wg0"):
        assert seen_by_world(router, uplink) == source


@every_network
async def test_echo_goes_out_and_is_answered(router: Router, network: NetworkIntent) -> None:
    await router.want(network)
    await router.drop_all_but_ours()
    with router.topology.world.entered():
        router.topology.containers["blog"].exec("ping", "-6", "-q", "-c", "2", "-i", "0.01", "-w", "10", NEAR)


@every_mode
async def test_only_the_chosen_interfaces_and_destinations_get_the_modes_source(
    router: Router, network: NetworkIntent, source: str
) -> None:
    masquerade(router, "nft")
    await router.want(replace(network, egress_interfaces=(InterfaceName("wg0"),)))
    assert (seen_by_world(router), seen_by_world(router, "wg0")) == (CONTAINERS["blog"], source)
    await router.want(replace(network, egress_exclude=(IPv6Network("2001:db8:ffff::/48"),)))
    assert (seen_by_world(router), seen_by_world(router, "wg0")) == (CONTAINERS["blog"], source)


@every_network
async def test_errors_about_a_flow_come_back(router: Router, network: NetworkIntent) -> None:
    await router.want(network)
    await router.drop_all_but_ours()
    with endpoint(router.topology.containers["blog"], CONTAINERS["blog"]) as blog:
        blog.connect((NEAR, 9))
        blog.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            received(blog)


@every_mode
async def test_a_path_with_a_small_mtu_is_found_out(router: Router, network: NetworkIntent, source: str) -> None:
    """Packet too big comes from the host itself, about the packet as the container sent it."""
    await router.want(network)
    await router.drop_all_but_ours()
    topology = router.topology
    topology.router.exec("ip", "link", "set", "eth0", "mtu", "1300")
    with (
        listener(topology.world, NEAR, 80) as server,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
        endpoint(topology.world, NEAR) as world,
    ):
        assert call(topology.containers["blog"], (NEAR, 80), server, "x" * 90) == source
        blog.sendto(b"y" * 1400, world.getsockname())
        shown = topology.containers["blog"].exec("ip", "-6", "route", "get", NEAR).stdout
        assert "mtu 1300" in shown
        blog.sendto(b"z" * 1400, world.getsockname())
        assert world.recvfrom(2000)[0] == b"z" * 1400


@every_network
async def test_published_ports_are_reached_as_in_any_mode(router: Router, network: NetworkIntent) -> None:
    ports = tuple(
        PortIntent("blog", protocol, 8080, IPv6Address(CONTAINERS["blog"]), 80, IPv6Address(BRIDGE))
        for protocol in (TransportProtocol.TCP, TransportProtocol.UDP)
    )
    await router.want(network, SHOP, ports=ports)
    await router.drop_all_but_ours()
    topology = router.topology
    clients = {
        "world": (topology.world, "2001:db8:0:1::2"),
        "shop": (topology.containers["shop"], BRIDGE),
        "neighbour": (topology.containers["neighbour"], BRIDGE),
        "host": (topology.router, ROUTER["eth0"]),
    }
    for where, source in clients.values():
        with (
            listener(topology.containers["blog"], "::", 80) as server,
            endpoint(topology.containers["blog"], CONTAINERS["blog"], 80) as receiver,
            endpoint(where, "::", 0) as client,
        ):
            assert call(where, (ROUTER["eth0"], 8080), server) == source
            assert ask(client, (ROUTER["eth0"], 8080), receiver) == source


@every_network
async def test_another_networks_container_is_kept_out(router: Router, network: NetworkIntent) -> None:
    await router.want(replace(network, ingress=(Ingress(),)), SHOP)
    await router.drop_all_but_ours()
    topology = router.topology
    with (
        endpoint(topology.containers["shop"], "::", 0) as shop,
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        assert not reaches(shop, blog, host)


INGRESS = {
    "nobody": ((), set()),
    "everybody": ((Ingress(),), {NEAR, FAR}),
    "one source": ((Ingress(sources=(IPv6Network(f"{FAR}/128"),)),), {FAR}),
    "this container": ((Ingress(targets=(IPv6Network(CONTAINERS["blog"]),)),), {NEAR, FAR}),
    "another container": ((Ingress(targets=(IPv6Network(NEIGHBOUR),)),), set()),
    "its port": ((Ingress(ports=((TransportProtocol.UDP, 5300),)),), {NEAR, FAR}),
    "another protocol": ((Ingress(ports=((TransportProtocol.TCP, 5300),)),), set()),
    "one source to a port of a container": (
        (Ingress((IPv6Network(f"{NEAR}/128"),), (IPv6Network(CONTAINERS["blog"]),), ((TransportProtocol.UDP, 5300),)),),
        {NEAR},
    ),
}


@reachable
@pytest.mark.parametrize("name", INGRESS)
async def test_ingress_lets_in_what_it_says_by_every_address_of_the_container(
    router: Router, name: str, network: NetworkIntent
) -> None:
    rules, allowed = INGRESS[name]
    await router.want(replace(network, ingress=rules), SHOP)
    await router.drop_all_but_ours()
    topology = router.topology
    with (
        endpoint(topology.router, BRIDGE, 0) as host,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        for called in [CONTAINERS["blog"], *(str(external[2]) for external in network.external_prefixes)]:
            for source in (NEAR, FAR):
                with endpoint(topology.world, source, 0) as world:
                    assert reaches(world, blog, host, called) is (source in allowed)
                    if source in allowed:
                        assert {ask(world, (called, 5300), blog) for _ in range(3)} == {source}


@reachable
async def test_echo_comes_in_from_outside_alone(router: Router, network: NetworkIntent) -> None:
    await router.want(network, SHOP)
    await router.drop_all_but_ours()
    topology = router.topology
    for called in [CONTAINERS["blog"], *(str(external[2]) for external in network.external_prefixes)]:
        echo = ("ping", "-6", "-q", "-c", "3", "-i", "0.01", "-w", "10", called)
        assert "3 received" in topology.world.exec(*echo).stdout
        quick = ("ping", "-6", "-q", "-c", "1", "-W", "0.2", called)
        assert "0 received" in topology.containers["shop"].exec(*quick, check=False).stdout


async def test_a_network_changes_its_mode_and_its_flows_go_on(router: Router) -> None:
    """What a flow began with it keeps: the decision is made at its first packet."""
    topology = router.topology
    with endpoint(topology.world, NEAR) as world:
        for network, source in SOURCES.values():
            await router.want(network, SHOP)
            with endpoint(topology.containers["blog"], CONTAINERS["blog"], 0) as blog:
                assert exchange(blog, world) == source
                for other, _ in SOURCES.values():
                    await router.want(other, SHOP)
                    assert exchange(blog, world) == source
