import pytest

from dockerv6.controller.events import EventRecorder
from dockerv6.controller.problems import OpenProblems
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import PROBLEMS
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


async def test_the_check_names_the_first_three() -> None:
    problems = await opened(MemoryStore())
    await problems.report("files", "Broken", "abcde")
    assert problems.check() == "a; b; c and 2 more"


async def test_a_store_that_fails_does_not_hide_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    problems = await opened(store)

    async def full(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(store, "put_record", full)
    await problems.report("files", "Broken", ["one"])
    assert problems.check() == "one"
