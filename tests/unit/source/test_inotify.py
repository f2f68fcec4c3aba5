import asyncio
import errno
import os
from pathlib import Path

import pytest

from dockerv6.source.inotify import Inotify


async def notified(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 30)
    event.clear()


async def test_tells_of_every_kind_of_change(tmp_path: Path) -> None:
    event = asyncio.Event()
    watch = Inotify([str(tmp_path)], event.set)
    file = tmp_path / "x"
    for change in (
        lambda: file.write_text("a"),
        lambda: file.chmod(0o600),
        lambda: file.rename(tmp_path / "y"),
        (tmp_path / "y").unlink,
    ):
        change()
        await notified(event)
    assert not watch.stale
    watch.close()
    watch.close()


async def test_knows_when_a_directory_is_no_longer_what_is_at_its_path(tmp_path: Path) -> None:
    event = asyncio.Event()
    directory = tmp_path / "d"
    directory.mkdir()
    watch = Inotify([str(directory)], event.set)
    directory.rename(tmp_path / "elsewhere")
    await notified(event)
    assert watch.stale
    watch.close()


async def test_a_directory_that_is_not_there_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(FileNotFoundError):
        Inotify([str(tmp_path), str(tmp_path / "missing")], lambda: None)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory") as raised:
        Inotify([str(tmp_path / "file")], lambda: None)
    assert raised.value.errno == errno.ENOTDIR
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
