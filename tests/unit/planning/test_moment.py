from dockerv6.planning.moment import per_moment


def test_the_same_moment_is_looked_at_once_and_another_one_anew() -> None:
    seen: list[list[int]] = []

    @per_moment
    def total(numbers: list[int]) -> int:
        seen.append(numbers)
        return sum(numbers)

    first, equal = [1, 2], [1, 2]
    assert [total(first), total(first), total(equal), total(first)] == [3, 3, 3, 3]
    assert [s is n for s, n in zip(seen, (first, equal, first), strict=True)] == [True, True, True]
