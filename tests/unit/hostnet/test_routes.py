import struct
from ipaddress import IPv6Network

import pytest

from dockerv6.hostnet.model import Route, RouteProtocol
from dockerv6.hostnet.routes import routes
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute, u32

GETROUTE = 26
DEFAULT = IPv6Network("::/0")


def route(*parts: bytes, length: int = 0, table: int = 254, protocol: int = 9, kind: int = 1) -> bytes:
    return struct.pack("=BBBBBBBBI", 10, length, 0, 0, table, protocol, 0, kind, 0) + b"".join(parts)


def test_a_multipath_route_is_one_route_for_each_next_hop(kernel: Kernel) -> None:
    hops = struct.pack("=HBBi", 8, 0, 0, 5) + struct.pack("=HBBi", 8, 0, 0, 6)
    kernel.dumps[GETROUTE] = [route(attribute(9, hops), attribute(6, u32(1024)))]
    assert routes() == (
        Route(DEFAULT, "eth0", RouteProtocol.RA, table=254, metric=1024),
        Route(DEFAULT, "eth1", RouteProtocol.RA, table=254, metric=1024),
    )


def test_a_table_above_255_is_decoded(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(attribute(4, u32(5)), attribute(15, u32(5000)), table=252, protocol=186)]
    assert routes() == (Route(DEFAULT, "eth0", RouteProtocol.OTHER, table=5000),)


def test_a_route_may_have_no_interface(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(protocol=4)]
    assert [found.interface for found in routes()] == [None]


@pytest.mark.parametrize(
    ("destination", "listed"),
    [("fe80::/64", False), ("fe80::/10", False), ("febf::/64", False), ("fec0::/64", True), ("fe00::/9", True)],
)
def test_link_local_destinations_are_left_out(kernel: Kernel, destination: str, *, listed: bool) -> None:
    network = IPv6Network(destination, strict=False)
    packed = network.network_address.packed
    kernel.dumps[GETROUTE] = [route(attribute(1, packed), attribute(4, u32(5)), length=network.prefixlen)]
    assert bool(routes()) is listed


@pytest.mark.parametrize(("table", "kind"), [(255, 1), (254, 2), (254, 5), (254, 7)])
def test_routes_that_are_local_or_not_unicast_are_left_out(kernel: Kernel, table: int, kind: int) -> None:
    kernel.dumps[GETROUTE] = [route(attribute(4, u32(5)), table=table, kind=kind)]
    assert routes() == ()
