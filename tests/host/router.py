"""The router with the real firewall and host filter, and sockets to check which packets pass."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import DEFAULT_MARK, FirewallIntent
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.render import render
from tests.host.topology import answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from ipaddress import IPv6Address

    from dockerv6.firewall.model import NetworkIntent, PortIntent
    from dockerv6.firewall.port import FirewallBackend
    from tests.host.topology import Topology
    from tests.lab.namespace import Namespace

_CLOSED_FIRST = "the first that comes through"
_TIMEOUT = 30.0
"""Seconds to wait for what must come; nothing is ever waited for that must not come."""

nftables_only = pytest.mark.parametrize("backend", ["nftables"], indirect=True)
"""For what iptables-legacy can't do: see `UNSUPPORTED_CHAINS` there."""

iptables_only = pytest.mark.parametrize("backend", ["iptables"], indirect=True)


class Router:
    """The topology's router."""

    def __init__(self, topology: Topology, session: NftSession, backend: str) -> None:
        self.topology = topology
        self.firewall: FirewallBackend = IptablesFirewall() if backend == "iptables" else NftablesFirewall(session)
        self.filter = LinuxHostFilter(session)

    async def want(
        self,
        *networks: NetworkIntent,
        ports: tuple[PortIntent, ...] = (),
        uplink_bridges: tuple[str, ...] = (),
        guest_bridges: tuple[str, ...] | None = None,
        host_addresses: tuple[IPv6Address, ...] = (),
    ) -> None:
        if guest_bridges is None and not self.firewall.matches_link_kinds:
            guest_bridges = self._guest_bridges(uplink_bridges)
        intent = FirewallIntent(
            networks,
            uplink_bridges=uplink_bridges,
            ports=ports,
            guest_bridges=guest_bridges,
            host_addresses=host_addresses,
        )
        desired = render(intent)
        assert await self.firewall.apply(diff(desired, await self.firewall.observe())) == desired

    def _guest_bridges(self, uplink_bridges: tuple[str, ...]) -> tuple[str, ...]:
        listed = self.topology.router.exec("ip", "-oneline", "link", "show", "type", "bridge").stdout.splitlines()
        return tuple(sorted({line.split(": ")[1] for line in listed} - set(uplink_bridges)))

    def stop_translating(self) -> None:
        """Remove our translations from the kernel."""
        if self.firewall.backend == "iptables":
            self.ip6tables("legacy", "-t", "nat", "-F", "PREROUTING")
        else:
            self.topology.router.exec("nft", "delete chain inet dockerv6 prerouting")

    async def admit(self) -> None:
        (drop,) = (await self.filter.observe(DEFAULT_MARK)).forward_drops
        await self.filter.add_accept_rule(drop, DEFAULT_MARK)

    async def drop_all_but_ours(self, variant: str = "nft") -> None:
        """Add a host filter that drops forwarded packets without our mark."""
        self.drop_by_default(variant)
        await self.admit()

    def ip6tables(self, variant: str, *arguments: str) -> None:
        self.topology.router.exec(f"ip6tables-{variant}", "-w", *arguments)

    def drop_by_default(self, variant: str) -> None:
        self.ip6tables(variant, "-P", "FORWARD", "DROP")

    def sysctl(self, name: str, value: int) -> None:
        self.topology.router.exec("sysctl", "-q", "-w", f"{name}={value}")

    def counters(self) -> dict[str, int]:
        listed = json.loads(self.topology.router.exec("nft", "-j", "list", "counters").stdout)["nftables"]
        return {item["counter"]["name"]: item["counter"]["packets"] for item in listed if "counter" in item}


async def opened(topology: Topology, backend: str) -> AsyncIterator[Router]:
    with topology.router.entered():
        session = NftSession()
        router = Router(topology, session, backend)
        await router.firewall.observe()
        await router.filter.observe(DEFAULT_MARK)  # starts their threads in this namespace
    yield router
    await session.close()


@contextmanager
def listener(namespace: Namespace, address: str, port: int) -> Iterator[socket.socket]:
    """A listening TCP socket in a namespace."""
    with namespace.entered():
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with made:
        made.settimeout(_TIMEOUT)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
        yield made


def call(
    namespace: Namespace,
    address: tuple[str, int] | tuple[str, int, int, int],
    server: socket.socket,
    text: str = "hello",
) -> str:
    """Connect from a namespace to an address, and exchange data with the expected server.

    Return the client's address as the server saw it. The kernel completes the handshake, so no other thread is needed.
    """
    with ExitStack() as stack:
        with namespace.entered():
            client = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        client.settimeout(_TIMEOUT)
        client.connect(address)
        client.sendall(text.encode())
        accepted, source = server.accept()
        stack.enter_context(accepted)
        accepted.settimeout(_TIMEOUT)
        assert accepted.recv(100).decode() == text
        accepted.sendall(b"answer")
        assert client.recv(100) == b"answer"
        return str(source[0])


def ask(sender: socket.socket, address: tuple[str, int], receiver: socket.socket, text: str = "hello") -> str:
    """Exchange one datagram with the expected receiver through an address; return the source that the receiver saw.

    The answer must arrive from the address to which the request was sent.
    """
    sender.sendto(text.encode(), address)
    got, source = receiver.recvfrom(100)
    assert got.decode() == text, "something came through before"
    assert answer(receiver, source, sender) == address
    return str(source[0])


def reaches(sender: socket.socket, receiver: socket.socket, through: socket.socket, address: str | None = None) -> bool:
    """Whether a datagram to the receiver's own address, or to `address`, arrives.

    A second datagram that is known to arrive is sent after it, so that no timeout is needed.
    """
    host, port = receiver.getsockname()[:2]
    sender.sendto(b"attempt", (address or host, port))
    through.sendto(_CLOSED_FIRST.encode(), (host, port))
    first = receiver.recv(100).decode()
    if first == _CLOSED_FIRST:
        return False
    assert (first, receiver.recv(100).decode()) == ("attempt", _CLOSED_FIRST)
    return True
