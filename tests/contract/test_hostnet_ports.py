"""The contract of the host port: bridge ports, addresses, sockets and flows."""

from collections.abc import AsyncIterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import BridgePort, ChangeKind, Interface, Listener
from dockerv6.hostnet.port import HostNetError
from tests.contract.hosts import HOSTS, World, new_host, reported, subscribed

ADDRESS = IPv6Interface("2001:db8:1::1/64")
HTTP = Listener("tcp", IPv6Address("::"), 80)
HTTP_LOCAL = Listener("tcp", IPv6Address("::1"), 8080)
DNS = Listener("udp", IPv6Address("::1"), 53)
HERE, THERE, REMOTE = IPv6Address("::1"), IPv6Address("2001:db8:1::7"), IPv6Address("2001:db8:53::53")


@pytest.fixture(params=HOSTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A host with the bridge br0, its port veth0, and the free veth1."""
    with new_host(request.param) as made:
        made.add_veth("veth0")
        made.add_veth("veth1")
        made.enslave("veth0", "br0")
        yield made
        await made.net.close()


async def interface(world: World, name: str) -> Interface:
    return {found.name: found for found in await world.net.interfaces()}[name]


async def test_only_a_bridge_port_has_bridge_port_settings(world: World) -> None:
    bridge, port, free = [await interface(world, name) for name in ("br0", "veth0", "veth1")]
    assert (port.master, port.bridge_port) == (bridge.index, BridgePort())
    assert (free.master, free.bridge_port, bridge.bridge_port) == (None, None, None)


async def test_hairpin_is_set_and_unset_on_one_port_only(world: World) -> None:
    world.enslave("veth1", "br0")
    for on in (True, False):
        await world.net.set_hairpin("veth0", on=on)
        assert (await interface(world, "veth0")).bridge_port == BridgePort(hairpin=on)
        assert (await interface(world, "veth1")).bridge_port == BridgePort()


async def test_setting_hairpin_twice_is_not_an_error(world: World) -> None:
    for on in (False, True, True):
        await world.net.set_hairpin("veth0", on=on)
    assert (await interface(world, "veth0")).bridge_port == BridgePort(hairpin=True)


@pytest.mark.parametrize("name", ["veth1", "br0"])
async def test_hairpin_needs_a_bridge_port(world: World, name: str) -> None:
    with pytest.raises(HostNetError, match=f"cannot set the hairpin mode of {name}: Operation not supported"):
        await world.net.set_hairpin(name, on=True)


@pytest.mark.parametrize("name", ["veth0", "veth1"])
async def test_bridge_netfilter_needs_a_bridge(world: World, name: str) -> None:
    with pytest.raises(HostNetError, match=f"cannot set nf_call_ip6tables of {name}: Operation not supported"):
        await world.net.set_bridge_netfilter(name, on=True)


async def test_a_missing_interface_is_an_error(world: World) -> None:
    with pytest.raises(HostNetError, match="missing0"):
        await world.net.set_hairpin("missing0", on=True)
    with pytest.raises(HostNetError, match="missing0"):
        await world.net.set_bridge_netfilter("missing0", on=True)


async def test_a_released_port_loses_its_settings(world: World) -> None:
    await world.net.set_hairpin("veth0", on=True)
    world.release("veth0")
    port = await interface(world, "veth0")
    assert (port.master, port.bridge_port) == (None, None)
    world.enslave("veth0", "br0")
    assert (await interface(world, "veth0")).bridge_port == BridgePort()


async def test_the_ports_of_a_removed_bridge_are_released(world: World) -> None:
    world.remove_bridge("br0")
    port = await interface(world, "veth0")
    assert (port.master, port.bridge_port) == (None, None)


async def test_bridge_netfilter_is_set_and_unset_on_one_bridge_only(world: World) -> None:
    world.add_bridge("br1")
    for on in (True, True, False, False):
        await world.net.set_bridge_netfilter("br0", on=on)
        assert (await interface(world, "br0")).bridge_netfilter is on
        assert not (await interface(world, "br1")).bridge_netfilter


async def test_a_port_that_joins_or_leaves_a_bridge_is_reported_by_its_own_name(world: World) -> None:
    changes = await subscribed(world)
    world.enslave("veth1", "br0")
    await reported(changes, ChangeKind.LINK, "veth1")
    assert (await interface(world, "veth1")).bridge_port is not None
    changes = await subscribed(world)
    world.release("veth1")
    await reported(changes, ChangeKind.LINK, "veth1")


async def test_changed_hairpin_is_reported_by_the_name_of_the_port(world: World) -> None:
    changes = await subscribed(world)
    await world.net.set_hairpin("veth0", on=True)
    await reported(changes, ChangeKind.LINK, "veth0")
    changes = await subscribed(world)
    world.unset_hairpin("veth0")
    await reported(changes, ChangeKind.LINK, "veth0")
    assert (await interface(world, "veth0")).bridge_port == BridgePort()


async def test_changed_bridge_netfilter_is_reported(world: World) -> None:
    changes = await subscribed(world)
    await world.net.set_bridge_netfilter("br0", on=True)
    await reported(changes, ChangeKind.LINK, "br0")


async def test_the_end_of_duplicate_address_detection_is_reported(world: World) -> None:
    changes = await subscribed(world)
    world.add_tentative_address("veth1", ADDRESS)
    await reported(changes, ChangeKind.ADDRESS, "veth1")
    tentative = await interface(world, "veth1")
    assert tentative.addresses == (ADDRESS,)
    assert tentative.tentative == {ADDRESS.ip}
    world.finish_address_detection("veth1")
    await reported(changes, ChangeKind.ADDRESS, "veth1")
    usable = await interface(world, "veth1")
    assert (usable.addresses, usable.tentative) == ((ADDRESS,), frozenset())


async def test_an_added_address_is_never_tentative(world: World) -> None:
    await world.net.add_address("veth1", ADDRESS)
    added = await interface(world, "veth1")
    assert (added.addresses, added.tentative) == ((ADDRESS,), frozenset())


async def test_adding_a_tentative_address_makes_it_usable(world: World) -> None:
    world.add_tentative_address("veth1", ADDRESS)
    await world.net.add_address("veth1", ADDRESS)
    added = await interface(world, "veth1")
    assert (added.addresses, added.tentative, added.dad_failed) == ((ADDRESS,), frozenset(), frozenset())


async def test_open_sockets_are_listed(world: World) -> None:
    assert await world.net.listeners() == frozenset()
    for listener in (HTTP, HTTP_LOCAL, DNS):
        world.listen(listener)
    assert await world.net.listeners() == {HTTP, HTTP_LOCAL, DNS}
    world.close_sockets()
    assert await world.net.listeners() == frozenset()


async def test_ports_with_connections_of_clients_are_served(world: World) -> None:
    assert await world.net.served_tcp_ports() == frozenset()
    world.serve_client(2222)
    assert await world.net.served_tcp_ports() == {2222}
    assert await world.net.listeners() == frozenset()
    world.close_sockets()
    assert await world.net.served_tcp_ports() == frozenset()


async def test_only_flows_to_the_ports_are_deleted(world: World) -> None:
    for port in (5000, 5000, 5001, 5002):
        world.start_udp_flow(HERE, port)
    assert await world.net.delete_udp_flows([5003], [HERE]) == 0
    assert await world.net.delete_udp_flows({5000, 5002}, [HERE]) == 3
    assert await world.net.delete_udp_flows(range(5000, 5100), [HERE]) == 1
    assert await world.net.delete_udp_flows(range(5000, 5100), [HERE]) == 0


async def test_flows_to_the_same_port_of_other_addresses_are_kept(world: World) -> None:
    for to in (HERE, THERE, REMOTE):
        world.start_udp_flow(to, 53)
    assert await world.net.delete_udp_flows([53], {HERE, THERE}) == 2
    assert await world.net.delete_udp_flows([53], {HERE, THERE}) == 0
    assert await world.net.delete_udp_flows([53], {REMOTE}) == 1


async def test_without_ports_or_addresses_no_flow_is_deleted(world: World) -> None:
    world.start_udp_flow(HERE, 5000)
    assert await world.net.delete_udp_flows([], [HERE]) == 0
    assert await world.net.delete_udp_flows([5000], []) == 0
    assert await world.net.delete_udp_flows([5000], [HERE]) == 1


async def test_only_flows_that_are_translated_to_the_prefixes_are_deleted(world: World) -> None:
    world.start_translated_flow(IPv6Address("2001:db8:1::5"))
    world.start_translated_flow(IPv6Address("2001:db8:2::5"))
    gone, other = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:3::/64")
    assert await world.net.delete_translated_flows([]) == 0
    assert await world.net.delete_translated_flows([other]) == 0
    assert await world.net.delete_translated_flows([gone, other]) == 1
    assert await world.net.delete_translated_flows([gone]) == 0
    assert await world.net.delete_translated_flows([IPv6Network("2001:db8::/32")]) == 1


async def test_a_flow_without_translation_is_kept(world: World) -> None:
    world.start_udp_flow(HERE, 5000)
    assert await world.net.delete_translated_flows([IPv6Network(HERE)]) == 0
