import logging

import pytest

from dockerv6.controller.events import UNSTORED_LIMIT, EventRecorder
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import EventType
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


class FullStore(MemoryStore):
    """Refuses events while it is full, and one event for ever."""

    full = True

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        if self.full or message == "odd":
            raise StoreError("disk full")
        await super().record_event(kind, name, type_, reason, message, now)


async def test_a_store_that_refuses_events_stops_nothing_and_gets_them_later(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = FullStore(), FakeClock()
    reporter, at = EventRecorder(store, clock), clock.now()
    for message in ("odd", "first", "second", "first"):
        await reporter.normal("IPv6Network", "blog", "Created", message)
        clock.advance(5)
    assert "disk full" in caplog.text
    assert await store.events() == ()
    await reporter.store()
    store.full = False
    for _ in range(3):
        await reporter.store()
    assert [(e.message, e.last_seen - at, e.count) for e in await store.events()] == [
        ("second", 10, 1),
        ("first", 15, 1),
    ]


async def test_a_bounded_number_of_events_waits() -> None:
    store = FullStore()
    reporter = EventRecorder(store, FakeClock())
    for number in range(UNSTORED_LIMIT + 10):
        await reporter.warning("IPv6Network", f"n{number}", "Drifted", str(number))  # few of one resource are kept
    store.full = False
    await reporter.store()
    messages = {e.message for e in await store.events()}
    assert len(messages) == UNSTORED_LIMIT
    assert str(UNSTORED_LIMIT + 9) in messages
