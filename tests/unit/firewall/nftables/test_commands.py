import json
import os
from collections import Counter
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.diff import diff
from dockerv6.firewall.expr import Chain, Element, ElementSet, KeyType, Rule, UnknownExpr, Verdict
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.nftables.expressions import program
from dockerv6.firewall.nftables.foreign import NftRule, decode_rule
from dockerv6.firewall.nftables.kernel import attributes_of
from dockerv6.firewall.operations import AddElements, AddRules, Operation, RemoveElements
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from tests.golden.scenarios import SCENARIOS
from tests.unit.firewall.intents import EVERYTHING
from tests.unit.lib.encoding import attribute

NEWTABLE, NEWRULE, NEWSET = 0, 6, 9

RENDERED_RULES = Path(__file__).with_name("rendered_rules.json")
"""What each rule is rendered to, by its digest; with the rules of earlier versions."""

COMMENT_LIMIT = 127
"""Bytes: NFTNL_UDATA_COMMENT_MAXLEN of nft, less the NUL."""


def sent(*operations: Operation) -> list[tuple[int, dict[int, bytes]]]:
    """Kind and attributes of the messages."""
    return [(each.kind, dict(attributes_of(each.attributes))) for each in commands(operations)]


def rendered(rule: Rule) -> NftRule:
    *_, message = commands([AddRules(Chain("c", (rule,)))])
    return decode_rule(dict(attributes_of(message.attributes)))


def recorded(rule: Rule) -> list[str]:
    """The rule's expressions, and the values of its anonymous sets."""
    sets = [" ".join(each.hex() for each in anonymous.values) for anonymous in program(rule, 1).sets]
    expressions = (
        " ".join([each.name, *(f"{kind}={value.hex()}" for kind, value in each.attributes.items())])
        for each in rendered(rule).expressions
    )
    return [*expressions, *sets]


def elements(message: dict[int, bytes]) -> list[dict[int, bytes]]:
    return [dict(attributes_of(each)) for _, each in attributes_of(message[3])]


def test_a_rule_carries_its_comment_or_owner_and_its_digest() -> None:
    for rule in (Rule((Verdict.DROP,), "why"), Rule((Verdict.DROP,), owner="blog")):
        assert rendered(rule).comment == f"{rule.comment or rule.owner} #{rule.digest}"


def test_every_comment_fits_with_the_longest_owner() -> None:
    comments = [
        rule.comment for scenario in SCENARIOS.values() for chain in render(scenario).chains for rule in chain.rules
    ]
    for comment in {*comments, "policy/" + "n" * 63}:
        assert len(f"{comment} #0123456789ab".encode()) <= COMMENT_LIMIT


def test_a_rule_that_is_rendered_differently_has_another_digest() -> None:
    """Else a running table would keep the rules of an earlier version. If this fails, raise `expr.RULE_FORMAT`."""
    earlier: dict[str, object] = json.loads(RENDERED_RULES.read_text()) if RENDERED_RULES.exists() else {}
    found = {
        rule.digest: recorded(rule)
        for scenario in SCENARIOS.values()
        for chain in render(scenario).chains
        for rule in chain.rules
    }
    assert {digest: earlier[digest] for digest in found.keys() & earlier} == {
        digest: found[digest] for digest in found.keys() & earlier
    }
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        lines = (f"{json.dumps(digest)}: {json.dumps(expr)}" for digest, expr in sorted((earlier | found).items()))
        RENDERED_RULES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    else:
        assert found.keys() <= earlier.keys(), "record new rules with DOCKERV6_UPDATE_GOLDEN=1"


def test_an_unknown_rule_can_not_be_written() -> None:
    with pytest.raises(ValueError, match="can't be written"):
        rendered(Rule((UnknownExpr("?"),)))


def test_elements_carry_their_owner_and_are_deleted_by_key() -> None:
    wanted = ElementSet("s", (KeyType.PREFIX, KeyType.INTERFACE))
    element = Element(("2001:db8::5/128", "eth0"), "blog")
    (_, added), (_, removed) = sent(AddElements(wanted, (element,)), RemoveElements(wanted, (element,)))
    ((key, last, owner),) = (each.values() for each in elements(added))
    assert key == last == attribute(1, IPv6Address("2001:db8::5").packed + b"eth0".ljust(16, b"\0"))
    assert owner == b"\0\x05blog\0"
    assert elements(removed) == [{1: key, 10: last}]


def test_elements_of_maps_have_their_value_beside_the_key_and_are_deleted_without() -> None:
    wanted = ElementSet("m", (KeyType.PROTOCOL, KeyType.PORT), interval=False, data=KeyType.PREFIX)
    element = Element(("tcp", "80"), "blog", "2001:db8::5/128")
    (_, added), (_, removed) = sent(AddElements(wanted, (element,)), RemoveElements(wanted, (element,)))
    key = attribute(1, b"\x06\0\0\0\0\x50\0\0")
    assert elements(added) == [{1: key, 2: attribute(1, IPv6Address("2001:db8::5").packed), 6: b"\0\x05blog\0"}]
    assert elements(removed) == [{1: key}]


@pytest.mark.parametrize(
    ("key", "boundaries"),
    [
        ("2001:db8::1-2001:db8::5", ["2001:db8::1", "2001:db8::6"]),
        ("2001:db8::/64", ["2001:db8::", "2001:db8:0:1::"]),
        ("ff00::/8", ["ff00::"]),
    ],
)
def test_a_range_is_its_boundaries(key: str, boundaries: list[str]) -> None:
    wanted, element = ElementSet("s", (KeyType.PREFIX,)), Element((key,))
    for operation in (AddElements(wanted, (element,)), RemoveElements(wanted, (element,))):
        ((_, message),) = sent(operation)
        assert [each[1] for each in elements(message)] == [
            attribute(1, IPv6Address(address).packed) for address in boundaries
        ]
        assert [each.get(3, b"") for each in elements(message)] == [b"", bytes((0, 0, 0, 1))][: len(boundaries)]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=3))
def test_no_character_of_a_name_has_a_meaning(name: str) -> None:
    ((_, message),) = sent(AddElements(ElementSet("s", (KeyType.INTERFACE,), interval=False), (Element((name,)),)))
    assert elements(message) == [{1: attribute(1, name.encode().ljust(16, b"\0"))}]


def test_many_elements_are_several_messages() -> None:
    wanted = ElementSet("s", (KeyType.PREFIX,), interval=False)
    many = tuple(Element((f"2001:db8::{number:x}/128",), "n" * 60) for number in range(3000))
    messages = sent(AddElements(wanted, many))
    assert len(messages) > 1
    assert sum(len(elements(message)) for _, message in messages) == len(many)
    assert all(len(message[3]) < 1 << 16 for _, message in messages)


def test_a_ruleset_becomes_one_list_of_messages() -> None:
    desired = render(EVERYTHING)
    kinds = Counter(kind for kind, _ in sent(*diff(desired, EMPTY).operations))
    rules = [rule for chain in desired.chains for rule in chain.rules]
    anonymous = sum(len(program(rule, 1).sets) for rule in rules)
    assert anonymous
    assert (kinds[NEWTABLE], kinds[NEWRULE], kinds[NEWSET]) == (1, len(rules), len(desired.sets) + anonymous)


def test_each_set_of_a_transaction_has_another_number() -> None:
    numbers = [message[10] for kind, message in sent(*diff(render(EVERYTHING), EMPTY).operations) if kind == NEWSET]
    assert len(set(numbers)) == len(numbers)
