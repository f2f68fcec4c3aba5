import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.lib.statefile import Schema, StateFileMissingError, open_state
from dockerv6.store.model import Event, EventType, StoredObject
from dockerv6.store.sqlite import SqliteStore
from dockerv6.store.tables import SCHEMA, read_events, read_objects


def resource(kind: str, name: str) -> StoredObject:
    return StoredObject(kind, name, {"spec": {}}, "abc", 1, "blog.yaml", 1, 100.0, status={"phase": "ready"})


async def test_objects_and_events_are_read_from_the_file(tmp_path: Path) -> None:
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


def test_a_file_without_a_store_has_no_objects(tmp_path: Path) -> None:
    open_state(tmp_path / "state.db", Schema("other", ())).close()

    assert read_objects(tmp_path / "state.db") == ()
    assert read_events(tmp_path / "state.db") == ()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateFileMissingError):
        read_objects(tmp_path / "state.db")


def test_rows_of_version_0_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_state(path, replace(SCHEMA, migrations=SCHEMA.migrations[:1]))) as connection:
        connection.execute(
            "INSERT INTO store_objects VALUES ('IPv6Network', 'blog', "
            """'{"kind":"IPv6Network","metadata":{"name":"blog"},"spec":{}}', 'abc', 2, '/etc/blog.yaml', 1, """
            """100.0, NULL, 200.5, 'spec.driver: unknown', '{"phase":"ready"}', 7)"""
        )
        connection.execute(
            "INSERT INTO store_events VALUES "
            "(1, 'IPv6Network', 'blog', 'Warning', 'PruneHeld', 'confirm it', 3, 100.0, 200.0)"
        )
    open_state(path, SCHEMA).close()

    assert read_objects(path) == (
        StoredObject(
            kind="IPv6Network",
            name="blog",
            document={"kind": "IPv6Network", "metadata": {"name": "blog"}, "spec": {}},
            digest="abc",
            generation=2,
            file="/etc/blog.yaml",
            line=1,
            created=100.0,
            missing_since=None,
            deleting_since=200.5,
            problem="spec.driver: unknown",
            problem_reason="InvalidSpec",
            status={"phase": "ready"},
            revision=7,
        ),
    )
    event = Event("IPv6Network", "blog", EventType.WARNING, "PruneHeld", "confirm it", 3, 100.0, 200.0)
    assert read_events(path) == (event,)


def test_reading_imports_no_heavy_modules() -> None:
    program = "import sys, dockerv6.store.tables, dockerv6.ipam.tables; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"asyncio", "pydantic", "concurrent.futures", "shutil", "tempfile", "docker"} & set(loaded)
