from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.soak.measure import MEASURES, Measure

if TYPE_CHECKING:
    from pathlib import Path

_MEASURE = Measure("MiB", lambda _pid, _state: 0.0, ratio=1.1, slack=2.0)


def test_a_measure_that_grows_after_the_warm_up_is_not_flat() -> None:
    growth = _MEASURE.judge([float(number) for number in range(100)])
    assert (growth.before, growth.after, growth.flat) == (37.0, 87.0, False)


def test_the_warm_up_and_single_samples_do_not_count() -> None:
    samples = [1.0] * 25 + [60.0] * 75
    samples[90] = 900.0
    assert _MEASURE.judge(samples).flat


def test_the_ratio_and_the_slack_are_allowed() -> None:
    assert _MEASURE.judge([100.0] * 8 + [112.0] * 4).flat
    assert not _MEASURE.judge([100.0] * 8 + [112.1] * 4).flat


def test_few_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="7 samples are too few"):
        _MEASURE.judge([1.0] * 7)


def test_measures_are_taken_of_a_process_and_its_state_directory(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(bytes(1 << 20))
    taken = {name: measure.take(os.getpid(), tmp_path) for name, measure in MEASURES.items()}
    assert taken["memory"] > 1
    assert taken["threads"] >= 1
    assert 0 <= taken["sockets"] < taken["descriptors"]
    assert (taken["database"], taken["write-ahead log"]) == (1.0, 0.0)
