from ipaddress import IPv6Network

from hypothesis import given

from dockerv6.firewall.elements import PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
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
def test_every_element_is_of_a_network_or_a_port_of_its_owner(wish: FirewallIntent) -> None:
    subnets = {(network.owner, network.subnet) for network in wish.networks}
    targets = {(port.owner, IPv6Network(port.target)) for port in wish.ports}
    names = {(network.owner, network.bridge) for network in wish.networks}
    names |= {(port.owner, str(port.protocol)) for port in wish.ports}
    for _, element in elements(render(wish)):
        first, owner = element.key[0], element.owner
        if "/" in first:
            prefix = IPv6Network(first)
            assert (owner, prefix) in targets or any(o == owner and prefix.subnet_of(s) for o, s in subnets)
        else:
            assert not owner or (owner, first) in names
    assert set(overlapping_owners(wish)) <= {network.owner for network in wish.networks}


@given(intents)
def test_a_published_port_has_both_its_address_and_its_number(wish: FirewallIntent) -> None:
    there = {each.name: {(e.key, e.owner) for e in each.elements} for each in render(wish).sets}
    for addresses, numbers in ((PUBLISHED_TO, PUBLISHED_PORT), (PUBLISHED_AT_TO, PUBLISHED_AT_PORT)):
        assert there.get(addresses) == there.get(numbers)


@given(intents, intents, holds)
def test_under_holds_too_a_published_port_keeps_its_address_and_number(
    wish: FirewallIntent, before: FirewallIntent, hold: frozenset[str]
) -> None:
    target = diff(render(wish), render(before), hold).target
    there = {each.name: {(e.key, e.owner) for e in each.elements} for each in target.sets}
    assert there.get(PUBLISHED_TO) == there.get(PUBLISHED_PORT)
