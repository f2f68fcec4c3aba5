"""Routing policy rules as the kernel sends them. The contract tests read real ones."""

import struct

from dockerv6.hostnet.routes import decode_rule

HEADER = struct.Struct("=BBBBBxxBI")


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def test_a_rule_that_chooses_no_table_is_none() -> None:
    unreachable = HEADER.pack(10, 0, 0, 0, 0, 7, 0) + attribute(6, struct.pack("=I", 5))
    assert decode_rule(unreachable, 0, len(unreachable)) is None


def test_tos_and_an_unset_suppressor_are_understood() -> None:
    message = HEADER.pack(10, 0, 0, 8, 52, 1, 0) + attribute(14, b"\xff\xff\xff\xff")
    rule = decode_rule(message, 0, len(message))
    assert rule is not None
    assert (rule.table, rule.conditions, rule.suppressed) == (52, frozenset({"tos"}), None)
