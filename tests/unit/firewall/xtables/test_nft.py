"""Listings of libnftables as rules. A real kernel's are read in tests/host/test_ipv6nat.py and test_hostfilter.py."""

import struct
from typing import Any

import pytest

from dockerv6.firewall.xtables.nft import MatchData, match_data, rule, rules_in
from dockerv6.firewall.xtables.rule import ChainTarget, ExtensionTarget, PlainTarget, XtablesRule
from tests.unit.lib.encoding import attribute

COUNTER = {"counter": {"packets": 0, "bytes": 0}}
MARK = 0x10000000
MARK_BITS: dict[str, Any] = {"&": [{"meta": {"key": "mark"}}, MARK]}


def match(left: dict[str, Any], right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def listed(*expressions: dict[str, Any], handle: int = 7, **more: object) -> dict[str, Any]:
    return {"family": "ip6", "table": "nat", "chain": "C", "handle": handle, "expr": list(expressions), **more}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (match(meta("iifname"), "br-a", "!="), XtablesRule(iif="!br-a")),
        (match(meta("oifname"), "br-a"), XtablesRule(oif="br-a")),
        (match(meta("l4proto"), "sctp"), XtablesRule(protocol="sctp")),
        (
            match(payload("ip6", "saddr"), {"prefix": {"addr": "fd00:1::", "len": 64}}),
            XtablesRule(source="fd00:1::/64"),
        ),
        (match(payload("ip6", "daddr"), "::1", "!="), XtablesRule(destination="!::1/128")),
        (match(payload("ip", "daddr"), "127.0.0.1"), XtablesRule(destination="127.0.0.1/32")),
        (match(payload("tcp", "dport"), 80), XtablesRule(protocol="tcp", ports=(80, 80))),
        (match(payload("th", "dport"), 80), XtablesRule(ports=(80, 80))),
        (match(MARK_BITS, MARK), XtablesRule(mark_all=MARK)),
        (match(MARK_BITS, 0, "!="), XtablesRule(mark=MARK)),
        (match(MARK_BITS, 1), XtablesRule(unknown=("match",))),
        (match(payload("tcp", "dport"), {"range": [1, 2]}), XtablesRule(unknown=("match",))),
        (match(payload("tcp", "sport"), 80), XtablesRule(unknown=("match",))),
        (match(meta("mark"), 1), XtablesRule(unknown=("match",))),
        (match(meta("oifname"), "br-a", "<"), XtablesRule(unknown=("match",))),
        ({"xt": {"type": "match", "name": "conntrack"}}, XtablesRule(unknown=("conntrack",))),
        ({"xt": {"type": "match", "name": "comment"}}, XtablesRule(comment="?")),
        ({"xt": {"type": "target", "name": "DNAT"}}, XtablesRule(ExtensionTarget("DNAT"))),
        ({"xt": {"type": "target", "name": "MASQUERADE"}}, XtablesRule(PlainTarget.MASQUERADE)),
        ({"masquerade": None}, XtablesRule(PlainTarget.MASQUERADE)),
        ({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}, XtablesRule(ExtensionTarget("REJECT"))),
        ({"jump": {"target": "DOCKER"}}, XtablesRule(ChainTarget("DOCKER", jump=True))),
        ({"goto": {"target": "DOCKER"}}, XtablesRule(ChainTarget("DOCKER"))),
        ({"limit": {"rate": 1}}, XtablesRule(unknown=("limit",))),
        ({"log": {"prefix": "x"}}, XtablesRule()),
    ],
    ids=str,
)
def test_an_expression_is_decoded(expression: dict[str, Any], expected: XtablesRule) -> None:
    assert rule(listed(expression, COUNTER)) == expected


def test_matches_are_decoded_by_their_data_in_their_order() -> None:
    addrtype, limit = ({"xt": {"type": "match", "name": name}} for name in ("addrtype", "limit"))
    data = (MatchData("limit", 0, bytes(40)), MatchData("addrtype", 1, struct.pack("=HHI", 0, 4, 0)))
    assert rule(listed(limit, addrtype), data) == XtablesRule(unknown=("limit",), destination_type="LOCAL")


def test_a_comment_is_kept() -> None:
    assert rule(listed(COUNTER, comment="mine")).comment == "mine"


def test_chains_without_rules_are_listed_and_rules_keep_their_order() -> None:
    chain: dict[str, Any] = {"chain": {"family": "ip6", "table": "nat", "name": "DOCKER", "policy": "drop"}}
    first, second = ({"rule": listed(COUNTER, handle=handle)} for handle in (9, 8))
    found = rules_in([{"metainfo": {}}, chain, first, second])
    assert found[("nat", "DOCKER")].policy == "DROP"
    assert {place: [each.handle for each in chain.rules] for place, chain in found.items()} == {
        ("nat", "DOCKER"): [],
        ("nat", "C"): [9, 8],
    }


def test_a_dump_of_rules_gives_the_data_of_their_matches_by_handle() -> None:
    match_attributes = attribute(1, b"addrtype\0") + attribute(2, struct.pack("!I", 1)) + attribute(3, b"data")
    expressions = b"".join(
        attribute(1, attribute(1, name) + attribute(2, data))
        for name, data in ((b"meta\0", b""), (b"match\0", match_attributes))
    )
    with_match, without = (
        attribute(3, struct.pack("!Q", handle)) + attribute(4, data) for handle, data in ((7, expressions), (8, b""))
    )
    assert match_data([with_match, without]) == {7: (MatchData("addrtype", 1, b"data"),)}
