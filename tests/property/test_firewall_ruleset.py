"""Properties of rendered rulesets, of their differences, and of disjoint boxes."""

from dataclasses import replace
from ipaddress import IPv6Network, collapse_addresses
from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall import rectangles as pairs_of_prefixes
from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import (
    ANY_LINK_SOURCES,
    EXTERNAL,
    NETWORKS,
    PUBLISHED_AT_PORT,
    PUBLISHED_AT_TO,
    PUBLISHED_PORT,
    PUBLISHED_TO,
    TRANSLATED,
)
from dockerv6.firewall.expr import Element, overlapping
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.overlaps import resolve_overlaps
from dockerv6.firewall.prefixes import PREFIX_IN, PREFIX_OUT, prefixes_of
from dockerv6.firewall.rectangles import Rectangle, collapsed
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from tests.fakes.firewall.replay import apply
from tests.property.strategies_firewall import intents, keeps, observed

PREFIXED = {EXTERNAL: PREFIX_IN, TRANSLATED: PREFIX_OUT}


def elements(ruleset: Ruleset) -> set[tuple[str, Element]]:
    return {(each.name, element) for each in ruleset.sets for element in each.elements}


@given(intents, observed())
def test_applying_the_difference_gives_the_desired_ruleset(intent: FirewallIntent, observed_ruleset: Ruleset) -> None:
    desired = render(intent)
    assert apply(observed_ruleset, diff(desired, observed_ruleset)) == desired


@given(intents, observed(), keeps)
def test_no_difference_remains_after_applying_one_with_kept_owners(
    intent: FirewallIntent, observed_ruleset: Ruleset, keep: frozenset[str]
) -> None:
    desired = render(replace(intent, keep=keep))
    change = diff(desired, observed_ruleset, keep)
    after = apply(observed_ruleset, change)
    assert after == change.target
    assert diff(desired, after, keep).empty


@given(intents, observed(), keeps)
def test_elements_of_kept_owners_stay_unless_their_set_is_replaced(
    intent: FirewallIntent, observed_ruleset: Ruleset, keep: frozenset[str]
) -> None:
    desired = render(replace(intent, keep=keep))
    after = apply(observed_ruleset, diff(desired, observed_ruleset, keep))
    kept = {
        (name, element)
        for name, element in elements(observed_ruleset)
        if element.owner in keep
        and ((new_set := desired.set(name)) is not None and new_set.definition == _definition(observed_ruleset, name))
    }
    assert {(name, element) for name, element in elements(after) if element.owner in keep} == kept


def _definition(ruleset: Ruleset, name: str) -> object:
    found = ruleset.set(name)
    return found.definition if found is not None else None


@given(intents, observed(), keeps)
def test_a_change_names_the_owners_of_changed_elements_and_rules(
    intent: FirewallIntent, observed_ruleset: Ruleset, keep: frozenset[str]
) -> None:
    change = diff(render(intent), observed_ruleset, keep)
    changed = {element.owner for _, element in elements(observed_ruleset) ^ elements(change.target)}
    changed |= {rule.owner for rule in {*observed_ruleset.owned} ^ {*change.target.owned}}
    assert changed - {""} <= change.owners
    assert set(change.by_owner) == change.owners
    assert bool(change.describe()) is not change.empty


@given(intents)
def test_rendered_elements_never_overlap(intent: FirewallIntent) -> None:
    for each in render(intent).sets:
        assert overlapping(element.key for element in each.elements) is None


@given(intents)
def test_every_element_belongs_to_a_network_or_a_port_of_its_owner(intent: FirewallIntent) -> None:
    subnets = {(network.owner, network.subnet) for network in intent.networks}
    targets = {(port.owner, IPv6Network(port.target)) for port in intent.ports}
    names = {(network.owner, str(network.bridge)) for network in intent.networks}
    names |= {(port.owner, str(port.protocol)) for port in intent.ports}
    subnets |= {(network.owner, external) for network in intent.networks for external in network.external_prefixes}
    subnets |= {("", IPv6Network(address)) for address in (*intent.host_addresses, *ANY_LINK_SOURCES)}
    for _, element in elements(render(intent)):
        first, owner = element.key[0], element.owner
        if "/" in first:
            prefix = IPv6Network(first)
            assert (owner, prefix) in targets or any(o == owner and prefix.subnet_of(s) for o, s in subnets)
        else:
            assert not owner or (owner, first) in names
    separated = resolve_overlaps(intent.networks, intent.precedence)
    for excluded in (separated.lost, separated.external_lost):
        assert set(excluded) | set(excluded.values()) <= {network.owner for network in intent.networks}


@given(intents)
def test_translation_rules_and_their_elements_match(intent: FirewallIntent) -> None:
    ruleset = render(intent)
    present = {
        name: {(element.key[0], element.owner) for at, element in elements(ruleset) if at == name} for name in PREFIXED
    }
    for name, chain in PREFIXED.items():
        found = ruleset.chain(chain)
        rules = found.owned if found is not None else ()
        translated = {(IPv6Network(prefixes_of(rule)[0]), rule.owner) for rule in rules}
        for part, owner in present[name]:
            assert any(IPv6Network(part).subnet_of(prefix) and owner == rule_owner for prefix, rule_owner in translated)
        assert len({prefixes_of(rule)[0] for rule in rules}) == len(rules)


@given(intents)
def test_no_external_prefix_overlaps_the_subnet_of_another_owner(intent: FirewallIntent) -> None:
    subnets = {element.key[0]: element.owner for name, element in elements(render(intent)) if name == NETWORKS}
    incoming = render(intent).chain(PREFIX_IN)
    for rule in incoming.owned if incoming is not None else ():
        external, subnet = prefixes_of(rule)
        assert {each for each in subnets if IPv6Network(each).overlaps(IPv6Network(external))} <= {subnet}


@given(intents, observed(), keeps)
def test_rules_of_kept_owners_stay(intent: FirewallIntent, observed_ruleset: Ruleset, keep: frozenset[str]) -> None:
    target = diff(render(replace(intent, keep=keep)), observed_ruleset, keep).target
    kept = {rule for rule in observed_ruleset.owned if rule.owner in keep}
    assert {rule for rule in target.owned if rule.owner in keep} == (kept if target.exists else set())


@given(intents)
def test_a_published_port_has_both_its_address_and_its_number(intent: FirewallIntent) -> None:
    present = {each.name: {(e.key, e.owner) for e in each.elements} for each in render(intent).sets}
    for addresses, numbers in ((PUBLISHED_TO, PUBLISHED_PORT), (PUBLISHED_AT_TO, PUBLISHED_AT_PORT)):
        assert present.get(addresses) == present.get(numbers)


@given(intents, intents, keeps)
def test_with_kept_owners_a_published_port_keeps_its_address_and_number(
    intent: FirewallIntent, observed_intent: FirewallIntent, keep: frozenset[str]
) -> None:
    target = diff(render(replace(intent, keep=keep)), render(observed_intent), keep).target
    present = {each.name: {(e.key, e.owner) for e in each.elements} for each in target.sets}
    assert present.get(PUBLISHED_TO) == present.get(PUBLISHED_PORT)


BITS = 4
WHOLE = IPv6Network("fd00::/124")


@st.composite
def small_prefixes(draw: st.DrawFn) -> IPv6Network:
    """Of the sixteen addresses of WHOLE."""
    length = draw(st.integers(0, BITS))
    number = draw(st.integers(0, 2**length - 1)) << (BITS - length)
    return IPv6Network((int(WHOLE.network_address) + number, WHOLE.prefixlen + length))


rectangles = st.lists(st.tuples(small_prefixes(), small_prefixes()), max_size=6)


def disjoint(given_boxes: list[Rectangle]) -> tuple[Rectangle, ...]:
    return tuple(pairs_of_prefixes.disjoint([((first,), (second,)) for first, second in given_boxes], 1000))


def covered(found: tuple[Rectangle, ...] | list[Rectangle]) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for first, second in found for x in first for y in second}


@given(rectangles)
def test_disjoint_boxes_cover_exactly_what_the_given_ones_cover(given_boxes: list[Rectangle]) -> None:
    assert covered(disjoint(given_boxes)) == covered(given_boxes)


@given(rectangles)
def test_disjoint_boxes_never_overlap(given_boxes: list[Rectangle]) -> None:
    for one, other in combinations(disjoint(given_boxes), 2):
        assert not (one[0].overlaps(other[0]) and one[1].overlaps(other[1]))


@given(rectangles, st.randoms())
def test_the_order_of_boxes_does_not_matter(given_boxes: list[Rectangle], random: Random) -> None:
    shuffled = sorted(given_boxes, key=lambda _: random.random())
    assert disjoint(shuffled) == disjoint(given_boxes)


boxes = st.lists(st.tuples(st.lists(small_prefixes(), max_size=3), st.lists(small_prefixes(), max_size=3)), max_size=5)


@given(boxes)
def test_disjoint_boxes_are_what_their_pairs_are(
    given_boxes: list[tuple[list[IPv6Network], list[IPv6Network]]],
) -> None:
    single = [(first, second) for firsts, seconds in given_boxes for first in firsts for second in seconds]
    assert tuple(pairs_of_prefixes.disjoint(given_boxes, 1000)) == disjoint(single)


@given(st.lists(small_prefixes()))
def test_the_fewest_prefixes_are_those_of_the_standard_library(given_prefixes: list[IPv6Network]) -> None:
    assert list(collapsed(given_prefixes)) == list(collapse_addresses(given_prefixes))
