"""The order of base chains, the ways through them, and the bounds of following them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.walk.evaluator import STEPS, Walk
from dockerv6.firewall.walk.verdicts import PASSES, FlowVerdict
from tests.unit.firewall.walk.scene import (
    ACCEPT,
    CONTAINER,
    DROP,
    EGRESS,
    GOTO,
    JUMP,
    OUTER,
    PATHS,
    RETURN,
    WORLD,
    base,
    cmp,
    data,
    expr,
    host,
    meta,
    rule,
    verdict,
)

if TYPE_CHECKING:
    from dockerv6.firewall.nftables.foreign import NftExpression
    from dockerv6.firewall.walk.chains import BaseChain

MAYBE = expr("limit")
SET_MARK = (expr("immediate", {1: 1}, a2=data(host(1))), expr("meta", {2: 3, 3: 1}))
MARKED = (meta(3), cmp(host(1)))
DROPS = rule(verdict(DROP))
ACCEPTS = rule(verdict(ACCEPT))


def follow(*chains: BaseChain, steps: int = STEPS) -> FlowVerdict:
    return Walk.through(chains, PATHS, steps).follow(EGRESS)


def dropped_in(*chains: BaseChain) -> str:
    found = follow(*chains)
    assert found.passes is False
    return f"{found.place.table} {found.place.chain} {found.place.rule}".strip() if found.place else ""


def test_without_chains_everything_passes() -> None:
    assert follow() == PASSES


def test_a_drop_in_any_base_chain_is_final_and_an_accept_is_not() -> None:
    assert dropped_in(base(ACCEPTS, priority=-1), base(DROPS, table="u")) == "u c handle 7"
    assert dropped_in(base(ACCEPTS), base(drops=True, table="u", hook="postrouting")) == "u c"
    assert follow(base(ACCEPTS, drops=True), base(rule(verdict(RETURN)), DROPS, table="u")) == PASSES


def test_chains_run_by_priority_whatever_their_order() -> None:
    marks, needs = base(rule(*SET_MARK), priority=-5), base(rule(*MARKED, verdict(ACCEPT)), drops=True, table="u")
    assert follow(needs, marks) == PASSES
    assert dropped_in(replace(marks, priority=5), needs) == "u c"


def test_of_chains_with_equal_priority_the_first_is_not_known() -> None:
    marks, needs = base(rule(*SET_MARK)), base(rule(*MARKED, verdict(ACCEPT)), drops=True, table="u")
    assert follow(marks, needs).passes is None
    assert follow(marks, base(table="u")) == PASSES


def test_jumps_return_and_gotos_do_not() -> None:
    inner = (rule(verdict(RETURN)), DROPS)
    assert follow(base(rule(verdict(JUMP, "x")), ACCEPTS, drops=True, x=inner)) == PASSES
    assert dropped_in(base(rule(verdict(GOTO, "x")), ACCEPTS, drops=True, x=inner)) == "t c"
    assert dropped_in(base(rule(verdict(JUMP, "x")), x=(DROPS,))) == "t x handle 7"
    nested = base(rule(verdict(JUMP, "x")), DROPS, x=(rule(verdict(GOTO, "y")), ACCEPTS), y=())
    assert dropped_in(nested) == "t c handle 7"


def test_a_match_that_is_not_decided_matters_only_if_the_ways_end_differently() -> None:
    may_drop = follow(base(rule(MAYBE, verdict(DROP))))
    assert (may_drop.passes, may_drop.doubt) == (None, "limit")
    assert may_drop.place is not None
    assert follow(base(rule(MAYBE, verdict(ACCEPT)))) == PASSES
    assert dropped_in(base(rule(MAYBE, verdict(DROP)), DROPS)) == "t c handle 7"
    assert follow(base(rule(expr("queue")))).passes is None


def test_replies_and_later_packets_are_followed_too() -> None:
    state = expr("ct", {1: 1, 2: 0})
    assert dropped_in(base(rule(state, cmp(host(2)), verdict(DROP)))) == "t c handle 7"
    direction = expr("ct", {1: 1, 2: 1})
    assert dropped_in(base(rule(direction, cmp(b"\1"), verdict(DROP)))) == "t c handle 7"


def test_the_first_translation_decides_and_replies_are_translated_back() -> None:
    masquerade = base(rule(expr("masq")), hook="postrouting", priority=100, translates=True)
    second = base(DROPS, hook="postrouting", priority=101, translates=True, table="u")
    daddr = expr("payload", {1: 1, 2: 1, 3: 24, 4: 16})
    outside = base(rule(daddr, cmp(CONTAINER.packed), verdict(DROP)), hook="prerouting", priority=-110, table="v")
    assert follow(masquerade, second, outside) == PASSES
    assert dropped_in(second) == "u c handle 7"
    assert dropped_in(outside) == "v c handle 7"


def test_packets_to_a_published_port_are_routed_after_the_translation() -> None:
    flow = replace(EGRESS, source=WORLD, destination=OUTER, iif="eth0", port=8080)
    to = expr("immediate", {1: 1}, a2=data(CONTAINER.packed)), expr("nat", {1: 1, 2: 10, 3: 1})
    publish = base(rule(*to), hook="prerouting", priority=-101, translates=True)
    forward, inward = base(DROPS, table="u"), base(DROPS, hook="input", table="w")
    for chains, place in (((publish, forward, inward), "u"), ((forward, inward), "w")):
        found = Walk.through(chains, PATHS).follow(flow)
        assert found.passes is False
        assert found.place is not None
        assert found.place.table == place


def test_untracked_packets_are_not_translated() -> None:
    raw = base(rule(expr("notrack")), hook="prerouting", priority=-300)
    drops_all = base(DROPS, hook="postrouting", translates=True, table="u")
    assert follow(raw, drops_all) == PASSES


@pytest.mark.parametrize("rules", [[ACCEPTS], [rule(MAYBE, *SET_MARK)]])
def test_what_takes_too_long_is_unknown(rules: list[object]) -> None:
    chain = base(*(rule() for _ in range(2000)), *rules)  # type: ignore[arg-type]
    assert follow(chain) == PASSES
    found = follow(chain, steps=1000)
    assert (found.passes, "too many" in found.doubt) == (None, True)


def test_many_undecided_matches_that_meet_again_cost_little() -> None:
    assert follow(base(*(rule(MAYBE, verdict(JUMP, "x")) for _ in range(300)), x=())) == PASSES


def test_ways_that_never_meet_are_bounded() -> None:
    marks = [rule(MAYBE, *_set_bit(bit)) for bit in range(16)]
    assert follow(base(*marks)).passes is None


def _set_bit(bit: int) -> tuple[NftExpression, ...]:
    change = expr("bitwise", {1: 1, 2: 1, 3: 4}, a4=data(host(0xFFFFFFFF ^ 1 << bit)), a5=data(host(1 << bit)))
    return meta(3), change, expr("meta", {2: 3, 3: 1})


def test_the_fate_of_an_address_without_a_known_route_is_unknown() -> None:
    nowhere = Walk.through((), replace(PATHS, routes=()))
    assert nowhere.follow(EGRESS).passes is None


def test_twenty_thousand_rules_are_followed() -> None:
    chain = base(*[rule()] * 20_000, DROPS)
    assert dropped_in(chain) == "t c handle 7"
    walk = Walk.through([chain], PATHS, 50_000)
    assert [walk.follow(EGRESS).passes for _ in range(4)] == [False, False, None, None]
    assert walk.steps == 0
