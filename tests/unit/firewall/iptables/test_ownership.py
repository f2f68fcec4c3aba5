from dataclasses import replace

import pytest

from dockerv6.firewall.expr import Element
from dockerv6.firewall.iptables import ownership
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.xtables.rule import UnsupportedRuleError
from tests.unit.firewall.intents import BLOG, EVERYTHING, intent

RULESET = render(replace(EVERYTHING, guest_bridges=("br-blog",)))


def comments(ruleset: Ruleset, mark: int = 0x40) -> list[str]:
    return [rule.comment for rule in ownership.compile_records(ruleset, mark).rules]


def elements(ruleset: Ruleset) -> set[tuple[str, Element]]:
    return {(each.name, element) for each in ruleset.sets for element in each.elements}


def owned(element: Element) -> Ruleset:
    ruleset = render(intent(BLOG))
    return replace(ruleset, sets=(replace(ruleset.sets[0], elements=frozenset({element})),))


HOMES = {
    ("prefix_in", Element(("2001:db8:8:8::/64",), "home", "fd12:3456:789a:8::/64")),
    ("prefix_in", Element(("2001:db8:8:7::/64",), "home", "fd12:3456:789a:8::/64")),
    ("prefix_out", Element(("fd12:3456:789a:8::/64",), "home", "2001:db8:8:8::/64")),
}
"""The rules that translate prefixes, recorded as if their chains were maps."""


def test_compiled_records_are_read_back() -> None:
    records = ownership.read_records(comments(RULESET))
    assert (records.mark, records.malformed) == (0x40, False)
    assert set(records.elements) == elements(RULESET) | HOMES


def test_records_fit_into_comments_and_are_grouped_by_owner() -> None:
    lines = comments(RULESET)
    assert all(len(line.encode()) < 256 for line in lines)
    assert len(lines) < len(elements(RULESET)) / 3


@pytest.mark.parametrize("name", ["br=0,1", 'br-"x"', "br>x y", "br-ä"])
def test_unusual_interface_names_are_read_back(name: str) -> None:
    ruleset = owned(Element((name, name), "policy/odd.name"))
    assert set(ownership.read_records(comments(ruleset)).elements) == elements(ruleset)
    assert all(line.isascii() and '"' not in line for line in comments(ruleset))


@pytest.mark.parametrize("element", [Element(("x" * 250,), "blog"), Element(("x",), "o" * 250)])
def test_an_element_that_is_too_long_is_refused(element: Element) -> None:
    with pytest.raises(UnsupportedRuleError, match="too long"):
        comments(owned(element))


@pytest.mark.parametrize(
    "line", ["nonsense", "dockerv6 ledger blog open=br-blog", "dockerv6 ledger of version 1, mark 0x1"]
)
def test_malformed_and_repeated_records_are_reported(line: str) -> None:
    lines = ["dockerv6 ledger of version 1, mark 0x1", "dockerv6 ledger shop open=br-blog"]
    assert not ownership.read_records(lines).malformed
    assert ownership.read_records([*lines, line]).malformed


def test_a_malformed_mark_is_none() -> None:
    assert ownership.read_records(["dockerv6 ledger of version 1, mark x"]).mark is None
