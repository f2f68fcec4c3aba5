"""The packets of the probes: ICMPv6 (RFC 4443) and DNS (RFC 1035). Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

TCP, ICMPV6 = 6, 58
"""Protocol numbers of a next header."""

AAAA = 28
"""The type of a DNS record with an IPv6 address (RFC 3596)."""

HEADERS = 48
"""Bytes of an IPv6 header and an ICMPv6 header."""

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED, _PARAMETER_PROBLEM = 1, 2, 3, 4
_IPV6_HEADER = 40
_NEXT_HEADER, _DESTINATION = 6, 24  # offsets in an IPv6 header
_ERROR_HEADER = 8
_UNREACHABLE_CODES = {
    0: "no route to destination",
    1: "administratively prohibited: a firewall rejects it",
    2: "beyond scope of source address",
    3: "address unreachable: nobody answers neighbour solicitations for it",
    4: "port unreachable: nothing listens there, or a firewall rejects it",
    5: "source address failed ingress/egress policy",
    6: "reject route to destination",
}
_OTHER_ERRORS = {
    _TOO_BIG: "packet too big",
    _TIME_EXCEEDED: "time exceeded: the hop limit was reached",
    _PARAMETER_PROBLEM: "parameter problem",
}

_DNS_HEADER = struct.Struct("!HHHHHH")  # id, flags, counts of questions, answers, authorities, additional records
_DNS_RECORD = struct.Struct("!HHIH")  # type, class, ttl, length of the data
_RECURSION_DESIRED = 0x0100
_IN = 1
_LONGEST_LABEL = 63
_POINTER = 0xC0
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


@dataclass(frozen=True, slots=True)
class EchoReply:
    """An echo reply, by what the request had."""

    identifier: int
    sequence: int


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMPv6 error message, with the addresses of the packet that caused it.

    Attributes:
        what: its type and code in words.
        mtu: of a packet-too-big message, else 0.
        destination: of the packet.
        protocol: of the packet.
        source_port: of the packet; of an echo request its identifier.
    """

    what: str
    mtu: int
    destination: IPv6Address
    protocol: int
    source_port: int


def echo_request(identifier: int, sequence: int, size: int) -> bytes:
    """An echo request that is an IPv6 packet of this size. The kernel fills in the checksum (RFC 3542, 3.1)."""
    return _ECHO.pack(_ECHO_REQUEST, 0, 0, identifier, sequence) + bytes(max(0, size - HEADERS))


def decode_icmp(message: bytes) -> EchoReply | IcmpError | None:
    """Decode what a raw ICMPv6 socket receives; None: it is neither, or truncated."""
    if len(message) < _ECHO.size:
        return None
    kind, code, _, identifier, sequence = _ECHO.unpack_from(message)
    if kind == _ECHO_REPLY:
        return EchoReply(identifier, sequence)
    inner = _ERROR_HEADER + _IPV6_HEADER
    if not _UNREACHABLE <= kind <= _PARAMETER_PROBLEM or len(message) < inner + _ECHO.size:
        return None
    protocol = message[_ERROR_HEADER + _NEXT_HEADER]
    to = IPv6Address(message[_ERROR_HEADER + _DESTINATION : inner])
    start = inner + 4 if protocol == ICMPV6 else inner
    source = int.from_bytes(message[start : start + 2], "big")
    what = _UNREACHABLE_CODES.get(code, f"unreachable, code {code}") if kind == _UNREACHABLE else _OTHER_ERRORS[kind]
    mtu = int.from_bytes(message[4:8], "big") if kind == _TOO_BIG else 0
    return IcmpError(what, mtu, to, protocol, source)


def dns_query(identifier: int, name: str) -> bytes:
    """A recursive query for the AAAA records of a name.

    Raises:
        ValueError: it is not a host name.
    """
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    if any(not 0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError(f"{name!r} is not a host name")
    question = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return _DNS_HEADER.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 0) + question + struct.pack("!HH", AAAA, _IN)


def decode_dns(message: bytes, identifier: int) -> tuple[str, tuple[IPv6Address, ...]] | None:
    """The response code, such as ``NXDOMAIN``, and the addresses; None: it is no response to that query, or damaged."""
    try:
        number, flags, questions, answers, _, _ = _DNS_HEADER.unpack_from(message)
        if number != identifier or not flags & 0x8000:
            return None
        return _RCODES.get(flags & 0xF, f"RCODE {flags & 0xF}"), tuple(_addresses(message, questions, answers))
    except (struct.error, IndexError, ValueError):
        return None


def _addresses(message: bytes, questions: int, answers: int) -> Iterator[IPv6Address]:
    position = _DNS_HEADER.size
    for _ in range(questions):
        position = _after_name(message, position) + 4
    for _ in range(answers):
        position = _after_name(message, position)
        kind, _, _, length = _DNS_RECORD.unpack_from(message, position)
        position += _DNS_RECORD.size + length
        if kind == AAAA:
            yield IPv6Address(message[position - length : position])


def _after_name(message: bytes, position: int) -> int:
    while length := message[position]:
        if length & _POINTER == _POINTER:
            return position + 2
        position += 1 + length
    return position + 1
