"""The engine port's contract: the same assertions on the fake and on real Docker Engines."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import Attachment, EventKind, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineConflict,
    EngineRefused,
    EngineTooOld,
    EngineUnavailable,
    NetworkNotFound,
)
from dockerv6.dockerd.profiles import ENGINE_20_10, ENGINE_26_1, ENGINE_28_5
from tests.contract.engines import FakeBench, RealBench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from dockerv6.dockerd.model import EngineEvent
    from tests.contract.engines import Bench
    from tests.lab.session import Session

SUBNET6 = IPv6Network("2001:db8:1::/64")
SUBNET4 = IPv4Network("192.0.2.0/28")
DUAL = NetworkSpec("blog", ipam=(SubnetConfig(SUBNET4), SubnetConfig(SUBNET6)))
GATEWAY_PRIORITIES_SINCE = (28, 0)
IPV6_ONLY_SINCE = (28, 0)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ENGINE_20_10, id="fake-20.10"),
        pytest.param(ENGINE_26_1, id="fake-26.1"),
        pytest.param(ENGINE_28_5, id="fake-28.5"),
        pytest.param("20.10", id="real-20.10", marks=pytest.mark.e2e),
        pytest.param("28.5", id="real-28.5", marks=pytest.mark.e2e),
    ],
)
def make_bench(request: pytest.FixtureRequest) -> Iterator[Callable[[], Bench]]:
    if not isinstance(request.param, str):
        yield lambda: FakeBench(request.param)
        return
    session: Session = request.getfixturevalue("lab_session")
    lab = RealBench.start(session, request.param)
    yield lambda: RealBench(lab)
    lab.remove()


@pytest.fixture
async def bench(make_bench: Callable[[], Bench]) -> AsyncIterator[Bench]:
    bench = make_bench()
    yield bench
    await bench.clear()


def run(bench: Bench, name: str, network: str = "blog", **wishes: str | tuple[str, ...]) -> str:
    container = bench.create_container(name, network, **wishes)  # type: ignore[arg-type]
    bench.start_container(container)
    return container


async def test_tells_its_version(bench: Bench) -> None:
    info = await bench.engine.info()
    assert info.release == bench.release
    assert info.version.startswith(f"{bench.release[0]}.{bench.release[1]}.")
    assert info.api_version.startswith("1.")
    assert info.id
    assert info.name
    # a new engine whose iptables are off doesn't report any
    assert info.firewall_backend in ({"iptables", None} if bench.release >= (28, 2) else {None})


async def test_creates_what_the_spec_says(bench: Bench) -> None:
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
    assert (network.id, network.name, network.driver, network.scope) == (network_id, "blog", "bridge", "local")
    assert network.internal
    assert network.attachable
    assert network.enable_ipv4
    assert network.enable_ipv6
    assert network.ipam == spec.ipam
    assert network.options == spec.options
    assert network.labels == spec.labels
    assert network.endpoints == ()
    assert network.bridge == "br-blog"


async def test_reports_no_gateway_that_nobody_asked_for(bench: Bench) -> None:
    network = await bench.engine.network(await bench.engine.create_network(DUAL))
    assert network is not None
    assert [config.gateway for config in network.ipam] == [None, None]
    assert network.bridge == f"br-{network.id[:12]}"


async def test_takes_ipv4_from_a_pool_when_only_ipv6_is_given(bench: Bench) -> None:
    network_id = await bench.engine.create_network(NetworkSpec("blog", ipam=(SubnetConfig(SUBNET6),)))
    network = await bench.engine.network(network_id)
    assert network is not None
    assert network.ipv6 == (SubnetConfig(SUBNET6),)
    (ipv4,) = network.ipv4
    assert ipv4.gateway == ipv4.subnet[1]


async def test_makes_an_ipv4_network_when_ipv6_is_off(bench: Bench) -> None:
    spec = NetworkSpec("plain", enable_ipv6=False, ipam=(SubnetConfig(SUBNET4),))
    network = await bench.engine.network(await bench.engine.create_network(spec))
    assert network is not None
    assert not network.enable_ipv6
    assert network.ipv6 == ()


async def test_makes_a_network_without_ipv4_or_says_that_the_engine_is_too_old(bench: Bench) -> None:
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


async def test_finds_a_network_by_whole_id_or_name_only(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    by_id, by_name = await bench.engine.network(network_id), await bench.engine.network("blog")
    assert by_id == by_name
    assert by_id is not None
    assert await bench.engine.network(network_id[:12]) is None
    assert await bench.engine.network("blo") is None
    assert await bench.engine.network("a/b c") is None


async def test_an_id_wins_over_a_name(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    other_id = await bench.engine.create_network(NetworkSpec(network_id, enable_ipv6=False))
    network = await bench.engine.network(network_id)
    assert network is not None
    assert network.name == "blog"
    await bench.engine.remove_network(other_id)


async def test_refuses_a_name_that_is_taken(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    with pytest.raises(EngineConflict, match=r"blog already exists \(HTTP 409\)"):
        await bench.engine.create_network(NetworkSpec("blog", ipam=(SubnetConfig(IPv6Network("2001:db8:2::/64")),)))


async def test_refuses_an_overlapping_subnet(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    with pytest.raises(EngineConflict, match="Pool overlaps with other one on this address space"):
        await bench.engine.create_network(NetworkSpec("b", ipam=(SubnetConfig(IPv6Network("2001:db8:1::/80")),)))
    assert await bench.engine.network("b") is None


async def test_refuses_a_bridge_name_that_is_taken(bench: Bench) -> None:
    options = {"com.docker.network.bridge.name": "br-same"}
    await bench.engine.create_network(replace(DUAL, options=options))
    with pytest.raises(EngineConflict, match="same bridge name"):
        await bench.engine.create_network(NetworkSpec("b", enable_ipv6=False, options=options))


async def test_refuses_a_name_of_the_engines_own(bench: Bench) -> None:
    with pytest.raises(EngineRefused, match="predefined host network") as caught:
        await bench.engine.create_network(NetworkSpec("host", enable_ipv6=False))
    assert type(caught.value) is EngineRefused


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


async def test_removes_once_and_again(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    await bench.engine.remove_network(network_id)
    assert await bench.engine.network(network_id) is None
    await bench.engine.remove_network(network_id)


async def test_does_not_remove_the_engines_own_networks(bench: Bench) -> None:
    bridge = await bench.engine.network("bridge")
    assert bridge is not None
    with pytest.raises(EngineRefused, match="pre-defined") as caught:
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
    assert all(end.endpoint_id for end in network.endpoints)


async def test_connects_with_all_that_the_attachment_says(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", "front")
    wish = Attachment(
        web,
        "web",
        running=True,
        aliases=("www", "site"),
        static_ipv4=IPv4Address("192.0.2.7"),
        static_ipv6=IPv6Address("2001:db8:1::7"),
        driver_opts={"example.org/x": "y"},
        gw_priority=5,
    )
    await bench.engine.connect(network_id, wish)
    (seen,) = await bench.engine.attachments(network_id)
    assert seen == replace(
        wish,
        ipv4=wish.static_ipv4,
        ipv6=wish.static_ipv6,
        gw_priority=5 if bench.release >= GATEWAY_PRIORITIES_SINCE else 0,
    )


async def test_connecting_again_changes_nothing(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", aliases=("www",))
    before = await bench.engine.attachments(network_id)
    await bench.engine.connect(network_id, Attachment(web, "web", running=True, aliases=("other",)))
    assert await bench.engine.attachments(network_id) == before


async def test_refuses_a_static_address_in_use(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    run(bench, "web", address="2001:db8:1::99")
    other = Attachment(run(bench, "other", "front"), "other", running=True, static_ipv6=IPv6Address("2001:db8:1::99"))
    with pytest.raises(EngineConflict, match="Address already in use"):
        await bench.engine.connect(network_id, other)
    assert [attached.container_name for attached in await bench.engine.attachments(network_id)] == ["web"]


async def test_refuses_a_static_address_of_another_subnet(bench: Bench) -> None:
    await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    network_id = await bench.engine.create_network(DUAL)
    web = Attachment(run(bench, "web", "front"), "web", running=True, static_ipv6=IPv6Address("2001:db8:9::9"))
    with pytest.raises(EngineRefused, match="2001:db8:9::9"):
        await bench.engine.connect(network_id, web)


async def test_connecting_names_what_is_missing(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = Attachment(run(bench, "web"), "web", running=True)
    with pytest.raises(NetworkNotFound):
        await bench.engine.connect("0" * 64, web)
    with pytest.raises(ContainerNotFound):
        await bench.engine.connect(network_id, replace(web, container_id="f" * 64))


async def test_disconnects_once_and_again(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    await bench.engine.disconnect(network_id, web)
    assert await bench.engine.attachments(network_id) == ()
    await bench.engine.disconnect(network_id, web)
    await bench.engine.disconnect(network_id, web, force=True)


async def test_disconnecting_what_is_gone_is_success(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    await bench.engine.disconnect(network_id, "f" * 64)
    await bench.engine.disconnect(network_id, "f" * 64, force=True)
    await bench.engine.disconnect("0" * 64, web)
    assert [attached.container_id for attached in await bench.engine.attachments(network_id)] == [web]


async def test_attachments_hold_running_stopped_and_unstarted_containers_in_order(bench: Bench) -> None:
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


async def test_occupied_names_every_network_that_has_attachments_and_none_that_has_none(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    front_id = await bench.engine.create_network(NetworkSpec("front", enable_ipv6=False))
    before = await bench.engine.occupied()
    assert not before & {network_id, "blog", front_id, "front"}
    bench.create_container("fresh", "blog")
    occupied = await bench.engine.occupied()
    assert occupied & {network_id, "blog"}
    assert not occupied & {front_id, "front"}
    late = run(bench, "late", "blog")
    bench.stop_container(late)
    await bench.engine.connect(front_id, Attachment(late, "late", running=False))
    assert await bench.engine.occupied() & {front_id, "front"}


async def test_attachments_of_a_removed_network_are_the_stopped_containers_that_name_it(bench: Bench) -> None:
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
    assert await bench.engine.stranded("blog") == ()


async def test_a_container_stranded_by_a_recreated_network_starts_again_once_connected(bench: Bench) -> None:
    old_id = await bench.engine.create_network(DUAL)
    web = run(bench, "web", aliases=("www",), address="2001:db8:1::99")
    bench.stop_container(web)
    await bench.engine.remove_network(old_id)
    assert [one.container_name for one in await bench.engine.stranded("blog")] == ["web"]
    new_id = await bench.engine.create_network(DUAL)
    with pytest.raises(Exception, match="not found"):
        bench.start_container(web)

    assert await bench.engine.attachments(new_id) == ()
    (stranded,) = await bench.engine.stranded("blog")
    assert (stranded.container_id, stranded.running, stranded.aliases) == (web, False, ("www",))
    await bench.engine.connect(new_id, stranded)
    assert await bench.engine.stranded("blog") == ()
    bench.start_container(web)
    (after,) = await bench.engine.attachments(new_id)
    assert (after.running, after.aliases, after.ipv6) == (True, ("www",), IPv6Address("2001:db8:1::99"))


async def test_nobody_is_stranded_on_a_network_that_lives(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    run(bench, "web")
    bench.stop_container(run(bench, "old"))
    bench.create_container("fresh", "blog")
    assert await bench.engine.stranded("blog") == ()
    assert await bench.engine.stranded("nosuch") == ()


async def until(events: AsyncIterator[EngineEvent], kind: EventKind, action: str) -> EngineEvent:
    async for event in events:
        if (event.kind, event.action) == (kind, action):
            return event
    raise AssertionError(f"no {kind} {action}")


async def test_events_tell_of_everything_after_connected(bench: Bench) -> None:
    async with aclosing(bench.engine.events()) as events:
        assert (await anext(events)).kind is EventKind.CONNECTED
        network_id = await bench.engine.create_network(DUAL)
        created = await until(events, EventKind.NETWORK, "create")
        while created.network_id != network_id:  # a real engine may tell of the moment before, too
            created = await until(events, EventKind.NETWORK, "create")
        assert created.network_name == "blog"
        web = run(bench, "web")
        connected = await until(events, EventKind.NETWORK, "connect")
        assert (connected.network_id, connected.container_id) == (network_id, web)
        assert (await until(events, EventKind.CONTAINER, "start")).container_id == web
        await bench.engine.disconnect(network_id, web)
        disconnected = await until(events, EventKind.NETWORK, "disconnect")
        assert (disconnected.network_id, disconnected.container_id) == (network_id, web)
        bench.remove_container(web)
        assert (await until(events, EventKind.CONTAINER, "destroy")).container_id == web
        await bench.engine.remove_network(network_id)
        assert (await until(events, EventKind.NETWORK, "destroy")).network_id == network_id


async def test_every_listener_hears_every_event(bench: Bench) -> None:
    async with aclosing(bench.engine.events()) as one, aclosing(bench.engine.events()) as two:
        assert [(await anext(events)).kind for events in (one, two)] == [EventKind.CONNECTED] * 2
        network_id = await bench.engine.create_network(NetworkSpec("heard", enable_ipv6=False))
        for events in (one, two):
            event = await until(events, EventKind.NETWORK, "create")
            while event.network_id != network_id:
                event = await until(events, EventKind.NETWORK, "create")


async def test_a_listener_can_be_cancelled_while_it_waits(bench: Bench) -> None:
    listening = asyncio.Event()

    async def listen() -> None:
        async for _ in bench.engine.events():
            listening.set()

    task = asyncio.create_task(listen())
    await listening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bench.engine.networks()


async def test_closing_ends_the_event_streams(bench: Bench) -> None:
    events = bench.engine.events()
    await anext(events)
    await bench.engine.close()
    with pytest.raises(EngineUnavailable):
        async for _ in events:
            pass


async def test_a_crash_is_unavailability_and_the_same_client_goes_on_afterwards(bench: Bench) -> None:
    events = bench.engine.events()
    await anext(events)
    specs = [
        NetworkSpec(f"n{number}", enable_ipv6=False, ipam=(SubnetConfig(IPv4Network(f"198.51.100.{number * 4}/30")),))
        for number in range(64)
    ]
    calls = [asyncio.create_task(bench.engine.create_network(spec)) for spec in specs]
    await asyncio.sleep(0)
    bench.down()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, EngineUnavailable) for outcome in outcomes)
    assert all(isinstance(outcome, EngineUnavailable | str) for outcome in outcomes)
    with pytest.raises(EngineUnavailable):
        async for _ in events:
            pass
    with pytest.raises(EngineUnavailable):
        await bench.engine.networks()
    with pytest.raises(EngineUnavailable):
        await anext(bench.engine.events())
    bench.up()
    assert (await bench.engine.info()).release == bench.release
    assert "bridge" in [network.name for network in await bench.engine.networks()]
    async with aclosing(bench.engine.events()) as again:
        assert (await anext(again)).kind is EventKind.CONNECTED
