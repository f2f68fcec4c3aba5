"""No input makes a decoder fail other than as documented, hang, or use much memory.

A hang ends with the timeout of a test. `make fuzz` looks for further inputs, guided by coverage.
"""

from __future__ import annotations

import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutations import damaged
from tests.fuzz.targets import CORPUS, MEMORY_BOUND, TARGETS, kept, peak_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))


@pytest.fixture(scope="module", autouse=True)
def traced_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_every_kept_input_has_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_are_decoded_or_refused(name: str) -> None:
    target = TARGETS[name]
    for data in (*target.seeds, *(path.read_bytes() for path in kept(name))):
        assert peak_memory(target, data) < MEMORY_BOUND


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs_are_decoded_or_refused(name: str) -> None:
    target = TARGETS[name]
    valid = (*target.seeds, *(path.read_bytes() for path in kept(name)))

    @settings(max_examples=_EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(damaged(valid))
    def check(data: bytes) -> None:
        assert peak_memory(target, data) < MEMORY_BOUND

    check()
