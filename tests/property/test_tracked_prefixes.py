"""Properties of the tracked prefix for every history of an interface's prefixes."""

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
global_prefixes = st.integers(1, 4).map(lambda number: IPv6Network(f"2001:db8:{number}::/64"))
any_prefixes = st.one_of(
    global_prefixes,
    st.sampled_from([IPv6Network(text) for text in ("2001:db8:100::/56", "fd00:1::/64", "2001:db8:1::7/128")]),
)

Change = tuple[float, tuple[HostPrefix, ...]]
"""Seconds since the previous change, and the host's prefixes after it, with their remaining lifetimes."""


@st.composite
def host_prefixes(draw: st.DrawFn) -> HostPrefix:
    prefix, origin = draw(any_prefixes), draw(st.sampled_from(PrefixOrigin))
    preferred, valid = draw(lifetimes), draw(lifetimes)
    if origin is PrefixOrigin.DELEGATION:
        return HostPrefix(prefix, origin, "", preferred, valid)
    interface = draw(st.sampled_from(["eth0", "eth0", "eth1"]))
    if origin is PrefixOrigin.ROUTE:
        return HostPrefix(prefix, origin, interface, preferred, valid)
    flags = draw(st.sampled_from([(False, False, False)] * 3 + [(True, False, False), (False, True, True)]))
    return HostPrefix(prefix, origin, interface, preferred, valid, prefix.network_address, *flags)


prefix_lists = st.lists(host_prefixes(), max_size=5).map(tuple)
permanent_prefixes = st.builds(HostPrefix, global_prefixes, st.just(PrefixOrigin.ROUTE), st.just("eth0"))
pauses = st.one_of(st.floats(0, 20), st.floats(0, 700), st.sampled_from([SETTLE, 2 * SETTLE, SETTLE_MOST, MEMORY]))
histories: st.SearchStrategy[list[Change]] = st.lists(st.tuples(pauses, prefix_lists), min_size=1, max_size=25)
eager_histories: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.integers(0, 60).map(float), st.lists(permanent_prefixes, max_size=2).map(tuple)),
    min_size=1,
    max_size=40,
)
timestamps = st.floats(0, 4e9)
tracked_prefixes = st.builds(
    TrackedPrefix,
    interface=st.text(min_size=1, max_size=15),
    prefix=any_prefixes,
    since=timestamps,
    on_link=st.booleans(),
    withdrawn=st.booleans(),
    gone_since=st.none() | timestamps,
    candidate=st.none() | any_prefixes,
    candidate_since=timestamps,
    changes=st.lists(timestamps, max_size=4).map(tuple),
    former=st.lists(st.builds(PreviousPrefix, any_prefixes, st.none() | timestamps), max_size=3).map(tuple),
)


@dataclass(frozen=True)
class Evaluation:
    """One call of `track_prefix`: inputs and results."""

    now: float
    prefixes: tuple[HostPrefix, ...]
    before: TrackedPrefix | None
    after: TrackedPrefix | None
    retry: float | None

    @property
    def adopted(self) -> bool:
        """Whether a prefix was replaced by another one."""
        return self.before is not None and self.after is not None and self.before.prefix != self.after.prefix


def evaluations(
    history: Sequence[Change], before: TrackedPrefix | None = None, begin: float = BEGIN
) -> Iterator[Evaluation]:
    """As in the daemon: it computes the prefix after each change, and at the announced time."""
    now = begin
    state = before
    for index, (pause, prefixes) in enumerate(history):
        now += pause if index else 0.0
        until = now + history[index + 1][0] if index + 1 < len(history) else now
        at: float | None = now
        while at is not None and (at < until or at == now):
            left = after_seconds(prefixes, at - now)
            after, retry = track_prefix(state, "eth0", left, UPLINKS, at)
            yield Evaluation(at, left, state, after, retry)
            state, at = after, None if retry is None else at + max(retry, 1e-3)


def after_seconds(prefixes: Sequence[HostPrefix], seconds: float) -> tuple[HostPrefix, ...]:
    """The prefixes with their lifetimes reduced by that time."""
    return tuple(
        replace(each, preferred=_remaining(each.preferred, seconds), valid=_remaining(each.valid, seconds))
        for each in prefixes
    )


def _remaining(lifetime: float | None, seconds: float) -> float | None:
    return None if lifetime is None else max(0.0, lifetime - seconds)


@given(st.lists(host_prefixes(), max_size=8), st.randoms(use_true_random=False))
def test_the_candidates_do_not_depend_on_the_order_of_the_input(prefixes: list[HostPrefix], random: object) -> None:
    assert hasattr(random, "shuffle")
    shuffled = list(prefixes)
    random.shuffle(shuffled)
    found = candidates("eth0", prefixes, UPLINKS)
    assert candidates("eth0", shuffled, UPLINKS) == found
    assert len({each.prefix for each in found}) == len(found)


@given(histories)
def test_tracking_is_deterministic(history: list[Change]) -> None:
    assert list(evaluations(history)) == list(evaluations(history))


@given(histories)
def test_a_second_evaluation_changes_nothing(history: list[Change]) -> None:
    for each in evaluations(history):
        assert track_prefix(each.after, "eth0", each.prefixes, UPLINKS, each.now) == (each.after, each.retry)


@given(histories, st.floats(0, 0.999))
def test_the_state_does_not_change_before_the_announced_time(history: list[Change], fraction: float) -> None:
    for each in evaluations(history):
        pause = fraction * (600.0 if each.retry is None else each.retry)
        after, _ = track_prefix(each.after, "eth0", after_seconds(each.prefixes, pause), UPLINKS, each.now + pause)
        assert after == each.after


@given(histories)
def test_the_announced_time_is_in_the_future(history: list[Change]) -> None:
    assert all(each.retry is None or each.retry > 0 for each in evaluations(history))


@given(histories)
def test_only_candidates_are_adopted(history: list[Change]) -> None:
    for each in evaluations(history):
        if each.adopted or (each.before is None and each.after is not None):
            assert each.after is not None
            found = {one.prefix: one for one in candidates("eth0", each.prefixes, UPLINKS)}
            assert found[each.after.prefix].on_link is each.after.on_link


@given(histories)
def test_a_candidate_is_only_replaced_by_a_delegated_prefix(history: list[Change]) -> None:
    for each in evaluations(history):
        if each.adopted:
            assert each.before is not None
            assert each.after is not None
            if each.before.on_link and not each.after.on_link:
                continue
            assert each.before.prefix not in {one.prefix for one in candidates("eth0", each.prefixes, UPLINKS)}


@given(histories)
def test_no_tracked_prefix_is_dropped_without_a_successor(history: list[Change]) -> None:
    assert all(each.after is not None for each in evaluations(history) if each.before is not None)


@given(histories)
def test_a_prefix_that_is_absent_for_a_while_is_withdrawn(history: list[Change]) -> None:
    for each in evaluations(history):
        if each.after is not None:
            present = each.after.prefix in {one.prefix for one in candidates("eth0", each.prefixes, UPLINKS)}
            assert present is (each.after.gone_since is None)
            if each.after.withdrawn:
                assert each.after.gone_since is not None
                assert each.now - each.after.gone_since >= SETTLE


@given(permanent_prefixes, st.lists(st.tuples(st.floats(0, 4.99), prefix_lists), min_size=1, max_size=20))
def test_a_flap_shorter_than_five_seconds_changes_no_prefix(steady: HostPrefix, flaps: list[Change]) -> None:
    history: list[Change] = [(0.0, (steady,))]
    for short, prefixes in flaps:
        history += [(700.0, prefixes), (short, (steady,))]
    for each in evaluations(history):
        assert each.after is not None
        assert each.after.prefix == steady.prefix


@given(eager_histories)
def test_changes_within_ten_minutes_are_few(history: list[Change]) -> None:
    adopted = [each.now for each in evaluations(history) if each.adopted]
    for begin in adopted:
        assert sum(begin <= each < begin + MEMORY for each in adopted) <= MOST_CHANGES


@given(eager_histories)
def test_each_change_within_ten_minutes_waits_twice_as_long_as_the_one_before(history: list[Change]) -> None:
    adopted = [each.now for each in evaluations(history) if each.adopted]
    for index, now in enumerate(adopted[1:], start=1):
        lately = sum(now - each < MEMORY for each in adopted[:index])
        assert now - adopted[index - 1] >= min(SETTLE * 2**lately, SETTLE_MOST)


@given(eager_histories, st.lists(permanent_prefixes, min_size=1, max_size=3))
def test_a_candidate_is_adopted_within_five_minutes_of_the_last_change(
    history: list[Change], last: list[HostPrefix]
) -> None:
    ended = [*history, (1.0, tuple(last)), (SETTLE_MOST + 0.1, tuple(last))]
    *_, end = evaluations(ended)
    assert end.after is not None
    assert end.after.prefix in {each.prefix for each in last}
    assert (end.after.gone_since, end.after.candidate, end.after.withdrawn) == (None, None, False)


@given(histories)
def test_previous_prefixes_are_unique_and_valid(history: list[Change]) -> None:
    for each in evaluations(history):
        if each.after is not None:
            former = [one.prefix for one in each.after.former]
            valid_prefixes = {one.prefix for one in each.prefixes if one.interface != "eth1" and one.valid != 0}
            assert len(set(former)) == len(former)
            assert each.after.prefix not in former
            assert set(former) <= valid_prefixes
            assert all(one.until is None or one.until > each.now for one in each.after.former)


@given(histories, st.lists(st.floats(-7200, 7200), max_size=25))
def test_the_announced_time_is_bounded_if_the_clock_jumps(history: list[Change], jumps: list[float]) -> None:
    state: TrackedPrefix | None = None
    now = BEGIN
    for (pause, prefixes), jump in zip(history, [*jumps, *(0.0 for _ in history)], strict=False):
        now += pause + jump
        state, retry = track_prefix(state, "eth0", prefixes, UPLINKS, now)
        assert retry is None or 0 < retry <= max(SETTLE_MOST, 7200.0 * 2)


@given(histories)
def test_a_tracked_prefix_survives_the_store(history: list[Change]) -> None:
    for each in evaluations(history):
        if each.after is not None:
            assert RECORD.decode(json.loads(json.dumps(RECORD.encode(each.after)))) == each.after


@given(tracked_prefixes)
def test_every_record_can_be_encoded_and_decoded(tracked: TrackedPrefix) -> None:
    assert RECORD.decode(json.loads(json.dumps(RECORD.encode(tracked)))) == tracked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(tracked_prefixes, st.sampled_from(sorted(RECORD.encode(TrackedPrefix("eth0", IPv6Network("::/0"), 0)))), JSON)
def test_a_damaged_record_decodes_to_none_or_to_a_valid_value(
    tracked: TrackedPrefix, field: str, value: object
) -> None:
    read = RECORD.decode({**RECORD.encode(tracked), field: value})
    assert read is None or RECORD.decode(RECORD.encode(read)) == read


networks = st.builds(
    lambda bits, length: IPv6Network((bits, length), strict=False), st.integers(0, 2**128 - 1), st.integers(1, 126)
)


@given(networks, networks)
def test_replacing_a_prefix_is_reversible(subnet: IPv6Network, prefix: IPv6Network) -> None:
    external = replace_prefix(subnet, prefix)
    if prefix.prefixlen > subnet.prefixlen:
        assert external is None
        return
    assert external is not None
    assert external.prefixlen == subnet.prefixlen
    assert external.subnet_of(prefix)
    assert replace_prefix(external, subnet.supernet(new_prefix=prefix.prefixlen)) == subnet
    assert renumbered(subnet, prefix) == external


@given(networks, st.none() | st.integers(1, 126), st.integers(0, 2**20))
def test_the_part_of_a_pool_lies_in_its_prefix(prefix: IPv6Network, length: int | None, offset: int) -> None:
    part = pool_part(prefix, length, offset)
    if isinstance(part, IPv6Network):
        assert part.prefixlen == (length or prefix.prefixlen)
        assert part.subnet_of(prefix)
        assert offset == 0 or part != pool_part(prefix, length, offset - 1)
    else:
        assert (length or prefix.prefixlen) < prefix.prefixlen or offset > 0
