import pytest

from dockerv6.controller.events import EventRecorder
from dockerv6.controller.problems import OpenProblems
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import PROBLEMS, WARNINGS, JsonObject
from dockerv6.store.port import StoreError
from tests.fakes.clock import FakeClock


async def opened(store: MemoryStore) -> OpenProblems:
    problems = OpenProblems(store, EventRecorder(store, FakeClock()))
    await problems.load()
    return problems


async def test_a_problem_is_an_event_once_and_stays_open_until_it_ends() -> None:
    store = MemoryStore()
    problems = await opened(store)
    for _ in range(2):
        await problems.report("files", "Broken", ["one", "two"], kind="Source")
    assert [(e.message, e.count) for e in await store.events("Source", "files")] == [("one", 1), ("two", 1)]
    assert problems.check() == "one; two"
    assert await store.records(PROBLEMS) == {"files": {"messages": ["one", "two"]}}
    await problems.report("files", "Broken", [])
    assert problems.check() == ""
    assert await store.records(PROBLEMS) == {}


async def test_a_problem_that_ended_while_no_process_ran_ends_when_it_is_not_reported_again() -> None:
    store = MemoryStore()
    await (await opened(store)).report("files", "Broken", ["one"])
    restarted = await opened(store)
    assert restarted.check() == "one"
    await restarted.report("files", "Broken", ["one"])
    assert [e.count for e in await store.events()] == [1]
    await restarted.report("files", "Broken", [])
    assert restarted.check() == ""


async def test_a_warning_is_an_event_and_a_record_of_its_own_and_leaves_the_daemon_ready() -> None:
    store = MemoryStore()
    await (await opened(store)).report("labels", "Odd", ["one"], scope=WARNINGS)
    problems = await opened(store)
    await problems.report("labels", "Odd", ["one"], scope=WARNINGS)
    assert problems.check() == ""
    assert [(e.name, e.message, e.count) for e in await store.events()] == [("labels", "one", 1)]
    assert (await store.records(PROBLEMS), await store.records(WARNINGS)) == ({}, {"labels": {"messages": ["one"]}})
    await problems.report("labels", "Odd", [], scope=WARNINGS)
    assert await store.records(WARNINGS) == {}


async def test_the_check_names_the_first_three() -> None:
    problems = await opened(MemoryStore())
    await problems.report("files", "Broken", "abcde")
    assert problems.check() == "a; b; c and 2 more"


class FullStore(MemoryStore):
    """Refuses writes while the disk is full."""

    full = True
    writes = 0

    def _write(self) -> None:
        self.writes += 1
        if self.full:
            raise StoreError("disk full")

    async def put_record(self, scope: str, name: str, value: JsonObject) -> None:
        self._write()
        await super().put_record(scope, name, value)

    async def drop_record(self, scope: str, name: str) -> None:
        self._write()
        await super().drop_record(scope, name)


async def test_what_a_full_disk_refused_is_stored_when_there_is_space_again() -> None:
    store = FullStore()
    problems = await opened(store)
    await problems.report("files", "Broken", ["one"])
    assert problems.check() == "one"
    assert await store.records(PROBLEMS) == {}
    store.full = False
    await problems.report("files", "Broken", ["one"])
    assert await store.records(PROBLEMS) == {"files": {"messages": ["one"]}}

    store.full = True
    await problems.report("files", "Broken", [])
    assert problems.check() == ""
    assert await store.records(PROBLEMS) == {"files": {"messages": ["one"]}}
    store.full = False
    await problems.report("other", "Broken", [])
    assert await store.records(PROBLEMS) == {}
    writes = store.writes
    await problems.report("files", "Broken", [])
    assert store.writes == writes
    assert [e.count for e in await store.events()] == [1]


async def test_a_noted_problem_is_stored_later(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    problems = await opened(store)
    problems.note("state-file", "Broken", ["one"])
    assert problems.check() == "one"
    assert await store.records(PROBLEMS) == {}
    assert [each.message for each in caplog.records] == ["one"]
    await problems.store()
    assert await store.records(PROBLEMS) == {"state-file": {"messages": ["one"]}}
    assert [(e.name, e.message) for e in await store.events()] == [("state-file", "one")]
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == ["one"]
