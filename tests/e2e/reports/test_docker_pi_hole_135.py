"""pi-hole/docker-pi-hole#135: the list of DNS clients shows one Docker address for everybody who asks over IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  pihole:
    image: busybox:test
    hostname: pihole-135
    command: [responder, udp/53, tcp/53]
    ports: ["53:53/tcp", "53:53/udp"]
"""


@pytest.mark.cells("28.5")
def test_dns_clients_over_ipv6_are_distinguished(host: Host) -> None:
    host.stack("pihole", _STACK).up()
    assert reach(host.neighbour, published(53, "udp"), name="pihole-135").client.version == 4

    members = {"matchLabels": {"com.docker.compose.service": "pihole"}}
    host.network("pihole6", {"ipv4": {"enabled": False}, "members": members})

    for protocol in ("udp", "tcp"):
        for client in (NEIGHBOUR_ADDRESS, FAR_ADDRESS):
            reach_as(host.neighbour, published(53, protocol), "pihole-135", client, source=client)
