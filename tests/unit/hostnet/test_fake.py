from collections.abc import AsyncIterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import ChangeKind, HostChange, Interface, Listener, Route, RouteProtocol, interface_sysctl
from dockerv6.hostnet.port import HostNetPermissionError
from dockerv6.hostnet.sysctl import ra_disabled_by_forwarding
from tests.fakes.hostnet.host import FakeHostNet

ETH0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8::2/64"),))
ADVERTISED = Route(IPv6Network("::/0"), "eth0", RouteProtocol.RA, table=254)
STATIC = Route(IPv6Network("2001:db8:7::/48"), "eth0", RouteProtocol.STATIC, table=254)
ANY = IPv6Address("::")
FORWARDING = interface_sysctl("all", "forwarding")


async def pending(host: FakeHostNet, changes: AsyncIterator[HostChange]) -> list[HostChange]:
    """What is reported up to now."""
    host.change_firewall("inet marker")
    seen = []
    while (change := await anext(changes)).subject != "inet marker":
        seen.append(change)
    return seen


async def test_turning_forwarding_on_takes_what_routers_had_installed() -> None:
    host = FakeHostNet([ETH0], [ADVERTISED, STATIC])
    await host.set_sysctl(FORWARDING, "1")
    assert await host.routes() == (STATIC,)


async def test_an_uplink_that_always_listens_keeps_its_routes() -> None:
    host = FakeHostNet([ETH0], [ADVERTISED])
    await host.set_sysctl(interface_sysctl("eth0", "accept_ra"), "2")
    await host.set_sysctl(FORWARDING, "1")
    assert await host.routes() == (ADVERTISED,)


async def test_the_uplinks_that_the_rule_names_are_those_that_would_lose_routes() -> None:
    other = Interface(3, "eth1", "", up=True, mtu=1500)
    host = FakeHostNet([ETH0, other], [ADVERTISED, STATIC])
    accept_ra = {name: await host.sysctl(interface_sysctl(name, "accept_ra")) for name in ("eth0", "eth1")}
    for name in ra_disabled_by_forwarding(await host.interfaces(), await host.routes(), accept_ra):
        await host.set_sysctl(interface_sysctl(name, "accept_ra"), "2")
    await host.set_sysctl(FORWARDING, "1")
    assert await host.routes() == (ADVERTISED, STATIC)
    assert host.writes == [("net/ipv6/conf/eth0/accept_ra", "2"), ("net/ipv6/conf/all/forwarding", "1")]


async def test_turning_forwarding_off_takes_nothing() -> None:
    host = FakeHostNet([ETH0], [ADVERTISED], {"net.ipv6.conf.all.forwarding": "1"})
    await host.set_sysctl(FORWARDING, "0")
    assert await host.routes() == (ADVERTISED,)


async def test_forwarding_everywhere_reports_each_that_changed() -> None:
    host = FakeHostNet([ETH0], [ADVERTISED])
    changes = host.changes()
    await anext(changes)
    host.flip_sysctl(FORWARDING, "1")
    assert await pending(host, changes) == [
        HostChange(ChangeKind.SYSCTL, "all"),
        HostChange(ChangeKind.SYSCTL, "default"),
        HostChange(ChangeKind.SYSCTL, "eth0"),
        HostChange(ChangeKind.ROUTE, "eth0"),
    ]


async def test_denied_writes_change_nothing_until_they_are_permitted() -> None:
    host = FakeHostNet([ETH0])
    host.deny()
    with pytest.raises(HostNetPermissionError, match="read-only"):
        await host.set_sysctl(FORWARDING, "1")
    assert (await host.sysctl(FORWARDING), host.writes) == ("0", [])
    host.permit()
    await host.set_sysctl(FORWARDING, "1")
    assert await host.sysctl(FORWARDING) == "1"


async def test_what_somebody_else_writes_is_not_among_our_writes() -> None:
    host = FakeHostNet([ETH0])
    host.flip_sysctl(FORWARDING, "1")
    assert host.writes == []


async def test_an_overflow_is_a_loss_that_swallows_what_waited() -> None:
    host = FakeHostNet()
    changes = host.changes()
    await anext(changes)
    host.change_firewall("inet dockerv6")
    host.lose_changes()
    assert await pending(host, changes) == [HostChange(ChangeKind.LOST)]


async def test_replacing_an_interface_reports_what_differs() -> None:
    host = FakeHostNet([ETH0])
    changes = host.changes()
    await anext(changes)
    host.add_interface(Interface(2, "eth0", "", up=False, mtu=1500, addresses=ETH0.addresses))
    assert await pending(host, changes) == [HostChange(ChangeKind.LINK, "eth0")]
    host.add_interface(Interface(2, "eth0", "", up=False, mtu=1500))
    assert await pending(host, changes) == [HostChange(ChangeKind.ADDRESS, "eth0")]


async def test_a_bridge_that_goes_releases_its_ports() -> None:
    bridge, veth = Interface(5, "br0", "bridge", up=True, mtu=1500), Interface(6, "veth0", "veth", up=True, mtu=1500)
    host = FakeHostNet([bridge, veth])
    host.enslave("veth0", "br0")
    changes = host.changes()
    await anext(changes)
    host.remove_interface("br0")
    assert await host.interfaces() == (veth,)
    assert await pending(host, changes) == [HostChange(ChangeKind.LINK, "veth0"), HostChange(ChangeKind.LINK, "br0")]


async def test_denied_changes_of_links_and_flows_change_nothing() -> None:
    bridge, veth = Interface(5, "br0", "bridge", up=False, mtu=1500), Interface(6, "veth0", "veth", up=True, mtu=1500)
    host = FakeHostNet([bridge, veth])
    host.enslave("veth0", "br0")
    host.udp_flows = [(ETH0.addresses[0].ip, 53)]
    before = await host.interfaces()
    host.deny("Operation not permitted")
    for attempt in (
        host.set_link_up("br0"),
        host.add_address("br0", ETH0.addresses[0]),
        host.set_hairpin("veth0", on=True),
        host.set_bridge_netfilter("br0", on=True),
        host.delete_udp_flows([53], [ETH0.addresses[0].ip]),
    ):
        with pytest.raises(HostNetPermissionError, match=r"can't .*: Operation not permitted"):
            await attempt
    assert (await host.interfaces(), host.udp_flows) == (before, [(ETH0.addresses[0].ip, 53)])


async def test_sockets_that_close_are_no_listeners_any_more() -> None:
    host = FakeHostNet()
    http, dns = Listener("tcp", ANY, 80), Listener("udp", ANY, 53)
    host.listen(http, dns)
    host.stop_listening(dns)
    assert await host.listeners() == {http}


async def test_a_closed_host_has_no_changes_left() -> None:
    host = FakeHostNet()
    await host.close()
    assert [change async for change in host.changes()] == []
