"""Contract of the engine port: the engine and its networks. Runs on the fake and on real Docker Engines."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineTooOld
from tests.contract.engines import DUAL, SUBNET4, SUBNET6, run

if TYPE_CHECKING:
    from tests.contract.engines import Bench

IPV6_ONLY_SINCE = (28, 0)


async def test_reports_its_version(bench: Bench) -> None:
    info = await bench.engine.info()
    assert info.release == bench.release
    assert info.version.startswith(f"{bench.release[0]}.{bench.release[1]}.")
    assert info.api_version.startswith("1.")
    assert info.name
    # a new engine with iptables disabled does not report one
    assert info.firewall_backend in ({"iptables", None} if bench.release >= (28, 2) else {None})


async def test_creates_a_network_with_every_field_of_the_spec(bench: Bench) -> None:
    spec = NetworkSpec(
        "blog",
        internal=True,
        attachable=True,
        ipam=(
            SubnetConfig(SUBNET4, gateway=IPv4Address("192.0.2.9"), ip_range=IPv4Network("192.0.2.8/29")),
            SubnetConfig(SUBNET6, gateway=IPv6Address("2001:db8:1::1"), aux_addresses={"router": "2001:db8:1::5"}),
        ),
        options={"com.docker.network.bridge.name": "br-blog", "com.docker.network.driver.mtu": "1400"},
        labels={"dockerv6.io/name": "blog"},
    )
    network_id = await bench.engine.create_network(spec)
    network = await bench.engine.network(network_id)
    assert network is not None
    assert (network.id, network.name, network.driver) == (network_id, "blog", "bridge")
    assert network.internal
    assert network.attachable
    assert network.enable_ipv4
    assert network.enable_ipv6
    assert network.ipam == spec.ipam
    assert network.options == spec.options
    assert network.labels == spec.labels
    assert network.endpoints == ()
    assert network.bridge == "br-blog"


async def test_omits_a_gateway_that_was_not_requested(bench: Bench) -> None:
    network = await bench.engine.network(await bench.engine.create_network(DUAL))
    assert network is not None
    assert [config.gateway for config in network.ipam] == [None, None]
    assert network.bridge == f"br-{network.id[:12]}"


async def test_assigns_ipv4_from_a_pool_when_only_ipv6_is_given(bench: Bench) -> None:
    network_id = await bench.engine.create_network(NetworkSpec("blog", ipam=(SubnetConfig(SUBNET6),)))
    network = await bench.engine.network(network_id)
    assert network is not None
    assert network.ipv6 == (SubnetConfig(SUBNET6),)
    (ipv4,) = network.ipv4
    assert ipv4.gateway == ipv4.subnet[1]


async def test_creates_an_ipv4_network_when_ipv6_is_disabled(bench: Bench) -> None:
    spec = NetworkSpec("plain", enable_ipv6=False, ipam=(SubnetConfig(SUBNET4),))
    network = await bench.engine.network(await bench.engine.create_network(spec))
    assert network is not None
    assert not network.enable_ipv6
    assert network.ipv6 == ()


async def test_creates_a_network_without_ipv4_or_reports_that_the_engine_is_too_old(bench: Bench) -> None:
    spec = NetworkSpec("blog", enable_ipv4=False, ipam=(SubnetConfig(SUBNET6),))
    if bench.release < IPV6_ONLY_SINCE:
        with pytest.raises(EngineTooOld, match=rf"Docker Engine {bench.release[0]}\.{bench.release[1]}\..* upgrade"):
            await bench.engine.create_network(spec)
        assert await bench.engine.network("blog") is None
    else:
        network = await bench.engine.network(await bench.engine.create_network(spec))
        assert network is not None
        assert not network.enable_ipv4
        assert network.ipam == spec.ipam


async def test_lists_networks_without_endpoints(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    run(bench, "web")
    networks = {network.name: network for network in await bench.engine.networks()}
    assert networks.keys() == {"bridge", "host", "none", "blog"}
    assert networks["blog"].id == network_id
    assert all(network.endpoints is None for network in networks.values())
    assert networks["bridge"].bridge == "docker0"
    assert networks["host"].bridge is None


async def test_finds_a_network_by_full_id_or_name_only(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    by_id, by_name = await bench.engine.network(network_id), await bench.engine.network("blog")
    assert by_id == by_name
    assert by_id is not None
    assert await bench.engine.network(network_id[:12]) is None
    assert await bench.engine.network("blo") is None
    assert await bench.engine.network("a/b c") is None


async def test_an_id_takes_precedence_over_a_name(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    other_id = await bench.engine.create_network(NetworkSpec(network_id, enable_ipv6=False))
    network = await bench.engine.network(network_id)
    assert network is not None
    assert network.name == "blog"
    await bench.engine.remove_network(other_id)


async def test_rejects_a_duplicate_name(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    with pytest.raises(EngineConflict, match=r"networkName.*Docker says: network with name blog already exists$"):
        await bench.engine.create_network(NetworkSpec("blog", ipam=(SubnetConfig(IPv6Network("2001:db8:2::/64")),)))


async def test_rejects_an_overlapping_subnet(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    with pytest.raises(EngineConflict, match="Pool overlaps with other one on this address space"):
        await bench.engine.create_network(NetworkSpec("b", ipam=(SubnetConfig(IPv6Network("2001:db8:1::/80")),)))
    assert await bench.engine.network("b") is None


async def test_rejects_a_duplicate_bridge_name(bench: Bench) -> None:
    options = {"com.docker.network.bridge.name": "br-same"}
    await bench.engine.create_network(replace(DUAL, options=options))
    with pytest.raises(EngineConflict, match="same bridge name"):
        await bench.engine.create_network(NetworkSpec("b", enable_ipv6=False, options=options))


async def test_rejects_the_name_of_a_predefined_network(bench: Bench) -> None:
    with pytest.raises(EngineApiError, match="predefined host network") as caught:
        await bench.engine.create_network(NetworkSpec("host", enable_ipv6=False))
    assert type(caught.value) is EngineApiError


async def test_runs_out_of_default_ipv4_pools_after_thirty_networks(bench: Bench) -> None:
    for number in range(30):
        await bench.engine.create_network(NetworkSpec(f"n{number}", enable_ipv6=False))
    with pytest.raises(EngineConflict, match="pool"):
        await bench.engine.create_network(NetworkSpec("n30", enable_ipv6=False))


async def test_creates_many_in_parallel(bench: Bench) -> None:
    specs = [
        NetworkSpec(f"n{number}", enable_ipv6=False, ipam=(SubnetConfig(IPv4Network(f"198.51.100.{number * 8}/29")),))
        for number in range(32)
    ]
    ids = await asyncio.gather(*(bench.engine.create_network(spec) for spec in specs))
    found = {network.id: network.name for network in await bench.engine.networks()}
    assert [found[network_id] for network_id in ids] == [spec.name for spec in specs]


async def test_removing_twice_is_success(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    await bench.engine.remove_network(network_id)
    assert await bench.engine.network(network_id) is None
    await bench.engine.remove_network(network_id)


async def test_does_not_remove_predefined_networks(bench: Bench) -> None:
    bridge = await bench.engine.network("bridge")
    assert bridge is not None
    with pytest.raises(EngineApiError, match="pre-defined") as caught:
        await bench.engine.remove_network(bridge.id)
    assert not isinstance(caught.value, EngineConflict)


async def test_does_not_remove_a_network_with_a_running_container(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    run(bench, "web")
    with pytest.raises(EngineConflict, match="active endpoints"):
        await bench.engine.remove_network(network_id)


async def test_removes_a_network_with_a_stopped_container(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    bench.stop_container(run(bench, "web"))
    await bench.engine.remove_network(network_id)
    assert await bench.engine.network(network_id) is None
