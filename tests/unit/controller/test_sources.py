import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.prefixes import PREFIXES
from dockerv6.controller.sources import ROOTS, UNLISTED_RETRY, SourceReconciler, known_identities
from dockerv6.lib.tasks import CancellationToken
from dockerv6.reconciler.handler import Key
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.model import Diagnostic, DirectoryState, Position, Severity, Snapshot, SourceRoot
from dockerv6.store.model import PROBLEMS, RUNNING, SOURCES
from dockerv6.store.port import StoreError
from tests.fakes.clock import FakeClock
from tests.simulation.resources import ROOT, invalid, network
from tests.world import Bench, Host


class Sources:
    """A reconciler of the simulated files, and what it enqueued."""

    def __init__(self, bench: Bench) -> None:
        self.host, self.context = bench.host, bench.context
        self.enqueued: list[Key] = []
        bench.context.enqueue = lambda key, _: self.enqueued.append(key)
        self.reconciler = SourceReconciler(bench.host.files.read, bench.context)

    async def sync(self) -> float | None:
        self.enqueued.clear()
        return await self.reconciler.sync()


async def reconciler() -> Sources:
    bench = Bench(Host(), Host().context())
    bench.context = bench.host.context()
    return Sources(bench)


async def test_only_new_and_changed_resources_are_enqueued() -> None:
    it = await reconciler()
    it.host.files.write(network("a"), network("b"))
    await it.sync()
    assert {k.name for k in it.enqueued if k.kind == "IPv6Network"} == {"a", "b"}
    it.host.files.write(network("a", internal=True))
    await it.sync()
    assert set(it.enqueued) == {PREFIXES, GARBAGE, Key("IPv6Network", "a")}
    await it.sync()
    assert it.enqueued == []


async def test_sweeps_may_begin_when_everything_was_listed_once() -> None:
    it = await reconciler()
    it.host.files.broken.add(f"{ROOT}/a.yaml")
    await it.sync()
    listed = [it.context.inventory.sources_listed]
    it.host.files.broken.clear()
    await it.sync()
    assert [*listed, it.context.inventory.sources_listed] == [False, True]
    assert Key("Host", "garbage") in it.enqueued


async def test_names_of_files_and_directories_are_reported_as_printable_lines() -> None:
    it = await reconciler()
    odd = "/etc/x\x1b]0;title\x07\n"
    wrong = Diagnostic(Position(f"{odd}/a.yaml"), Severity.ERROR, (), "invalid")
    unlisted = SourceRoot(odd, listed=False, problem=f"{odd} is broken")
    snapshot = Snapshot(roots=(unlisted,), broken_files=(f"{odd}/a.yaml",), diagnostics=(wrong,))
    await SourceReconciler(lambda _: snapshot, it.context).sync()
    assert it.context.problems.check().isprintable()
    assert "title" in it.context.problems.check()
    events = await it.context.store.events()
    assert events
    assert all(event.message.isprintable() for event in events)


async def test_a_file_that_is_refused_because_of_its_mode_is_a_problem_until_it_is_corrected(tmp_path: Path) -> None:
    it = await reconciler()
    file = tmp_path / "blog.yaml"
    file.write_text("apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\n")
    owner = FileOwnership.of_this_process([file.stat().st_uid])
    loader = Loader([str(file)], clock=FakeClock(), ownership=owner, settle=0)
    sources = SourceReconciler(loader.load, it.context)
    file.chmod(0o666)
    await sources.sync()
    record = await it.context.store.record(PROBLEMS, "files")  # what `dockerv6 get` prints
    assert record is not None
    assert f"is writable by other users; run chmod go-w {file}" in str(record)
    file.chmod(0o644)
    await sources.sync()
    assert await it.context.store.record(PROBLEMS, "files") is None


async def test_it_is_read_again_when_a_grace_ends() -> None:
    it = await reconciler()
    it.host.files.write(network("a"))
    assert await it.sync() is None
    it.host.files.delete("a")
    assert await it.sync() == 5
    it.host.clock.advance(2)
    assert await it.sync() == 3


async def test_a_source_that_can_not_be_listed_is_read_again_soon_and_reported_once() -> None:
    it = await reconciler()
    it.host.files.root = type(it.host.files.root)(ROOT, listed=False, problem="no such directory")
    assert await it.sync() == UNLISTED_RETRY
    await it.sync()
    (event,) = await it.host.store.events("Source", "files")
    assert (event.reason, event.count) == ("SourceUnavailable", 1)


async def test_what_a_directory_was_is_kept_durably() -> None:
    it = await reconciler()
    it.host.files.write(network("a"))
    await it.sync()
    assert await it.host.store.records(ROOTS) == {ROOT: {"identity": "1:1"}}


@pytest.mark.parametrize("prune", [True, False])
async def test_what_is_read_is_recorded_for_commands(*, prune: bool) -> None:
    it = await reconciler()
    it.context.settings = replace(it.context.settings, prune=prune)
    it.host.files.write(network("a"))
    await it.sync()
    assert await it.host.store.records(RUNNING) == {SOURCES: {"roots": {ROOT: "1:1"}, "prune": prune}}


async def test_what_the_directories_below_were_is_kept_durably() -> None:
    it = await reconciler()
    below = f"{ROOT}/sub"
    root = it.host.files.root
    it.host.files.root = replace(root, subdirectories={below: DirectoryState("1:2", 1)})
    it.host.files.write(network("a"), file=f"{below}/a.yaml")
    await it.sync()
    assert await it.host.store.records(ROOTS) == {ROOT: {"identity": "1:1", "directories": {below: "1:2"}}}
    assert await known_identities(it.context) == {ROOT: {ROOT: "1:1", below: "1:2"}}
    it.host.files.contents.clear()
    it.host.files.root = replace(root, subdirectories={below: DirectoryState("", 0)})
    await it.sync()
    it.host.clock.advance(60)
    await it.sync()
    (kept,) = it.context.inventory.objects
    assert kept.deleting_since is None


async def test_a_cancelled_sync_ends_the_reading() -> None:
    it = await reconciler()
    reading, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def read(token: CancellationToken) -> Snapshot:
        loop.call_soon_threadsafe(reading.set)
        try:
            while True:
                token.check()
        finally:
            loop.call_soon_threadsafe(ended.set)

    sync = asyncio.create_task(SourceReconciler(read, it.context).sync())
    await reading.wait()
    sync.cancel()
    await asyncio.wait_for(ended.wait(), 30)
    assert sync.cancelled() or sync.cancelling()


async def test_a_problem_is_reported_once_and_again_when_it_comes_back() -> None:
    it = await reconciler()

    async def count() -> int:
        return sum(e.count for e in await it.host.store.events("IPv6Network", "a"))

    it.host.files.write(invalid("a", "unknown field"))
    await it.sync()
    await it.sync()
    assert await count() == 1
    it.host.files.write(network("a"))
    await it.sync()
    it.host.files.write(invalid("a", "unknown field"))
    await it.sync()
    assert await count() == 2


async def test_a_store_that_fails_accepts_nothing() -> None:
    it = await reconciler()
    original = it.host.store.put

    async def full(*_: object) -> None:
        raise StoreError("disk full")

    it.host.files.write(network("a"))
    it.host.store.put = full  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreError):
        await it.sync()
    assert it.context.inventory.objects == ()
    it.host.store.put = original  # type: ignore[method-assign]
    await it.sync()
    assert len(it.context.inventory.objects) == 1


async def test_what_was_accepted_is_reconciled_although_a_record_fails() -> None:
    it = await reconciler()

    async def full(*_: object) -> None:
        raise StoreError("disk full")

    it.host.files.write(network("a"))
    it.host.store.put_record = full  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreError):
        await it.sync()
    assert {GARBAGE, Key("IPv6Network", "a")} <= set(it.enqueued)


async def test_held_deletions_are_reported_in_each_status() -> None:
    it = await reconciler()
    it.host.files.write(*(network(n) for n in "abcd"))
    await it.sync()
    it.host.files.delete(*"abcd")
    await it.sync()
    it.host.clock.advance(5)
    assert await it.sync() == 2
    assert it.context.prune_held == {f"IPv6Network/{n}" for n in "abcd"}
    assert {k.name for k in it.enqueued} >= set("abcd")
    assert await it.host.store.record("prune", "resources")


async def test_what_is_kept_without_its_source_says_so_everywhere_until_the_source_is_back() -> None:
    host = Host()
    below, root = f"{ROOT}/sub", host.files.root
    there, lost = ({below: DirectoryState("1:2", 1)}, {below: DirectoryState("", 0)})
    host.files.root = replace(root, subdirectories=there)
    host.files.write(network("other"))
    host.files.write(network("a"), network("b"), file=f"{below}/x.yaml")
    async with host.running() as it:
        await it.let(20)
        contents = host.files.contents.pop(f"{below}/x.yaml")
        host.files.root = replace(root, subdirectories=lost)
        host.files.touch()
    remedy = f"{below} is a link that leads to no directory: correct the link, or remove it"
    for _ in range(2):  # and after a restart
        async with host.running() as it:
            await it.let(60)
            for name in ("a", "b"):
                assert await host.ready(name) == ("False", "SourceUnavailable")
                condition = await host.condition(name, "Accepted")
                assert condition is not None
                assert condition.message == f"{remedy}; the resource is kept"
                found = [e for e in await host.events(name) if e.reason == "SourceUnavailable"]
                assert [(e.message, e.count) for e in found] == [(condition.message, 1)]
            assert await host.ready("other") == ("True", "ReconcileSucceeded")
            problem = f"{remedy}; kept: IPv6Network/a, IPv6Network/b"
            assert it.context.problems.check() == problem
            assert await host.store.record(PROBLEMS, "files") == {"messages": [problem]}
    host.files.contents[f"{below}/x.yaml"] = contents
    host.files.root = replace(root, subdirectories=there)
    async with host.running() as it:
        await it.let(60)
        assert await host.ready("a") == ("True", "ReconcileSucceeded")
        assert it.context.problems.check() == ""
