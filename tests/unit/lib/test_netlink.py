import errno
import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.netlink import (
    NETLINK_ROUTE,
    NetlinkSocket,
    RefusedMessageError,
    attributes,
    find,
    messages,
    pick,
    text,
)
from tests.unit.lib.encoding import attribute, message


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=20)), max_size=5))
def test_messages_are_decoded_as_encoded(sent: list[tuple[int, bytes]]) -> None:
    datagram = b"".join(message(kind, payload) for kind, payload in sent)
    assert [(kind, datagram[start:end]) for kind, start, end in messages(datagram)] == sent


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20)), max_size=5))
def test_attributes_are_decoded_as_encoded(sent: list[tuple[int, bytes]]) -> None:
    part = b"".join(attribute(kind, value) for kind, value in sent)
    assert [(kind, part[start:end]) for kind, start, end in attributes(part, 0, len(part))] == sent


@given(st.binary(max_size=64))
def test_decoding_stays_within_any_input(garbage: bytes) -> None:
    for _, start, end in messages(garbage):
        assert 0 <= start <= end <= len(garbage)
        for _, value, stop in attributes(garbage, start, end):
            assert start <= value <= stop <= end


def test_flags_are_not_part_of_an_attributes_type() -> None:
    part = attribute(0x8000 | 18, b"x")
    assert [kind for kind, _, _ in attributes(part, 0, len(part))] == [18]


def test_a_truncated_message_is_left_out() -> None:
    whole = message(16, b"abcd")
    assert [kind for kind, _, _ in messages(whole + message(17, b"abcd")[:-1])] == [16]


def test_text_ends_at_the_first_nul_or_with_its_attribute() -> None:
    assert text(b"eth0\0junk", 0, 9) == "eth0"
    assert text(b"eth0junk", 0, 4) == "eth0"


@given(st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=9)), max_size=6), st.sets(st.integers(0, 4)))
def test_pick_and_find_agree_with_attributes(sent: list[tuple[int, bytes]], wanted: set[int]) -> None:
    part = b"".join(attribute(kind, value) for kind, value in sent)
    walked = list(attributes(part, 0, len(part)))
    assert pick(part, 0, len(part), wanted) == {kind: (start, end) for kind, start, end in walked if kind in wanted}
    for kind in wanted:
        first = next(((start, end) for found, start, end in walked if found == kind), None)
        assert find(part, 0, len(part), kind) == first


@given(st.binary(max_size=64))
def test_pick_and_find_stay_within_any_input(garbage: bytes) -> None:
    walked = list(attributes(garbage, 0, len(garbage)))
    everything = {kind for kind, _, _ in walked}
    assert pick(garbage, 0, len(garbage), everything).keys() == everything
    assert find(garbage, 0, len(garbage), 0x4000) is None


ERROR, DONE, LINK = 2, 3, 16
INTERRUPTED = 0x10


def error(code: int, sequence: int = 0) -> bytes:
    return message(ERROR, struct.pack("=i", -code), sequence=sequence)


class FakeSocket:
    """A netlink socket with prepared answers, of any number of connections."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: deque[bytes | OSError] = deque()
        self.opened = 0

    def __call__(self, *_: object) -> "FakeSocket":
        self.opened += 1
        return self

    def settimeout(self, _seconds: float) -> None: ...

    def setsockopt(self, *_: object) -> None: ...

    def bind(self, _address: tuple[int, int]) -> None: ...

    def close(self) -> None: ...

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, _size: int) -> bytes:
        answer = self.answers.popleft()
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeSocket:
    made = FakeSocket()
    monkeypatch.setattr("dockerv6.lib.netlink.socket.socket", made)
    return made


@pytest.fixture
def connection(kernel: FakeSocket) -> NetlinkSocket:
    del kernel
    return NetlinkSocket(NETLINK_ROUTE)


def payloads(answer: list[tuple[bytes, int, int]]) -> list[bytes]:
    return [datagram[start:end] for datagram, start, end in answer]


class TestSocket:
    def test_a_dump_is_read_to_its_end(self, kernel: FakeSocket, connection: NetlinkSocket) -> None:
        kernel.answers += [message(LINK, b"one.") + message(LINK, b"two."), message(LINK, b"six."), message(DONE, b"")]
        assert payloads(connection.dump(18, b"")) == [b"one.", b"two.", b"six."]
        assert kernel.opened == 1

    def test_an_interrupted_dump_is_an_error(self, kernel: FakeSocket, connection: NetlinkSocket) -> None:
        kernel.answers += [message(LINK, b"one.", flags=INTERRUPTED), message(DONE, b"")]
        with pytest.raises(InterruptedError):
            connection.dump(18, b"")

    def test_an_interrupted_dump_can_be_retried(self, kernel: FakeSocket, connection: NetlinkSocket) -> None:
        kernel.answers += [message(LINK, b"old.", flags=INTERRUPTED) + message(DONE, b"")]
        kernel.answers += [message(LINK, b"new.") + message(DONE, b"")]
        assert payloads(connection.dump_with_retries(18, b"")) == [b"new."]

    def test_a_list_that_never_stops_changing_is_returned_as_it_is(
        self, kernel: FakeSocket, connection: NetlinkSocket
    ) -> None:
        kernel.answers += [message(LINK, b"torn", flags=INTERRUPTED) + message(DONE, b"")] * 8
        assert payloads(connection.dump_with_retries(18, b"")) == [b"torn"]

    @pytest.mark.parametrize(("code", "kind"), [(errno.ENOENT, FileNotFoundError), (errno.EPERM, PermissionError)])
    def test_an_error_of_the_kernel_is_an_oserror_and_the_socket_stays_open(
        self, kernel: FakeSocket, connection: NetlinkSocket, code: int, kind: type[OSError]
    ) -> None:
        kernel.answers += [error(code), message(LINK, b"one.")]
        with pytest.raises(kind) as raised:
            connection.get(18, b"")
        assert raised.value.errno == code
        assert payloads(connection.get(18, b"")) == [b"one."]
        assert kernel.opened == 1

    def test_a_list_that_is_not_read_to_its_end_closes_the_socket(
        self, kernel: FakeSocket, connection: NetlinkSocket
    ) -> None:
        kernel.answers += [message(LINK, b"one.") + message(LINK, b"two."), message(LINK, b"six.")]
        listing = connection.stream(18, b"")
        next(listing)
        del listing
        assert payloads(connection.get(18, b"")) == [b"six."]
        assert kernel.opened == 2

    def test_a_timeout_closes_the_socket(self, kernel: FakeSocket, connection: NetlinkSocket) -> None:
        kernel.answers += [TimeoutError("timed out"), error(0)]
        with pytest.raises(TimeoutError):
            connection.command(16, 0, b"")
        connection.command(16, 0, b"")
        assert kernel.opened == 2

    def test_commands_are_sent_in_batches_and_tolerated_errors_are_not_counted(
        self, kernel: FakeSocket, connection: NetlinkSocket
    ) -> None:
        kernel.answers += [error(errno.ENOENT, 3) + error(0, 64), error(errno.ENOENT, 36)]
        assert connection.command_each(2, [b"flow"] * 100, tolerated=errno.ENOENT) == 98
        assert len(kernel.sent) == 2

    def test_any_other_error_of_a_batch_is_raised(self, kernel: FakeSocket, connection: NetlinkSocket) -> None:
        kernel.answers += [error(errno.EPERM, 1)]
        with pytest.raises(PermissionError):
            connection.command_each(2, [b"flow"] * 2, tolerated=errno.ENOENT)

    def test_a_transaction_is_one_datagram_of_numbered_messages(
        self, kernel: FakeSocket, connection: NetlinkSocket
    ) -> None:
        kernel.answers += [error(0, 1)]
        connection.transaction([(16, 0, b"begin"), (2, 4, b"work"), (17, 0, b"end.")])
        parts = [
            message(kind, payload, flags=flags, sequence=place)
            for place, (kind, flags, payload) in enumerate([(16, 1, b"begin"), (2, 5, b"work"), (17, 1, b"end.")])
        ]
        assert kernel.sent == [b"".join(parts)]

    def test_a_refused_transaction_names_the_message_and_closes_the_socket(
        self, kernel: FakeSocket, connection: NetlinkSocket
    ) -> None:
        kernel.answers += [error(errno.EEXIST, 1), error(0, 1)]
        with pytest.raises(RefusedMessageError) as refused:
            connection.transaction([(16, 0, b""), (2, 4, b""), (17, 0, b"")])
        assert (refused.value.errno, refused.value.place) == (errno.EEXIST, 1)
        connection.command(16, 0, b"")
        assert kernel.opened == 2
