"""Listing of sockets that wait for IPv6, from sock_diag and from procfs."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet import sockets
from dockerv6.hostnet.model import Listener
from tests.host.network import ip, private_network

TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
ANY = IPv6Address("::")

Opener = Callable[..., socket.socket]


@pytest.fixture
def open_socket() -> Iterator[Opener]:
    """Opens a socket in a private namespace; TCP sockets listen."""
    with private_network(), ExitStack() as stack:
        ip("link", "set", "lo", "up")

        def opened(
            protocol: str, address: str, port: int, *, v6only: bool = False, reuse: bool = False
        ) -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            made = stack.enter_context(socket.socket(family, TYPES[protocol]))
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
            made.bind((address, port))
            if protocol == "tcp":
                made.listen()
            return made

        yield opened


@pytest.fixture(params=["sock_diag", "procfs"], autouse=True)
def _source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[tuple[bytes, int, int]]:
        raise OSError(errno.ENOENT, "No such file or directory")

    if request.param == "procfs":
        monkeypatch.setattr(sockets, "dump", missing)


@pytest.mark.parametrize("protocol", TYPES)
@pytest.mark.parametrize("v6only", [True, False])
def test_ipv6_and_dual_stack_sockets_are_listed(open_socket: Opener, protocol: str, *, v6only: bool) -> None:
    open_socket(protocol, "::", 8080, v6only=v6only)
    open_socket(protocol, "::1", 8081, v6only=v6only)
    assert sockets.listeners() == {Listener(protocol, ANY, 8080), Listener(protocol, IPv6Address("::1"), 8081)}


@pytest.mark.parametrize("protocol", TYPES)
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::ffff:127.0.0.1"])
def test_ipv4_sockets_are_left_out(open_socket: Opener, protocol: str, address: str) -> None:
    open_socket(protocol, address, 8080)
    assert sockets.listeners() == frozenset()


def test_connections_are_left_out(open_socket: Opener) -> None:
    listener = open_socket("tcp", "::1", 8080)
    with socket.create_connection(("::1", 8080)), listener.accept()[0]:
        assert sockets.listeners() == {Listener("tcp", IPv6Address("::1"), 8080)}


def test_connected_udp_sockets_are_left_out(open_socket: Opener) -> None:
    open_socket("udp", "::1", 53)
    open_socket("udp", "::1", 40000).connect(("::1", 53))
    assert sockets.listeners() == {Listener("udp", IPv6Address("::1"), 53)}


@pytest.mark.usefixtures("open_socket")
def test_a_bound_socket_that_does_not_listen_is_left_out() -> None:
    with socket.socket(socket.AF_INET6) as bound:
        bound.bind(("::1", 8080))
        assert sockets.listeners() == frozenset()


def test_many_sockets_are_listed_and_sockets_of_one_port_once(open_socket: Opener) -> None:
    ports = range(20000, 20300)
    for port in ports:
        open_socket("udp", "::", port)
    for _ in range(3):
        open_socket("tcp", "::", 443, reuse=True)
    assert sockets.listeners() == {Listener("udp", ANY, port) for port in ports} | {Listener("tcp", ANY, 443)}


def test_sockets_of_other_namespaces_are_left_out(open_socket: Opener) -> None:
    open_socket("tcp", "::", 8080)
    with private_network():
        assert sockets.listeners() == frozenset()


@pytest.mark.parametrize(("server", "client"), [("::", "::1"), ("::", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
def test_a_port_with_a_connection_of_a_client_is_served_without_its_listener(
    open_socket: Opener, server: str, client: str
) -> None:
    listening = open_socket("tcp", server, 2222)
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connecting:
        connecting.connect((client, 2222))
        accepted, _ = listening.accept()
        with accepted:
            listening.close()
            assert sockets.served_tcp_ports() == {2222}, "the client's port is in the range of outgoing connections"
    listening.close()


def test_a_listening_socket_alone_is_no_connection(open_socket: Opener) -> None:
    open_socket("tcp", "::", 2222)
    assert sockets.served_tcp_ports() == frozenset()
