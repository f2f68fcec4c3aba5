"""Lookups in sets of every kind, with keys of which bits may be unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.walk.bits import Answer, Bits, alike, every, exact, negated, unknown
from dockerv6.firewall.walk.sets import FoundElement, WalkSet, decode_set
from dockerv6.lib import netlink


def element(key: bytes, *more: bytes, flags: int = 0) -> bytes:
    parts = [kernel.nested(1, netlink.attribute(1, key))] if key else []
    return kernel.nested(1, *parts, *([kernel.number(3, flags)] if flags else []), *more)


def decoded(*elements: bytes, flags: int = 0, size: int = 2, fields: tuple[int, ...] = ()) -> WalkSet:
    description = kernel.nested(2, *(kernel.nested(1, kernel.number(1, each)) for each in fields))
    attributes = {3: flags.to_bytes(4, "big"), 5: size.to_bytes(4, "big")}
    if fields:
        attributes[9] = description
    return decode_set(attributes, [kernel.nested(3, *elements)])


def answers(of: WalkSet, *keys: bytes) -> list[Answer]:
    return [of.find(exact(key)).answer for key in keys]


def test_single_keys() -> None:
    some = decoded(element(b"\0\1"), element(b"\0\3"))
    assert answers(some, b"\0\1", b"\0\2", b"\0\3") == [True, False, True]
    assert some.find(unknown(2)).answer is None
    assert some.find(Bits(b"\1\0", b"\xff\0")).answer is False


def test_a_tree_names_where_ranges_begin_and_have_ended() -> None:
    tree = decoded(element(b"\0\0", flags=1), element(b"\0\5"), element(b"\0\7", flags=1), element(b"\x10\0"), flags=4)
    assert answers(tree, b"\0\4", b"\0\5", b"\0\6", b"\0\7", b"\x0f\xff", b"\x10\0", b"\xff\xff") == [
        *(False, True, True, False, False, True, True)
    ]
    assert tree.find(Bits(b"\0\4", b"\xff\xfe")).answer is None


def test_ranges_in_each_field() -> None:
    end = kernel.nested(10, netlink.attribute(1, b"\0\x0f\0\0\7\0\0\0"))
    some = decoded(element(b"\0\0\0\0\6\0\0\0", end), flags=4 | 0x80, size=8, fields=(2, 1))
    inside, port, protocol = b"\0\5\0\0\6\0\0\0", b"\0\x10\0\0\6\0\0\0", b"\0\5\0\0\x11\0\0\0"
    assert answers(some, inside, port, protocol) == [True, False, False]
    odd = kernel.nested(10, netlink.attribute(1, b"\0\x0e\0\0\7\0\0\0"))
    some = decoded(element(b"\0\1\0\0\6\0\0\0", odd), flags=4 | 0x80, size=8, fields=(2, 1))
    assert answers(some, inside, port, b"\0\0\0\0\6\0\0\0") == [True, False, False]


def test_the_element_for_all_other_keys() -> None:
    value = kernel.nested(2, netlink.attribute(1, b"\7"))
    some = decoded(element(b"\0\1"), element(b"", value, flags=2))
    assert some.find(exact(b"\0\2")).elements[0].value == b"\7"
    assert answers(some, b"\0\1", b"\0\2") == [True, True]
    assert len(some.find(unknown(2)).elements) == 2


def test_an_element_with_a_limit_may_match() -> None:
    limit = kernel.nested(7, kernel.text(1, "limit"))
    counter = kernel.nested(11, kernel.nested(1, kernel.text(1, "counter")))
    assert answers(decoded(element(b"\0\1", limit)), b"\0\1", b"\0\2") == [None, False]
    assert answers(decoded(element(b"\0\1", counter)), b"\0\1") == [True]


def test_a_set_that_is_too_large_has_no_answer() -> None:
    messages = [kernel.nested(3, *(element(bytes((0, block, n))) for n in range(256))) for block in range(256)]
    size = {5: b"\0\0\0\3"}
    assert answers(decode_set(size, messages), b"\0\0\1") == [True]
    assert answers(decode_set(size, [*messages, kernel.nested(3, element(b"\1\0\0"))]), b"\0\0\1") == [None]
    many = WalkSet(tuple(FoundElement(n.to_bytes(2, "big"), n.to_bytes(2, "big")) for n in range(4096)), 2)
    assert many.find(unknown(2)).answer is None
    assert answers(many, b"\0\1") == [True]


BYTES = st.integers(0, 255)
_PAD = bytes(3)


@given(st.lists(st.tuples(BYTES, BYTES), max_size=6), BYTES, BYTES)
def test_the_answer_for_a_partly_known_key_holds_for_every_such_key(
    ranges: list[tuple[int, int]], value: int, known: int
) -> None:
    listed = tuple(FoundElement(bytes((min(each),)) + _PAD, bytes((max(each),)) + _PAD) for each in ranges)
    some = WalkSet(listed, 4, (1,))
    answer = some.find(Bits(bytes((value & known,)) + _PAD, bytes((known,)) + b"\xff" * 3)).answer
    each = {some.find(exact(bytes((key,)) + _PAD)).answer for key in range(256) if key & known == value & known}
    assert answer is None or each == {answer}


@given(st.binary(min_size=2, max_size=2), st.binary(min_size=2, max_size=2), st.binary(min_size=2, max_size=2))
def test_the_answer_for_partly_known_bits_holds_for_every_value(data: bytes, known: bytes, other: bytes) -> None:
    masked = bytes(a & b for a, b in zip(data, known, strict=True))
    value = Bits(masked, known)
    assert value.equals(data) is not False
    assert value.within(data, data) is not False
    assert value.masked(other, b"").equals(bytes(a & b for a, b in zip(data, other, strict=True))) is not False
    assert value.swapped(2).equals(data[::-1]) is not False
    assert alike([value, exact(other)]).equals(other) is not False


@pytest.mark.parametrize(("given", "expected"), [((True, None), None), ((None, False), False), ((), True)])
def test_all_of_several_answers(given: tuple[Answer, ...], expected: Answer) -> None:
    assert every(*given) is expected
    assert negated(negated(expected)) is expected
