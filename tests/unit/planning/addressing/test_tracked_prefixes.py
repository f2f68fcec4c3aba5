from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.hostnet.model import HostPrefix
from dockerv6.planning.addressing.tracked_prefixes import (
    PreviousPrefix,
    TrackedPrefix,
    pool_part,
    renumbered,
    replace_prefix,
    track_prefix,
)
from tests.unit.planning.host_prefixes import UPLINKS, address, delegation, on_link

NOW = 1_800_000_000.0
OLD = on_link("2001:db8:1::/64")
NEW = on_link("2001:db8:2::/64")
THIRD = on_link("2001:db8:3::/64")
DEPRECATED = on_link("2001:db8:1::/64", preferred=0, valid=7200)
ULA = address("fd00::1/64")


def state(
    prefix: str = "2001:db8:1::/64",
    *,
    on_link: bool = True,
    withdrawn: bool = False,
    gone_since: float | None = None,
    changes: tuple[float, ...] = (),
    former: tuple[PreviousPrefix, ...] = (),
) -> TrackedPrefix:
    return TrackedPrefix(
        "eth0",
        IPv6Network(prefix),
        NOW - 5000,
        on_link=on_link,
        withdrawn=withdrawn,
        gone_since=gone_since,
        changes=changes,
        former=former,
    )


def look(before: TrackedPrefix | None, prefixes: Iterable[HostPrefix], now: float = NOW) -> TrackedPrefix:
    after, _ = track_prefix(before, "eth0", prefixes, UPLINKS, now)
    assert after is not None
    return after


def wait(before: TrackedPrefix | None, prefixes: Iterable[HostPrefix], now: float = NOW) -> float | None:
    return track_prefix(before, "eth0", prefixes, UPLINKS, now)[1]


def changed_to(prefix: HostPrefix, world: Iterable[HostPrefix], before: TrackedPrefix | None = None) -> TrackedPrefix:
    """The prefix is adopted at NOW + 5, as nothing changed lately."""
    after = look(look(before or state(), world), world, NOW + 5)
    assert after.prefix == prefix.prefix
    return after


class TestFirst:
    def test_without_a_prefix_there_is_nothing_to_follow(self) -> None:
        assert track_prefix(None, "eth0", [ULA], UPLINKS, NOW) == (None, None)

    def test_the_first_prefix_is_adopted_at_once(self) -> None:
        assert look(None, [OLD]) == TrackedPrefix("eth0", IPv6Network("2001:db8:1::/64"), NOW)

    def test_the_best_of_several_is_taken(self) -> None:
        found = look(None, [OLD, delegation()])
        assert (str(found.prefix), found.on_link) == ("2001:db8:100::/56", False)

    def test_it_is_no_change(self) -> None:
        assert look(None, [OLD]).changes == ()


class TestPresent:
    def test_it_stays_though_another_as_good_comes(self) -> None:
        shorter = on_link("2001:db8:2::/60")
        assert look(state(), [OLD, shorter], NOW + 1000) == state()

    def test_a_delegated_one_that_comes_later_replaces_the_links_own(self) -> None:
        world = [OLD, delegation()]
        waiting = look(state(), world)
        assert (waiting.prefix, str(waiting.candidate), waiting.gone_since) == (
            OLD.prefix,
            str(delegation().prefix),
            None,
        )
        assert wait(state(), world) == 5
        after = look(waiting, world, NOW + 5)
        assert (after.prefix, after.on_link) == (delegation().prefix, False)
        assert [each.prefix for each in after.former] == [OLD.prefix]

    def test_a_delegated_one_that_is_there_for_a_moment_does_not(self) -> None:
        waiting = look(state(), [OLD, delegation()])
        assert look(waiting, [OLD], NOW + 4) == state()

    def test_an_on_link_prefix_replaces_a_delegated_one_only_after_a_long_absence(self) -> None:
        delegated = state(str(delegation().prefix), on_link=False)
        waiting = look(delegated, [OLD])
        assert not waiting.withdrawn
        missed = look(waiting, [OLD], NOW + 5)
        assert missed.withdrawn
        assert missed.prefix == delegation().prefix
        assert look(missed, [OLD], NOW + 299).prefix == delegation().prefix
        replaced = look(missed, [OLD], NOW + 300)
        assert (replaced.prefix, replaced.on_link, replaced.withdrawn) == (OLD.prefix, True, False)

    def test_another_delegated_one_does_so_as_usual(self) -> None:
        delegated = state(str(delegation().prefix), on_link=False)
        other = delegation("2001:db8:200::/56")
        assert changed_to(other, [OLD, other], delegated).on_link is False

    def test_whether_it_is_on_link_is_determined_again(self) -> None:
        assert look(state(), [delegation("2001:db8:1::/64")]) == state(on_link=False)

    def test_a_change_shorter_than_five_seconds_changes_nothing(self) -> None:
        waiting = look(state(), [NEW])
        assert waiting.prefix == OLD.prefix
        assert look(waiting, [OLD, NEW], NOW + 4.9) == state()

    def test_it_is_looked_at_when_its_lifetime_ends(self) -> None:
        assert wait(state(), [on_link("2001:db8:1::/64", preferred=30, valid=60)]) == 30

    def test_with_no_lifetime_nothing_is_awaited(self) -> None:
        assert wait(state(), [on_link("2001:db8:1::/64", preferred=None, valid=None)]) is None


class TestChange:
    @pytest.mark.parametrize("rest", [[], [DEPRECATED]], ids=["gone", "deprecated"])
    def test_the_next_one_is_adopted_after_five_seconds(self, rest: list[HostPrefix]) -> None:
        world = [*rest, NEW]
        waiting = look(state(), world)
        assert (waiting.prefix, waiting.candidate, waiting.candidate_since) == (OLD.prefix, NEW.prefix, NOW)
        assert look(waiting, world, NOW + 4.9) == waiting
        after = look(waiting, world, NOW + 5)
        assert (after.prefix, after.since, after.changes) == (NEW.prefix, NOW + 5, (NOW + 5,))
        assert (after.candidate, after.gone_since, after.withdrawn) == (None, None, False)

    def test_it_is_looked_at_again_when_the_time_is_over(self) -> None:
        assert wait(state(), [NEW]) == 5
        assert wait(look(state(), [NEW]), [NEW], NOW + 2) == 3

    def test_it_is_looked_at_when_the_waiting_ones_lifetime_ends(self) -> None:
        assert wait(state(), [replace(NEW, preferred=3)]) == 3

    def test_whether_the_new_one_is_on_link_is_noted(self) -> None:
        assert not changed_to(delegation(), [delegation()]).on_link

    @pytest.mark.parametrize(
        ("changes", "seconds"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (9, 300), (2000, 300)]
    )
    def test_each_change_lately_doubles_the_time_up_to_five_minutes(self, changes: int, seconds: float) -> None:
        before = state(changes=tuple(NOW - 100 for _ in range(changes)))
        assert wait(before, [NEW]) == seconds
        waiting = look(before, [NEW])
        assert look(waiting, [NEW], NOW + seconds - 0.1).prefix == OLD.prefix
        assert look(waiting, [NEW], NOW + seconds).prefix == NEW.prefix

    def test_changes_are_forgotten_after_ten_minutes(self) -> None:
        assert wait(state(changes=(NOW - 600,)), [NEW]) == 5
        assert changed_to(NEW, [NEW], state(changes=(NOW - 600,))).changes == (NOW + 5,)

    def test_a_new_candidate_restarts_the_wait(self) -> None:
        waiting = look(look(state(), [NEW]), [THIRD], NOW + 4)
        assert (waiting.candidate, waiting.candidate_since) == (THIRD.prefix, NOW + 4)
        assert look(waiting, [THIRD], NOW + 8.9).prefix == OLD.prefix
        assert look(waiting, [THIRD], NOW + 9).prefix == THIRD.prefix

    def test_a_better_one_takes_the_waiting_ones_place(self) -> None:
        waiting = look(look(state(), [NEW]), [NEW, delegation()], NOW + 4)
        assert (str(waiting.candidate), waiting.candidate_since) == ("2001:db8:100::/56", NOW + 4)

    def test_lifetimes_that_overtake_each_other_do_not_prolong_the_wait(self) -> None:
        waiting = look(state(), [NEW, on_link("2001:db8:3::/64", preferred=1790)])
        overtaken = [NEW, on_link("2001:db8:3::/64", preferred=1810)]
        assert look(waiting, overtaken, NOW + 4) == waiting
        assert look(waiting, overtaken, NOW + 5).prefix == NEW.prefix

    def test_a_clock_that_was_set_back_does_not_prolong_the_wait(self) -> None:
        waiting = look(state(), [NEW])
        restarted = look(waiting, [NEW], NOW - 3600)
        assert wait(waiting, [NEW], NOW - 3600) == 5
        assert look(restarted, [NEW], NOW - 3595).prefix == NEW.prefix


class TestWithdrawn:
    @pytest.mark.parametrize("rest", [[], [ULA], [DEPRECATED]], ids=["gone", "unique local only", "deprecated"])
    def test_the_last_one_is_kept_and_called_withdrawn_after_five_seconds(self, rest: list[HostPrefix]) -> None:
        gone = look(state(), rest)
        assert gone == state(gone_since=NOW)
        assert wait(state(), rest) == 5
        assert look(gone, rest, NOW + 4.9) == gone
        after = look(gone, rest, NOW + 5)
        assert after == state(gone_since=NOW, withdrawn=True)
        assert track_prefix(after, "eth0", rest, UPLINKS, NOW + 9999) == (after, None)

    def test_a_flap_of_the_interface_is_none(self) -> None:
        assert look(look(state(), []), [OLD], NOW + 3) == state()

    def test_it_is_the_same_when_the_interface_comes_back(self) -> None:
        withdrawn = look(look(state(), []), [], NOW + 5)
        assert look(withdrawn, [OLD], NOW + 50_000) == state()

    def test_a_successor_that_comes_late_must_last_too(self) -> None:
        withdrawn = look(look(state(), []), [], NOW + 5)
        waiting = look(withdrawn, [NEW], NOW + 100)
        assert (waiting.prefix, waiting.withdrawn, waiting.candidate) == (OLD.prefix, True, NEW.prefix)
        after = look(waiting, [NEW], NOW + 105)
        assert (after.prefix, after.withdrawn, after.gone_since) == (NEW.prefix, False, None)

    def test_a_candidate_that_goes_too_does_not_make_it_present(self) -> None:
        withdrawn = look(look(state(), [NEW]), [], NOW + 5)
        assert withdrawn == state(gone_since=NOW, withdrawn=True)

    def test_a_clock_that_was_set_back_does_not_hide_it(self) -> None:
        gone = look(look(state(), []), [], NOW - 3600)
        withdrawn = look(gone, [], NOW - 3595)
        assert withdrawn.withdrawn
        assert look(withdrawn, [], NOW - 7200).withdrawn


class TestFormerPrefix:
    def test_the_old_one_is_kept_for_its_lifetime(self) -> None:
        after = changed_to(NEW, [DEPRECATED, NEW])
        assert after.former == (PreviousPrefix(OLD.prefix, NOW + 5 + 7200),)

    def test_one_without_a_lifetime_is_kept_for_ever(self) -> None:
        for_ever = on_link("2001:db8:1::/64", preferred=0, valid=None)
        assert changed_to(NEW, [for_ever, NEW]).former == (PreviousPrefix(OLD.prefix, None),)

    def test_an_absent_prefix_is_not_former(self) -> None:
        assert changed_to(NEW, [NEW]).former == ()

    def test_one_that_another_interface_has_is_not(self) -> None:
        elsewhere = on_link("2001:db8:1::/64", interface="eth1")
        assert changed_to(NEW, [elsewhere, NEW]).former == ()

    def test_the_newest_is_the_first(self) -> None:
        earlier = PreviousPrefix(THIRD.prefix, NOW + 3605)
        after = changed_to(NEW, [DEPRECATED, NEW, replace(THIRD, preferred=0)], state(former=(earlier,)))
        assert after.former == (PreviousPrefix(OLD.prefix, NOW + 7205), earlier)

    def test_it_goes_when_its_lifetime_is_over(self) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW),))
        assert look(before, [NEW, replace(DEPRECATED, valid=0)]).former == ()

    def test_it_goes_when_the_host_has_it_no_longer(self) -> None:
        assert look(state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 999),)), [NEW]).former == ()

    def test_any_address_of_it_keeps_it(self) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 3600),))
        kept = replace(address("2001:db8:1::77/64", preferred=0), temporary=True, tentative=True)
        assert look(before, [NEW, kept]) == before

    @pytest.mark.parametrize("moved", [-60, -1, 1, 60])
    def test_its_end_stays_as_it_was_while_it_only_jitters(self, moved: float) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 7200 + moved),))
        assert look(before, [NEW, DEPRECATED]) == before

    @pytest.mark.parametrize("written", [NOW + 7139, NOW + 7261, None])
    def test_its_end_follows_a_lifetime_that_really_changed(self, written: float | None) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, written),))
        assert look(before, [NEW, DEPRECATED]).former == (PreviousPrefix(OLD.prefix, NOW + 7200),)

    def test_it_may_come_to_have_no_end(self) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 7200),))
        for_ever = on_link("2001:db8:1::/64", preferred=0, valid=None)
        assert look(before, [NEW, for_ever]).former == (PreviousPrefix(OLD.prefix, None),)
        assert look(look(before, [NEW, for_ever]), [NEW, for_ever]).former == (PreviousPrefix(OLD.prefix, None),)

    def test_one_that_lasts_a_little_longer_than_was_written_is_not_torn_down(self) -> None:
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW),))
        assert look(before, [NEW, replace(DEPRECATED, valid=50)]).former == (PreviousPrefix(OLD.prefix, NOW + 50),)

    def test_it_is_looked_at_when_its_lifetime_ends(self) -> None:
        steady = on_link("2001:db8:2::/64", preferred=None, valid=None)
        before = state("2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 7190),))
        assert wait(before, [steady, DEPRECATED]) == 7190

    def test_one_that_is_adopted_again_leaves_the_list(self) -> None:
        before = state(
            "2001:db8:2::/64", former=(PreviousPrefix(OLD.prefix, NOW + 3600), PreviousPrefix(THIRD.prefix, NOW + 3600))
        )
        world = [OLD, replace(NEW, preferred=0), replace(THIRD, preferred=0)]
        after = changed_to(OLD, world, before)
        assert [str(each.prefix) for each in after.former] == ["2001:db8:2::/64", "2001:db8:3::/64"]


class TestPoolPart:
    @pytest.mark.parametrize(
        ("prefix", "length", "offset", "expected"),
        [
            ("2001:db8:100::/56", None, 0, "2001:db8:100::/56"),
            ("2001:db8:100::/56", 56, 0, "2001:db8:100::/56"),
            ("2001:db8:100::/56", 60, 0, "2001:db8:100::/60"),
            ("2001:db8:100::/56", 60, 15, "2001:db8:100:f0::/60"),
            ("2001:db8:1::/64", 80, 1, "2001:db8:1:0:1::/80"),
        ],
    )
    def test_a_pool_gets_its_part(self, prefix: str, length: int | None, offset: int, expected: str) -> None:
        assert pool_part(IPv6Network(prefix), length, offset) == IPv6Network(expected)

    def test_a_prefix_that_is_longer_than_what_is_asked_has_none(self) -> None:
        assert pool_part(IPv6Network("2001:db8:1::/64"), 60, 0) == (
            "2001:db8:1::/64 is too small for a /60; set prefixLength to 64 or more, or ask the provider for a /60"
        )

    @pytest.mark.parametrize(
        ("length", "offset", "words"),
        [
            (60, 16, "has 16 parts of length /60, and none at offset 16; use an offset of 0 to 15"),
            (56, 1, "has one part of length /56, and none at offset 1; use an offset of 0"),
            (None, 1, "has one part of length /56, and none at offset 1; use an offset of 0"),
        ],
    )
    def test_an_offset_beyond_the_last_has_none(self, length: int | None, offset: int, words: str) -> None:
        assert pool_part(IPv6Network("2001:db8:100::/56"), length, offset) == f"2001:db8:100::/56 {words}"


@pytest.mark.parametrize(
    ("subnet", "prefix", "expected"),
    [
        ("fd00:1:2:34::/64", "2001:db8:100::/56", "2001:db8:100:34::/64"),
        ("fd00:1:2:1234::/64", "2001:db8:100::/56", "2001:db8:100:34::/64"),
        ("fd00:1:2:34::/64", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("fd00:1:2:34:5::/80", "2001:db8:1:2::/64", "2001:db8:1:2:5::/80"),
        ("fd00:1:2:34::/64", "2001:db8:1:2:3::/80", None),
    ],
)
def test_the_first_bits_of_a_subnet_are_exchanged(subnet: str, prefix: str, expected: str | None) -> None:
    found = replace_prefix(IPv6Network(subnet), IPv6Network(prefix))
    assert found == (IPv6Network(expected) if expected else None)


@pytest.mark.parametrize(
    ("old", "pool", "expected"),
    [
        ("2001:db8:100:34::/64", "2001:db8:200::/56", "2001:db8:200:34::/64"),
        ("2001:db8:100:34::/64", "2001:db8:200::/48", "2001:db8:200:34::/64"),
        ("2001:db8:100:34::/64", "2001:db8:200::/60", "2001:db8:200:4::/64"),
        ("2001:db8:100:34::/64", "2001:db8:200:1::/64", "2001:db8:200:1::/64"),
    ],
)
def test_a_renumbered_subnet_keeps_its_index(old: str, pool: str, expected: str) -> None:
    assert renumbered(IPv6Network(old), IPv6Network(pool)) == IPv6Network(expected)


def test_a_pool_that_is_longer_than_the_subnet_can_not_renumber_it() -> None:
    with pytest.raises(ValueError, match="has no subnet of length 64"):
        renumbered(IPv6Network("2001:db8:1:2::/64"), IPv6Network("2001:db8:3:4:5::/80"))
