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
    return [spec.comment for spec in ownership.compile_records(ruleset, mark).rules]


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
"""The rules that translate prefixes, written as if their chains were maps."""


def test_what_is_written_down_is_read_again() -> None:
    book = ownership.read_records(comments(RULESET))
    assert (book.mark, book.malformed) == (0x40, False)
    assert set(book.elements) == elements(RULESET) | HOMES


def test_lines_are_short_enough_for_a_comment_and_grouped_by_owner() -> None:
    lines = comments(RULESET)
    assert all(len(line.encode()) < 256 for line in lines)
    assert len(lines) < len(elements(RULESET)) / 3


@pytest.mark.parametrize("name", ["br=0,1", 'br-"x"', "br>x y", "br-ä"])
def test_odd_interface_names_survive(name: str) -> None:
    ruleset = owned(Element((name, name), "policy/odd.name"))
    assert set(ownership.read_records(comments(ruleset)).elements) == elements(ruleset)
    assert all(line.isascii() and '"' not in line for line in comments(ruleset))


@pytest.mark.parametrize("element", [Element(("x" * 250,), "blog"), Element(("x",), "o" * 250)])
def test_what_is_too_long_is_refused(element: Element) -> None:
    with pytest.raises(UnsupportedRuleError, match="too long"):
        comments(owned(element))


@pytest.mark.parametrize(
    "line", ["nonsense", "dockerv6 ledger blog open=br-blog", "dockerv6 ledger of version 1, mark 0x1"]
)
def test_lines_that_say_nothing_or_again_are_told_of(line: str) -> None:
    lines = ["dockerv6 ledger of version 1, mark 0x1", "dockerv6 ledger shop open=br-blog"]
    assert not ownership.read_records(lines).malformed
    assert ownership.read_records([*lines, line]).malformed


def test_a_mark_that_is_no_number_is_none() -> None:
    assert ownership.read_records(["dockerv6 ledger of version 1, mark x"]).mark is None
