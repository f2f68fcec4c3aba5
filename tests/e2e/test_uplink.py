"""A host that has its default route from router advertisements keeps it when dockerv6 turns forwarding on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, forwarding, network_yaml
from tests.lab.net import UPLINK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

_ADVERTISE = """
import socket, struct, sys
interface = sys.argv[1]
index = socket.if_nametoindex(interface)
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 1800, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:aaaa::"))
raw.sendto(advertisement + prefix, ("ff02::1", 0, 0, index))
"""
"""One router advertisement (RFC 4861 §4.2) with a prefix for addresses (§4.6.2)."""


def _advertised_default(engine: Engine) -> bool:
    return "proto ra" in engine.netexec("ip", "-6", "route", "show", "default").stdout


@pytest.mark.cells("28.5")
def test_an_advertised_default_route_survives_forwarding(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(config={"ip-forward": False})
    engine, operator = lab.engine, lab.operator()
    engine.netexec("sysctl", "-w", "net.ipv6.conf.all.forwarding=0", f"net.ipv6.conf.{UPLINK}.accept_ra=1")
    far_end = lab.neighbour.exec("ip", "-o", "-br", "link", "show", "type", "veth").stdout.split()[0].partition("@")[0]

    def advertised() -> bool:
        lab.neighbour.exec(sys.executable, "-c", _ADVERTISE, far_end)
        return _advertised_default(engine)

    eventually(advertised, "the advertisement gives a default route")
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    assert forwarding(engine) == "1"
    assert engine.netexec("sysctl", "-n", f"net.ipv6.conf.{UPLINK}.accept_ra").stdout.strip() == "2"
    assert _advertised_default(engine)
    assert operator.stop() == 0
    operator.cli("uninstall", "--yes")
    assert forwarding(engine) == "0"
    assert engine.netexec("sysctl", "-n", f"net.ipv6.conf.{UPLINK}.accept_ra").stdout.strip() == "1"
