import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
import watchfiles

from dockerv6.lib.clock import SystemClock
from dockerv6.source.directory import DirectoryListing
from dockerv6.source.files import Signature
from dockerv6.source.watch import Trigger, _interval, watch

HOUR = 3600.0
"""A poll interval that never elapses: every trigger is a notification."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "etc"
    path.mkdir()
    return path


@asynccontextmanager
async def watching(*roots: Path, poll: float = HOUR) -> AsyncIterator[Callable[[], "asyncio.Future[Trigger]"]]:
    """A watch after its first trigger. Yields a function that waits for the next one."""
    async with aclosing(watch([str(root) for root in roots], clock=SystemClock(), poll=poll, step=0.01)) as triggers:
        assert await asyncio.wait_for(anext(triggers), 30) is Trigger.STARTED
        yield lambda: asyncio.ensure_future(asyncio.wait_for(anext(triggers), 30))


async def test_new_changed_and_deleted_files(root: Path) -> None:
    async with watching(root) as following:
        (root / "x.yaml").write_text("a")
        assert await following() is Trigger.NOTIFIED
        (root / "x.yaml").write_text("longer")
        await following()
        (root / "new").write_text("renamed")
        (root / "new").rename(root / "x.yaml")
        await following()
        (root / "x.yaml").unlink()
        await following()


async def test_change_of_mode(root: Path) -> None:
    (root / "x.yaml").touch()
    async with watching(root) as following:
        (root / "x.yaml").chmod(0o600)
        await following()


async def test_files_in_new_directories(root: Path) -> None:
    async with watching(root) as following:
        (root / "a" / "b").mkdir(parents=True)
        await following()
        pending = following()
        (root / "a" / "b" / "x.yaml").write_text("x")
        await pending


async def test_changes_while_the_receiver_is_busy_are_not_lost(root: Path) -> None:
    async with watching(root) as following:
        (root / "x.yaml").write_text("a")
        await following()
        (root / "x.yaml").write_text("while busy")
        await following()


async def test_temporary_files_do_not_trigger(root: Path) -> None:
    async with watching(root) as following:
        pending = following()
        (root / ".x.yaml.swp").write_text("swap")
        (root / "4913").touch()
        (root / "4913").unlink()
        (root / ".git").mkdir()
        done, _ = await asyncio.wait({pending}, timeout=0.3)
        assert not done
        (root / "x.yaml").write_text("x")
        assert await pending is Trigger.NOTIFIED


async def test_root_that_does_not_exist_yet(root: Path) -> None:
    late = root / "not" / "yet"
    async with watching(late) as following:
        late.mkdir(parents=True)
        await following()
        (late / "x.yaml").write_text("x")
        await following()


async def test_root_that_is_deleted_and_created_again(root: Path) -> None:
    (root / "x.yaml").write_text("x")
    async with watching(root) as following:
        shutil.rmtree(root)
        await following()
        os.mkdir(root)  # noqa: PTH102 - the other spelling is taken for a network's
        await following()
        (root / "y.yaml").write_text("y")
        await following()


async def test_root_that_is_a_file_replaced_by_rename(root: Path) -> None:
    file = root / "x.yaml"
    file.write_text("x")
    async with watching(file) as following:
        (root / "new").write_text("y")
        (root / "new").rename(file)
        await following()


async def test_git_sync_swap_and_changes_behind_the_new_link(root: Path) -> None:
    for version in ("1", "2"):
        (root / ".worktrees" / version).mkdir(parents=True)
        (root / ".worktrees" / version / "x.yaml").write_text(version)
    (root / "current").symlink_to(".worktrees/1")
    async with watching(root / "current") as following:
        (root / "tmp-link").symlink_to(".worktrees/2")
        (root / "tmp-link").rename(root / "current")
        await following()
        (root / ".worktrees" / "2" / "y.yaml").write_text("y")
        await following()


async def test_config_map_swap(root: Path) -> None:
    for version in ("1", "2"):
        (root / f"..{version}").mkdir()
        (root / f"..{version}" / "x.yaml").write_text(version)
    (root / "..data").symlink_to("..1")
    (root / "x.yaml").symlink_to("..data/x.yaml")
    async with watching(root) as following:
        (root / "..data_tmp").symlink_to("..2")
        (root / "..data_tmp").rename(root / "..data")
        await following()


async def change_once_it_waits(file: Path, pending: "asyncio.Future[Trigger]") -> None:
    done, _ = await asyncio.wait({pending}, timeout=0.3)
    assert not done
    await asyncio.to_thread(file.write_text, "x")
    assert await pending is Trigger.POLLED


async def test_polls_when_inotify_is_exhausted(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise OSError(28, "OS file watch limit reached.")

    monkeypatch.setattr(watchfiles._rust_notify, "RustNotify", exhausted)
    with caplog.at_level(logging.WARNING):
        async with watching(root, poll=0.05) as following:
            await change_once_it_waits(root / "x.yaml", following())
    [record] = caplog.records
    assert "max_user_watches" in record.getMessage()


async def test_poll_catches_lost_notifications(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def watch(self, _debounce: int, _step: int, _timeout: int, stop: threading.Event) -> str:
            stop.wait()
            return "stop"

    monkeypatch.setattr(watchfiles._rust_notify, "RustNotify", Deaf)
    async with watching(root, poll=0.05) as following:
        await change_once_it_waits(root / "x.yaml", following())


@pytest.mark.parametrize(
    ("files", "alone", "seconds"),
    [(0, False, 5), (2_000, False, 20), (10**5, False, 60), (0, True, 1), (10_000, True, 5)],
)
def test_polls_are_rarer_with_many_files(files: int, alone: bool, seconds: float) -> None:  # noqa: FBT001
    signature = Signature(1, 1, 1, 1, 1)
    look = {"/r": DirectoryListing(files={str(number): signature for number in range(files)})}
    assert _interval(look, 5, alone=alone) == pytest.approx(seconds)


async def test_cancelling_ends_it_and_its_thread(root: Path) -> None:
    async def consume() -> None:
        async with watching(root) as following:
            started.set()
            await following()

    started = asyncio.Event()
    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done
    assert task.cancelled()
    assert [other for other in asyncio.all_tasks() if other.get_name() == "source watch"] == []


async def test_no_descriptor_is_left_behind(root: Path) -> None:
    before = open_descriptors()
    for _ in range(5):
        async with watching(root) as following:
            (root / "x.yaml").write_text("x")
            await following()
            (root / "x.yaml").unlink()
            await following()
    await asyncio.to_thread(wait_for_descriptors, before)


def wait_for_descriptors(limit: int) -> None:
    """The watcher's threads close their descriptors when they end, which can't be awaited."""
    deadline = time.monotonic() + 30
    while open_descriptors() > limit:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.parametrize("name", [b"a\xff.yaml", b"\xff/a.yaml"])
async def test_names_that_are_not_utf8(root: Path, name: bytes) -> None:
    path = root / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    async with watching(root, poll=0.5) as following:
        path.write_text("a")
        await following()
        (root / "b.yaml").write_text("b")
        await following()


async def test_a_root_whose_name_is_not_utf8_is_polled(root: Path) -> None:
    odd = root / os.fsdecode(b"\xff")
    odd.mkdir()
    async with watching(odd, poll=0.1) as following:
        (odd / "a.yaml").write_text("a")
        await following()
