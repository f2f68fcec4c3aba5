"""docker/compose#3988: the `ipv6_address` of a service in a Compose file must be the container's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_ADDRESS = "2001:db8:3989::10"
_STACK = f"""
services:
  app:
    image: busybox:test
    hostname: app-3988
    command: [responder, tcp/80]
    networks:
      app_net:
        ipv4_address: 172.16.238.10
        ipv6_address: {_ADDRESS}
networks:
  app_net: {{external: true, name: app-net}}
"""


@pytest.mark.core_cells("28.5")
def test_a_service_has_the_address_of_its_compose_file(host: Host) -> None:
    host.network(
        "app-net",
        {
            "addressing": {"subnet": "2001:db8:3989::/64", "gateway": "2001:db8:3989::1"},
            "ipv4": {"subnet": "172.16.238.0/24", "gateway": "172.16.238.1"},
        },
    )
    stack = host.stack("static", _STACK)
    stack.up()

    addresses = host.engine.container_addresses(stack.container("app"), "app-net")
    assert (addresses["4"], addresses["6"]) == ("172.16.238.10", _ADDRESS)
    reach(host.host, Port("tcp", _ADDRESS, 80), name="app-3988")
    assert host.pings(stack.container("app"))
