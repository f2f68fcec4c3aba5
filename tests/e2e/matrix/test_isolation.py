"""Direct access to a container: from its own network only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cluster import condition
from tests.e2e.matrix.world import PROTOCOLS
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, ping
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.matrix.world import World


def _ports(address: str) -> list[Port]:
    return [Port(protocol, address, 80) for protocol in PROTOCOLS]


def test_neighbour_with_a_route_reaches_no_port_of_a_container(world: World) -> None:
    web = world.address("web", "front")
    reach(world.neighbour, Port("tcp", HOST_ADDRESS, 8080), name="web")
    assert_closed(world.neighbour, *_ports(web), Port("tcp", web, 81))


def test_containers_of_one_network_reach_each_other(world: World) -> None:
    for port in _ports(world.address("web", "front")):
        answer = reach(world.inside("peer"), port, name="web")
        assert str(answer.client) == world.address("peer", "front")


def test_containers_of_different_networks_do_not_reach_each_other(world: World) -> None:
    assert_closed(world.inside("other"), *_ports(world.address("web", "front")))
    assert_closed(world.inside("peer"), *_ports(world.address("other", "back")))


def test_container_on_two_networks_does_not_connect_them(world: World) -> None:
    both = world.inside("both")
    reach(both, Port("tcp", world.address("web", "front"), 80), name="web")
    reach(both, Port("tcp", world.address("other", "back"), 80), name="other")
    assert_closed(world.inside("other"), *_ports(world.address("both", "front")))


def test_networks_without_isolation_reach_each_other_where_the_engine_allows_it(world: World) -> None:
    port = Port("tcp", world.address("righty", "openb"), 80)
    reported = condition(world.operator, "openb", "FirewallReady")
    assert reported is not None
    if reported["status"] == "True":
        reach(world.inside("lefty"), port, name="righty")
    else:
        assert reported["reason"] == "FirewallBlocked"
        assert_closed(world.inside("lefty"), port)


def test_isolated_network_stays_closed_to_one_without_isolation(world: World) -> None:
    assert_closed(world.inside("lefty"), *_ports(world.address("web", "front")))


def test_without_icc_only_published_ports_are_reached(world: World) -> None:
    hush = world.address("hush", "quiet")
    assert_closed(world.inside("hermit"), *_ports(hush))
    for place in (world.neighbour, world.host, world.inside("hermit"), world.inside("other")):
        reach(place, Port("tcp", HOST_ADDRESS, 8093), name="hush")
    assert ping(world.engine, "hermit", FAR_ADDRESS)


def test_containers_of_an_internal_network_reach_each_other(world: World) -> None:
    reach(world.inside("deposit"), Port("tcp", world.address("safe", "vault"), 80), name="safe")


def test_internal_network_is_not_reached_from_outside(world: World) -> None:
    safe = world.address("safe", "vault")
    for place in (world.neighbour, world.inside("peer")):
        assert_closed(place, *_ports(safe), Port("tcp", HOST_ADDRESS, 8092))


def test_internal_network_does_not_reach_the_outside(world: World) -> None:
    reach(world.inside("peer"), Port("tcp", HOST_ADDRESS, 8080), name="web")
    assert_closed(world.inside("deposit"), Port("tcp", HOST_ADDRESS, 8080), *_ports(world.address("web", "front")))
    assert not ping(world.engine, "deposit", FAR_ADDRESS, deadline=1)


def test_containers_of_every_other_network_reach_the_outside(world: World) -> None:
    for container in ("peer", "other", "hermit", "lefty"):
        assert ping(world.engine, container, FAR_ADDRESS)
        assert world.lab.neighbour.seen_as(world.engine, container) == HOST_ADDRESS
