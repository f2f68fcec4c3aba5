"""NDP proxy entries with real packets, for a container's address in the /64 of the uplink.

    neighbour --- wan0  host  br0 --- container

The neighbour has only the on-link route, so it solicits the container's address on the link.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.model import ProxyNeighbour, interface_sysctl
from tests.host.network import ip, set_sysctl
from tests.lab.namespace import Namespace

HOST, NEIGHBOUR = IPv6Address("2001:db8:5::1"), IPv6Address("2001:db8:5::2")
GATEWAY, CONTAINER = IPv6Address("2001:db8:5:0:1::1"), IPv6Address("2001:db8:5:0:1::c")
OTHER = IPv6Address("2001:db8:5:0:1::d")
PROXY_NDP = interface_sysctl("wan0", "proxy_ndp")
FORWARDING = interface_sysctl("all", "forwarding")

SOLICITATION, ADVERTISEMENT = 135, 136
TIMEOUT = 30.0
"""Seconds to wait for expected packets."""


@pytest.fixture
async def host(inside_netns: Namespace, neighbour: Namespace, container: Namespace) -> AsyncIterator[LinuxHostNet]:
    """The host, whose namespace the test runs in, with forwarding on."""
    for name in ("all", "default"):
        inside_netns.exec("sysctl", "-q", "-w", f"net.ipv6.conf.{name}.accept_dad=0")
    join("wan0", neighbour, f"{HOST}/64", f"{NEIGHBOUR}/64")
    # advertisements in the order of the solicitations: by default those for proxy entries wait up to 0.8 s
    set_sysctl("net/ipv6/neigh/wan0/proxy_delay", "0")
    join("br0", container, f"{GATEWAY}/80", f"{CONTAINER}/80")
    container.exec("ip", "-6", "route", "add", "default", "via", str(GATEWAY))
    # the kernel adds this route itself, shortly after the link has a carrier
    neighbour.exec(*["ip", "-6", "route", "add", "multicast", "ff00::/8", "dev", "eth0", "table", "local"])
    made = LinuxHostNet()
    await made.set_sysctl(FORWARDING, "1")
    neighbour.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(HOST))
    yield made
    await made.close()


@pytest.fixture
def neighbour(make_netns: Callable[[], Namespace]) -> Namespace:
    return make_netns()


@pytest.fixture
def container(make_netns: Callable[[], Namespace]) -> Namespace:
    return make_netns()


def join(link: str, far: Namespace, here: str, there: str) -> None:
    """Connect the host to a namespace, in which the link is named eth0."""
    ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", far.name)
    ip("address", "add", here, "dev", link, "nodad")
    ip("link", "set", link, "up")
    far.exec("ip", "address", "add", there, "dev", "eth0", "nodad")
    far.exec("ip", "link", "set", "eth0", "up")


def solicit(sender: socket.socket, target: IPv6Address) -> None:
    """Send a neighbour solicitation (RFC 4861, 4.3 and 7.2.2)."""
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + target.packed[13:])
    message = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + target.packed
    sender.sendto(message, (str(group), 0, 0, socket.if_nametoindex("eth0")))


def answered(neighbour: Namespace, target: IPv6Address) -> bool:
    """Whether the host answers a solicitation for an address, before it answers the next one for its own."""
    with neighbour.entered():
        sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        with sender:
            sender.settimeout(TIMEOUT)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sender.bind((str(NEIGHBOUR), 0))
            solicit(sender, target)
            solicit(sender, HOST)
            advertised: list[IPv6Address] = []
            while HOST not in advertised:
                message = sender.recv(100)
                if message[0] == ADVERTISEMENT:
                    advertised.append(IPv6Address(message[8:24]))
    return target in advertised


async def test_a_neighbour_reaches_a_container_only_with_an_entry(
    host: LinuxHostNet, neighbour: Namespace, container: Namespace
) -> None:
    await host.set_sysctl(PROXY_NDP, "1")
    assert not answered(neighbour, CONTAINER)
    await host.add_proxy_neighbour("wan0", CONTAINER)
    assert answered(neighbour, CONTAINER)
    neighbour.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(CONTAINER))
    container.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(NEIGHBOUR))
    await host.remove_proxy_neighbour("wan0", CONTAINER)
    assert not answered(neighbour, CONTAINER)


async def test_addresses_without_an_entry_are_not_answered_for(host: LinuxHostNet, neighbour: Namespace) -> None:
    await host.set_sysctl(PROXY_NDP, "1")
    await host.add_proxy_neighbour("wan0", CONTAINER)
    assert not answered(neighbour, OTHER)


@pytest.mark.parametrize("key", [PROXY_NDP, FORWARDING])
async def test_an_entry_needs_proxy_ndp_and_forwarding(host: LinuxHostNet, neighbour: Namespace, key: str) -> None:
    await host.set_sysctl(PROXY_NDP, "1")
    await host.add_proxy_neighbour("wan0", CONTAINER)
    await host.set_sysctl(key, "0")
    assert not answered(neighbour, CONTAINER)
    await host.set_sysctl(key, "1")
    assert answered(neighbour, CONTAINER)


async def test_an_entry_that_was_deleted_with_the_link_works_after_it_is_added_again(
    host: LinuxHostNet, neighbour: Namespace
) -> None:
    await host.set_sysctl(PROXY_NDP, "1")
    await host.add_proxy_neighbour("wan0", CONTAINER)
    ip("link", "set", "wan0", "down")
    assert await host.proxy_neighbours() == frozenset()
    ip("link", "set", "wan0", "up")
    ip("address", "replace", f"{HOST}/64", "dev", "wan0", "nodad")
    await host.add_proxy_neighbour("wan0", CONTAINER)
    neighbour.exec("ping", "-6", "-q", "-c", "1", "-w", "10", str(HOST))
    assert answered(neighbour, CONTAINER)


async def test_an_entry_with_another_protocol_is_not_ours_and_stays_as_it_is(host: LinuxHostNet) -> None:
    ip("neigh", "add", "proxy", str(CONTAINER), "dev", "wan0", "protocol", "77")
    await host.add_proxy_neighbour("wan0", CONTAINER)
    assert await host.proxy_neighbours() == {ProxyNeighbour("wan0", CONTAINER, ours=False)}
    assert "proto 77" in ip("neigh", "show", "proxy")


async def test_ordinary_neighbours_and_ipv4_entries_are_left_out(host: LinuxHostNet, inside_netns: Namespace) -> None:
    ip("neigh", "replace", str(OTHER), "lladdr", "02:00:00:00:00:01", "dev", "br0")
    inside_netns.exec("ip", "-4", "neigh", "add", "proxy", "192.0.2.1", "dev", "wan0")
    assert await host.proxy_neighbours() == frozenset()


async def test_a_dump_of_several_datagrams_is_complete(host: LinuxHostNet) -> None:
    added = {IPv6Address(int(GATEWAY) + number) for number in range(2, 1502)}
    ip(batch="".join(f"neigh add proxy {address} dev wan0 protocol 166\n" for address in added))
    assert await host.proxy_neighbours() == {ProxyNeighbour("wan0", address, ours=True) for address in added}
