"""Contract of the engine port: containers that are attached to a network or configured on it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import Attachment, NetworkSpec
from dockerv6.dockerd.port import ContainerNotFound, EngineApiError, EngineConflict, NetworkNotFound
from tests.contract.engines import DUAL, SUBNET4, SUBNET6, run

if TYPE_CHECKING:
    from tests.contract.engines import Bench

GATEWAY_PRIORITIES_SINCE = (28, 0)


async def test_shows_the_endpoints_of_running_containers(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web, api = run(bench, "web", address="2001:db8:1::99"), run(bench, "api")
    bench.stop_container(run(bench, "old"))
    network = await bench.engine.network("blog")
    assert network is not None
    assert network.endpoints is not None
    assert [(end.container_name, end.container_id) for end in network.endpoints] == [("api", api), ("web", web)]
    assert network.endpoints[1].ipv6 == IPv6Address("2001:db8:1::99")
    assert network.endpoints[0].ipv4 in SUBNET4
    assert network.endpoints[0].ipv6 in SUBNET6


async def test_connects_with_every_setting_of_the_attachment(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", "front")
    requested = Attachment(
        web,
        "web",
        running=True,
        aliases=("www", "site"),
        static_ipv4=IPv4Address("192.0.2.7"),
        static_ipv6=IPv6Address("2001:db8:1::7"),
        driver_opts={"example.org/x": "y"},
        gw_priority=5,
    )
    await bench.engine.connect(network_id, requested)
    (seen,) = await bench.engine.attachments(network_id)
    assert seen == replace(
        requested,
        ipv4=requested.static_ipv4,
        ipv6=requested.static_ipv6,
        gw_priority=5 if bench.release >= GATEWAY_PRIORITIES_SINCE else 0,
    )


async def test_connecting_twice_changes_nothing(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", aliases=("www",))
    before = await bench.engine.attachments(network_id)
    await bench.engine.connect(network_id, Attachment(web, "web", running=True, aliases=("other",)))
    assert await bench.engine.attachments(network_id) == before


async def test_rejects_a_static_address_in_use(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    run(bench, "web", address="2001:db8:1::99")
    other = Attachment(run(bench, "other", "front"), "other", running=True, static_ipv6=IPv6Address("2001:db8:1::99"))
    with pytest.raises(EngineConflict, match="Address already in use"):
        await bench.engine.connect(network_id, other)
    assert [attached.container_name for attached in await bench.engine.attachments(network_id)] == ["web"]


async def test_rejects_a_static_address_outside_the_subnet(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    web = Attachment(run(bench, "web", "front"), "web", running=True, static_ipv6=IPv6Address("2001:db8:9::9"))
    with pytest.raises(EngineApiError, match="2001:db8:9::9"):
        await bench.engine.connect(network_id, web)


async def test_connecting_reports_a_missing_network_or_container(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = Attachment(run(bench, "web"), "web", running=True)
    with pytest.raises(NetworkNotFound):
        await bench.engine.connect("0" * 64, web)
    with pytest.raises(ContainerNotFound):
        await bench.engine.connect(network_id, replace(web, container_id="f" * 64))


async def test_disconnecting_twice_is_success(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    await bench.engine.disconnect(network_id, web)
    assert await bench.engine.attachments(network_id) == ()
    await bench.engine.disconnect(network_id, web)
    await bench.engine.disconnect(network_id, web, force=True)


async def test_disconnecting_a_removed_container_or_network_is_success(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    await bench.engine.disconnect(network_id, "f" * 64)
    await bench.engine.disconnect(network_id, "f" * 64, force=True)
    await bench.engine.disconnect("0" * 64, web)
    assert [attached.container_id for attached in await bench.engine.attachments(network_id)] == [web]


async def test_attachments_include_running_stopped_and_unstarted_containers_in_order(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    run(bench, "web", aliases=("www",), address="2001:db8:1::99")
    bench.stop_container(run(bench, "old", aliases=("was",)))
    bench.create_container("fresh", "blog", aliases=("new",), address="2001:db8:1::77")
    late = run(bench, "late", "front")
    bench.stop_container(late)
    await bench.engine.connect(network_id, Attachment(late, "late", running=False, aliases=("l8",)))
    run(bench, "stranger", "front")

    found = await bench.engine.attachments(network_id)
    assert [(one.container_name, one.running, one.aliases) for one in found] == [
        ("fresh", False, ("new",)),
        ("late", False, ("l8",)),
        ("old", False, ("was",)),
        ("web", True, ("www",)),
    ]
    assert [one.static_ipv6 for one in found] == [IPv6Address("2001:db8:1::77"), None, None, found[3].ipv6]
    assert [one.ipv6 for one in found] == [None, None, None, IPv6Address("2001:db8:1::99")]


async def test_networks_in_use_are_exactly_those_with_attachments(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    front_id = await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    before = await bench.engine.networks_in_use()
    assert not before & {network_id, "blog", front_id, "front"}
    bench.create_container("fresh", "blog")
    in_use = await bench.engine.networks_in_use()
    assert in_use & {network_id, "blog"}
    assert not in_use & {front_id, "front"}
    late = run(bench, "late", "blog")
    bench.stop_container(late)
    await bench.engine.connect(front_id, Attachment(late, "late", running=False))
    assert await bench.engine.networks_in_use() & {front_id, "front"}


async def test_attachments_of_a_removed_network_are_its_stopped_containers(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    bench.stop_container(run(bench, "old"))
    await bench.engine.remove_network(network_id)
    assert [one.container_name for one in await bench.engine.attachments(network_id)] == ["old"]
    assert await bench.engine.attachments("0" * 64) == ()


async def test_a_running_container_can_be_moved_to_the_recreated_network(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", aliases=("www",), address="2001:db8:1::99")
    (before,) = await bench.engine.attachments(network_id)
    await bench.engine.disconnect(network_id, web)
    await bench.engine.remove_network(network_id)
    new_id = await bench.engine.create_network(DUAL)
    await bench.engine.connect(new_id, before)
    (after,) = await bench.engine.attachments(new_id)
    assert after == replace(before, ipv4=after.ipv4)
    assert await bench.engine.orphaned_attachments("blog") == ()


async def test_a_container_with_an_orphaned_attachment_starts_once_connected(bench: Bench) -> None:
    old_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", aliases=("www",), address="2001:db8:1::99")
    bench.stop_container(web)
    await bench.engine.remove_network(old_id)
    assert [one.container_name for one in await bench.engine.orphaned_attachments("blog")] == ["web"]
    new_id = await bench.engine.create_network(DUAL)
    with pytest.raises(Exception, match="not found"):
        bench.start_container(web)

    assert await bench.engine.attachments(new_id) == ()
    (orphaned,) = await bench.engine.orphaned_attachments("blog")
    assert (orphaned.container_id, orphaned.running, orphaned.aliases) == (
        web,
        False,
        ("www",),
    )
    await bench.engine.connect(new_id, orphaned)
    assert await bench.engine.orphaned_attachments("blog") == ()
    bench.start_container(web)
    (after,) = await bench.engine.attachments(new_id)
    assert (after.running, after.aliases, after.ipv6) == (True, ("www",), IPv6Address("2001:db8:1::99"))


async def test_an_existing_network_has_no_orphaned_attachments(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    run(bench, "web")
    bench.stop_container(run(bench, "old"))
    bench.create_container("fresh", "blog")
    assert await bench.engine.orphaned_attachments("blog") == ()
    assert await bench.engine.orphaned_attachments("nosuch") == ()
