"""How many examples a property test has: a sample in `make unit`, ten times as many in `make soak`."""

from hypothesis import settings

SAMPLE, SOAK = 50, 500
"""Examples of a test that asks for no number, in each of the two (tests/conftest.py)."""


def examples(sample: int) -> settings:
    """The settings of a test with that many examples in `make unit`, and in the same proportion more in `make soak`."""
    return settings(max_examples=sample * settings().max_examples // SAMPLE)
