"""What holds for every history of an interface's prefixes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.controller.records import RecordCodec
from dockerv6.hostnet.model import HostPrefix, PrefixOrigin
from dockerv6.planning.addressing.prefix_candidates import candidates
from dockerv6.planning.addressing.tracked_prefixes import (
    MEMORY,
    SETTLE,
    SETTLE_MOST,
    PreviousPrefix,
    TrackedPrefix,
    pool_part,
    renumbered,
    replace_prefix,
    track_prefix,
)
from tests.unit.planning.host_prefixes import UPLINKS

RECORD = RecordCodec(TrackedPrefix)
BEGIN = 1_800_000_000.0
MOST_CHANGES = 6  # within MEMORY: 5, 10, 20, 40, 80 and 160 seconds fit into it, and another 300 do not

lifetimes = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 4.0, 9.0, 90.0]), st.integers(1, 7200).map(float))
globals_ = st.integers(1, 4).map(lambda number: IPv6Network(f"2001:db8:{number}::/64"))
anything = st.one_of(
    globals_, st.sampled_from([IPv6Network(text) for text in ("2001:db8:100::/56", "fd00:1::/64", "2001:db8:1::7/128")])
)

Moment = tuple[float, tuple[HostPrefix, ...]]
"""Seconds since the one before, and the host's prefixes from then on, with what is left of their lifetimes then."""


@st.composite
def host_prefixes(draw: st.DrawFn) -> HostPrefix:
    prefix, origin = draw(anything), draw(st.sampled_from(PrefixOrigin))
    preferred, valid = draw(lifetimes), draw(lifetimes)
    if origin is PrefixOrigin.DELEGATION:
        return HostPrefix(prefix, origin, "", preferred, valid)
    interface = draw(st.sampled_from(["eth0", "eth0", "eth1"]))
    if origin is PrefixOrigin.ROUTE:
        return HostPrefix(prefix, origin, interface, preferred, valid)
    flags = draw(st.sampled_from([(False, False, False)] * 3 + [(True, False, False), (False, True, True)]))
    return HostPrefix(prefix, origin, interface, preferred, valid, prefix.network_address, *flags)


worlds = st.lists(host_prefixes(), max_size=5).map(tuple)
lasting = st.builds(HostPrefix, globals_, st.just(PrefixOrigin.ROUTE), st.just("eth0"))
pauses = st.one_of(st.floats(0, 20), st.floats(0, 700), st.sampled_from([SETTLE, 2 * SETTLE, SETTLE_MOST, MEMORY]))
histories: st.SearchStrategy[list[Moment]] = st.lists(st.tuples(pauses, worlds), min_size=1, max_size=25)
eager_histories: st.SearchStrategy[list[Moment]] = st.lists(
    st.tuples(st.integers(0, 60).map(float), st.lists(lasting, max_size=2).map(tuple)), min_size=1, max_size=40
)
moments = st.floats(0, 4e9)
followed_ = st.builds(
    TrackedPrefix,
    interface=st.text(min_size=1, max_size=15),
    prefix=anything,
    since=moments,
    on_link=st.booleans(),
    withdrawn=st.booleans(),
    gone_since=st.none() | moments,
    candidate=st.none() | anything,
    candidate_since=moments,
    changes=st.lists(moments, max_size=4).map(tuple),
    former=st.lists(st.builds(PreviousPrefix, anything, st.none() | moments), max_size=3).map(tuple),
)


@dataclass(frozen=True)
class Look:
    """One look at the interface, and what came of it."""

    now: float
    world: tuple[HostPrefix, ...]
    before: TrackedPrefix | None
    after: TrackedPrefix | None
    again: float | None

    @property
    def adopted(self) -> bool:
        """Whether one prefix took another's place."""
        return self.before is not None and self.after is not None and self.before.prefix != self.after.prefix


def looks(history: Sequence[Moment], before: TrackedPrefix | None = None, begin: float = BEGIN) -> Iterator[Look]:
    """As in the daemon: it computes the prefix after each change, and at the announced time."""
    now = begin
    state = before
    for index, (pause, world) in enumerate(history):
        now += pause if index else 0.0
        until = now + history[index + 1][0] if index + 1 < len(history) else now
        at: float | None = now
        while at is not None and (at < until or at == now):
            left = later(world, at - now)
            after, again = track_prefix(state, "eth0", left, UPLINKS, at)
            yield Look(at, left, state, after, again)
            state, at = after, None if again is None else at + max(again, 1e-3)


def later(world: Sequence[HostPrefix], seconds: float) -> tuple[HostPrefix, ...]:
    """The lifetimes after some time."""
    return tuple(
        replace(each, preferred=less(each.preferred, seconds), valid=less(each.valid, seconds)) for each in world
    )


def less(lifetime: float | None, seconds: float) -> float | None:
    return None if lifetime is None else max(0.0, lifetime - seconds)


@given(st.lists(host_prefixes(), max_size=8), st.randoms(use_true_random=False))
def test_the_candidates_do_not_depend_on_the_order_of_the_input(told: list[HostPrefix], random: object) -> None:
    assert hasattr(random, "shuffle")
    shuffled = list(told)
    random.shuffle(shuffled)
    found = candidates("eth0", told, UPLINKS)
    assert candidates("eth0", shuffled, UPLINKS) == found
    assert len({each.prefix for each in found}) == len(found)


@given(histories)
def test_the_same_history_ends_the_same(history: list[Moment]) -> None:
    assert list(looks(history)) == list(looks(history))


@given(histories)
def test_looking_twice_changes_nothing(history: list[Moment]) -> None:
    for each in looks(history):
        assert track_prefix(each.after, "eth0", each.world, UPLINKS, each.now) == (each.after, each.again)


@given(histories, st.floats(0, 0.999))
def test_the_state_does_not_change_before_the_announced_time(history: list[Moment], share: float) -> None:
    for each in looks(history):
        pause = share * (600.0 if each.again is None else each.again)
        after, _ = track_prefix(each.after, "eth0", later(each.world, pause), UPLINKS, each.now + pause)
        assert after == each.after


@given(histories)
def test_a_look_that_was_asked_for_lies_ahead(history: list[Moment]) -> None:
    assert all(each.again is None or each.again > 0 for each in looks(history))


@given(histories)
def test_only_candidates_are_adopted(history: list[Moment]) -> None:
    for each in looks(history):
        if each.adopted or (each.before is None and each.after is not None):
            assert each.after is not None
            found = {one.prefix: one for one in candidates("eth0", each.world, UPLINKS)}
            assert found[each.after.prefix].on_link is each.after.on_link


@given(histories)
def test_the_present_one_is_left_only_when_it_is_no_candidate_or_for_a_delegated_one(history: list[Moment]) -> None:
    for each in looks(history):
        if each.adopted:
            assert each.before is not None
            assert each.after is not None
            if each.before.on_link and not each.after.on_link:
                continue
            assert each.before.prefix not in {one.prefix for one in candidates("eth0", each.world, UPLINKS)}


@given(histories)
def test_no_tracked_prefix_is_dropped_without_a_successor(history: list[Moment]) -> None:
    assert all(each.after is not None for each in looks(history) if each.before is not None)


@given(histories)
def test_a_prefix_that_is_absent_for_a_while_is_withdrawn(history: list[Moment]) -> None:
    for each in looks(history):
        if each.after is not None:
            present = each.after.prefix in {one.prefix for one in candidates("eth0", each.world, UPLINKS)}
            assert present is (each.after.gone_since is None)
            if each.after.withdrawn:
                assert each.after.gone_since is not None
                assert each.now - each.after.gone_since >= SETTLE


@given(lasting, st.lists(st.tuples(st.floats(0, 4.99), worlds), min_size=1, max_size=20))
def test_a_flap_shorter_than_five_seconds_changes_no_prefix(steady: HostPrefix, flaps: list[Moment]) -> None:
    history: list[Moment] = [(0.0, (steady,))]
    for short, world in flaps:
        history += [(700.0, world), (short, (steady,))]
    for each in looks(history):
        assert each.after is not None
        assert each.after.prefix == steady.prefix


@given(eager_histories)
def test_changes_within_ten_minutes_are_few(history: list[Moment]) -> None:
    adopted = [each.now for each in looks(history) if each.adopted]
    for begin in adopted:
        assert sum(begin <= each < begin + MEMORY for each in adopted) <= MOST_CHANGES


@given(eager_histories)
def test_each_change_within_ten_minutes_waits_twice_as_long_as_the_one_before(history: list[Moment]) -> None:
    adopted = [each.now for each in looks(history) if each.adopted]
    for index, now in enumerate(adopted[1:], start=1):
        lately = sum(now - each < MEMORY for each in adopted[:index])
        assert now - adopted[index - 1] >= min(SETTLE * 2**lately, SETTLE_MOST)


@given(eager_histories, st.lists(lasting, min_size=1, max_size=3))
def test_a_steady_world_ends_on_a_candidate_within_five_minutes(history: list[Moment], last: list[HostPrefix]) -> None:
    ended = [*history, (1.0, tuple(last)), (SETTLE_MOST + 0.1, tuple(last))]
    *_, end = looks(ended)
    assert end.after is not None
    assert end.after.prefix in {each.prefix for each in last}
    assert (end.after.gone_since, end.after.candidate, end.after.withdrawn) == (None, None, False)


@given(histories)
def test_former_prefixes_are_there_once_each_and_still_valid(history: list[Moment]) -> None:
    for each in looks(history):
        if each.after is not None:
            former = [one.prefix for one in each.after.former]
            there = {one.prefix for one in each.world if one.interface != "eth1" and one.valid != 0}
            assert len(set(former)) == len(former)
            assert each.after.prefix not in former
            assert set(former) <= there
            assert all(one.until is None or one.until > each.now for one in each.after.former)


@given(histories, st.lists(st.floats(-7200, 7200), max_size=25))
def test_a_clock_that_jumps_breaks_nothing(history: list[Moment], jumps: list[float]) -> None:
    state: TrackedPrefix | None = None
    now = BEGIN
    for (pause, world), jump in zip(history, [*jumps, *(0.0 for _ in history)], strict=False):
        now += pause + jump
        state, again = track_prefix(state, "eth0", world, UPLINKS, now)
        assert again is None or 0 < again <= max(SETTLE_MOST, 7200.0 * 2)


@given(histories)
def test_a_tracked_prefix_survives_the_store(history: list[Moment]) -> None:
    for each in looks(history):
        if each.after is not None:
            assert RECORD.decode(json.loads(json.dumps(RECORD.encode(each.after)))) == each.after


@given(followed_)
def test_every_record_is_read_as_it_was_written(tracked: TrackedPrefix) -> None:
    assert RECORD.decode(json.loads(json.dumps(RECORD.encode(tracked)))) == tracked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(followed_, st.sampled_from(sorted(RECORD.encode(TrackedPrefix("eth0", IPv6Network("::/0"), 0)))), JSON)
def test_a_damaged_record_is_none_or_a_value(tracked: TrackedPrefix, field: str, value: object) -> None:
    read = RECORD.decode({**RECORD.encode(tracked), field: value})
    assert read is None or RECORD.decode(RECORD.encode(read)) == read


networks = st.builds(
    lambda bits, length: IPv6Network((bits, length), strict=False), st.integers(0, 2**128 - 1), st.integers(1, 126)
)


@given(networks, networks)
def test_an_exchanged_subnet_lies_in_the_prefix_and_goes_back(subnet: IPv6Network, prefix: IPv6Network) -> None:
    outer = replace_prefix(subnet, prefix)
    if prefix.prefixlen > subnet.prefixlen:
        assert outer is None
        return
    assert outer is not None
    assert outer.prefixlen == subnet.prefixlen
    assert outer.subnet_of(prefix)
    assert replace_prefix(outer, subnet.supernet(new_prefix=prefix.prefixlen)) == subnet
    assert renumbered(subnet, prefix) == outer


@given(networks, st.none() | st.integers(1, 126), st.integers(0, 2**20))
def test_a_part_lies_in_its_prefix(prefix: IPv6Network, length: int | None, offset: int) -> None:
    mine = pool_part(prefix, length, offset)
    if isinstance(mine, IPv6Network):
        assert mine.prefixlen == (length or prefix.prefixlen)
        assert mine.subnet_of(prefix)
        assert offset == 0 or mine != pool_part(prefix, length, offset - 1)
    else:
        assert (length or prefix.prefixlen) < prefix.prefixlen or offset > 0
