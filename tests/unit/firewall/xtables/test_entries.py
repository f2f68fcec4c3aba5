import struct
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.firewall.xtables.entries import COUNTERS_AT, DNAT, HEAD, OFFSETS, OFFSETS_AT, decode, encode, with_match
from dockerv6.firewall.xtables.rule import (
    WILDCARD,
    ChainTarget,
    DnatTarget,
    ExtensionTarget,
    MarkTarget,
    NetmapTarget,
    PlainTarget,
    SnatTarget,
    UnsupportedRuleError,
    XtablesRule,
)

RULES = {
    "": XtablesRule(),
    "-j DROP": XtablesRule(PlainTarget.DROP),
    "-s fd00::/64 -i br-a+ -o br-b -g DOCKERV6-X": XtablesRule(
        ChainTarget("DOCKERV6-X"), source="fd00::/64", iif=f"br-a{WILDCARD}", oif="br-b"
    ),
    "! -s fe80::/10 -d ::1/128 -p tcp -m tcp --dport 80:87 -m addrtype --dst-type LOCAL -j DNAT --to-destination "
    "[fd00::2]:80": XtablesRule(
        DnatTarget("fd00::2", 80),
        source="! fe80::/10",
        destination="::1/128",
        protocol="tcp",
        ports=(80, 87),
        destination_type="LOCAL",
    ),
    "-p sctp -m sctp --dport 9 -m conntrack --ctstate DNAT -j MASQUERADE": XtablesRule(
        PlainTarget.MASQUERADE, protocol="sctp", ports=(9, 9), translated=True
    ),
    "-p udp -m udp --dport 53 -j NETMAP --to ::/0": XtablesRule(
        PlainTarget.KEEP_SOURCE, protocol="udp", ports=(53, 53)
    ),
    "-p ipv6-icmp -m icmp6 --icmpv6-type 2 -j RETURN": XtablesRule(
        PlainTarget.RETURN, protocol="ipv6-icmp", icmp_type=2
    ),
    "-m mark ! --mark 0x0/0x40 -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j MARK --set-xmark "
    "0x40/0x40": (XtablesRule(MarkTarget(0x40, 0x40), mark=0x40, states=("RELATED", "ESTABLISHED"), direction="REPLY")),
    "-m conntrack --ctorigdst 2001:db8::/64 -m addrtype ! --dst-type LOCAL -j NETMAP --to fd00::/64": XtablesRule(
        NetmapTarget("fd00::/64"), original="2001:db8::/64", destination_type="! LOCAL"
    ),
    "-m conntrack --ctorigdst 2001:db8::5 -j SNAT --to-source 2001:db8::7": XtablesRule(
        SnatTarget("2001:db8::7"), original="2001:db8::5/128"
    ),
    '-m comment --comment "dockerv6: x" -j DOCKERV6-X': XtablesRule(
        ChainTarget("DOCKERV6-X", jump=True), comment="dockerv6: x"
    ),
}


@pytest.mark.parametrize("text", RULES)
def test_a_rule_is_written_as_by_ip6tables_save(text: str) -> None:
    assert str(RULES[text]) == text


@pytest.mark.parametrize("text", RULES)
def test_an_entry_has_its_offsets_and_no_counters(text: str) -> None:
    entry = encode(RULES[text])
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    assert HEAD <= target < size == len(entry)
    assert len(entry) % 8 == 0
    assert entry[COUNTERS_AT:HEAD] == bytes(HEAD - COUNTERS_AT)


def test_different_rules_are_different_entries() -> None:
    assert len({encode(rule) for rule in RULES.values()}) == len(RULES)
    assert encode(XtablesRule(iif="br-a")) != encode(XtablesRule(iif=f"br-a{WILDCARD}"))
    assert encode(XtablesRule(source="fd00::/64")) != encode(XtablesRule(source="! fd00::/64"))
    assert encode(XtablesRule(ChainTarget("DOCKERV6-X"))) != encode(XtablesRule(ChainTarget("DOCKERV6-X", jump=True)))


def test_dnat_for_older_kernels_has_the_revision_before() -> None:
    new, old = (encode(XtablesRule(DnatTarget("fd00::2", 80)), revision) for revision in (DNAT, DNAT - 1))
    assert len(new) - len(old) == 8
    assert b"DNAT" in old
    assert len({encode(XtablesRule(SnatTarget("2001:db8::7")), revision) for revision in (DNAT, DNAT - 1)}) == 1


@pytest.mark.parametrize(("prefix", "last"), [("fd00::/64", 8), ("fd00::/60", 7), ("fd00::5/128", 16)])
def test_a_prefix_is_mapped_to_all_of_its_addresses(prefix: str, last: int) -> None:
    """From the first to the last address: the kernel derives the mask from the bits that both share."""
    entry = encode(XtablesRule(NetmapTarget(prefix)))
    first, end = (entry[at : at + 16] for at in (len(entry) - 36, len(entry) - 20))
    network = IPv6Network(prefix)
    assert (IPv6Address(first), IPv6Address(end)) == (network[0], network[-1])
    assert first[:last] == end[:last]


@pytest.mark.parametrize("rule", [XtablesRule(iif="sixteen-letters-"), XtablesRule(comment="x" * 256)])
def test_a_name_or_comment_that_is_too_long_is_refused(rule: XtablesRule) -> None:
    with pytest.raises(UnsupportedRuleError):
        encode(rule)


DECODED = (
    XtablesRule(),
    XtablesRule(PlainTarget.ACCEPT, mark_all=0x40, comment="ours"),
    XtablesRule(PlainTarget.DROP, source="! fd00::/64", destination="! ::1/128", iif="! br-a", oif="! br-b"),
    XtablesRule(PlainTarget.RETURN, protocol="! tcp", source_type="LOCAL"),
    XtablesRule(PlainTarget.MASQUERADE, source_type="! LOCAL", destination_type="LOCAL"),
    *(
        rule
        for rule in RULES.values()
        if not isinstance(rule.target, DnatTarget | SnatTarget | NetmapTarget | MarkTarget)
    ),
)


@pytest.mark.parametrize("rule", DECODED, ids=str)
def test_an_encoded_rule_is_decoded(rule: XtablesRule) -> None:
    decoded = decode(encode(rule))
    if rule.target is PlainTarget.KEEP_SOURCE:
        rule = replace(rule, target=ExtensionTarget("NETMAP"))
    assert decoded == rule


@pytest.mark.parametrize(
    ("name", "revision", "data"),
    [
        ("addrtype", 1, struct.pack("=HHI", 4, 4, 0)),
        ("addrtype", 1, struct.pack("=HHI", 0, 2, 0)),  # unicast
        ("addrtype", 1, struct.pack("=HHI", 0, 4, 4)),  # of the incoming interface
        ("addrtype", 0, struct.pack("=HHII", 0, 4, 0, 0)),
        ("addrtype", 1, b"short"),
        ("tcp", 0, struct.pack("=HHHHBBBB", 1, 2, 80, 80, 0, 0, 0, 0)),
        ("tcp", 0, struct.pack("=HHHHBBBB", 0, 0xFFFF, 80, 80, 0, 2, 2, 0)),  # --syn
        ("udp", 0, struct.pack("=HHHHB", 0, 0xFFFF, 53, 53, 2)),
        ("mark", 1, struct.pack("=IIB", 1, 3, 0)),
        ("limit", 0, bytes(40)),
    ],
)
def test_a_match_that_is_not_decoded_is_named(name: str, revision: int, data: bytes) -> None:
    assert with_match(XtablesRule(), name, revision, data) == XtablesRule(unknown=(name,))


@pytest.mark.parametrize(("name", "text"), [(b"br-\xff", "br-\ufffd"), (b"x" * 16, "x" * 16 + WILDCARD)])
def test_unusual_interface_names_are_decoded(name: bytes, text: str) -> None:
    entry = encode(XtablesRule())
    raw = (
        entry[:64]
        + name.ljust(16, b"\0")
        + entry[80:96]
        + (b"\xff" * (len(name) + 1))[:16].ljust(16, b"\0")
        + entry[112:]
    )
    assert decode(raw).iif == text


def test_a_second_condition_on_the_same_field_is_not_decoded() -> None:
    rule = XtablesRule(mark_all=1)
    assert with_match(rule, "mark", 1, struct.pack("=IIB", 2, 2, 0)) == replace(rule, unknown=("mark",))


def test_a_rule_that_was_not_decoded_is_not_encoded() -> None:
    for rule in (XtablesRule(unknown=("limit",)), XtablesRule(ExtensionTarget("REJECT"))):
        with pytest.raises(UnsupportedRuleError, match="not decoded"):
            encode(rule)
