"""What occupies a pool outside the ledger, and why a pool has no free subnet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network
from itertools import groupby, islice

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.ipam.block import PoolExhausted
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.prefixes import PrefixSet, count_taken
from dockerv6.lib.timeformat import rfc3339
from dockerv6.planning.addressing.conflicts import (
    RETRY,
    foreign_external_prefixes,
    foreign_routes,
    foreign_subnets,
    own_bridges,
)
from dockerv6.planning.addressing.pools import PoolView
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding

_NAMED = 3
"""What a message names of each kind; it counts the rest."""

_NETWORKS, _ROUTES, _ADDRESSES = "Docker networks", "routes of the host", "addresses of the host"
_EXTERNAL = "external prefixes of resources"


@dataclass(frozen=True, slots=True)
class Occupant:
    """A prefix that is in use: of what kind, and by what, as a noun phrase."""

    prefix: IPv6Network
    kind: str
    name: str


def occupied(desired: Desired, observed: Observed, pool: PoolView) -> Iterator[Occupant]:
    """The parts of the pool that are in use: by live networks, prefix translation, the host's routes and addresses."""
    for subnet, network in foreign_subnets(desired, observed):
        yield Occupant(subnet, _NETWORKS, f"{subnet} of {network}")
    for external, resource in foreign_external_prefixes(desired, observed):
        yield Occupant(external, _EXTERNAL, f"{external} of {resource}")
    for address in own_addresses(desired, observed):
        yield Occupant(address, _ADDRESSES, str(address.network_address))
    prefixes = PrefixSet(pool.prefixes)
    for route in foreign_routes(desired, observed):
        if prefixes.containing(route.destination) not in (None, route.destination):
            name = f"{route.destination} on {route.interface or 'no interface'}"
            yield Occupant(route.destination, _ROUTES, name)


def own_addresses(desired: Desired, observed: Observed) -> Iterator[IPv6Network]:
    """The host's addresses, except those of the resource's bridge. In an on-link prefix, they are in the pool."""
    own = own_bridges(desired, observed)
    for interface in observed.host.interfaces.values():
        if interface.name not in own:
            yield from (IPv6Network(address.ip) for address in interface.addresses)


def exhausted(
    desired: Desired, observed: Observed, holdings: Holdings, pool: PoolView, found: PoolExhausted
) -> Finding:
    """Why the pool has no free subnet: how many are allocated, and what else takes them, with a remedy for each."""
    usable = PrefixSet(prefix for prefix in pool.prefixes if prefix.prefixlen <= found.length)
    others = [a for a in holdings.allocations if a.owner != desired.name]
    bound = [a for a in others if a.state is AllocationState.BOUND]
    elsewhere = [f"{a.prefix} of {a.owner}" for a in bound if a.pool != pool.name and usable.overlaps(a.prefix)]
    remedies = ["add a prefix to the pool" if desired.pools[pool.name].spec.all_prefixes else "use another pool"]
    if found.held:
        remedies.append("remove a network")
    parts = [
        f"{found.held} of {found.total} are allocated{_including(elsewhere)} and {found.cooling} in cooldown",
        *([f"the next one is free at {when}"] if (when := _time(found.soonest)) else []),
    ]
    excluded = [prefix for prefix in pool.exclude if usable.overlaps(prefix)]
    if excluded:
        count = count_taken(usable, found.length, PrefixSet(excluded))
        parts.append(f"exclude takes {count} ({few(map(str, excluded))})")
        remedies.append("shorten exclude")
    cooling = [a for a in others if a.state is AllocationState.COOLING and observed.now < a.since + pool.cooldown]
    known = PrefixSet(a.prefix for a in (*bound, *cooling))
    live = [each for each in _of_others(occupied(desired, observed, pool), known) if usable.overlaps(each.prefix)]
    for kind, group in groupby(live, key=lambda each: each.kind):
        of_kind = list(group)
        count = count_taken(usable, found.length, PrefixSet(each.prefix for each in of_kind))
        parts.append(f"{kind} take {count} ({few(each.name for each in of_kind)})")
        remedies.append(f"remove {kind} that are not needed")
    message = f"IPv6Pool {pool.name} has no free /{found.length}: {'; '.join(parts)}; {_either(remedies)}"
    waits = [found.soonest - observed.now] if found.soonest is not None else []
    retry = max(1.0, min((*waits, *([RETRY] if live else [])))) if waits or live else None
    return Finding(ConditionType.SUBNET_ALLOCATED, Reason.POOL_EXHAUSTED, message, retry=retry)


def few(names: Iterable[str]) -> str:
    """The first few names, and the number of the others."""
    listed = iter(names)
    shown, rest = list(islice(listed, _NAMED)), sum(1 for _ in listed)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _of_others(occupants: Iterable[Occupant], allocated: PrefixSet) -> Iterator[Occupant]:
    """Without what an allocation explains (the Docker network of another resource, its route and its addresses).

    The route and the addresses of a Docker network are explained by the network.
    """
    found = list(occupants)
    networks = PrefixSet(each.prefix for each in found if each.kind == _NETWORKS)
    for each in found:
        explained = each.kind != _NETWORKS and networks.containing(each.prefix) is not None
        if not explained and allocated.containing(each.prefix) is None:
            yield each


def _either(remedies: list[str]) -> str:
    *first, last = remedies
    return f"{', '.join(first)} or {last}" if first else last


def _including(names: list[str]) -> str:
    return f" (including {few(names)})" if names else ""


def _time(seconds: float | None) -> str:
    """The time for a message; "": there is none, or it can't be written."""
    try:
        return "" if seconds is None else rfc3339(seconds)
    except ValueError:
        return ""  # after the year 9999
