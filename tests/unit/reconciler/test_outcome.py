import pytest

from dockerv6.reconciler.outcome import Outcome, Requeue


def test_requeue_is_never_due_in_the_past() -> None:
    with pytest.raises(ValueError, match="-1"):
        Requeue(-1)


def test_outcome_succeeded_unless_something_was_raised() -> None:
    assert Outcome(final=True).succeeded
    assert Outcome(final=False, delay=3, result=Requeue(3)).succeeded
    assert not Outcome(final=True, error=ValueError("x")).succeeded
