"""moby/libnetwork#2628: over IPv6, a container must see the client's address and not its gateway's, as over IPv4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host


@pytest.mark.cells("20.10-off")
def test_a_container_sees_its_ipv6_client(host: Host) -> None:
    host.create_network("my_ipv6_network", "2001:db8:6::/64")
    host.run("whoami", "my_ipv6_network", ports={"80/tcp": 80})
    assert str(reach(host.neighbour, published(80), name="whoami").client) == "2001:db8:6::1"

    host.policy("whoami", {"selector": {"names": ["my_ipv6_network"]}})

    reach_as(host.neighbour, published(80), "whoami", NEIGHBOUR_ADDRESS)
