import subprocess
import sys
from pathlib import Path

import pytest

from dockerv6.lib.statefile import NoState, Schema, open_state
from dockerv6.store.model import EventType, StoredObject
from dockerv6.store.reader import read_events, read_objects
from dockerv6.store.sqlite import SqliteStore


def resource(kind: str, name: str) -> StoredObject:
    return StoredObject(kind, name, {"spec": {}}, "abc", 1, "blog.yaml", 1, 100.0, status={"phase": "ready"})


async def test_what_the_store_holds_is_read_without_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    await store.put(resource("IPv6Pool", "default"), resource("IPv6Network", "blog"), resource("IPv6Network", "a"))
    await store.record_event("IPv6Network", "blog", EventType.NORMAL, "Created", "made", 1.0)
    await store.record_event("IPv6Pool", "default", EventType.NORMAL, "Created", "made", 2.0)
    objects, events = await store.objects(), await store.events()
    await store.close()

    assert read_objects(path) == objects
    assert [each.name for each in read_objects(path, "IPv6Network")] == ["a", "blog"]
    assert [each.name for each in read_objects(path, "IPv6Network", "blog")] == ["blog"]
    assert read_objects(path, "IPv6Policy") == ()
    assert read_events(path) == events
    assert [each.name for each in read_events(path, "IPv6Pool", "default")] == ["default"]


def test_a_file_without_a_store_holds_nothing(tmp_path: Path) -> None:
    open_state(tmp_path / "state.db", Schema("other", ())).close()

    assert read_objects(tmp_path / "state.db") == ()
    assert read_events(tmp_path / "state.db") == ()


def test_no_file_is_told_apart_from_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(NoState):
        read_objects(tmp_path / "state.db")


def test_the_reader_loads_nothing_heavy() -> None:
    program = "import sys, dockerv6.store.reader, dockerv6.ipam.reader; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"asyncio", "pydantic", "concurrent.futures", "shutil", "tempfile", "docker"} & set(loaded)
