"""Tables as the kernel returns them, built by hand: entries in a row, each chain between its head and a RETURN."""

import struct

from dockerv6.firewall.xtables.entries import COUNTERS, COUNTERS_AT, NAME_AT, OFFSETS, OFFSETS_AT, decode, encode
from dockerv6.firewall.xtables.legacy import ABSENT, LegacyReader, LegacyTable, LegacyWatch
from dockerv6.firewall.xtables.rule import ChainTarget, ExtensionTarget, PlainTarget, XtablesRule

JUMP = XtablesRule(ChainTarget("OURS", jump=True), comment="x")
RULES = (XtablesRule(PlainTarget.DROP, iif="br-a"), XtablesRule(ChainTarget("OTHER")), XtablesRule())


def entry(rule: XtablesRule, verdict: int, packets: int = 0) -> bytes:
    """An entry as the kernel has it: verdicts are numbers, jumps are offsets, packets are counted."""
    raw = bytearray(encode(rule))
    target, size = OFFSETS.unpack_from(raw, OFFSETS_AT)
    raw[target + NAME_AT : target + 32] = bytes(32 - NAME_AT)
    struct.pack_into("=i", raw, target + 32, verdict)
    struct.pack_into("=I", raw, OFFSETS_AT + 4, 0x1F)  # the hooks that lead here
    struct.pack_into("=QQ", raw, COUNTERS_AT, packets, packets * 60)
    assert size == len(raw)
    return bytes(raw)


def head(name: str) -> bytes:
    raw = bytearray(encode(XtablesRule(PlainTarget.DROP)))
    target = OFFSETS.unpack_from(raw, OFFSETS_AT)[0]
    struct.pack_into("=H", raw, target, 64)
    raw[target + NAME_AT : target + 32] = b"ERROR".ljust(30, b"\0")
    raw = raw[: target + 32] + name.encode().ljust(32, b"\0")
    OFFSETS.pack_into(raw, OFFSETS_AT, target, len(raw))
    return bytes(raw)


def table(packets: int = 0) -> LegacyTable:
    policy, back = entry(XtablesRule(PlainTarget.DROP), -2, packets), entry(XtablesRule(PlainTarget.RETURN), -5)
    jump = entry(JUMP, 0, packets)
    first = len(jump) + len(policy) + len(head("OURS"))
    rules = [entry(RULES[0], -1, packets)]
    other_head = len(entry(RULES[1], 0)) + len(entry(RULES[2], 0)) + len(back)
    other = first + len(rules[0]) + other_head + len(head("OTHER"))
    rules.append(entry(RULES[1], other))
    rules.append(entry(RULES[2], first + len(rules[0]) + len(rules[1]) + len(back)))
    parts = [entry(JUMP, first, packets), policy, head("OURS"), *rules, back, head("OTHER"), back, head("ERROR")]
    counters, at = [], 0
    for part in parts:
        counters.append(at + COUNTERS_AT)
        at += len(part)
    return LegacyTable((("FORWARD", 0, len(jump)),), b"".join(parts), tuple(counters))


def test_a_table_gives_the_entries_that_were_written_into_each_chain() -> None:
    assert table(packets=7).entries() == {
        "FORWARD": (encode(JUMP),),
        "OURS": tuple(encode(rule) for rule in RULES),
        "OTHER": (),
    }
    assert ABSENT.entries() == {}


def test_chains_are_decoded_with_their_policies() -> None:
    chains = table().chains("filter")
    assert {name: (chain.policy, [each.rule for each in chain.rules]) for name, chain in chains.items()} == {
        "FORWARD": ("ACCEPT", [JUMP]),
        "OURS": ("", list(RULES)),
        "OTHER": ("", []),
    }
    assert table().chains("filter", "OTHER", "MISSING").keys() == {"OTHER"}


def test_a_target_of_eight_bytes_is_not_taken_for_a_chain() -> None:
    assert decode(encode(XtablesRule(ChainTarget("REJECT", jump=True)))).target == ChainTarget("REJECT", jump=True)
    reject = entry(XtablesRule(ChainTarget("REJECT", jump=True)), 0)
    at = OFFSETS.unpack_from(reject, OFFSETS_AT)[0]
    reject = reject[: at + NAME_AT] + b"REJECT".ljust(29, b"\0") + reject[at + NAME_AT + 29 :]
    only = LegacyTable((("FORWARD", 0, len(reject)),), reject + entry(XtablesRule(PlainTarget.DROP), -2))
    assert [each.rule for each in only.chains("filter")["FORWARD"].rules] == [XtablesRule(ExtensionTarget("REJECT"))]


def test_tables_are_compared_without_their_counters() -> None:
    known = table()
    assert known.equals(table(packets=7).data)
    assert not known.equals(known.data[:-8])
    for at in range(0, len(known.data), 8):
        counter = any(first <= at < first + COUNTERS for first in known.counters)
        flipped = known.data[:at] + bytes([known.data[at] ^ 1]) + known.data[at + 1 :]
        assert known.equals(flipped) is counter


def test_a_comparison_changes_neither_table() -> None:
    known, other = table(), table(packets=7)
    before = bytes(other.data)
    known.equals(other.data)
    assert other.data == before


class Scripted(LegacyReader):
    """Returns the given tables, one for each read."""

    def __init__(self, *found: LegacyTable) -> None:
        super().__init__()
        self.found = list(found)
        self.sizes = True

    def read(self, name: str, known: LegacyTable = ABSENT) -> LegacyTable:
        del name
        now = self.found.pop(0)
        return known if now == known else now

    def same_size(self, name: str, known: LegacyTable) -> bool:
        del name, known
        return self.sizes


def test_a_watch_counts_changes() -> None:
    one, other = table(), table(packets=7)
    watch = LegacyWatch(("nat",), Scripted(ABSENT, one, one, other, ABSENT))
    assert [watch.poll() for _ in range(5)] == [0, 1, 1, 2, 3]


def test_a_large_table_is_read_at_every_eighth_glance_and_when_its_size_changes() -> None:
    large = LegacyTable((), bytes(1 << 20), ())
    tables = Scripted(large, large)
    watch = LegacyWatch(("nat",), tables)
    watch.read()
    assert [watch.poll() for _ in range(7)] == [1] * 7
    assert tables.found == [large]
    assert watch.poll() == 1
    assert tables.found == []
    tables.found, tables.sizes = [ABSENT], False
    assert watch.poll() == 2
