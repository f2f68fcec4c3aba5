"""traefik/traefik#7572: an allow-list of IPv4 and IPv6 clients in Traefik, which saw no IPv6 client's own address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS_V4
from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  traefik:
    image: busybox:test
    hostname: traefik-7572
    command: [responder, tcp/443]
    ports: ["443:443"]
  whoami:
    image: busybox:test
    command: [responder, tcp/80]
networks:
  default:
    enable_ipv6: true
    ipam: {config: [{subnet: "fd00:7572::/64"}]}
"""


@pytest.mark.cells("20.10-off")
def test_the_proxy_can_distinguish_allowed_clients_from_others(host: Host) -> None:
    host.stack("proxy", _STACK).up()
    assert str(reach(host.neighbour, published(443), name="traefik-7572").client) == "fd00:7572::1"

    host.policy("proxy", {"selector": {"matchLabels": {"com.docker.compose.project": "proxy"}}})

    for client in (NEIGHBOUR_ADDRESS, FAR_ADDRESS):
        reach_as(host.neighbour, published(443), "traefik-7572", client, source=client)
    reach_as(host.neighbour, Port("tcp", HOST_ADDRESS_V4, 443), "traefik-7572", NEIGHBOUR_ADDRESS_V4)
