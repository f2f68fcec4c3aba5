"""Networks whose pool has another prefix: one after the other, with all their containers, with a rollback."""

from ipaddress import IPv6Network
from typing import Any

import pytest

from dockerv6.controller.recreations import RECREATIONS as FORMER
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.plan import Disruption
from dockerv6.reconciler.handler import Requeue, TemporaryError
from tests.simulation.preview import preview
from tests.simulation.resources import pool
from tests.unit.controller.renumbered import (
    NAMES,
    NEW,
    OLD,
    READY,
    drawing,
    ends,
    moved,
    populated,
    subnet,
    there,
)
from tests.world import Bench


class TestForward:
    async def test_subnets_keep_their_number_and_containers_their_places(self) -> None:
        bench = await populated()
        host = bench.host
        numbers = {n: int((await subnet(host, n)).network_address) >> 64 & 0xFF for n in NAMES}
        ipv4 = {n: (await there(host, n)).ipv4 for n in NAMES}
        before = {n: await ends(host, n) for n in NAMES}
        await moved(bench)
        for name in NAMES:
            await bench.reconcile(name)
            now = await subnet(host, name)
            assert now.subnet_of(IPv6Network(NEW))
            assert int(now.network_address) >> 64 & 0xFF == numbers[name]
            assert await host.ready(name) == READY
        assert {n: await ends(host, n) for n in NAMES} == before
        assert {n: (await there(host, n)).ipv4 for n in NAMES} == ipv4

    async def test_rules_of_the_new_subnet_are_there_before_the_network_is(self) -> None:
        bench = await populated()
        original = bench.host.engine.create_network
        seen: list[bool] = []

        async def create(spec: Any) -> str:
            asked = next(c.subnet for c in spec.ipam if isinstance(c.subnet, IPv6Network))
            seen.append(any(str(asked) in rule for rule in bench.host.rules_of("a")))
            return await original(spec)

        bench.host.engine.create_network = create  # type: ignore[method-assign]
        await moved(bench)
        await bench.reconcile("a")
        assert seen == [True]
        assert not any("2001:db8:a00" in rule for rule in bench.host.rules_of("a"))

    async def test_events_record_what_was_done(self) -> None:
        bench = await populated()
        await moved(bench)
        await bench.reconcile("a")
        messages = {e.reason: e.message for e in await bench.host.events("a")}
        assert messages["Recreated"].startswith("the Docker network was created again: subnet is ")
        assert "the subnet keeps its number" in messages["SubnetAllocated"]
        assert messages["EndpointAttached"]

    @pytest.mark.parametrize(("strategy", "expected"), [("WhenIdle", "x-a, y-a, z-a"), ("Never", "Strategy is Never")])
    async def test_the_strategy_decides_whether_it_may(self, strategy: str, expected: str) -> None:
        bench = await populated(updateStrategy=strategy)
        await moved(bench)
        await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "RecreateBlocked")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert expected in found.message
        assert bench.host.engine.changes == []
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(OLD))
        held = await bench.host.bound("a")
        assert held is not None
        assert held.prefix == await subnet(bench.host, "a")

    async def test_an_idle_one_follows_when_its_containers_have_stopped(self) -> None:
        bench = await populated(updateStrategy="WhenIdle")
        await moved(bench)
        for container in await bench.host.engine.running_container_ids():
            bench.host.engine.stop_container(container)
        bench.invalidate_all()
        await bench.reconcile("a")
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEW))
        assert await bench.host.attached("a") == {"x-a", "y-a", "z-a"}

    async def test_a_pool_that_became_too_small_takes_nothing_away(self) -> None:
        bench = await populated()
        await moved(bench, "2001:db8:d00::/63")
        for name in NAMES:
            await bench.reconcile(name)
        new = [n for n in NAMES if (await subnet(bench.host, n)).subnet_of(IPv6Network("2001:db8:d00::/63"))]
        assert new == ["a", "b"]
        assert await bench.host.ready("c") == ("False", "PoolExhausted")
        assert await bench.host.attached("c") == {"x-c", "y-c", "z-c"}


class TestTurns:
    """At most ``maxUnavailable`` networks of a pool are away."""

    async def cut_off(self, bench: Bench, name: str) -> None:
        """The engine is lost while the network is away."""
        bench.host.engine.fail_next("create_network", EngineUnavailable("gone"))
        bench.invalidate_all()
        with pytest.raises(TemporaryError):
            await bench.reconcile(name)

    async def test_the_others_wait_and_name_the_one_in_flight(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        bench.invalidate_all()
        assert isinstance(await bench.reconcile("a"), Requeue)
        assert await bench.host.ready("a") == ("False", "Renumbering")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert "waits for its turn, while b of the same pool" in found.message
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(OLD))

    async def test_so_they_do_after_a_restart(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        again = await bench.host.bench()
        await again.context.recreations.load()
        await again.reconcile("a")
        assert await bench.host.ready("a") == ("False", "Renumbering")
        await again.reconcile("b")
        await again.reconcile("a")
        assert await bench.host.ready("a") == READY
        assert await bench.host.store.records(FORMER) == {}

    async def test_a_completed_recreation_enqueues_the_others_and_the_pool(self) -> None:
        bench = await populated()
        await moved(bench)
        enqueued: list[tuple[str, str]] = []
        bench.context.enqueue = lambda key, why: enqueued.append((str(key), why))
        await bench.reconcile("b")
        done = "IPv6Network b was recreated"
        assert {key for key, why in enqueued if why == done} == {
            "IPv6Network/a",
            "IPv6Network/c",
            "IPv6Pool/isp",
            "Host/garbage",
        }

    async def test_several_may_be_away_where_the_pool_allows_it(self) -> None:
        bench = await populated(pool={"maxUnavailable": 2})
        await moved(bench, maxUnavailable=2)
        await self.cut_off(bench, "a")
        await self.cut_off(bench, "b")
        bench.invalidate_all()
        await bench.reconcile("c")
        assert await bench.host.ready("c") == ("False", "Renumbering")

    async def test_networks_of_other_pools_need_not_wait(self) -> None:
        bench = await populated()
        await bench.accept(pool("lan", prefix="fd00:1::/48"), drawing("d", addressing={"poolRef": {"name": "lan"}}))
        await bench.reconcile("d")
        await moved(bench)
        await self.cut_off(bench, "a")
        await bench.accept(pool("lan", prefix="fd00:2::/48"))
        bench.invalidate_all()
        await bench.reconcile("d")
        assert (await subnet(bench.host, "d")).subnet_of(IPv6Network("fd00:2::/48"))

    async def test_one_that_is_away_is_waited_for_while_the_engine_is_too(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        bench.host.engine.down()
        bench.invalidate_all()
        await bench.reconcile("b")
        assert list(await bench.host.store.records(FORMER)) == ["b"]
        bench.host.engine.up()
        bench.invalidate_all()
        await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "Renumbering")
        assert "Recreated" not in {e.reason for e in await bench.host.events("b")}

    async def test_a_resource_that_is_deleted_meanwhile_gives_its_place_to_the_next(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        for container in await bench.host.engine.running_container_ids():
            bench.host.engine.stop_container(container)
        await bench.delete("b")
        bench.invalidate_all()
        assert await bench.finalize("b") is None
        await bench.reconcile("a")
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEW))


async def test_a_plan_shows_the_renumbering_and_the_disconnected_containers() -> None:
    bench = await populated()
    bench.host.files.write(pool("isp", prefix=NEW))
    before, records = await bench.host.snapshot(), await bench.host.store.records(FORMER)
    plans = await preview(bench.host)
    assert plans["a"].disruption is Disruption.DISCONNECTS
    assert plans["a"].disconnected == 3
    text = " ".join(step.describe() for step in plans["a"].steps)
    assert "2001:db8:b00:" in text
    assert [str(f.reason) for f in plans["b"].findings] == ["Renumbering"]
    assert await bench.host.snapshot() == before
    assert await bench.host.store.records(FORMER) == records == {}
    assert bench.host.engine.changes == []
