from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.elements import EGRESS_ANY, NETWORKS, PUBLISHED, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.expr import SHARED, Chain, Element, ElementSet, KeyType, Rule, UnknownExpr
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.operations import (
    AddChain,
    AddElements,
    AddRules,
    DeleteChain,
    DeleteTable,
    FlushChain,
    RemoveElements,
)
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import InterfaceName
from tests.fakes.firewall.replay import apply
from tests.unit.firewall.intents import BLOG, DNS, GUARDED, HOME, SHOP, WEB, intent

BOTH = render(intent(BLOG, SHOP))
ONE = render(intent(BLOG))
KEEP_BLOG = frozenset({"blog"})


def with_chain(ruleset: Ruleset, chain: Chain) -> Ruleset:
    others = [each for each in ruleset.chains if each.name != chain.name]
    return replace(ruleset, chains=tuple(sorted([*others, chain], key=lambda each: each.name)))


def without_chain(ruleset: Ruleset, name: str) -> Ruleset:
    return replace(ruleset, chains=tuple(each for each in ruleset.chains if each.name != name))


def with_elements(ruleset: Ruleset, name: str, *elements: Element) -> Ruleset:
    return replace(
        ruleset,
        sets=tuple(replace(s, elements=frozenset(elements)) if s.name == name else s for s in ruleset.sets),
    )


def chain(name: str, of: Ruleset = BOTH) -> Chain:
    found = of.chain(name)
    assert found is not None
    return found


def test_equal_rulesets_need_no_change() -> None:
    change = diff(BOTH, BOTH)
    assert change.empty
    assert (change.owners, change.describe(), change.by_owner) == (frozenset(), (), {})


def test_an_empty_table_is_filled() -> None:
    change = diff(BOTH, EMPTY)
    assert change.owners == {SHARED, "blog", "shop"}
    assert change.describe()[0] == "add the table"
    assert apply(EMPTY, change) == BOTH


def test_the_table_is_deleted_when_no_resource_needs_it() -> None:
    assert diff(EMPTY, BOTH).describe() == ("delete the table: no resource needs it",)
    assert diff(EMPTY, EMPTY).empty


def test_an_added_network_touches_nothing_but_its_own_elements() -> None:
    change = diff(BOTH, ONE)
    assert {type(step) for step in change.operations} == {AddElements}
    assert change.owners == {"shop"}
    assert "add fd12:3456:789a:2::/64 . br-shop to set networks (shop)" in change.describe()
    assert change.by_owner["shop"][0] == "add fd12:3456:789a:2::/64 to set egress_pinned"


def test_a_removed_network_touches_nothing_but_its_own_elements() -> None:
    change = diff(ONE, BOTH)
    assert {type(step) for step in change.operations} == {RemoveElements}
    assert change.owners == {"shop"}


def test_an_element_that_changes_its_owner_is_removed_before_it_is_added() -> None:
    renamed = render(intent(replace(BLOG, owner="weblog")))
    change = diff(renamed, ONE)
    assert [type(step) for step in change.operations] == [RemoveElements, AddElements] * 5
    assert apply(ONE, change) == renamed


def test_an_element_that_changes_its_value_is_removed_before_it_is_added() -> None:
    before, after = (render(intent(BLOG, ports=(port,))) for port in (WEB, replace(WEB, target_port=81)))
    change = diff(after, before)
    assert [
        (type(step), step.set.name) for step in change.operations if isinstance(step, AddElements | RemoveElements)
    ] == [
        (RemoveElements, PUBLISHED),
        (AddElements, PUBLISHED),
        (RemoveElements, PUBLISHED_PORT),
        (AddElements, PUBLISHED_PORT),
    ]
    assert "remove tcp . 8080 : 80 from map published_port (blog)" in change.describe()
    assert apply(before, change) == after


def test_an_edited_rule_has_its_chain_refilled_in_place() -> None:
    damaged = with_chain(BOTH, replace(chain("forward"), rules=(Rule((UnknownExpr("drop"),)), *chain("forward").rules)))
    change = diff(BOTH, damaged)
    assert change.operations == (FlushChain("forward"), AddRules(chain("forward")))
    assert change.owners == {SHARED}


def test_a_chain_that_looks_empty_is_still_flushed() -> None:
    change = diff(BOTH, with_chain(BOTH, replace(chain("forward"), rules=())))
    assert change.operations == (FlushChain("forward"), AddRules(chain("forward")))


def test_a_chain_with_another_priority_is_recreated() -> None:
    change = diff(BOTH, with_chain(BOTH, replace(chain("postrouting"), priority=300)))
    assert [type(step) for step in change.operations] == [FlushChain, DeleteChain, AddChain, AddRules]


def test_a_chain_that_others_jump_to_can_be_recreated() -> None:
    damaged = with_chain(BOTH, replace(chain("outbound"), type="filter", hook="forward", policy="accept"))
    assert apply(damaged, diff(BOTH, damaged)) == BOTH


def test_a_missing_chain_is_added_with_the_jump_to_it() -> None:
    damaged = with_chain(without_chain(BOTH, "outbound"), replace(chain("forward"), rules=chain("forward").rules[1:]))
    assert apply(damaged, diff(BOTH, damaged)) == BOTH


def test_a_foreign_chain_is_removed() -> None:
    damaged = with_chain(BOTH, Chain("backdoor", (Rule((UnknownExpr("accept all"),)),)))
    assert diff(BOTH, damaged).operations == (FlushChain("backdoor"), DeleteChain("backdoor"))


def test_a_foreign_element_is_removed_and_a_missing_one_added() -> None:
    foreign = Element(("fd00:bad::/64",))
    damaged = with_elements(BOTH, EGRESS_ANY, foreign)
    change = diff(BOTH, damaged)
    assert change.owners == {SHARED, "blog"}
    assert apply(damaged, change) == BOTH


def test_a_set_of_another_type_recreates_the_table() -> None:
    damaged = replace(
        BOTH, sets=(*BOTH.sets[1:], replace(BOTH.sets[0], key=(KeyType.INTERFACE,), elements=frozenset()))
    )
    change = diff(BOTH, damaged)
    assert change.describe()[0] == f"delete the table: set {BOTH.sets[0].name} is of another type"
    assert apply(damaged, change) == BOTH


def test_a_foreign_set_or_object_recreates_the_table() -> None:
    extra = ElementSet("extra", (KeyType.INTERFACE,))
    for damaged in (replace(BOTH, sets=(*BOTH.sets, extra)), replace(BOTH, foreign=("map m",))):
        change = diff(BOTH, damaged)
        assert isinstance(change.operations[0], DeleteTable)
        assert apply(damaged, change) == BOTH


def test_kept_elements_are_neither_removed_nor_added() -> None:
    there = Element(("fd00:1::/64",), "blog")
    observed = with_elements(BOTH, EGRESS_ANY, there)
    target = apply(observed, diff(BOTH, observed, KEEP_BLOG))
    found = target.set(EGRESS_ANY)
    assert found is not None
    assert found.elements == {there}


def test_kept_elements_survive_a_recreated_table() -> None:
    observed = replace(BOTH, foreign=("map m",))
    change = diff(render(intent(SHOP, keep=KEEP_BLOG)), observed, KEEP_BLOG)
    assert apply(observed, change).owners == {"blog", "shop"}


def test_rules_that_an_earlier_version_wrote_without_a_digest_are_kept_and_written_again() -> None:
    def old(chain: Chain) -> Chain:
        return chain.owning(replace(rule, comment="without a digest", digest="") for rule in chain.owned)

    observed = replace(AT_HOME, chains=tuple(old(chain) for chain in AT_HOME.chains))
    for keep in (frozenset({"home"}), frozenset[str]()):
        change = diff(AT_HOME if not keep else render(intent(keep=keep)), observed, keep)
        assert change.owners == {"home"}
        assert apply(observed, change).owned == AT_HOME.owned


def test_kept_elements_can_not_be_restored_after_a_flush() -> None:
    assert apply(EMPTY, diff(BOTH, EMPTY, KEEP_BLOG)).owners == {"shop"}


def test_the_table_stays_for_kept_elements_alone() -> None:
    change = diff(render(intent(keep=KEEP_BLOG)), BOTH, KEEP_BLOG)
    assert change.owners == {"shop"}
    assert apply(BOTH, change).owners == {"blog"}
    assert diff(EMPTY, BOTH).describe() == ("delete the table: no resource needs it",)


def test_a_network_that_overlaps_a_kept_one_is_left_out_and_reported() -> None:
    rival = replace(SHOP, subnet=IPv6Network("fd12:3456:789a:1::/80"))
    change = diff(render(intent(rival, keep=KEEP_BLOG)), ONE, KEEP_BLOG)
    assert [blocked.owner for blocked in change.blocked] == ["shop"]
    assert "fd12:3456:789a:1::/80 overlaps rules that are kept for blog" in change.blocked[0].message
    assert change.empty


def test_a_port_that_is_kept_for_another_owner_is_left_out_and_reported() -> None:
    observed = render(intent(BLOG, ports=(WEB,)))
    rival = replace(WEB, owner="shop", target=SHOP.subnet[2])
    change = diff(render(intent(SHOP, ports=(rival,), keep=KEEP_BLOG)), observed, KEEP_BLOG)
    assert [blocked.owner for blocked in change.blocked] == ["shop"]
    assert "tcp . 8080 overlaps rules that are kept for blog" in change.blocked[0].message
    assert change.empty


def test_other_ports_do_not_conflict() -> None:
    """A port's key begins with the protocol, which is no subnet of anybody's."""
    observed = render(intent(BLOG, ports=(WEB, DNS, GUARDED)))
    other = replace(WEB, owner="shop", port=8081, target=SHOP.subnet[2])
    desired = render(intent(SHOP, ports=(other, replace(other, port=23, sources=GUARDED.sources)), keep=KEEP_BLOG))
    change = diff(desired, observed, KEEP_BLOG)
    assert change.blocked == ()
    assert apply(observed, change).owners == {"blog", "shop"}


def test_another_owner_can_not_publish_a_container_in_a_kept_subnet() -> None:
    rival = replace(WEB, owner="shop", port=8081, target=BLOG.subnet[9])
    change = diff(render(intent(SHOP, ports=(rival,), keep=KEEP_BLOG)), ONE, KEEP_BLOG)
    assert [blocked.message for blocked in change.blocked] == [
        "fd12:3456:789a:1::9/128 overlaps rules that are kept for blog, which is suspended or can't be evaluated now"
    ]


# ---- rules of single resources ----

OTHER = IPv6Network("2001:db8:a:a::/64")
MOVED = replace(HOME, external_prefixes=(IPv6Network("2001:db8:8:9::/64"), *HOME.external_prefixes))
AWAY = replace(
    HOME,
    owner="away",
    subnet=IPv6Network("fd12:3456:789a:a::/64"),
    bridge=InterfaceName("br-away"),
    external_prefixes=(OTHER,),
)
AT_HOME = render(intent(HOME))


def test_a_changed_external_prefix_is_one_transaction_of_its_owner() -> None:
    before, after = render(intent(HOME, AWAY)), render(intent(MOVED, AWAY))
    change = diff(after, before)
    assert change.owners == {"home"}
    assert change.describe() == (
        "remove ip6 saddr fd12:3456:789a:8::/64 snat prefix to 2001:db8:8:8::/64 from chain prefix_out (home)",
        "add ip6 daddr 2001:db8:8:9::/64 dnat prefix to fd12:3456:789a:8::/64 to chain prefix_in (home)",
        "add ip6 saddr fd12:3456:789a:8::/64 snat prefix to 2001:db8:8:9::/64 to chain prefix_out (home)",
        "add 2001:db8:8:9::/64 to set outer (home)",
    )
    assert {type(step) for step in change.operations} == {FlushChain, AddRules, AddElements}
    assert apply(before, change) == after


def test_foreign_rules_in_a_chain_of_owned_rules_concern_no_single_owner() -> None:
    there = chain("prefix_in", AT_HOME)
    foreign = with_chain(AT_HOME, replace(there, rules=(Rule((UnknownExpr("accept"),)), *there.rules)))
    assert diff(AT_HOME, foreign).describe() == ("flush chain prefix_in: its rules differ",)
    backwards = with_chain(AT_HOME, replace(there, rules=there.rules[::-1]))
    assert diff(AT_HOME, backwards).owners == {SHARED}
    for damaged in (foreign, backwards):
        assert apply(damaged, diff(AT_HOME, damaged)) == AT_HOME


def test_a_deleted_rule_is_a_change_for_its_owner() -> None:
    there = chain("prefix_in", AT_HOME)
    change = diff(AT_HOME, with_chain(AT_HOME, replace(there, rules=there.rules[1:])))
    assert change.by_owner == {
        "home": ("add ip6 daddr 2001:db8:8:7::/64 dnat prefix to fd12:3456:789a:8::/64 to chain prefix_in",)
    }


def test_a_lost_chain_is_a_change_for_all_owners_of_its_rules() -> None:
    change = diff(AT_HOME, without_chain(AT_HOME, "prefix_out"))
    assert change.owners == {SHARED, "home"}
    assert "add 0 rules" not in " ".join(change.describe())


def test_kept_rules_stay_while_others_change() -> None:
    there = chain("prefix_in", AT_HOME)
    observed = with_chain(AT_HOME, replace(there, rules=there.rules[:1]))
    keep = frozenset({"home"})
    for asked in (intent(AWAY, keep=keep), intent(AWAY, MOVED, keep=keep)):
        change = diff(render(asked), observed, keep)
        assert change.owners == {"away"}
        after = apply(observed, change)
        assert [rule for rule in after.owned if rule.owner == "home"] == list(observed.owned)
        assert len([rule for rule in after.owned if rule.owner == "away"]) == 2
        assert diff(render(asked), after, keep).empty


def test_the_table_stays_for_kept_rules_alone() -> None:
    keep = frozenset({"home"})
    change = diff(render(intent(keep=keep)), render(intent(HOME, AWAY)), keep)
    assert change.owners == {"away"}
    assert apply(render(intent(HOME, AWAY)), change) == AT_HOME


@pytest.mark.parametrize(
    "rival",
    [
        replace(AWAY, external_prefixes=HOME.external_prefixes[1:]),
        replace(AWAY, subnet=HOME.external_prefixes[0]),
        replace(AWAY, external_prefixes=(HOME.subnet,)),
    ],
)
def test_external_prefixes_and_subnets_that_are_kept_can_not_be_used_by_others(rival: NetworkIntent) -> None:
    keep = frozenset({"home"})
    change = diff(render(intent(rival, keep=keep)), AT_HOME, keep)
    assert [blocked.owner for blocked in change.blocked] == ["away"]
    assert change.empty


def test_a_prefix_is_kept_as_a_whole_even_if_few_addresses_lead_in() -> None:
    shared = replace(HOME, external_addresses=(HOME.external_prefixes[0][2],))
    rival = replace(AWAY, external_prefixes=HOME.external_prefixes, external_addresses=(HOME.external_prefixes[0][9],))
    keep = frozenset({"home"})
    change = diff(render(intent(rival, keep=keep)), render(intent(shared)), keep)
    assert [blocked.message for blocked in change.blocked] == [
        "2001:db8:8:7::/64 overlaps rules that are kept for home, which is suspended or can't be evaluated now"
    ]


def test_a_map_that_became_a_set_recreates_the_table() -> None:
    found = BOTH.set(PUBLISHED_TO)
    assert found is not None
    sets = tuple(replace(each, data=None) if each.name == PUBLISHED_TO else each for each in BOTH.sets)
    assert diff(BOTH, replace(BOTH, sets=sets)).describe()[0] == "delete the table: set published_to is of another type"


def test_deleting_the_table_concerns_all_owners_in_it() -> None:
    change = diff(EMPTY, BOTH)
    assert change.owners == {SHARED, "blog", "shop"}
    assert change.by_owner["blog"] == ("delete the table: no resource needs it",)


def test_a_ruleset_as_text() -> None:
    lines = list(replace(ONE, foreign=("map m",)).lines())
    assert "interval set networks: ipv6_addr . ifname" in lines
    assert "  fd12:3456:789a:1::/64 . br-blog  (blog)" in lines
    assert "chain postrouting: nat postrouting 99 policy accept" in lines
    assert lines[-1] == "foreign map m"
    lines = list(render(intent(BLOG, ports=(WEB,))).lines())
    assert "map published_port: inet_proto . inet_service : inet_service" in lines
    assert "  tcp . 8080 : 80  (blog)" in lines
    assert ONE.set(NETWORKS) is not None
    assert ONE.set("nothing") is None
