"""robbertkl/docker-ipv6nat#57: containers that publish port 443 on two IPv4 addresses must have it over IPv6 too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SECOND, _SECOND_V4 = "2001:db8:0:1::57", "192.0.2.57"
_SITES = {"site-a": (HOST_ADDRESS, HOST_ADDRESS_V4), "site-b": (_SECOND, _SECOND_V4)}


@pytest.mark.core_cells("28.5")
def test_containers_share_a_port_on_different_addresses(host: Host) -> None:
    ports = [
        {"name": name, "port": 443, "targetPort": 80, "hostAddress": address, "containers": {"name": name}}
        for name, (address, _) in _SITES.items()
    ]
    host.network("sites", {"publish": {"ports": ports}})
    with host.second_address(_SECOND), host.second_address(_SECOND_V4):
        for name, (_, address) in _SITES.items():
            host.run(name, "sites", ports={"80/tcp": (address, 443)})

        for name, (address, address_v4) in _SITES.items():
            reach_as(host.neighbour, published(443, address=address), name, NEIGHBOUR_ADDRESS)
            reach(host.neighbour, Port("tcp", address_v4, 443), name=name)
        assert_closed(host.host, Port("tcp", "::1", 443))
