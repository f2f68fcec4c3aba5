"""Which prefix of an interface is followed. It changes at night, and comes back: not every change is believed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from math import inf

from dockerv6.hostnet.model import HostPrefix, Route
from dockerv6.lib.prefixes import nth_subnet, subnet_count
from dockerv6.planning.addressing.prefix_candidates import Candidate, candidates, longest

SETTLE = 5.0
"""Seconds that a change must last to be believed, when there was none lately."""

SETTLE_MOST = 300.0
"""Seconds that it must last at most, however often there were others."""

MEMORY = 600.0
"""Seconds for which a change makes the next ones wait for longer."""

STEADY = 60.0
"""Seconds by which the end of a lifetime may differ between two looks before the record of it is renewed."""

_DOUBLINGS = 6  # of SETTLE, that reach SETTLE_MOST


@dataclass(frozen=True, slots=True)
class PreviousPrefix:
    """A prefix that was followed before, and that still works for as long as its lifetime says."""

    prefix: IPv6Network
    until: float | None  # Unix seconds when its valid lifetime ends, give or take STEADY; None: it has none


@dataclass(frozen=True, slots=True)
class TrackedPrefix:
    """The prefix that an interface is taken to have. Durable: without a successor the last one stays.

    It is the whole one: delegated to the host, or on-link; pools and translations take their part of it.
    Two are equal when nothing happened between them: no field counts down.
    """

    interface: str
    prefix: IPv6Network
    since: float  # Unix seconds
    on_link: bool = True  # neighbours ask for each of its addresses; False: it is routed to this host
    withdrawn: bool = False  # it is gone, and nothing came in its place
    gone_since: float | None = None  # when it ceased to be usable: deprecated, or not there at all
    candidate: IPv6Network | None = None  # what is about to take its place, if it lasts
    candidate_since: float = 0.0  # of `candidate` only
    changes: tuple[float, ...] = ()  # when it changed lately, oldest first: who changes often is believed later
    former: tuple[PreviousPrefix, ...] = ()  # newest first


def track_prefix(
    before: TrackedPrefix | None, interface: str, prefixes: Iterable[HostPrefix], routes: Iterable[Route], now: float
) -> tuple[TrackedPrefix | None, float | None]:
    """What the interface is taken to have from now on, and in how many seconds to look again without being told.

    The first prefix is believed at once. From then on the present one stays while it is usable at all, but that a
    delegated one replaces the link's own; and what is to replace it must have lasted: `SETTLE`, doubled for each change
    within `MEMORY`, `SETTLE_MOST` at most, which is also how long the link's own must last to replace a delegated one.

    Args:
        before: what the last look gave; None: the interface never had a prefix.
        interface: its name; an interface that comes back under the same name is the same.
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
    return after, _look_again(after, found, seen, now)


def pool_part(prefix: IPv6Network, length: int | None, offset: int) -> IPv6Network | str:
    """A pool's part of a followed prefix, or in words why there is none.

    Args:
        prefix: the whole one.
        length: of the part, in bits; None: the whole prefix.
        offset: its number among the parts of that length, from 0.
    """
    own = prefix.prefixlen
    wanted = own if length is None else length
    if wanted < own:
        return (
            f"{prefix} is too small to hold a /{wanted}; write a prefixLength of {own} or more, or ask the provider for"
            f" a /{wanted}"
        )
    count = subnet_count(prefix, wanted)
    if offset >= count:
        parts, last = ("one part", "") if count == 1 else (f"{count} parts", f" to {count - 1}")
        return f"{prefix} has {parts} of length /{wanted}, and none at offset {offset}; write an offset of 0{last}"
    return nth_subnet(prefix, wanted, offset)


def replace_prefix(subnet: IPv6Network, prefix: IPv6Network) -> IPv6Network | None:
    """The subnet with its first bits exchanged for the prefix; the others and its length stay (RFC 6296, 3.1).

    None: the prefix is longer than the subnet.
    """
    if prefix.prefixlen > subnet.prefixlen:
        return None
    kept = int(subnet.network_address) & int(prefix.hostmask)
    return IPv6Network((int(prefix.network_address) | kept, subnet.prefixlen))


def renumbered(old: IPv6Network, pool: IPv6Network) -> IPv6Network:
    """The subnet of the same length and the same index under another prefix of its pool.

    Raises:
        ValueError: the pool's prefix is longer than the subnet: it holds none of that length.
    """
    new = replace_prefix(old, pool)
    if new is None:
        raise ValueError(f"{pool} holds no subnet of length {old.prefixlen}")
    return new


def _next(
    before: TrackedPrefix, found: tuple[Candidate, ...], ends: Mapping[IPv6Network, float], now: float
) -> TrackedPrefix:
    """`ends`: see `_ends`."""
    state = replace(before, former=_still_working(before.former, ends, now))
    present = next((each for each in found if each.prefix == state.prefix), None)
    if present is None:
        # A clock that was set back must not make anybody wait for the difference.
        state = replace(state, gone_since=now if state.gone_since is None else min(state.gone_since, now))
    elif present.on_link and not found[0].on_link:  # a DHCPv6 client is slower than router advertisements
        state = replace(state, on_link=True, withdrawn=False, gone_since=None)
    else:
        return _usable(state, on_link=present.on_link)
    if not found:
        return replace(_missed(state, now), candidate=None, candidate_since=0.0)
    best = _best(found, state.candidate)
    if _is_worse(best, state):
        state = _missed(state, now)
    if best.prefix != state.candidate or state.candidate_since > now:
        return replace(state, candidate=best.prefix, candidate_since=now)
    if now < _due(state, best):
        return state
    return _exchange(state, best, ends, now)


def _missed(state: TrackedPrefix, now: float) -> TrackedPrefix:
    """Nothing that is as good came in the place of a prefix that is gone."""
    gone_since = now if state.gone_since is None else state.gone_since
    return replace(state, withdrawn=state.withdrawn or now >= gone_since + SETTLE)


def _is_worse(best: Candidate, state: TrackedPrefix) -> bool:
    """Only the link's own prefix is left of a host that had one delegated, and the two are of different use."""
    return best.on_link and not state.on_link


def _usable(state: TrackedPrefix, *, on_link: bool) -> TrackedPrefix:
    """The present prefix is there: whatever was about to replace it is forgotten."""
    return replace(state, on_link=on_link, withdrawn=False, gone_since=None, candidate=None, candidate_since=0.0)


def _best(found: tuple[Candidate, ...], noted: IPv6Network | None) -> Candidate:
    """The best one; the one that waits already, while nothing but lifetimes speaks for another."""
    waiting = next((each for each in found if each.prefix == noted), None)
    return waiting if waiting is not None and waiting.rank == found[0].rank else found[0]


def _due(state: TrackedPrefix, best: Candidate) -> float:
    """When the candidate is adopted, if it lasts. A change counts by its distance: the clock may have been set back."""
    if _is_worse(best, state):
        return state.candidate_since + SETTLE_MOST
    lately = sum(abs(state.candidate_since - each) < MEMORY for each in state.changes)
    return state.candidate_since + min(SETTLE * 2.0 ** min(lately, _DOUBLINGS), SETTLE_MOST)


def _exchange(state: TrackedPrefix, best: Candidate, ends: Mapping[IPv6Network, float], now: float) -> TrackedPrefix:
    """The candidate takes the present one's place, which goes on working where the host still has it."""
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
    """When the validity of each prefix ends that the interface or the host still has in any way, deprecated too.

    A tentative address counts, and so does a temporary one: what began with it goes on.
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
    """Those that are there, with the ends of their lifetimes; ends that only jitter stay as they were written."""
    return tuple(_renewed(each, ends[each.prefix], now) for each in former if each.prefix in ends)


def _renewed(former: PreviousPrefix, end: float, now: float) -> PreviousPrefix:
    written = inf if former.until is None else former.until
    steady = written == end or abs(written - end) <= STEADY
    return former if steady and written > now else PreviousPrefix(former.prefix, _or_never(end))


def _or_never(end: float) -> float | None:
    return None if end == inf else end


def _look_again(
    state: TrackedPrefix, found: tuple[Candidate, ...], seen: Iterable[HostPrefix], now: float
) -> float | None:
    """Seconds to the next moment at which time alone changes something: of that nobody tells."""
    waits = [each.until - now for each in state.former if each.until is not None]
    waiting = next((each for each in found if each.prefix == state.candidate), None)
    if waiting is not None:
        waits.append(_due(state, waiting) - now)
    missed = waiting is None or _is_worse(waiting, state)
    if missed and state.gone_since is not None and not state.withdrawn:
        waits.append(state.gone_since + SETTLE - now)
    at_stake = {state.prefix, state.candidate}
    lifetimes = [left for each in found if each.prefix in at_stake for left in (each.preferred, each.valid)]
    formers = {each.prefix for each in state.former}
    lifetimes += [each.valid for each in seen if each.prefix in formers]
    return min((*waits, *(left for left in lifetimes if left)), default=None)
