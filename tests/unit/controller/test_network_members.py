"""Members are written down before they are attached, and only those are ever detached."""

from dataclasses import replace

import pytest

from dockerv6.controller.endpoints import (
    MEMBERS,
    forget_member,
    forget_members,
    keep_members,
    recorded_members,
    remember_member,
)
from dockerv6.controller.execute import StepFailed, execute, execute_step
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.dockerd.port import ContainerNotFound, EngineApiError, EngineUnavailable
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachMember, DetachMember
from dockerv6.reconciler.handler import TemporaryError
from dockerv6.store.memory import MemoryStore
from tests.fakes.dockerd.versions import ENGINE_20_10
from tests.simulation.resources import network
from tests.world import Bench, Host

STACK = {"stack": "blog"}
BY_LABELS = {"matchLabels": STACK}


class TestStore:
    async def test_each_resource_has_its_own(self) -> None:
        store = MemoryStore()
        for container in ("b", "a", "a"):
            await remember_member(store, "blog", container)
        assert await recorded_members(store, "blog") == {"a", "b"}
        assert await recorded_members(store, "shop") == frozenset()

    async def test_the_last_one_takes_the_record_along(self) -> None:
        store = MemoryStore()
        await remember_member(store, "blog", "a")
        await forget_member(store, "blog", "a")
        await forget_member(store, "blog", "a")
        assert await store.records(MEMBERS) == {}

    async def test_all_can_be_forgotten_or_all_others(self) -> None:
        store = MemoryStore()
        for container in ("a", "b"):
            await remember_member(store, "blog", container)
        await keep_members(store, "blog", frozenset("b"))
        assert await recorded_members(store, "blog") == {"b"}
        await forget_members(store, "blog")
        assert await store.records(MEMBERS) == {}


async def made(host: Host | None = None, **spec: object) -> Bench:
    bench = await (host or Host()).bench(network("blog", **{"members": BY_LABELS, **spec}))
    await bench.reconcile()
    return bench


async def again(bench: Bench) -> None:
    bench.invalidate_all()
    await bench.reconcile()


def run(bench: Bench, name: str = "web", *networks: str) -> str:
    """A container of an IPv4-only stack."""
    return bench.host.engine.run_container(name, networks or "bridge", labels=STACK)


async def kept(bench: Bench) -> frozenset[str]:
    return await recorded_members(bench.host.store, "blog")


class TestPorts:
    async def test_they_are_published_with_the_attachment_and_not_after_its_event(self) -> None:
        # moby/moby#17666: until then, the engine's proxy replaces the client's address
        bench = await made()
        web = bench.host.engine.run_container("web", "bridge", labels=STACK, ports=["8080:80"])
        bench.invalidate_all()
        await bench.context.world.engine_state()
        assert bench.host.ports() == {}
        await execute_step(AttachMember("blog", "blog", Attachment(web, "web", running=True)), bench.context)
        assert bench.host.ports() == {"tcp 8080 ::": "web:80"}


class TestReconcile:
    async def test_containers_that_come_and_go_are_followed(self) -> None:
        bench = await made()
        web, db = run(bench), run(bench, "db")
        await again(bench)
        assert await bench.host.attached("blog") == {"web", "db"}
        assert await kept(bench) == {web, db}
        bench.host.engine.remove_container(web)
        await again(bench)
        assert await bench.host.attached("blog") == {"db"}
        assert await kept(bench) == {db}

    async def test_events_record_it_and_the_status_is_ready(self) -> None:
        bench = await made()
        assert (await bench.host.ready("blog"))[0] == "True"  # no member yet is no fault
        run(bench)
        await again(bench)
        assert "MemberAttached" in [e.reason for e in await bench.host.events("blog")]
        assert "NoMember" not in [e.reason for e in await bench.host.events("blog")]

    async def test_once_is_enough(self) -> None:
        bench = await made()
        run(bench)
        for _ in range(3):
            await again(bench)
        assert bench.host.engine.changes.count("connect") == 1

    async def test_a_stopped_one_stays_attached(self) -> None:
        bench = await made()
        web = run(bench)
        await again(bench)
        bench.host.engine.stop_container(web)
        await again(bench)
        assert await bench.host.attached("blog") == {"web"}
        assert await kept(bench) == {web}
        bench.host.engine.start_container(web)
        await again(bench)
        assert bench.host.engine.changes.count("connect") == 1

    async def test_a_member_that_no_longer_matches_is_detached_unless_a_person_attached_it(self) -> None:
        bench = await made()
        run(bench)
        run(bench, "hand", "blog")
        await again(bench)
        await bench.accept(network("blog", members={"matchLabels": {"stack": "shop"}}))
        await again(bench)
        assert await bench.host.attached("blog") == {"hand"}
        assert await kept(bench) == frozenset()

    async def test_one_that_a_person_attached_afterwards_is_that_persons(self) -> None:
        bench = await made()
        web = run(bench)
        await again(bench)
        there = await bench.host.docker("blog")
        assert there is not None
        await bench.accept(network("blog"))  # nothing matches, so the manual attachment stays
        await bench.host.engine.disconnect(there.id, web)
        await again(bench)
        await bench.host.engine.connect(there.id, Attachment(web, "web", running=True))
        for _ in range(2):
            await again(bench)
        assert await bench.host.attached("blog") == {"web"}

    @pytest.mark.parametrize("strategy", ["Recreate", "WhenIdle"])
    async def test_they_move_to_the_network_that_is_made_instead(self, strategy: str) -> None:
        bench = await made(updateStrategy=strategy)
        web = run(bench)
        await again(bench)
        await bench.accept(network("blog", members=BY_LABELS, updateStrategy=strategy, labels={"a": "b"}))
        await again(bench)
        assert await bench.host.attached("blog") == {"web"}
        assert await kept(bench) == {web}

    async def test_a_network_that_was_removed_comes_back_with_them(self) -> None:
        bench = await made()
        web = run(bench)
        await again(bench)
        await bench.host.remove_by_hand("blog")
        await again(bench)
        assert await bench.host.attached("blog") == {"web"}
        await bench.accept(network("blog"))
        await again(bench)
        assert await bench.host.attached("blog") == frozenset()
        assert web in {c.id for c in bench.host.engine.list_containers()}

    async def test_an_older_engine_gets_no_gateway_priority(self) -> None:
        bench = await made(Host(ENGINE_20_10))
        run(bench)
        await again(bench)
        (call,) = [c for c in bench.host.engine.calls if c.method == "connect"]
        assert isinstance(call.arguments[1], Attachment)
        assert call.arguments[1].gw_priority == 0

    async def test_a_container_with_host_networking_is_reported(self) -> None:
        bench = await made()
        bench.host.engine.run_container("agent", labels=STACK, network_mode="host")
        await again(bench)
        condition = await bench.host.condition("blog", "NetworkReady")
        assert condition is not None
        assert (condition.status, condition.reason) == ("Unknown", "MemberRefused")
        assert await bench.host.attached("blog") == frozenset()


class TestObserved:
    """Somebody else's network can have members too."""

    async def observing(self) -> Bench:
        host = Host()
        await host.create_foreign("theirs", "fd99::/64")
        host.engine.run_container("hand", "theirs")
        return await made(host, managementPolicy="Observe", networkName="theirs")

    async def test_they_are_attached_once(self) -> None:
        bench = await self.observing()
        run(bench)
        for _ in range(3):
            await again(bench)
        assert await bench.host.attached("theirs") == {"hand", "web"}
        assert bench.host.engine.changes.count("connect") == 1
        assert (await bench.host.stored("blog")).status["containers"] == 2

    async def test_they_leave_with_the_resource_and_others_do_not(self) -> None:
        bench = await self.observing()
        run(bench)
        await again(bench)
        await bench.delete("blog")
        bench.invalidate_all()
        assert await bench.finalize() is None
        assert await bench.host.attached("theirs") == {"hand"}


class TestDeletion:
    async def test_ours_leave_and_others_are_waited_for(self) -> None:
        bench = await made()
        run(bench)
        hand = run(bench, "hand", "blog")
        await again(bench)
        await bench.delete("blog")
        bench.invalidate_all()
        assert await bench.finalize() is not None
        assert await bench.host.attached("blog") == {"hand", "web"}
        bench.host.engine.remove_container(hand)
        bench.invalidate_all()
        assert await bench.finalize() is None
        assert await bench.host.docker("blog") is None
        assert await bench.host.store.records(MEMBERS) == {}

    async def test_a_stopped_one_can_start_without_the_network(self) -> None:
        bench = await made()
        web = run(bench)
        await again(bench)
        bench.host.engine.stop_container(web)
        await bench.delete("blog")
        bench.invalidate_all()
        assert await bench.finalize() is None
        bench.host.engine.start_container(web)


async def step(bench: Bench, name: str = "web") -> AttachMember:
    return AttachMember("blog", "blog", Attachment(run(bench, name), name, running=True))


class TestExecution:
    async def test_a_crash_before_it_is_attached_leaves_a_note_that_does_no_harm(self) -> None:
        bench = await made()
        todo = await step(bench)
        bench.host.engine.fail_next("connect", EngineUnavailable("gone"))
        with pytest.raises(StepFailed):
            await execute(Plan("IPv6Network", "blog", (todo,)), bench.context)
        assert await kept(bench) == {todo.endpoint.container_id}
        fresh = await bench.host.bench()
        await fresh.reconcile()
        assert await bench.host.attached("blog") == {"web"}
        assert await kept(bench) == {todo.endpoint.container_id}

    async def test_a_crash_after_it_was_attached_leaves_it_ours(self) -> None:
        bench = await made()
        todo = await step(bench)
        bench.host.engine.fail_next("connect", EngineUnavailable("gone"), after=True)
        with pytest.raises(StepFailed):
            await execute(Plan("IPv6Network", "blog", (todo,)), bench.context)
        fresh = await bench.host.bench(network("blog"))
        await fresh.reconcile()
        assert await bench.host.attached("blog") == frozenset()

    async def test_one_that_is_gone_meanwhile_is_no_failure_and_is_forgotten(self) -> None:
        bench = await made()
        todo = await step(bench)
        bench.host.engine.fail_next("connect", ContainerNotFound("no such container"))
        await execute_step(todo, bench.context)
        assert await kept(bench) == frozenset()

    async def test_one_that_is_refused_does_not_keep_the_next_one_away(self) -> None:
        bench = await made()
        web, db = await step(bench), await step(bench, "db")
        bench.host.engine.fail_next("connect", EngineApiError("no"))
        with pytest.raises(StepFailed):
            await execute(Plan("IPv6Network", "blog", (web, db)), bench.context)
        assert await bench.host.attached("blog") == {"db"}
        assert await kept(bench) == {db.endpoint.container_id}

    async def test_without_the_network_it_is_tried_again(self) -> None:
        bench = await made()
        todo = replace(await step(bench), network="gone")
        with pytest.raises(TemporaryError):
            await execute_step(todo, bench.context)
        assert await kept(bench) == frozenset()

    async def test_both_can_be_done_twice(self) -> None:
        bench = await made()
        todo = await step(bench)
        there = await bench.host.docker("blog")
        assert there is not None
        for each in (todo, DetachMember("blog", there.id, todo.endpoint, "x")):
            await execute_step(each, bench.context)
            once = await bench.host.snapshot(), await kept(bench)
            await execute_step(each, bench.context)
            assert (await bench.host.snapshot(), await kept(bench)) == once
        assert await kept(bench) == frozenset()


async def test_a_member_is_attached_to_our_network_and_not_to_another_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(ENGINE_20_10)
    bench = await host.bench(network("web", members=BY_LABELS))
    await bench.reconcile("web")
    (ours,) = await host.ours()
    listed = host.engine.networks

    async def with_another() -> tuple[Network, ...]:
        another = replace(ours, id="0" * 64, labels={})  # 20.10 allows it, and it is found first
        return (another, *(await listed()))

    monkeypatch.setattr(host.engine, "networks", with_another)
    host.engine.run_container("c1", "bridge", labels=STACK)
    bench.invalidate_all()
    await bench.reconcile("web")
    assert [a.container_name for a in await host.engine.attachments(ours.id)] == ["c1"]
