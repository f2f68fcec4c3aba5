import struct
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet import rtnetlink
from dockerv6.hostnet.model import BridgePort, Interface, Route, RouteProtocol
from dockerv6.lib import netlink
from tests.unit.lib.test_netlink import attribute, message

AF_INET6 = 10
PERMANENT, DADFAILED, TENTATIVE = 0x80, 0x08, 0x40
UNIVERSE, LINK = 0, 253
OWN = IPv6Interface("2001:db8::1/64")
PEER = IPv6Interface("2001:db8::2/64")

Answers = dict[int, list[bytes]]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What a dump of each kind answers: payloads."""
    answers: Answers = {18: [link(5, "eth0")], 22: [], 26: []}

    def dump(_protocol: int, kind: int, _body: bytes) -> list[tuple[bytes, int, int]]:
        datagrams = [message(kind, payload) for payload in answers[kind]]
        return [(datagram, start, end) for datagram in datagrams for _, start, end in netlink.messages(datagram)]

    monkeypatch.setattr(rtnetlink, "dump", dump)
    monkeypatch.setattr(rtnetlink, "if_indextoname", {5: "eth0", 6: "eth1"}.__getitem__)
    return answers


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def link(index: int, name: str, *parts: bytes) -> bytes:
    head = struct.pack("=BxHiII", 0, 0, index, 1, 0)
    return head + attribute(3, name.encode() + b"\0") + attribute(4, u32(1500)) + b"".join(parts)


def address(flags: int, *parts: bytes, scope: int = UNIVERSE) -> bytes:
    return struct.pack("=BBBBi", AF_INET6, 64, flags & 0xFF, scope, 5) + b"".join(parts)


def route(*parts: bytes, length: int = 0, table: int = 254, protocol: int = 9, kind: int = 1) -> bytes:
    return struct.pack("=BBBBBBBBI", AF_INET6, length, 0, 0, table, protocol, 0, kind, 0) + b"".join(parts)


def only_interface() -> Interface:
    (interface,) = rtnetlink.interfaces()
    return interface


def test_an_interface_tells_its_master_and_kind(kernel: Answers) -> None:
    info = attribute(18, attribute(1, b"veth\0") + attribute(2, b"\0\0\0\0"))
    kernel[18] = [link(5, "eth0", attribute(10, u32(3)), info)]
    assert only_interface() == Interface(5, "eth0", "veth", up=True, mtu=1500, master=3)


def test_on_a_point_to_point_link_the_address_is_our_end(kernel: Answers) -> None:
    kernel[22] = [address(PERMANENT, attribute(1, PEER.packed), attribute(2, OWN.packed))]
    assert only_interface().addresses == (OWN,)
    kernel[22] = [address(PERMANENT, attribute(2, OWN.packed), attribute(1, PEER.packed))]
    assert only_interface().addresses == (OWN,)


def test_an_address_with_a_lifetime_is_autoconfigured(kernel: Answers) -> None:
    kernel[22] = [address(0, attribute(1, OWN.packed))]
    assert only_interface().autoconfigured
    kernel[22] = [address(0, attribute(1, OWN.packed), attribute(8, u32(0x200 | PERMANENT)))]
    assert not only_interface().autoconfigured


def test_where_the_kernel_says_who_made_an_address_a_lifetime_alone_tells_nothing(kernel: Answers) -> None:
    loopback = address(PERMANENT, attribute(1, PEER.packed), attribute(11, b"\x01"), scope=LINK)
    kernel[22] = [loopback, address(0, attribute(1, OWN.packed))]
    assert not only_interface().autoconfigured
    kernel[22] = [loopback, address(0, attribute(1, OWN.packed), attribute(11, b"\x02"))]
    assert only_interface().autoconfigured


def test_link_local_addresses_are_left_out(kernel: Answers) -> None:
    kernel[22] = [address(PERMANENT, attribute(1, OWN.packed), scope=LINK)]
    assert only_interface().addresses == ()


@pytest.mark.parametrize("flags", [TENTATIVE, DADFAILED, TENTATIVE | DADFAILED])
def test_an_address_is_tentative_until_it_proved_unique(kernel: Answers, flags: int) -> None:
    proven = address(PERMANENT, attribute(1, PEER.packed))
    for wide in ((), (attribute(8, u32(0x200 | PERMANENT | flags)),)):
        kernel[22] = [proven, address(PERMANENT | flags, attribute(1, OWN.packed), *wide)]
        assert only_interface().addresses == (OWN, PEER)
        assert only_interface().tentative == {OWN.ip}
        assert only_interface().dad_failed == ({OWN.ip} if flags & DADFAILED else frozenset())


def test_flags_that_need_more_than_a_byte_stand_for_all_of_them(kernel: Answers) -> None:
    kernel[22] = [address(PERMANENT | TENTATIVE, attribute(1, OWN.packed), attribute(8, u32(PERMANENT)))]
    assert only_interface().tentative == frozenset()


def test_a_bridges_port_and_a_bridge_tell_their_settings(kernel: Answers) -> None:
    port = attribute(1, b"veth\0") + attribute(4, b"bridge\0") + attribute(5, attribute(4, b"\1"))
    bridge = attribute(1, b"bridge\0") + attribute(2, attribute(37, b"\1"))
    kernel[18] = [link(5, "veth0", attribute(10, u32(6)), attribute(18, port)), link(6, "br0", attribute(18, bridge))]
    assert rtnetlink.interfaces() == (
        Interface(5, "veth0", "veth", up=True, mtu=1500, master=6, bridge_port=BridgePort(hairpin=True)),
        Interface(6, "br0", "bridge", up=True, mtu=1500, bridge_netfilter=True),
    )


def test_addresses_ascend(kernel: Answers) -> None:
    kernel[22] = [address(PERMANENT, attribute(1, PEER.packed)), address(PERMANENT, attribute(1, OWN.packed))]
    assert only_interface().addresses == (OWN, PEER)


def test_a_multipath_route_is_one_per_next_hop(kernel: Answers) -> None:
    hops = struct.pack("=HBBi", 8, 0, 0, 5) + struct.pack("=HBBi", 8, 0, 0, 6)
    kernel[26] = [route(attribute(9, hops), attribute(6, u32(1024)))]
    default = IPv6Network("::/0")
    assert rtnetlink.routes() == (
        Route(default, "eth0", RouteProtocol.RA, table=254, metric=1024),
        Route(default, "eth1", RouteProtocol.RA, table=254, metric=1024),
    )


def test_a_table_beyond_a_byte_is_told(kernel: Answers) -> None:
    kernel[26] = [route(attribute(4, u32(5)), attribute(15, u32(5000)), table=252, protocol=186)]
    assert rtnetlink.routes() == (Route(IPv6Network("::/0"), "eth0", RouteProtocol.OTHER, table=5000),)


def test_a_route_without_an_interface_has_none(kernel: Answers) -> None:
    kernel[26] = [route(protocol=4)]
    assert [found.interface for found in rtnetlink.routes()] == [None]


@pytest.mark.parametrize(
    ("destination", "kept"),
    [("fe80::/64", False), ("fe80::/10", False), ("febf::/64", False), ("fec0::/64", True), ("fe00::/9", True)],
)
def test_link_local_destinations_are_left_out(kernel: Answers, destination: str, *, kept: bool) -> None:
    network = IPv6Network(destination, strict=False)
    packed = network.network_address.packed
    kernel[26] = [route(attribute(1, packed), attribute(4, u32(5)), length=network.prefixlen)]
    assert bool(rtnetlink.routes()) is kept


@pytest.mark.parametrize(("table", "kind"), [(255, 1), (254, 2), (254, 5), (254, 7)])
def test_what_is_not_unicast_or_local_is_left_out(kernel: Answers, table: int, kind: int) -> None:
    kernel[26] = [route(attribute(4, u32(5)), table=table, kind=kind)]
    assert rtnetlink.routes() == ()
