"""Who wrote a rule. The rules of real hosts are judged as a whole in tests/host/test_ipv6nat.py."""

from dataclasses import replace

import pytest

from dockerv6.firewall.ipv6nat.rules import DOCKER, ENGINE, OWN, SHARED, STAGE_1, IPv6NatRules, find_rules, form
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables.rule import (
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    PlainTarget,
    XtablesChain,
    XtablesRule,
)

ACCEPTED, DROPPED, MASQUERADE = PlainTarget.ACCEPT, PlainTarget.DROP, PlainTarget.MASQUERADE
DNAT = ExtensionTarget("DNAT")
STATES = ("RELATED", "ESTABLISHED")


def forward(target: PlainTarget | ChainTarget, handle: int, **conditions: object) -> ListedRule:
    rule = replace(XtablesRule(target), **conditions)  # type: ignore[arg-type]
    return ListedRule("filter", "FORWARD", rule, handle)


JUMP = forward(ChainTarget(DOCKER, jump=True), 1, oif="br-a")
ACCEPT = forward(ACCEPTED, 2, oif="br-a", states=STATES)
OUT = forward(ACCEPTED, 3, iif="br-a", oif="! br-a")
HAIRPIN = ListedRule("nat", "POSTROUTING", XtablesRule(MASQUERADE, oif="br-a", destination_type="LOCAL"), 4)
EGRESS = ListedRule("nat", "POSTROUTING", XtablesRule(MASQUERADE, source="fd00:1::/64", oif="! br-a"), 5)


def changed(listed: ListedRule, **conditions: object) -> ListedRule:
    return replace(listed, rule=replace(listed.rule, **conditions))  # type: ignore[arg-type]


def found(*rules: ListedRule, empty: tuple[tuple[str, str], ...] = ()) -> IPv6NatRules | None:
    chains: dict[tuple[str, str], XtablesChain] = dict.fromkeys(empty, XtablesChain())
    for rule in rules:
        place = (rule.table, rule.chain)
        chains[place] = XtablesChain(rules=(*chains.get(place, XtablesChain()).rules, rule))
    return find_rules(chains, FilterVariant.XTABLES_NFT)


@pytest.mark.parametrize(
    ("rule", "writer"),
    [
        (HAIRPIN, "OWN"),
        (changed(HAIRPIN, destination_type="", source_type="LOCAL"), "ENGINE"),
        (changed(HAIRPIN, destination_type="", unknown=("addrtype",)), ""),
        (ListedRule("filter", STAGE_1, XtablesRule(DROPPED, iif="! br-a", oif="br-a")), "OWN"),
        (ListedRule("filter", STAGE_1, XtablesRule(DROPPED, iif="! br-a", oif="br-b")), ""),
        (
            ListedRule("filter", STAGE_1, XtablesRule(DROPPED, source="! fd00:1::/64", iif="! br-a", oif="br-a")),
            "ENGINE",
        ),
        (ListedRule("nat", DOCKER, XtablesRule(DNAT, protocol="tcp", ports=(80, 80))), "SHARED"),
        (ListedRule("nat", DOCKER, XtablesRule(DNAT, protocol="tcp", ports=(80, 81))), ""),
        (EGRESS, "SHARED"),
        (changed(EGRESS, source="2001:db8::/64"), ""),
        (JUMP, "SHARED"),
        (changed(JUMP, unknown=("limit",)), ""),
        (changed(JUMP, comment="mine"), ""),
        (changed(JUMP, protocol="tcp"), ""),
        (ACCEPT, "SHARED"),
        (changed(ACCEPT, states=("NEW",)), ""),
    ],
    ids=str,
)
def test_the_program_that_writes_such_a_rule(rule: ListedRule, writer: str) -> None:
    forms = {"OWN": OWN, "SHARED": SHARED, "ENGINE": ENGINE}
    assert [name for name, each in forms.items() if form(rule) in each] == ([writer] if writer else [])


def test_without_its_signature_nothing_is_its() -> None:
    assert found(JUMP, ACCEPT, OUT, EGRESS) is None
    assert found() is None


def test_beside_an_engine_only_what_no_engine_writes_is_its() -> None:
    its = found(ACCEPT, JUMP, OUT, HAIRPIN, EGRESS)
    assert its is not None
    assert (its.rules, its.chains, its.engine_rules) == ((HAIRPIN,), (), True)


def test_an_engine_without_internal_networks_shows_by_the_order_of_its_rules() -> None:
    for order, engine_rules in (((ACCEPT, JUMP), True), ((JUMP, ACCEPT), False)):
        its = found(*order, HAIRPIN)
        assert its is not None
        assert its.engine_rules is engine_rules


def test_in_the_forward_of_a_new_engine_rules_for_a_bridge_are_its() -> None:
    its = found(JUMP, ACCEPT, OUT, HAIRPIN, EGRESS, empty=(("filter", "DOCKER-FORWARD"),))
    assert its is not None
    assert (its.rules, its.engine_rules) == ((JUMP, ACCEPT, OUT, HAIRPIN), True)


def test_without_an_engine_its_shared_rules_and_chains_go_too() -> None:
    chains = (("filter", DOCKER), ("nat", DOCKER), ("filter", "FORWARD"))
    its = found(HAIRPIN, EGRESS, empty=chains)
    assert its is not None
    assert (its.rules, its.networks) == ((HAIRPIN, EGRESS), ("br-a",))
    assert its.chains == (("filter", DOCKER), ("nat", DOCKER))


def test_a_masquerade_for_another_bridge_is_not_its() -> None:
    its = found(HAIRPIN, changed(EGRESS, oif="! br-other"))
    assert its is not None
    assert its.rules == (HAIRPIN,)


def test_a_chain_that_others_use_is_kept() -> None:
    theirs = forward(ChainTarget(DOCKER, jump=True), 9, iif="eth9", unknown=("limit",))
    its = found(HAIRPIN, theirs, empty=(("filter", DOCKER),))
    assert its is not None
    assert its.chains == ()
