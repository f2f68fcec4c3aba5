import json
import os
from pathlib import Path

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.expr import (
    Chain,
    ClearMark,
    Dnat,
    Element,
    ElementSet,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    KeyType,
    MapField,
    Netmap,
    Rule,
    SetField,
    SetMark,
    Snat,
    Term,
    UnknownExpr,
    Verdict,
)
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.nftables.library import JsonObject
from dockerv6.firewall.operations import AddElements, AddRules, AddSet, RemoveElements
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from tests.golden.scenarios import SCENARIOS
from tests.unit.firewall.intents import EVERYTHING

RENDERED_RULES = Path(__file__).with_name("rendered_rules.json")
"""What each rule is rendered to, by its digest; with the rules of earlier versions."""

COMMENT_LIMIT = 127
"""Bytes: NFTNL_UDATA_COMMENT_MAXLEN of libnftables, less the NUL."""

HERE = {"family": "inet", "table": "dockerv6"}
SADDR: JsonObject = {"payload": {"protocol": "ip6", "field": "saddr"}}
DADDR: JsonObject = {"payload": {"protocol": "ip6", "field": "daddr"}}
L4PROTO: JsonObject = {"meta": {"key": "l4proto"}}
DPORT: JsonObject = {"payload": {"protocol": "th", "field": "dport"}}
MARK: JsonObject = {"meta": {"key": "mark"}}


def rendered(rule: Rule) -> JsonObject:
    (command,) = commands([AddRules(Chain("c", (rule,)))])
    added = command["add"]
    assert isinstance(added, dict)
    body: JsonObject = added["rule"]
    return body


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (In((Field.SADDR,), "s"), {"match": {"op": "==", "left": SADDR, "right": "@s"}}),
        (
            In((Field.PROTOCOL, Field.DPORT), "s", negate=True),
            {"match": {"op": "!=", "left": {"concat": [L4PROTO, DPORT]}, "right": "@s"}},
        ),
        (
            Is(Field.FAMILY, frozenset({"ipv6"}), negate=True),
            {"match": {"op": "!=", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}},
        ),
        (
            Is(Field.SADDR, frozenset({"::1", "fe80::/10"})),
            {
                "match": {
                    "op": "==",
                    "left": SADDR,
                    "right": {"set": ["::1", {"prefix": {"addr": "fe80::", "len": 10}}]},
                }
            },
        ),
        (
            Is(Field.CT_STATE, frozenset({"established", "related"})),
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
        ),
        (HasMark(0x40), {"match": {"op": "!=", "left": {"&": [MARK, 0x40]}, "right": 0}}),
        (SetMark(0x40), {"mangle": {"key": MARK, "value": {"|": [MARK, 0x40]}}}),
        (ClearMark(0x40), {"mangle": {"key": MARK, "value": {"&": [MARK, 0xFFFFFFBF]}}}),
        (SetField(Field.DADDR, "::1"), {"mangle": {"key": DADDR, "value": "::1"}}),
        (
            MapField(Field.SADDR, (Field.DPORT,), "m"),
            {"mangle": {"key": SADDR, "value": {"map": {"key": DPORT, "data": "@m"}}}},
        ),
        (
            Dnat((Field.DPORT,), "a", "p"),
            {
                "dnat": {
                    "family": "ip6",
                    "addr": {"map": {"key": DPORT, "data": "@a"}},
                    "port": {"map": {"key": DPORT, "data": "@p"}},
                }
            },
        ),
        (Snat((Field.SADDR,), "a"), {"snat": {"family": "ip6", "addr": {"map": {"key": SADDR, "data": "@a"}}}}),
        (
            Netmap(Field.SADDR, "2001:db8::/64"),
            {
                "snat": {
                    "family": "ip6",
                    "addr": {"prefix": {"addr": "2001:db8::", "len": 64}},
                    "flags": "netmap",
                    "type_flags": "prefix",
                }
            },
        ),
        (Jump("outbound"), {"jump": {"target": "outbound"}}),
        (Verdict.ACCEPT, {"accept": None}),
        (Verdict.DROP, {"drop": None}),
        (Verdict.MASQUERADE, {"masquerade": None}),
        (Verdict.KEEP_SOURCE, {"snat": {"family": "ip6", "addr": SADDR}}),
    ],
    ids=str,
)
def test_terms_are_rendered(term: Term, expected: JsonObject) -> None:
    assert rendered(Rule((term,)))["expr"] == [expected]


def test_a_rule_carries_its_comment_or_owner_and_its_digest() -> None:
    for rule in (Rule((Verdict.DROP,), "why"), Rule((Verdict.DROP,), owner="blog")):
        assert rendered(rule)["comment"] == f"{rule.comment or rule.owner} #{rule.digest}"


def test_every_comment_fits_with_the_longest_owner() -> None:
    comments = [
        rule.comment for scenario in SCENARIOS.values() for chain in render(scenario).chains for rule in chain.rules
    ]
    for comment in {*comments, "policy/" + "n" * 63}:
        assert len(f"{comment} #0123456789ab".encode()) <= COMMENT_LIMIT


def test_a_rule_that_is_rendered_differently_has_another_digest() -> None:
    """Else a running table would keep the rules of an earlier version. If this fails, raise `expr.RULE_FORMAT`."""
    recorded: dict[str, object] = json.loads(RENDERED_RULES.read_text()) if RENDERED_RULES.exists() else {}
    found = {
        rule.digest: rendered(rule)["expr"]
        for scenario in SCENARIOS.values()
        for chain in render(scenario).chains
        for rule in chain.rules
    }
    assert {digest: recorded[digest] for digest in found.keys() & recorded} == {
        digest: found[digest] for digest in found.keys() & recorded
    }
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        lines = (f"{json.dumps(digest)}: {json.dumps(expr)}" for digest, expr in sorted((recorded | found).items()))
        RENDERED_RULES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    else:
        assert found.keys() <= recorded.keys(), "record new rules with DOCKERV6_UPDATE_GOLDEN=1"


def test_an_unknown_rule_can_not_be_written() -> None:
    with pytest.raises(ValueError, match="can't be written"):
        rendered(Rule((UnknownExpr("?"),)))


def test_elements_carry_their_owner_and_are_deleted_by_key() -> None:
    wanted = ElementSet("s", (KeyType.PREFIX, KeyType.INTERFACE))
    element = Element(("2001:db8::5/128", "eth0"), "blog")
    key = {"concat": ["2001:db8::5", "eth0"]}
    (added,) = commands([AddElements(wanted, (element,))])
    (removed,) = commands([RemoveElements(wanted, (element,))])
    assert added == {"create": {"element": {**HERE, "name": "s", "elem": [{"elem": {"val": key, "comment": "blog"}}]}}}
    assert removed == {"delete": {"element": {**HERE, "name": "s", "elem": [key]}}}


def test_elements_of_maps_have_their_value_beside_the_key_and_are_deleted_without() -> None:
    wanted = ElementSet("m", (KeyType.PROTOCOL, KeyType.PORT), interval=False, data=KeyType.PREFIX)
    element = Element(("tcp", "80"), "blog", "2001:db8::5/128")
    key = {"concat": ["tcp", 80]}
    (made,) = commands([AddSet(wanted)])
    (added,) = commands([AddElements(wanted, (element,))])
    (removed,) = commands([RemoveElements(wanted, (element,))])
    where = {**HERE, "name": "m"}
    assert made == {"create": {"map": {**where, "type": ["inet_proto", "inet_service"], "map": "ipv6_addr"}}}
    assert added == {
        "create": {"element": {**where, "elem": [[{"elem": {"val": key, "comment": "blog"}}, "2001:db8::5"]]}}
    }
    assert removed == {"delete": {"element": {**where, "elem": [key]}}}


def test_a_range_that_is_no_prefix_can_be_deleted() -> None:
    element = Element(("2001:db8::1-2001:db8::5",))
    (removed,) = commands([RemoveElements(ElementSet("s", (KeyType.PREFIX,)), (element,))])
    assert removed["delete"] == {"element": {**HERE, "name": "s", "elem": [{"range": ["2001:db8::1", "2001:db8::5"]}]}}


def test_a_ruleset_becomes_one_list_of_commands() -> None:
    desired = render(EVERYTHING)
    written = commands(diff(desired, EMPTY).operations)
    kinds = [kind for command in written for body in command.values() if isinstance(body, dict) for kind in body]
    assert kinds[0] == "table"
    assert kinds.count("rule") == sum(len(chain.rules) for chain in desired.chains)
    assert kinds.count("map") == 6
