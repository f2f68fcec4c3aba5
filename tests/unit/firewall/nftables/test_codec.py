import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerv6.firewall.elements import EGRESS_ANY, PUBLISHED_PORT, PUBLISHED_TO, RESTRICTED
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
    Rule,
    SetField,
    SetMark,
    Term,
    UnknownExpr,
    Verdict,
)
from dockerv6.firewall.nftables import codec
from dockerv6.firewall.operations import AddElements, AddRules, AddSet, RemoveElements
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, diff
from tests.unit.firewall.intents import EVERYTHING

LISTINGS = sorted((Path(__file__).parent / "listings").glob("*.json"))
"""What `nft -j list table inet dockerv6` printed after RENDERED was applied, one object a line."""

RENDERED = render(EVERYTHING)
RULES = sum(len(chain.rules) for chain in RENDERED.chains)
HERE = {"family": "inet", "table": "dockerv6"}
MARK: codec.Object = {"meta": {"key": "mark"}}
PORT_KEY: codec.Object = {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}
A: codec.Object = {"key": PORT_KEY, "data": "@a"}


@pytest.fixture(params=LISTINGS, ids=lambda path: path.stem)
def listing(request: pytest.FixtureRequest) -> list[dict[str, dict[str, Any]]]:
    return [json.loads(line) for line in request.param.read_text().splitlines()]


def bodies(listing: list[dict[str, dict[str, Any]]], kind: str, **wanted: str) -> Iterator[dict[str, Any]]:
    for item in listing:
        body = item.get(kind)
        if body is not None and all(body[key] == value for key, value in wanted.items()):
            yield body


def read_set(*elements: codec.Json, **more: codec.Json) -> codec.Object:
    return {"set": {**HERE, "name": "s", "type": "ipv6_addr", "flags": ["interval"], "elem": list(elements), **more}}


def test_listings_of_several_versions_are_compared() -> None:
    assert {path.stem for path in LISTINGS} >= {"nft-1.0.6", "nft-1.1.3"}


def test_what_is_read_equals_what_was_written(listing: list[dict[str, dict[str, Any]]]) -> None:
    assert codec.ruleset(listing) == RENDERED


def test_what_other_tables_hold_is_passed_over(listing: list[dict[str, dict[str, Any]]]) -> None:
    other = [
        {"chain": {"family": "ip6", "table": "filter", "name": "FORWARD"}},
        {"set": {"family": "ip", "table": "dockerv6"}},
    ]
    assert codec.ruleset([*listing, *other]) == RENDERED


@pytest.mark.parametrize("number", range(RULES))
def test_a_rule_that_is_edited_in_place_is_seen(listing: list[dict[str, dict[str, Any]]], number: int) -> None:
    rules = list(bodies(listing, "rule"))
    assert len(rules) == RULES
    expressions = rules[number]["expr"]
    for position, expression in enumerate(expressions):
        (kind,) = expression
        expressions[position] = {"continue": None} if kind == "accept" else {"accept": None}
        assert codec.ruleset(listing) != RENDERED
        expressions[position] = expression
    expressions.insert(0, {"counter": {"packets": 0, "bytes": 0}})
    assert codec.ruleset(listing) != RENDERED


def test_rules_in_another_order_are_seen(listing: list[dict[str, dict[str, Any]]]) -> None:
    first, second, *_ = (item for item in listing if "rule" in item)
    first["rule"], second["rule"] = second["rule"], first["rule"]
    assert codec.ruleset(listing) != RENDERED


@pytest.mark.parametrize(("key", "value"), [("prio", 0), ("policy", "drop"), ("hook", "input"), ("type", "route")])
def test_a_chain_that_is_hooked_elsewhere_is_seen(
    listing: list[dict[str, dict[str, Any]]], key: str, value: object
) -> None:
    (chain,) = bodies(listing, "chain", name="forward")
    chain[key] = value
    assert codec.ruleset(listing) != RENDERED


def test_a_changed_comment_is_seen(listing: list[dict[str, dict[str, Any]]]) -> None:
    (found,) = bodies(listing, "set", name=EGRESS_ANY)
    found["elem"][0]["elem"]["comment"] = "shop"
    assert codec.ruleset(listing) != RENDERED


def test_objects_and_strange_sets_and_maps_are_foreign() -> None:
    items: list[codec.Object] = [
        {"map": {**HERE, "name": "m", "handle": 3, "type": "ifname", "map": "verdict"}},
        {"map": {**HERE, "name": "n", "handle": 5, "type": "ifname", "map": ["ipv6_addr", "inet_service"]}},
        {"counter": {**HERE, "name": "c", "handle": 4}},
        read_set(timeout=60),
        read_set(type="mark"),
        read_set(flags=["interval", "timeout"]),
    ]
    assert codec.ruleset(items).foreign == ("counter c", "map m", "map n", "set s", "set s", "set s")


@pytest.mark.parametrize("name", [PUBLISHED_TO, PUBLISHED_PORT])
def test_a_changed_value_is_seen(listing: list[dict[str, dict[str, Any]]], name: str) -> None:
    (found,) = bodies(listing, "map", name=name)
    found["elem"][0][1], found["elem"][1][1] = "2001:db8::bad", 1
    assert codec.ruleset(listing) != RENDERED


@pytest.mark.parametrize(
    ("listed", "key"),
    [
        ("2001:db8::1", "2001:db8::1/128"),
        ({"prefix": {"addr": "fd00::", "len": 64}}, "fd00::/64"),
        ({"range": ["fd00::", "fd00::ffff:ffff:ffff:ffff"]}, "fd00::/64"),
        ({"range": ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]}, "::/0"),
        ({"range": ["2001:db8::1", "2001:db8::5"]}, "2001:db8::1-2001:db8::5"),
        ("::ffff:192.0.2.1", "::ffff:c000:201/128"),
        ({"elem": {"val": "2001:db8::1", "comment": "blog"}}, "2001:db8::1/128"),
    ],
)
def test_every_spelling_of_a_prefix_is_read_as_one(listed: codec.Json, key: str) -> None:
    (found,) = codec.ruleset([read_set(listed)]).sets
    assert [element.key for element in found.elements] == [(key,)]


def test_an_element_that_makes_no_sense_is_still_an_element() -> None:
    (found,) = codec.ruleset([read_set({"concat": ["a", "b", "c"]})]).sets
    assert len(found.elements) == 1


@pytest.mark.parametrize(
    "term",
    [
        In((Field.SADDR,), "s"),
        In((Field.SADDR, Field.IIF), "s"),
        In((Field.IIF,), "s", negate=True),
        In((Field.PROTOCOL, Field.DPORT, Field.DADDR, Field.SADDR), "s", negate=True),
        Is(Field.FAMILY, frozenset({"ipv6"}), negate=True),
        Is(Field.SADDR, frozenset({"fe80::/10"}), negate=True),
        Is(Field.SADDR, frozenset({"::1", "fe80::/10"})),
        Is(Field.CT_STATUS, frozenset({"dnat"})),
        Is(Field.DADDR_TYPE, frozenset({"local"})),
        Is(Field.ICMP_TYPE, frozenset({"packet-too-big", "destination-unreachable"})),
        Dnat((Field.PROTOCOL, Field.DPORT), "a", "p"),
        SetField(Field.DADDR, "::1"),
        MapField(Field.SADDR, (Field.PROTOCOL, Field.DPORT), "m"),
        Is(Field.OIF_KIND, frozenset({"bridge"}), negate=True),
        Is(Field.CT_STATE, frozenset({"established", "related"})),
        Is(Field.CT_STATE, frozenset({"invalid"})),
        Is(Field.IIF, frozenset({"eth0", "eth1"})),
        HasMark(0x40),
        SetMark(0x40),
        ClearMark(0x40),
        Jump("outbound"),
        *Verdict,
    ],
    ids=str,
)
def test_every_term_is_read_as_it_is_written(term: Term) -> None:
    chain = Chain("c", (Rule((term,), "why"),))
    written = codec.commands([AddRules(chain)])
    (rule,) = (body for command in written for body in command.values())
    assert isinstance(rule, dict)
    read = codec.ruleset([{"chain": {**HERE, "name": "c"}}, rule])
    assert read.chains == (chain,)


@pytest.mark.parametrize(
    "expression",
    [
        {"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}]}, "right": "@s"}},
        {"match": {"op": "<", "left": {"meta": {"key": "oifname"}}, "right": "@s"}},
        {"match": {"op": "==", "left": {"concat": [{"meta": {"key": "oifname"}}, MARK]}, "right": "@s"}},
        {"match": {"op": "==", "left": {"ct": {"key": "status"}}, "right": "dnat"}},
        {"match": {"op": "==", "left": {"meta": {"key": "cpu"}}, "right": "1"}},
        {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": 5}},
        {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 5}},
        {"masquerade": {"flags": "random"}},
        {"mangle": {"key": {"payload": {"protocol": "ip6", "field": "hoplimit"}}, "value": "5"}},
        {"mangle": {"key": {"payload": {"protocol": "ip6", "field": "daddr"}}, "value": 5}},
        {"mangle": {"key": {"payload": {"protocol": "ip6", "field": "daddr"}}, "value": {"map": {"key": PORT_KEY}}}},
        {"snat": {"family": "ip6", "addr": "2001:db8::1"}},
        {"dnat": {"family": "ip6", "addr": "2001:db8::1"}},
        {"dnat": {"family": "ip6", "addr": {"map": A}, "port": {"map": {**A, "key": {"meta": {"key": "l4proto"}}}}}},
        {"dnat": {"family": "ip6", "addr": {"map": A}, "port": {"map": A}, "flags": "random"}},
        {"reject": None},
    ],
)
def test_what_we_never_write_is_opaque(expression: codec.Object) -> None:
    rule: codec.Object = {"rule": {**HERE, "chain": "c", "expr": [expression]}}
    (chain,) = codec.ruleset([{"chain": {**HERE, "name": "c"}}, rule]).chains
    assert isinstance(chain.rules[0].terms[0], UnknownExpr)


def test_what_is_opaque_is_never_written() -> None:
    with pytest.raises(ValueError, match="can't be written"):
        codec.commands([AddRules(Chain("c", (Rule((UnknownExpr("?"),)),)))])


def test_elements_carry_their_owner_and_are_deleted_by_key() -> None:
    wanted = ElementSet("s", (KeyType.PREFIX, KeyType.INTERFACE))
    element = Element(("2001:db8::5/128", "eth0"), "blog")
    key = {"concat": ["2001:db8::5", "eth0"]}
    (added,) = codec.commands([AddElements(wanted, (element,))])
    (removed,) = codec.commands([RemoveElements(wanted, (element,))])
    assert added == {"create": {"element": {**HERE, "name": "s", "elem": [{"elem": {"val": key, "comment": "blog"}}]}}}
    assert removed == {"delete": {"element": {**HERE, "name": "s", "elem": [key]}}}


def test_elements_of_maps_have_their_value_beside_the_key_and_are_deleted_without() -> None:
    wanted = ElementSet("m", (KeyType.PROTOCOL, KeyType.PORT), interval=False, data=KeyType.PREFIX)
    element = Element(("tcp", "80"), "blog", "2001:db8::5/128")
    key = {"concat": ["tcp", 80]}
    (made,) = codec.commands([AddSet(wanted)])
    (added,) = codec.commands([AddElements(wanted, (element,))])
    (removed,) = codec.commands([RemoveElements(wanted, (element,))])
    where = {**HERE, "name": "m"}
    assert made == {"create": {"map": {**where, "type": ["inet_proto", "inet_service"], "map": "ipv6_addr"}}}
    assert added == {
        "create": {"element": {**where, "elem": [[{"elem": {"val": key, "comment": "blog"}}, "2001:db8::5"]]}}
    }
    assert removed == {"delete": {"element": {**where, "elem": [key]}}}


@pytest.mark.parametrize(
    "key",
    [
        {"concat": ["tcp", {"range": [80, 90]}, {"prefix": {"addr": "fd00::", "len": 64}}]},
        {"concat": [{"range": ["ipv6", "tcp"]}, 80, {"range": ["fd00::1", "fd00::7"]}]},
        {"concat": [143, 80, "::1"]},
    ],
)
def test_a_foreign_key_can_be_deleted(listing: list[dict[str, dict[str, Any]]], key: codec.Object) -> None:
    (found,) = bodies(listing, "set", name=RESTRICTED)
    found["elem"].append(key)
    (step,) = diff(RENDERED, codec.ruleset(listing)).operations
    assert codec.commands([step]) == [{"delete": {"element": {**HERE, "name": RESTRICTED, "elem": [key]}}}]


def test_a_foreign_range_can_be_deleted() -> None:
    element = Element(("2001:db8::1-2001:db8::5",))
    (removed,) = codec.commands([RemoveElements(ElementSet("s", (KeyType.PREFIX,)), (element,))])
    assert removed["delete"] == {"element": {**HERE, "name": "s", "elem": [{"range": ["2001:db8::1", "2001:db8::5"]}]}}


def test_a_ruleset_becomes_one_list_of_commands() -> None:
    written = codec.commands(diff(RENDERED, EMPTY).operations)
    kinds = [kind for command in written for body in command.values() if isinstance(body, dict) for kind in body]
    assert kinds[0] == "table"
    assert kinds.count("rule") == RULES
    assert kinds.count("map") == 6
