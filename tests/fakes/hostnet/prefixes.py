"""What a host in memory tells of its prefixes. Its interfaces and routes are the fake's; here are their lifetimes."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from dockerv6.hostnet.model import HostPrefix, Interface, PrefixOrigin, Route, RouteProtocol
from dockerv6.hostnet.prefixes import ordered

_ON_LINK = frozenset({RouteProtocol.KERNEL, RouteProtocol.RA})
_TABLE_LOCAL = 255


@dataclass(frozen=True, slots=True)
class _Deadlines:
    """Of an address, by the host's time; None: never."""

    preferred: float | None = None
    valid: float | None = None
    temporary: bool = False


_FOR_EVER = _Deadlines()


class FakePrefixes:
    """Lifetimes of addresses and delegations; what nobody gave one lasts for ever."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Nothing has a lifetime, nothing is delegated. `now` gives seconds."""
        self._now = now
        self._addresses: dict[tuple[str, IPv6Address], _Deadlines] = {}
        self._delegations: dict[IPv6Network, tuple[float | None, bool]] = {}

    def limit(
        self, interface: str, address: IPv6Address, preferred: float | None, valid: float | None, *, temporary: bool
    ) -> None:
        """The address has these lifetimes from now on."""
        self._addresses[interface, address] = _Deadlines(self._deadline(preferred), self._deadline(valid), temporary)

    def forget(self, interface: str, but: Collection[IPv6Address] = ()) -> None:
        """The interface has none but these addresses any more."""
        kept = frozenset(but)
        self._addresses = {key: of for key, of in self._addresses.items() if key[0] != interface or key[1] in kept}

    def delegate(self, prefix: IPv6Network, valid: float | None, *, by_dhcp: bool) -> None:
        """There is a route to nowhere of that prefix."""
        self._delegations[prefix] = self._deadline(valid), by_dhcp

    def undelegate(self, prefix: IPv6Network) -> None:
        """It goes.

        Raises:
            KeyError: there is none.
        """
        del self._delegations[prefix]

    def is_autoconfigured(self, interface: str) -> bool:
        """Whether an address of it ends one day."""
        return any(of.valid is not None for (name, _), of in self._addresses.items() if name == interface)

    def ended(self) -> tuple[tuple[str, IPv6Address], ...]:
        """Addresses, each with its interface, whose valid lifetime is over."""
        now = self._now()
        return tuple(key for key, of in self._addresses.items() if of.valid is not None and of.valid <= now)

    def told(self, interfaces: Iterable[Interface], routes: Iterable[Route]) -> tuple[HostPrefix, ...]:
        """As `port.HostNet.prefixes` gives it."""
        found: set[HostPrefix] = set()
        on_link: dict[tuple[str, IPv6Network], float | None] = {}
        for interface in interfaces:
            own = tuple(self._of_addresses(interface))
            found.update(own)
            if interface.up:
                on_link.update(_links_of(own))
        for route in routes:
            if route.interface is not None and route.protocol in _ON_LINK and route.table != _TABLE_LOCAL:
                on_link.setdefault((route.interface, route.destination), None)
        found |= {
            HostPrefix(prefix, PrefixOrigin.ROUTE, interface, valid=valid)
            for (interface, prefix), valid in on_link.items()
            if 0 < prefix.prefixlen < prefix.max_prefixlen
        }
        found |= {
            HostPrefix(prefix, PrefixOrigin.DELEGATION, "", valid=self._left(deadline), by_dhcp=by_dhcp)
            for prefix, (deadline, by_dhcp) in self._delegations.items()
        }
        return ordered(found)

    def _of_addresses(self, interface: Interface) -> Iterator[HostPrefix]:
        for address in interface.addresses:
            of = self._addresses.get((interface.name, address.ip), _FOR_EVER)
            yield HostPrefix(
                prefix=address.network,
                origin=PrefixOrigin.ADDRESS,
                interface=interface.name,
                preferred=self._left(of.preferred),
                valid=self._left(of.valid),
                address=address.ip,
                temporary=of.temporary,
                tentative=address.ip in interface.tentative,
                dad_failed=address.ip in interface.dad_failed,
            )

    def _deadline(self, left: float | None) -> float | None:
        return None if left is None else self._now() + left

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(deadline - self._now(), 0.0)


def _links_of(addresses: Iterable[HostPrefix]) -> dict[tuple[str, IPv6Network], float | None]:
    """The routes that the kernel makes of addresses, with the longest lifetime of those of one prefix."""
    lasting: dict[tuple[str, IPv6Network], float | None] = {}
    for told in addresses:
        key = (told.interface, told.prefix)
        known = lasting.get(key, 0.0)
        lasting[key] = None if known is None or told.valid is None else max(known, told.valid)
    return lasting
