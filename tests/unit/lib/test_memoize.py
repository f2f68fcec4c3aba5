from dockerv6.lib.memoize import memoize_by_identity


class Sum:
    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def total(self, numbers: tuple[int, ...]) -> int:
        self.calls.append(numbers)
        return sum(numbers)


def numbers(*values: int) -> tuple[int, ...]:
    """A new object each time."""
    return values


def test_the_same_object_is_computed_once() -> None:
    counted = Sum()
    total, argument = memoize_by_identity(counted.total), numbers(1, 2)
    assert [total(argument), total(argument)] == [3, 3]
    assert len(counted.calls) == 1


def test_an_equal_object_is_computed_again() -> None:
    counted = Sum()
    total, first, second = memoize_by_identity(counted.total), numbers(1, 2), numbers(1, 2)
    assert [total(first), total(second)] == [3, 3]
    assert len(counted.calls) == 2


def test_another_object_replaces_the_latest_result() -> None:
    counted = Sum()
    total, first, second = memoize_by_identity(counted.total), numbers(1, 2), numbers(3)
    assert [total(first), total(second), total(first)] == [3, 3, 3]
    assert len(counted.calls) == 3


def test_two_functions_keep_separate_results() -> None:
    one, other, argument = Sum(), Sum(), numbers(1, 2)
    assert memoize_by_identity(one.total)(argument) == memoize_by_identity(other.total)(argument)
    assert len(one.calls) == len(other.calls) == 1
