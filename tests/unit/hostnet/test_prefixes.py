import struct
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.hostnet import prefixes
from dockerv6.hostnet.model import HostPrefix, PrefixOrigin
from dockerv6.lib import netlink
from tests.unit.lib.test_netlink import attribute, message

GETADDR, GETROUTE = 22, 26
KERNEL, STATIC, RA, DHCP = 2, 4, 9, 16
UNICAST, UNREACHABLE = 1, 7
MAIN, LOCAL = 254, 255
TEMPORARY, DADFAILED, TENTATIVE = 0x01, 0x08, 0x40
PREFIX, OTHER = IPv6Network("2001:db8:5::/64"), IPv6Network("2001:db8:6::/64")
OWN = IPv6Address("2001:db8:5::7")
ROUTER = IPv6Address("fe80::1")

Answers = dict[int, list[bytes]]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What a dump of each kind answers: payloads."""
    answers: Answers = {GETADDR: [], GETROUTE: []}

    def dump(_protocol: int, kind: int, _body: bytes) -> list[tuple[bytes, int, int]]:
        datagrams = [message(kind, payload) for payload in answers[kind]]
        return [(datagram, start, end) for datagram in datagrams for _, start, end in netlink.messages(datagram)]

    monkeypatch.setattr(prefixes, "dump", dump)
    monkeypatch.setattr(prefixes, "interface_name", lambda index, _: {5: "eth0", 6: "eth1"}.get(index))
    return answers


def address(flags: int = 0, index: int = 5) -> bytes:
    lifetimes = attribute(6, struct.pack("=IIII", 1800, 3600, 0, 0))
    return struct.pack("=BBBBi", 10, 64, flags, 0, index) + attribute(1, OWN.packed) + lifetimes


def route(
    destination: IPv6Network | None,
    *parts: bytes,
    protocol: int = RA,
    table: int = MAIN,
    kind: int = UNICAST,
    index: int | None = 5,
) -> bytes:
    length = 64 if destination is None else destination.prefixlen
    head = struct.pack("=BBBBBBBBI", 10, length, 0, 0, table, protocol, 0, kind, 0)
    to = b"" if destination is None else attribute(1, destination.network_address.packed)
    oif = b"" if index is None else attribute(4, struct.pack("=I", index))
    return head + to + oif + b"".join(parts)


def expires(ticks: int) -> bytes:
    return attribute(12, struct.pack("=IIiIIIII", 0, 0, ticks, 0, 0, 0, 0, 0))


def test_an_address_tells_all_that_is_known_of_it(kernel: Answers) -> None:
    kernel[GETADDR] = [address(TEMPORARY | TENTATIVE | DADFAILED)]
    assert prefixes.prefixes() == (
        HostPrefix(
            PREFIX, PrefixOrigin.ADDRESS, "eth0", 1800, 3600, OWN, temporary=True, tentative=True, dad_failed=True
        ),
    )


def test_a_failed_address_is_tentative_too(kernel: Answers) -> None:
    kernel[GETADDR] = [address(DADFAILED)]
    (told,) = prefixes.prefixes()
    assert (told.tentative, told.dad_failed, told.temporary) == (True, True, False)


@pytest.mark.parametrize(("ticks", "valid"), [(0, None), (1, 0.01), (359950, 3599.5)])
def test_a_route_tells_its_lifetime_in_hundredths(kernel: Answers, ticks: int, valid: float | None) -> None:
    kernel[GETROUTE] = [route(PREFIX, expires(ticks))]
    assert prefixes.prefixes() == (HostPrefix(PREFIX, PrefixOrigin.ROUTE, "eth0", valid=valid),)


def test_a_route_whose_lifetime_is_over_tells_nothing(kernel: Answers) -> None:
    kernel[GETROUTE] = [route(PREFIX, expires(-1)), route(OTHER, expires(-3000), kind=UNREACHABLE)]
    assert prefixes.prefixes() == ()


@pytest.mark.parametrize(("protocol", "told"), [(KERNEL, True), (RA, True), (STATIC, False), (DHCP, False)])
def test_only_what_the_kernel_or_a_router_says_is_on_link(kernel: Answers, protocol: int, *, told: bool) -> None:
    kernel[GETROUTE] = [route(PREFIX, protocol=protocol)]
    assert bool(prefixes.prefixes()) is told


@pytest.mark.parametrize(
    "way",
    [
        attribute(5, ROUTER.packed),
        attribute(18, struct.pack("=H", 10) + ROUTER.packed),
        attribute(9, struct.pack("=HBBi", 8, 0, 0, 6)),
    ],
    ids=["gateway", "via", "multipath"],
)
def test_a_route_by_way_of_somebody_is_not_on_link(kernel: Answers, way: bytes) -> None:
    kernel[GETROUTE] = [route(PREFIX, way)]
    assert prefixes.prefixes() == ()


@pytest.mark.parametrize("kind", [UNICAST, UNREACHABLE])
@pytest.mark.parametrize("destination", ["::/0", "fe80::/64", "ff00::/8", "2001:db8::1/128"])
def test_default_link_local_multicast_and_single_destinations_are_left_out(
    kernel: Answers, destination: str, kind: int
) -> None:
    kernel[GETROUTE] = [route(IPv6Network(destination), kind=kind)]
    assert prefixes.prefixes() == ()


def test_routes_of_the_hosts_own_addresses_are_left_out(kernel: Answers) -> None:
    kernel[GETROUTE] = [route(PREFIX, table=LOCAL), route(OTHER, table=LOCAL, kind=UNREACHABLE)]
    assert prefixes.prefixes() == ()


@pytest.mark.parametrize("kind", [6, 7, 8, 9])
@pytest.mark.parametrize("protocol", [STATIC, DHCP])
def test_a_route_to_nowhere_is_the_hosts_delegation(kernel: Answers, kind: int, protocol: int) -> None:
    kernel[GETROUTE] = [route(PREFIX, kind=kind, protocol=protocol)]
    delegation = HostPrefix(PREFIX, PrefixOrigin.DELEGATION, "", by_dhcp=protocol == DHCP)
    assert prefixes.prefixes() == (delegation,)


@pytest.mark.parametrize(("length", "told"), [(56, True), (64, True), (65, False), (122, False)])
def test_nobody_delegates_less_than_a_link_needs(kernel: Answers, length: int, *, told: bool) -> None:
    kernel[GETROUTE] = [route(IPv6Network(("2001:db8::", length)), kind=UNREACHABLE, protocol=STATIC)]
    assert bool(prefixes.prefixes()) is told


def test_the_kernels_own_routes_to_nowhere_are_no_delegations(kernel: Answers) -> None:
    kernel[GETROUTE] = [route(PREFIX, kind=UNREACHABLE, protocol=KERNEL)]
    assert prefixes.prefixes() == ()


def test_what_is_of_an_interface_that_has_just_gone_is_left_out(kernel: Answers) -> None:
    kernel[GETADDR] = [address(index=9)]
    kernel[GETROUTE] = [route(PREFIX, index=9), route(OTHER, index=None)]
    assert prefixes.prefixes() == ()


def test_a_route_without_a_destination_tells_nothing(kernel: Answers) -> None:
    kernel[GETROUTE] = [route(None), route(None, kind=UNREACHABLE)]
    assert prefixes.prefixes() == ()


def test_the_same_is_told_once_and_in_order(kernel: Answers) -> None:
    kernel[GETADDR] = [address(index=6), address()]
    kernel[GETROUTE] = [route(OTHER), route(PREFIX), route(PREFIX), route(PREFIX, expires(100))]
    kernel[GETROUTE] += [route(OTHER, kind=UNREACHABLE), route(OTHER, kind=UNREACHABLE)]
    found = [(told.interface, told.prefix, told.origin, told.valid) for told in prefixes.prefixes()]
    assert found == [
        ("", OTHER, PrefixOrigin.DELEGATION, None),
        ("eth0", PREFIX, PrefixOrigin.ADDRESS, 3600),
        ("eth0", PREFIX, PrefixOrigin.ROUTE, None),
        ("eth0", PREFIX, PrefixOrigin.ROUTE, 1),
        ("eth0", OTHER, PrefixOrigin.ROUTE, None),
        ("eth1", PREFIX, PrefixOrigin.ADDRESS, 3600),
    ]
