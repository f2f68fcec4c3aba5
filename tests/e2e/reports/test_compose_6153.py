"""docker/compose#6153: while a VPN has the default route, a stack must still get a network and reach the Internet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.net import receive, tcp_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.reports.host import Host
    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

# `redirect-gateway ipv6` of OpenVPN: the default route stays, and these prefixes of everything precede it
_ROUTES = ("::/3", "2000::/4", "3000::/4", "fc00::/7")
_CLIENT, _SERVER, _SITE = "2001:db8:6153::2", "2001:db8:6153::1", "2001:db8:8888::1"
_STACK = """
services:
  app:
    image: busybox:test
    command: [sleep, "3600"]
networks:
  default: {external: true, name: vpn-app}
"""


@contextmanager
def _vpn(host: Host, far_end: Namespace) -> Iterator[None]:
    """A tunnel with OpenVPN's routes, and a site on the Internet behind it."""
    far_end.exec("ip", "address", "add", f"{_SITE}/128", "dev", "lo", "nodad")
    host.engine.netexec(*f"ip link add tun0 type veth peer name tun0 netns {far_end.name}".split())
    try:
        for run, address in ((host.engine.netexec, _CLIENT), (far_end.exec, _SERVER)):
            run("ip", "address", "add", f"{address}/64", "dev", "tun0", "nodad")
            run("ip", "link", "set", "tun0", "up")
        for route in _ROUTES:
            host.engine.netexec("ip", "-6", "route", "add", route, "via", _SERVER, "dev", "tun0")
        yield
    finally:
        host.engine.netexec("ip", "link", "del", "tun0")


@pytest.mark.core_cells("28.5")
def test_a_stack_gets_a_network_and_uses_the_tunnel(host: Host, lab_session: Session) -> None:
    far_end = lab_session.namespace("v")
    with _vpn(host, far_end):
        host.network("vpn-app")
        stack = host.stack("vpn", _STACK)
        stack.up()

        with tcp_server(far_end, 7000, mode="peer"):
            assert receive(host.engine, stack.container("app"), _SITE, 7000) == _CLIENT
    far_end.remove()
