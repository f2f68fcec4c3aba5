"""Git repositories that never answer, with the real git."""

# ruff: noqa: F811 - fixtures of another module

import asyncio
import gc
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from dockerv6.controller import git as controller_git
from dockerv6.controller.git import GitSources
from dockerv6.daemon import preview, process
from dockerv6.daemon.preview import fetch_missing, plan_now, read_sources, write_plan
from dockerv6.daemon.process import SourcesTooSlow
from dockerv6.daemon.settings import Settings
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.git.checkout import CheckoutState, GitCheckout
from dockerv6.source.git.location import CredentialFile, parse_git_location
from tests.unit.daemon.test_plan_files import _simulated  # noqa: F401 - fixture
from tests.unit.daemon.test_process import host, settings  # noqa: F401 - fixtures
from tests.unit.source.git.repositories import Remote, resources
from tests.world import Host


class HangingServer:
    """Accepts connections, and never answers. `ended` is set when the first client has gone."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.connected, self.ended = threading.Event(), threading.Event()
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}/networks.git"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        self.connected.set()
        try:
            while client.recv(4096):
                pass
        except ConnectionError:
            pass
        self.ended.set()
        client.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[HangingServer]:
    made = HangingServer()
    yield made
    made.close()


@pytest.fixture
def hanging(settings: Settings, server: HangingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a remote that hangs, a token for it, and a directory of its own for temporary files."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    files = (CredentialFile(str(token)),)
    return replace(settings, git=(parse_git_location(server.url),), git_token_files=files)


def secrets(directory: Path) -> list[Path]:
    found = [path for path in directory.rglob("*") if path.is_file() and "s3cret" in path.read_text(errors="replace")]
    return [path for path in found if path.name != "token"]


def plan(settings: Settings) -> object:
    return plan_now(settings)


def apply(settings: Settings) -> object:
    return process.apply(settings, 600)


def apply_plan(settings: Settings) -> object:
    file = Path(settings.state_dir).parent / "x.plan"
    write_plan(plan_now(replace(settings, git=())).saved, file)
    return process.apply(settings, 600, preview.read_plan(file))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [plan, apply, apply_plan])
def test_a_signal_ends_the_command_its_git_and_its_token(
    hanging: Settings,
    server: HangingServer,
    tmp_path: Path,
    command: Callable[[Settings], object],
    number: signal.Signals,
) -> None:
    seen: list[list[Path]] = []

    def interrupt() -> None:
        server.connected.wait()
        seen.append(secrets(tmp_path))
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    with pytest.raises(SystemExit if number == signal.SIGTERM else KeyboardInterrupt) as raised:
        command(hanging)
    assert getattr(raised.value, "code", 143) == 143
    assert server.ended.wait(60)
    assert len(seen[0]) == 1
    assert secrets(tmp_path) == []
    assert not list((tmp_path / "tmp").iterdir())


def fetched(settings: Settings, token: CancellationToken) -> None:
    fetch_missing(settings.git_sources, token)


@pytest.mark.parametrize("command", [lambda s: process.apply(s, 1), lambda s: process.apply(s, 0.1)])
def test_the_timeout_of_apply_includes_git(
    hanging: Settings, tmp_path: Path, command: Callable[[Settings], object]
) -> None:
    with pytest.raises(SourcesTooSlow, match="allow more time with --timeout"):
        command(hanging)
    assert secrets(tmp_path) == []


@pytest.mark.parametrize("read", [lambda s, token: read_sources(s, SystemClock(), token), fetched])
def test_remotes_that_were_never_asked_are_asked_at_the_same_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, read: Callable[[Settings, CancellationToken], object]
) -> None:
    all_asked = threading.Barrier(3, timeout=60)

    def sync(self: GitCheckout, token: CancellationToken) -> CheckoutState:
        token.check()
        all_asked.wait()
        return self.state

    monkeypatch.setattr(GitCheckout, "sync", sync)
    git = tuple(parse_git_location(f"/none/{number}.git") for number in range(3))
    read(replace(settings, git=git), CancellationToken())
    assert not all_asked.broken


def test_what_a_killed_plan_left_is_removed_by_the_next_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, others = tmp_path / "dockerv6-git-killed", tmp_path / "dockerv6-other"
    for directory in (left, others):
        (directory / "networks").mkdir(parents=True)
        (directory / "networks" / ".credentials-x").write_text("s3cret")
    with preview._temporary_directory() as used:
        (used / "file").touch()
        read_sources(settings, SystemClock(), CancellationToken())
        assert (used / "file").exists()
    assert not left.exists()
    assert others.exists()


async def test_remotes_that_hang_hold_up_no_other_one(
    host: Host,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As many hang as there are threads, after they failed once."""
    remote = Remote(tmp_path / "remote")
    commit = remote.commit(resources("blog"))
    names = [f"/none/{number}.git" for number in range(controller_git.AT_ONCE + 1)]
    sources = replace(settings, git=tuple(map(parse_git_location, (*names, str(remote.bare))))).git_sources
    git = GitSources(sources, 60, SystemClock(), Random(0))
    bench = await host.bench()
    real, hung, pause = GitCheckout.sync, 0, threading.Event()

    def sync(self: GitCheckout, token: CancellationToken) -> CheckoutState:
        nonlocal hung
        if "/none/" not in self.source.location.url:
            return real(self, token)
        if not failed:
            self.state = replace(self.state, problem="it hangs")
            return self.state
        hung += 1
        while True:
            token.check()
            pause.wait(0.01)

    failed = False
    monkeypatch.setattr(GitCheckout, "sync", sync)
    await git.ask_all(bench.context)
    failed = True
    asking = asyncio.create_task(git.ask_all(bench.context))
    async with asyncio.timeout(100):
        while hung < controller_git.SLOW_AT_ONCE:  # noqa: ASYNC110 - threads set no event of the loop
            await asyncio.sleep(0.01)
        newer = remote.commit(resources("shop"))
        tasks = git.tasks(bench.context)
        followed = [asyncio.create_task(task()) for task in tasks.values()]
        while {c.state.commit for c in git._checkouts.values()} != {"", newer}:  # noqa: ASYNC110 - same
            await asyncio.sleep(0.01)
    assert newer != commit
    for task in (asking, *followed):
        task.cancel()
    await asyncio.gather(asking, *followed, return_exceptions=True)
    await git.close()
    assert not [t for t in threading.enumerate() if "git_" in t.name]
    await asyncio.sleep(0)  # the loop hears of the threads' ends
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_remotes_that_hang_at_the_first_start_hold_up_no_other_one(
    host: Host, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hang than there are threads, until their limit of time. A slow one is asked until it answers."""
    good, slow = Remote(tmp_path / "good"), Remote(tmp_path / "slow")
    commits = good.commit(resources("blog")), slow.commit(resources("shop"))
    names = [f"/none/{number}.git" for number in range(2 * (controller_git.AT_ONCE + controller_git.SLOW_AT_ONCE))]
    locations = tuple(map(parse_git_location, (str(slow.bare), *names, str(good.bare))))
    asked, limit, pause = threading.Event(), threading.Event(), threading.Event()

    class Patience(SystemClock):
        """It ends soon, but not while the good one is asked, however busy the machine is."""

        async def sleep(self, seconds: float) -> None:
            del seconds
            await asyncio.sleep(0.05)
            while asked.is_set():  # noqa: ASYNC110 - threads set no event of the loop
                await asyncio.sleep(0.01)

    sources = replace(settings, git=locations).git_sources
    git = GitSources(sources, 60, Patience(), Random(0))
    bench = await host.bench()
    start, real = GitSources._start, GitCheckout.sync

    def starts(self: GitSources, checkout: GitCheckout, token: CancellationToken) -> asyncio.Future[CheckoutState]:
        if checkout.source.location == sources[-1].location:
            asked.set()
        return start(self, checkout, token)

    def sync(self: GitCheckout, token: CancellationToken) -> CheckoutState:
        if self.source.location == sources[-1].location:
            state = real(self, token)
            asked.clear()
            return state
        while not limit.is_set():
            token.check()
            pause.wait(0.01)
        return real(self, token)

    monkeypatch.setattr(GitSources, "_start", starts)
    monkeypatch.setattr(GitCheckout, "sync", sync)
    following = asyncio.create_task(git.ask_all(bench.context))
    async with asyncio.timeout(100):
        while not git._checkouts[sources[-1].root].state.commit:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        assert git._checkouts[sources[0].root].state.commit == ""
        limit.set()
        await following
    states = [git._checkouts[source.root].state for source in sources]
    assert (states[-1].commit, states[0].commit) == commits
    assert all(state.problem for state in states[1:-1])
    await git.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("git")]


async def test_closing_waits_for_the_thread_that_still_uses_the_directory(
    host: Host, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload starts the next operator afterwards, in the same directory."""
    (source,) = replace(settings, git=(parse_git_location(str(tmp_path / "none.git")),)).git_sources
    git = GitSources([source], 60, SystemClock(), Random(0))
    bench = await host.bench()
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def sync(self: GitCheckout, token: CancellationToken) -> CheckoutState:
        del token  # a slow disk: it is not checked now
        started.set()
        may_end.wait()
        ended.set()
        return self.state

    monkeypatch.setattr(GitCheckout, "sync", sync)
    asking = asyncio.create_task(git.ask_all(bench.context))
    await asyncio.to_thread(started.wait)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    closing = asyncio.create_task(git.close())
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    await closing
    assert ended.is_set()
