import pytest

from dockerv6.source.directory import Signature
from dockerv6.source.settling import Quiescence


def at(modified: float, size: int = 1) -> Signature:
    return Signature(1, 1, size, round(modified * 1e9), 0)


def test_old_file_is_at_rest() -> None:
    assert Quiescence(0.2, 5).wait("f", at(100), now=100.2, monotonic=0) == 0


def test_young_file_is_not_for_the_rest_of_the_time() -> None:
    assert Quiescence(0.2, 5).wait("f", at(100), now=100.05, monotonic=0) == pytest.approx(0.15)


def test_file_from_the_future_is_at_rest_when_it_was_seen_unchanged() -> None:
    settling = Quiescence(0.2, 5)
    assert settling.wait("f", at(10_000), now=100, monotonic=0) == pytest.approx(0.2)
    assert settling.wait("f", at(10_000), now=100.1, monotonic=0.1) == pytest.approx(0.1)
    assert settling.wait("f", at(10_000), now=100.3, monotonic=0.3) == 0


def test_every_change_begins_the_wait_anew() -> None:
    settling = Quiescence(0.2, 5)
    assert settling.wait("f", at(10_000), now=100, monotonic=0) > 0
    assert settling.wait("f", at(10_000, size=2), now=100.3, monotonic=0.3) == pytest.approx(0.2)


def test_patience_counts_from_the_first_unrest() -> None:
    settling = Quiescence(0.2, 5)
    for tenth in range(51):
        assert not settling.out_of_patience("f", tenth / 10 - 0.05)
        assert settling.wait("f", at(100 + tenth / 10), now=100 + tenth / 10, monotonic=tenth / 10) > 0
    assert settling.out_of_patience("f", 5.0)


def test_rest_restores_patience() -> None:
    settling = Quiescence(0.2, 5)
    settling.wait("f", at(100), now=100, monotonic=0)
    settling.wait("f", at(100), now=104, monotonic=4)
    settling.wait("f", at(105), now=105, monotonic=5)
    assert not settling.out_of_patience("f", 6)


def test_zero_means_always_at_rest() -> None:
    assert Quiescence(0, 5).wait("f", at(100), now=100, monotonic=0) == 0
    assert Quiescence(0, 5).wait("f", at(200), now=100, monotonic=0) == 0


def test_what_is_gone_is_forgotten() -> None:
    settling = Quiescence(0.2, 5)
    settling.wait("f", at(100), now=100, monotonic=0)
    settling.forget_all_but(set())
    assert not settling.out_of_patience("f", 100)
