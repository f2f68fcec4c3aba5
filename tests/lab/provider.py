"""An Internet provider: a router at the far end of an uplink, a server on the Internet behind it, and its delegations.

The router knows the way to what is on the uplink's link and to what it delegated, and to nothing else: a packet that
leaves with an address that the provider did not give is never answered. The server's address is the same at every
provider, and no network of the uplink's: a host with two uplinks chooses by its routes.
"""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from tests.lab.net import receive, tcp_server
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
        """Make a provider and plug its link into a host's namespace. The host has no address and no route yet."""
        router, server = session.namespace("r"), session.namespace("s")
        # radvd insists on forwarding; nodad and this: no second of duplicate address detection
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
        # radvd advertises the first link-local address: it shall be the known one
        router.exec("sysctl", "-q", "-w", "net.ipv6.conf.default.addr_gen_mode=1")
        _ip(router, f"route add {SERVER}/128 dev {_INTERNET}")
        provider = cls(session, host, router, server, uplink)
        provider.plug()
        return provider

    def plug(self) -> None:
        """Connect the router and the host; the host listens to advertisements, and forwards all the same."""
        self.router.exec(*f"ip link add {self.uplink} type veth peer name {self.uplink} netns {self.host.name}".split())
        settings = (f"net.ipv6.conf.{self.uplink}.accept_dad=0", f"net.ipv6.conf.{self.uplink}.accept_ra=2")
        self.host.exec("sysctl", "-q", "-w", *settings)
        for where, address in ((self.host, HOST), (self.router, ROUTER)):
            _ip(where, f"address add {address}/64 dev {self.uplink} nodad\nlink set {self.uplink} up")

    def unplug(self) -> None:
        """Pull the link out: the interface is gone at both ends, with its addresses and routes."""
        self._radvd.kill()
        self.router.exec("ip", "link", "del", self.uplink)

    def advertise(self, *prefixes: Advertised | str, router_lifetime: int = ROUTER_LIFETIME) -> None:
        """Advertise exactly these prefixes from now on, and deliver to their hosts on the link."""
        told = [Advertised(each) if isinstance(each, str) else each for each in prefixes]
        for each in told:
            self.put_on_link(each.prefix)
        self._radvd.advertise(*told, router_lifetime=router_lifetime)

    def say_goodbye(self) -> None:
        """Stop advertising properly: the router says that it is none any more."""
        self._radvd.stop()

    def fall_silent(self) -> None:
        """Advertise nothing more, and don't say so: what was told lasts for its lifetime."""
        self._radvd.kill()

    def put_on_link(self, prefix: str) -> str:
        """Give the link a prefix, and return the router's address in it: it asks on the link for all others."""
        network = IPv6Network(prefix)
        address = str(network[1])
        _ip(self.router, f"address replace {address}/{network.prefixlen} dev {self.uplink} nodad")
        return address

    def delegate(self, prefix: str) -> None:
        """Route a prefix to the host, as a provider does with one that it delegated (RFC 8415)."""
        self.router.exec("ip", "-6", "route", "replace", prefix, "via", HOST, "dev", self.uplink)

    def withdraw(self, prefix: str) -> None:
        """Have no way to a prefix any more."""
        self.router.exec("ip", "-6", "route", "del", prefix)

    def add_client(self, address: str) -> None:
        """Give the server another address: another client on the Internet, for who binds its source to it."""
        _ip(self.server, f"address add {address}/128 dev {_INTERNET} nodad")
        _ip(self.router, f"route add {address}/128 dev {_INTERNET}")

    def exec(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs on the router; errors as in `process.run`."""
        return self.router.exec(*argv, check=check)

    def ping(self, address: str, *, deadline: int = 20) -> bool:
        """Say whether an address answers the router, on the link, within `deadline` seconds."""
        return _ping(self.router, address, deadline)

    def ping_from_internet(self, address: str, *, deadline: int = 20) -> bool:
        """Say whether an address answers the server within `deadline` seconds; at once when there is no way to it."""
        return _ping(self.server, address, deadline)

    @contextmanager
    def tcp_server(self, port: int, *, mode: str = "echo") -> Iterator[Traffic]:
        """Serve a TCP port on the Internet for the block; `mode` as `Neighbour.tcp_server` has it."""
        with tcp_server(self.server, port, mode=mode) as traffic:
            yield traffic

    def seen_as(self, engine: Engine, container: str, *, port: int = 7000) -> str:
        """Return the address that a new TCP connection from a container has when it arrives at the server.

        Raises:
            CommandFailedError: it doesn't arrive, or no answer finds its way back.
        """
        with self.tcp_server(port, mode="peer"):
            return receive(engine, container, SERVER, port, timeout=2)

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
