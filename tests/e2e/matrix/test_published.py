"""Published ports, as on IPv4: clients reach the container at the host's address, and keep their own address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.world import LOOPBACK, PROTOCOLS, SECOND_ADDRESS
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.matrix.world import World

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
tcp_and_udp = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@each_protocol
def test_published_port_is_reached_and_sees_the_clients_own_address(world: World, protocol: str) -> None:
    answer = reach(world.neighbour, Port(protocol, HOST_ADDRESS, 8080), name="web")
    assert str(answer.client) == NEIGHBOUR_ADDRESS


def test_every_port_of_a_range_leads_to_its_container_port(world: World) -> None:
    for number in range(9000, 9004):
        reach(world.neighbour, Port("tcp", HOST_ADDRESS, number), name="range")
    assert_closed(world.neighbour, Port("tcp", HOST_ADDRESS, 8999), Port("tcp", HOST_ADDRESS, 9004))


def test_port_that_the_engine_chose_from_a_range_is_reached(world: World) -> None:
    number = world.engine.host_port("range", "84/tcp")
    assert 9100 <= number <= 9109
    reach(world.neighbour, Port("tcp", HOST_ADDRESS, number), name="range")


@pytest.mark.parametrize("port", ["80/tcp", "80/udp", "82/tcp"], ids=["-P tcp", "-P udp", "-p 82"])
def test_random_port_is_reached(world: World, port: str) -> None:
    number = world.engine.host_port("random", port)
    reach(world.neighbour, Port(port.partition("/")[2], HOST_ADDRESS, number), name="random")


@tcp_and_udp
def test_port_bound_to_loopback_is_reached_only_from_the_host(world: World, protocol: str) -> None:
    world.from_loopback(Port(protocol, LOOPBACK, 8085), name="bound")
    outside = Port(protocol, HOST_ADDRESS, 8085)
    for place in (world.neighbour, world.host, world.inside("peer")):
        assert_closed(place, outside)


@tcp_and_udp
def test_port_bound_to_one_address_is_reached_only_there(world: World, protocol: str) -> None:
    for place in (world.neighbour, world.host):
        reach(place, Port(protocol, HOST_ADDRESS, 8086), name="bound")
        assert_closed(place, Port(protocol, SECOND_ADDRESS, 8086))
    assert_closed(world.host, Port(protocol, LOOPBACK, 8086))


def test_port_bound_to_two_addresses_is_reached_on_each(world: World) -> None:
    reach(world.neighbour, Port("tcp", HOST_ADDRESS, 8089), name="bound")
    reach(world.neighbour, Port("tcp", SECOND_ADDRESS, 8090), name="bound")
    assert_closed(world.neighbour, Port("tcp", SECOND_ADDRESS, 8089), Port("tcp", HOST_ADDRESS, 8090))


@tcp_and_udp
def test_port_bound_to_one_ipv4_address_is_not_opened_on_ipv6(world: World, protocol: str) -> None:
    reach(world.neighbour, Port(protocol, HOST_ADDRESS_V4, 8087), name="bound")
    assert_closed(world.neighbour, Port(protocol, HOST_ADDRESS, 8087))
    assert_closed(world.host, Port(protocol, HOST_ADDRESS, 8087), Port(protocol, LOOPBACK, 8087))


@tcp_and_udp
def test_port_bound_to_all_of_ipv4_is_not_opened_on_ipv6(world: World, protocol: str) -> None:
    reach(world.neighbour, Port(protocol, HOST_ADDRESS_V4, 8088), name="bound")
    assert_closed(world.neighbour, Port(protocol, HOST_ADDRESS, 8088), Port(protocol, SECOND_ADDRESS, 8088))


@each_protocol
def test_container_reaches_itself_through_the_hosts_address(world: World, protocol: str) -> None:
    reach(world.inside("web"), Port(protocol, HOST_ADDRESS, 8080), name="web")


@each_protocol
def test_container_reaches_another_of_its_network_through_the_hosts_address(world: World, protocol: str) -> None:
    reach(world.inside("peer"), Port(protocol, HOST_ADDRESS, 8080), name="web")


@each_protocol
def test_container_of_another_network_reaches_the_port_through_the_hosts_address(world: World, protocol: str) -> None:
    # the source address is not checked, as on IPv4: engines from 28.2 on drop replies to containers' own addresses
    reach(world.inside("other"), Port(protocol, HOST_ADDRESS, 8080), name="web")


@each_protocol
def test_host_reaches_the_port_through_its_own_address(world: World, protocol: str) -> None:
    reach(world.host, Port(protocol, HOST_ADDRESS, 8080), name="web")


@each_protocol
def test_host_reaches_the_port_through_loopback(world: World, protocol: str) -> None:
    world.from_loopback(Port(protocol, LOOPBACK, 8080), name="web")


@tcp_and_udp
def test_container_on_two_networks_is_reached(world: World, protocol: str) -> None:
    port = Port(protocol, HOST_ADDRESS, 8091)
    for place in (world.neighbour, world.host, world.inside("peer"), world.inside("other"), world.inside("both")):
        reach(place, port, name="both")
    assert str(reach(world.neighbour, port).client) == NEIGHBOUR_ADDRESS


def test_port_with_an_allow_list_is_closed_to_other_clients(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8070)
    assert str(reach(world.neighbour, port, name="web").client) == NEIGHBOUR_ADDRESS
    assert_closed(world.neighbour, port, source=FAR_ADDRESS)
    reach(world.neighbour, Port("tcp", HOST_ADDRESS, 8080), name="web", source=FAR_ADDRESS)


def test_published_ports_are_reported_as_published(world: World) -> None:
    for network in ("back", "quiet"):
        world.operator.wait_ready(f"ipv6network/{network}", condition="PortsPublished")
