"""Deletion of UDP flows in the kernel's conntrack: which flows are deleted, and where later packets go."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.hostnet import conntrack
from dockerv6.lib.netlink import NETLINK_NETFILTER, command_each, stream
from tests.host.network import ip, nft, private_network, set_sysctl
from tests.host.topology import endpoint, exchange, first_datagram, received

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.namespace import Namespace

HOST, OLD, NEW, CLIENT = "2001:db8::1", "fd12:3456:789a:1::2", "fd12:3456:789a:1::3", "2001:db8::2"
PUBLISHED, RESOLVER = 8080, "2001:db8:53::53"
OWN, LOOPBACK = (IPv6Address("::1"), IPv6Address(HOST)), (IPv6Address("::1"),)
TRACK = "table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }"
ZONES = {
    "no zone": "",
    "a zone": "ct zone set 7;",
    "a zone of the original direction": "iifname eth0 ct original zone set 7;",
}


def publish(target: str) -> str:
    """A transaction that publishes the port to this address."""
    return (
        "add table ip6 nat; delete table ip6 nat;"
        "table ip6 nat { chain in { type nat hook prerouting priority -101;"
        f" ip6 daddr {HOST} udp dport {PUBLISHED} dnat to {target}; }}; }}"
    )


@pytest.fixture
def client_and_containers(inside_netns: Namespace, make_netns: Callable[[], Namespace]) -> tuple[Namespace, Namespace]:
    """Two namespaces with the test as the router between them. The second one has the addresses of two containers."""
    assert inside_netns
    client, containers = make_netns(), make_netns()
    set_sysctl("net/ipv6/conf/all/forwarding", "1")
    for link, inside, own, theirs in (
        ("eth0", client, HOST, (CLIENT,)),
        ("br0", containers, "fd12:3456:789a:1::1", (OLD, NEW)),
    ):
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", inside.name)
        ip("address", "add", f"{own}/64", "dev", link, "nodad")
        ip("link", "set", link, "up")
        for address in theirs:
            inside.exec("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        inside.exec("ip", "link", "set", "eth0", "up")
        inside.exec("ip", "-6", "route", "add", "default", "via", own)
        inside.exec("ping", "-6", "-q", "-c", "1", "-w", "10", own)
    return client, containers


@pytest.mark.parametrize("zone", ZONES)
def test_a_flow_goes_to_the_new_container_only_after_it_was_deleted(
    client_and_containers: tuple[Namespace, Namespace], zone: str
) -> None:
    outside, containers = client_and_containers
    nft(f"table ip6 raw {{ chain z {{ type filter hook prerouting priority -300; {ZONES[zone]} }}; }}")
    nft(publish(OLD))
    with (
        endpoint(containers, OLD, PUBLISHED) as old,
        endpoint(containers, NEW, PUBLISHED) as new,
        endpoint(outside, CLIENT) as client,
    ):
        assert first_datagram("first", client, (HOST, PUBLISHED), old) == ("first", CLIENT)
        nft(publish(NEW))
        client.sendto(b"second", (HOST, PUBLISHED))
        assert received(old) == ("second", CLIENT)
        assert conntrack.delete_udp_flows([PUBLISHED], OWN) == 1
        client.sendto(b"third", (HOST, PUBLISHED))
        assert received(new) == ("third", CLIENT)
        assert conntrack.delete_udp_flows([PUBLISHED], OWN) == 1


def test_dns_queries_of_containers_continue_when_port_53_of_the_host_is_published(
    client_and_containers: tuple[Namespace, Namespace],
) -> None:
    outside, containers = client_and_containers
    outside.exec("ip", "address", "add", f"{RESOLVER}/128", "dev", "lo", "nodad")
    ip("-6", "route", "add", RESOLVER, "via", CLIENT)
    nft("table ip6 nat { chain out { type nat hook postrouting priority 99; oifname eth0 masquerade; }; }")
    with (
        endpoint(containers, OLD, 5353) as asking,
        endpoint(outside, RESOLVER, 53) as world,
        endpoint(outside, CLIENT) as client,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as of_host,
    ):
        of_host.settimeout(30)
        of_host.bind((HOST, 53))
        assert (exchange(asking, world), exchange(client, of_host)) == (HOST, CLIENT)
        assert conntrack.delete_udp_flows([53], OWN) == 1
        world.sendto(b"a late answer", (HOST, 5353))
        assert received(asking) == ("a late answer", RESOLVER)


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    """A UDP socket in a namespace with connection tracking of packets to ::1."""
    with private_network():
        ip("link", "set", "lo", "up")
        nft(TRACK)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
            opened.bind(("::1", 40000))
            yield opened


def tracked() -> list[tuple[str, str, int]]:
    """Family, protocol and original destination port of every entry."""
    lines = Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines()
    rows = [line.split() for line in lines]
    return sorted((row[0], row[2], next(int(word[6:]) for word in row if word.startswith("dport="))) for row in rows)


def test_flows_of_other_protocols_and_of_ipv4_are_kept(sender: socket.socket) -> None:
    sender.sendto(b"hello", ("::1", 5000))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("::1", 5000), family=socket.AF_INET6))
        stack.enter_context(socket.create_connection(("::1", 5000)))
        stack.enter_context(listener.accept()[0])
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).sendto(b"hello", ("127.0.0.1", 5000))
        others = [("ipv4", "udp", 5000), ("ipv6", "tcp", 5000)]
        assert tracked() == sorted([*others, ("ipv6", "udp", 5000)])
        assert conntrack.delete_udp_flows([5000], LOOPBACK) == 1
        assert tracked() == others


def test_a_reply_does_not_count_as_a_flow_to_its_port(sender: socket.socket) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 5000))
        sender.sendto(b"hello", ("::1", 5000))
        server.sendto(b"answer", server.recvfrom(100)[1])
        assert received(sender) == ("answer", "::1")
    assert conntrack.delete_udp_flows([40000], LOOPBACK) == 0
    assert conntrack.delete_udp_flows([5000], LOOPBACK) == 1


@pytest.mark.parametrize("count", [3, 300])
def test_many_flows_are_deleted_completely(sender: socket.socket, count: int) -> None:
    for port in range(5000, 5400):
        sender.sendto(b"hello", ("::1", port))
    assert conntrack.delete_udp_flows(range(5050, 5050 + count), LOOPBACK) == count
    assert len(tracked()) == 400 - count


def test_flows_that_ended_in_the_meantime_are_not_counted(sender: socket.socket) -> None:
    for port in (5000, 5001):
        sender.sendto(b"hello", ("::1", port))
    identities = [conntrack._identity(*entry) for entry in stream(NETLINK_NETFILTER, 0x101, conntrack._udp_request())]
    assert len(identities) == 2
    assert command_each(NETLINK_NETFILTER, 0x102, identities * 100, tolerated=errno.ENOENT) == 2
    assert tracked() == []


def test_other_errors_are_raised(sender: socket.socket) -> None:
    sender.sendto(b"hello", ("::1", 5000))
    (identity,) = (conntrack._identity(*entry) for entry in stream(NETLINK_NETFILTER, 0x101, conntrack._udp_request()))
    with pytest.raises(FileNotFoundError):
        command_each(NETLINK_NETFILTER, 0x102, [identity] * 3, tolerated=errno.EBUSY)
    assert tracked() == []
