"""Contract of the store. Runs on every implementation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import SUSPENDED, Event, EventType, StoredObject
from dockerv6.store.port import EVENTS_KEPT, EVENTS_KEPT_PER_OBJECT, Store, StoreConflict
from dockerv6.store.sqlite import SqliteStore

KEPT = 5


@pytest.fixture
def events_kept() -> int:
    return KEPT


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, events_kept: int) -> AsyncIterator[Store]:
    store: Store = (
        MemoryStore(events_kept=events_kept)
        if request.param == "memory"
        else await SqliteStore.open(tmp_path / "state.db", events_kept=events_kept)
    )
    yield store
    await store.close()


def resource(name: str, kind: str = "IPv6Network", **spec: object) -> StoredObject:
    return StoredObject(
        kind=kind,
        name=name,
        document={"apiVersion": "dockerv6.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec},
        digest="abc",
        generation=1,
        file="/etc/dockerv6.d/blog.yaml",
        line=3,
        created=100.0,
    )


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.objects() == ()
    assert await store.object("IPv6Network", "blog") is None
    assert await store.events() == ()
    assert await store.record("sysctl", "x") is None
    assert await store.records("sysctl") == {}


async def test_reads_back_an_object(store: Store) -> None:
    wanted = replace(
        resource("blog", internal=True, subnet=None, reserved=["fd00::1", 2, 1.5], text="ÿ✓"),
        missing_since=1.0,
        deleting_since=2.0,
        problem="line 3: bad",
        status={"subnet": "fd00::/64"},
    )

    (written,) = await store.put(wanted)

    assert written.revision > 0
    assert replace(written, revision=0) == wanted
    assert await store.object("IPv6Network", "blog") == written


async def test_tuples_come_back_as_lists(store: Store) -> None:
    (written,) = await store.put(resource("blog", reserved=("fd00::1",)))

    assert written == await store.object("IPv6Network", "blog")
    assert written.document["spec"] == {"reserved": ["fd00::1"]}


async def test_sorts_objects_by_kind_and_name(store: Store) -> None:
    await store.put(resource("b"), resource("default", "IPv6Pool"), resource("a"))
    await store.put(resource("0"))

    assert [(each.kind, each.name) for each in await store.objects()] == [
        ("IPv6Network", "0"),
        ("IPv6Network", "a"),
        ("IPv6Network", "b"),
        ("IPv6Pool", "default"),
    ]
    assert [each.name for each in await store.objects("IPv6Pool")] == ["default"]
    assert await store.objects("IPv6Policy") == ()


async def test_putting_nothing_is_success(store: Store) -> None:
    assert await store.put() == ()


async def test_a_write_needs_the_current_revision(store: Store) -> None:
    (first,) = await store.put(resource("blog"))
    (second,) = await store.put(replace(first, generation=2))

    assert second.revision > first.revision
    for stale in (0, first.revision, second.revision + 1):
        with pytest.raises(StoreConflict, match="IPv6Network/blog"):
            await store.put(replace(second, revision=stale, generation=3))
    assert await store.object("IPv6Network", "blog") == second


async def test_rejects_a_write_to_a_removed_object(store: Store) -> None:
    (old,) = await store.put(resource("blog"))
    await store.remove("IPv6Network", "blog")

    with pytest.raises(StoreConflict):
        await store.put(old)

    (new,) = await store.put(resource("blog"))
    assert new.revision > old.revision


async def test_writes_all_objects_or_none(store: Store) -> None:
    (blog,) = await store.put(resource("blog"))

    with pytest.raises(StoreConflict):
        await store.put(resource("shop"), replace(blog, generation=2), resource("blog"))

    assert await store.objects() == (blog,)


async def test_one_object_twice_in_a_group_is_a_conflict(store: Store) -> None:
    with pytest.raises(StoreConflict):
        await store.put(resource("blog"), resource("blog"))

    assert await store.objects() == ()


async def test_rejects_a_group_that_json_cannot_represent(store: Store) -> None:
    with pytest.raises(TypeError):
        await store.put(resource("shop"), resource("blog", wrong={1, 2}))
    with pytest.raises(ValueError, match="JSON"):
        await store.put(resource("blog", wrong=float("nan")))

    assert await store.objects() == ()


async def test_a_status_does_not_change_the_revision(store: Store) -> None:
    (blog,) = await store.put(resource("blog"))
    await store.put_status("IPv6Network", "blog", {"subnet": "fd00::/64", "conditions": [{"type": "Ready"}]})
    await store.put_status("IPv6Network", "blog", {"subnet": "fd00:1::/64"})

    assert await store.object("IPv6Network", "blog") == replace(blog, status={"subnet": "fd00:1::/64"})
    assert await store.objects() == (replace(blog, status={"subnet": "fd00:1::/64"}),)


async def test_a_changed_object_keeps_its_status(store: Store) -> None:
    (blog,) = await store.put(replace(resource("blog"), status={"phase": "new"}))
    await store.put_status("IPv6Network", "blog", {"phase": "ready"})

    (changed,) = await store.put(replace(blog, generation=2))

    assert changed.status == {"phase": "ready"}
    assert await store.object("IPv6Network", "blog") == changed


async def test_ignores_the_status_of_an_absent_object(store: Store) -> None:
    await store.put_status("IPv6Network", "blog", {"phase": "ready"})

    assert await store.objects() == ()
    (blog,) = await store.put(resource("blog"))
    assert blog.status == {}


async def test_the_last_of_many_statuses_wins(store: Store) -> None:
    (blog,) = await store.put(resource("blog"))
    await store.put_status("IPv6Network", "blog", {"n": 0})

    await asyncio.gather(*(store.put_status("IPv6Network", "blog", {"n": n % 10}) for n in range(1, 31)))

    assert await store.object("IPv6Network", "blog") == replace(blog, status={"n": 0})


async def test_distinguishes_statuses_that_are_equal_in_python_only(store: Store) -> None:
    await store.put(resource("blog"))
    await store.put_status("IPv6Network", "blog", {"ready": 1})
    await store.put_status("IPv6Network", "blog", {"ready": True})

    found = await store.object("IPv6Network", "blog")
    assert found is not None
    assert found.status["ready"] is True


async def test_remove_deletes_the_status(store: Store) -> None:
    await store.put(replace(resource("blog"), status={"phase": "ready"}), resource("shop"))

    await store.remove("IPv6Network", "blog")
    await store.remove("IPv6Network", "blog")

    assert [each.name for each in await store.objects()] == ["shop"]
    (again,) = await store.put(resource("blog"))
    assert again.status == {}


async def test_one_of_many_concurrent_writers_succeeds(store: Store) -> None:
    (blog,) = await store.put(resource("blog"))

    outcomes = await asyncio.gather(
        *(store.put(replace(blog, generation=number)) for number in range(20)), return_exceptions=True
    )

    assert sum(isinstance(outcome, StoreConflict) for outcome in outcomes) == 19


async def note(store: Store, message: str, now: float, *, name: str = "blog", kind: str = "IPv6Network") -> None:
    await store.record_event(kind, name, EventType.NORMAL, "Created", message, now)


async def test_counts_equal_events(store: Store) -> None:
    await note(store, "made", 100.0)
    await note(store, "made", 300.0)
    await note(store, "made", 200.0)  # the clock was set back

    assert await store.events() == (Event("IPv6Network", "blog", EventType.NORMAL, "Created", "made", 3, 100.0, 200.0),)


async def test_keeps_different_events_separate(store: Store) -> None:
    await note(store, "made", 1.0)
    await note(store, "made", 2.0, name="shop")
    await note(store, "made", 3.0, kind="IPv6Pool")
    await store.record_event("IPv6Network", "blog", EventType.WARNING, "Created", "made", 4.0)
    await store.record_event("IPv6Network", "blog", EventType.NORMAL, "Repaired", "made", 5.0)

    assert [event.count for event in await store.events()] == [1] * 5


async def test_sorts_events_by_last_seen(store: Store) -> None:
    for now, message in enumerate(("a", "b", "c", "a")):
        await note(store, message, float(now))
    await note(store, "d", 3.0)

    assert [event.message for event in await store.events()] == ["b", "c", "a", "d"]


async def test_text_that_utf_8_cannot_encode_is_replaced(store: Store) -> None:
    await store.put(resource("blog"))
    await store.put_status("IPv6Network", "blog", {"message": "br-\udcff is down"})
    await note(store, "br-\udcff is down", 1.0)

    (event,) = await store.events()
    found = await store.object("IPv6Network", "blog")
    assert found is not None
    assert found.status == {"message": event.message}
    assert event.message.encode().startswith(b"br-\xef\xbf\xbd")


async def test_filters_events_by_kind_and_name(store: Store) -> None:
    await note(store, "1", 1.0)
    await note(store, "2", 2.0, name="shop")
    await note(store, "3", 3.0, kind="IPv6Pool")

    assert [event.message for event in await store.events("IPv6Network")] == ["1", "2"]
    assert [event.message for event in await store.events("IPv6Network", "shop")] == ["2"]
    assert [event.message for event in await store.events(name="blog")] == ["1", "3"]


async def test_events_outlive_their_object(store: Store) -> None:
    await store.put(resource("blog"))
    await note(store, "made", 1.0)

    await store.remove("IPv6Network", "blog")

    assert len(await store.events()) == 1


async def test_old_events_expire(store: Store) -> None:
    await note(store, "old", 1.0)
    await note(store, "again", 1.0)
    await note(store, "again", 10.0)
    await note(store, "new", 5.0)

    await store.expire_events(5.0)

    assert [event.message for event in await store.events()] == ["new", "again"]


@pytest.mark.parametrize("events_kept", [EVENTS_KEPT])
async def test_an_object_displaces_only_its_own_events(store: Store) -> None:
    await note(store, "made", 0.0)
    for number in range(EVENTS_KEPT_PER_OBJECT + 2):
        await note(store, str(number), float(number), name="flaps")

    assert len(await store.events(name="blog")) == 1
    of_flapping = [event.message for event in await store.events(name="flaps")]
    assert of_flapping == [str(number) for number in range(2, EVENTS_KEPT_PER_OBJECT + 2)]


async def test_keeps_the_newest_events(store: Store) -> None:
    await note(store, "seen again", 0.0)
    for number in range(1, KEPT):
        await note(store, str(number), float(number))
    await note(store, "seen again", 50.0)
    await note(store, "one more", 60.0)
    await note(store, "and more", 60.0)

    assert [event.message for event in await store.events()] == ["3", "4", "seen again", "one more", "and more"]


async def test_stores_records_by_scope_and_name(store: Store) -> None:
    await store.put_record("sysctl", "net.ipv6.conf.all.forwarding", {"prior": "0"})
    await store.put_record("sysctl", "a", {"prior": "1"})
    await store.put_record("endpoints", "a", {"containers": ["x"]})
    await store.put_record("sysctl", "a", {"prior": "2"})

    assert await store.record("sysctl", "a") == {"prior": "2"}
    assert await store.record("endpoints", "a") == {"containers": ["x"]}
    assert await store.records("sysctl") == {"a": {"prior": "2"}, "net.ipv6.conf.all.forwarding": {"prior": "0"}}
    assert list(await store.records("sysctl")) == ["a", "net.ipv6.conf.all.forwarding"]


async def test_drops_a_record(store: Store) -> None:
    await store.put_record("sysctl", "a", {"prior": "1"})

    await store.drop_record("sysctl", "a")
    await store.drop_record("sysctl", "a")

    assert await store.record("sysctl", "a") is None
    assert await store.records("sysctl") == {}


async def test_a_removed_object_leaves_no_suspension(store: Store) -> None:
    await store.put(resource("blog"), resource("shop"))
    for name in ("blog", "shop"):
        await store.put_record(SUSPENDED, f"IPv6Network/{name}", {"since": 1.0})
    await store.put_record("other", "IPv6Network/blog", {})

    await store.remove("IPv6Network", "blog")

    assert list(await store.records(SUSPENDED)) == ["IPv6Network/shop"]
    assert list(await store.records("other")) == ["IPv6Network/blog"]
    await store.refresh()
    assert list(await store.records(SUSPENDED)) == ["IPv6Network/shop"]


async def test_drops_a_record_that_is_being_written(store: Store) -> None:
    await store.put_record("sysctl", "a", {"prior": "1"})

    await asyncio.gather(
        store.put_record("sysctl", "a", {"prior": "2"}),
        store.put_record("sysctl", "a", {"prior": "1"}),
        store.drop_record("sysctl", "a"),
    )

    assert await store.record("sysctl", "a") is None


async def test_closing_twice_is_success(store: Store) -> None:
    await store.close()
    await store.close()
