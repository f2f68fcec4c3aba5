import asyncio

import pytest

from dockerv6.telemetry.health import Health, Heartbeat, Probe, StuckWork
from tests.fakes.clock import FakeClock


def test_without_checks_the_report_is_healthy() -> None:
    report = Health().report(Probe.READINESS)
    assert report.ok
    assert str(report) == "ok"


def test_a_report_names_what_failed_and_what_passed() -> None:
    health = Health()
    health.add(Probe.READINESS, "sources", lambda: "not listed yet")
    health.add(Probe.READINESS, "engine", lambda: "")
    report = health.report(Probe.READINESS)
    assert not report.ok
    assert (report.problems, report.passed) == ({"sources": "not listed yet"}, ("engine",))
    assert str(report) == "sources: not listed yet"


def test_liveness_and_readiness_have_separate_checks() -> None:
    health = Health()
    health.add(Probe.READINESS, "engine", lambda: "down")
    assert health.report(Probe.LIVENESS).ok


def test_a_check_that_raises_has_failed() -> None:
    def crash() -> str:
        raise RuntimeError("boom")

    health = Health()
    health.add(Probe.LIVENESS, "loop", crash)
    assert health.report(Probe.LIVENESS).problems == {"loop": "the check failed: RuntimeError: boom"}


def test_a_name_is_unique_in_each_probe() -> None:
    health = Health()
    health.add(Probe.LIVENESS, "loop", lambda: "")
    health.add(Probe.READINESS, "loop", lambda: "")
    with pytest.raises(ValueError, match="loop"):
        health.add(Probe.LIVENESS, "loop", lambda: "")


def test_a_heartbeat_that_stops_fails_after_the_limit() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=10)
    clock.advance(10)
    assert heart.check() == ""
    clock.advance(1)
    assert heart.check() == "no heartbeat for 11 s"
    heart.beat()
    assert heart.check() == ""


async def test_a_running_heartbeat_stays_healthy() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=2)
    running = asyncio.create_task(heart.run(1))
    await clock.run_for(60)
    assert heart.check() == ""
    running.cancel()
    clock.advance(3)
    assert heart.check() != ""


def test_a_jump_of_the_wall_clock_does_not_fail_the_heartbeat() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=2)
    clock.step_wall(86_400)
    assert heart.check() == ""


def test_work_that_ends_in_time_is_not_stuck() -> None:
    clock = FakeClock()
    work = StuckWork(clock, limit=60)
    work.begin("IPv6Network/blog")
    clock.advance(60)
    assert work.check() == ""
    work.end("IPv6Network/blog")
    clock.advance(60)
    assert work.check() == ""


def test_stuck_work_is_named_longest_first() -> None:
    clock = FakeClock()
    work = StuckWork(clock, limit=60)
    for key, pause in (("e", 0), ("b", 5), ("c", 0), ("d", 61), ("fresh", 0)):
        work.begin(key)
        clock.advance(pause)
    assert work.check() == "stuck: e for 66 s, b for 66 s, d for 61 s and 1 more"


def test_work_may_end_twice() -> None:
    clock = FakeClock()
    work = StuckWork(clock, limit=60)
    work.begin("a")
    work.end("a")
    work.end("a")
    clock.advance(61)
    assert work.check() == ""
