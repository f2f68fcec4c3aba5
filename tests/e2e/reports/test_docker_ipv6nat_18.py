"""robbertkl/docker-ipv6nat#18: containers of each network must leave with that network's address of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_NETWORKS = {"alpha-18": "2001:db8:0:1::a", "beta-18": "2001:db8:0:1::b"}


@pytest.mark.core_cells("28.5")
def test_each_network_has_its_address_in_both_directions(host: Host) -> None:
    with host.second_address(_NETWORKS["alpha-18"]), host.second_address(_NETWORKS["beta-18"]):
        for name, address in _NETWORKS.items():
            port = {"port": 25, "targetPort": 80, "containers": {"name": f"mail-{name}"}}
            egress = {"mode": "SNAT", "snatAddress": address}
            host.network(name, {"egress": egress, "publish": {"hostAddress": address, "ports": [port]}})
            host.run(f"mail-{name}", name)

        for name, address in _NETWORKS.items():
            reach_as(host.neighbour, published(25, address=address), f"mail-{name}", NEIGHBOUR_ADDRESS)
            assert host.source_of(f"mail-{name}") == address
