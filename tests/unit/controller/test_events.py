import logging

import pytest

from dockerv6.controller.events import EventRecorder
from dockerv6.store.memory import MemoryStore
from dockerv6.store.port import StoreError
from tests.fakes.clock import FakeClock


async def test_events_are_kept_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = MemoryStore(), FakeClock()
    reporter = EventRecorder(store, clock)
    with caplog.at_level(logging.INFO, "dockerv6.events"):
        await reporter.normal("IPv6Network", "blog", "Created", "it is there")
        clock.advance(5)
        await reporter.warning("IPv6Network", "blog", "Drifted", "it was gone")
        await reporter.warning("IPv6Network", "blog", "Drifted", "it was gone")
    assert [(str(e.type), e.reason, e.count) for e in await store.events()] == [
        ("Normal", "Created", 1),
        ("Warning", "Drifted", 2),
    ]
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"]


async def test_a_repeated_event_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    reporter = EventRecorder(MemoryStore(), clock)
    with caplog.at_level(logging.INFO, "dockerv6.events"):
        for _ in range(4):
            await reporter.warning("IPv6Network", "blog", "RecreateBlocked", "it waits")
            clock.advance(20)
        await reporter.warning("IPv6Network", "blog", "RecreateBlocked", "it waits for others")
        await reporter.warning("IPv6Network", "shop", "RecreateBlocked", "it waits for others")
    assert [r.message for r in caplog.records] == ["it waits"] * 2 + ["it waits for others"] * 2


async def test_a_store_that_refuses_events_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()

    async def full(*_: object) -> None:
        raise StoreError("disk full")

    store.record_event = full  # type: ignore[method-assign,assignment]
    await EventRecorder(store, FakeClock()).normal("IPv6Network", "blog", "Created", "it is there")
    assert "disk full" in caplog.text
