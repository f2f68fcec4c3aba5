"""What the fake does for tests; how it behaves as an engine is the contract suite's matter."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv6Network

import pytest

from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineApiError,
    EngineConflict,
    EngineTooOld,
    EngineUnavailable,
)
from tests.fakes.dockerd.engine import Call, FakeEngine
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_26_1, ENGINE_28_5, EngineVersion

SPEC = NetworkSpec("blog", ipam=(SubnetConfig(IPv6Network("2001:db8::/64")),))


async def test_fails_the_next_calls_as_told() -> None:
    engine = FakeEngine()
    engine.fail_next("create_network", EngineApiError("disk full", 500), times=2)
    for _ in range(2):
        with pytest.raises(EngineApiError, match="disk full"):
            await engine.create_network(SPEC)
    assert await engine.network("blog") is None
    await engine.create_network(SPEC)


async def test_can_lose_the_answer_of_a_call_that_was_done() -> None:
    engine = FakeEngine()
    engine.fail_next("create_network", EngineUnavailable("lost"), after=True)
    with pytest.raises(EngineUnavailable):
        await engine.create_network(SPEC)
    assert await engine.network("blog") is not None


async def test_keeps_a_log_of_all_calls() -> None:
    engine = FakeEngine()
    network_id = await engine.create_network(SPEC)
    engine.down()
    with pytest.raises(EngineUnavailable):
        await engine.remove_network(network_id)
    assert engine.calls == [Call("create_network", (SPEC,)), Call("remove_network", (network_id,))]


async def test_comes_back_with_what_it_had() -> None:
    engine = FakeEngine()
    network_id = await engine.create_network(SPEC)
    engine.run_container("web", "blog")
    engine.down()
    engine.up()
    assert [one.container_name for one in await engine.attachments(network_id)] == ["web"]


async def test_ids_are_the_same_in_every_run() -> None:
    one, two = FakeEngine(), FakeEngine()
    assert await one.create_network(SPEC) == await two.create_network(SPEC)
    assert await one.networks() == await two.networks()


async def test_can_be_upgraded() -> None:
    engine = FakeEngine(ENGINE_20_10)
    spec = NetworkSpec("six", enable_ipv4=False, ipam=SPEC.ipam)
    with pytest.raises(EngineTooOld):
        await engine.create_network(spec)
    engine.upgrade(ENGINE_28_5)
    assert (await engine.info()).release == (28, 5)
    await engine.create_network(spec)


@pytest.mark.parametrize("profile", [ENGINE_20_10, ENGINE_26_1])
async def test_older_engines_have_no_ipv6_pool(profile: EngineVersion) -> None:
    with pytest.raises(EngineConflict, match="IPv6 address pool"):
        await FakeEngine(profile).create_network(NetworkSpec("six"))


async def test_newer_engines_make_a_ula_subnet() -> None:
    engine = FakeEngine(ENGINE_28_5)
    network = await engine.network(await engine.create_network(NetworkSpec("six")))
    assert network is not None
    assert network.ipv6[0].subnet.is_private


async def test_refuses_a_driver_that_there_is_not() -> None:
    with pytest.raises(EngineApiError, match="nosuch") as caught:
        await FakeEngine().create_network(NetworkSpec("n", driver="nosuch", enable_ipv6=False))
    assert type(caught.value) is EngineApiError


async def test_refuses_a_gateway_outside_the_subnet() -> None:
    config = SubnetConfig(IPv6Network("2001:db8::/64"), gateway=IPv6Network("2001:db8:1::/64")[1])
    with pytest.raises(EngineApiError, match="invalid gateway"):
        await FakeEngine().create_network(NetworkSpec("n", ipam=(config,)))


async def test_a_container_that_fails_to_start_holds_no_address() -> None:
    engine = FakeEngine()
    gone = await engine.create_network(NetworkSpec("gone", enable_ipv6=False))
    container = engine.run_container("web", "bridge")
    (attachment,) = await engine.attachments((await engine.networks())[0].id)
    await engine.connect(gone, attachment)
    engine.stop_container(container)
    await engine.remove_network(gone)
    with pytest.raises(EngineApiError, match="not found"):
        engine.start_container(container)
    bridge = await engine.network("bridge")
    assert bridge is not None
    assert bridge.endpoints == ()


async def test_container_names_are_unique() -> None:
    engine = FakeEngine()
    engine.create_container("web")
    with pytest.raises(EngineConflict):
        engine.create_container("web")


def test_needs_no_docker_sdk() -> None:
    program = "import sys, tests.fakes.dockerd.engine, dockerv6.dockerd.port; sys.exit('requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_a_container_has_what_it_was_run_with() -> None:
    engine = FakeEngine()
    for name in ("front", "back"):
        await engine.create_network(NetworkSpec(name, enable_ipv6=False))
    web = engine.run_container("web", ["front", "back"], labels={"a": "b"}, ports=["8080:80"])
    (container,) = await engine.containers()
    assert (container.id, container.labels, container.network_mode) == (web, {"a": "b"}, "front")
    assert [end.network_name for end in container.endpoints] == ["back", "front"]
    assert [binding.host_port for binding in container.ports] == [8080, 8080]


async def test_without_a_userland_proxy_a_network_without_ipv6_has_ipv4_bindings_only() -> None:
    engine = FakeEngine(userland_proxy=False)
    await engine.create_network(NetworkSpec("plain", enable_ipv6=False))
    six = await engine.create_network(SPEC)
    web = engine.run_container("web", "plain", ports=["8080:80", "[::1]:8081:80"])
    (before,) = await engine.containers()
    assert [(one.host_port, str(one.host_address)) for one in before.ports] == [(8080, "0.0.0.0")]
    (attachment,) = await engine.attachments(before.endpoints[0].network_id)
    await engine.connect(six, attachment)
    (after,) = await engine.containers()
    assert [(one.host_port, str(one.host_address)) for one in after.ports] == [
        (8080, "0.0.0.0"),
        (8080, "::"),
        (8081, "::1"),
    ]
    assert after.id == web


async def test_a_newer_container_was_created_later() -> None:
    engine = FakeEngine()
    old, new = engine.run_container("old"), engine.run_container("new")
    created = {container.id: container.created for container in await engine.containers()}
    assert created[old] < created[new]


async def test_a_container_whose_port_is_taken_holds_nothing() -> None:
    engine = FakeEngine()
    engine.run_container("web", "bridge", ports=["8080:80"])
    rival = engine.create_container("rival", "bridge", ports=["8080:80"])
    with pytest.raises(EngineConflict, match="port is already allocated"):
        engine.start_container(rival)
    bridge = await engine.network("bridge")
    assert bridge is not None
    assert bridge.endpoints is not None
    assert [end.container_name for end in bridge.endpoints] == ["web"]
    assert len(await engine.containers()) == 1


@pytest.mark.parametrize("mode", ["host", "none", "container:db"])
def test_a_mode_without_networks_of_its_own_refuses_them_at_once(mode: str) -> None:
    engine = FakeEngine()
    engine.run_container("db")
    with pytest.raises(EngineApiError, match="cannot be connected"):
        engine.create_container("web", "bridge", network_mode=mode)


def test_a_namespace_cannot_be_that_of_a_container_that_there_is_not() -> None:
    with pytest.raises(ContainerNotFound):
        FakeEngine().create_container("side", network_mode="container:nosuch")


def test_pausing_needs_a_container_that_runs_and_unpausing_one_that_is_paused() -> None:
    engine = FakeEngine()
    web = engine.create_container("web")
    for change in (engine.pause_container, engine.unpause_container):
        with pytest.raises(EngineConflict, match="not running"):
            change(web)
    engine.start_container(web)
    engine.pause_container(web)
    with pytest.raises(EngineConflict, match="already paused"):
        engine.pause_container(web)
    engine.restart_container(web)
    with pytest.raises(EngineConflict, match="not paused"):
        engine.unpause_container(web)


def test_a_name_that_is_taken_cannot_be_given() -> None:
    engine = FakeEngine()
    engine.create_container("web")
    with pytest.raises(EngineConflict, match="already in use"):
        engine.rename_container(engine.create_container("api"), "web")


async def test_a_failed_listing_of_containers_can_be_had() -> None:
    engine = FakeEngine()
    engine.fail_next("containers", EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        await engine.containers()
    assert engine.calls == [Call("containers", ())]
