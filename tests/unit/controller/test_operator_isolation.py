"""The whole operator: what is wrong with one file, row, resource or task harms only itself, also after a restart."""

import asyncio
from dataclasses import replace

import pytest

from dockerv6.api.scheme import to_document
from dockerv6.controller import contributions, observe
from dockerv6.controller import network as handler
from dockerv6.controller.context import Context
from dockerv6.dockerd.model import Network
from dockerv6.dockerd.port import EngineApiError
from dockerv6.planning.firewall.contributions import FirewallContribution, network_contribution
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Severity
from dockerv6.store.model import StoredObject
from dockerv6.store.port import StoreError
from tests.simulation.resources import ROOT, network, pool
from tests.world import Host, RunningOperator

READY = ("True", "ReconcileSucceeded")


def mistyped(name: str = "typo") -> InvalidResource:
    """A file whose kind does not exist."""
    position = Position(f"{ROOT}/{name}.yaml", 2, 7)
    message = "there is no kind 'IPV6Network'"
    diagnostic = Diagnostic(position, Severity.ERROR, ("kind",), message, "did you mean IPv6Network?")
    return InvalidResource("", "", position, (diagnostic,))


def write_mistyped(host: Host, name: str = "typo") -> None:
    host.files.contents[f"{ROOT}/{name}.yaml"] = [mistyped(name)]
    host.files.broken.add(f"{ROOT}/{name}.yaml")
    host.files.touch()


async def assert_works(it: RunningOperator, name: str) -> None:
    """The network is there, and is created again after it was removed by hand."""
    host = it.host
    assert await host.ready(name) == READY
    await host.remove_by_hand(name)
    await it.let(5)
    assert await host.docker(name) is not None
    assert host.rules_of(name)
    assert it.operator.check_tasks() == ""


async def poison(host: Host, **fields: object) -> None:
    """Store an object of an unknown kind, as version 0.1 did."""
    document = {"kind": "IPV6Network", "metadata": {"name": "typo"}}
    wrong = StoredObject("IPV6Network", "typo", document, "", 0, f"{ROOT}/typo.yaml", 1, 1.0, problem="wrong kind")
    await host.store.put(replace(wrong, **fields))  # type: ignore[arg-type] # fields of the test


class TestUnknownKind:
    async def test_a_mistyped_kind_harms_no_other_file_and_stays_visible_until_it_is_corrected(self) -> None:
        host = Host()
        host.files.write(network("a"), network("b"))
        write_mistyped(host)
        async with host.running() as it:
            await it.let(5)
            await assert_works(it, "a")
            assert {o.kind for o in await host.store.objects()} == {"IPv6Network", "IPv6Pool"}
            assert "did you mean IPv6Network?" in it.context.problems.check()
            assert any("typo.yaml:2:7" in e.message for e in await host.store.events("Source", "files"))
            host.files.broken.clear()
            host.files.write(network("typo"))
            await it.let(5)
            assert await host.ready("typo") == READY
            assert it.context.problems.check() == ""

    async def test_a_stored_object_of_an_unknown_kind_is_skipped_and_goes_with_its_file(self) -> None:
        host = Host()
        await poison(host)
        host.files.write(network("a"))
        write_mistyped(host)
        async with host.running() as it:
            await it.let(5)
            await assert_works(it, "a")
            assert "IPV6Network/typo" in it.context.problems.check()
            assert await host.store.objects("IPV6Network") != ()
        host.files.broken.clear()
        host.files.delete("typo")
        async with host.running() as it:
            await it.let(5)
            await assert_works(it, "a")
            assert it.context.problems.check() == ""
            assert await host.store.objects("IPV6Network") == ()


async def refuse(host: Host, *names: str) -> None:
    """Make the stored version of these networks one that this version of dockerv6 refuses."""
    for name in names:
        stored = await host.stored(name)
        document = {**stored.document, "spec": {"fromTheFuture": True}}
        await host.store.put(replace(stored, document=document))


class TestUnreadableVersion:
    async def running_before(self, *names: str) -> Host:
        host = Host()
        host.files.write(*(network(name) for name in names))
        async with host.running() as it:
            await it.let(5)
        return host

    async def test_it_is_read_again_from_its_file(self) -> None:
        host = await self.running_before("a", "b")
        before = await host.snapshot()
        await refuse(host, "a")
        async with host.running() as it:
            await it.let(5)
            assert await host.snapshot() == before
            await assert_works(it, "a")
            await assert_works(it, "b")
            assert it.context.problems.check() == ""

    async def test_what_exists_is_kept_while_its_source_is_not_listed(self) -> None:
        host = await self.running_before("a", "b")
        before = await host.snapshot()
        await refuse(host, "a")
        root = host.files.root
        host.files.root = replace(root, listed=False, problem="no such directory")
        async with host.running() as it:
            await it.let(60)
            assert await host.snapshot() == before
            assert "IPv6Network/a" in it.context.problems.check()
            assert await host.ready("a") == ("False", "StateUnreadable")
            assert await host.ready("b") == ("False", "SourceUnavailable")
            host.files.root = root
            await it.let(5)
            assert await host.ready("a") == READY
            assert it.context.problems.check() == ""

    async def test_it_is_kept_until_a_confirmation_when_its_file_is_gone(self) -> None:
        host = await self.running_before("a", "b")
        before = await host.snapshot()
        await refuse(host, "a")
        host.files.delete("a")
        async with host.running() as it:
            await it.let(60)
            assert await host.snapshot() == before
            assert it.context.prune_held == {"IPv6Network/a"}
            assert await host.condition("a", "PruneHeld") is not None
            await host.confirm_prune()
            await it.let(10)
            assert await host.docker("a") is None
            assert await host.store.object("IPv6Network", "a") is None
            await assert_works(it, "b")

    async def test_a_default_pool_that_can_not_be_read_changes_no_subnet(self) -> None:
        host = Host()
        host.files.write(pool("default", prefix="fd77::/48"), network("a"))
        async with host.running() as it:
            await it.let(5)
        before = await host.snapshot()
        stored = await host.stored("default", "IPv6Pool")
        await host.store.put(replace(stored, document={**to_document(pool("default")), "spec": {"odd": 1}}))
        host.files.root = replace(host.files.root, listed=False, problem="no such directory")
        async with host.running() as it:
            await it.let(60)
            assert await host.snapshot() == before


class TestUnexpectedException:
    async def test_a_bug_harms_only_the_resource_that_it_is_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = Host()
        host.files.write(network("a"), network("b"))
        broken, desired = [True], observe.desired_network

        def fail(resource: object, context: Context) -> object:
            if broken and getattr(getattr(resource, "metadata", None), "name", "") == "a":
                raise KeyError("surprise")
            return desired(resource, context)  # type: ignore[arg-type] # as the original

        monkeypatch.setattr(handler, "desired_network", fail)
        async with host.running() as it:
            await it.let(10)
            assert await host.ready("a") == ("False", "InternalError")
            assert any(e.reason == "InternalError" for e in await host.events("a"))
            await assert_works(it, "b")
            broken.clear()
            await it.let(120)
            assert await host.ready("a") == READY

    async def test_a_contribution_that_can_not_be_computed_harms_no_other_rules(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = Host()
        host.files.write(network("a"), network("b"))
        async with host.running() as it:
            await it.let(5)
        rules = host.rules_of("a")
        compute = network_contribution

        def fail(resource: object, *rest: object) -> FirewallContribution:
            if getattr(getattr(resource, "metadata", None), "name", "") == "a":
                raise KeyError("surprise")
            return compute(resource, *rest)  # type: ignore[arg-type] # as the original

        monkeypatch.setattr(contributions, "network_contribution", fail)
        async with host.running() as it:
            await it.let(5)
            await assert_works(it, "b")
            assert host.rules_of("a") == rules


class TestBackgroundTasks:
    async def test_an_engine_that_refuses_its_events_is_read_again_and_again(self) -> None:
        host = Host()
        host.files.write(network("a"))
        host.engine.fail_next("events", EngineApiError("internal error", 500), times=8)
        async with host.running() as it:
            await it.let(5)
            assert await host.ready("a") == READY
            assert "internal error" in it.context.world.events_problem
            await host.remove_by_hand("a")
            await it.let(40)
            assert await host.docker("a") is not None
            assert it.operator.check_tasks() == ""
            await it.let(300)
            assert it.context.world.events_problem == ""

    async def test_a_task_that_crashes_is_named_until_it_runs_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = Host()
        host.files.write(network("a"))
        read, divisor = host.files.read, 0
        monkeypatch.setattr(host.files, "read", lambda token: 1 / divisor and read(token))
        async with host.running() as it:
            await it.let(30)
            assert "task sources crashed (ZeroDivisionError" in it.operator.check_tasks()
            assert "task sources crashed" in it.context.problems.check()
            divisor = 1
            await it.let(200)
            assert await host.ready("a") == READY
            assert it.operator.check_tasks() == ""
            assert it.context.problems.check() == ""


async def test_a_network_that_can_not_be_decoded_is_neither_removed_nor_created_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as it:
        await it.let(5)
        live = await host.docker("a")
        assert live is not None
        listed = host.engine.networks

        async def networks() -> tuple[Network, ...]:
            found = await listed()
            return tuple(replace(n, ipam=(), problem="IPAM.Config") if n.name == "a" else n for n in found)

        monkeypatch.setattr(host.engine, "networks", networks)
        it.operator.triggers.resync_now("test")
        await it.let(60)
        monkeypatch.undo()
        after = await host.docker("a")
        assert after is not None
        assert after.id == live.id
        assert await host.ready("a") == ("False", "ForeignNetwork")
        await assert_works(it, "b")
        it.operator.triggers.resync_now("test")
        await it.let(60)
        assert await host.ready("a") == READY


class TestStateFile:
    async def test_a_state_file_that_was_written_again_is_an_event(self) -> None:
        host = Host()
        answers = ["", "state.db was removed", ""]

        async def check() -> str:
            return answers.pop(0) if answers else ""

        async with host.running() as it:
            it.context.check_state = check
            await it.let(60)
            (event,) = await host.store.events("Host", "state-file")
            assert (event.reason, event.message, event.count) == ("StateRewritten", "state.db was removed", 1)
            assert it.context.problems.check() == ""

    async def test_a_state_file_that_can_not_be_written_is_a_problem_until_it_can(self) -> None:
        host = Host()
        broken = [True]

        async def check() -> str:
            if broken:
                raise StoreError("disk full")
            return "written again"

        async with host.running() as it:
            it.context.check_state = check
            await it.let(60)
            assert "disk full" in it.context.problems.check()
            assert it.operator.check_tasks() == ""
            broken.clear()
            await it.let(60)
            assert it.context.problems.check() == ""

    async def test_it_is_checked_again_while_the_store_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = Host()
        checks = 0

        async def check() -> str:
            nonlocal checks
            checks += 1
            raise OSError(30, "Read-only file system")

        async def never(*_: object) -> None:
            await asyncio.Event().wait()

        async with host.running() as it:
            monkeypatch.setattr(host.store, "record_event", never)
            it.context.check_state = check
            await it.let(60)
            assert checks > 1
            assert "Read-only" in it.context.problems.check()
