"""What the fake's macvlan and ipvlan drivers do that the kernel of a test machine may not let real ones do."""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError
from tests.fakes.dockerd.engine import FakeEngine

OWN = frozenset({"lo", "eth0"})


def on(driver: str, parent: str | None, name: str = "blog", subnet: int = 1) -> NetworkSpec:
    ipam = (SubnetConfig(IPv6Network(f"2001:db8:{subnet}::/64")),)
    return NetworkSpec(name, driver, ipam=ipam, options={"parent": parent} if parent else {})


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
async def test_the_interface_of_a_vlan_is_made_and_goes_with_its_last_network(driver: str) -> None:
    engine = FakeEngine()
    first = await engine.create_network(on(driver, "eth0.100"))
    assert engine.links == OWN | {"eth0.100"}
    if driver == "macvlan":
        second = await engine.create_network(on(driver, "eth0.100", "second", 2))
        await engine.remove_network(second)
        assert engine.links == OWN | {"eth0.100"}
    await engine.remove_network(first)
    assert engine.links == OWN


async def test_an_interface_that_was_there_before_stays() -> None:
    engine = FakeEngine()
    engine.add_link("eth0.100")
    await engine.remove_network(await engine.create_network(on("macvlan", "eth0.100")))
    assert engine.links == OWN | {"eth0.100"}


@pytest.mark.parametrize(("driver", "prefix"), [("macvlan", "dm-"), ("ipvlan", "di-")])
async def test_without_a_parent_there_is_a_dummy(driver: str, prefix: str) -> None:
    engine = FakeEngine()
    network_id = await engine.create_network(on(driver, None))
    assert engine.links == OWN | {f"{prefix}{network_id[:12]}"}
    engine.run_container("web", "blog")
    assert len(await engine.attachments(network_id)) == 1


@pytest.mark.parametrize(("first", "second"), [("macvlan", "ipvlan"), ("ipvlan", "macvlan")])
async def test_one_drivers_containers_keep_the_others_from_being_started(first: str, second: str) -> None:
    engine = FakeEngine()
    await engine.create_network(on(first, "eth0"))
    await engine.create_network(on(second, "eth0", "other", 2))
    web = engine.run_container("web", "blog")
    rival = engine.create_container("rival", "other")
    with pytest.raises(EngineApiError, match=f"failed to create the {second} port: device or resource busy"):
        engine.start_container(rival)
    engine.stop_container(web)
    engine.start_container(rival)


async def test_a_refused_container_is_not_running_and_not_attached() -> None:
    engine = FakeEngine()
    network_id = await engine.create_network(on("ipvlan", "eth0"))
    engine.remove_link("eth0")
    web = engine.create_container("web", "blog")
    with pytest.raises(EngineApiError, match="the requested parent interface eth0 was not found"):
        engine.start_container(web)
    assert await engine.running_container_ids() == frozenset()
    network = await engine.network(network_id)
    assert network is not None
    assert network.endpoints == ()
