"""Expressions as xtables rules. The real kernel's are read in tests/host/test_ipv6nat.py and test_foreign_tables.py."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.nftables.foreign import NftExpression, NftRule, decode_chain, decode_rule
from dockerv6.firewall.nftables.kernel import attributes_of
from dockerv6.firewall.xtables.nft import decode
from dockerv6.firewall.xtables.rule import ChainTarget, ExtensionTarget, PlainTarget, XtablesRule
from tests.unit.lib.encoding import attribute

MARK = 0x10000000
EQUAL, NOT_EQUAL, LESS = 0, 1, 2


def number(value: int) -> bytes:
    return struct.pack("!i", value)


def data(value: bytes) -> bytes:
    return attribute(1, value)


def meta(key: int) -> NftExpression:
    return NftExpression("meta", {1: number(1), 2: number(key)})


def payload(base: int, offset: int, size: int) -> NftExpression:
    return NftExpression("payload", {1: number(1), 2: number(base), 3: number(offset), 4: number(size)})


def bits(mask: bytes, inverted: bytes = b"") -> NftExpression:
    attributes = {
        1: number(1),
        2: number(1),
        3: number(len(mask)),
        4: data(mask),
        5: data(inverted or bytes(len(mask))),
    }
    return NftExpression("bitwise", attributes)


def compare(value: bytes, operator: int = EQUAL) -> NftExpression:
    return NftExpression("cmp", {1: number(1), 2: number(operator), 3: data(value)})


def verdict(code: int, chain: str = "") -> NftExpression:
    name = attribute(2, chain.encode() + b"\0") if chain else b""
    return NftExpression("immediate", {1: number(0), 2: attribute(2, attribute(1, number(code)) + name)})


def xt(kind: str, name: str, revision: int = 0, content: bytes = b"") -> NftExpression:
    return NftExpression(kind, {1: name.encode() + b"\0", 2: number(revision), 3: content})


def rule(*expressions: NftExpression, family: str = "ip6") -> XtablesRule:
    return decode(NftRule("nat", "C", 7, expressions), family)


COUNTER = NftExpression("counter", {})
LOOPBACK = IPv6Address("::1").packed
HOST_MARK = struct.pack("=I", MARK)


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ((meta(6), compare(b"br-a".ljust(16, b"\0"), NOT_EQUAL)), XtablesRule(iif="! br-a")),
        ((meta(7), compare(b"br-a\0")), XtablesRule(oif="br-a")),
        ((meta(7), compare(b"br-")), XtablesRule(oif="br-/")),
        ((meta(16), compare(b"\x84")), XtablesRule(protocol="sctp")),
        ((payload(1, 6, 1), compare(b"\x3b")), XtablesRule(protocol="59")),
        ((payload(1, 8, 8), compare(bytes.fromhex("fd00000100000000"))), XtablesRule(source="fd00:1::/64")),
        (
            (payload(1, 8, 16), bits(b"\xff\xc0".ljust(16, b"\0")), compare(b"\xfe\x80".ljust(16, b"\0"), NOT_EQUAL)),
            XtablesRule(source="! fe80::/10"),
        ),
        ((payload(1, 24, 16), compare(LOOPBACK, NOT_EQUAL)), XtablesRule(destination="! ::1/128")),
        ((payload(1, 24, 16), bits(LOOPBACK), compare(LOOPBACK)), XtablesRule(unknown=("cmp",))),
        ((payload(1, 8, 32), compare(LOOPBACK * 2)), XtablesRule(unknown=("cmp",))),
        (
            (meta(16), compare(b"\6"), payload(2, 2, 2), compare(b"\0\x50")),
            XtablesRule(protocol="tcp", ports=(80, 80)),
        ),
        ((payload(2, 2, 2), compare(b"\0\x50")), XtablesRule(ports=(80, 80))),
        ((payload(2, 2, 2), compare(b"\0\x50", NOT_EQUAL)), XtablesRule(unknown=("cmp",))),
        ((payload(2, 0, 2), compare(b"\0\x50")), XtablesRule(unknown=("cmp",))),
        ((meta(3), bits(HOST_MARK), compare(HOST_MARK)), XtablesRule(mark_all=MARK)),
        ((meta(3), bits(HOST_MARK), compare(bytes(4), NOT_EQUAL)), XtablesRule(mark=MARK)),
        ((meta(3), bits(HOST_MARK), compare(b"\1\0\0\0")), XtablesRule(unknown=("cmp",))),
        ((meta(3), compare(HOST_MARK)), XtablesRule(unknown=("cmp",))),
        ((meta(3), bits(HOST_MARK, HOST_MARK), compare(HOST_MARK)), XtablesRule(unknown=("bitwise", "cmp"))),
        ((meta(7), compare(b"br-a\0", LESS)), XtablesRule(unknown=("cmp",))),
        ((meta(15), compare(b"\x0a")), XtablesRule()),
        ((meta(15), compare(b"\x02")), XtablesRule(unknown=("cmp",))),
        ((meta(6), compare(b"a\0"), meta(6), compare(b"b\0", NOT_EQUAL)), XtablesRule(iif="a", unknown=("cmp",))),
        ((meta(6), NftExpression("fib", {}), compare(b"a\0")), XtablesRule(unknown=("fib", "cmp"))),
        ((meta(6), NftExpression("lookup", {})), XtablesRule(unknown=("lookup",))),
        ((xt("match", "statistic"),), XtablesRule(unknown=("statistic",))),
        ((xt("match", "comment", content=b"mine\0"),), XtablesRule(comment="mine")),
        ((xt("match", "addrtype", 1, struct.pack("=HHI", 0, 4, 0)),), XtablesRule(destination_type="LOCAL")),
        ((xt("match", "mark", 1, struct.pack("=IIB", MARK, MARK, 0)),), XtablesRule(mark_all=MARK)),
        ((xt("target", "DNAT"),), XtablesRule(ExtensionTarget("DNAT"))),
        ((xt("target", "MASQUERADE"),), XtablesRule(PlainTarget.MASQUERADE)),
        ((NftExpression("masq", {}),), XtablesRule(PlainTarget.MASQUERADE)),
        ((NftExpression("nat", {1: number(1)}),), XtablesRule(ExtensionTarget("DNAT"))),
        ((NftExpression("nat", {1: number(0)}),), XtablesRule(unknown=("nat",))),
        ((NftExpression("reject", {}),), XtablesRule(ExtensionTarget("REJECT"))),
        ((verdict(0),), XtablesRule(PlainTarget.DROP)),
        ((verdict(1),), XtablesRule(PlainTarget.ACCEPT)),
        ((verdict(-5),), XtablesRule(PlainTarget.RETURN)),
        ((verdict(-1),), XtablesRule()),
        ((verdict(-3, "DOCKER"),), XtablesRule(ChainTarget("DOCKER", jump=True))),
        ((verdict(-4, "DOCKER"),), XtablesRule(ChainTarget("DOCKER"))),
        ((verdict(3),), XtablesRule(unknown=("verdict",))),
        ((NftExpression("objref", {1: number(1)}),), XtablesRule()),
        ((NftExpression("objref", {1: number(2)}),), XtablesRule(unknown=("objref",))),
        ((NftExpression("limit", {}),), XtablesRule(unknown=("limit",))),
        ((NftExpression("of a later kernel", {}),), XtablesRule(unknown=("of a later kernel",))),
        ((NftExpression("log", {}),), XtablesRule()),
        ((NftExpression("meta", {2: number(3), 3: number(1)}), verdict(0)), XtablesRule(PlainTarget.DROP)),
    ],
    ids=str,
)
def test_expressions_are_decoded(expressions: tuple[NftExpression, ...], expected: XtablesRule) -> None:
    assert rule(COUNTER, *expressions) == expected


def test_addresses_of_ipv4_are_decoded_in_its_family() -> None:
    found = rule(payload(1, 16, 1), compare(b"\x7f", NOT_EQUAL), family="ip")
    assert found == XtablesRule(destination="! 127.0.0.0/8")


def test_the_comment_that_nft_shows_is_kept() -> None:
    assert decode(NftRule("nat", "C", 7, (COUNTER,), "mine"), "ip6").comment == "mine"


def test_a_chain_that_a_later_kernel_describes_is_shown_by_numbers() -> None:
    hook = attribute(1, number(9)) + attribute(2, number(-5))
    found = decode_chain(99, {1: b"t\0", 3: b"c\0", 4: hook, 5: number(7)})
    assert (found.family, found.hook, found.policy, found.priority) == ("99", "9", "7", -5)


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(garbage: bytes) -> None:
    attributes = dict(attributes_of(garbage))
    decode_chain(10, attributes)
    decode(decode_rule(attributes), "inet")
    decode(decode_rule({4: attribute(1, attribute(1, b"payload\0") + attribute(2, garbage)) + garbage}), "ip6")
