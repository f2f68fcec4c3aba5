import struct
from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Any

import pytest

from dockerv6.hostnet import routes as module
from dockerv6.hostnet.model import Route, RouteProtocol
from dockerv6.hostnet.routes import RouteReader
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute, u32

GETROUTE = 26
DEFAULT = IPv6Network("::/0")


def routes() -> tuple[Route, ...]:
    return RouteReader().read()


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


@pytest.mark.parametrize(("table", "kind"), [(255, 1), (254, 2), (254, 5), (255, 7)])
def test_routes_that_are_local_or_not_unicast_are_left_out(kernel: Kernel, table: int, kind: int) -> None:
    kernel.dumps[GETROUTE] = [route(attribute(4, u32(5)), table=table, kind=kind)]
    assert routes() == ()


@pytest.mark.parametrize(("kind", "name"), [(6, "blackhole"), (7, "unreachable"), (8, "prohibit"), (9, "throw")])
def test_rejecting_routes_have_their_type_unless_the_kernel_made_them(kernel: Kernel, kind: int, name: str) -> None:
    kernel.dumps[GETROUTE] = [
        route(attribute(4, u32(5)), kind=kind, protocol=protocol, table=table)
        for protocol, table in ((2, 254), (4, 254), (3, 7))
    ]
    assert [(each.rejects, each.protocol, each.table) for each in routes()] == [
        (name, RouteProtocol.STATIC, 254),
        (name, RouteProtocol.BOOT, 7),
    ]


def to(number: int, index: int = 5) -> bytes:
    packed = IPv6Network(f"2001:db8:{number:x}::/48").network_address.packed
    return route(attribute(1, packed), attribute(4, u32(index)), length=48)


def test_only_routes_that_are_new_are_decoded(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, decoded = RouteReader(), []
    decode = module._decode_route

    def counted(*arguments: Any) -> Iterator[Any]:
        decoded.append(arguments)
        return decode(*arguments)

    monkeypatch.setattr(module, "_decode_route", counted)
    kernel.dumps[GETROUTE] = [to(number) for number in range(5)]
    first = reader.read()
    kernel.dumps[GETROUTE] = [to(9), *(to(number) for number in range(1, 5))]
    second = reader.read()
    assert len(decoded) == 6
    assert [each.destination for each in second] == [IPv6Network(f"2001:db8:{n:x}::/48") for n in (9, 1, 2, 3, 4)]
    assert all(one is other for one, other in zip(first[1:], second[1:], strict=True))
    kernel.dumps[GETROUTE] = []
    assert reader.read() == ()


def test_a_route_of_a_renamed_interface_has_the_new_name(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {5: "eth0", 6: "eth1"}
    monkeypatch.setattr(module, "interface_name", lambda index, _: names.get(index))
    reader = RouteReader()
    kernel.dumps[GETROUTE] = [to(1), to(2, index=6)]
    assert [each.interface for each in reader.read()] == ["eth0", "eth1"]
    names[5] = "lan"
    assert [each.interface for each in reader.read()] == ["lan", "eth1"]
    del names[6]
    assert [each.interface for each in reader.read()] == ["lan", None]
