import struct

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet.netlink import attributes, find, messages, pick, text


def message(kind: int, payload: bytes) -> bytes:
    padding = bytes(-len(payload) % 4)
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload + padding


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=20)), max_size=5))
def test_messages_come_back_as_they_were_framed(sent: list[tuple[int, bytes]]) -> None:
    datagram = b"".join(message(kind, payload) for kind, payload in sent)
    assert [(kind, datagram[start:end]) for kind, start, end in messages(datagram)] == sent


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20)), max_size=5))
def test_attributes_come_back_as_they_were_framed(sent: list[tuple[int, bytes]]) -> None:
    part = b"".join(attribute(kind, value) for kind, value in sent)
    assert [(kind, part[start:end]) for kind, start, end in attributes(part, 0, len(part))] == sent


@given(st.binary(max_size=64))
def test_whatever_arrives_reading_it_ends_within_it(garbage: bytes) -> None:
    for _, start, end in messages(garbage):
        assert 0 <= start <= end <= len(garbage)
        for _, value, stop in attributes(garbage, start, end):
            assert start <= value <= stop <= end


def test_flags_in_an_attributes_type_are_not_part_of_it() -> None:
    part = attribute(0x8000 | 18, b"x")
    assert [kind for kind, _, _ in attributes(part, 0, len(part))] == [18]


def test_a_message_that_was_cut_off_is_left_out() -> None:
    whole = message(16, b"abcd")
    assert [kind for kind, _, _ in messages(whole + message(17, b"abcd")[:-1])] == [16]


def test_text_ends_with_its_nul_or_its_attribute() -> None:
    assert text(b"eth0\0junk", 0, 9) == "eth0"
    assert text(b"eth0junk", 0, 4) == "eth0"


@given(st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=9)), max_size=6), st.sets(st.integers(0, 4)))
def test_picking_and_finding_give_what_walking_gives(sent: list[tuple[int, bytes]], wanted: set[int]) -> None:
    part = b"".join(attribute(kind, value) for kind, value in sent)
    walked = list(attributes(part, 0, len(part)))
    assert pick(part, 0, len(part), wanted) == {kind: (start, end) for kind, start, end in walked if kind in wanted}
    for kind in wanted:
        first = next(((start, end) for found, start, end in walked if found == kind), None)
        assert find(part, 0, len(part), kind) == first


@given(st.binary(max_size=64))
def test_picking_and_finding_end_within_whatever_arrives(garbage: bytes) -> None:
    walked = list(attributes(garbage, 0, len(garbage)))
    everything = {kind for kind, _, _ in walked}
    assert pick(garbage, 0, len(garbage), everything).keys() == everything
    assert find(garbage, 0, len(garbage), 0x4000) is None
