"""A host with an uplink to a provider, for networks that are routed or translated to the provider's prefix.

The lab's neighbour is unplugged meanwhile. `Premises.delegate_prefix` configures the host as a DHCPv6 client does with
a delegated prefix (RFC 8415, 6.3; RFC 7084, WPD-5): an unreachable route for the whole prefix, and an address of its
second /64 on the LAN.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster import eventually, network_yaml, pool_yaml
from tests.e2e.site import Site
from tests.lab.net import receive, tcp_stream
from tests.lab.probe import PATIENCE, Port, assert_closed, reach
from tests.lab.process import CommandFailedError
from tests.lab.provider import ROUTER, SERVER, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.lab.net import Tally, Traffic
    from tests.lab.probe import Place

UPLINK = "wan0"
LAN = "lan0"
_STREAM_PORT = 7001


@dataclass(frozen=True, slots=True)
class Premises(Site):
    """A host with an uplink to a provider, an engine and an operator."""

    provider: Provider

    @property
    def router(self) -> Place:
        """The provider's router, a neighbour on the uplink."""
        return self.provider.router.path

    @property
    def internet(self) -> Place:
        """A server on the Internet."""
        return self.provider.server.path

    def ip(self, *arguments: str) -> str:
        """Run `ip -6` on the host."""
        return self.engine.netexec("ip", "-6", *arguments).stdout

    def configure_static_uplink(self, prefix: str, uplink: str = UPLINK) -> str:
        """Give the uplink the second address of an on-link prefix, and the default route; return the address."""
        self.provider.put_on_link(prefix)
        network = IPv6Network(prefix)
        self.ip("address", "add", f"{network[2]}/{network.prefixlen}", "dev", uplink, "nodad")
        self.ip("route", "add", "default", "via", ROUTER, "dev", uplink)
        return str(network[2])

    def add_default_route(self) -> None:
        """Add only the default route: the uplink has no global address, as with many providers."""
        self.ip("route", "add", "default", "via", ROUTER, "dev", UPLINK)

    def delegate_prefix(self, prefix: str, *, valid: int | None = None) -> None:
        """Configure a prefix that the provider delegates to the host, for `valid` seconds or without limit."""
        self.provider.delegate(prefix)
        if LAN not in self.ip("-br", "link"):
            self.ip("link", "add", LAN, "type", "veth", "peer", "name", LAN, "netns", self.provider.server.name)
            self.provider.server.exec("ip", "link", "set", LAN, "up")
            self.ip("link", "set", LAN, "up")
        lifetimes = () if valid is None else ("valid_lft", str(valid), "preferred_lft", str(valid))
        expires = () if valid is None else ("expires", str(valid))
        self.ip("address", "replace", f"{_lan_address(prefix)}/64", "dev", LAN, *lifetimes, "nodad")
        self.ip("route", "replace", "unreachable", prefix, "proto", "dhcp", *expires)

    def deprecate_prefix(self, prefix: str, valid: int) -> None:
        """Deprecate the delegated prefix: no new connection uses it, and it expires in `valid` seconds."""
        lifetimes = ("valid_lft", str(valid), "preferred_lft", "0")
        self.ip("address", "change", f"{_lan_address(prefix)}/64", "dev", LAN, *lifetimes)
        self.ip("route", "replace", "unreachable", prefix, "proto", "dhcp", "expires", str(valid))

    def remove_prefix(self, prefix: str) -> None:
        """Remove a delegated prefix at once, as a client with a new lease does; the provider still routes it."""
        self.ip("address", "del", f"{_lan_address(prefix)}/64", "dev", LAN)
        self.ip("route", "del", "unreachable", prefix, "proto", "dhcp")

    def proxy_entries(self, uplink: str = UPLINK) -> set[str]:
        """The kernel's NDP proxy entries of an interface."""
        listed = json.loads(self.engine.netexec("ip", "-json", "-6", "neigh", "show", "proxy").stdout)
        return {entry["dst"] for entry in listed if entry["dev"] == uplink}

    def sysctl(self, key: str, uplink: str = UPLINK) -> str:
        """One of an interface's settings."""
        return self.engine.netexec("sysctl", "-n", f"net.ipv6.conf.{uplink}.{key}").stdout.strip()

    def apply(self, name: str, spec: Mapping[str, Any] | None = None) -> None:
        """Write an IPv6Network."""
        self.operator.apply_yaml(f"{name}.yaml", network_yaml(name, spec))

    def apply_pool(self, name: str, spec: Mapping[str, Any]) -> None:
        """Write an IPv6Pool."""
        self.operator.apply_yaml(f"pool-{name}.yaml", pool_yaml(name, spec))

    def ready(self, *names: str, timeout: float = 60.0) -> None:
        """Wait for IPv6Networks."""
        for name in names:
            self.operator.wait_ready(f"ipv6network/{name}", timeout=timeout)

    def network(self, name: str, spec: Mapping[str, Any] | None = None) -> None:
        """Write an IPv6Network and wait for it."""
        self.apply(name, spec)
        self.ready(name)

    def wait_source_address(self, container: str, address: str, provider: Provider | None = None) -> None:
        """Wait until new connections from a container have that source address at the server."""
        arrived = provider or self.provider

        def arrives() -> bool:
            return arrived.seen_as(self.engine, container, timeout=2) == address

        eventually(arrives, f"{container} has the source address {address}")

    def assert_reachable(
        self, place: Place, address: str, name: str, *, port: int = 80, patience: float = PATIENCE
    ) -> str:
        """Wait until a container answers at an address; return the client's address as the container saw it."""
        return str(reach(place, Port("tcp", address, port), name=name, patience=patience).client)

    def assert_refused(self, place: Place, address: str, *ports: int) -> None:
        """Check that none of these TCP ports answers."""
        assert_closed(place, *(Port("tcp", address, port) for port in ports))

    def reaches_server(self, container: str, port: int) -> bool:
        """Whether a container gets an answer from the server's port, without retrying."""
        try:
            return bool(receive(self.engine, container, SERVER, port, timeout=1))
        except CommandFailedError:
            return False

    @contextmanager
    def open_connection(self, container: str, provider: Provider | None = None) -> Iterator[Traffic]:
        """Keep one TCP connection from a container to the server open for the block, with constant traffic."""
        with (
            (provider or self.provider).tcp_server(_STREAM_PORT),
            tcp_stream(self.engine, container, SERVER, _STREAM_PORT, interval=0.02) as stream,
        ):
            yield stream

    def wait_logged(self, text: str) -> None:
        """Wait until the operator logs a text; cheaper than polling its status during a damping period."""
        eventually(lambda: text in self.operator.log.read_text(), f"it logs {text!r}")

    def events(self, name: str, kind: str = "ipv6network") -> str:
        """The events of a resource."""
        return self.operator.read("events", kind, name).stdout

    def transitions(self, name: str, kind: str = "ipv6network") -> dict[str, tuple[str, str]]:
        """The status and last transition of each condition. Equal results mean that none changed in between."""
        conditions = self.status(name, kind)["conditions"]
        return {each["type"]: (each["status"], each["lastTransitionTime"]) for each in conditions}


def unbroken(tally: Tally) -> bool:
    """Whether a connection had no losses and no error."""
    return (tally.lost, tally.error) == (0, "") and tally.received > 0


def suffix(address: str, length: int = 64) -> int:
    """The bits of an address after a prefix of that length."""
    return int(IPv6Address(address)) & ((1 << 128 - length) - 1)


def _lan_address(prefix: str) -> IPv6Address:
    subnets = list(islice(IPv6Network(prefix).subnets(new_prefix=64), 2))
    return subnets[-1][1]
