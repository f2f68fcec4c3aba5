"""Bridges and their ports with real packets: hairpin, what a packet filter sees of a bridge, disputed addresses."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Interface
from typing import TYPE_CHECKING

import pytest

from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.model import BridgePort, ChangeKind, HostChange
from tests.host.network import ip, nft, set_sysctl
from tests.host.topology import endpoint, exchange, received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.lab.namespace import Namespace

BRIDGE, HOST = "fd12:3456:789a:1::1", "2001:db8::1"
BLOG, SHOP = "fd12:3456:789a:1::2", "fd12:3456:789a:1::3"
PUBLISHED, SERVED = 8080, 80

PUBLISH = f"""
table ip6 nat {{
  chain in {{
    type nat hook prerouting priority -101;
    ip6 daddr {HOST} udp dport {PUBLISHED} dnat to [{BLOG}]:{SERVED};
  }};
  chain out {{ type nat hook postrouting priority 99; ip6 saddr {BLOG} ip6 daddr {BLOG} masquerade; }};
}}
"""
DROP = "table ip6 filter { chain f { type filter hook forward priority 0; udp sport 7777 drop; }; }"


@pytest.fixture
async def host(inside_netns: Namespace) -> AsyncIterator[LinuxHostNet]:
    """The host that the test runs on: br0, and an address that br0 does not have."""
    assert inside_netns
    set_sysctl("net/ipv6/conf/all/forwarding", "1")
    set_sysctl("net/bridge/bridge-nf-call-ip6tables", "0")
    ip("address", "add", f"{HOST}/128", "dev", "lo", "nodad")
    ip("link", "add", "br0", "type", "bridge")
    ip("address", "add", f"{BRIDGE}/64", "dev", "br0", "nodad")
    ip("link", "set", "br0", "up")
    made = LinuxHostNet()
    yield made
    await made.close()


@pytest.fixture
def join(host: LinuxHostNet, make_netns: Callable[[], Namespace]) -> Callable[[str, str], Namespace]:
    """Make a container with an address behind a port of br0; returned once packets pass."""
    assert host

    def made(port: str, address: str) -> Namespace:
        container = make_netns()
        ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", container.name)
        ip("link", "set", port, "master", "br0", "up")
        container.exec("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        container.exec("ip", "link", "set", "eth0", "up")
        container.exec("ip", "-6", "route", "add", "default", "via", BRIDGE)
        container.exec("ping", "-6", "-q", "-c", "1", "-w", "10", BRIDGE)
        return container

    return made


async def test_with_hairpin_a_container_reaches_itself_through_the_hosts_address(
    host: LinuxHostNet, join: Callable[[str, str], Namespace]
) -> None:
    blog = join("veth0", BLOG)
    set_sysctl("net/bridge/bridge-nf-call-ip6tables", "1")
    nft(PUBLISH)
    with endpoint(blog, BLOG, SERVED) as server, endpoint(blog, BLOG) as client:
        client.sendto(b"without", (HOST, PUBLISHED))
        _pass_after(client)
        await host.set_hairpin("veth0", on=True)
        client.sendto(b"with", (HOST, PUBLISHED))
        text, source = server.recvfrom(100)
        assert text == b"with"
        server.sendto(b"answer", source)
        assert received(client) == ("answer", HOST)


def _pass_after(client: socket.socket) -> None:
    """Wait until the client's earlier packets have been handled: a later one came through."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as of_host:
        of_host.bind((HOST, 0))
        of_host.settimeout(30)
        exchange(client, of_host)


async def test_a_filter_sees_bridged_packets_with_nf_call_ip6tables(
    host: LinuxHostNet, join: Callable[[str, str], Namespace]
) -> None:
    blog, shop = join("veth0", BLOG), join("veth1", SHOP)
    nft(DROP)
    with endpoint(shop, SHOP) as server, endpoint(blog, BLOG, 7777) as unwanted, endpoint(blog, BLOG) as other:
        assert exchange(unwanted, server) == BLOG
        await host.set_bridge_netfilter("br0", on=True)
        unwanted.sendto(b"filtered", server.getsockname())
        assert exchange(other, server, "not filtered") == BLOG
        await host.set_bridge_netfilter("br0", on=False)
        assert exchange(unwanted, server, "bridged again") == BLOG


async def test_settings_are_shown_by_ip(host: LinuxHostNet, join: Callable[[str, str], Namespace]) -> None:
    join("veth0", BLOG)
    for on, word, digit in ((True, "on", "1"), (False, "off", "0")):
        await host.set_hairpin("veth0", on=on)
        await host.set_bridge_netfilter("br0", on=on)
        assert f"hairpin {word}" in ip("-d", "link", "show", "veth0")
        assert f"nf_call_ip6tables {digit}" in ip("-d", "link", "show", "br0")


async def test_changes_by_others_are_announced(host: LinuxHostNet, join: Callable[[str, str], Namespace]) -> None:
    join("veth0", BLOG)
    for word, digit, expected in (("on", "1", True), ("off", "0", False)):
        ip("link", "set", "veth0", "type", "bridge_slave", "hairpin", word)
        ip("link", "set", "br0", "type", "bridge", "nf_call_ip6tables", digit)
        found = {interface.name: interface for interface in await host.interfaces()}
        assert found["veth0"].bridge_port == BridgePort(hairpin=expected)
        assert found["br0"].bridge_netfilter is expected


async def test_settings_of_another_bridge_or_port_stay(
    host: LinuxHostNet, join: Callable[[str, str], Namespace]
) -> None:
    join("veth0", BLOG)
    isolated = ("type", "bridge_slave", "isolated", "on", "learning", "off")
    ip("link", "set", "veth0", *isolated)
    ip("link", "set", "br0", "type", "bridge", "forward_delay", "400", "nf_call_iptables", "1")
    await host.set_hairpin("veth0", on=True)
    await host.set_bridge_netfilter("br0", on=True)
    port, bridge = ip("-d", "link", "show", "veth0"), ip("-d", "link", "show", "br0")
    assert "isolated on" in port
    assert "learning off" in port
    assert "forward_delay 400" in bridge
    assert "nf_call_iptables 1" in bridge
    assert "state UP" in bridge


async def test_a_duplicate_address_stays_tentative_and_is_reported(host: LinuxHostNet) -> None:
    address = IPv6Interface("2001:db8:7::1/64")
    ip("link", "add", "veth0", "type", "veth", "peer", "name", "other0")
    ip("address", "add", str(address), "dev", "other0", "nodad")
    ip("address", "add", str(address), "dev", "veth0")
    ip("link", "set", "other0", "up")
    changes = host.changes()
    assert await anext(changes) == HostChange(ChangeKind.LOST)
    ip("link", "set", "veth0", "up")
    while "dadfailed" not in ip("address", "show", "dev", "veth0"):
        while (await anext(changes)) != HostChange(ChangeKind.ADDRESS, "veth0"):
            pass
    found = {interface.name: interface for interface in await host.interfaces()}
    assert found["veth0"].addresses == (address,)
    assert found["veth0"].tentative == found["veth0"].dad_failed == {IPv6Address("2001:db8:7::1")}
    assert found["other0"].tentative == found["other0"].dad_failed == frozenset()


async def test_a_gateway_address_that_a_container_claims_is_restored(
    host: LinuxHostNet, make_netns: Callable[[], Namespace]
) -> None:
    rogue, gateway = make_netns(), IPv6Interface("fd12:3456:789a:7::1/64")
    ip("link", "add", "br1", "type", "bridge")
    ip("link", "add", "veth0", "type", "veth", "peer", "name", "eth0", "netns", rogue.name)
    ip("link", "set", "veth0", "master", "br1", "up")
    rogue.exec("ip", "address", "add", str(gateway), "dev", "eth0", "nodad")
    rogue.exec("ip", "address", "add", "fd12:3456:789a:7::2/64", "dev", "eth0", "nodad")
    rogue.exec("ip", "link", "set", "eth0", "up")
    changes = host.changes()
    assert await anext(changes) == HostChange(ChangeKind.LOST)
    ip("link", "set", "br1", "up")
    ip("address", "add", str(gateway), "dev", "br1")
    while "dadfailed" not in ip("address", "show", "dev", "br1"):
        while (await anext(changes)) != HostChange(ChangeKind.ADDRESS, "br1"):
            pass
    await host.add_address("br1", gateway)
    found = next(interface for interface in await host.interfaces() if interface.name == "br1")
    assert (found.addresses, found.tentative, found.dad_failed) == ((gateway,), frozenset(), frozenset())
    rogue.exec("ip", "address", "del", str(gateway), "dev", "eth0")
    rogue.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(gateway.ip))
