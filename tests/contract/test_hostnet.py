"""The contract of the host port, on the fake and on a network namespace: sysctls, interfaces, routes, changes."""

from collections.abc import AsyncIterator
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import ChangeKind, HostChange, Route, RouteProtocol, interface_sysctl
from dockerv6.hostnet.port import HostNetError
from tests.contract.hosts import HOSTS, World, new_host, reported, subscribed

ADDRESS = IPv6Interface("2001:db8:1::1/64")
REMOTE = IPv6Network("2001:db8:ffff::/48")


@pytest.fixture(params=HOSTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with new_host(request.param) as made:
        yield made
        await made.net.close()


async def test_a_sysctl_can_be_named_with_dots_or_slashes(world: World) -> None:
    assert await world.net.sysctl("net.ipv6.conf.br0.accept_ra") == "1"
    assert await world.net.sysctl("net/ipv6/conf/br0/accept_ra") == "1"


async def test_a_dot_in_an_interface_name_is_not_a_separator(world: World) -> None:
    world.add_bridge("br0.100")
    await world.net.set_sysctl(interface_sysctl("br0.100", "accept_ra"), "2")
    assert await world.net.sysctl("net.ipv6.conf.br0/100.accept_ra") == "2"
    assert await world.net.sysctl("net.ipv6.conf.br0.accept_ra") == "1"


@pytest.mark.parametrize("name", ["net.ipv6.conf.nothere.accept_ra", "net.ipv6.conf.br0.nothere"])
async def test_a_missing_sysctl_is_none_and_cannot_be_set(world: World, name: str) -> None:
    assert await world.net.sysctl(name) is None
    with pytest.raises(HostNetError, match="no such key"):
        await world.net.set_sysctl(name, "1")


async def test_a_value_that_is_not_a_number_is_refused(world: World) -> None:
    with pytest.raises(HostNetError, match="Invalid argument"):
        await world.net.set_sysctl("net.ipv6.conf.br0.forwarding", "maybe")
    assert await world.net.sysctl("net.ipv6.conf.br0.forwarding") == "0"


@pytest.mark.parametrize("name", ["net/../../etc/passwd", "/net/ipv6", "", "net..ipv6", "net/ipv6/\0"])
async def test_an_invalid_sysctl_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a sysctl"):
        await world.net.sysctl(name)
    with pytest.raises(ValueError, match="not the name of a sysctl"):
        await world.net.set_sysctl(name, "1")


async def test_all_forwarding_applies_to_existing_and_new_interfaces(world: World) -> None:
    await world.net.set_sysctl("net.ipv6.conf.all.forwarding", "1")
    world.add_bridge("br1")
    for name in ("all", "default", "br0", "br1"):
        assert await world.net.sysctl(interface_sysctl(name, "forwarding")) == "1"


async def test_interfaces_have_kind_state_and_global_addresses(world: World) -> None:
    world.add_address("br0", ADDRESS)
    found = {interface.name: interface for interface in await world.net.interfaces()}["br0"]
    assert (found.kind, found.up, found.mtu, found.master) == ("bridge", True, 1500, None)
    assert found.addresses == (ADDRESS,)
    assert not found.autoconfigured


async def test_interfaces_are_ordered_by_index(world: World) -> None:
    for name in ("zz0", "br1", "mm0"):
        world.add_bridge(name)
    found = await world.net.interfaces()
    assert [interface.index for interface in found] == sorted(interface.index for interface in found)
    assert [interface.name for interface in found][-3:] == ["zz0", "br1", "mm0"]


@pytest.mark.parametrize("protocol", [RouteProtocol.STATIC, RouteProtocol.RA])
async def test_routes_have_protocol_and_metric(world: World, protocol: RouteProtocol) -> None:
    world.add_route("br0", REMOTE, protocol)
    expected = Route(REMOTE, "br0", protocol, table=254, metric=77)
    assert expected in await world.net.routes()


async def test_a_default_route_has_a_prefix_of_length_0(world: World) -> None:
    world.add_route("br0", IPv6Network("::/0"), RouteProtocol.RA)
    assert Route(IPv6Network("::/0"), "br0", RouteProtocol.RA, table=254, metric=77) in await world.net.routes()


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit", "throw"])
async def test_rejecting_routes_are_listed_with_their_type(world: World, kind: str) -> None:
    for prefix in (REMOTE, IPv6Network("::/0")):
        world.reject(kind, prefix)
        assert Route(prefix, "lo", RouteProtocol.STATIC, 254, 77, kind) in await world.net.routes()


async def test_routes_and_sysctls_are_removed_with_their_interface(world: World) -> None:
    world.add_route("br0", REMOTE, RouteProtocol.STATIC)
    world.remove_bridge("br0")
    assert REMOTE not in {route.destination for route in await world.net.routes()}
    assert "br0" not in {interface.name for interface in await world.net.interfaces()}
    assert await world.net.sysctl("net.ipv6.conf.br0.forwarding") is None


async def test_added_and_removed_interfaces_are_reported(world: World) -> None:
    changes = await subscribed(world)
    world.add_bridge("br1")
    await reported(changes, ChangeKind.LINK, "br1")
    changes = await subscribed(world)
    world.remove_bridge("br1")
    await reported(changes, ChangeKind.LINK, "br1")


async def test_an_address_is_reported(world: World) -> None:
    changes = await subscribed(world)
    world.add_address("br0", ADDRESS)
    await reported(changes, ChangeKind.ADDRESS, "br0")


async def test_a_route_is_reported(world: World) -> None:
    changes = await subscribed(world)
    world.add_route("br0", REMOTE, RouteProtocol.STATIC)
    await reported(changes, ChangeKind.ROUTE, "br0")


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit", "throw"])
@pytest.mark.parametrize("to", ["::/0", "2000::/3", "2001:db8:5::/48", "2001:db8:5::/65", "2001:db8:5::2/128"])
async def test_a_rejecting_route_of_any_length_is_reported_when_it_comes_and_when_it_goes(
    world: World, kind: str, to: str
) -> None:
    may_be_delegated = to in ("2000::/3", "2001:db8:5::/48")
    subject = "" if may_be_delegated else "lo"
    changes = await subscribed(world)
    world.reject(kind, IPv6Network(to))
    await reported(changes, ChangeKind.ROUTE, subject)
    changes = await subscribed(world)
    world.stop_rejecting(kind, IPv6Network(to))
    await reported(changes, ChangeKind.ROUTE, subject)


@pytest.mark.parametrize("key", ["forwarding", "proxy_ndp"])
async def test_a_changed_sysctl_is_reported(world: World, key: str) -> None:
    changes = await subscribed(world)
    world.set_sysctl(interface_sysctl("br0", key), "1")
    await reported(changes, ChangeKind.SYSCTL, "br0")


async def test_our_own_changes_are_reported(world: World) -> None:
    changes = await subscribed(world)
    await world.net.set_sysctl("net.ipv6.conf.all.forwarding", "1")
    await reported(changes, ChangeKind.SYSCTL, "all")


async def test_writing_the_current_value_is_not_reported(world: World) -> None:
    changes = await subscribed(world)
    world.set_sysctl(interface_sysctl("br0", "forwarding"), "0")
    world.commit("inet marker")
    seen = [await anext(changes)]
    while seen[-1].kind is not ChangeKind.FIREWALL:
        seen.append(await anext(changes))
    assert ChangeKind.SYSCTL not in {change.kind for change in seen}


async def test_accept_ra_is_not_reported(world: World) -> None:
    changes = await subscribed(world)
    world.set_sysctl(interface_sysctl("br0", "accept_ra"), "2")
    world.set_sysctl(interface_sysctl("br0", "forwarding"), "1")
    assert await anext(changes) == HostChange(ChangeKind.SYSCTL, "br0")
    world.set_sysctl(interface_sysctl("br0", "accept_ra"), "1")
    world.set_sysctl(interface_sysctl("default", "proxy_ndp"), "1")
    assert await anext(changes) == HostChange(ChangeKind.SYSCTL, "default")


async def test_a_commit_to_a_table_is_reported_with_its_generation(world: World) -> None:
    changes = await subscribed(world)
    world.commit("inet dockerv6")
    first = await reported(changes, ChangeKind.FIREWALL, "inet dockerv6")
    world.commit("inet other")
    second = await reported(changes, ChangeKind.FIREWALL, "inet other")
    assert first.generation is not None
    assert second.generation == first.generation + 1


async def test_equal_changes_are_merged_with_the_latest_generation(world: World) -> None:
    changes = await subscribed(world)
    for _ in range(3):
        world.commit("ip6 filter")
    world.commit("inet other")
    first = await reported(changes, ChangeKind.FIREWALL, "ip6 filter")
    second = await anext(changes)
    assert first.generation is not None
    assert second == HostChange(ChangeKind.FIREWALL, "inet other", first.generation + 1)


async def test_every_subscriber_receives_every_change(world: World) -> None:
    readers = [await subscribed(world), await subscribed(world)]
    world.commit("inet dockerv6")
    for changes in readers:
        await reported(changes, ChangeKind.FIREWALL, "inet dockerv6")


async def test_closing_ends_the_iteration(world: World) -> None:
    changes = await subscribed(world)
    await world.net.close()
    assert [change async for change in changes] == []


async def test_closing_twice_is_harmless(world: World) -> None:
    await world.net.close()
    await world.net.close()
