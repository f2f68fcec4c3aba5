"""The state file is removed, replaced or damaged while a daemon has it open."""

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.daemon.stateguard import SET_ASIDE, StateGuard
from dockerv6.ipam.ledger import LedgerError
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.ipam.tables import read_allocations
from dockerv6.lib.statefile import StateFileError
from dockerv6.store.model import EventType, StoredObject
from dockerv6.store.port import StoreError
from dockerv6.store.sqlite import SqliteStore
from dockerv6.store.tables import read_events, read_objects, read_records

PREFIX = IPv6Network("fd00:a::/64")


def resource(name: str) -> StoredObject:
    return StoredObject("IPv6Network", name, {"spec": {}}, "abc", 1, "blog.yaml", 1, 100.0)


@dataclass
class Opened:
    """A state file, open as in a daemon."""

    path: Path
    store: SqliteStore
    ledger: SqliteLedger
    guard: StateGuard

    def side(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[Opened]:
    path = tmp_path / "state" / "state.db"
    store, ledger = await SqliteStore.open(path), await SqliteLedger.open(path)
    guard = StateGuard(path, store, ledger)
    await store.put(resource("blog"), resource("shop"))
    await store.put_status("IPv6Network", "blog", {"ready": True})
    await store.put_record("sysctl", "forwarding", {"prior": "0"})
    await ledger.bind("blog", "default", PREFIX, 5.0, revision=None)
    await ledger.keep_pool_prefix("default", IPv6Network("fd00::/48"))
    yield Opened(path, store, ledger, guard)
    await store.close()
    await ledger.close()


def remove(state: Opened) -> None:
    state.path.unlink()


def remove_all(state: Opened) -> None:
    for side in ("", "-wal", "-shm"):
        state.side(side).unlink()


def remove_directory(state: Opened) -> None:
    shutil.rmtree(state.path.parent)


def remove_log(state: Opened) -> None:
    state.side("-wal").unlink()


def replace(state: Opened) -> None:
    state.side(".new").write_bytes(b"something else")
    state.side(".new").rename(state.path)


def replace_by_a_state(state: Opened) -> None:
    with closing(sqlite3.connect(state.side(".new"))) as connection:
        connection.execute("CREATE TABLE other (x)")
    state.side(".new").rename(state.path)


def truncate(state: Opened) -> None:
    with state.path.open("r+b") as file:
        file.truncate(0)


ACCIDENTS: list[Callable[[Opened], None]] = [
    remove,
    remove_all,
    remove_directory,
    remove_log,
    replace,
    replace_by_a_state,
    truncate,
]


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda each: each.__name__)
async def test_it_is_written_again_with_everything_but_its_events(
    state: Opened, accident: Callable[[Opened], None]
) -> None:
    objects, allocations = await state.store.objects(), await state.ledger.allocations()
    assert await state.guard.check() == ""
    accident(state)

    message = await state.guard.check()

    assert str(state.path) in message
    assert (read_objects(state.path), read_allocations(state.path)) == (objects, allocations)
    assert read_records(state.path, "sysctl") == {"forwarding": {"prior": "0"}}
    assert state.path.stat().st_mode & 0o777 == 0o600
    assert await state.guard.check() == ""
    await state.store.record_event("IPv6Network", "blog", EventType.NORMAL, "Created", "made", 7.0)
    (blog,) = [o for o in await state.store.objects() if o.name == "blog"]
    (again,) = await state.store.put(blog)
    other = await state.ledger.bind("shop", "default", IPv6Network("fd00:b::/64"), 6.0, revision=None)
    assert again.revision > max(o.revision for o in objects)
    assert other.revision > max(a.revision for a in allocations)
    assert [e.reason for e in read_events(state.path)] == ["Created"]
    assert len(read_allocations(state.path)) == 2


async def test_damaged_rows_are_dropped_when_it_is_written_again(state: Opened) -> None:
    with closing(sqlite3.connect(state.path)) as connection, connection:
        connection.execute("UPDATE store_objects SET kind = CAST(x'ff' AS TEXT) WHERE name = 'shop'")
    await state.store.refresh()
    (problem,) = state.store.problems
    assert "remove the state file while dockerv6 runs" in problem
    remove(state)
    await state.guard.check()
    assert state.store.problems == ()
    await state.store.refresh()
    assert [o.name for o in await state.store.objects()] == ["blog"]


async def test_what_is_in_its_place_is_set_aside(state: Opened) -> None:
    replace(state)
    assert SET_ASIDE in await state.guard.check()
    assert state.side(SET_ASIDE).read_bytes() == b"something else"


async def test_a_restart_finds_what_was_written_again(state: Opened) -> None:
    objects = await state.store.objects()
    remove_all(state)
    await state.store.put_status("IPv6Network", "shop", {"written": "before it was noticed"})
    await state.guard.check()
    await state.store.close()
    await state.ledger.close()

    store = await SqliteStore.open(state.path)
    found = await store.objects()
    await store.close()
    assert [o.name for o in found] == [o.name for o in objects]
    assert found[1].status == {"written": "before it was noticed"}


async def test_writes_wait_while_it_is_written_again(state: Opened) -> None:
    remove(state)
    results = await asyncio.gather(
        state.guard.check(), *(state.store.put_status("IPv6Network", "blog", {"n": n}) for n in range(50))
    )
    assert results[0]
    assert read_objects(state.path, "IPv6Network", "blog")[0].status == {"n": 49}


async def test_damage_that_sqlite_reports_is_noticed(state: Opened) -> None:
    objects = await state.store.objects()
    await state.store.close()
    await state.ledger.close()  # everything is in the file itself now
    store, ledger = await SqliteStore.open(state.path), await SqliteLedger.open(state.path)
    guard = StateGuard(state.path, store, ledger)
    size = state.path.stat().st_size
    with state.path.open("r+b") as file:
        file.write(b"\xff" * size)
    await store._database.read(lambda connection: connection.execute("PRAGMA shrink_memory").fetchall())
    with pytest.raises(StoreError, match="damaged"):
        await store.events()

    assert "damaged" in await guard.check()
    assert read_objects(state.path) == objects
    await store.close()
    await ledger.close()


async def test_a_file_that_can_not_be_written_is_tried_again(state: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = await state.store.objects()
    remove(state)
    with monkeypatch.context() as patch:
        patch.setattr("dockerv6.lib.statefile._create", _refuse)
        for _ in range(2):
            with pytest.raises(StoreError, match="No space"):
                await state.guard.check()
            with pytest.raises(StoreError, match="No space"):
                await state.store.put_status("IPv6Network", "blog", {"n": 1})
    assert await state.guard.check()
    assert read_objects(state.path) == objects


def _refuse(path: Path) -> None:
    raise OSError(28, "No space left on device", str(path))


def occupy(state: Opened, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """All names under which a file can be set aside are directories that are not empty."""
    del monkeypatch
    directories = [state.side(f"{SET_ASIDE}{f'-{n}' if n > 1 else ''}") for n in range(1, 10)]
    for each in directories:
        (each / "x").mkdir(parents=True)

    def end() -> None:
        for each in directories:
            shutil.rmtree(each)

    return end


def refuse_renames(code: int) -> Callable[[Opened, pytest.MonkeyPatch], Callable[[], None]]:
    def fault(state: Opened, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        del state

        def rename(path: Path, target: object) -> None:
            raise OSError(code, os.strerror(code), str(path), None, str(target))

        monkeypatch.setattr(Path, "rename", rename)
        return monkeypatch.undo

    return fault


def refuse_opening(error: Exception) -> Callable[[Opened, pytest.MonkeyPatch], Callable[[], None]]:
    def fault(state: Opened, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        del state

        def opening(*_: object) -> None:
            raise error

        monkeypatch.setattr("dockerv6.lib.database.open_state", opening)
        return monkeypatch.undo

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        occupy,
        *(refuse_renames(code) for code in (errno.EROFS, errno.EACCES, errno.EIO)),
        *(refuse_opening(error) for error in (ValueError(), RuntimeError("odd"), OSError(errno.EIO, "I/O error"))),
    ],
    ids=["directories", "EROFS", "EACCES", "EIO", "ValueError", "RuntimeError", "OSError"],
)
async def test_whatever_fails_no_caller_waits_and_the_next_check_repairs(
    state: Opened,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Opened, pytest.MonkeyPatch], Callable[[], None]],
) -> None:
    objects, allocations = await state.store.objects(), await state.ledger.allocations()
    truncate(state)
    end = fault(state, monkeypatch)
    for _ in range(2):
        outcomes = await asyncio.gather(
            state.guard.check(),
            state.store.put_status("IPv6Network", "blog", {"n": 1}),
            state.ledger.bind("shop", "default", IPv6Network("fd00:b::/64"), 6.0, revision=None),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], StoreError | OSError)
        with pytest.raises(StoreError):
            await state.store.record_event("IPv6Network", "blog", EventType.NORMAL, "Created", "made", 7.0)
        with pytest.raises(LedgerError):
            await state.ledger.bind("c", "default", IPv6Network("fd00:c::/64"), 6.0, revision=None)
    end()

    assert "was truncated" in await state.guard.check()
    await state.store.put_status("IPv6Network", "shop", {"n": 2})
    assert [o.name for o in read_objects(state.path)] == [o.name for o in objects]
    assert set(read_allocations(state.path)) >= set(allocations)


@pytest.mark.parametrize("turns", range(1, 12))
async def test_a_cancelled_check_lets_no_caller_wait(state: Opened, turns: int) -> None:
    remove(state)
    check = asyncio.ensure_future(state.guard.check())
    for _ in range(turns):
        await asyncio.sleep(0.001)
    check.cancel()
    await asyncio.gather(check, return_exceptions=True)
    with suppress(StoreError):
        await state.store.put_status("IPv6Network", "blog", {"n": 1})
    await state.guard.check()
    assert len(read_objects(state.path)) == 2


async def test_a_caller_that_waits_gets_an_error_when_the_state_is_closed(state: Opened) -> None:
    await state.store.detach()
    write = asyncio.ensure_future(state.store.put_status("IPv6Network", "blog", {"n": 1}))
    await asyncio.sleep(0)
    await state.store.close()
    with pytest.raises(StoreError, match="closed"):
        await write


async def test_a_directory_with_the_name_of_a_file_that_is_set_aside_stays(state: Opened) -> None:
    directory = state.side(SET_ASIDE)
    directory.mkdir()
    (directory / "x").touch()
    replace(state)
    message = await state.guard.check()
    assert (directory / "x").exists()
    assert state.side(f"{SET_ASIDE}-2").read_bytes() == b"something else"
    assert f"{directory}-2" in message


async def test_a_directory_in_place_of_the_file_is_set_aside(state: Opened) -> None:
    state.side(SET_ASIDE).write_bytes(b"of an earlier accident")
    remove(state)
    (state.path / "x").mkdir(parents=True)
    assert f"{SET_ASIDE}-2" in await state.guard.check()
    assert state.side(SET_ASIDE).read_bytes() == b"of an earlier accident"
    assert len(read_objects(state.path)) == 2


async def test_a_file_that_was_written_in_part_does_not_replace_what_was_set_aside(
    state: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(state)

    def full(*_: object) -> None:
        raise StateFileError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("dockerv6.lib.statefile._migrate", full)
        for _ in range(3):
            with pytest.raises(StoreError, match="full"):
                await state.guard.check()
    assert SET_ASIDE in await state.guard.check()
    assert state.side(SET_ASIDE).read_bytes() == b"something else"
