from dockerv6.reconciler.delays import Delays
from dockerv6.reconciler.request import Key

A, B, C = (Key("Thing", name) for name in "abc")


def test_keys_come_out_when_due_earliest_first() -> None:
    delays = Delays()
    for key, due in ((A, 3.0), (B, 1.0), (C, 2.0)):
        delays.add(key, due)
    assert delays.next() == 1
    assert delays.pop(2) == [B, C]
    assert delays.pop(2) == []
    assert A in delays
    assert len(delays) == 1


def test_keys_due_together_keep_their_order() -> None:
    delays = Delays()
    for key in (C, A, B):
        delays.add(key, 1)
    assert delays.pop(1) == [C, A, B]


def test_earliest_due_time_wins() -> None:
    delays = Delays()
    for due in (5, 2, 9):
        delays.add(A, due)
    assert delays.pop(2) == [A]
    assert delays.pop(100) == []


def test_discarded_key_never_comes() -> None:
    delays = Delays()
    delays.add(A, 1)
    delays.discard(A)
    delays.discard(B)
    assert delays.next() is None
    assert delays.pop(100) == []


def test_discarded_key_can_be_added_again_for_later() -> None:
    delays = Delays()
    delays.add(A, 1)
    delays.discard(A)
    delays.add(A, 5)
    assert delays.pop(4) == []
    assert delays.pop(5) == [A]


def test_hot_key_leaves_no_litter_behind() -> None:
    delays = Delays()
    for n in range(10_000):
        delays.add(A, 86_400 + n)
        delays.discard(A)
    delays.add(A, 100_000)
    assert len(delays._heap) < 100
    assert delays.pop(1e9) == [A]
