"""docs/reliability.md is generated from the records of the last long runs; test_pages.py compares them."""

from __future__ import annotations

from dataclasses import replace

from scripts.reliability_page import page
from tests.chaos.record import ChaosRecord, Circumstances, FaultCount, Growth, SoakRecord

_WHEN = Circumstances("2026-11-29T17:00+00:00", "28.5.2", "0.1.0", "6.1.0", "3.11.7", "3.40.1")
_CHAOS = ChaosRecord(_WHEN, 12.0, {"rule-deleted": FaultCount("one rule deleted", 7, 7, 1)})
_SOAK = SoakRecord(_WHEN, 60.0, {"table deleted": 9}, {"memory": Growth("MiB", 40.5, 41.0, flat=True)})


def test_the_page_states_when_and_with_what_it_was_measured() -> None:
    lines = page(_CHAOS, _SOAK).splitlines()
    run = "dockerv6 0.1.0, Docker Engine 28.5.2, Linux 6.1.0, Python 3.11.7, SQLite 3.40.1."
    assert f"Run of 2026-11-29, 12 minutes: {run} Attempts: 7; survived: **7**." in lines
    assert f"Run of 2026-11-29, 60 minutes: {run} Operations: table deleted 9 times." in lines
    assert "| one rule deleted | 7 | 7 | 1 |" in lines
    assert "| memory | 40.5 MiB | 41 MiB | flat |" in lines


def test_the_page_shows_what_was_not_survived() -> None:
    chaos = replace(_CHAOS, faults={"a": FaultCount("one rule deleted", 7, 6)}, problems=["a rule is missing"])
    soak = replace(_SOAK, growth={"threads": Growth("", 8.0, 30.0, flat=False)})
    lines = page(chaos, soak).splitlines()
    assert "| one rule deleted | 7 | **6** |  |" in lines
    assert "- a rule is missing" in lines
    assert "| threads | 8 | 30 | **grows** |" in lines
