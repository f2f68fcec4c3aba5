"""Probes between real namespaces: what routers and firewalls answer, and what a namespace for the outside leaves."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.probe.attempts import ProbeOutcome, Prober
from tests.lab.process import as_nobody, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_ELSEWHERE = IPv6Address("2001:db8:9::1")
_JOIN = (
    "from dockerv6.hostnet.namespaces import NetworkNamespace\n"
    "namespace = NetworkNamespace.create()\n"
    "print(namespace.join()[0], flush=True)\n"
    "input()\n"
)


def _host_socket(family: int, kind: int, protocol: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)


def _links(netns: Namespace) -> set[str]:
    return {each["ifname"] for each in json.loads(netns.exec("ip", "-json", "link").stdout)}


def _await_only_loopback(netns: Namespace) -> None:
    """The kernel removes a namespace some time after its last user has gone."""
    deadline = time.monotonic() + 60
    while _links(netns) != {"lo"} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _links(netns) == {"lo"}


@pytest.fixture
def outside(inside_netns: Namespace) -> Iterator[tuple[Prober, IPv6Address]]:
    """A prober in a namespace that stands for the outside, and the address of the test's host."""
    assert inside_netns
    namespace = NetworkNamespace.create()
    name, host, client = namespace.join()
    assert client in IPv6Network(f"{host}/64", strict=False)
    yield Prober(namespace.open_socket, name), host
    namespace.close()


def test_the_host_is_reached_and_nothing_of_it_is_changed(inside_netns: Namespace) -> None:
    def state() -> tuple[str, str]:
        sysctls = inside_netns.exec("sysctl", "-a", "--pattern", r"^net\.ipv[46]\.(conf\.(all|default)|ip_forward)")
        return sysctls.stdout, inside_netns.exec("nft", "list", "ruleset").stdout

    before = state()
    namespace = NetworkNamespace.create()
    name, host, _ = namespace.join()
    assert _links(inside_netns) == {"lo", name}
    outcome = asyncio.run(Prober(namespace.open_socket, name).ping(host))
    assert outcome.passed, outcome.message
    assert state() == before
    namespace.close()
    _await_only_loopback(inside_netns)


def test_a_killed_process_leaves_nothing(inside_netns: Namespace) -> None:
    process = inside_netns.popen([sys.executable, "-c", _JOIN])
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in _links(inside_netns)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    finally:
        end(process)
    _await_only_loopback(inside_netns)


def test_a_connection_is_accepted_refused_or_lost(outside: tuple[Prober, IPv6Address], inside_netns: Namespace) -> None:
    prober, host = outside
    with socket.create_server(("::", 8080), family=socket.AF_INET6):
        accepted = asyncio.run(prober.connect(host, 8080))
        itself = asyncio.run(prober.connect(host, 8080, hops=1))
    assert accepted.passed
    assert itself.passed
    refused = asyncio.run(prober.connect(host, 8081))
    assert (refused.passed, refused.reset) == (False, True)
    inside_netns.exec("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    inside_netns.exec("nft", "add rule inet t c tcp dport 8082 drop")
    lost = asyncio.run(prober.connect(host, 8082))
    assert (lost.passed, lost.rejected) == (False, False)
    assert lost.message.endswith("nothing came back")


@pytest.mark.parametrize(
    ("reject", "words"),
    [
        ("admin-prohibited", "administratively prohibited"),
        ("no-route", "no route"),
        ("port-unreachable", "port unreach"),
    ],
)
def test_a_firewalls_answer_is_reported_for_pings_and_connections(
    outside: tuple[Prober, IPv6Address], inside_netns: Namespace, reject: str, words: str
) -> None:
    prober, host = outside
    inside_netns.exec("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    for match in ("icmpv6 type echo-request", "tcp dport 8080"):
        inside_netns.exec("nft", f"add rule inet t c {match} reject with icmpv6 {reject}")
    for outcome in (asyncio.run(prober.ping(host)), asyncio.run(prober.connect(host, 8080))):
        assert not outcome.passed
        assert outcome.rejected
        assert f"{host} answers: {words}" in outcome.message
        assert not outcome.reset


def test_a_router_answers_where_the_hop_limit_ends(
    outside: tuple[Prober, IPv6Address], inside_netns: Namespace
) -> None:
    prober, host = outside
    inside_netns.exec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    unrouted = asyncio.run(prober.ping(_ELSEWHERE))
    assert not unrouted.passed
    assert f"{host} answers: no route to destination" in unrouted.message
    assert asyncio.run(prober.ping(_ELSEWHERE, hops=1)).passed
    near = Prober(prober._open, prober.origin, {str(host)})
    assert not asyncio.run(near.ping(_ELSEWHERE, hops=1)).passed
    commands = f"link add far0 up type veth peer name far1\nlink set far1 up\nroute add {_ELSEWHERE} dev far0\n"
    inside_netns.exec("ip", "-batch", "-", stdin=commands)
    ended = asyncio.run(prober.ping(_ELSEWHERE, hops=1))
    assert ended.passed
    assert f"{host} answers: time exceeded" in ended.message
    assert not asyncio.run(prober.connect(_ELSEWHERE, 80, hops=1)).passed


def test_an_error_is_reported_for_the_connection_that_it_is_about(
    outside: tuple[Prober, IPv6Address], inside_netns: Namespace
) -> None:
    prober, host = outside
    inside_netns.exec("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    inside_netns.exec("nft", "add rule inet t c tcp dport 8080 reject with icmpv6 admin-prohibited")

    async def both() -> list[ProbeOutcome]:
        return list(await asyncio.gather(prober.connect(host, 8080), prober.connect(host, 8081)))

    prohibited, refused = asyncio.run(both())
    assert "administratively prohibited" in prohibited.message
    assert refused.reset


def test_a_black_hole_is_distinguished_from_a_target_that_answers_small_packets_only(
    outside: tuple[Prober, IPv6Address], inside_netns: Namespace
) -> None:
    prober, host = outside
    assert asyncio.run(prober.path_mtu(host, 1500)).passed
    inside_netns.exec("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    inside_netns.exec("nft", "add rule inet t c meta length > 1400 drop")
    assert not asyncio.run(prober.path_mtu(host, 1500)).passed
    inside_netns.exec("nft", "add rule inet t c meta length > 1000 drop")
    small = asyncio.run(prober.path_mtu(host, 1500))
    assert small.passed
    assert "not tested" in small.message


def test_without_a_route_nothing_is_sent(inside_netns: Namespace) -> None:
    assert inside_netns
    prober = Prober(_host_socket, "this host")
    for outcome in (asyncio.run(prober.ping(_ELSEWHERE)), asyncio.run(prober.connect(_ELSEWHERE, 80))):
        assert "no route to it" in outcome.message
        assert outcome.rejected
    resolved, addresses = asyncio.run(prober.resolve(_ELSEWHERE, "www.example.org"))
    assert (resolved.passed, addresses) == (False, ())


def test_a_resolver_with_a_zone_is_asked_through_that_interface_of_the_sockets_namespace(
    inside_netns: Namespace,
) -> None:
    namespace = NetworkNamespace.create()
    host_end, _, _ = namespace.join()
    inside_netns.exec("ip", "-6", "address", "add", "fe80::53/64", "dev", host_end, "nodad")
    add = ("ip", "-6", "address", "add", "fe80::54/64", "dev", "uplink", "nodad")
    namespace.run(lambda: subprocess.run(add, check=True))
    prober = Prober(namespace.open_socket, "client")
    for zone in ("uplink", namespace.run(lambda: socket.if_nametoindex("uplink"))):
        outcome, _ = asyncio.run(prober.resolve(IPv6Address(f"fe80::53%{zone}"), "www.example.org"))
        assert "refused" in outcome.message  # it got there, and nothing listens
    here = Prober(_host_socket, "this host")
    for missing in ("uplink", "9" * 5000):
        outcome, _ = asyncio.run(here.resolve(IPv6Address(f"fe80::53%{missing}"), "www.example.org"))
        assert "No such device" in outcome.message
    namespace.close()


def test_another_user_can_not_enter_a_namespace(inside_netns: Namespace) -> None:
    program = (
        "from dockerv6.hostnet.namespaces import NetworkNamespace\n"
        "try:\n    NetworkNamespace.create()\nexcept PermissionError as error:\n    print(error.strerror)\n"
    )
    argv = inside_netns.enter(as_nobody([sys.executable, "-c", program]))
    shown = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Operation not permitted" in shown.stdout, shown.stderr
