from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.firewall.elements import NETWORKS
from dockerv6.firewall.expr import Element
from dockerv6.firewall.model import FirewallIntent, NetworkIntent
from dockerv6.firewall.overlaps import claims_in, claims_of, resolve_overlaps
from dockerv6.firewall.render import render
from dockerv6.lib.networking import InterfaceName
from dockerv6.planning.firewall.claims import entitled, overlap_message, precedence, same_network
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from tests.unit.firewall.intents import BLOG, HOME, SHOP

POLICY = replace(BLOG, owner="policy/all")
OBSERVER = replace(BLOG, owner="aa")
NONE: frozenset[str] = frozenset()


def winner(*networks: NetworkIntent, held: dict[tuple[str, IPv6Network], int], observers: frozenset[str] = NONE) -> str:
    (kept,) = resolve_overlaps(networks, precedence(networks, held, observers)).networks
    return kept.owner


def test_the_owner_that_has_the_rules_keeps_them() -> None:
    for holder in (BLOG, POLICY, OBSERVER):
        held = {(holder.owner, BLOG.subnet): 3}
        assert winner(BLOG, POLICY, OBSERVER, held=held, observers=frozenset({"aa"})) == holder.owner


def test_the_owner_that_had_the_rules_earlier_keeps_them() -> None:
    assert winner(OBSERVER, BLOG, held={("aa", BLOG.subnet): 4, ("blog", BLOG.subnet): 3}) == "blog"


def test_of_two_that_come_together_the_one_that_manages_the_network_is_first() -> None:
    assert winner(POLICY, OBSERVER, BLOG, held={}, observers=frozenset({"aa"})) == "blog"
    assert winner(replace(POLICY, owner="policy/a"), replace(BLOG, owner="zz"), held={}, observers=NONE) == "zz"
    assert winner(POLICY, replace(BLOG, owner="zz"), held={}, observers=frozenset({"zz"})) == "zz"
    assert winner(OBSERVER, BLOG, held={}) == "aa"


def test_a_held_external_prefix_comes_before_a_new_subnet() -> None:
    (external, *_) = HOME.external_prefixes
    new = replace(SHOP, owner="aa", subnet=external)
    held = {("home", HOME.subnet): 1, ("home", external): 1}
    found = resolve_overlaps((HOME, new), precedence((HOME, new), held, NONE))
    assert (found.networks, found.lost, found.external_lost) == ((HOME,), {"aa": "home"}, {})
    found = resolve_overlaps((HOME, new), precedence((HOME, new), {}, NONE))
    assert (found.lost, found.external_lost) == ({}, {"home": "aa"})


def test_the_table_shows_which_owner_has_which_claim() -> None:
    intent = FirewallIntent((BLOG, HOME))
    assert claims_in(render(intent)) == frozenset(claims_of(intent.networks))


def test_two_networks_with_one_subnet_are_not_the_same() -> None:
    other = replace(SHOP, subnet=BLOG.subnet, bridge=InterfaceName("br-other"))
    assert same_network((BLOG, other), "shop", "blog") is None
    assert same_network((BLOG, OBSERVER), "aa", "blog") == OBSERVER


def test_the_remedy_fits() -> None:
    other = replace(SHOP, subnet=BLOG.subnet, bridge=InterfaceName("br-other"))
    message = overlap_message("shop", "blog", (BLOG, other), "", observing=True, observed=False)
    assert message == (
        f"its subnet {BLOG.subnet} overlaps {BLOG.subnet} of IPv6Network blog, which has the rules; recreate its Docker"
        " network with another subnet"
    )
    message = overlap_message(
        "aa", "policy/all", (POLICY, OBSERVER), "Docker network x", observing=True, observed=False
    )
    assert message == "Docker network x is selected by IPv6Policy all, which has its rules; narrow its selector"


def test_proxy_entries_are_only_for_prefixes_that_are_granted() -> None:
    (current, former) = (IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64"))
    proxied = ProxiedSubnet("home", HOME.subnet, None, (current, former))
    assert entitled(proxied, {("blog", HOME.subnet), ("blog", current)}) == proxied
    assert entitled(proxied, {("home", HOME.subnet)}) is None
    assert entitled(proxied, {("home", former)}) == replace(proxied, external_prefixes=(current,))
    assert entitled(proxied, {("home", current), ("home", former)}) is None


def test_a_range_that_was_added_by_hand_claims_nothing() -> None:
    table = render(FirewallIntent((BLOG,)))
    by_hand = Element(("2001:db8::1-2001:db8::5", "br-blog"), "blog")
    sets = tuple(
        replace(each, elements=each.elements | {by_hand}) if each.name == NETWORKS else each for each in table.sets
    )
    assert claims_in(replace(table, sets=sets)) == claims_in(table) == {("blog", BLOG.subnet)}
