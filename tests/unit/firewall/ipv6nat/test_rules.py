"""Who wrote a rule. The whole of real hosts' rules is judged in tests/host/test_ipv6nat.py."""

from dataclasses import replace

import pytest

from dockerv6.firewall.ipv6nat.rules import DOCKER, STAGE_1, USER, Author, Certainty, Rule, Tables, author, judge

FORWARD = Rule("filter", "FORWARD")
JUMP = replace(FORWARD, target=DOCKER, oif="br-a", handle=1)
ACCEPT = replace(FORWARD, target="ACCEPT", oif="br-a", states=True, handle=2)
OUT = replace(FORWARD, target="ACCEPT", iif="br-a", oif="!br-a", handle=3)
HAIRPIN = Rule("nat", "POSTROUTING", "MASQUERADE", oif="br-a", local="dst", handle=4)
EGRESS = Rule("nat", "POSTROUTING", "MASQUERADE", source="fd00:1::/64", oif="!br-a", handle=5)


def tables(*rules: Rule, empty: tuple[tuple[str, str], ...] = ()) -> Tables:
    chains: dict[tuple[str, str], tuple[Rule, ...]] = dict.fromkeys(empty, ())
    for rule in rules:
        place = (rule.table, rule.chain)
        chains[place] = (*chains.get(place, ()), rule)
    return Tables(chains)


@pytest.mark.parametrize(
    ("rule", "writer"),
    [
        (HAIRPIN, Author.OWN),
        (replace(HAIRPIN, local="src"), Author.ENGINE),
        (replace(HAIRPIN, local="?"), Author.FOREIGN),
        (Rule("filter", STAGE_1, "DROP", iif="!br-a", oif="br-a"), Author.OWN),
        (Rule("filter", STAGE_1, "DROP", iif="!br-a", oif="br-b"), Author.FOREIGN),
        (Rule("filter", STAGE_1, "DROP", source="!fd00:1::/64", iif="!br-a", oif="br-a"), Author.ENGINE),
        (Rule("nat", DOCKER, "DNAT", source="!fe80::/10", protocol="tcp", port="80"), Author.ENGINE),
        (Rule("nat", DOCKER, "DNAT", protocol="tcp", port="80"), Author.SHARED),
        (EGRESS, Author.SHARED),
        (replace(EGRESS, source="2001:db8::/64"), Author.FOREIGN),
        (replace(JUMP, strange=True), Author.FOREIGN),
        (replace(JUMP, protocol="tcp"), Author.FOREIGN),
    ],
    ids=str,
)
def test_who_writes_such_a_rule(rule: Rule, writer: Author) -> None:
    assert author(rule) is writer


def test_the_order_in_forward_tells_docker_ipv6nat_from_an_engine() -> None:
    verdict = judge(tables(JUMP, ACCEPT, OUT))
    assert verdict is not None
    assert (verdict.rules, verdict.networks, verdict.engine) == ((JUMP, ACCEPT, OUT), ("br-a",), False)
    assert judge(tables(ACCEPT, JUMP, OUT)) is None


def test_beside_an_engine_only_what_no_engine_writes_is_its() -> None:
    verdict = judge(tables(ACCEPT, JUMP, OUT, HAIRPIN, EGRESS))
    assert verdict is not None
    assert (verdict.rules, verdict.chains, verdict.engine) == ((HAIRPIN,), (), True)


def test_in_the_forward_of_a_new_engine_rules_for_a_bridge_are_its() -> None:
    verdict = judge(tables(JUMP, ACCEPT, OUT, EGRESS, empty=(("filter", "DOCKER-FORWARD"),)))
    assert verdict is not None
    assert (verdict.rules, verdict.engine) == ((JUMP, ACCEPT, OUT), True)


def test_without_an_engine_its_shared_rules_and_chains_go_too() -> None:
    chains = (("filter", DOCKER), ("nat", DOCKER), ("filter", "FORWARD"))
    verdict = judge(tables(HAIRPIN, EGRESS, empty=chains))
    assert verdict is not None
    assert verdict.rules == (HAIRPIN, EGRESS)
    assert verdict.chains == (("filter", DOCKER), ("nat", DOCKER))


def test_a_masquerade_for_another_bridge_is_somebody_elses() -> None:
    other = replace(EGRESS, oif="!br-other", handle=9)
    verdict = judge(tables(HAIRPIN, other))
    assert verdict is not None
    assert verdict.rules == (HAIRPIN,)


def test_a_chain_that_others_use_is_kept() -> None:
    theirs = Rule("filter", "FORWARD", DOCKER, iif="eth9", strange=True, handle=9)
    verdict = judge(tables(HAIRPIN, theirs, empty=(("filter", DOCKER),)))
    assert verdict is not None
    assert (verdict.chains, verdict.kept) == ((), (("filter", DOCKER),))


def test_what_is_left_without_networks_is_only_likely_its() -> None:
    base = (replace(FORWARD, target=USER), Rule("filter", STAGE_1, "RETURN"), Rule("filter", USER, "RETURN"))
    verdict = judge(tables(*base))
    assert verdict is not None
    assert (verdict.certainty, verdict.rules, verdict.chains) == (Certainty.LIKELY, (), ())
    docker0 = Rule("filter", STAGE_1, "DOCKER-ISOLATION-STAGE-2", iif="docker0", oif="!docker0")
    assert judge(tables(*base, docker0)) is None


def test_a_rule_reads_as_ip6tables_save_writes_it() -> None:
    assert str(OUT) == "-A FORWARD -i br-a ! -o br-a -j ACCEPT"
    assert str(HAIRPIN) == "-A POSTROUTING -o br-a -m addrtype --dst-type LOCAL -j MASQUERADE"
