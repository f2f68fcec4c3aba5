"""moby/moby#41858: `--publish 443:443` answered over IPv6 until 20.10.2, and then no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host


@pytest.mark.cells("20.10-off-nft-noproxy")
def test_a_published_port_of_an_ipv4_container_answers_over_ipv6(host: Host) -> None:
    host.create_network("nginx")
    host.run("nginx-41858", "nginx", ports={"80/tcp": 443}, labels={"app": "nginx"})
    reach(host.neighbour, Port("tcp", HOST_ADDRESS_V4, 443), name="nginx-41858")
    assert_closed(host.neighbour, published(443))

    host.network("nginx6", {"members": {"matchLabels": {"app": "nginx"}}})

    reach_as(host.neighbour, published(443), "nginx-41858", NEIGHBOUR_ADDRESS)
    reach(host.neighbour, Port("tcp", HOST_ADDRESS_V4, 443), name="nginx-41858")
