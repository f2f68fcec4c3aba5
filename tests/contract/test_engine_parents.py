"""Contract of the engine port: macvlan and ipvlan networks, which have a parent interface on the host.

A kernel without ipvlan accepts such networks and only rejects containers: none is started on one here.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict
from tests.contract.engines import SUBNET6, run

if TYPE_CHECKING:
    from tests.contract.engines import Bench

SHARED_SINCE = (27, 0)
FLAGS_SINCE = (23, 0)
DRIVERS = ("macvlan", "ipvlan")


def on(driver: str, parent: str | None = "lan0", name: str = "blog", subnet: int = 1, **options: str) -> NetworkSpec:
    ipam = (SubnetConfig(IPv6Network(f"2001:db8:{subnet}::/64")),)
    chosen = {"parent": parent, **options} if parent is not None else options
    return NetworkSpec(name, driver, ipam=ipam, options=chosen)


async def error_message(bench: Bench, spec: NetworkSpec) -> str:
    with pytest.raises(EngineApiError) as caught:
        await bench.engine.create_network(spec)
    assert not isinstance(caught.value, EngineConflict)
    assert caught.value.status == 500
    assert await bench.engine.network(spec.name) is None
    return caught.value.message


@pytest.mark.parametrize("driver", DRIVERS)
async def test_creates_a_network_on_a_parent_interface(bench: Bench, driver: str) -> None:
    bench.add_link("lan0")
    gateway, router = IPv6Address("2001:db8:1::ff"), {"router": "2001:db8:1::2"}
    spec = replace(on(driver), ipam=(SubnetConfig(SUBNET6, gateway, aux_addresses=router),), labels={"a": "b"})
    network = await bench.engine.network(await bench.engine.create_network(spec))
    assert network is not None
    assert (network.driver, network.bridge, network.internal) == (driver, None, False)
    assert network.ipv6 == spec.ipam
    assert network.options == {"parent": "lan0"}
    assert network.labels == {"a": "b"}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_rejects_a_missing_parent(bench: Bench, driver: str) -> None:
    assert await error_message(bench, on(driver, "nope0")) == (
        "invalid subinterface vlan name nope0, example formatting is eth0.10"
    )
    assert "was not found on the host: nope0" in await error_message(bench, on(driver, "nope0.100"))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_rejects_the_loopback_interface_and_invalid_vlan_names(bench: Bench, driver: str) -> None:
    bench.add_link("lan0")
    assert await error_message(bench, on(driver, "lo")) == f"loopback interface is not a valid {driver} parent link"
    assert await error_message(bench, on(driver, "lan0.5000")) == "vlan id must be between 1-4094, received: 5000"
    assert "unable to parse a valid vlan id from: x" in await error_message(bench, on(driver, "lan0.x"))
    assert "required interface name format is" in await error_message(bench, on(driver, "lan0.1.2"))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_rejects_unknown_modes(bench: Bench, driver: str) -> None:
    bench.add_link("lan0")
    message = await error_message(bench, on(driver, macvlan_mode="l4", ipvlan_mode="l4"))
    assert message.startswith(f"requested {driver} mode 'l4' is not valid")


async def test_supports_newer_ipvlan_options_or_ignores_the_flag_and_rejects_the_mode(bench: Bench) -> None:
    bench.add_link("lan0")
    if bench.release < FLAGS_SINCE:
        assert "requested ipvlan mode 'l3s' is not valid" in await error_message(bench, on("ipvlan", ipvlan_mode="l3s"))
        await bench.engine.create_network(on("ipvlan", ipvlan_flag="none-such"))
    else:
        assert "requested ipvlan flag 'none-such'" in await error_message(bench, on("ipvlan", ipvlan_flag="none-such"))
        await bench.engine.create_network(on("ipvlan", ipvlan_mode="l3s", ipvlan_flag="private"))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_accepts_one_network_per_parent_and_from_27_several_macvlan_networks(bench: Bench, driver: str) -> None:
    bench.add_link("lan0")
    bench.add_link("lan1")
    first = await bench.engine.create_network(on(driver))
    second = on(driver, name="second", subnet=2)
    if driver == "macvlan" and bench.release >= SHARED_SINCE:
        await bench.engine.create_network(second)
    else:
        prefix = {"macvlan": "dm", "ipvlan": "di"}[driver]
        message = await error_message(bench, second)
        assert message == f"network {prefix}-{first[:12]} is already using parent interface lan0"
    await bench.engine.create_network(on(driver, "lan1", "third", 3))


async def test_mode_passthru_does_not_share_its_parent(bench: Bench) -> None:
    bench.add_link("lan0")
    first = await bench.engine.create_network(on("macvlan", macvlan_mode="passthru"))
    assert "is already using parent interface lan0" in await error_message(bench, on("macvlan", name="b", subnet=2))
    await bench.engine.remove_network(first)
    await bench.engine.create_network(on("macvlan", name="b", subnet=2))
    assert "is already using parent interface lan0" in await error_message(
        bench, on("macvlan", macvlan_mode="passthru")
    )


async def test_accepts_networks_of_both_drivers_on_one_parent(bench: Bench) -> None:
    bench.add_link("lan0")
    await bench.engine.create_network(on("macvlan"))
    await bench.engine.create_network(on("ipvlan", name="other", subnet=2))


async def test_runs_detaches_and_attaches_containers(bench: Bench) -> None:
    bench.add_link("lan0")
    network_id = await bench.engine.create_network(on("macvlan"))
    web = run(bench, "web", address="2001:db8:1::99")
    run(bench, "api")
    (api, seen) = await bench.engine.attachments(network_id)
    assert (seen.container_id, seen.static_ipv6) == (web, IPv6Address("2001:db8:1::99"))
    # the first address is the gateway's, also where none was requested
    assert api.ipv6 == IPv6Address("2001:db8:1::2")
    await bench.engine.disconnect(network_id, web)
    assert [a.container_name for a in await bench.engine.attachments(network_id)] == ["api"]
    await bench.engine.connect(network_id, seen)
    assert await bench.engine.attachments(network_id) == (api, seen)
    with pytest.raises(EngineConflict, match="active endpoints"):
        await bench.engine.remove_network(network_id)


async def test_publishes_ports_on_its_bridges_only(bench: Bench) -> None:
    bench.add_link("lan0")
    await bench.engine.create_network(on("macvlan"))
    # of both families as the other, and by its name before it: real engines publish where the default route is
    ipam = (SubnetConfig(IPv6Network("2001:db8:2::/64")),)
    bridge = await bench.engine.create_network(NetworkSpec("a-bridge", ipam=ipam))
    run(bench, "web", ports=("8080:80",))
    both = bench.create_container("both", "blog", ports=("8081:81",))
    await bench.engine.connect(bridge, Attachment(both, "both", running=False))
    bench.start_container(both)
    ports = {c.name: {(p.container_port, p.host_port) for p in c.ports} for c in await bench.engine.containers()}
    assert ports == {"web": set(), "both": {(81, 8081)}}


async def test_containers_start_only_while_the_parent_exists(bench: Bench) -> None:
    bench.add_link("lan0")
    network_id = await bench.engine.create_network(on("macvlan"))
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    web = run(bench, "web")
    late = bench.create_container("late", "blog")
    member = Attachment(run(bench, "member", "front"), "member", running=True)
    bench.remove_link("lan0")
    assert [a.container_name for a in await bench.engine.attachments(network_id)] == ["late", "web"]
    with pytest.raises(Exception, match="parent interface lan0 was not found"):
        bench.start_container(late)
    with pytest.raises(EngineApiError, match="parent interface lan0 was not found"):
        await bench.engine.connect(network_id, member)
    assert [a.container_name for a in await bench.engine.attachments(network_id)] == ["late", "web"]
    bench.add_link("lan0")
    bench.start_container(late)
    await bench.engine.connect(network_id, member)
    bench.restart_container(web)
    network = await bench.engine.network(network_id)
    assert network is not None
    assert [end.container_name for end in network.endpoints or ()] == ["late", "member", "web"]


async def test_removes_a_network_whose_parent_is_gone(bench: Bench) -> None:
    bench.add_link("lan0")
    network_id = await bench.engine.create_network(on("macvlan"))
    web = run(bench, "web")
    bench.remove_link("lan0")
    await bench.engine.disconnect(network_id, web)
    await bench.engine.remove_network(network_id)
    assert await bench.engine.network(network_id) is None


async def test_mode_passthru_allows_one_container(bench: Bench) -> None:
    bench.add_link("lan0")
    await bench.engine.create_network(on("macvlan", macvlan_mode="passthru"))
    run(bench, "web")
    with pytest.raises(Exception, match="failed to create the macvlan port: invalid argument"):
        run(bench, "api")
