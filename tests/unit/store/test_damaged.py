"""Rows that are damaged, or that another version of dockerv6 wrote, affect no other row."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dockerv6.lib.statefile import open_state
from dockerv6.store.memory import StoreCache
from dockerv6.store.model import PROBLEMS, WARNINGS, EventType, StoredObject
from dockerv6.store.sqlite import SqliteStore
from dockerv6.store.tables import SCHEMA, read_events, read_objects, read_problems, read_warnings
from tests.unit.lib.rows import update_any

KEY = ("kind", "name")
DAMAGED = ("CAST(x'ff' AS TEXT)", "x'00ff'", "'{'", "'[1]'", "'text'")
COLUMNS = [field.name for field in fields(StoredObject) if field.name not in KEY]


def resource(name: str) -> StoredObject:
    return StoredObject("IPv6Network", name, {"spec": {}}, "abc", 3, "/etc/blog.yaml", 1, 100.0, status={"a": 1})


def execute(path: Path, *statements: str) -> None:
    with closing(open_state(path, SCHEMA)) as connection:
        for statement in statements:
            connection.execute(statement)


async def stored(path: Path, *objects: StoredObject) -> None:
    store = await SqliteStore.open(path)
    await store.put(*objects)
    await store.close()


async def rewritten(store: SqliteStore, path: Path) -> None:
    """Have the file written again from memory."""
    await store.detach()
    path.unlink()  # noqa: ASYNC240 - a test
    await store.attach()


async def opened_with(
    path: Path, change: Callable[[Path, str], None], column: str, value: str
) -> tuple[SqliteStore, StoredObject, StoredObject]:
    """The store, and blog and shop, after the column of blog was changed. Shop is as it was."""
    await stored(path, resource("blog"), resource("shop"))
    change(path, f"UPDATE store_objects SET {column} = {value} WHERE name = 'blog'")  # noqa: S608 - constants
    store = await SqliteStore.open(path)
    blog, shop = await store.objects()
    assert (shop.name, shop.digest, shop.problem) == ("shop", "abc", "")
    assert blog.unreadable == bool(store.problems)
    return store, blog, shop


@pytest.mark.parametrize("value", DAMAGED)
@pytest.mark.parametrize("column", COLUMNS)
async def test_a_damaged_column_harms_only_its_object_which_can_be_written_again(
    tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "state.db"
    store, blog, _ = await opened_with(path, execute, column, value)
    assert blog.unreadable or isinstance(getattr(blog, column), str)  # any text may be a digest, a file or a problem
    (repaired,) = await store.put(replace(resource("blog"), revision=blog.revision))
    await store.put_status("IPv6Network", "blog", {"b": 2})
    await store.close()

    assert read_objects(path, "IPv6Network", "blog") == (replace(repaired, status={"b": 2}),)


@pytest.mark.parametrize("value", ["5", "'7'", "7.5", "x'37'", "NULL"])
@pytest.mark.parametrize("column", COLUMNS)
async def test_a_value_that_does_not_fit_its_column_harms_only_its_object(
    tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "state.db"
    store, blog, shop = await opened_with(path, update_any, column, value)
    await store.put(replace(resource("blog"), revision=blog.revision), shop)
    await store.refresh()
    assert store.problems == ()
    await rewritten(store, path)
    await store.close()
    assert [each.digest for each in read_objects(path)] == ["abc", "abc"]


@pytest.mark.parametrize("value", ["5", "7.5", "x'37'", "NULL"])
@pytest.mark.parametrize("column", KEY)
async def test_a_row_whose_key_does_not_fit_is_left_out(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    update_any(path, f"UPDATE store_objects SET {column} = {value} WHERE name = 'blog'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)

    assert [each.name for each in await store.objects()] == ["shop"]
    assert len(store.problems) == 1
    await store.put(resource("blog"))
    await rewritten(store, path)
    await store.close()
    assert read_problems(path) == ()


@pytest.mark.parametrize("value", ["-2.8e291", "9e999", "1e12"])
@pytest.mark.parametrize("column", ["created", "missing_since", "deleting_since"])
async def test_a_damaged_time_is_never_read(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"))
    execute(path, f"UPDATE store_objects SET {column} = {value}")  # noqa: S608 - constants

    (blog,) = read_objects(path)

    assert blog.unreadable
    assert {blog.created, blog.missing_since, blog.deleting_since} <= {None, 0.0, 100.0}


@pytest.mark.parametrize("column", KEY)
async def test_a_row_without_a_readable_key_is_left_out_and_reported(tmp_path: Path, column: str) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    execute(path, f"UPDATE store_objects SET {column} = CAST(x'62ff' AS TEXT) WHERE name = 'blog'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)

    assert [each.name for each in await store.objects()] == ["shop"]
    (problem,) = store.problems
    assert "store_objects" in problem
    assert "b" in problem
    await store.close()
    assert read_problems(path) == (problem,)


async def test_a_damaged_record_reads_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    await store.put_record("orphan", "1", {"a": 1})
    await store.put_record("orphan", "2", {"a": 2})
    await store.close()
    execute(path, "UPDATE store_records SET value = '[' WHERE name = '1'")

    store = await SqliteStore.open(path)

    assert await store.records("orphan") == {"1": {}, "2": {"a": 2}}
    found = [len(store.problems)]
    await store.put_record("orphan", "1", {"a": 3})
    await store.refresh()
    assert await store.record("orphan", "1") == {"a": 3}
    assert [*found, len(store.problems)] == [1, 0]
    await store.close()


async def test_a_damaged_event_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    await store.record_event("IPv6Network", "blog", EventType.NORMAL, "Created", "made", 1.0)
    await store.record_event("IPv6Network", "blog", EventType.NORMAL, "Deleted", "gone", 2.0)
    await store.close()
    execute(path, "UPDATE store_events SET type = 'Alarm' WHERE reason = 'Created'")

    assert [each.reason for each in read_events(path)] == ["Deleted"]


async def test_reported_problems_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    await store.put_record(PROBLEMS, "files", {"messages": ["one", "two"]})
    await store.put_record(PROBLEMS, "odd", {"messages": 1})
    await store.put_record(WARNINGS, "labels", {"messages": ["three"]})
    await store.put_record(WARNINGS, "odd", {"messages": 1})
    await store.close()

    assert read_problems(path) == ("one", "two")
    assert read_warnings(path) == ("three",)


NOT_JSON = ('{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}', '{"a":[-1e999]}', '{"a":' * 150 + "1" + "}" * 150)


@pytest.mark.parametrize("text", NOT_JSON)
@pytest.mark.parametrize("column", ["document", "status"])
async def test_an_object_with_a_value_that_can_not_be_written_harms_only_itself(
    tmp_path: Path, column: str, text: str
) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    execute(path, f"UPDATE store_objects SET {column} = '{text}' WHERE name = 'blog'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)

    blog, shop = await store.objects()
    assert blog.unreadable
    assert (shop.digest, shop.status) == ("abc", {"a": 1})
    assert len(store.problems) == 1
    (shop,) = await store.put(shop)
    await store.refresh()
    assert len(await store.objects()) == 2
    await rewritten(store, path)
    await store.close()
    assert [each.name for each in read_objects(path)] == ["blog", "shop"]
    assert read_problems(path) == ()


@pytest.mark.parametrize("text", NOT_JSON)
async def test_a_record_with_a_value_that_can_not_be_written_reads_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    await store.put_record("orphan", "1", {"a": 1})
    await store.put_record("orphan", "2", {"a": 2})
    await store.close()
    execute(path, f"UPDATE store_records SET value = '{text}' WHERE name = '1'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)

    assert await store.records("orphan") == {"1": {}, "2": {"a": 2}}
    await rewritten(store, path)
    await store.close()


def test_a_cache_that_can_not_be_filled_stays_as_it_is() -> None:
    cache = StoreCache()
    cache.load([resource("blog")], [("orphan", "1", {"a": 1})])
    with pytest.raises(ValueError, match="JSON"):
        cache.load([resource("shop")], [("orphan", "1", {"a": float("nan")})])
    assert [each.name for each in cache.objects(None)] == ["blog"]
    assert cache.records("orphan") == {"1": {"a": 1}}


HUGE = ("9223372036854775807", "9007199254740993", "-1")


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("column", ["generation", "line", "revision"])
async def test_a_number_that_can_not_be_counted_up_harms_only_its_object(
    tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    execute(path, f"UPDATE store_objects SET {column} = {value} WHERE name = 'blog'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)
    blog, shop = await store.objects()
    assert blog.unreadable
    blog, shop = await store.put(*(replace(o, digest="def", generation=o.generation + 1) for o in (blog, shop)))
    assert max(blog.generation, blog.line, blog.revision) < 10
    await rewritten(store, path)
    (again,) = await store.put(shop)
    assert again.revision == max(blog.revision, shop.revision) + 1
    await store.close()
    assert read_problems(path) == ()


@pytest.mark.parametrize("value", HUGE)
async def test_a_damaged_count_of_an_event_harms_only_the_event(tmp_path: Path, value: str) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    for reason in ("Created", "Deleted"):
        await store.record_event("IPv6Network", "blog", EventType.NORMAL, reason, "x", 1.0)
    await store.close()
    execute(path, f"UPDATE store_events SET count = {value} WHERE reason = 'Created'")  # noqa: S608 - constants

    store = await SqliteStore.open(path)
    for reason in ("Created", "Deleted"):
        await store.record_event("IPv6Network", "blog", EventType.NORMAL, reason, "x", 2.0)

    assert [(e.reason, e.count) for e in await store.events() if e.reason == "Deleted"] == [("Deleted", 2)]
    await store.close()


COUNTERS = [
    *(f"SET value = {value}" for value in ("'abc'", "x'00'", "0.0", "0.5", "4503599627370497", *HUGE)),
    "DELETE",
    "INSERT",
]


@pytest.mark.parametrize("change", COUNTERS)
async def test_a_damaged_counter_of_revisions_is_written_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    rest = {"DELETE": "DELETE FROM store_revision", "INSERT": "INSERT INTO store_revision VALUES (7)"}
    update_any(path, rest.get(change, f"UPDATE store_revision {change}"))

    store = await SqliteStore.open(path)
    (news,) = await store.put(resource("news"))
    assert news.revision == 3
    await store.close()

    store = await SqliteStore.open(path)
    assert (await store.put(resource("wiki")))[0].revision == 4
    await store.close()


async def test_the_largest_revision_that_can_be_read_does_not_make_others_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await stored(path, resource("blog"), resource("shop"))
    execute(path, "UPDATE store_objects SET revision = 1 << 53", "UPDATE store_revision SET value = 1 << 53")

    store = await SqliteStore.open(path)
    for _ in range(3):
        await store.put(*await store.objects())
    await rewritten(store, path)
    objects = await store.put(*await store.objects())
    await store.close()

    assert read_objects(path) == objects
    assert not any(each.unreadable for each in objects)
