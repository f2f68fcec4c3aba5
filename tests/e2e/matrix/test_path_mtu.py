"""Path MTU discovery: packet-too-big messages reach containers, for flows in both directions (RFC 4890, 4.3.1)."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, tcp_server
from tests.lab.probe import Port, connect, download

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.matrix.world import World
    from tests.lab.namespace import Namespace

_MTU = 1280
_SIZE = 300_000
# with the segment size of the narrow link, TCP would never send packets that are too big
_ADVERTISED = 1440
_BEYOND, _ROUTER = "2001:db8:0:2::2", "2001:db8:0:2::1"


def _ip(namespace: Namespace, *commands: str) -> None:
    namespace.exec("ip", "-batch", "-", stdin="\n".join(commands))


@contextmanager
def _narrow_uplink(world: World) -> Iterator[tuple[Namespace, str]]:
    """The link between host and neighbour has a small MTU: the host sends packet-too-big itself."""
    neighbour, host = world.lab.neighbour.namespace, world.engine.namespace
    route = f"route replace {HOST_ADDRESS}/128 dev {UPLINK}"
    for namespace in (neighbour, host):
        _ip(namespace, f"link set {UPLINK} mtu {_MTU}")
    _ip(neighbour, f"{route} advmss {_ADVERTISED}")
    try:
        yield neighbour, NEIGHBOUR_ADDRESS
    finally:
        _ip(neighbour, route.replace("replace", "del"))
        for namespace in (neighbour, host):
            _ip(namespace, f"link set {UPLINK} mtu 1500")


@contextmanager
def _narrow_link_beyond(world: World) -> Iterator[tuple[Namespace, str]]:
    """A link behind the neighbour has a small MTU: its packet-too-big passes the host's firewall."""
    neighbour = world.lab.neighbour.namespace
    beyond = world.engine.session.namespace("b")
    try:
        neighbour.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        _ip(neighbour, f"link add far0 mtu {_MTU} type veth peer name far0 mtu {_MTU} netns {beyond.name}")
        _ip(neighbour, f"address add {_ROUTER}/64 dev far0 nodad", "link set far0 up")
        _ip(beyond, f"address add {_BEYOND}/64 dev far0 nodad", "link set far0 up")
        _ip(beyond, f"route add default via {_ROUTER} advmss {_ADVERTISED}")
        neighbour.exec("ping", "-n", "-c", "1", "-i", "0.1", "-w", "10", _BEYOND)
        yield beyond, _BEYOND
    finally:
        # removes it at once; with the namespace it would be removed some time later
        neighbour.exec("ip", "link", "del", "far0", check=False)
        beyond.remove()
        neighbour.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")


links = pytest.mark.parametrize("link", [_narrow_uplink, _narrow_link_beyond], ids=["uplink", "beyond"])


def _learnt(world: World, container: str, address: str) -> int:
    """The path MTU that a container has learned."""
    shown = world.engine.container_netns_exec(container, "ip", "-json", "-6", "route", "get", address).stdout
    return int(json.loads(shown)[0].get("metrics", [{}])[0].get("mtu", 0))


@links
def test_big_download_from_a_published_port_passes_a_narrow_link(world: World, link: object) -> None:
    with link(world) as (client, address):  # type: ignore[operator]
        assert download(client.path, Port("tcp", HOST_ADDRESS, 8080), _SIZE) == _SIZE
        assert _learnt(world, "web", address) == _MTU


@links
def test_big_upload_to_the_outside_passes_a_narrow_link(world: World, link: object) -> None:
    with link(world) as (server, address), tcp_server(server, 7003, mode="discard") as traffic:  # type: ignore[operator]
        with connect(world.inside("peer"), Port("tcp", address, 7003), patience=20.0) as connection:
            connection.sendall(bytes(_SIZE))
            connection.shutdown(1)
            # the server closes after it received everything
            assert connection.recv(1) == b""
        assert traffic.finish()["received"] == _SIZE
        assert _learnt(world, "peer", address) == _MTU
