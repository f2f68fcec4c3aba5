"""Containers are tracked: their ports are opened, moved and closed with them, and no rule stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cluster import condition, eventually, network_yaml, our_table
from tests.lab.net import HOST_ADDRESS
from tests.lab.probe import Port, assert_closed, reach, wait_closed

if TYPE_CHECKING:
    from tests.e2e.matrix.world import World


def test_port_is_closed_while_its_container_is_stopped(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8061)
    world.run("moody", "front", ports={"80/tcp": 8061})
    reach(world.neighbour, port, name="moody")
    world.engine.docker("stop", "-t", "0", "moody")
    wait_closed(world.neighbour, port)
    world.engine.docker("start", "moody")
    reach(world.neighbour, port, name="moody")


def test_restarted_container_is_followed_to_its_new_address(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8061)
    world.run("moody", "front", ports={"80/tcp": 8061})
    reach(world.neighbour, port, name="moody")
    before = world.address("moody", "front")
    world.engine.docker("stop", "-t", "0", "moody")
    world.run("squatter", "front")
    world.engine.docker("start", "moody")
    reach(world.neighbour, port, name="moody")
    world.engine.docker("restart", "-t", "0", "moody")
    reach(world.neighbour, port, name="moody")
    if world.address("moody", "front") != before:
        assert before not in our_table(world.engine)


def test_renamed_container_is_selected_by_its_new_name(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8071)
    world.run("worker", "front")
    reach(world.neighbour, port, name="worker")
    try:
        world.engine.docker("rename", "worker", "idle")
        wait_closed(world.neighbour, port)
    finally:
        world.engine.docker("rename", "idle", "worker")
    reach(world.neighbour, port, name="worker")


def test_port_is_closed_while_its_container_is_disconnected(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8062)
    world.run("nomad", "front", ports={"80/tcp": 8062})
    reach(world.neighbour, port, name="nomad")
    world.engine.docker("network", "disconnect", "front", "nomad")
    wait_closed(world.neighbour, port)
    world.engine.docker("network", "connect", "front", "nomad")
    reach(world.neighbour, port, name="nomad")


def test_container_on_two_networks_is_reached_through_the_remaining_one(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8063)
    world.run("amphib", "front", ports={"80/tcp": 8063}, more_networks=["back"])
    reach(world.neighbour, port, name="amphib")
    world.engine.docker("network", "disconnect", "front", "amphib")
    reach(world.neighbour, port, name="amphib")
    gone = world.engine.container_addresses("amphib", "back")["6"]
    reach(world.inside("other"), Port("tcp", gone, 80), name="amphib")


def test_first_of_two_claims_to_a_port_keeps_it_and_the_other_is_reported(world: World) -> None:
    port = Port("tcp", HOST_ADDRESS, 8072)
    world.run("early", "front", ports={"80/tcp": 8072})
    reach(world.neighbour, port, name="early")
    # the resource publishes the same port for this container
    world.run("late", "front")
    eventually(
        lambda: (condition(world.operator, "front", "PortsPublished") or {}).get("reason") == "PortConflict",
        "the conflict is reported",
    )
    reported = condition(world.operator, "front", "PortsPublished")
    assert reported is not None
    assert reported["status"] == "False"
    assert "8072" in reported["message"]
    reach(world.neighbour, port, name="early")
    world.engine.docker("rm", "-f", "early")
    reach(world.neighbour, port, name="late")
    eventually(
        lambda: (condition(world.operator, "front", "PortsPublished") or {}).get("reason") != "PortConflict",
        "the conflict is resolved",
    )


def test_nothing_stale_is_left_of_what_was_removed_while_the_operator_was_killed(world: World) -> None:
    engine, operator = world.engine, world.operator
    operator.apply_yaml("brief.yaml", network_yaml("brief", {"addressing": {"subnet": "fd12:3456:789a:9::/64"}}))
    operator.wait_ready("ipv6network/brief", condition="NetworkReady")
    world.run("mayfly", "front", ports={"80/tcp": 8064})
    world.run("moth", "brief", ports={"80/tcp": 8065})
    ports = Port("tcp", HOST_ADDRESS, 8064), Port("tcp", HOST_ADDRESS, 8065)
    for port, name in zip(ports, ("mayfly", "moth"), strict=True):
        reach(world.neighbour, port, name=name)
    addresses = world.address("mayfly", "front"), world.address("moth", "brief")
    operator.kill()
    engine.docker("rm", "-f", "mayfly", "moth")
    engine.docker("network", "rm", "brief")
    operator.remove_yaml("brief.yaml")
    # existing containers are reachable without the operator
    reach(world.neighbour, Port("tcp", HOST_ADDRESS, 8080), name="web")
    assert_closed(world.neighbour, *ports)
    operator.start("--firewall-backend", "nftables")
    operator.wait_deleted("ipv6network/brief")
    eventually(lambda: not any(each in our_table(engine) for each in (*addresses, "789a:9:")), "no rule is left")
    world.run("heir", "front", ports={"80/tcp": 8065})
    reach(world.neighbour, ports[1], name="heir")
    assert_closed(world.neighbour, ports[0])
