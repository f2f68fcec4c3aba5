"""The whole operator on an engine whose list of containers lags behind its events."""

import asyncio

import pytest

from dockerv6.controller.triggers import LAG_RETRIES, Triggers
from dockerv6.dockerd.model import Attachment, Container, EngineEvent, EventKind
from dockerv6.dockerd.port import EngineUnavailable
from tests.simulation.resources import network
from tests.world import Host, RunningOperator

AT_ONCE = 0  # no time passes but what callbacks take
LATE = 0.3  # seconds; measured lags are far shorter
EVER = float("inf")
WEB = {"tcp 8080 ::": "web:80"}
WAITS = sum(LAG_RETRIES)


class Lagging:
    """The list of containers, which shows some as they were before, and may take its time."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.takes = 0.0
        self.reads = 0
        self._then: dict[str, tuple[Container, float]] = {}
        self._list = host.engine.containers
        monkeypatch.setattr(host.engine, "containers", self.containers)

    async def containers(self) -> tuple[Container, ...]:
        self.reads += 1
        now = self.host.clock.monotonic()
        found = tuple(self._then[c.id][0] if now < self._then.get(c.id, (c, 0))[1] else c for c in await self._list())
        if self.takes:
            await self.host.clock.sleep(self.takes)
        return found

    def hold(self, container_id: str, seconds: float) -> None:
        """Show it for so long as it is now."""
        shown = next(c for c in self.host.engine.list_containers() if c.id == container_id)
        self._then[container_id] = (shown, self.host.clock.monotonic() + seconds)

    async def connect(self, container_id: str, seconds: float, name: str = "blog") -> None:
        there = await self.host.docker(name)
        assert there is not None
        self.hold(container_id, seconds)
        await self.host.engine.connect(there.id, Attachment(container_id, container_id, running=True))

    async def disconnect(self, container_id: str, seconds: float, name: str = "blog") -> None:
        there = await self.host.docker(name)
        assert there is not None
        self.hold(container_id, seconds)
        await self.host.engine.disconnect(there.id, container_id)

    def rename(self, container_id: str, seconds: float, name: str) -> None:
        self.hold(container_id, seconds)
        self.host.engine.rename_container(container_id, name)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> Lagging:
    host = Host()
    host.files.write(network())
    return Lagging(host, monkeypatch)


def run(lagging: Lagging, name: str = "web", on: str = "bridge", port: int = 8080) -> str:
    return lagging.host.engine.run_container(name, on, ports=(f"{port}:80",))


async def quiet(at_work: RunningOperator, lagging: Lagging) -> bool:
    """Whether the list is not read again."""
    reads = lagging.reads
    await at_work.let(10)
    return lagging.reads == reads


async def test_the_ports_of_a_container_that_was_attached_come_with_the_list(lagging: Lagging) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        web = run(lagging)
        await at_work.let(1)
        await lagging.connect(web, LATE)
        await at_work.let(LATE / 2)
        assert lagging.host.ports() == {}
        await at_work.let(LATE)
        assert lagging.host.ports() == WEB
        assert await quiet(at_work, lagging)
        condition = await lagging.host.condition("blog", "PortsPublished")
        assert condition is not None
        assert condition.reason == "Published"


async def test_the_ports_of_a_container_that_was_detached_go_with_the_list(lagging: Lagging) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        web = run(lagging, on="blog")
        await at_work.let(1)
        await lagging.disconnect(web, LATE)
        await at_work.let(LATE / 2)
        assert lagging.host.ports().keys() == WEB.keys()
        await at_work.let(LATE)
        assert lagging.host.ports() == {}
        assert await quiet(at_work, lagging)


@pytest.mark.parametrize("lag", [AT_ONCE, LATE, WAITS - 0.1])
async def test_the_port_of_a_container_comes_and_goes_with_its_name_in_the_list(lagging: Lagging, lag: float) -> None:
    ports = [{"name": "http", "port": 8071, "targetPort": 80, "containers": {"name": "worker"}}]
    lagging.host.files.write(network(publish={"ports": ports}))
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        web = run(lagging, "idle", on="blog", port=9090)
        await at_work.let(1)
        for name, published in (("worker", True), ("idle", False), ("worker", True)):
            lagging.rename(web, lag, name)
            await at_work.let(lag + 1)
            assert ("tcp 8071 ::" in lagging.host.ports()) is published
        assert await quiet(at_work, lagging)


async def test_a_list_that_is_up_to_date_is_not_read_again(lagging: Lagging) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        web = run(lagging)
        await at_work.let(1)
        await lagging.connect(web, 0)
        await at_work.let(AT_ONCE)
        assert lagging.host.ports() == WEB
        assert await quiet(at_work, lagging)


async def test_a_list_that_never_has_it_is_read_a_few_times(lagging: Lagging) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        web = run(lagging)
        await at_work.let(1)
        reads = lagging.reads
        await lagging.connect(web, EVER)
        await at_work.let(WAITS + 1)
        assert len(LAG_RETRIES) <= lagging.reads - reads <= 2 * len(LAG_RETRIES)
        assert await quiet(at_work, lagging)
        assert not at_work.context.world.containers_lag


@pytest.mark.parametrize("after", [WAITS / 4, WAITS - 0.1])
async def test_one_that_is_never_in_the_list_does_not_keep_others_from_being_waited_for(
    lagging: Lagging, after: float
) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        lost, web = run(lagging, "lost", port=9090), run(lagging)
        await at_work.let(1)
        await lagging.connect(lost, EVER)
        await at_work.let(after)
        await lagging.connect(web, LATE)
        await at_work.let(WAITS + 1)
        assert lagging.host.ports() == WEB
        await at_work.let(WAITS)
        assert await quiet(at_work, lagging)


async def test_one_that_was_started_and_attached_before_the_list_was_read_is_waited_for(lagging: Lagging) -> None:
    async with lagging.host.running() as at_work:
        await at_work.let(1)
        lagging.takes = 0.1
        web = run(lagging)
        await at_work.let(0.01)
        await lagging.connect(web, LATE)
        await at_work.let(WAITS)
        assert lagging.host.ports() == WEB


async def test_the_list_of_an_unavailable_engine_is_not_waited_for(lagging: Lagging) -> None:
    bench = await lagging.host.bench(network())
    await bench.reconcile()
    web = run(lagging)
    await bench.context.world.refresh()
    there = await lagging.host.docker("blog")
    assert there is not None
    triggers = Triggers(bench.context)
    triggers.on_engine_event(EngineEvent(EventKind.NETWORK, "connect", there.id, "blog", web))
    lagging.host.engine.fail_next("containers", EngineUnavailable("gone"), times=100)
    following = asyncio.create_task(triggers.refresh_lagging_containers())
    await lagging.host.clock.run_for(WAITS + 1)
    reads = lagging.reads
    await lagging.host.clock.run_for(10)
    assert not following.done()
    following.cancel()
    assert lagging.reads == reads
    assert not bench.context.world.containers_lag
