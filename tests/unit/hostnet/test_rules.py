"""Routing policy rules as the kernel sends them. The contract tests read real ones."""

import struct
from ipaddress import IPv6Network

import pytest

from dockerv6.hostnet.model import RoutingRule
from dockerv6.hostnet.routes import decode_rule

HEADER = struct.Struct("=BBBBBxxBI")


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


@pytest.mark.parametrize("action", [2, 3])  # goto, nop
def test_a_rule_that_chooses_no_table_and_drops_nothing_is_none(action: int) -> None:
    message = HEADER.pack(10, 0, 0, 0, 0, action, 0) + attribute(6, struct.pack("=I", 5))
    assert decode_rule(message, 0, len(message)) is None


@pytest.mark.parametrize(("action", "rejects"), [(6, "blackhole"), (7, "unreachable"), (8, "prohibit")])
def test_a_rule_that_drops_has_no_table(action: int, rejects: str) -> None:
    source = IPv6Network("fd99:0:0:4::/62")
    message = HEADER.pack(10, 0, 62, 0, 254, action, 0)
    message += attribute(2, source.network_address.packed) + attribute(3, b"br-xyz\0\0") + attribute(6, b"\5\0\0\0")
    assert decode_rule(message, 0, len(message)) == RoutingRule(
        5, 0, None, frozenset({"from", "iif"}), None, rejects, source, "br-xyz"
    )


def test_tos_and_an_unset_suppressor_are_understood() -> None:
    message = HEADER.pack(10, 0, 0, 8, 52, 1, 0) + attribute(14, b"\xff\xff\xff\xff")
    rule = decode_rule(message, 0, len(message))
    assert rule is not None
    assert (rule.table, rule.conditions, rule.suppressed) == (52, frozenset({"tos"}), None)
