import pytest

from dockerv6.source.files import Signature
from dockerv6.source.load import Quiescence

NOW = 1_700_000_000.0


def at(modified: float, size: int = 1) -> Signature:
    return Signature(1, 1, size, round(modified * 1e9), 0)


def test_old_file_is_complete() -> None:
    assert Quiescence(0.2, 5).wait("f", at(100), now=100.2, monotonic=0) == 0


def test_new_file_is_complete_after_the_settle_time() -> None:
    assert Quiescence(0.2, 5).wait("f", at(100), now=100.05, monotonic=0) == pytest.approx(0.15)


def test_file_from_the_future_is_complete_when_it_was_seen_unchanged() -> None:
    settling = Quiescence(0.2, 5)
    assert settling.wait("f", at(10_000), now=100, monotonic=0) == pytest.approx(0.2)
    assert settling.wait("f", at(10_000), now=100.1, monotonic=0.1) == pytest.approx(0.1)
    assert settling.wait("f", at(10_000), now=100.3, monotonic=0.3) == 0


def test_every_change_restarts_the_wait() -> None:
    settling = Quiescence(0.2, 5)
    assert settling.wait("f", at(10_000), now=100, monotonic=0) > 0
    assert settling.wait("f", at(10_000, size=2), now=100.3, monotonic=0.3) == pytest.approx(0.2)


def test_patience_counts_from_the_first_change() -> None:
    settling = Quiescence(0.2, 5)
    for tenth in range(51):
        assert not settling.out_of_patience("f", tenth / 10 - 0.05)
        assert settling.wait("f", at(100 + tenth / 10), now=100 + tenth / 10, monotonic=tenth / 10) > 0
    assert settling.out_of_patience("f", 5.0)


def test_a_complete_file_resets_patience() -> None:
    settling = Quiescence(0.2, 5)
    settling.wait("f", at(100), now=100, monotonic=0)
    settling.wait("f", at(100), now=104, monotonic=4)
    settling.wait("f", at(105), now=105, monotonic=5)
    assert not settling.out_of_patience("f", 6)


def test_zero_settle_time_means_always_complete() -> None:
    assert Quiescence(0, 5).wait("f", at(100), now=100, monotonic=0) == 0
    assert Quiescence(0, 5).wait("f", at(200), now=100, monotonic=0) == 0


def test_deleted_files_are_forgotten() -> None:
    settling = Quiescence(0.2, 5)
    settling.wait("f", at(100), now=100, monotonic=0)
    settling.forget_all_but(set())
    assert not settling.out_of_patience("f", 100)
