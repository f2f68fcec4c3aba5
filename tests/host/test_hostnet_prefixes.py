"""Prefixes with the lifetimes and states that the kernel gives them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.model import ChangeKind, HostChange, HostPrefix, PrefixOrigin
from tests.host.advertisements import add_wan_link, advertise_on
from tests.host.network import ip, private_network, set_sysctl

pytestmark = pytest.mark.host

PREFIX = IPv6Network("2001:db8:5::/64")
NEXT = IPv6Network("2001:db8:6::/64")
DELEGATED = IPv6Network("2001:db8:f00::/56")
TWO_HOURS = 7200

Prefixes = tuple[HostPrefix, ...]


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        ip("link", "set", "lo", "up")
        yield


@pytest.fixture
async def host() -> AsyncIterator[LinuxHostNet]:
    made = LinuxHostNet()
    yield made
    await made.close()


@pytest.fixture
def _wire(_network: None) -> None:
    add_wan_link()


@pytest.fixture
async def advertised(
    host: LinuxHostNet, _wire: None
) -> Callable[[IPv6Network, int, int, Callable[[Prefixes], bool]], Awaitable[Prefixes]]:
    """Advertise a prefix with a preferred and a valid lifetime until the prefixes of wan0 are as expected."""

    async def until(prefix: IPv6Network, preferred: int, valid: int, expected: Callable[[Prefixes], bool]) -> Prefixes:
        changes = host.changes()
        assert await anext(changes) == HostChange(ChangeKind.LOST)
        async with asyncio.TaskGroup() as tasks:
            router = tasks.create_task(advertise_on("router0", prefix, preferred=preferred, valid=valid))
            while not expected(found := of("wan0", await host.prefixes())):
                await anext(changes)
            router.cancel()
        return found

    return until


def of(interface: str, found: Prefixes) -> Prefixes:
    return tuple(each for each in found if each.interface == interface)


def origins(found: Prefixes) -> set[tuple[PrefixOrigin, IPv6Network]]:
    return {(each.origin, each.prefix) for each in found}


def both(prefix: IPv6Network) -> set[tuple[PrefixOrigin, IPv6Network]]:
    return {(PrefixOrigin.ADDRESS, prefix), (PrefixOrigin.ROUTE, prefix)}


Advertised = Callable[[IPv6Network, int, int, Callable[[Prefixes], bool]], Awaitable[Prefixes]]


async def test_an_advertised_prefix_has_the_lifetimes_of_the_advertisement(advertised: Advertised) -> None:
    found = await advertised(
        PREFIX, 1800, 36000, lambda found: origins(found) == both(PREFIX) and not found[0].tentative
    )
    address, route = found
    assert address.preferred is not None
    assert address.valid is not None
    assert route.valid is not None
    assert 0 < address.preferred <= 1800 < address.valid <= 36000
    assert 1800 < route.valid <= 36000
    assert not any((address.temporary, address.dad_failed))


async def test_a_deprecated_prefix_stays_valid_next_to_its_successor(advertised: Advertised) -> None:
    await advertised(PREFIX, 1800, 36000, lambda found: origins(found) == both(PREFIX))
    await advertised(PREFIX, 0, 36000, lambda found: found[0].preferred == 0)
    found = await advertised(NEXT, 1800, 36000, lambda found: origins(found) == both(PREFIX) | both(NEXT))
    preferred = {each.prefix: each.preferred for each in found if each.origin is PrefixOrigin.ADDRESS}
    assert preferred[PREFIX] == 0
    assert preferred[NEXT]


async def test_a_withdrawn_prefix_loses_its_route_and_its_address_is_valid_for_at_most_two_hours(
    advertised: Advertised,
) -> None:
    await advertised(PREFIX, 1800, 36000, lambda found: origins(found) == both(PREFIX))
    # RFC 4862, 5.5.3 e: an advertisement cannot end it sooner, since an attacker could send one
    # the kernel deletes the route first, then updates the address
    (address,) = await advertised(PREFIX, 0, 0, lambda found: [each.preferred for each in found] == [0])
    assert address.origin is PrefixOrigin.ADDRESS
    assert address.valid is not None
    assert 0 < address.valid <= TWO_HOURS


async def test_a_privacy_address_is_temporary(advertised: Advertised) -> None:
    set_sysctl("net/ipv6/conf/wan0/use_tempaddr", "2")
    found = await advertised(PREFIX, 1800, 36000, lambda found: any(each.temporary for each in found))
    kinds = sorted(each.temporary for each in found if each.origin is PrefixOrigin.ADDRESS)
    assert kinds == [False, True]
    assert {each.prefix for each in found} == {PREFIX}


@pytest.mark.usefixtures("_wire")
async def test_an_address_of_another_host_fails_detection(host: LinuxHostNet) -> None:
    changes = host.changes()
    assert await anext(changes) == HostChange(ChangeKind.LOST)
    set_sysctl("net/ipv6/conf/wan0/accept_dad", "1")
    ip("address", "add", "2001:db8:5::1/64", "dev", "router0", "nodad")
    ip("address", "add", "2001:db8:5::1/64", "dev", "wan0")
    while not any(each.dad_failed for each in of("wan0", await host.prefixes())):
        await anext(changes)
    (failed,) = (each for each in await host.prefixes() if each.dad_failed)
    assert (failed.address, failed.tentative) == (IPv6Address("2001:db8:5::1"), True)


@pytest.mark.usefixtures("_wire")
async def test_an_address_with_a_peer_has_the_prefix_of_its_own_end(host: LinuxHostNet) -> None:
    ip("address", "add", "2001:db8:5::1", "peer", "2001:db8:7::1/64", "dev", "wan0", "nodad")
    assert of("wan0", await host.prefixes()) == (
        HostPrefix(PREFIX, PrefixOrigin.ADDRESS, "wan0", address=IPv6Address("2001:db8:5::1")),
        HostPrefix(PREFIX, PrefixOrigin.ROUTE, "wan0"),
    )


@pytest.mark.usefixtures("_wire")
async def test_an_address_without_a_prefix_route(host: LinuxHostNet) -> None:
    ip("address", "add", "2001:db8:5::1/64", "dev", "wan0", "noprefixroute")
    assert origins(of("wan0", await host.prefixes())) == {(PrefixOrigin.ADDRESS, PREFIX)}


@pytest.mark.usefixtures("_wire")
async def test_routes_through_a_router_are_left_out(host: LinuxHostNet) -> None:
    ip("route", "add", str(PREFIX), "via", "fe80::1", "dev", "wan0", "proto", "ra")
    hops = ("nexthop", "via", "fe80::1", "dev", "wan0", "nexthop", "via", "fe80::2", "dev", "router0")
    ip("route", "add", str(NEXT), "proto", "ra", *hops)
    assert await host.prefixes() == ()


@pytest.mark.usefixtures("_wire")
async def test_a_route_of_a_daemon_that_processes_advertisements_has_a_lifetime(host: LinuxHostNet) -> None:
    ip("route", "add", str(PREFIX), "dev", "wan0", "proto", "ra", "expires", "3600")
    (route,) = await host.prefixes()
    assert (route.prefix, route.origin, route.interface) == (PREFIX, PrefixOrigin.ROUTE, "wan0")
    assert route.valid is not None
    assert 0 < route.valid <= 3600


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit", "throw"])
async def test_rejecting_routes_are_delegations_without_a_lifetime(host: LinuxHostNet, kind: str) -> None:
    # the kernel does not store their lifetimes
    ip("route", "add", kind, str(DELEGATED), "proto", "dhcp", "table", "100", "expires", "3600")
    assert await host.prefixes() == (HostPrefix(DELEGATED, PrefixOrigin.DELEGATION, "", by_dhcp=True),)


async def test_two_routes_of_a_delegation_are_one_prefix(host: LinuxHostNet) -> None:
    for metric in ("5", "6"):
        ip("route", "add", "unreachable", str(DELEGATED), "metric", metric)
    assert await host.prefixes() == (HostPrefix(DELEGATED, PrefixOrigin.DELEGATION, ""),)


@pytest.mark.parametrize(
    "route",
    ["default", "2001:db8:f00::/65", "2001:db8::1", "fe80::/10", "ff00::/8", f"{DELEGATED} proto kernel"],
)
async def test_other_rejecting_routes_are_left_out(host: LinuxHostNet, route: str) -> None:
    ip("route", "add", "unreachable", *route.split())
    assert await host.prefixes() == ()


async def test_routes_of_table_local_are_not_delegations(host: LinuxHostNet) -> None:
    ip("route", "add", "local", str(DELEGATED), "dev", "lo")
    ip("route", "add", "unreachable", str(DELEGATED), "table", "local", "metric", "5")
    assert await host.prefixes() == ()
