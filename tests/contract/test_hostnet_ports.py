"""What every implementation of the host port does about bridges' ports, sockets and flows: the fake and the kernel."""

from collections.abc import AsyncIterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import BridgePort, ChangeKind, Interface, Listener
from dockerv6.hostnet.port import HostNetError
from tests.contract.hosts import HOSTS, World, new_host, reported, started

ADDRESS = IPv6Interface("2001:db8:1::1/64")
HTTP = Listener("tcp", IPv6Address("::"), 80)
HTTP_LOCAL = Listener("tcp", IPv6Address("::1"), 8080)
DNS = Listener("udp", IPv6Address("::1"), 53)
HERE, THERE, ELSEWHERE = IPv6Address("::1"), IPv6Address("2001:db8:1::7"), IPv6Address("2001:db8:53::53")


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


async def test_a_bridges_port_is_told_from_what_is_none(world: World) -> None:
    bridge, port, free = [await interface(world, name) for name in ("br0", "veth0", "veth1")]
    assert (port.master, port.bridge_port) == (bridge.index, BridgePort())
    assert (free.master, free.bridge_port, bridge.bridge_port) == (None, None, None)


async def test_hairpin_is_set_and_unset_on_one_port_only(world: World) -> None:
    world.enslave("veth1", "br0")
    for on in (True, False):
        await world.net.set_hairpin("veth0", on=on)
        assert (await interface(world, "veth0")).bridge_port == BridgePort(hairpin=on)
        assert (await interface(world, "veth1")).bridge_port == BridgePort()


async def test_hairpin_that_is_there_already_is_success(world: World) -> None:
    for on in (False, True, True):
        await world.net.set_hairpin("veth0", on=on)
    assert (await interface(world, "veth0")).bridge_port == BridgePort(hairpin=True)


@pytest.mark.parametrize("name", ["veth1", "br0"])
async def test_what_is_no_port_can_have_no_hairpin(world: World, name: str) -> None:
    with pytest.raises(HostNetError, match=f"cannot set the hairpin mode of {name}: Operation not supported"):
        await world.net.set_hairpin(name, on=True)


@pytest.mark.parametrize("name", ["veth0", "veth1"])
async def test_only_a_bridge_can_show_its_packets(world: World, name: str) -> None:
    with pytest.raises(HostNetError, match=f"cannot set nf_call_ip6tables of {name}: Operation not supported"):
        await world.net.set_bridge_netfilter(name, on=True)


async def test_an_interface_that_is_gone_is_an_error(world: World) -> None:
    with pytest.raises(HostNetError, match="nothere"):
        await world.net.set_hairpin("nothere", on=True)
    with pytest.raises(HostNetError, match="nothere"):
        await world.net.set_bridge_netfilter("nothere", on=True)


async def test_a_released_port_is_none_and_comes_back_without_hairpin(world: World) -> None:
    await world.net.set_hairpin("veth0", on=True)
    world.release("veth0")
    port = await interface(world, "veth0")
    assert (port.master, port.bridge_port) == (None, None)
    world.enslave("veth0", "br0")
    assert (await interface(world, "veth0")).bridge_port == BridgePort()


async def test_the_ports_of_a_bridge_that_goes_are_released(world: World) -> None:
    world.remove_bridge("br0")
    port = await interface(world, "veth0")
    assert (port.master, port.bridge_port) == (None, None)


async def test_a_bridge_shows_its_packets_or_not_and_so_already_is_success(world: World) -> None:
    world.add_bridge("br1")
    for on in (True, True, False, False):
        await world.net.set_bridge_netfilter("br0", on=on)
        assert (await interface(world, "br0")).bridge_netfilter is on
        assert not (await interface(world, "br1")).bridge_netfilter


async def test_an_interface_that_becomes_a_port_is_reported_by_its_own_name(world: World) -> None:
    changes = await started(world)
    world.enslave("veth1", "br0")
    await reported(changes, ChangeKind.LINK, "veth1")
    assert (await interface(world, "veth1")).bridge_port is not None
    changes = await started(world)
    world.release("veth1")
    await reported(changes, ChangeKind.LINK, "veth1")


async def test_a_changed_hairpin_is_reported_by_the_ports_name(world: World) -> None:
    changes = await started(world)
    await world.net.set_hairpin("veth0", on=True)
    await reported(changes, ChangeKind.LINK, "veth0")
    changes = await started(world)
    world.unset_hairpin("veth0")
    await reported(changes, ChangeKind.LINK, "veth0")
    assert (await interface(world, "veth0")).bridge_port == BridgePort()


async def test_a_bridge_that_shows_its_packets_is_reported(world: World) -> None:
    changes = await started(world)
    await world.net.set_bridge_netfilter("br0", on=True)
    await reported(changes, ChangeKind.LINK, "br0")


async def test_an_address_is_tentative_until_it_is_proven_and_that_is_reported(world: World) -> None:
    changes = await started(world)
    world.claim_address("veth1", ADDRESS)
    await reported(changes, ChangeKind.ADDRESS, "veth1")
    claimed = await interface(world, "veth1")
    assert claimed.addresses == (ADDRESS,)
    assert claimed.tentative == {ADDRESS.ip}
    world.prove_addresses("veth1")
    await reported(changes, ChangeKind.ADDRESS, "veth1")
    proven = await interface(world, "veth1")
    assert (proven.addresses, proven.tentative) == ((ADDRESS,), frozenset())


async def test_an_address_that_needs_no_proof_is_never_tentative(world: World) -> None:
    await world.net.add_address("veth1", ADDRESS)
    given = await interface(world, "veth1")
    assert (given.addresses, given.tentative) == ((ADDRESS,), frozenset())


async def test_a_tentative_address_that_is_given_is_usable_at_once(world: World) -> None:
    world.claim_address("veth1", ADDRESS)
    await world.net.add_address("veth1", ADDRESS)
    given = await interface(world, "veth1")
    assert (given.addresses, given.tentative, given.dad_failed) == ((ADDRESS,), frozenset(), frozenset())


async def test_listeners_are_those_that_wait_now(world: World) -> None:
    assert await world.net.listeners() == frozenset()
    for listener in (HTTP, HTTP_LOCAL, DNS):
        world.listen(listener)
    assert await world.net.listeners() == {HTTP, HTTP_LOCAL, DNS}
    world.hang_up()
    assert await world.net.listeners() == frozenset()


async def test_flows_towards_the_ports_are_forgotten_and_no_others(world: World) -> None:
    for port in (5000, 5000, 5001, 5002):
        world.begin_udp_flow(HERE, port)
    assert await world.net.delete_udp_flows([5003], [HERE]) == 0
    assert await world.net.delete_udp_flows({5000, 5002}, [HERE]) == 3
    assert await world.net.delete_udp_flows(range(5000, 5100), [HERE]) == 1
    assert await world.net.delete_udp_flows(range(5000, 5100), [HERE]) == 0


async def test_flows_towards_the_same_port_elsewhere_stay(world: World) -> None:
    for to in (HERE, THERE, ELSEWHERE):
        world.begin_udp_flow(to, 53)
    assert await world.net.delete_udp_flows([53], {HERE, THERE}) == 2
    assert await world.net.delete_udp_flows([53], {HERE, THERE}) == 0
    assert await world.net.delete_udp_flows([53], {ELSEWHERE}) == 1


async def test_for_no_ports_or_no_addresses_nothing_is_forgotten(world: World) -> None:
    world.begin_udp_flow(HERE, 5000)
    assert await world.net.delete_udp_flows([], [HERE]) == 0
    assert await world.net.delete_udp_flows([5000], []) == 0
    assert await world.net.delete_udp_flows([5000], [HERE]) == 1


async def test_flows_that_were_translated_to_a_prefix_are_forgotten_and_no_others(world: World) -> None:
    world.begin_translated_flow(IPv6Address("2001:db8:1::5"))
    world.begin_translated_flow(IPv6Address("2001:db8:2::5"))
    gone, other = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:3::/64")
    assert await world.net.delete_translated_flows([]) == 0
    assert await world.net.delete_translated_flows([other]) == 0
    assert await world.net.delete_translated_flows([gone, other]) == 1
    assert await world.net.delete_translated_flows([gone]) == 0
    assert await world.net.delete_translated_flows([IPv6Network("2001:db8::/32")]) == 1


async def test_a_flow_that_was_not_translated_is_none_of_a_prefix(world: World) -> None:
    world.begin_udp_flow(HERE, 5000)
    assert await world.net.delete_translated_flows([IPv6Network(HERE)]) == 0
