"""Which keys each notification makes the operator look at. That looking is enough is test_operator's matter."""

import asyncio

import pytest

from dockerv6.controller.triggers import BURST, LONGEST_PAUSE, Triggers
from dockerv6.dockerd.model import EngineEvent, EventKind
from dockerv6.hostnet.model import Change, ChangeKind, Interface
from dockerv6.hostnet.port import HostNetError
from tests.simulation.resources import network
from tests.world import Bench, Host


class Bell:
    """Triggers on a simulated host, and what they rang for."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host = bench, bench.host
        self.rung: list[str] = []
        bench.context.enqueue = lambda key, _: self.rung.append(str(key.name))
        self.triggers = Triggers(bench.context)

    async def network(self, action: str, name: str = "a") -> list[str]:
        there = await self.host.docker(name)
        assert there is not None
        self.rung.clear()
        self.triggers._engine_event(EngineEvent(EventKind.NETWORK, action, there.id, name, "c"))
        return sorted(set(self.rung))

    def container(self, action: str, container_id: str) -> list[str]:
        self.rung.clear()
        self.triggers._engine_event(EngineEvent(EventKind.CONTAINER, action, container_id=container_id))
        return sorted(set(self.rung))

    async def kernel(self, kind: ChangeKind, subject: str = "") -> list[str]:
        self.rung.clear()
        self.triggers._kernel_change(Change(kind, subject))
        mending = asyncio.create_task(self.triggers.mend_stack())
        await self.host.clock.run_for(BURST)
        mending.cancel()
        return sorted(set(self.rung))


@pytest.fixture
async def bell() -> Bell:
    bench = await Host().bench(network("a"), network("b"))
    for name in ("a", "b"):
        await bench.reconcile(name)
    bench.look_again()
    await bench.context.world.networks()
    return Bell(bench)


@pytest.mark.parametrize("action", ["create", "destroy", "connect", "disconnect"])
async def test_an_event_of_a_network_concerns_its_resource(bell: Bell, action: str) -> None:
    assert await bell.network(action) == ["a"]


async def test_an_event_of_a_foreign_network_concerns_nobody(bell: Bell) -> None:
    await bell.host.create_foreign("theirs", "fd00:f::/64")
    assert await bell.network("connect", "theirs") == []


async def test_an_event_of_a_container_concerns_the_networks_that_it_was_seen_on(bell: Bell) -> None:
    web = bell.host.engine.run_container("web", "a")
    there = await bell.host.docker("a")
    assert there is not None
    bell.bench.context.world.plugged(web, there.id)
    assert bell.container("die", web) == ["a"]
    assert bell.container("start", "unknown") == []


async def test_an_open_event_stream_concerns_everybody(bell: Bell) -> None:
    bell.triggers._engine_event(EngineEvent(EventKind.CONNECTED, "connected"))
    assert set(bell.rung) >= {"a", "b", "garbage"}


async def test_a_bridge_concerns_its_network(bell: Bell) -> None:
    assert await bell.kernel(ChangeKind.LINK, "v6-a") == ["a"]
    assert await bell.kernel(ChangeKind.ADDRESS, "v6-b") == ["b"]
    assert await bell.kernel(ChangeKind.LINK, "veth7") == []


async def test_a_sysctl_concerns_forwarding(bell: Bell) -> None:
    assert await bell.kernel(ChangeKind.SYSCTL, "all") == ["forwarding"]


async def test_lost_notifications_concern_everybody(bell: Bell) -> None:
    assert set(await bell.kernel(ChangeKind.LOST)) >= {"a", "b", "forwarding"}


@pytest.mark.parametrize("subject", ["inet dockerv6", ""])
async def test_our_table_is_mended_without_the_queue(bell: Bell, subject: str) -> None:
    bell.host.firewall.flush_all()
    await bell.kernel(ChangeKind.FIREWALL, subject)
    mending = asyncio.create_task(bell.triggers.mend_firewall())
    await bell.host.clock.run_for(0)
    mending.cancel()
    assert bell.host.rules_of("a")


@pytest.mark.parametrize(("subject", "looked"), [("ip6 filter", True), ("inet firewalld", True), ("ip filter", False)])
async def test_the_hosts_filter_is_looked_at_again_after_changes_that_can_matter(
    bell: Bell, subject: str, *, looked: bool
) -> None:
    bell.host.filter.flush()
    await bell.kernel(ChangeKind.FIREWALL, subject)
    mending = asyncio.create_task(bell.triggers.mend_stack())
    await bell.host.clock.run_for(1)
    mending.cancel()
    assert bell.triggers._firewall.is_set() is looked


async def test_a_resync_concerns_everything(bell: Bell) -> None:
    bell.triggers.look_at_everything("resync")
    assert set(bell.rung) >= {"a", "b", "forwarding", "garbage"}


async def test_a_silent_engine_makes_everybody_look_once(bell: Bell) -> None:
    bell.host.engine.down()
    following = asyncio.create_task(bell.triggers.follow_engine())
    await bell.host.clock.run_for(30)
    following.cancel()
    assert bell.rung.count("a") == 1


async def test_what_was_touched_is_still_to_be_looked_at_after_a_crash(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> tuple[Interface, ...]:
        raise HostNetError("no buffer space")

    with monkeypatch.context() as patch:
        patch.setattr(bell.host.net, "interfaces", broken)
        bell.triggers._kernel_change(Change(ChangeKind.LINK, "v6-a"))
        crashing = asyncio.create_task(bell.triggers.mend_stack())
        await bell.host.clock.run_for(BURST)
        with pytest.raises(HostNetError):
            await crashing
    again = asyncio.create_task(bell.triggers.mend_stack())
    await bell.host.clock.run_for(BURST)
    again.cancel()
    assert "a" in bell.rung


async def test_a_look_that_takes_long_does_not_put_off_the_next_one_for_long(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfaces = bell.host.net.interfaces

    async def slowly() -> tuple[Interface, ...]:
        await bell.host.clock.sleep(5)
        return await interfaces()

    monkeypatch.setattr(bell.host.net, "interfaces", slowly)
    mending = asyncio.create_task(bell.triggers.mend_stack())
    bell.triggers._kernel_change(Change(ChangeKind.LINK, "v6-b"))
    await bell.host.clock.run_for(BURST + 5)
    bell.triggers._kernel_change(Change(ChangeKind.LINK, "v6-a"))
    await bell.host.clock.run_for(LONGEST_PAUSE + 5)
    mending.cancel()
    assert bell.rung[-1] == "a"
