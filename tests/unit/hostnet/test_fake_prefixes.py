"""What the fake host's prefixes and proxy neighbours do beyond the contract: as others act, and as time goes by."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import (
    ChangeKind,
    HostChange,
    HostPrefix,
    Interface,
    PrefixOrigin,
    ProxyNeighbour,
    Route,
    RouteProtocol,
)
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from tests.fakes.clock import FakeClock
from tests.fakes.hostnet.host import FakeHostNet

OLD, NEW = IPv6Interface("2001:db8:1::2/64"), IPv6Interface("2001:db8:2::2/64")
PRIVATE = IPv6Interface("2001:db8:1::abcd/64")
ETH0 = Interface(2, "eth0", "", up=True, mtu=1500)
LINK = Route(OLD.network, "eth0", RouteProtocol.KERNEL, table=254)
DELEGATED = IPv6Network("2001:db8:f00::/56")
CONTAINER = IPv6Address("2001:db8:1::c")


async def told(host: FakeHostNet, origin: PrefixOrigin = PrefixOrigin.ADDRESS) -> list[HostPrefix]:
    return [prefix for prefix in await host.prefixes() if prefix.origin is origin]


async def pending(host: FakeHostNet, changes: AsyncIterator[HostChange]) -> set[HostChange]:
    """What is reported up to now."""
    host.change_firewall("inet marker")
    seen = set()
    while (change := await anext(changes)).subject != "inet marker":
        seen.add(change)
    return seen


async def test_lifetimes_run_by_the_hosts_time_and_never_below_zero() -> None:
    clock = FakeClock()
    host = FakeHostNet([ETH0], now=clock.monotonic)
    host.advertise("eth0", OLD, preferred=60, valid=100)
    clock.advance(40)
    (address,) = await told(host)
    (route,) = await told(host, PrefixOrigin.ROUTE)
    assert (address.preferred, address.valid, route.valid) == (20, 60, 60)
    clock.advance(30)
    (address,) = await told(host)
    assert (address.preferred, address.valid) == (0, 30)


async def test_without_a_clock_lifetimes_stand_still() -> None:
    host = FakeHostNet([ETH0])
    host.advertise("eth0", OLD, preferred=60, valid=100)
    assert [(address.preferred, address.valid) for address in await told(host)] == [(60, 100)]


async def test_what_is_over_goes_when_the_kernel_looks_and_what_is_not_stays() -> None:
    clock = FakeClock()
    host = FakeHostNet([ETH0], now=clock.monotonic)
    host.advertise("eth0", OLD, valid=100)
    host.advertise("eth0", NEW, valid=200)
    clock.advance(100)
    changes = host.changes()
    await anext(changes)
    host.expire()
    assert await pending(host, changes) == {HostChange(ChangeKind.ADDRESS, "eth0")}
    assert {prefix.prefix for prefix in await host.prefixes()} == {NEW.network}
    assert [found.autoconfigured for found in await host.interfaces()] == [True]


async def test_a_renewed_address_lives_on() -> None:
    clock = FakeClock()
    host = FakeHostNet([ETH0], now=clock.monotonic)
    host.advertise("eth0", OLD, valid=100)
    clock.advance(90)
    host.advertise("eth0", OLD, valid=100)
    clock.advance(90)
    host.expire()
    assert [address.valid for address in await told(host)] == [10]


async def test_a_temporary_address_says_so() -> None:
    host = FakeHostNet([ETH0])
    host.advertise("eth0", OLD)
    host.advertise("eth0", PRIVATE, temporary=True)
    assert {address.address: address.temporary for address in await told(host)} == {OLD.ip: False, PRIVATE.ip: True}


async def test_an_interface_that_was_made_autoconfigured_stays_so_without_lifetimes() -> None:
    host = FakeHostNet([replace(ETH0, addresses=(OLD,), autoconfigured=True)])
    host.withdraw("eth0", OLD.network)
    assert [found.autoconfigured for found in await host.interfaces()] == [True]


async def test_a_withdrawn_prefix_takes_its_addresses_and_its_route_and_no_others() -> None:
    failed = replace(ETH0, addresses=(OLD, NEW), tentative=frozenset({OLD.ip}), dad_failed=frozenset({OLD.ip}))
    host = FakeHostNet([failed], [LINK])
    changes = host.changes()
    await anext(changes)
    host.withdraw("eth0", OLD.network)
    assert await host.interfaces() == (replace(ETH0, addresses=(NEW,)),)
    assert await host.routes() == ()
    assert await pending(host, changes) == {
        HostChange(ChangeKind.ADDRESS, "eth0"),
        HostChange(ChangeKind.ROUTE, "eth0"),
    }


async def test_a_route_that_is_listed_and_comes_of_an_address_is_one_prefix() -> None:
    host = FakeHostNet([replace(ETH0, addresses=(OLD,))], [LINK])
    assert await told(host, PrefixOrigin.ROUTE) == [HostPrefix(OLD.network, PrefixOrigin.ROUTE, "eth0")]


async def test_an_interface_that_is_down_has_no_routes_of_its_addresses() -> None:
    host = FakeHostNet([replace(ETH0, addresses=(OLD,), up=False)])
    assert [prefix.origin for prefix in await host.prefixes()] == [PrefixOrigin.ADDRESS]


async def test_addresses_that_are_gone_leave_no_lifetimes_behind() -> None:
    host = FakeHostNet([ETH0])
    host.advertise("eth0", OLD, valid=100)
    host.add_interface(ETH0)
    host.add_interface(replace(ETH0, addresses=(OLD,)))
    assert [address.valid for address in await told(host)] == [None]


async def test_a_persons_route_to_nowhere_is_no_dhcp_clients() -> None:
    host = FakeHostNet()
    host.delegate(DELEGATED, valid=100)
    assert await host.prefixes() == (HostPrefix(DELEGATED, PrefixOrigin.DELEGATION, "", valid=100, by_dhcp=True),)
    host.delegate(DELEGATED, by_dhcp=False)
    assert await host.prefixes() == (HostPrefix(DELEGATED, PrefixOrigin.DELEGATION, ""),)
    host.undelegate(DELEGATED)
    with pytest.raises(KeyError):
        host.undelegate(DELEGATED)


async def test_what_is_done_to_an_interface_that_is_not_there_is_an_error() -> None:
    host = FakeHostNet()
    with pytest.raises(HostNetError, match="No such device: eth0"):
        host.advertise("eth0", OLD)
    with pytest.raises(HostNetError, match="No such device: eth0"):
        host.withdraw("eth0", OLD.network)
    with pytest.raises(HostNetError, match="No such device: eth0"):
        host.answer_for("eth0", CONTAINER)


async def test_denied_changes_of_proxy_neighbours_change_nothing() -> None:
    host = FakeHostNet([ETH0])
    host.answer_for("eth0", CONTAINER)
    host.deny("Operation not permitted")
    with pytest.raises(
        HostNetPermissionError, match=r"can't answer for 2001:db8:1::c on eth0: Operation not permitted"
    ):
        await host.add_proxy_neighbour("eth0", CONTAINER)
    with pytest.raises(HostNetPermissionError, match=r"can't answer no more for 2001:db8:1::c on eth0"):
        await host.remove_proxy_neighbour("eth0", CONTAINER)
    assert await host.proxy_neighbours() == {ProxyNeighbour("eth0", CONTAINER)}


async def test_proxy_neighbours_are_announced_to_nobody() -> None:
    host = FakeHostNet([ETH0])
    changes = host.changes()
    await anext(changes)
    host.answer_for("eth0", CONTAINER)
    host.stop_answering_for("eth0", CONTAINER)
    await host.add_proxy_neighbour("eth0", CONTAINER)
    assert await pending(host, changes) == set()
    with pytest.raises(KeyError):
        host.stop_answering_for("eth0", OLD.ip)
