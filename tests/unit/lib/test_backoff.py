from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.backoff import Backoff


def test_delays_grow_up_to_the_maximum() -> None:
    backoff = Backoff(initial=1, factor=2, maximum=10, jitter=0)
    assert [backoff.delay(attempt, Random(0)) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]


def test_same_randomness_gives_the_same_delays() -> None:
    backoff = Backoff()
    first, second = Random(7), Random(7)
    assert [backoff.delay(n, first) for n in range(9)] == [backoff.delay(n, second) for n in range(9)]


@given(st.integers(0, 1_000_000), st.integers(), st.floats(0, 1))
def test_delay_is_within_the_jitter_below_the_undisturbed_delay(attempt: int, seed: int, jitter: float) -> None:
    delay = Backoff(jitter=jitter).delay(attempt, Random(seed))
    undisturbed = Backoff(jitter=0).delay(attempt, Random(seed))
    assert undisturbed * (1 - jitter) <= delay <= undisturbed <= 60


def test_those_at_the_maximum_do_not_retry_in_step() -> None:
    random = Random(1)
    assert len({Backoff().delay(100, random) for _ in range(50)}) == 50


def test_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        Backoff().delay(-1, Random(0))


@pytest.mark.parametrize(
    "arguments",
    [{"initial": -1}, {"initial": 5, "maximum": 4}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}],
)
def test_senseless_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(**arguments)
