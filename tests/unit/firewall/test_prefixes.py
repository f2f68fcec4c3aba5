from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.expr import Field, Is, Netmap, Rule, Verdict
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.prefixes import PREFIX_IN, PREFIX_OUT, prefixes_of, rule, rules_of
from tests.unit.firewall.intents import BLOG, HOME


def test_packets_that_leave_get_the_first_external_prefix_and_all_lead_in() -> None:
    assert [(chain, str(made), made.owner) for chain, made in rules_of(HOME)] == [
        (PREFIX_OUT, "ip6 saddr fd12:3456:789a:8::/64 snat prefix to 2001:db8:8:8::/64", "home"),
        (PREFIX_IN, "ip6 daddr 2001:db8:8:8::/64 dnat prefix to fd12:3456:789a:8::/64", "home"),
        (PREFIX_IN, "ip6 daddr 2001:db8:8:7::/64 dnat prefix to fd12:3456:789a:8::/64", "home"),
    ]


@pytest.mark.parametrize("other", [BLOG, replace(HOME, internal=True), replace(HOME, external_prefixes=())])
def test_other_networks_have_no_rules(other: NetworkIntent) -> None:
    assert list(rules_of(other)) == []


@pytest.mark.parametrize("chain", [PREFIX_IN, PREFIX_OUT])
@pytest.mark.parametrize("pair", [("fd00::/64", "2001:db8::/64"), ("fd00::5/128", "2001:db8::5/128")])
def test_the_prefixes_of_a_rule(chain: str, pair: tuple[str, str]) -> None:
    made = rule(chain, *pair, "blog")
    assert prefixes_of(made) == pair
    assert "/128" not in str(made), "as nft shows it"


@pytest.mark.parametrize(
    "terms",
    [
        (Verdict.ACCEPT,),
        (Netmap(Field.SADDR, "fd00::/64"),),
        (Is(Field.DADDR, frozenset({"fd00::/64"})), Netmap(Field.SADDR, "2001:db8::/64")),
        (Is(Field.SADDR, frozenset({"fd00::/64"}), negate=True), Netmap(Field.SADDR, "2001:db8::/64")),
        (Is(Field.SADDR, frozenset({"fd00::/64", "fd01::/64"})), Netmap(Field.SADDR, "2001:db8::/64")),
    ],
)
def test_another_rule_is_refused(terms: tuple[Is | Netmap | Verdict, ...]) -> None:
    with pytest.raises(ValueError, match="translates no prefix"):
        prefixes_of(Rule(terms, owner="blog"))


def test_a_prefix_is_kept_whole() -> None:
    odd = replace(HOME, subnet=IPv6Network("fd00:0:0:10::/60"), external_prefixes=(IPv6Network("2001:db8:0:20::/60"),))
    assert [prefixes_of(made) for _, made in rules_of(odd)] == [
        ("fd00:0:0:10::/60", "2001:db8:0:20::/60"),
        ("2001:db8:0:20::/60", "fd00:0:0:10::/60"),
    ]
