import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from dockerv6.lib.clock import SystemClock
from dockerv6.source import follow as follow_module
from dockerv6.source.follow import follow
from dockerv6.source.model import Snapshot
from dockerv6.source.watch import Trigger


def network(name: str) -> str:
    return f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\n"


def names(snapshot: Snapshot) -> list[str]:
    return [item.resource.metadata.name for item in snapshot.resources]


async def test_snapshots_come_until_the_files_are_at_rest(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(network("x"))
    async with aclosing(follow([str(tmp_path)], clock=SystemClock(), trust=None, settle=0.05)) as snapshots:
        async with asyncio.timeout(30):
            async for snapshot in snapshots:
                if snapshot.complete and names(snapshot) == ["x"]:
                    break
            (tmp_path / "y.yaml").write_text(network("y"))
            async for snapshot in snapshots:
                assert "x" in names(snapshot)
                if snapshot.complete:
                    break
    assert names(snapshot) == ["x", "y"]


async def test_cancelling_ends_the_watch(tmp_path: Path) -> None:
    async def consume() -> None:
        async with aclosing(follow([str(tmp_path)], clock=SystemClock(), trust=None)) as snapshots:
            async for _ in snapshots:
                first.set()

    first = asyncio.Event()
    task = asyncio.create_task(consume())
    await first.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_watch_that_fails_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> AsyncIterator[Trigger]:
        yield Trigger.STARTED
        raise RuntimeError("no watch")

    monkeypatch.setattr(follow_module, "watch", broken)
    with pytest.raises(RuntimeError, match="no watch"):
        async for _ in follow([str(tmp_path)], clock=SystemClock(), trust=None):
            pass
