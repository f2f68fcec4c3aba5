"""The contract of the host port: prefixes and NDP proxy entries."""

from collections.abc import AsyncIterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import ChangeKind, HostPrefix, PrefixOrigin, ProxyNeighbour, Route, RouteProtocol
from dockerv6.hostnet.port import HostNetError
from tests.contract.hosts import HOSTS, World, new_host, reported, subscribed

ADDRESS = IPv6Interface("2001:db8:1::1/64")
SECOND = IPv6Interface("2001:db8:1::2/64")
LOCAL = IPv6Interface("fd00:db8::1/48")
SINGLE = IPv6Interface("2001:db8:2::1/128")
ADVERTISED = IPv6Network("2001:db8:3::/64")
DELEGATED = IPv6Network("2001:db8:f00::/56")
CONTAINER, OTHER = IPv6Address("2001:db8:1::c"), IPv6Address("2001:db8:1::d")

DAY = 86400


@pytest.fixture(params=HOSTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with new_host(request.param) as made:
        yield made
        await made.net.close()


async def prefixes(world: World, origin: PrefixOrigin, interface: str = "br0") -> list[HostPrefix]:
    found = await world.net.prefixes()
    return [each for each in found if (each.origin, each.interface) == (origin, interface)]


async def test_an_address_and_its_route_have_the_prefix(world: World) -> None:
    world.add_address("br0", ADDRESS)
    assert await world.net.prefixes() == (
        HostPrefix(ADDRESS.network, PrefixOrigin.ADDRESS, "br0", address=ADDRESS.ip),
        HostPrefix(ADDRESS.network, PrefixOrigin.ROUTE, "br0"),
    )


async def test_a_host_without_addresses_has_no_prefixes(world: World) -> None:
    world.add_route("br0", IPv6Network("::/0"), RouteProtocol.RA)
    assert await world.net.prefixes() == ()


async def test_prefixes_are_ordered_by_interface_and_prefix(world: World) -> None:
    world.add_bridge("aa0")
    world.add_address("br0", LOCAL)
    await world.net.add_address("br0", ADDRESS)
    world.add_address("aa0", IPv6Interface("fd00:db8:1::1/64"))
    world.delegate(DELEGATED)
    found = [(each.interface, str(each.prefix)) for each in await world.net.prefixes()]
    assert list(dict.fromkeys(found)) == [
        ("", str(DELEGATED)),
        ("aa0", "fd00:db8:1::/64"),
        ("br0", str(ADDRESS.network)),
        ("br0", str(LOCAL.network)),
    ]


async def test_a_single_address_has_no_on_link_route(world: World) -> None:
    world.add_address("br0", SINGLE)
    assert await world.net.prefixes() == (HostPrefix(SINGLE.network, PrefixOrigin.ADDRESS, "br0", address=SINGLE.ip),)


async def test_an_advertised_address_and_its_route_have_lifetimes(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=3 * DAY)
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS)
    (route,) = await prefixes(world, PrefixOrigin.ROUTE)
    assert address.preferred is not None
    assert address.valid is not None
    assert 0 < address.preferred <= DAY < address.valid <= 3 * DAY
    assert route.valid is not None
    assert DAY < route.valid <= 3 * DAY
    assert route.preferred is None


async def test_a_deprecated_address_is_valid_and_not_preferred(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    world.advertise("br0", ADDRESS, preferred=0, valid=DAY)
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS)
    assert address.preferred == 0
    assert address.valid is not None
    assert 0 < address.valid <= DAY


async def test_renewed_lifetimes_are_reported(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    changes = await subscribed(world)
    world.advertise("br0", ADDRESS, preferred=2 * DAY, valid=2 * DAY)
    await reported(changes, ChangeKind.ADDRESS, "br0")
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS)
    assert address.valid is not None
    assert address.valid > DAY


async def test_an_address_that_we_add_has_no_lifetime(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    await world.net.add_address("br0", ADDRESS)
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS)
    assert (address.preferred, address.valid) == (None, None)


async def test_the_route_of_two_addresses_has_the_longer_lifetime(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    world.advertise("br0", SECOND, preferred=DAY, valid=3 * DAY)
    (route,) = await prefixes(world, PrefixOrigin.ROUTE)
    assert route.valid is not None
    assert route.valid > 2 * DAY


async def test_a_withdrawn_prefix_is_removed_and_reported(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    changes = await subscribed(world)
    world.withdraw("br0", ADDRESS)
    await reported(changes, ChangeKind.ADDRESS, "br0")
    assert await world.net.prefixes() == ()


async def test_prefixes_are_removed_with_their_interface(world: World) -> None:
    world.advertise("br0", ADDRESS, preferred=DAY, valid=DAY)
    world.remove_bridge("br0")
    world.add_bridge("br0")
    assert await world.net.prefixes() == ()
    world.add_address("br0", ADDRESS)
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS)
    assert address.valid is None


async def test_a_tentative_address_is_marked(world: World) -> None:
    world.add_veth("veth0")
    world.add_tentative_address("veth0", ADDRESS)
    (address,) = await prefixes(world, PrefixOrigin.ADDRESS, "veth0")
    assert (address.tentative, address.dad_failed, address.temporary) == (True, False, False)


@pytest.mark.parametrize(
    ("protocol", "listed"), [(RouteProtocol.RA, True), (RouteProtocol.STATIC, False), (RouteProtocol.BOOT, False)]
)
async def test_an_advertised_on_link_route_without_an_address_is_a_prefix(
    world: World, protocol: RouteProtocol, *, listed: bool
) -> None:
    world.add_route("br0", ADVERTISED, protocol)
    expected = (HostPrefix(ADVERTISED, PrefixOrigin.ROUTE, "br0"),) if listed else ()
    assert await world.net.prefixes() == expected


async def test_a_delegation_belongs_to_the_host_and_its_changes_are_reported(world: World) -> None:
    changes = await subscribed(world)
    world.delegate(DELEGATED)
    await reported(changes, ChangeKind.ROUTE, "")
    assert await world.net.prefixes() == (HostPrefix(DELEGATED, PrefixOrigin.DELEGATION, "", by_dhcp=True),)
    changes = await subscribed(world)
    world.undelegate(DELEGATED)
    await reported(changes, ChangeKind.ROUTE, "")
    assert await world.net.prefixes() == ()


async def test_a_delegation_is_a_rejecting_route(world: World) -> None:
    world.delegate(DELEGATED)
    (route,) = (route for route in await world.net.routes() if route.destination == DELEGATED)
    assert route == Route(DELEGATED, "lo", RouteProtocol.DHCP, table=254, metric=1024, rejects="unreachable")


async def test_a_host_has_no_proxy_entries_at_first(world: World) -> None:
    assert await world.net.proxy_neighbours() == frozenset()


async def test_our_entries_are_marked_and_adding_one_twice_is_not_an_error(world: World) -> None:
    world.add_bridge("br1")
    for _ in range(2):
        await world.net.add_proxy_neighbour("br0", CONTAINER)
    await world.net.add_proxy_neighbour("br1", OTHER)
    assert await world.net.proxy_neighbours() == {
        ProxyNeighbour("br0", CONTAINER, ours=True),
        ProxyNeighbour("br1", OTHER, ours=True),
    }


async def test_removing_an_entry_twice_is_not_an_error(world: World) -> None:
    await world.net.add_proxy_neighbour("br0", CONTAINER)
    await world.net.add_proxy_neighbour("br0", OTHER)
    for _ in range(2):
        await world.net.remove_proxy_neighbour("br0", CONTAINER)
    assert await world.net.proxy_neighbours() == {ProxyNeighbour("br0", OTHER, ours=True)}


async def test_an_entry_of_another_program_stays_as_it_is_when_we_add_it(world: World) -> None:
    world.add_other_proxy_neighbour("br0", CONTAINER)
    await world.net.add_proxy_neighbour("br0", CONTAINER)
    assert await world.net.proxy_neighbours() == {ProxyNeighbour("br0", CONTAINER, ours=False)}


async def test_our_entry_stays_as_it_is_when_another_program_adds_it(world: World) -> None:
    await world.net.add_proxy_neighbour("br0", CONTAINER)
    world.add_other_proxy_neighbour("br0", CONTAINER)
    assert await world.net.proxy_neighbours() == {ProxyNeighbour("br0", CONTAINER, ours=True)}


async def test_entries_of_any_program_can_be_removed(world: World) -> None:
    world.add_other_proxy_neighbour("br0", CONTAINER)
    await world.net.add_proxy_neighbour("br0", OTHER)
    await world.net.remove_proxy_neighbour("br0", CONTAINER)
    world.drop_proxy_neighbour("br0", OTHER)
    assert await world.net.proxy_neighbours() == frozenset()


async def test_a_missing_interface_is_an_error_for_adding_only(world: World) -> None:
    with pytest.raises(HostNetError, match="missing0"):
        await world.net.add_proxy_neighbour("missing0", CONTAINER)
    await world.net.remove_proxy_neighbour("missing0", CONTAINER)


async def test_an_interface_that_goes_down_loses_its_entries_and_only_the_link_is_reported(world: World) -> None:
    world.add_bridge("br1")
    for name in ("br0", "br1"):
        await world.net.add_proxy_neighbour(name, CONTAINER)
    changes = await subscribed(world)
    world.set_down("br0")
    await reported(changes, ChangeKind.LINK, "br0")
    assert await world.net.proxy_neighbours() == {ProxyNeighbour("br1", CONTAINER, ours=True)}


async def test_entries_of_an_interface_that_is_down_are_kept_when_it_comes_up(world: World) -> None:
    world.set_down("br0")
    await world.net.add_proxy_neighbour("br0", CONTAINER)
    await world.net.set_link_up("br0")
    assert await world.net.proxy_neighbours() == {ProxyNeighbour("br0", CONTAINER, ours=True)}


async def test_entries_are_removed_with_their_interface(world: World) -> None:
    await world.net.add_proxy_neighbour("br0", CONTAINER)
    world.remove_bridge("br0")
    world.add_bridge("br0")
    assert await world.net.proxy_neighbours() == frozenset()
