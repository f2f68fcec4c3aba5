import struct
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.hostnet.model import HostPrefix, PrefixOrigin
from dockerv6.hostnet.prefixes import prefixes
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute

GETADDR, GETROUTE = 22, 26
KERNEL, STATIC, RA, DHCP = 2, 4, 9, 16
UNICAST, UNREACHABLE = 1, 7
MAIN, LOCAL = 254, 255
TEMPORARY, DADFAILED, TENTATIVE = 0x01, 0x08, 0x40
PREFIX, OTHER = IPv6Network("2001:db8:5::/64"), IPv6Network("2001:db8:6::/64")
OWN = IPv6Address("2001:db8:5::7")
ROUTER = IPv6Address("fe80::1")


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


def test_an_address_is_a_prefix_with_lifetimes_and_flags(kernel: Kernel) -> None:
    kernel.dumps[GETADDR] = [address(TEMPORARY | TENTATIVE | DADFAILED)]
    assert prefixes() == (
        HostPrefix(
            PREFIX, PrefixOrigin.ADDRESS, "eth0", 1800, 3600, OWN, temporary=True, tentative=True, dad_failed=True
        ),
    )


def test_an_address_that_failed_detection_is_tentative_too(kernel: Kernel) -> None:
    kernel.dumps[GETADDR] = [address(DADFAILED)]
    (prefix,) = prefixes()
    assert (prefix.tentative, prefix.dad_failed, prefix.temporary) == (True, True, False)


@pytest.mark.parametrize(("ticks", "valid"), [(0, None), (1, 0.01), (359950, 3599.5)])
def test_the_lifetime_of_a_route_is_in_hundredths(kernel: Kernel, ticks: int, valid: float | None) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, expires(ticks))]
    assert prefixes() == (HostPrefix(PREFIX, PrefixOrigin.ROUTE, "eth0", valid=valid),)


def test_expired_routes_are_left_out(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, expires(-1)), route(OTHER, expires(-3000), kind=UNREACHABLE)]
    assert prefixes() == ()


@pytest.mark.parametrize(("protocol", "listed"), [(KERNEL, True), (RA, True), (STATIC, False), (DHCP, False)])
def test_only_routes_of_the_kernel_and_of_advertisements_are_on_link(
    kernel: Kernel, protocol: int, *, listed: bool
) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, protocol=protocol)]
    assert bool(prefixes()) is listed


@pytest.mark.parametrize(
    "hop",
    [
        attribute(5, ROUTER.packed),
        attribute(18, struct.pack("=H", 10) + ROUTER.packed),
        attribute(9, struct.pack("=HBBi", 8, 0, 0, 6)),
    ],
    ids=["gateway", "via", "multipath"],
)
def test_a_route_through_a_gateway_is_not_on_link(kernel: Kernel, hop: bytes) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, hop)]
    assert prefixes() == ()


@pytest.mark.parametrize("kind", [UNICAST, UNREACHABLE])
@pytest.mark.parametrize("destination", ["::/0", "fe80::/64", "ff00::/8", "2001:db8::1/128"])
def test_default_link_local_multicast_and_single_destinations_are_left_out(
    kernel: Kernel, destination: str, kind: int
) -> None:
    kernel.dumps[GETROUTE] = [route(IPv6Network(destination), kind=kind)]
    assert prefixes() == ()


def test_routes_of_table_local_are_left_out(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, table=LOCAL), route(OTHER, table=LOCAL, kind=UNREACHABLE)]
    assert prefixes() == ()


@pytest.mark.parametrize("kind", [6, 7, 8, 9])
@pytest.mark.parametrize("protocol", [STATIC, DHCP])
def test_a_rejecting_route_is_a_delegation(kernel: Kernel, kind: int, protocol: int) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, kind=kind, protocol=protocol)]
    delegation = HostPrefix(PREFIX, PrefixOrigin.DELEGATION, "", by_dhcp=protocol == DHCP)
    assert prefixes() == (delegation,)


@pytest.mark.parametrize(("length", "listed"), [(56, True), (64, True), (65, False), (122, False)])
def test_delegations_are_at_most_64_bits_long(kernel: Kernel, length: int, *, listed: bool) -> None:
    kernel.dumps[GETROUTE] = [route(IPv6Network(("2001:db8::", length)), kind=UNREACHABLE, protocol=STATIC)]
    assert bool(prefixes()) is listed


def test_rejecting_routes_of_the_kernel_are_not_delegations(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(PREFIX, kind=UNREACHABLE, protocol=KERNEL)]
    assert prefixes() == ()


def test_prefixes_of_removed_interfaces_are_left_out(kernel: Kernel) -> None:
    kernel.dumps[GETADDR] = [address(index=9)]
    kernel.dumps[GETROUTE] = [route(PREFIX, index=9), route(OTHER, index=None)]
    assert prefixes() == ()


def test_routes_without_a_destination_are_left_out(kernel: Kernel) -> None:
    kernel.dumps[GETROUTE] = [route(None), route(None, kind=UNREACHABLE)]
    assert prefixes() == ()


def test_prefixes_are_sorted_and_unique(kernel: Kernel) -> None:
    kernel.dumps[GETADDR] = [address(index=6), address()]
    kernel.dumps[GETROUTE] = [route(OTHER), route(PREFIX), route(PREFIX), route(PREFIX, expires(100))]
    kernel.dumps[GETROUTE] += [route(OTHER, kind=UNREACHABLE), route(OTHER, kind=UNREACHABLE)]
    found = [(each.interface, each.prefix, each.origin, each.valid) for each in prefixes()]
    assert found == [
        ("", OTHER, PrefixOrigin.DELEGATION, None),
        ("eth0", PREFIX, PrefixOrigin.ADDRESS, 3600),
        ("eth0", PREFIX, PrefixOrigin.ROUTE, None),
        ("eth0", PREFIX, PrefixOrigin.ROUTE, 1),
        ("eth0", OTHER, PrefixOrigin.ROUTE, None),
        ("eth1", PREFIX, PrefixOrigin.ADDRESS, 3600),
    ]
