"""Contract of the engine port: the list of running containers, with ports and endpoints."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import Attachment, NetworkSpec, PortBinding, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict
from tests.contract.engines import DUAL, HOST6, SUBNET6, run

if TYPE_CHECKING:
    from dockerv6.dockerd.model import Container
    from tests.contract.engines import Bench

OTHER6 = IPv6Network("2001:db8:2::/64")
OTHER = NetworkSpec("other", ipam=(SubnetConfig(OTHER6),))
GATEWAY_PRIORITIES_SINCE = (28, 0)
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


async def only(bench: Bench) -> Container:
    (container,) = await bench.engine.containers()
    return container


async def published(bench: Bench, *ports: str, network: str = "blog") -> tuple[PortBinding, ...]:
    run(bench, "web", network, ports=ports)
    return (await only(bench)).ports


def both(protocol: str, container_port: int, host_port: int) -> tuple[PortBinding, ...]:
    return tuple(PortBinding(protocol, container_port, host_port, address) for address in (ANY4, ANY6))


async def test_lists_every_field_of_a_running_container(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", labels={"app": "blog"}, ports=("8080:80",), address="2001:db8:1::99")
    container = await only(bench)
    assert (container.id, container.name, container.network_mode) == (web, "web", "blog")
    assert container.created > 1_600_000_000
    assert container.labels == {"app": "blog"}
    assert container.ports == both("tcp", 80, 8080)
    (endpoint,) = container.endpoints
    assert (endpoint.network_id, endpoint.network_name) == (network_id, "blog")
    assert (endpoint.ipv6, endpoint.gw_priority) == (IPv6Address("2001:db8:1::99"), 0)


async def test_lists_running_and_paused_containers_only_ordered_by_id(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    ids = [run(bench, name) for name in ("web", "api", "frozen", "old")]
    bench.create_container("fresh", "blog")
    bench.stop_container(ids.pop())
    bench.pause_container(ids[2])
    assert [container.id for container in await bench.engine.containers()] == sorted(ids)
    assert await bench.engine.running_container_ids() == frozenset(ids)
    bench.unpause_container(ids[2])


async def test_a_paused_container_keeps_its_ports_and_addresses(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web", ports=("8080:80",))
    before = await only(bench)
    bench.pause_container(web)
    assert await only(bench) == before
    bench.unpause_container(web)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("8080:80", both("tcp", 80, 8080)),
        ("8080:80/udp", both("udp", 80, 8080)),
        ("0.0.0.0:8080:80", (PortBinding("tcp", 80, 8080, ANY4, ipv4_only=True),)),
        ("[::]:8080:80", (PortBinding("tcp", 80, 8080, ANY6),)),
        ("127.0.0.1:8080:80", (PortBinding("tcp", 80, 8080, IPv4Address("127.0.0.1")),)),
        ("[::1]:8080:80", (PortBinding("tcp", 80, 8080, IPv6Address("::1")),)),
        ("9000-9001:90-91", (*both("tcp", 90, 9000), *both("tcp", 91, 9001))),
        ("9100-9110:80", both("tcp", 80, 9100)),
    ],
)
async def test_binds_a_published_port_to_the_requested_address(
    bench: Bench, written: str, shown: tuple[PortBinding, ...]
) -> None:
    await bench.engine.create_network(DUAL)
    assert await published(bench, written) == shown


async def test_binds_a_port_to_one_address_of_the_host(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    assert await published(bench, f"[{HOST6}]:8080:80") == (PortBinding("tcp", 80, 8080, HOST6),)


async def test_chooses_an_ephemeral_port_again_at_each_start(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web", ports=("80", "81/udp"))
    first = {binding.container_port: binding for binding in (await only(bench)).ports}
    assert first.keys() == {80, 81}
    assert all(binding.host_port >= 1024 for binding in first.values())
    assert [len((await only(bench)).ports), first[81].protocol] == [4, "udp"]
    bench.restart_container(web)
    second = {binding.container_port: binding for binding in (await only(bench)).ports}
    assert second[80].host_port != first[80].host_port


async def test_a_network_without_ipv6_gets_ipv6_bindings_through_the_userland_proxy(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("plain", enable_ipv6=False))
    assert await published(bench, "8080:80", network="plain") == both("tcp", 80, 8080)
    assert (await only(bench)).endpoints[0].ipv6 is None


async def test_binds_no_port_on_an_internal_network_until_another_is_connected(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("inner", internal=True, ipam=(SubnetConfig(OTHER6),)))
    network_id = await bench.engine.create_network(DUAL)
    assert await published(bench, "8080:80", network="inner") == ()
    container = await only(bench)
    await bench.engine.connect(network_id, Attachment(container.id, "web", running=True))
    assert (await only(bench)).ports == both("tcp", 80, 8080)


async def test_a_port_in_use_prevents_the_start_of_a_second_container(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web", ports=("8080:80",))
    with pytest.raises(Exception, match=r"already allocated|address already in use"):
        run(bench, "rival", ports=("8080:80",))
    assert (await only(bench)).id == web
    bench.stop_container(web)
    rival = run(bench, "third", ports=("8080:80",))
    container = await only(bench)
    assert (container.id, container.ports) == (rival, both("tcp", 80, 8080))


async def test_sorts_endpoints_by_network_name(bench: Bench) -> None:
    other_id = await bench.engine.create_network(OTHER)
    blog_id = await bench.engine.create_network(DUAL)
    await bench.engine.create_network(NetworkSpec("api", enable_ipv6=False))
    web = run(bench, "web", "other")
    await bench.engine.connect(blog_id, Attachment(web, "web", running=True, gw_priority=7))
    api = await bench.engine.network("api")
    assert api is not None
    await bench.engine.connect(api.id, Attachment(web, "web", running=True))
    container = await only(bench)
    assert [(end.network_name, end.network_id) for end in container.endpoints] == [
        ("api", api.id),
        ("blog", blog_id),
        ("other", other_id),
    ]
    _, blog, other = container.endpoints
    assert container.endpoints[0].ipv6 is None
    assert blog.ipv6 in SUBNET6
    assert other.ipv6 in OTHER6
    assert blog.gw_priority == (7 if bench.release >= GATEWAY_PRIORITIES_SINCE else 0)
    assert container.network_mode == "other"


async def test_listings_follow_connect_and_disconnect(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    other_id = await bench.engine.create_network(OTHER)
    web = run(bench, "web", ports=("8080:80",))
    before = await only(bench)
    await bench.engine.connect(other_id, Attachment(web, "web", running=True))
    assert [end.network_name for end in (await only(bench)).endpoints] == ["blog", "other"]
    await bench.engine.disconnect(before.endpoints[0].network_id, web)
    moved = await only(bench)
    assert [end.network_name for end in moved.endpoints] == ["other"]
    assert moved.ports == before.ports
    await bench.engine.disconnect(other_id, web)
    alone = await only(bench)
    assert (alone.endpoints, alone.ports) == ((), ())


async def test_listings_follow_stop_start_rename_and_removal(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web", ports=("8080:80",), address="2001:db8:1::99")
    before = await only(bench)
    bench.stop_container(web)
    assert await bench.engine.containers() == ()
    bench.start_container(web)
    assert await only(bench) == before
    bench.rename_container(web, "www")
    assert (await only(bench)).name == "www"
    network = await bench.engine.network("blog")
    assert network is not None
    assert network.endpoints is not None
    assert [end.container_name for end in network.endpoints] == ["www"]
    bench.remove_container(web)
    assert await bench.engine.containers() == ()


@pytest.mark.parametrize("mode", ["host", "none"])
async def test_host_and_none_containers_publish_no_ports_and_reject_networks(bench: Bench, mode: str) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", None, network_mode=mode, ports=("8080:80",))
    container = await only(bench)
    assert (container.network_mode, container.ports) == (mode, ())
    assert [(end.network_name, end.ipv6) for end in container.endpoints] == [(mode, None)]
    for running in (True, False):
        with pytest.raises(EngineApiError, match="cannot be connected to") as caught:
            await bench.engine.connect(network_id, Attachment(web, "web", running=running))
        assert caught.value.status == 400
        assert not isinstance(caught.value, EngineConflict)
        bench.stop_container(web)


async def test_a_container_in_another_network_namespace_has_no_endpoints(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", ports=("8080:80",))
    side = run(bench, "side", None, network_mode="container:web")
    found = {container.name: container for container in await bench.engine.containers()}
    assert found["side"].network_mode == f"container:{web}"
    assert (found["side"].endpoints, found["side"].ports) == ((), ())
    assert found["web"].ports == both("tcp", 80, 8080)
    with pytest.raises(EngineApiError, match="container sharing network namespace with another") as caught:
        await bench.engine.connect(network_id, Attachment(side, "side", running=True))
    assert type(caught.value) is EngineApiError


@pytest.mark.parametrize(("network", "message"), [("host", "host network"), ("none", r"private \(none\) mode")])
async def test_a_container_on_a_bridge_rejects_the_host_and_none_networks(
    bench: Bench, network: str, message: str
) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    taken = await bench.engine.network(network)
    assert taken is not None
    with pytest.raises(EngineApiError, match=message):
        await bench.engine.connect(taken.id, Attachment(web, "web", running=True))
    assert [end.network_name for end in (await only(bench)).endpoints] == ["blog"]


async def test_legacy_links_do_not_change_the_name_of_a_container(bench: Bench) -> None:
    run(bench, "old", "bridge")
    bench.run_linked("linker", "old", "alias")
    assert sorted(container.name for container in await bench.engine.containers()) == ["linker", "old"]


async def test_labels_of_the_image_are_apart_from_those_that_were_set_at_creation(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    run(
        bench,
        "web",
        labels={"app": "blog", "tier": "web", "same": "both"},
        image_labels={"app": "shop", "vendor": "acme", "same": "both"},
    )
    container = await only(bench)
    assert container.labels == {"app": "blog", "tier": "web"}
    assert container.image_labels == {"vendor": "acme", "same": "both"}
    assert container.image_problem == ""


async def test_a_compose_container_keeps_project_and_service_that_its_built_image_has_too(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    of_image = {"com.docker.compose.project": "shop", "com.docker.compose.service": "db"}
    run(bench, "db", labels={**of_image, "com.docker.compose.config-hash": "4f2a"}, image_labels=of_image)
    assert (await only(bench)).labels == {**of_image, "com.docker.compose.config-hash": "4f2a"}


async def test_an_image_can_not_pretend_to_be_a_container_of_compose(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    claimed = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "db",
        "com.docker.compose.config-hash": "4f2a",
    }
    run(bench, "evil", image_labels=claimed)
    container = await only(bench)
    assert (container.labels, container.image_labels) == ({}, claimed)
