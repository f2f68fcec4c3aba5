"""moby/moby#39933: a container without IPv6 is published on one IPv6 address of the host (`-p [address]:80:8080`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import assert_closed

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_ADDRESS = "2001:db8:0:1::39"


@pytest.mark.core_cells("28.5")
def test_a_port_on_one_ipv6_address_reaches_the_container_there_only(host: Host) -> None:
    with host.second_address(_ADDRESS):
        host.create_network("http")
        host.run("http-39933", "http", ports={"80/tcp": (_ADDRESS, 80)}, labels={"app": "http"})

        host.network("http6", {"members": {"matchLabels": {"app": "http"}}})

        reach_as(host.neighbour, published(80, address=_ADDRESS), "http-39933", NEIGHBOUR_ADDRESS)
        assert_closed(host.neighbour, published(80))
