"""moby/libnetwork#1142: a running container that is connected to a second IPv6 network must stay reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host


@pytest.mark.core_cells("20.10-off")
def test_a_second_network_may_take_over_the_default_route(host: Host) -> None:
    host.create_network("aaa", "fd00:aaa::/48")
    host.create_network("bbb", "fd00:bbb::/48")
    host.policy("networks-1142", {"selector": {"names": ["aaa", "bbb"]}})
    host.run("test2", "bbb", ports={"80/tcp": 8042})
    host.run("other", "aaa")
    reach_as(host.neighbour, published(8042), "test2", NEIGHBOUR_ADDRESS)
    assert_closed(host.inside("other"), Port("tcp", host.address("test2", "bbb"), 81))

    host.engine.docker("network", "connect", "aaa", "test2")

    reach_as(host.neighbour, published(8042), "test2", NEIGHBOUR_ADDRESS)
    host.wait_source("test2", HOST_ADDRESS)
    reach(host.inside("other"), Port("tcp", host.address("test2", "aaa"), 81), name="test2")
    assert_closed(host.inside("other"), Port("tcp", host.address("test2", "bbb"), 81))
