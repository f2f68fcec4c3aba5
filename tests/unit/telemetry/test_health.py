import asyncio

import pytest

from dockerv6.telemetry.health import Health, HealthCheck, Heartbeat, Probe, Progress
from tests.fakes.clock import FakeClock


def test_without_checks_all_is_well() -> None:
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


def test_the_probes_are_apart() -> None:
    health = Health()
    health.add(Probe.READINESS, "engine", lambda: "down")
    assert health.report(Probe.LIVENESS).ok


def test_a_check_that_crashes_has_failed() -> None:
    def crash() -> str:
        raise RuntimeError("boom")

    health = Health()
    health.add(Probe.LIVENESS, "loop", crash)
    assert health.report(Probe.LIVENESS).problems == {"loop": "the check failed: RuntimeError: boom"}


def test_a_name_is_taken_once_per_probe() -> None:
    health = Health()
    health.add(Probe.LIVENESS, "loop", lambda: "")
    health.add(Probe.READINESS, "loop", lambda: "")
    with pytest.raises(ValueError, match="loop"):
        health.add(Probe.LIVENESS, "loop", lambda: "")


def test_a_heart_that_stops_is_dead_past_the_limit() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=10)
    clock.advance(10)
    assert heart.check() == ""
    clock.advance(1)
    assert heart.check() == "no heartbeat for 11 s"
    heart.beat()
    assert heart.check() == ""


async def test_a_heart_that_runs_goes_on_beating() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=2)
    running = asyncio.create_task(heart.run(1))
    await clock.run_for(60)
    assert heart.check() == ""
    running.cancel()
    clock.advance(3)
    assert heart.check() != ""


def test_a_wall_clock_that_jumps_stops_no_heart() -> None:
    clock = FakeClock()
    heart = Heartbeat(clock, limit=2)
    clock.step_wall(86_400)
    assert heart.check() == ""


def test_a_condition_is_down_until_it_is_up() -> None:
    condition = HealthCheck("not listed yet")
    assert condition.check() == "not listed yet"
    condition.up()
    assert condition.check() == ""
    condition.down("the engine does not answer")
    assert condition.check() == "the engine does not answer"


def test_what_ends_in_time_is_not_stuck() -> None:
    clock = FakeClock()
    progress = Progress(clock, limit=60)
    with progress.working("IPv6Network/blog"):
        clock.advance(60)
        assert progress.check() == ""
    clock.advance(60)
    assert progress.check() == ""


def test_what_does_not_end_is_named_longest_first() -> None:
    clock = FakeClock()
    progress = Progress(clock, limit=60)
    with progress.working("e"), progress.working("b"):
        clock.advance(5)
        with progress.working("c"), progress.working("d"):
            clock.advance(61)
            with progress.working("fresh"):
                assert progress.check() == "stuck: e for 66 s, b for 66 s, d for 61 s and 1 more"


def test_what_fails_has_ended() -> None:
    clock = FakeClock()
    progress = Progress(clock, limit=60)
    with pytest.raises(RuntimeError), progress.working("a"):
        raise RuntimeError
    clock.advance(61)
    assert progress.check() == ""
