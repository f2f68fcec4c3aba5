"""What is computed from one moment is computed once for it, and never taken for another's."""

from dockerv6.lib.memoize import memoize_by_identity


class Counted:
    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def total(self, moment: tuple[int, ...]) -> int:
        self.calls.append(moment)
        return sum(moment)


def moment(*numbers: int) -> tuple[int, ...]:
    """A new object each time."""
    return numbers


def test_the_same_moment_is_computed_once() -> None:
    counted = Counted()
    total, now = memoize_by_identity(counted.total), moment(1, 2)
    assert [total(now), total(now), total(now)] == [3, 3, 3]
    assert len(counted.calls) == 1


def test_an_equal_one_is_another() -> None:
    counted = Counted()
    total, now, then = memoize_by_identity(counted.total), moment(1, 2), moment(1, 2)
    assert (total(now), total(then), now is then) == (3, 3, False)
    assert len(counted.calls) == 2


def test_only_the_last_one_is_kept() -> None:
    counted = Counted()
    total, now, then = memoize_by_identity(counted.total), moment(1, 2), moment(3)
    assert [total(now), total(then), total(now)] == [3, 3, 3]
    assert counted.calls == [now, then, now]


def test_two_functions_share_nothing() -> None:
    one, other, now = Counted(), Counted(), moment(1, 2)
    assert memoize_by_identity(one.total)(now) == memoize_by_identity(other.total)(now)
    assert len(one.calls) == len(other.calls) == 1
