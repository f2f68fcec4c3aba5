from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.rules import (
    EGRESS_ANY,
    EGRESS_PINNED,
    EGRESS_VIA,
    EXCLUDED,
    NETWORKS,
    UPLINK_BRIDGES,
    overlapping_owners,
    render,
)
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.terms import Element, HasMark, SetMark, Verdict
from tests.unit.firewall.intents import BLOG, PLAIN, SHOP, VAULT, intent


def keys(ruleset: Ruleset, name: str, owner: str) -> set[str]:
    found = ruleset.set(name)
    assert found is not None
    return {str(element) for element in found.elements if element.owner == owner}


def test_nothing_to_do_needs_no_table() -> None:
    assert render(intent()) == EMPTY
    assert render(intent(VAULT, PLAIN)) == EMPTY


def test_held_elements_keep_their_chains_though_nobody_else_wants_them() -> None:
    assert render(intent(hold=frozenset({"blog"}))).chains == render(intent(BLOG)).chains


def test_internal_and_untranslated_networks_get_no_element() -> None:
    assert render(intent(BLOG, VAULT, PLAIN)).owners == {"blog"}


def test_a_network_without_interfaces_is_translated_out_of_any() -> None:
    rendered = render(intent(BLOG))
    assert keys(rendered, EGRESS_ANY, "blog") == {"fd12:3456:789a:1::/64"}
    assert keys(rendered, EGRESS_PINNED, "blog") == keys(rendered, EGRESS_VIA, "blog") == set()


def test_a_network_with_interfaces_is_translated_out_of_those_alone() -> None:
    rendered = render(intent(SHOP))
    assert keys(rendered, EGRESS_VIA, "shop") == {"fd12:3456:789a:2::/64 . eth0", "fd12:3456:789a:2::/64 . wg0"}
    assert keys(rendered, EGRESS_PINNED, "shop") == {"fd12:3456:789a:2::/64"}
    assert keys(rendered, EGRESS_ANY, "shop") == set()


def test_its_own_bridge_is_no_egress_interface() -> None:
    rendered = render(intent(replace(SHOP, egress_interfaces=("br-shop",))))
    assert keys(rendered, EGRESS_VIA, "shop") == set()
    assert keys(rendered, EGRESS_PINNED, "shop") == {"fd12:3456:789a:2::/64"}


def test_overlapping_destinations_are_merged() -> None:
    assert keys(render(intent(SHOP)), EXCLUDED, "shop") == {
        "fd12:3456:789a:2::/64 . 2001:db8:aaaa::/48",
        "fd12:3456:789a:2::/64 . fc00::/7",
    }


def test_of_overlapping_networks_only_the_first_gets_elements() -> None:
    wide = replace(SHOP, subnet=IPv6Network("fd12:3456:789a::/48"))
    narrow = replace(SHOP, subnet=IPv6Network("fd12:3456:789a:1:8000::/65"))
    for other in (wide, narrow, replace(SHOP, subnet=BLOG.subnet)):
        wish = intent(other, BLOG)
        assert render(wish).owners == {"blog"}
        assert overlapping_owners(wish) == {"shop": "blog"}
    assert overlapping_owners(intent(BLOG, SHOP)) == {}


def test_the_rules_are_the_same_for_one_network_and_for_many() -> None:
    many = [
        replace(BLOG, owner=f"n{n}", subnet=IPv6Network(f"fd00:0:0:{n:x}::/64"), bridge=f"br{n}") for n in range(300)
    ]
    assert render(intent(*many)).chains == render(intent(BLOG)).chains


def test_the_order_of_networks_does_not_matter() -> None:
    assert render(intent(BLOG, SHOP)) == render(intent(SHOP, BLOG))


def test_bridges_that_lead_outside_belong_to_nobody() -> None:
    found = render(FirewallIntent((BLOG,), uplink_bridges=("br0",))).set(UPLINK_BRIDGES)
    assert found is not None
    assert found.elements == {Element(("br0",))}


def test_the_mark_is_the_one_that_was_asked_for() -> None:
    rendered = render(replace(intent(BLOG), mark=0x40))
    terms = [term for chain in rendered.chains for rule in chain.rules for term in rule.terms]
    assert {term.bits for term in terms if isinstance(term, SetMark | HasMark)} == {0x40}


def test_nothing_is_accepted_that_was_not_looked_up() -> None:
    for chain in render(intent(BLOG, SHOP)).chains:
        assert chain.policy in {"", "accept"}
        for rule in chain.rules:
            assert len(rule.terms) > 1
            assert not (chain.hook == "forward" and Verdict.ACCEPT in rule.terms)


def test_every_rule_and_element_says_whose_it_is() -> None:
    rendered = render(intent(BLOG, SHOP))
    assert all(rule.comment.startswith("dockerv6: ") for chain in rendered.chains for rule in chain.rules)
    assert all(len(rule.comment) <= 128 for chain in rendered.chains for rule in chain.rules)
    assert keys(rendered, NETWORKS, "blog") == {"fd12:3456:789a:1::/64 . br-blog"}
    assert keys(rendered, NETWORKS, "shop") == {"fd12:3456:789a:2::/64 . br-shop"}
