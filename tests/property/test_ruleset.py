from hypothesis import given

from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.replay import apply
from dockerv6.firewall.rules import overlapping_owners, render
from dockerv6.firewall.ruleset import Ruleset, diff
from dockerv6.firewall.terms import Element, overlapping
from tests.property.strategies_firewall import holds, intents, observed


def elements(ruleset: Ruleset) -> set[tuple[str, Element]]:
    return {(each.name, element) for each in ruleset.sets for element in each.elements}


@given(intents, observed())
def test_applying_the_difference_gives_the_desired(wish: FirewallIntent, before: Ruleset) -> None:
    desired = render(wish)
    assert apply(before, diff(desired, before)) == desired


@given(intents, observed(), holds)
def test_applying_the_difference_under_holds_leaves_no_difference(
    wish: FirewallIntent, before: Ruleset, hold: frozenset[str]
) -> None:
    desired = render(wish)
    change = diff(desired, before, hold)
    after = apply(before, change)
    assert after == change.target
    assert diff(desired, after, hold).empty


@given(intents, observed(), holds)
def test_held_elements_stay_where_their_set_stays(wish: FirewallIntent, before: Ruleset, hold: frozenset[str]) -> None:
    desired = render(wish)
    after = apply(before, diff(desired, before, hold))
    held = {
        (name, element)
        for name, element in elements(before)
        if element.owner in hold
        and ((wanted := desired.set(name)) is None or wanted.definition == _definition(before, name))
    }
    assert {(name, element) for name, element in elements(after) if element.owner in hold} == held


def _definition(ruleset: Ruleset, name: str) -> object:
    found = ruleset.set(name)
    return found.definition if found is not None else None


@given(intents, observed(), holds)
def test_the_owners_of_a_change_are_those_whose_elements_it_changes(
    wish: FirewallIntent, before: Ruleset, hold: frozenset[str]
) -> None:
    change = diff(render(wish), before, hold)
    changed = elements(before) ^ elements(change.target)
    assert {element.owner for _, element in changed} - {""} <= change.owners
    assert set(change.by_owner()) == change.owners
    assert bool(change.describe()) is not change.empty


@given(intents)
def test_what_is_rendered_never_overlaps(wish: FirewallIntent) -> None:
    for each in render(wish).sets:
        assert overlapping(element.key for element in each.elements) is None


@given(intents)
def test_a_network_has_only_elements_of_its_own_subnet(wish: FirewallIntent) -> None:
    subnets = {(network.owner, str(network.subnet)) for network in wish.networks}
    assert {(e.owner, e.key[0]) for _, e in elements(render(wish)) if e.owner} <= subnets
    assert set(overlapping_owners(wish)) <= {network.owner for network in wish.networks}
