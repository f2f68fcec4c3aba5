"""traefik/traefik#8255: HTTP/3 must reach Traefik: UDP port 443 beside TCP port 443, over IPv6 as over IPv4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS_V4
from tests.lab.probe import Port

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  traefik:
    image: busybox:test
    hostname: traefik-8255
    command: [responder, tcp/443, udp/443]
    ports: ["443:443/tcp", "443:443/udp"]
networks:
  default: {external: true, name: http3}
"""


@pytest.mark.core_cells("28.5")
def test_quic_reaches_the_proxy_beside_tcp(host: Host) -> None:
    host.network("http3")
    host.stack("http3", _STACK).up()

    for protocol in ("tcp", "udp"):
        reach_as(host.neighbour, published(443, protocol), "traefik-8255", NEIGHBOUR_ADDRESS)
        reach_as(host.neighbour, Port(protocol, HOST_ADDRESS_V4, 443), "traefik-8255", NEIGHBOUR_ADDRESS_V4)
