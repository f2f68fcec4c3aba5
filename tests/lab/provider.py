"""An Internet provider: a router at the far end of an uplink, a server on the Internet, and delegated prefixes.

The router has routes only to the uplink's link and to delegated prefixes: a packet with a source address that the
provider did not assign gets no reply. The server has the same address at every provider, outside the uplink's prefixes:
the routes of a host with two uplinks decide which one it uses.
"""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from tests.lab.net import EXPECTED, receive, tcp_server
from tests.lab.radvd import ROUTER_LIFETIME, Advertised, Radvd

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.lab.engine import Engine
    from tests.lab.namespace import Namespace
    from tests.lab.net import Traffic
    from tests.lab.session import Session

SERVER = "2001:db8:ffff::1"
ROUTER = "fe80::1"
"""The router's link-local address on the uplink: the host's default route leads there."""

HOST = "fe80::2"
"""The host's: what is delegated leads there. The kernel makes it another one of its own."""

_INTERNET = "inet0"


class Provider:
    """One provider; `uplink` is the name of the link in the host's namespace and in the router's."""

    def __init__(self, session: Session, host: Namespace, router: Namespace, server: Namespace, uplink: str) -> None:
        self.host = host
        self.router = router
        self.server = server
        self.uplink = uplink
        self._radvd = Radvd(session, router, uplink)

    @classmethod
    def join(cls, session: Session, host: Namespace, uplink: str = "wan0") -> Provider:
        """Create a provider and connect its link to a host's namespace. The host has no address and no route yet."""
        router, server = session.namespace("r"), session.namespace("s")
        # radvd requires forwarding; without duplicate address detection, addresses are usable at once
        quick = ("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.forwarding=1")
        router.exec("sysctl", "-q", "-w", *quick)
        server.exec("sysctl", "-q", "-w", quick[0])
        router.exec(*f"ip link add {_INTERNET} type veth peer name {_INTERNET} netns {server.name}".split())
        _ip(router, f"link set {_INTERNET} up\naddress add {ROUTER}/64 dev {_INTERNET} nodad")
        _ip(
            server,
            f"address add {SERVER}/128 dev {_INTERNET} nodad\n"
            f"link set {_INTERNET} up\n"
            f"route add default via {ROUTER} dev {_INTERNET}",
        )
        # radvd advertises the first link-local address, which must be the known one
        router.exec("sysctl", "-q", "-w", "net.ipv6.conf.default.addr_gen_mode=1")
        _ip(router, f"route add {SERVER}/128 dev {_INTERNET}")
        provider = cls(session, host, router, server, uplink)
        provider.plug()
        return provider

    def plug(self) -> None:
        """Connect the router and the host, which accepts router advertisements although it forwards."""
        self.router.exec(*f"ip link add {self.uplink} type veth peer name {self.uplink} netns {self.host.name}".split())
        settings = (f"net.ipv6.conf.{self.uplink}.accept_dad=0", f"net.ipv6.conf.{self.uplink}.accept_ra=2")
        self.host.exec("sysctl", "-q", "-w", *settings)
        for where, address in ((self.host, HOST), (self.router, ROUTER)):
            _ip(where, f"address add {address}/64 dev {self.uplink} nodad\nlink set {self.uplink} up")

    def unplug(self) -> None:
        """Remove the link at both ends, with its addresses and routes."""
        self._radvd.kill()
        self.router.exec("ip", "link", "del", self.uplink)

    def advertise(self, *prefixes: Advertised | str, router_lifetime: int = ROUTER_LIFETIME) -> None:
        """Advertise exactly these prefixes from now on, and add on-link routes for them."""
        advertised = [Advertised(each) if isinstance(each, str) else each for each in prefixes]
        for each in advertised:
            self.put_on_link(each.prefix)
        self._radvd.advertise(*advertised, router_lifetime=router_lifetime)

    def say_goodbye(self) -> None:
        """Stop advertising with a final advertisement that this is no default router."""
        self._radvd.stop()

    def fall_silent(self) -> None:
        """Stop advertising without a final advertisement: advertised prefixes last for their lifetime."""
        self._radvd.kill()

    def put_on_link(self, prefix: str) -> str:
        """Add an on-link prefix, and return the router's address in it. It solicits all others."""
        network = IPv6Network(prefix)
        address = str(network[1])
        _ip(self.router, f"address replace {address}/{network.prefixlen} dev {self.uplink} nodad")
        return address

    def delegate(self, prefix: str) -> None:
        """Route a prefix to the host, as a provider does with a delegated prefix (RFC 8415)."""
        self.router.exec("ip", "-6", "route", "replace", prefix, "via", HOST, "dev", self.uplink)

    def withdraw(self, prefix: str) -> None:
        """Remove the route to a prefix."""
        self.router.exec("ip", "-6", "route", "del", prefix)

    def add_client(self, address: str) -> None:
        """Give the server another address: another client on the Internet, for requests with this source address."""
        _ip(self.server, f"address add {address}/128 dev {_INTERNET} nodad")
        _ip(self.router, f"route add {address}/128 dev {_INTERNET}")

    def exec(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs on the router; errors as in `process.run`."""
        return self.router.exec(*argv, check=check)

    def ping(self, address: str, *, deadline: int = 20) -> bool:
        """Return whether an address answers the router, on the link, within `deadline` seconds."""
        return _ping(self.router, address, deadline)

    def ping_from_internet(self, address: str, *, deadline: int = 20) -> bool:
        """Return whether an address answers the server within `deadline` seconds; at once without a route."""
        return _ping(self.server, address, deadline)

    @contextmanager
    def tcp_server(self, port: int, *, mode: str = "echo") -> Iterator[Traffic]:
        """Serve a TCP port on the Internet for the block; `mode` as in `Neighbour.tcp_server`."""
        with tcp_server(self.server, port, mode=mode) as traffic:
            yield traffic

    def seen_as(self, engine: Engine, container: str, *, port: int = 7000, timeout: int = EXPECTED) -> str:
        """Return the source address that a new TCP connection from a container has at the server.

        Raises:
            CommandFailedError: there is no connection or no answer within `timeout` seconds.
        """
        with self.tcp_server(port, mode="peer"):
            return receive(engine, container, SERVER, port, timeout=timeout)

    def remove(self) -> None:
        """Remove the provider and its link."""
        self._radvd.kill()
        if self.router.exec("ip", "link", "show", self.uplink, check=False).returncode == 0:
            self.unplug()
        self.router.remove()
        self.server.remove()


def _ping(where: Namespace, address: str, deadline: int) -> bool:
    argv = ("ping", "-n", "-c", "1", "-i", "0.2", "-w", str(deadline), address)
    return where.exec(*argv, check=False).returncode == 0


def _ip(where: Namespace, commands: str) -> None:
    where.exec("ip", "-batch", "-", stdin=commands)
