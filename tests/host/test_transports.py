"""Beyond plain datagrams: SCTP through a published port, and large packets through a narrow link."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.model import Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.host import sctp
from tests.host.router import listener, opened
from tests.host.topology import CONTAINERS, ROUTER, SUBNETS, WORLD, Topology

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.host.router import Router
    from tests.lab.namespace import Namespace

pytestmark = pytest.mark.host

BLOG = NetworkIntent("blog", IPv6Network(f"{SUBNETS['blog']}::/64"), InterfaceName("br-blog"), ingress=(Ingress(),))
TARGET, BRIDGE = IPv6Address(CONTAINERS["blog"]), IPv6Address(f"{SUBNETS['blog']}::1")
PORT = PortIntent("blog", TransportProtocol.TCP, 8080, TARGET, 80, BRIDGE)
HOST = ROUTER["eth0"]
FAR = "2001:db8:dddd::2"
NARROW = 1280
MUCH = bytes(range(256)) * 200

_TIMEOUT = 30.0


@pytest.fixture
async def router(make_netns: Callable[[], Namespace], backend: str) -> AsyncIterator[Router]:
    async for made in opened(Topology.make(make_netns), backend):
        await made.want(BLOG, ports=(PORT, replace(PORT, protocol=TransportProtocol.SCTP)))
        await made.drop_all_but_ours()
        yield made


@pytest.fixture
def far(router: Router, make_netns: Callable[[], Namespace]) -> Namespace:
    """A host behind the world, to which the world has a narrow link; nobody else knows that it is narrow."""
    world, made = router.topology.world, make_netns()
    world.exec("ip", "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", made.name)
    for where, link, address in ((world, "far", "2001:db8:dddd::1"), (made, "eth0", FAR)):
        where.exec("ip", "address", "add", f"{address}/64", "dev", link, "nodad")
        where.exec("ip", "link", "set", link, "up")
    world.exec("ip", "link", "set", "far", "mtu", str(NARROW))
    world.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    made.exec("ip", "-6", "route", "add", "default", "via", "2001:db8:dddd::1")
    made.exec("ping", "-6", "-q", "-c", "1", "-w", "10", HOST)
    return made


@contextmanager
def raw_socket(namespace: Namespace, address: str) -> Iterator[socket.socket]:
    """Sees the SCTP packets that come to an address."""
    with namespace.entered():
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, sctp.PROTOCOL)
    with made:
        made.settimeout(_TIMEOUT)
        made.bind((address, 0))
        yield made


@pytest.mark.parametrize("where", ["world", "shop", "db", "router"])
async def test_sctp_reaches_a_published_port(router: Router, where: str) -> None:
    topology = router.topology
    namespaces = {"world": topology.world, "router": topology.router, **topology.containers}
    addresses = {"world": WORLD["eth0"], "router": HOST, **CONTAINERS}
    with (
        raw_socket(namespaces[where], addresses[where]) as client,
        raw_socket(topology.containers["blog"], CONTAINERS["blog"]) as server,
    ):
        client.sendto(sctp.Packet(4000, 8080, sctp.INIT, 0, 77).encoded(), (HOST, 0))
        packet, source = sctp.receive(server)
        assert (packet, source) == (sctp.Packet(4000, 80, sctp.INIT, 0, 77), addresses[where])
        server.sendto(sctp.Packet(80, 4000, sctp.INIT_ACK, 77, 88).encoded(), (source, 0))
        assert sctp.receive(client) == (sctp.Packet(8080, 4000, sctp.INIT_ACK, 77, 88), HOST)


def sent_whole(sender: socket.socket, receiver: socket.socket) -> bool:
    sender.settimeout(_TIMEOUT)
    receiver.settimeout(_TIMEOUT)
    sender.sendall(MUCH)
    found = b""
    while len(found) < len(MUCH):
        found += receiver.recv(65536)
    return found == MUCH


def learnt(container: Namespace) -> bool:
    """Whether the container knows the MTU of the narrow link."""
    return f"mtu {NARROW}" in container.exec("ip", "-6", "route", "get", FAR).stdout


@pytest.mark.parametrize(
    "address", [(HOST, 8080), (CONTAINERS["blog"], 80)], ids=["published port", "container's own address"]
)
async def test_a_containers_answers_find_their_size(router: Router, far: Namespace, address: tuple[str, int]) -> None:
    container = router.topology.containers["blog"]
    with listener(container, "::", 80) as server:
        with far.entered():
            client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        with client:
            client.settimeout(_TIMEOUT)
            client.connect(address)
            accepted, _ = server.accept()
            with accepted:
                assert sent_whole(accepted, client)
    assert learnt(container)


async def test_what_a_container_sends_out_finds_its_size(router: Router, far: Namespace) -> None:
    container = router.topology.containers["blog"]
    with listener(far, FAR, 80) as server:
        with container.entered():
            client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        with client:
            client.settimeout(_TIMEOUT)
            client.connect((FAR, 80))
            accepted, source = server.accept()
            with accepted:
                assert source[0] == HOST
                assert sent_whole(client, accepted)
    assert learnt(container)
