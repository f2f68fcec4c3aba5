from dataclasses import replace

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.expr import UnknownExpr
from dockerv6.firewall.iptables.readback import Chains, contents_of, has_own, ruleset_of, with_rendered_chains
from dockerv6.firewall.model import FirewallIntent, NetworkIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.xtables.entries import DNAT, encode
from dockerv6.firewall.xtables.rule import UnsupportedRuleError, XtablesRule
from tests.unit.firewall.intents import BLOG, EVERYTHING

GUESTS = ("br-blog", "br-open", "br-plain", "br-shop", "br-vault")
BUILTIN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
DESIRED = render(replace(EVERYTHING, guest_bridges=GUESTS))


def written(ruleset: Ruleset) -> dict[str, dict[str, tuple[bytes, ...]]]:
    return {
        name: {**part.chains, **{builtin: part.jumps.get(builtin, ()) for builtin in BUILTIN}}
        for name, part in contents_of(ruleset, DNAT).items()
    }


def read(there: dict[str, dict[str, tuple[bytes, ...]]]) -> Ruleset:
    return ruleset_of(there, lambda ruleset: contents_of(ruleset, DNAT))


def altered(ruleset: Ruleset) -> set[str]:
    return {chain.name for chain in ruleset.chains for rule in chain.rules if isinstance(rule.terms[0], UnknownExpr)}


def test_tables_without_our_chains_hold_an_empty_ruleset() -> None:
    there: dict[str, Chains] = {"mangle": {"FORWARD": (), "OTHERS": ()}, "nat": {}}
    assert not has_own(there["mangle"])
    assert ruleset_of(there, lambda ruleset: contents_of(ruleset, DNAT)) == EMPTY


def test_another_mark_is_read_back() -> None:
    other = render(FirewallIntent((BLOG,), mark=0x40, guest_bridges=("br-blog",)))
    assert read(written(other)) == other


@pytest.mark.parametrize(
    ("table", "chain", "whose"),
    [
        ("mangle", "DOCKERV6-FORWARD", "forward"),
        ("mangle", "DOCKERV6-INBOUND-4", "inbound"),
        ("mangle", "DOCKERV6-PASS", "forward"),
        ("mangle", "FORWARD", "forward"),
        ("mangle", "DOCKERV6-SOURCE_VALIDATION", "source_validation"),
        ("nat", "DOCKERV6-OUTPUT", "output"),
        ("nat", "POSTROUTING", "postrouting"),
    ],
)
def test_an_altered_chain_is_reported_as_its_origin(table: str, chain: str, whose: str) -> None:
    there = written(DESIRED)
    there[table][chain] = there[table][chain][1:]
    found = read(there)
    assert altered(found) == {whose}
    assert (found.sets, found.foreign) == (DESIRED.sets, ())
    assert diff(DESIRED, found).describe()[0] == f"flush chain {whose}: its rules differ"


def test_a_lost_jump_concerns_every_chain_that_is_entered_there() -> None:
    there = written(DESIRED)
    there["mangle"]["PREROUTING"] = there["mangle"]["PREROUTING"][1:]
    found = read(there)
    assert altered(found) == {"source_validation", "guard"}
    assert (found.sets, found.foreign) == (DESIRED.sets, ())


def test_an_element_without_a_record_is_missing_even_with_its_rules() -> None:
    there = written(DESIRED)
    records = there["mangle"]["DOCKERV6-LEDGER"]
    there["mangle"]["DOCKERV6-LEDGER"] = tuple(each for each in records if b" vault " not in each)
    change = diff(DESIRED, read(there))
    assert "vault" in change.owners
    assert "forward" in altered(read(there))


def test_unexpected_chains_and_jumps_are_foreign() -> None:
    there = written(DESIRED)
    there["nat"]["DOCKERV6-MINE"] = ()
    there["nat"]["OTHERS"] = there["nat"]["PREROUTING"]
    assert read(there).foreign == ("DOCKERV6-MINE in table nat", "a rule in chain OTHERS in table nat")


def test_elements_of_an_unknown_set_are_foreign() -> None:
    sets = (
        *DESIRED.sets[:-1],
        replace(DESIRED.sets[-1], name="unknown_set", elements=frozenset(DESIRED.sets[3].elements)),
    )
    there = written(DESIRED)
    there["mangle"]["DOCKERV6-LEDGER"] = contents_of(replace(DESIRED, sets=(*DESIRED.sets, sets[-1])), DNAT)[
        "mangle"
    ].chains["DOCKERV6-LEDGER"]
    assert any("unknown_set" in each for each in read(there).foreign)


@pytest.mark.parametrize(
    "record",
    [
        "networks=fd00::1/64,br-x",
        "networks=fd00::/64,a-name-of-sixteen",
        "networks=nonsense,br-x",
        "networks=fd00::/64",
        "open=br/x",
        "published=fd00::1/128,icmp,1",
        "published_to=tcp,99999>fd00::1/128",
        "published_to=tcp,http>fd00::1/128",
        "published_to=tcp,80",
        "published_port=tcp,80>http",
        "open=br-x>1",
        "unknown_set=br-x",
        "prefix_in=2001:db8::/64",
        "prefix_out=fd00::/64>nowhere",
        "forward=2001:db8::/64>fd00::/64",
    ],
)
def test_invalid_records_are_foreign_and_no_error(record: str) -> None:
    there = written(DESIRED)
    there["mangle"]["DOCKERV6-LEDGER"] += (encode(XtablesRule(comment=f"dockerv6 ledger blog {record}")),)
    found = read(there)
    assert any(record.partition("=")[0] in each for each in found.foreign)
    assert not diff(DESIRED, found).empty


def test_records_that_no_kernel_takes_are_foreign() -> None:
    def one(network: NetworkIntent) -> Ruleset:
        return render(FirewallIntent((network,), guest_bridges=("br-x",)))

    there = written(one(BLOG))
    wider = contents_of(one(replace(BLOG, owner="shop", subnet=BLOG.subnet.supernet())), DNAT)["mangle"].chains[
        "DOCKERV6-LEDGER"
    ]
    there["mangle"]["DOCKERV6-LEDGER"] += wider[2:]
    assert "overlaps" in read(there).foreign[0]


def test_a_rule_without_a_record_is_a_change_for_its_owner() -> None:
    there = written(DESIRED)
    records = there["mangle"]["DOCKERV6-LEDGER"]
    there["mangle"]["DOCKERV6-LEDGER"] = tuple(each for each in records if b" home " not in each)
    found = read(there)
    assert altered(found) >= {"prefix_in", "prefix_out"}
    assert any("dnat prefix to fd12:3456:789a:8::/64" in line for line in diff(DESIRED, found).by_owner["home"])


def test_rules_of_kept_resources_survive_damage_to_their_chain() -> None:
    there = written(DESIRED)
    there["nat"]["DOCKERV6-PREFIX_IN"] = ()
    found = read(there)
    assert altered(found) == {"prefix_in"}
    target = with_rendered_chains(
        diff(render(FirewallIntent(keep=frozenset({"home"}), guest_bridges=GUESTS)), found, frozenset({"home"})).target
    )
    assert target.owned == DESIRED.owned


def test_chains_that_render_does_not_write_are_refused() -> None:
    assert with_rendered_chains(EMPTY) == EMPTY
    assert with_rendered_chains(DESIRED) == DESIRED
    with pytest.raises(UnsupportedRuleError, match="guest_bridges"):
        with_rendered_chains(render(EVERYTHING))
