"""moby/moby#11998: the answers of a DNS server in a container must come from the address that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SECOND = "2001:db8:0:1::53"


@pytest.mark.cells("20.10-off")
def test_udp_answers_come_from_the_address_that_was_asked(host: Host) -> None:
    host.create_network("dns", "fd00:1199:8::/64")
    with host.second_address(_SECOND):
        host.run("dns-11998", "dns", ports={"80/udp": 53})
        reach(host.neighbour, published(53, "udp"), name="dns-11998")
        assert_closed(host.neighbour, published(53, "udp", _SECOND))

        host.policy("dns", {"selector": {"names": ["dns"]}})

        reach_as(host.neighbour, published(53, "udp", _SECOND), "dns-11998", NEIGHBOUR_ADDRESS)
