"""The tracked prefix of an interface. Changes must last before they are adopted, because prefixes flap."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from math import inf

from dockerv6.hostnet.model import HostPrefix, Route
from dockerv6.lib.prefixes import nth_subnet, subnet_count
from dockerv6.planning.addressing.prefix_candidates import Candidate, candidates, longest

SETTLE = 5.0
"""Seconds that a change must last to be adopted, if there was no other change within `MEMORY`."""

SETTLE_MOST = 300.0
"""The longest time in seconds that a change must last."""

MEMORY = 600.0
"""Seconds during which a change doubles the time that the next one must last."""

STEADY = 60.0
"""Seconds by which the end of a lifetime may move before the record is updated."""

_DOUBLINGS = 6  # of SETTLE, until SETTLE_MOST is reached


@dataclass(frozen=True, slots=True)
class PreviousPrefix:
    """A prefix that was tracked before and still works, until its valid lifetime ends."""

    prefix: IPv6Network
    until: float | None  # Unix seconds when its valid lifetime ends, within STEADY; None: never


@dataclass(frozen=True, slots=True)
class TrackedPrefix:
    """The prefix that an interface has. It is durable: without a successor, it stays.

    It is the whole delegated or on-link prefix; pools and translations use a part of it. Two values are equal if
    nothing happened between them: no field counts down.
    """

    interface: str
    prefix: IPv6Network
    since: float  # Unix seconds
    on_link: bool = True  # False: it is delegated, and therefore routed to this host
    withdrawn: bool = False  # it is no longer usable and has no successor
    gone_since: float | None = None  # Unix seconds since when it is deprecated or absent
    candidate: IPv6Network | None = None  # the prefix that replaces it, if it lasts
    candidate_since: float = 0.0  # Unix seconds; only with a candidate
    changes: tuple[float, ...] = ()  # Unix seconds of recent changes, oldest first
    former: tuple[PreviousPrefix, ...] = ()  # newest first


def track_prefix(
    before: TrackedPrefix | None, interface: str, prefixes: Iterable[HostPrefix], routes: Iterable[Route], now: float
) -> tuple[TrackedPrefix | None, float | None]:
    """The interface's prefix from now on, and the seconds until it must be computed again without a trigger.

    The first prefix is adopted at once. After that, the prefix stays while it is usable, except that a delegated prefix
    replaces an on-link one. A replacement must last for `SETTLE`, doubled for each change within `MEMORY`, and for
    `SETTLE_MOST` at most. An on-link prefix must last for `SETTLE_MOST` to replace a delegated one.

    Args:
        before: the result of the previous call; None: the interface never had a prefix.
        interface: its name; an interface that is created again with this name is the same.
        prefixes: all of the host's.
        routes: all of the host's.
        now: Unix seconds.
    """
    seen = tuple(prefixes)
    found = candidates(interface, seen, routes)
    if before is None:
        if not found:
            return None, None
        after = TrackedPrefix(interface, found[0].prefix, now, found[0].on_link)
    else:
        after = _next(before, found, _ends(interface, seen, now), now)
    return after, _seconds_until_change(after, found, seen, now)


def moved_in_time(tracked: TrackedPrefix, step: float) -> TrackedPrefix:
    """The value after the system time was set forward by ``step`` seconds, in which no time has passed."""
    return replace(
        tracked,
        since=tracked.since + step,
        gone_since=None if tracked.gone_since is None else tracked.gone_since + step,
        candidate_since=0.0 if tracked.candidate is None else tracked.candidate_since + step,
        changes=tuple(each + step for each in tracked.changes),
        former=tuple(
            each if each.until is None else PreviousPrefix(each.prefix, each.until + step) for each in tracked.former
        ),
    )


def pool_part(prefix: IPv6Network, length: int | None, offset: int) -> IPv6Network | str:
    """A pool's part of a tracked prefix, or a message why there is none.

    Args:
        prefix: the tracked prefix.
        length: of the part, in bits; None: the whole prefix.
        offset: its number among the parts of that length, from 0.
    """
    own = prefix.prefixlen
    wanted = own if length is None else length
    if wanted < own:
        return (
            f"{prefix} is too small for a /{wanted}; set prefixLength to {own} or more, or ask the provider for a"
            f" /{wanted}"
        )
    count = subnet_count(prefix, wanted)
    if offset >= count:
        parts, last = ("one part", "") if count == 1 else (f"{count} parts", f" to {count - 1}")
        return f"{prefix} has {parts} of length /{wanted}, and none at offset {offset}; use an offset of 0{last}"
    return nth_subnet(prefix, wanted, offset)


def replace_prefix(subnet: IPv6Network, prefix: IPv6Network) -> IPv6Network | None:
    """The subnet with its first bits replaced by the prefix. The other bits and the length stay (RFC 6296, 3.1).

    None: the prefix is longer than the subnet.
    """
    if prefix.prefixlen > subnet.prefixlen:
        return None
    kept = int(subnet.network_address) & int(prefix.hostmask)
    return IPv6Network((int(prefix.network_address) | kept, subnet.prefixlen))


def renumbered(old: IPv6Network, pool: IPv6Network) -> IPv6Network:
    """The subnet of the same length and number in another prefix of its pool.

    Raises:
        ValueError: the pool's prefix is longer than the subnet.
    """
    new = replace_prefix(old, pool)
    if new is None:
        raise ValueError(f"{pool} has no subnet of length {old.prefixlen}")
    return new


def _next(
    before: TrackedPrefix, found: tuple[Candidate, ...], ends: Mapping[IPv6Network, float], now: float
) -> TrackedPrefix:
    """The next value. ``ends``: see `_ends`."""
    state = replace(before, former=_still_working(before.former, ends, now))
    present = next((each for each in found if each.prefix == state.prefix), None)
    if present is None:
        # A clock that was set back must not prolong the wait.
        state = replace(state, gone_since=now if state.gone_since is None else min(state.gone_since, now))
    elif present.on_link and not found[0].on_link:  # the delegation arrived after the router advertisement
        state = replace(state, on_link=True, withdrawn=False, gone_since=None)
    else:
        return _usable(state, on_link=present.on_link)
    if not found:
        return replace(_missed(state, now), candidate=None, candidate_since=0.0)
    best = _best_candidate(found, state.candidate)
    if _is_worse(best, state):
        state = _missed(state, now)
    if best.prefix != state.candidate or state.candidate_since > now:
        return replace(state, candidate=best.prefix, candidate_since=now)
    if now < _due(state, best):
        return state
    return _replace_by(state, best, ends, now)


def _missed(state: TrackedPrefix, now: float) -> TrackedPrefix:
    """The prefix is absent without an equal successor."""
    gone_since = now if state.gone_since is None else state.gone_since
    return replace(state, withdrawn=state.withdrawn or now >= gone_since + SETTLE)


def _is_worse(best: Candidate, state: TrackedPrefix) -> bool:
    """Whether a delegated prefix would be replaced by an on-link one, which serves other purposes."""
    return best.on_link and not state.on_link


def _usable(state: TrackedPrefix, *, on_link: bool) -> TrackedPrefix:
    """The prefix is usable: the candidate is dropped."""
    return replace(state, on_link=on_link, withdrawn=False, gone_since=None, candidate=None, candidate_since=0.0)


def _best_candidate(found: tuple[Candidate, ...], noted: IPv6Network | None) -> Candidate:
    """The best candidate; the previous candidate if only lifetimes make another one better."""
    waiting = next((each for each in found if each.prefix == noted), None)
    return waiting if waiting is not None and waiting.rank == found[0].rank else found[0]


def _due(state: TrackedPrefix, best: Candidate) -> float:
    """When the candidate is adopted, in Unix seconds. Changes count by distance: the clock may have been set back."""
    if _is_worse(best, state):
        return state.candidate_since + SETTLE_MOST
    recent = sum(abs(state.candidate_since - each) < MEMORY for each in state.changes)
    return state.candidate_since + min(SETTLE * 2.0 ** min(recent, _DOUBLINGS), SETTLE_MOST)


def _replace_by(state: TrackedPrefix, best: Candidate, ends: Mapping[IPv6Network, float], now: float) -> TrackedPrefix:
    """The candidate becomes the prefix. The present one keeps working while the host has it."""
    former = tuple(each for each in state.former if each.prefix != best.prefix)
    if state.prefix in ends:
        former = (PreviousPrefix(state.prefix, _or_never(ends[state.prefix])), *former)
    return replace(
        _usable(state, on_link=best.on_link),
        prefix=best.prefix,
        since=now,
        changes=(*(each for each in state.changes if abs(now - each) < MEMORY), now),
        former=former,
    )


def _ends(interface: str, seen: Iterable[HostPrefix], now: float) -> dict[IPv6Network, float]:
    """When the valid lifetime of each prefix of the interface or the host ends, in Unix seconds; with deprecated ones.

    Tentative and temporary addresses count: flows that began with them continue.
    """
    left: dict[IPv6Network, list[float | None]] = {}
    for each in seen:
        if each.interface in {"", interface} and each.valid != 0:
            left.setdefault(each.prefix, []).append(each.valid)
    lifetimes = {prefix: longest(each) for prefix, each in left.items()}
    return {prefix: inf if seconds is None else now + seconds for prefix, seconds in lifetimes.items()}


def _still_working(
    former: tuple[PreviousPrefix, ...], ends: Mapping[IPv6Network, float], now: float
) -> tuple[PreviousPrefix, ...]:
    """The former prefixes that the host still has. Their end is updated if it moved by more than `STEADY`."""
    return tuple(_renewed(each, ends[each.prefix], now) for each in former if each.prefix in ends)


def _renewed(former: PreviousPrefix, end: float, now: float) -> PreviousPrefix:
    written = inf if former.until is None else former.until
    steady = written == end or abs(written - end) <= STEADY
    return former if steady and written > now else PreviousPrefix(former.prefix, _or_never(end))


def _or_never(end: float) -> float | None:
    return None if end == inf else end


def _seconds_until_change(
    state: TrackedPrefix, found: tuple[Candidate, ...], seen: Iterable[HostPrefix], now: float
) -> float | None:
    """Seconds until the passage of time alone changes the value."""
    waits = [each.until - now for each in state.former if each.until is not None]
    waiting = next((each for each in found if each.prefix == state.candidate), None)
    if waiting is not None:
        waits.append(_due(state, waiting) - now)
    missed = waiting is None or _is_worse(waiting, state)
    if missed and state.gone_since is not None and not state.withdrawn:
        waits.append(state.gone_since + SETTLE - now)
    relevant = {state.prefix, state.candidate}
    lifetimes = [left for each in found if each.prefix in relevant for left in (each.preferred, each.valid)]
    formers = {each.prefix for each in state.former}
    lifetimes += [each.valid for each in seen if each.prefix in formers]
    return min((*waits, *(left for left in lifetimes if left)), default=None)
