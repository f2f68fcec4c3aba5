"""The candidates for the prefix of an interface, best first."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from math import inf

from dockerv6.api.pool import SHORTEST_TRACKED
from dockerv6.hostnet.model import HostPrefix, PrefixOrigin, Route
from dockerv6.lib.networking import ANYWHERE

GLOBAL = IPv6Network("2000::/3")
"""The global unicast addresses that IANA assigns (RFC 4291, 2.4), including 2001:db8::/32 (RFC 3849)."""

_BITS = 128


@dataclass(frozen=True, slots=True)
class Candidate:
    """A global prefix of an interface, neither deprecated nor expired."""

    prefix: IPv6Network
    on_link: bool  # False: delegated, and therefore routed to this host
    preferred: float | None = None  # seconds left; None: for ever
    valid: float | None = None

    @property
    def rank(self) -> tuple[bool, int]:
        """Lower is better: delegated before on-link, shorter before longer.

        Lifetimes do not count: with two routers, each advertisement would change the order.
        """
        return self.on_link, self.prefix.prefixlen


def candidates(interface: str, prefixes: Iterable[HostPrefix], routes: Iterable[Route]) -> tuple[Candidate, ...]:
    """The candidates of the interface, best first, each once.

    Delegated prefixes come first: those that contain an address of the interface, and those of a DHCPv6 client if no
    other interface has a default route. On-link prefixes follow. Among equals, a shorter prefix comes first, then one
    with a longer preferred lifetime, then a numerically lower one.
    """
    every = tuple(prefixes)
    seen = [each for each in every if _is_lasting(each)]
    found: dict[IPv6Network, Candidate] = {}
    for each in (*_delegations(interface, seen, routes), *_on_link(interface, seen, _preference(interface, every))):
        if _is_usable(each):
            found.setdefault(each.prefix, each)
    return tuple(sorted(found.values(), key=_order))


def longest(lifetimes: Iterable[float | None]) -> float | None:
    """The longest of at least one lifetime; None: for ever."""
    most = max(_seconds(each) for each in lifetimes)
    return None if most == inf else most


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two lifetimes; None: for ever."""
    least = min(_seconds(one), _seconds(other))
    return None if least == inf else least


def _order(candidate: Candidate) -> tuple[bool, int, float, int]:
    return *candidate.rank, -_seconds(candidate.preferred), int(candidate.prefix.network_address)


def _delegations(interface: str, seen: list[HostPrefix], routes: Iterable[Route]) -> Iterator[Candidate]:
    """Delegated prefixes. They are unreachable routes without a preferred lifetime; their addresses have one."""
    addresses = [each for each in seen if each.origin is PrefixOrigin.ADDRESS and each.valid != 0]
    uplinks = {route.interface for route in routes if route.destination == ANYWHERE and route.interface is not None}
    for prefix, sources in _by_prefix(each for each in seen if each.origin is PrefixOrigin.DELEGATION):
        inside = [each for each in addresses if each.address is not None and each.address in prefix]
        own = [each for each in inside if each.interface == interface]
        by_client = uplinks == {interface} and any(each.by_dhcp for each in sources)
        if own or by_client:
            preferred = longest(_for_how_long(each) for each in inside or sources)
            valid = longest(each.valid for each in sources)
            if not by_client:  # it belongs to the interface for as long as one of its addresses is valid
                valid = _shorter(valid, longest(each.valid for each in own))
            yield Candidate(prefix, False, preferred, valid)


def _on_link(
    interface: str, seen: list[HostPrefix], preference: Mapping[IPv6Network, float | None]
) -> Iterator[Candidate]:
    local = (each for each in seen if each.interface == interface and each.origin is not PrefixOrigin.DELEGATION)
    for prefix, sources in _by_prefix(local):
        preferred = preference[prefix] if prefix in preference else longest(each.preferred for each in sources)
        yield Candidate(prefix, True, preferred, longest(each.valid for each in sources))


def _preference(interface: str, prefixes: Iterable[HostPrefix]) -> dict[IPv6Network, float | None]:
    """The preferred lifetimes of prefixes, from their addresses: a route has only a valid lifetime.

    Tentative addresses count: otherwise a prefix that is advertised as deprecated would be a candidate, because of its
    route, until its address is assigned.
    """
    addresses = (
        each
        for each in prefixes
        if each.interface == interface and each.origin is PrefixOrigin.ADDRESS and not each.temporary
    )
    return {prefix: longest(each.preferred for each in of) for prefix, of in _by_prefix(addresses)}


def _by_prefix(seen: Iterable[HostPrefix]) -> Iterable[tuple[IPv6Network, list[HostPrefix]]]:
    grouped: dict[IPv6Network, list[HostPrefix]] = {}
    for each in seen:
        grouped.setdefault(each.prefix, []).append(each)
    return grouped.items()


def _is_lasting(each: HostPrefix) -> bool:
    """Whether it is neither temporary nor possibly a duplicate."""
    return not (each.temporary or each.tentative or each.dad_failed)


def _is_usable(candidate: Candidate) -> bool:
    return (
        SHORTEST_TRACKED <= candidate.prefix.prefixlen < _BITS
        and candidate.prefix.subnet_of(GLOBAL)
        and candidate.preferred != 0
        and candidate.valid != 0
    )


def _for_how_long(each: HostPrefix) -> float | None:
    """The seconds for which it is both preferred and valid."""
    return _shorter(each.preferred, each.valid)


def _seconds(lifetime: float | None) -> float:
    return inf if lifetime is None else lifetime
