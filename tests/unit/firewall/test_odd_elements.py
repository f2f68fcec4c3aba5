"""A set with elements of a form that we never write: it is flushed and filled again in the same transaction."""

from dataclasses import replace

from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import NETWORKS, PUBLISHED_TO
from dockerv6.firewall.expr import Element
from dockerv6.firewall.operations import AddElements, FlushSet
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.planning.firewall.desired import changed_udp_ports
from tests.fakes.firewall.replay import apply
from tests.unit.firewall.intents import BLOG, SHOP, WEB, intent

BOTH = render(intent(BLOG, SHOP, ports=(WEB,)))


def with_odd(table: Ruleset, name: str, *lost: str) -> Ruleset:
    """The table with something odd in one set, instead of the elements of these owners."""
    return replace(
        table,
        sets=tuple(
            replace(each, elements=frozenset(e for e in each.elements if e.owner not in lost), odd=("an odd one",))
            if each.name == name
            else each
            for each in table.sets
        ),
    )


def test_nothing_else_is_written_and_only_what_differs_is_reported() -> None:
    there = with_odd(BOTH, NETWORKS, "blog")
    change = diff(BOTH, there)
    assert [type(each) for each in change.operations] == [FlushSet, AddElements]
    assert change.lines_for("shop") == change.lines_for("") == ("flush set networks: it holds an odd one",)
    assert change.lines_for("blog")[1:] == (f"add {BLOG.subnet} . br-blog to set networks",)
    assert apply(there, change) == BOTH


def test_kept_owners_keep_their_elements_in_the_set() -> None:
    there = with_odd(BOTH, NETWORKS)
    change = diff(render(intent(SHOP, keep=frozenset({"blog"}))), there, frozenset({"blog"}))
    assert apply(there, change).part_of("blog") == BOTH.part_of("blog")


def test_what_nobody_wants_any_more_is_removed_by_the_flush() -> None:
    there = with_odd(BOTH, NETWORKS)
    change = diff(render(intent(BLOG, ports=(WEB,))), there)
    assert f"remove {SHOP.subnet} . br-shop from set networks" in change.lines_for("shop")
    assert apply(there, change) == render(intent(BLOG, ports=(WEB,)))


def test_flows_of_ports_that_are_only_written_again_go_on() -> None:
    port = Element(("udp", "53"), "blog", "fd12:3456:789a:1::2/128")
    there = with_odd(BOTH, PUBLISHED_TO)
    wanted = replace(
        BOTH,
        sets=tuple(
            replace(each, elements=each.elements | {port}) if each.name == PUBLISHED_TO else each for each in BOTH.sets
        ),
    )
    assert changed_udp_ports(diff(wanted, there)) == {53}
    before = with_odd(wanted, PUBLISHED_TO)
    assert changed_udp_ports(diff(wanted, before)) == frozenset()
    assert changed_udp_ports(diff(BOTH, before)) == {53}


def test_odd_elements_are_shown() -> None:
    assert "  an odd one" in with_odd(BOTH, NETWORKS).lines()
