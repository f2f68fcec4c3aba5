"""Packets of the probes: what is sent, and what may come back, damaged or not."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.probe.packets import HEADERS, EchoReply, IcmpError, decode_dns, decode_icmp, dns_query, echo_request

_TARGET = IPv6Address("2001:db8::7")
_IPV6 = struct.Struct("!IHBB16s16s")


def _error(kind: int, code: int, inner: bytes, protocol: int = 58, value: int = 0) -> bytes:
    header = _IPV6.pack(6 << 28, len(inner), protocol, 64, IPv6Address("fd00::2").packed, _TARGET.packed)
    return struct.pack("!BBHI", kind, code, 0, value) + header + inner


@pytest.mark.parametrize("size", [HEADERS, 1280, 1500])
def test_an_echo_request_is_as_large_as_asked_with_its_headers(size: int) -> None:
    assert len(echo_request(7, 1, size)) == size - 40


def test_an_echo_reply_is_recognised_by_identifier_and_sequence() -> None:
    reply = b"\x81" + echo_request(7, 1, 64)[1:]
    assert decode_icmp(reply) == EchoReply(7, 1)
    assert decode_icmp(echo_request(7, 1, 64)) is None


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (1, 0, "no route to destination"),
        (1, 1, "administratively prohibited"),
        (1, 77, "unreachable, code 77"),
        (3, 0, "time exceeded"),
        (4, 0, "parameter problem"),
    ],
)
def test_an_error_names_the_packet_that_caused_it(kind: int, code: int, words: str) -> None:
    error = decode_icmp(_error(kind, code, echo_request(7, 3, 64)))
    assert isinstance(error, IcmpError)
    assert words in error.what
    assert (error.destination, error.source_port, error.mtu) == (_TARGET, 7, 0)


def test_a_packet_too_big_has_its_mtu() -> None:
    error = decode_icmp(_error(2, 0, echo_request(7, 0, 1500), value=1280))
    assert isinstance(error, IcmpError)
    assert error.mtu == 1280


def test_an_error_about_tcp_has_the_source_port() -> None:
    error = decode_icmp(_error(1, 4, struct.pack("!HHI", 40000, 443, 1), protocol=6))
    assert isinstance(error, IcmpError)
    assert (error.protocol, error.source_port) == (6, 40000)


@given(st.binary(max_size=200))
def test_no_icmp_message_raises(message: bytes) -> None:
    decode_icmp(message)


@given(st.integers(0, 255), st.binary(max_size=120))
def test_a_truncated_error_is_none_or_an_error(kind: int, message: bytes) -> None:
    assert isinstance(decode_icmp(bytes((kind,)) + message), EchoReply | IcmpError | None)


def _answer(records: bytes, count: int, flags: int = 0x8180, identifier: int = 9) -> bytes:
    query = dns_query(identifier, "www.example.org")
    return struct.pack("!HHHHHH", identifier, flags, 1, count, 0, 0) + query[12:] + records


def _record(kind: int, content: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(content)) + content


def test_addresses_follow_other_records() -> None:
    records = _record(5, b"\3cdn\xc0\x10") + _record(28, _TARGET.packed)
    assert decode_dns(_answer(records, 2), 9) == ("NOERROR", (_TARGET,))


@pytest.mark.parametrize(("flags", "code"), [(0x8182, "SERVFAIL"), (0x8183, "NXDOMAIN"), (0x818B, "RCODE 11")])
def test_a_response_code_is_named(flags: int, code: str) -> None:
    assert decode_dns(_answer(b"", 0, flags), 9) == (code, ())


def test_what_is_not_the_response_is_none() -> None:
    assert decode_dns(_answer(b"", 0), 8) is None
    assert decode_dns(dns_query(9, "www.example.org"), 9) is None
    assert decode_dns(_answer(_record(28, b"short"), 1), 9) is None
    assert decode_dns(_answer(b"", 1), 9) is None


@given(st.binary(max_size=200))
def test_no_dns_message_raises(message: bytes) -> None:
    decode_dns(b"\0\x09\x81\x80" + message, 9)


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, "ü" * 60])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"label|host name"):
        dns_query(1, name)
