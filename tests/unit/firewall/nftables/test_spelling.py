from dataclasses import replace

from dockerv6.firewall.expr import Chain, Rule, UnknownExpr
from dockerv6.firewall.nftables.spelling import Spelling
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from tests.unit.firewall.intents import BLOG, intent

WRITTEN = render(intent(BLOG))
PECULIAR = Chain("outbound", (Rule((UnknownExpr("the same in other words"),)),))
DAMAGED = Chain("outbound", (Rule((UnknownExpr("drop"),)),))


def reading(chain: Chain) -> Ruleset:
    return replace(WRITTEN, chains=tuple(chain if each.name == chain.name else each for each in WRITTEN.chains))


def test_a_reading_that_comes_back_twice_after_our_own_commit_is_what_we_wrote() -> None:
    spelling = Spelling()
    for _ in range(2):
        assert spelling.corrected(reading(PECULIAR)) != WRITTEN
        spelling.learn(WRITTEN, reading(PECULIAR))
    assert spelling.corrected(reading(PECULIAR)) == WRITTEN
    assert spelling.corrected(reading(DAMAGED)) == reading(DAMAGED)


def test_damage_right_after_our_commit_is_not_learnt() -> None:
    spelling = Spelling()
    spelling.learn(WRITTEN, reading(DAMAGED))
    spelling.learn(WRITTEN, WRITTEN)
    spelling.learn(WRITTEN, reading(DAMAGED))
    assert spelling.corrected(reading(DAMAGED)) == reading(DAMAGED)


def test_a_missing_chain_is_not_a_spelling() -> None:
    spelling = Spelling()
    for _ in range(3):
        spelling.learn(WRITTEN, replace(WRITTEN, chains=()))
    assert spelling.corrected(replace(WRITTEN, chains=())).chains == ()
