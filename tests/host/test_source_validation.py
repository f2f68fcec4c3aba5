"""Forged source addresses from containers, with real packets: what is dropped, and what must still pass."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol
from tests.host.router import ask, opened
from tests.host.topology import CONTAINERS, ROUTER, SUBNETS, WORLD, Topology, endpoint, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"), EgressMode.ROUTED)
SHOP = NetworkIntent("shop", IPv6Network(f"{SUBNETS['shop']}::/64"), InterfaceName("br-shop"), EgressMode.ROUTED)
HOST, NEAR = ROUTER["eth0"], WORLD["eth0"]
PORT = PortIntent(
    "shop",
    TransportProtocol.UDP,
    5353,
    IPv6Address(CONTAINERS["shop"]),
    53,
    IPv6Address(f"{SUBNETS['shop']}::1"),
    sources=(IPv6Network(f"{NEAR}/128"),),
)
FORGED = {
    "nobody": "2001:db8:dead::1",
    "the world": NEAR,
    "another network": CONTAINERS["shop"],
    "multicast": "ff0e::1",
}
"""Sources that a container of blog forges."""


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        yield made


def forge(namespace: Namespace, source: str, to: tuple[str, int], text: bytes = b"forged") -> None:
    """Send one UDP datagram with any source address, as a container with CAP_NET_RAW can."""
    target, port = to
    length = 8 + len(text)
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    ports = struct.pack("!HHH", 4000, port, length)
    summed = addresses + struct.pack("!II", length, socket.IPPROTO_UDP) + ports + b"\0\0" + text
    datagram = ports + struct.pack("!H", _checksum(summed)) + text
    header = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, 64) + addresses
    with (
        namespace.entered(),
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        raw.sendto(header + datagram, (target, 0))


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data + data[: len(data) % 2]) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def arrives(router: Router, source: str, to: tuple[str, int], receiver: socket.socket) -> bool:
    """Whether a datagram that blog's container forges arrives. One of the host itself follows it, so nothing waits."""
    forge(router.topology.containers["blog"], source, to)
    with endpoint(router.topology.router, HOST, 0) as host:
        host.sendto(b"last", receiver.getsockname()[:2])
        found = [receiver.recv(100)]
        if found[0] != b"last":
            found.append(receiver.recv(100))
    return b"forged" in found


@pytest.mark.parametrize("whose", FORGED)
async def test_a_forged_source_does_not_leave_the_host(router: Router, whose: str) -> None:
    topology = router.topology
    with (
        endpoint(topology.world, NEAR) as world,
        endpoint(topology.containers["blog"], CONTAINERS["blog"]) as blog,
    ):
        await router.want(BLOG, SHOP)
        assert exchange(blog, world) == CONTAINERS["blog"]
        assert not arrives(router, FORGED[whose], world.getsockname()[:2], world)


async def test_a_forged_datagram_arrives_without_validation(router: Router) -> None:
    topology = router.topology
    unchecked = replace(BLOG, source_validation=False)
    await router.want(unchecked, SHOP)
    with endpoint(topology.world, NEAR) as world:
        assert arrives(router, FORGED["nobody"], world.getsockname()[:2], world)
        await router.want(BLOG, SHOP)
        assert not arrives(router, FORGED["nobody"], world.getsockname()[:2], world)


async def test_a_forged_source_does_not_pass_an_allow_list(router: Router) -> None:
    topology = router.topology
    with (
        endpoint(topology.containers["shop"], CONTAINERS["shop"], 53) as container,
        endpoint(topology.world, NEAR) as allowed,
    ):
        await router.want(replace(BLOG, source_validation=False), SHOP, ports=(PORT,))
        assert arrives(router, NEAR, (HOST, 5353), container)
        await router.want(BLOG, SHOP, ports=(PORT,))
        assert not arrives(router, NEAR, (HOST, 5353), container)
        assert ask(allowed, (HOST, 5353), container) == NEAR


async def test_a_forged_source_does_not_reach_a_service_of_the_host(router: Router) -> None:
    topology = router.topology
    await router.want(BLOG)
    with endpoint(topology.router, HOST, 53) as service:
        assert not arrives(router, NEAR, (HOST, 53), service)


async def test_duplicate_address_detection_and_neighbour_discovery_still_work(router: Router) -> None:
    await router.want(BLOG)
    container, host = router.topology.containers["blog"], router.topology.router
    container.exec("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_dad=1")
    container.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=1")
    taken = f"{SUBNETS['blog']}::1"  # the bridge's own: the host must defend it against a solicitation from ::
    container.exec("ip", "address", "add", f"{taken}/128", "dev", "eth0")
    shown = ""
    while "dadfailed" not in shown and "tentative" in (shown := _addresses(container, taken)):
        pass
    assert "dadfailed" in shown
    link_local = _link_local(container)
    for where in (container, host):
        where.exec("ip", "-6", "neigh", "flush", "dev", "eth0" if where is container else "br-blog")
    container.exec("ping", "-6", "-q", "-c", "1", "-w", "10", f"{_link_local(host, 'br-blog')}%eth0")
    host.exec("ping", "-6", "-q", "-c", "1", "-w", "10", f"{link_local}%br-blog")


async def test_multicast_listener_reports_still_reach_the_bridge(router: Router) -> None:
    host = router.topology.router
    for option in ("mcast_snooping", "mcast_querier", "nf_call_ip6tables"):
        host.exec("ip", "link", "set", "br-blog", "type", "bridge", option, "1")
    await router.want(BLOG)
    with router.topology.containers["blog"].entered():
        member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("eth0")
    with member:
        group = socket.inet_pton(socket.AF_INET6, "ff0e::4242") + struct.pack("@I", index)
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        while "ff0e::4242" not in host.exec("bridge", "mdb", "show", "dev", "br-blog").stdout:
            pass


async def test_both_subnets_of_a_network_that_is_renumbered_are_valid(router: Router) -> None:
    topology = router.topology
    old, new = f"{SUBNETS['blog']}::2", "fd12:3456:789a:77::2"
    topology.router.exec("ip", "address", "add", "fd12:3456:789a:77::1/64", "dev", "br-blog", "nodad")
    topology.containers["blog"].exec("ip", "address", "add", f"{new}/64", "dev", "eth0", "nodad")
    await router.want(BLOG, replace(BLOG, subnet=IPv6Network("fd12:3456:789a:77::/64")))
    with endpoint(topology.world, NEAR) as world:
        for address in (old, new):
            with endpoint(topology.containers["blog"], address, 0) as container:
                assert exchange(container, world) == address


async def test_sources_of_a_bridge_with_a_default_route_are_not_checked(
    make_netns: Callable[[], Namespace], backend: str
) -> None:
    async for router in opened(Topology.make(make_netns, uplink_is_bridge=True), backend):
        lan = NetworkIntent("lan", IPv6Network("2001:db8:0:1::/64"), InterfaceName("br0"), EgressMode.ROUTED)
        with (
            endpoint(router.topology.router, HOST, 53) as service,
            endpoint(router.topology.world, NEAR) as world,
        ):
            await router.want(lan, uplink_bridges=("br0",))
            assert ask(world, (HOST, 53), service) == NEAR


def _addresses(namespace: Namespace, address: str) -> str:
    return namespace.exec("ip", "-6", "address", "show", "dev", "eth0", "to", address).stdout


def _link_local(namespace: Namespace, interface: str = "eth0") -> str:
    shown = namespace.exec("ip", "-6", "-oneline", "address", "show", "dev", interface, "scope", "link").stdout
    return shown.split()[3].partition("/")[0]
