import logging

import pytest

from dockerv6.firewall.hostfilter.contests import MOST, WINDOW, Contests
from dockerv6.firewall.hostfilter.drops import has_accept_rule, is_accept_rule
from dockerv6.firewall.hostfilter.place import Layout
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables.rule import XtablesRule
from tests.unit.firewall.hostfilter.chains import BAN, DROP, LOG, MARK, OURS, REJECT, TO_ENGINE, filter_of

LEGACY = FilterVariant.XTABLES_LEGACY
IPSET_BAN = XtablesRule(DROP, unknown=("set",))
FOREVER = 3 * MOST


class Fight:
    """FORWARD, our accept rule and a clock."""

    def __init__(self, *rules: XtablesRule) -> None:
        self.now = 0.0
        self.rules = list(rules)
        self.moves = 0
        self._contests = Contests(lambda: self.now)

    def follow(self) -> None:
        """Put the accept rule into its place, as `LinuxHostFilter` does."""
        chains = filter_of("DROP", *self.rules)
        layout = Layout(chains, self._contests.see(LEGACY, chains))
        if has_accept_rule(layout, "FORWARD", MARK):
            return
        place = layout.place("FORWARD")
        ours = [at for at, each in enumerate(self.rules) if is_accept_rule(each, MARK)]
        self._contests.place(LEGACY, "FORWARD", chains["FORWARD"].rules, ours, place)
        self.rules.insert(place.first, OURS)
        for at in reversed(ours):
            del self.rules[at + (at >= place.first)]
        self.moves += 1

    def last(self, rule: XtablesRule) -> None:
        """Another program puts its rule last."""
        if rule in self.rules:
            self.rules.remove(rule)
        self.rules.append(rule)

    def first(self, rule: XtablesRule) -> None:
        """Another program puts its rule first."""
        if rule in self.rules:
            self.rules.remove(rule)
        self.rules.insert(0, rule)


def test_a_rule_that_insists_on_the_last_place_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    fight = Fight()
    for _ in range(FOREVER):
        fight.last(BAN)
        fight.follow()
    assert fight.moves == MOST + 1  # the first one is not because of a return
    assert fight.rules == [OURS, BAN]
    assert len(caplog.messages) == 1
    assert "-s 2001:db8::bad/128" in caplog.text
    fight.last(IPSET_BAN)  # others are followed
    fight.follow()
    assert fight.rules == [BAN, IPSET_BAN, OURS]


def test_a_rule_that_insists_on_the_first_place_and_blocks_gets_it() -> None:
    fight = Fight()
    for _ in range(FOREVER):
        fight.first(REJECT)
        fight.follow()
    assert fight.moves == MOST + 1
    assert fight.rules == [REJECT, OURS]


@pytest.mark.parametrize("rule", [BAN, LOG])
def test_a_rule_that_insists_on_the_first_place_and_does_not_block_causes_one_move_at_most(rule: XtablesRule) -> None:
    fight = Fight(OURS)
    for _ in range(FOREVER):
        fight.first(rule)
        fight.follow()
    assert fight.moves == 0
    assert fight.rules == [rule, OURS]


def test_an_engine_that_puts_its_jumps_on_top_for_each_network_is_followed_for_ever() -> None:
    fight = Fight()
    for _ in range(FOREVER):
        fight.first(TO_ENGINE)
        fight.follow()
        assert fight.rules == [OURS, TO_ENGINE]


def test_a_ban_that_is_lifted_and_added_again_is_followed_for_ever() -> None:
    fight = Fight()
    for _ in range(FOREVER):
        fight.last(BAN)
        fight.follow()
        assert fight.rules == [BAN, OURS]
        fight.rules.remove(BAN)
        fight.follow()


def test_bans_of_the_same_form_are_followed_for_ever() -> None:
    fight = Fight()
    for count in range(FOREVER):
        fight.rules.append(IPSET_BAN)
        fight.follow()
        assert fight.rules == [*[IPSET_BAN] * (count + 1), OURS]


def test_a_rule_that_is_put_back_now_and_then_is_followed_for_ever() -> None:
    fight = Fight()
    for _ in range(FOREVER):
        fight.now += WINDOW / (MOST - 1)
        fight.last(BAN)
        fight.follow()
        assert fight.rules == [BAN, OURS]


def test_a_conceded_rule_that_is_deleted_once_is_followed_again() -> None:
    fight = Fight()
    for _ in range(FOREVER):
        fight.last(BAN)
        fight.follow()
    fight.rules.remove(BAN)
    fight.follow()
    fight.last(BAN)
    fight.follow()
    assert fight.rules == [BAN, OURS]
