"""Which prefixes an interface could be taken to have, best first."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from math import inf

from dockerv6.hostnet.model import HostPrefix, PrefixOrigin, Route

GLOBAL = IPv6Network("2000::/3")
"""All global unicast addresses that IANA assigns from (RFC 4291, 2.4); 2001:db8::/32 is among them (RFC 3849)."""

SHORTEST = 13
"""Prefix length in bits. Registries are assigned /12s: what is no longer than that leads to the internet."""

ANYWHERE = IPv6Network("::/0")

_BITS = 128


@dataclass(frozen=True, slots=True)
class Candidate:
    """A global prefix that an interface has now, neither deprecated nor expired."""

    prefix: IPv6Network
    on_link: bool  # False: delegated, that is routed to this host
    preferred: float | None = None  # seconds left, None for ever
    valid: float | None = None

    @property
    def rank(self) -> tuple[bool, int]:
        """The lower, the better: delegated before on-link, shorter before longer.

        Lifetimes are no part of it: those of two routers' prefixes overtake each other with every advertisement.
        """
        return self.on_link, self.prefix.prefixlen


def candidates(interface: str, prefixes: Iterable[HostPrefix], routes: Iterable[Route]) -> tuple[Candidate, ...]:
    """The prefixes that the interface could be taken to have, best first, each once.

    Delegations come first: those that contain an address of the interface, and those that a DHCPv6 client wrote down
    when no other interface leads to the internet. Then what is on-link. Among equals a shorter one precedes a longer
    one, one that stays preferred for longer the others, and a numerically lower one the rest.
    """
    told = tuple(prefixes)
    seen = [each for each in told if _is_telling(each)]
    found: dict[IPv6Network, Candidate] = {}
    for each in (*_delegations(interface, seen, routes), *_on_link(interface, seen, _preference(interface, told))):
        if _is_usable(each):
            found.setdefault(each.prefix, each)
    return tuple(sorted(found.values(), key=_order))


def longest(lifetimes: Iterable[float | None]) -> float | None:
    """The longest of them (at least one); None is for ever."""
    most = max(_seconds(each) for each in lifetimes)
    return None if most == inf else most


def _order(candidate: Candidate) -> tuple[bool, int, float, int]:
    return *candidate.rank, -_seconds(candidate.preferred), int(candidate.prefix.network_address)


def _delegations(interface: str, seen: list[HostPrefix], routes: Iterable[Route]) -> Iterator[Candidate]:
    """A route to nowhere tells no more than its prefix: whether it is still preferred, addresses inside it know."""
    addresses = [each for each in seen if each.origin is PrefixOrigin.ADDRESS and each.valid != 0]
    uplinks = {route.interface for route in routes if route.destination == ANYWHERE and route.interface is not None}
    for prefix, sources in _by_prefix(each for each in seen if each.origin is PrefixOrigin.DELEGATION):
        inside = [each for each in addresses if each.address is not None and each.address in prefix]
        mine = any(each.interface == interface for each in inside)
        if mine or (uplinks == {interface} and any(each.by_dhcp for each in sources)):
            preferred = longest(_for_how_long(each) for each in inside or sources)
            yield Candidate(prefix, False, preferred, longest(each.valid for each in sources))


def _on_link(
    interface: str, seen: list[HostPrefix], preference: Mapping[IPv6Network, float | None]
) -> Iterator[Candidate]:
    local = (each for each in seen if each.interface == interface and each.origin is not PrefixOrigin.DELEGATION)
    for prefix, sources in _by_prefix(local):
        preferred = preference[prefix] if prefix in preference else longest(each.preferred for each in sources)
        yield Candidate(prefix, True, preferred, longest(each.valid for each in sources))


def _preference(interface: str, told: Iterable[HostPrefix]) -> dict[IPv6Network, float | None]:
    """For how long a prefix is preferred, as its addresses say; a route has one lifetime only, that of validity.

    Tentative addresses say it too: a prefix that is advertised as deprecated is not to be taken up, on the word of its
    route, for the second until its address is there.
    """
    addresses = (
        each
        for each in told
        if each.interface == interface and each.origin is PrefixOrigin.ADDRESS and not each.temporary
    )
    return {prefix: longest(each.preferred for each in of) for prefix, of in _by_prefix(addresses)}


def _by_prefix(seen: Iterable[HostPrefix]) -> Iterable[tuple[IPv6Network, list[HostPrefix]]]:
    grouped: dict[IPv6Network, list[HostPrefix]] = {}
    for each in seen:
        grouped.setdefault(each.prefix, []).append(each)
    return grouped.items()


def _is_telling(each: HostPrefix) -> bool:
    """Temporary addresses are gone tomorrow, and others may turn out to be somebody else's."""
    return not (each.temporary or each.tentative or each.dad_failed)


def _is_usable(candidate: Candidate) -> bool:
    return (
        SHORTEST <= candidate.prefix.prefixlen < _BITS
        and candidate.prefix.subnet_of(GLOBAL)
        and candidate.preferred != 0
        and candidate.valid != 0
    )


def _for_how_long(each: HostPrefix) -> float | None:
    """Seconds for which it is preferred and there at all."""
    left = min(_seconds(each.preferred), _seconds(each.valid))
    return None if left == inf else left


def _seconds(lifetime: float | None) -> float:
    return inf if lifetime is None else lifetime
