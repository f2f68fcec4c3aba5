import pytest

from dockerv6.reconciler.errors import PermanentError, ReconcileError, TemporaryError


def test_understood_failures_have_one_base() -> None:
    assert issubclass(TemporaryError, ReconcileError)
    assert issubclass(PermanentError, ReconcileError)


def test_temporary_error_may_name_its_delay() -> None:
    assert TemporaryError("the engine restarts", delay=5).delay == 5
    assert TemporaryError("the engine restarts").delay is None
    assert str(TemporaryError("the engine restarts")) == "the engine restarts"


def test_retry_is_never_due_in_the_past() -> None:
    with pytest.raises(ValueError, match="-1"):
        TemporaryError("x", delay=-1)
