"""moby/moby#27101: a container on an IPv4 and an IPv6 network must have an IPv6 default route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host


@pytest.mark.core_cells("28.5")
def test_a_container_on_two_networks_has_an_ipv6_default_route(host: Host) -> None:
    host.create_network("test4")
    host.network("test6", {"addressing": {"prefixLength": 80}})
    host.run("test-27101", "test4", ports={"80/tcp": 8080})
    host.engine.docker("network", "connect", "test6", "test-27101")

    reach_as(host.neighbour, published(8080), "test-27101", NEIGHBOUR_ADDRESS)
    assert host.source_of("test-27101") == HOST_ADDRESS
    routes = host.engine.container_netns_exec("test-27101", "ip", "-6", "route", "show", "default").stdout
    assert len(routes.splitlines()) == 1
