"""Which keys each notification enqueues. `test_operator` shows that reconciling them is enough."""

import asyncio
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface
from typing import Any

import pytest

from dockerv6.controller.polling import LEGACY_POLL, LEGACY_SEARCH, Polling
from dockerv6.controller.prefixes import PREFIXES
from dockerv6.controller.triggers import BURST, LONGEST_PAUSE, Triggers
from dockerv6.dockerd.model import EngineEvent, EventKind
from dockerv6.hostnet.model import ChangeKind, HostChange, Interface
from dockerv6.hostnet.port import HostNetError
from tests.simulation.coupled import DEFAULT_ROUTE, ETH0
from tests.simulation.resources import network, policy
from tests.world import Bench, Host


class Scene:
    """Triggers on a simulated host, and the names of the keys that they enqueue."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host = bench, bench.host
        self.enqueued: list[str] = []
        bench.context.enqueue = lambda key, _: self.enqueued.append(str(key.name))
        self.triggers = Triggers(bench.context)

    async def network(self, action: str, name: str = "a") -> list[str]:
        there = await self.host.docker(name)
        assert there is not None
        self.enqueued.clear()
        self.triggers.on_engine_event(EngineEvent(EventKind.NETWORK, action, there.id, name, "c"))
        return sorted(set(self.enqueued))

    def container(self, action: str, container_id: str) -> list[str]:
        self.enqueued.clear()
        self.triggers.on_engine_event(EngineEvent(EventKind.CONTAINER, action, container_id=container_id))
        return sorted(set(self.enqueued))

    async def kernel(self, kind: ChangeKind, subject: str = "") -> list[str]:
        """Without the prefixes, which any change of a link enqueues."""
        self.enqueued.clear()
        self.triggers.on_kernel_change(HostChange(kind, subject))
        repairing = asyncio.create_task(self.triggers.process_link_changes())
        await self.host.clock.run_for(BURST)
        repairing.cancel()
        return sorted(set(self.enqueued) - {PREFIXES.name})


@pytest.fixture
async def scene() -> Scene:
    bench = await Host().bench(network("a"), network("b"))
    for name in ("a", "b"):
        await bench.reconcile(name)
    bench.invalidate_all()
    await bench.context.world.networks()
    return Scene(bench)


@pytest.mark.parametrize("action", ["create", "destroy", "connect", "disconnect"])
async def test_an_event_of_a_network_concerns_its_resource(scene: Scene, action: str) -> None:
    assert await scene.network(action) == ["a"]


async def test_an_event_of_a_foreign_network_enqueues_nothing(scene: Scene) -> None:
    await scene.host.create_foreign("theirs", "fd00:f::/64")
    assert await scene.network("connect", "theirs") == []


async def test_an_event_of_a_container_concerns_the_networks_that_it_was_seen_on(scene: Scene) -> None:
    web = scene.host.engine.run_container("web", "a")
    there = await scene.host.docker("a")
    assert there is not None
    scene.bench.context.world.attachment_reported(web, there.id)
    assert scene.container("die", web) == ["a"]
    assert scene.container("start", "unknown") == []


class TestContainers:
    """Ports lead to them: rules follow at once, statuses afterwards."""

    async def test_rules_are_repaired_before_the_queue(self, scene: Scene) -> None:
        scene.host.engine.run_container("web", "a", ports=("8080:80",))
        tasks = [asyncio.create_task(run()) for run in (scene.triggers.refresh_engine, scene.triggers.repair_firewall)]
        scene.container("start", "web")
        await scene.host.clock.run_for(0)
        for task in tasks:
            task.cancel()
        assert scene.host.ports() == {"tcp 8080 ::": "web:80"}

    @pytest.mark.parametrize("action", ["start", "die", "rename", "destroy", "pause"])
    async def test_each_container_event_wants_a_repair_of_the_rules(self, scene: Scene, action: str) -> None:
        scene.triggers.repair_wanted.clear()
        refreshing = asyncio.create_task(scene.triggers.refresh_engine())
        scene.container(action, "unknown")
        await scene.host.clock.run_for(0)
        refreshing.cancel()
        assert scene.triggers.repair_wanted.is_set()

    async def test_each_event_enqueues_policies(self, scene: Scene) -> None:
        await scene.bench.accept(policy("p"))
        assert scene.container("start", "unknown") == ["p"]
        assert await scene.network("connect") == ["a", "p"]

    @pytest.mark.parametrize(
        "spec",
        [
            {"members": {"matchLabels": {"x": "y"}}},
            {"publish": {"ports": [{"port": 1, "containers": {"name": "web"}}]}},
            {"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}},
        ],
        ids=str,
    )
    async def test_so_do_resources_that_wait_for_some(self, scene: Scene, spec: dict[str, object]) -> None:
        await scene.bench.accept(network("b", **spec))
        assert scene.container("start", "unknown") == ["b"]


async def test_an_open_event_stream_enqueues_everything(scene: Scene) -> None:
    scene.triggers.on_engine_event(EngineEvent(EventKind.CONNECTED, "connected"))
    assert set(scene.enqueued) >= {"a", "b", "garbage"}


async def test_a_bridge_concerns_its_network(scene: Scene) -> None:
    assert await scene.kernel(ChangeKind.LINK, "v6-a") == ["a"]
    assert await scene.kernel(ChangeKind.ADDRESS, "v6-b") == ["b"]
    assert await scene.kernel(ChangeKind.LINK, "veth7") == []


async def test_a_containers_end_concerns_the_network_of_its_bridge(scene: Scene) -> None:
    scene.host.engine.run_container("web", "a")
    (end,) = [i.name for i in await scene.host.net.interfaces() if i.kind == "veth"]
    assert await scene.kernel(ChangeKind.LINK, end) == ["a"]


async def test_others_bridges_concern_policies_and_observers(scene: Scene) -> None:
    await scene.host.create_foreign("theirs", "fd00:f::/64")
    await scene.bench.accept(policy("p"), network("watch", managementPolicy="Observe", networkName="theirs"))
    scene.bench.invalidate_all()
    await scene.bench.context.world.networks()
    there = await scene.host.docker("theirs")
    assert there is not None
    assert await scene.kernel(ChangeKind.LINK, there.bridge or "") == ["p", "watch"]
    assert await scene.kernel(ChangeKind.LINK, "v6-a") == ["a"]


@pytest.mark.parametrize("kind", [ChangeKind.LINK, ChangeKind.ADDRESS, ChangeKind.ROUTE, ChangeKind.LOST])
async def test_changes_that_may_concern_a_prefix_enqueue_the_prefixes(scene: Scene, kind: ChangeKind) -> None:
    await scene.kernel(kind, "" if kind is ChangeKind.LOST else "eth0")
    assert PREFIXES.name in scene.enqueued


class TestPolling:
    """The kernel does not announce changes of iptables-legacy."""

    async def polled(self, scene: Scene, fingerprints: tuple[object, ...], seconds: float) -> bool:
        scene.host.firewall.revision = fingerprints[0]
        polling = asyncio.create_task(Polling(scene.bench.context, scene.triggers).legacy_rules())
        await scene.host.clock.run_for(0)
        scene.triggers.repair_wanted.clear()
        scene.host.firewall.revision = fingerprints[1]
        await scene.host.clock.run_for(seconds)
        polling.cancel()
        return scene.triggers.repair_wanted.is_set()

    async def test_a_difference_is_found_within_a_second(self, scene: Scene) -> None:
        assert await self.polled(scene, (1, 2), LEGACY_POLL)

    async def test_what_is_the_same_is_not(self, scene: Scene) -> None:
        assert not await self.polled(scene, (1, 1), 10 * LEGACY_POLL)

    async def test_without_legacy_rules_they_are_searched_now_and_then(self, scene: Scene) -> None:
        assert not await self.polled(scene, (None, 1), LEGACY_SEARCH - 1)
        assert await self.polled(scene, (None, 1), LEGACY_SEARCH)


async def test_a_sysctl_concerns_forwarding(scene: Scene) -> None:
    assert await scene.kernel(ChangeKind.SYSCTL, "all") == ["forwarding"]


async def test_lost_notifications_enqueue_everything(scene: Scene) -> None:
    assert set(await scene.kernel(ChangeKind.LOST)) >= {"a", "b", "forwarding"}


@pytest.mark.parametrize("subject", ["inet dockerv6", ""])
async def test_our_table_is_repaired_beside_the_queue(scene: Scene, subject: str) -> None:
    scene.host.firewall.flush_all()
    await scene.kernel(ChangeKind.FIREWALL, subject)
    repairing = asyncio.create_task(scene.triggers.repair_firewall())
    await scene.host.clock.run_for(0)
    repairing.cancel()
    assert scene.host.rules_of("a")


@pytest.mark.parametrize(
    ("subject", "looked"),
    [
        ("ip6 filter", True),
        ("inet firewalld", True),
        ("inet dockerv6-local", True),
        ("inet dockerv6x", True),
        ("inet dockerv6", False),
        ("ip filter", False),
    ],
)
async def test_the_hosts_filter_is_read_again_after_changes_that_can_matter(
    scene: Scene, subject: str, *, looked: bool
) -> None:
    scene.host.filter.flush()
    scene.triggers.on_kernel_change(HostChange(ChangeKind.FIREWALL, subject))
    scene.triggers.repair_wanted.clear()  # of our own table
    repairing = asyncio.create_task(scene.triggers.process_link_changes())
    await scene.host.clock.run_for(1)
    repairing.cancel()
    assert scene.triggers.repair_wanted.is_set() is looked


async def test_an_address_that_comes_or_goes_enqueues_resources_with_ports_on_it(scene: Scene) -> None:
    scene.host.engine.run_container("web", "a", ports=("[2001:db8:3::5]:8080:80",))
    scene.host.engine.run_container("db", "b", ports=("8081:81",))
    scene.bench.invalidate_all()
    await scene.bench.repair()
    guests = Interface(90, "virbr0", "bridge", up=True, mtu=1500)
    scene.host.net.add_interface(guests)
    await scene.kernel(ChangeKind.LINK, "virbr0")
    scene.host.net.add_interface(replace(guests, addresses=(IPv6Interface("2001:db8:3::5/64"),)))
    assert await scene.kernel(ChangeKind.ADDRESS, "virbr0") == ["a"]
    assert await scene.kernel(ChangeKind.ADDRESS, "virbr0") == []
    scene.host.net.add_interface(guests)
    assert await scene.kernel(ChangeKind.ADDRESS, "virbr0") == ["a"]


@pytest.mark.parametrize(
    "changed",
    [{"addresses": (IPv6Interface("2001:db8:3::5/64"),)}, {"up": False}, {"mtu": 1280}],
    ids=["address", "down", "mtu"],
)
async def test_a_change_of_an_uplink_enqueues_everything(scene: Scene, changed: dict[str, Any]) -> None:
    await scene.kernel(ChangeKind.LINK, "eth0")
    assert await scene.kernel(ChangeKind.LINK, "eth0") == []
    scene.host.net.add_interface(replace(ETH0, **changed))
    assert set(await scene.kernel(ChangeKind.LINK, "eth0")) >= {"a", "b"}
    assert await scene.kernel(ChangeKind.LINK, "eth0") == []


async def test_a_default_route_that_comes_or_goes_enqueues_everything(scene: Scene) -> None:
    await scene.kernel(ChangeKind.ROUTE, "eth0")
    scene.host.net.remove_route(DEFAULT_ROUTE)
    assert set(await scene.kernel(ChangeKind.ROUTE, "eth0")) >= {"a", "b"}
    scene.host.net.add_route(DEFAULT_ROUTE)
    assert set(await scene.kernel(ChangeKind.ROUTE, "eth0")) >= {"a", "b"}


async def test_an_interface_concerns_the_networks_that_stand_on_it(scene: Scene) -> None:
    await scene.bench.accept(
        network("lan", driver="macvlan", options={"parent": "eth7"}, addressing={"subnet": "2001:db8:7::/64"})
    )
    await scene.kernel(ChangeKind.LINK, "eth0")
    assert await scene.kernel(ChangeKind.LINK, "eth7") == ["lan"]
    assert await scene.kernel(ChangeKind.LINK, "eth8") == []


async def test_dropped_proxy_entries_enqueue_resources_with_ndp_proxy(scene: Scene) -> None:
    spec = {"addressing": {"subnet": "2001:db8:1:0:8000::/80"}, "egress": {"mode": "Routed"}}
    answering = {"egress": spec["egress"], "ndpProxy": {"enabled": True}}
    await scene.bench.accept(network("c", **{**spec, **answering}), policy("p", **answering))
    await scene.host.net.add_proxy_neighbour("eth0", IPv6Address("2001:db8:1:0:8000::7"))
    await scene.kernel(ChangeKind.LINK, "eth0")
    scene.host.net.drop_proxy_neighbour("eth0", IPv6Address("2001:db8:1:0:8000::7"))
    assert await scene.kernel(ChangeKind.LINK, "eth0") == ["c", "p"]
    assert await scene.kernel(ChangeKind.LINK, "eth0") == []


async def test_a_resync_concerns_everything(scene: Scene) -> None:
    scene.triggers.resync_now("resync")
    assert set(scene.enqueued) >= {"a", "b", "forwarding", "prefixes", "garbage"}


async def test_a_silent_engine_enqueues_everything_once(scene: Scene) -> None:
    scene.host.engine.down()
    following = asyncio.create_task(scene.triggers.follow_engine())
    await scene.host.clock.run_for(30)
    following.cancel()
    assert scene.enqueued.count("a") == 1


async def test_changes_are_processed_after_a_crash(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> tuple[Interface, ...]:
        raise HostNetError("no buffer space")

    with monkeypatch.context() as patch:
        patch.setattr(scene.host.net, "interfaces", broken)
        scene.triggers.on_kernel_change(HostChange(ChangeKind.LINK, "v6-a"))
        crashing = asyncio.create_task(scene.triggers.process_link_changes())
        await scene.host.clock.run_for(BURST)
        with pytest.raises(HostNetError):
            await crashing
    again = asyncio.create_task(scene.triggers.process_link_changes())
    await scene.host.clock.run_for(BURST)
    again.cancel()
    assert "a" in scene.enqueued


async def test_a_slow_reading_does_not_delay_the_next_one_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfaces = scene.host.net.interfaces

    async def slowly() -> tuple[Interface, ...]:
        await scene.host.clock.sleep(5)
        return await interfaces()

    monkeypatch.setattr(scene.host.net, "interfaces", slowly)
    repairing = asyncio.create_task(scene.triggers.process_link_changes())
    scene.triggers.on_kernel_change(HostChange(ChangeKind.LINK, "v6-b"))
    await scene.host.clock.run_for(BURST + 5)
    scene.triggers.on_kernel_change(HostChange(ChangeKind.LINK, "v6-a"))
    await scene.host.clock.run_for(LONGEST_PAUSE + 5)
    repairing.cancel()
    assert scene.enqueued[-1] == "a"
