"""No input makes a decoder fail other than as documented, hang, or use much memory.

A hang ends with the timeout of a test. `make fuzz` looks for further inputs, guided by coverage.
"""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutations import damaged
from tests.fuzz.targets import CORPUS, MEMORY_BOUND, TARGETS, kept, peak_memory
from tests.property.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    @settings(examples(50), suppress_health_check=list(HealthCheck))
    @given(damaged(valid))
    def check(data: bytes) -> None:
        assert peak_memory(target, data) < MEMORY_BOUND

    check()
