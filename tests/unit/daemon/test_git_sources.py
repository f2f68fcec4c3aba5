"""Git sources in the whole daemon, on a simulated host with a real state directory and the real git."""

# ruff: noqa: F811 - fixtures of another module

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.daemon import process
from dockerv6.daemon.preview import read_sources
from dockerv6.daemon.settings import Settings
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.git.location import parse_git_location
from dockerv6.store.model import PROBLEMS
from dockerv6.telemetry.health import Probe
from tests.unit.daemon.test_process import host, settings  # noqa: F401 - fixtures
from tests.unit.source.git.repositories import Remote, git, resource, resources
from tests.world import Host

INTERVAL = 0.05


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote")


@pytest.fixture
def followed(settings: Settings, remote: Remote) -> Settings:
    return replace(settings, git=(parse_git_location(str(remote.bare)),), git_ref="main", git_interval=INTERVAL)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what real threads and processes bring about."""
    async with asyncio.timeout(100):
        while not await condition():  # noqa: ASYNC110 - real processes set no event
            await asyncio.sleep(0.05)


async def until(it: process.RunningOperator, commit: str) -> None:
    """Wait until the resource blog was reconciled with a commit."""

    async def there() -> bool:
        stored = it.context.inventory.get("IPv6Network", "blog")
        return stored is not None and stored.status.get("commit") == commit

    await eventually(there)


def test_apply_fetches_first(host: Host, followed: Settings, remote: Remote) -> None:
    for names in (("blog",), ("blog", "shop")):
        remote.commit(resources(*names))
        results = process.apply(followed, timeout=120)
        assert {each.name for each in results if each.ready} == {*names, "default"}
    assert asyncio.run(host.docker("shop")) is not None


async def test_resources_carry_their_commit(host: Host, followed: Settings, remote: Remote) -> None:
    first = remote.commit(resources("blog", "shop"))
    async with process.running(followed) as it:
        await until(it, first)
        second = remote.commit({"shop.yaml": resource("shop").replace("metadata", "spec: {internal: true}\nmetadata")})
        await until(it, second)  # although its own file did not change
        await it.operator.settle()
        third = remote.commit({"shop.yaml": None})
        await until(it, third)

        async def gone() -> bool:
            host.clock.advance(10)  # the grace of a deletion
            return it.context.inventory.get("IPv6Network", "shop") is None

        await eventually(gone)
        events = [
            e.message for e in await it.context.store.events("IPv6Network", "shop") if e.reason == "SourceChanged"
        ]
        assert events == [
            f"generation 1 is from commit {first}",
            f"generation 2 is from commit {second}",
            f"the resource is no longer in commit {third}, and is deleted",
        ]
        (name,) = {event.name for event in await it.context.store.events() if event.reason == "CommitCheckedOut"}
        checked_out = [event.message for event in await it.context.store.events("Source", name)]
        assert [message.rpartition(" commit ")[2][:40] for message in checked_out] == [first, second, third]
        assert await host.docker("shop") is None


async def test_a_remote_that_is_lost_is_a_durable_problem_and_deletes_nothing(
    host: Host,
    followed: Settings,
    remote: Remote,
) -> None:
    first = remote.commit(resources("blog"))
    async with process.running(followed) as it:
        await until(it, first)
    remote.bare.rename(remote.bare.with_name("hidden"))
    async with process.running(followed) as it:

        async def reported() -> bool:
            return await it.context.store.record(PROBLEMS, "files") is not None

        await eventually(reported)
        await it.operator.settle()
        problems = it.health.report(Probe.READINESS).problems
        assert f"commit {first[:12]} stays in effect" in problems["problems"]
        assert "check that the repository exists" in problems["problems"]
        assert it.context.inventory.sources_listed
        remote.bare.with_name("hidden").rename(remote.bare)

        async def read_again() -> bool:
            return not it.health.report(Probe.READINESS).problems.get("problems")

        await eventually(read_again)
    assert await host.docker("blog") is not None


async def test_a_rewritten_branch_is_a_warning_and_the_prune_guard_holds(
    host: Host,
    followed: Settings,
    remote: Remote,
) -> None:
    first = remote.commit(resources("blog", *"abcde"))
    async with process.running(followed) as it:
        await until(it, first)
        await it.operator.settle()
        forced = Remote(remote.bare.parent / "other")
        git("remote", "set-url", "origin", str(remote.bare), cwd=forced.work)
        second = forced.commit(resources("blog"), force=True)
        await until(it, second)

        async def held() -> bool:
            host.clock.advance(10)
            return len(it.context.prune_held) == 5

        await eventually(held)
        reasons = {event.reason for event in await it.context.store.events()}
        assert {"HistoryRewritten", "PruneHeld"} <= reasons
    assert await host.docker("a") is not None


def test_a_plan_of_a_source_that_was_never_fetched_fetches_it_elsewhere(
    followed: Settings, remote: Remote, tmp_path: Path
) -> None:
    commit = remote.commit(resources("blog"))
    snapshot = read_sources(followed, SystemClock(), CancellationToken())
    assert [each.resource.metadata.name for each in snapshot.resources] == ["blog"]
    assert snapshot.roots[-1].commit == commit
    assert not (tmp_path / "state" / "git").exists()


def test_clones_of_sources_that_are_no_longer_configured_are_removed(
    host: Host,
    followed: Settings,
    remote: Remote,
) -> None:
    assert host
    remote.commit(resources("blog"))
    process.apply(followed, timeout=120)
    assert len(list(followed.git_directory.iterdir())) == 1
    process.apply(replace(followed, git=()), timeout=1)  # without any source, nothing converges
    assert not list(followed.git_directory.iterdir())
    process.apply(followed, timeout=120)
    process.uninstall(followed, keep_networks=False)
    assert not list(followed.git_directory.iterdir())
