from dataclasses import replace
from ipaddress import IPv6Network

from hypothesis import given

from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import (
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
from dockerv6.firewall.prefixes import PREFIX_IN, PREFIX_OUT, prefixes_of
from dockerv6.firewall.render import overlapping_external_prefixes, overlapping_subnets, render
from dockerv6.firewall.ruleset import Ruleset
from tests.fakes.firewall.replay import apply
from tests.property.strategies_firewall import intents, keeps, observed

PREFIXED = {EXTERNAL: PREFIX_IN, TRANSLATED: PREFIX_OUT}


def elements(ruleset: Ruleset) -> set[tuple[str, Element]]:
    return {(each.name, element) for each in ruleset.sets for element in each.elements}


@given(intents, observed())
def test_applying_the_difference_gives_the_desired(asked: FirewallIntent, before: Ruleset) -> None:
    desired = render(asked)
    assert apply(before, diff(desired, before)) == desired


@given(intents, observed(), keeps)
def test_applying_the_difference_with_kept_owners_leaves_no_difference(
    asked: FirewallIntent, before: Ruleset, keep: frozenset[str]
) -> None:
    desired = render(replace(asked, keep=keep))
    change = diff(desired, before, keep)
    after = apply(before, change)
    assert after == change.target
    assert diff(desired, after, keep).empty


@given(intents, observed(), keeps)
def test_kept_elements_stay_where_their_set_stays(asked: FirewallIntent, before: Ruleset, keep: frozenset[str]) -> None:
    desired = render(replace(asked, keep=keep))
    after = apply(before, diff(desired, before, keep))
    kept = {
        (name, element)
        for name, element in elements(before)
        if element.owner in keep
        and ((wanted := desired.set(name)) is not None and wanted.definition == _definition(before, name))
    }
    assert {(name, element) for name, element in elements(after) if element.owner in keep} == kept


def _definition(ruleset: Ruleset, name: str) -> object:
    found = ruleset.set(name)
    return found.definition if found is not None else None


@given(intents, observed(), keeps)
def test_the_owners_of_a_change_are_those_whose_elements_it_changes(
    asked: FirewallIntent, before: Ruleset, keep: frozenset[str]
) -> None:
    change = diff(render(asked), before, keep)
    changed = {element.owner for _, element in elements(before) ^ elements(change.target)}
    changed |= {rule.owner for rule in {*before.owned} ^ {*change.target.owned}}
    assert changed - {""} <= change.owners
    assert set(change.by_owner) == change.owners
    assert bool(change.describe()) is not change.empty


@given(intents)
def test_what_is_rendered_never_overlaps(asked: FirewallIntent) -> None:
    for each in render(asked).sets:
        assert overlapping(element.key for element in each.elements) is None


@given(intents)
def test_every_element_is_of_a_network_or_a_port_of_its_owner(asked: FirewallIntent) -> None:
    subnets = {(network.owner, network.subnet) for network in asked.networks}
    targets = {(port.owner, IPv6Network(port.target)) for port in asked.ports}
    names = {(network.owner, network.bridge) for network in asked.networks}
    names |= {(port.owner, str(port.protocol)) for port in asked.ports}
    subnets |= {(network.owner, external) for network in asked.networks for external in network.external_prefixes}
    subnets |= {("", IPv6Network(address)) for address in asked.host_addresses}
    for _, element in elements(render(asked)):
        first, owner = element.key[0], element.owner
        if "/" in first:
            prefix = IPv6Network(first)
            assert (owner, prefix) in targets or any(o == owner and prefix.subnet_of(s) for o, s in subnets)
        else:
            assert not owner or (owner, first) in names
    for lost in (overlapping_subnets(asked), overlapping_external_prefixes(asked)):
        assert set(lost) | set(lost.values()) <= {network.owner for network in asked.networks}


@given(intents)
def test_every_owned_rule_has_its_elements_and_they_have_rules(asked: FirewallIntent) -> None:
    ruleset = render(asked)
    there = {
        name: {(element.key[0], element.owner) for at, element in elements(ruleset) if at == name} for name in PREFIXED
    }
    for name, chain in PREFIXED.items():
        found = ruleset.chain(chain)
        rules = found.owned if found is not None else ()
        whole = {(IPv6Network(prefixes_of(rule)[0]), rule.owner) for rule in rules}
        for part, owner in there[name]:
            assert any(IPv6Network(part).subnet_of(prefix) and owner == its for prefix, its in whole)
        assert len({prefixes_of(rule)[0] for rule in rules}) == len(rules)


@given(intents)
def test_no_external_prefix_overlaps_the_subnet_of_another_owner(asked: FirewallIntent) -> None:
    subnets = {element.key[0]: element.owner for name, element in elements(render(asked)) if name == NETWORKS}
    inwards = render(asked).chain(PREFIX_IN)
    for rule in inwards.owned if inwards is not None else ():
        external, subnet = prefixes_of(rule)
        assert {each for each in subnets if IPv6Network(each).overlaps(IPv6Network(external))} <= {subnet}


@given(intents, observed(), keeps)
def test_kept_rules_stay_as_they_are(asked: FirewallIntent, before: Ruleset, keep: frozenset[str]) -> None:
    target = diff(render(replace(asked, keep=keep)), before, keep).target
    kept = {rule for rule in before.owned if rule.owner in keep}
    assert {rule for rule in target.owned if rule.owner in keep} == (kept if target.exists else set())


@given(intents)
def test_a_published_port_has_both_its_address_and_its_number(asked: FirewallIntent) -> None:
    there = {each.name: {(e.key, e.owner) for e in each.elements} for each in render(asked).sets}
    for addresses, numbers in ((PUBLISHED_TO, PUBLISHED_PORT), (PUBLISHED_AT_TO, PUBLISHED_AT_PORT)):
        assert there.get(addresses) == there.get(numbers)


@given(intents, intents, keeps)
def test_with_kept_owners_a_published_port_keeps_its_address_and_number(
    asked: FirewallIntent, before: FirewallIntent, keep: frozenset[str]
) -> None:
    target = diff(render(replace(asked, keep=keep)), render(before), keep).target
    there = {each.name: {(e.key, e.owner) for e in each.elements} for each in target.sets}
    assert there.get(PUBLISHED_TO) == there.get(PUBLISHED_PORT)
