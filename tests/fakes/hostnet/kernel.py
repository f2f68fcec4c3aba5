"""The kernel of the fake host: notifications, sysctls, and lifetimes of prefixes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.changes import ChangeQueue
from dockerv6.hostnet.model import (
    ChangeKind,
    HostChange,
    HostPrefix,
    Interface,
    PrefixOrigin,
    Route,
    RouteProtocol,
    interface_sysctl,
)
from dockerv6.hostnet.port import HostNetError
from dockerv6.hostnet.prefixes import sort_prefixes

_SYSCTL_DEFAULTS = {"forwarding": "0", "accept_ra": "1", "proxy_ndp": "0", "disable_ipv6": "0"}
_NOTIFIED_SYSCTLS = frozenset({"forwarding", "proxy_ndp"})
_SYSCTL_TREE = ("net", "ipv6", "conf")
_ALL_INTERFACES = ("all", "default")
_ON_LINK_PROTOCOLS = frozenset({RouteProtocol.KERNEL, RouteProtocol.RA})
_TABLE_LOCAL = 255


class Notifications:
    """Delivers changes to all subscribers."""

    def __init__(self) -> None:
        self._subscribers: dict[_Subscriber, None] = {}  # in the order of their subscriptions
        self._closed = False

    async def subscribe(self) -> AsyncIterator[HostChange]:
        """LOST, and then the changes from now on; until `close`."""
        subscriber = _Subscriber(closed=self._closed)
        self._subscribers[subscriber] = None
        try:
            while (change := await subscriber.take()) is not None:
                yield change
        finally:
            self._subscribers.pop(subscriber, None)

    def notify(self, kind: ChangeKind, subject: str, generation: int | None = None) -> None:
        """Deliver a change, see `model.HostChange`."""
        for subscriber in self._subscribers:
            subscriber.queue.add(kind, subject, generation)
            subscriber.wake.set()

    def overflow(self) -> None:
        """All subscribers lose their notifications."""
        for subscriber in self._subscribers:
            subscriber.queue.add_lost()
            subscriber.wake.set()

    def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.closed = True
            subscriber.wake.set()


class _Subscriber:
    def __init__(self, *, closed: bool) -> None:
        self.queue = ChangeQueue()
        self.queue.add_lost()
        self.closed = closed
        self.wake = asyncio.Event()

    async def take(self) -> HostChange | None:
        while not self.queue and not self.closed:
            self.wake.clear()
            await self.wake.wait()
        return None if self.closed else self.queue.take()


class FakeSysctls:
    """Sysctls by canonical name."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications
        self._values: dict[str, str] = {}
        for name in _ALL_INTERFACES:
            self._add(name, _SYSCTL_DEFAULTS)

    def read(self, name: str) -> str | None:
        """The value; None if there is no such key. Raises `ValueError` for an invalid name."""
        return self._values.get(sysctl.canonical(name))

    def put(self, name: str, value: str) -> None:
        """Set a key that need not exist, without a notification. Raises `ValueError` for an invalid name."""
        self._values[sysctl.canonical(name)] = value

    def write(self, name: str, value: str, interfaces: Collection[str]) -> tuple[str, str]:
        """Write a key; ``all.forwarding`` writes that of all interfaces too. Returns the canonical name and value.

        Raises:
            ValueError: not the name of a sysctl.
            HostNetError: no such key, or not a number.
        """
        path = sysctl.canonical(name)
        if path not in self._values:
            raise HostNetError(f"cannot set sysctl {path} to {value!r}: the kernel has no such key")
        try:
            value = str(int(value))
        except ValueError as error:
            raise HostNetError(f"cannot set sysctl {path} to {value!r}: Invalid argument") from error
        for written in _written_with(path, interfaces):
            self._write(written, value)
        return path, value

    def add_interface(self, interface: str) -> None:
        """Add the keys of a new interface, with the values of "default"."""
        self._add(interface, {key: self._values[interface_sysctl("default", key)] for key in _SYSCTL_DEFAULTS})
        self._notifications.notify(ChangeKind.SYSCTL, interface)

    def remove_interface(self, interface: str) -> None:
        """Remove the keys of an interface."""
        prefix = interface_sysctl(interface, "")
        self._values = {key: value for key, value in self._values.items() if not key.startswith(prefix)}

    def _add(self, interface: str, values: Mapping[str, str]) -> None:
        self._values.update({interface_sysctl(interface, key): value for key, value in values.items()})

    def _write(self, path: str, value: str) -> None:
        *tree, interface, key = path.split("/")
        changed = self._values[path] != value
        self._values[path] = value
        if changed and tuple(tree) == _SYSCTL_TREE and key in _NOTIFIED_SYSCTLS:
            self._notifications.notify(ChangeKind.SYSCTL, interface)


def _written_with(path: str, interfaces: Collection[str]) -> tuple[str, ...]:
    if path == interface_sysctl("all", "forwarding"):
        return tuple(interface_sysctl(name, "forwarding") for name in (*_ALL_INTERFACES, *interfaces))
    return (path,)


@dataclass(frozen=True, slots=True)
class _Deadlines:
    """When the lifetimes of an address end; None: never."""

    preferred: float | None = None
    valid: float | None = None
    temporary: bool = False


_NO_DEADLINES = _Deadlines()


class FakePrefixes:
    """Lifetimes of addresses, and delegations. Addresses without a lifetime are valid forever."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Use `now` as the clock, in seconds."""
        self._now = now
        self._deadlines: dict[tuple[str, IPv6Address], _Deadlines] = {}
        self._delegations: dict[IPv6Network, tuple[float | None, bool]] = {}

    def set_lifetimes(
        self, interface: str, address: IPv6Address, preferred: float | None, valid: float | None, *, temporary: bool
    ) -> None:
        """Set the lifetimes of an address, from now on."""
        deadlines = _Deadlines(self._deadline(preferred), self._deadline(valid), temporary)
        self._deadlines[interface, address] = deadlines

    def keep_only(self, interface: str, addresses: Collection[IPv6Address] = ()) -> None:
        """Remove the lifetimes of all other addresses of the interface."""
        kept = frozenset(addresses)
        self._deadlines = {key: of for key, of in self._deadlines.items() if key[0] != interface or key[1] in kept}

    def delegate(self, prefix: IPv6Network, valid: float | None, *, by_dhcp: bool) -> None:
        """Add a rejecting route for the prefix."""
        self._delegations[prefix] = self._deadline(valid), by_dhcp

    def undelegate(self, prefix: IPv6Network) -> None:
        """Remove the rejecting route. Raises `KeyError` if there is none."""
        del self._delegations[prefix]

    def rejecting_routes(self) -> tuple[Route, ...]:
        """The routes of the delegations."""
        return tuple(
            Route(prefix, "lo", RouteProtocol.DHCP if by_dhcp else RouteProtocol.BOOT, 254, 1024, "unreachable")
            for prefix, (_, by_dhcp) in self._delegations.items()
        )

    def is_autoconfigured(self, interface: str) -> bool:
        """Whether an address of the interface has a finite lifetime."""
        return any(of.valid is not None for (name, _), of in self._deadlines.items() if name == interface)

    def expired(self) -> tuple[tuple[str, IPv6Address], ...]:
        """Interface and address, for addresses whose valid lifetime has ended."""
        now = self._now()
        return tuple(key for key, of in self._deadlines.items() if of.valid is not None and of.valid <= now)

    def prefixes(self, interfaces: Iterable[Interface], routes: Iterable[Route]) -> tuple[HostPrefix, ...]:
        """See `port.HostNet.prefixes`."""
        found: set[HostPrefix] = set()
        on_link: dict[tuple[str, IPv6Network], float | None] = {}
        for interface in interfaces:
            of_addresses = tuple(self._of_addresses(interface))
            found.update(of_addresses)
            if interface.up:
                on_link.update(_routes_of(of_addresses))
        for route in routes:
            if route.interface is not None and route.protocol in _ON_LINK_PROTOCOLS and route.table != _TABLE_LOCAL:
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
        return sort_prefixes(found)

    def _of_addresses(self, interface: Interface) -> Iterator[HostPrefix]:
        for address in interface.addresses:
            deadlines = self._deadlines.get((interface.name, address.ip), _NO_DEADLINES)
            yield HostPrefix(
                prefix=address.network,
                origin=PrefixOrigin.ADDRESS,
                interface=interface.name,
                preferred=self._left(deadlines.preferred),
                valid=self._left(deadlines.valid),
                address=address.ip,
                temporary=deadlines.temporary,
                tentative=address.ip in interface.tentative,
                dad_failed=address.ip in interface.dad_failed,
            )

    def _deadline(self, lifetime: float | None) -> float | None:
        return None if lifetime is None else self._now() + lifetime

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(deadline - self._now(), 0.0)


def _routes_of(addresses: Iterable[HostPrefix]) -> dict[tuple[str, IPv6Network], float | None]:
    """The on-link routes that the kernel adds for addresses, with the longest lifetime of each prefix."""
    lifetimes: dict[tuple[str, IPv6Network], float | None] = {}
    for address in addresses:
        key = (address.interface, address.prefix)
        longest = lifetimes.get(key, 0.0)
        lifetimes[key] = None if longest is None or address.valid is None else max(longest, address.valid)
    return lifetimes
