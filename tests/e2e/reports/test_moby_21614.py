"""moby/moby#21614: on a routed network only published ports may be open, not every port of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, reach, wait_closed

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SUBNET = "2001:db8:2161:4::/64"


@pytest.mark.cells("20.10-off")
def test_only_published_ports_of_a_routed_network_are_reached(host: Host) -> None:
    host.create_network("app", _SUBNET)
    with host.routed(_SUBNET):
        host.run("db-21614", "app")
        host.run("web-21614", "app", ports={"80/tcp": 8080})
        database = [Port("tcp", host.address("db-21614", "app"), port) for port in (80, 81)]
        reach(host.neighbour, database[0], name="db-21614")

        host.policy("app", {"selector": {"names": ["app"]}, "egress": {"mode": "Routed"}})

        wait_closed(host.neighbour, *database)
        reach_as(host.neighbour, published(8080), "web-21614", NEIGHBOUR_ADDRESS)
        wait_closed(host.neighbour, Port("tcp", host.address("web-21614", "app"), 81))
        assert host.source_of("db-21614") == host.address("db-21614", "app")
        reach(host.inside("web-21614"), database[1], name="db-21614")
