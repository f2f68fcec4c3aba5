import asyncio
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.lib.database import Database
from dockerv6.store.model import SUSPENDED, EventType, StoredObject
from dockerv6.store.port import EVENTS_KEPT, StoreConflict, StoreError
from dockerv6.store.sqlite import SqliteStore
from dockerv6.store.tables import SCHEMA

JUNK = b"junk" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def damaged(path: Path) -> Path:
    path.write_bytes(JUNK)
    return path


def content(path: Path) -> bytes:
    return path.read_bytes()


def resource(name: str) -> StoredObject:
    return StoredObject("IPv6Network", name, {"spec": {}}, "abc", 1, "blog.yaml", 1, 100.0)


async def statements(database: Database) -> list[str]:
    seen: list[str] = []
    await database.read(lambda connection: connection.set_trace_callback(seen.append))
    return seen


async def limit_pages(database: Database, pages: int) -> None:
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def test_reads_back_everything_after_a_restart(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.put(resource("blog"), replace(resource("shop"), deleting_since=5.0, status={"a": [1, None, "ü"]}))
    await store.put_status("IPv6Network", "blog", {"ready": True})
    await store.record_event("IPv6Network", "blog", EventType.WARNING, "Drifted", "rules", 7.0)
    await store.put_record("sysctl", "forwarding", {"prior": "0"})
    objects, events = await store.objects(), await store.events()
    await store.close()

    again = await SqliteStore.open(path)

    assert await again.objects() == objects
    assert await again.events() == events
    assert await again.records("sysctl") == {"forwarding": {"prior": "0"}}
    await again.close()


async def test_revisions_are_unique_across_restarts(path: Path) -> None:
    store = await SqliteStore.open(path)
    (blog,) = await store.put(resource("blog"))
    await store.remove("IPv6Network", "blog")
    await store.close()

    store = await SqliteStore.open(path)
    (again,) = await store.put(resource("blog"))

    assert again.revision > blog.revision
    await store.close()


async def test_writes_a_thousand_objects_in_one_transaction(path: Path) -> None:
    database = await Database.open(path, SCHEMA, StoreError)
    store = SqliteStore(database, events_kept=EVENTS_KEPT)
    seen = await statements(database)

    await store.put(*(resource(f"network-{number}") for number in range(1000)))

    assert seen.count("COMMIT") == 1
    await store.close()


async def test_concurrent_statuses_share_transactions(path: Path) -> None:
    database = await Database.open(path, SCHEMA, StoreError)
    store = SqliteStore(database, events_kept=EVENTS_KEPT)
    await store.put(*(resource(f"network-{number}") for number in range(200)))
    seen = await statements(database)

    await asyncio.gather(*(store.put_status("IPv6Network", f"network-{n}", {"n": n}) for n in range(200)))

    assert seen.count("COMMIT") < 100
    assert [each.status["n"] for each in await store.objects()] == sorted(range(200), key=str)
    await store.close()


async def test_equal_statuses_and_records_write_nothing(path: Path) -> None:
    database = await Database.open(path, SCHEMA, StoreError)
    store = SqliteStore(database, events_kept=EVENTS_KEPT)
    await store.put(resource("blog"))
    await store.put_status("IPv6Network", "blog", {"a": 1, "b": 2})
    await store.put_record("sysctl", "forwarding", {"prior": "0"})
    seen = await statements(database)

    await store.put_status("IPv6Network", "blog", {"b": 2, "a": 1})
    await store.put_status("IPv6Network", "absent", {"a": 1})
    await store.put_record("sysctl", "forwarding", {"prior": "0"})
    await store.drop_record("sysctl", "absent")
    await store.object("IPv6Network", "blog")
    await store.objects()
    await store.record("sysctl", "forwarding")

    assert seen == []
    await store.close()


async def test_cache_and_file_agree_after_a_cancelled_write(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.put(resource("blog"))

    write = asyncio.ensure_future(store.put_status("IPv6Network", "blog", {"n": 1}))
    await asyncio.sleep(0)
    write.cancel()
    await store.events()  # comes after it
    in_memory = await store.objects()
    await store.close()

    again = await SqliteStore.open(path)
    assert await again.objects() == in_memory
    await again.close()


async def test_a_write_of_another_process_is_a_conflict_and_refreshes_the_cache(path: Path) -> None:
    ours, theirs = await SqliteStore.open(path), await SqliteStore.open(path)
    (blog,) = await theirs.put(resource("blog"))

    with pytest.raises(StoreConflict):
        await ours.put(resource("blog"))

    assert await ours.objects() == (blog,)
    await ours.close()
    await theirs.close()


async def test_a_full_disk_has_a_remedy_and_loses_nothing(path: Path) -> None:
    database = await Database.open(path, SCHEMA, StoreError)
    store = SqliteStore(database, events_kept=EVENTS_KEPT)
    (blog,) = await store.put(resource("blog"))
    await limit_pages(database, 1)

    with pytest.raises(StoreError, match="free some space"):
        await store.put_status("IPv6Network", "blog", {"text": "x" * 100_000})
    with pytest.raises(StoreError, match="free some space"):
        await store.put(*(resource(f"network-{number}") for number in range(1000)))

    assert await store.objects() == (blog,)
    await limit_pages(database, 100000)
    await store.put_status("IPv6Network", "blog", {"text": "x" * 100_000})
    await store.close()


async def test_a_damaged_file_has_a_remedy_and_is_not_modified(damaged: Path) -> None:
    with pytest.raises(StoreError, match="restore a backup"):
        await SqliteStore.open(damaged)

    assert content(damaged) == JUNK


async def test_a_newer_file_has_a_remedy(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE state_schema SET version = 99 WHERE component = 'store'")
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="newer dockerv6"):
        await SqliteStore.open(path)


async def test_a_file_with_unreadable_rows_is_closed(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE store_records")
    connection.close()

    with pytest.raises(StoreError, match="store_records"):
        await SqliteStore.open(path)

    assert [each.name for each in path.parent.iterdir()] == ["state.db"]


WRITER = """
import asyncio, sys
from pathlib import Path
from dockerv6.lib.database import Database
from dockerv6.store.model import StoredObject
from dockerv6.store.sqlite import SqliteStore
from dockerv6.store.tables import SCHEMA

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    group = 0
    while True:
        group += 1
        await store.put(*(
            StoredObject("IPv6Network", f"{group}-{each}", {"spec": {}}, "abc", 1, "f", 1, 0.0) for each in range(50)
        ))
        print(group, flush=True)

asyncio.run(main())
"""


def write_and_be_killed(path: Path) -> int:
    """Return the number of writes acknowledged before the kill."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 20 + len(writer.stdout.read().split())
    assert writer.returncode == -signal.SIGKILL
    return acknowledged


async def test_a_kill_loses_no_acknowledged_write_and_leaves_no_partial_group(path: Path) -> None:
    acknowledged = write_and_be_killed(path)

    store = await SqliteStore.open(path)
    names = [each.name for each in await store.objects()]
    await store.close()

    groups = {int(name.split("-")[0]) for name in names}
    assert groups >= set(range(1, acknowledged + 1))
    assert len(names) == 50 * len(groups)


async def test_a_suspension_that_another_process_recorded_goes_with_its_object(tmp_path: Path) -> None:
    daemon = await SqliteStore.open(tmp_path / "state.db")
    await daemon.put(resource("blog"))
    command = await SqliteStore.open(tmp_path / "state.db")
    await command.put_record(SUSPENDED, "IPv6Network/blog", {"since": 1.0})
    await command.close()
    assert await daemon.record(SUSPENDED, "IPv6Network/blog") is None  # not in its cache
    await daemon.remove("IPv6Network", "blog")
    await daemon.refresh()
    assert await daemon.records(SUSPENDED) == {}
    await daemon.close()
