"""docker/for-linux#928: a container with an address of the host's own /64 must be reached from outside."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.provider import Premises

_LINK = "2001:db8:928:f44f::/64"
_CONTAINERS = "2001:db8:928:f44f:ff::/80"


@pytest.mark.core_cells("28.5")
def test_a_container_with_an_address_of_the_link_is_reached(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.start()
    premises.network(
        "web",
        {
            "addressing": {"subnet": _CONTAINERS},
            "egress": {"mode": "Routed"},
            "ndpProxy": {"enabled": True},
            "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
        },
    )
    premises.run("web-928", "web")
    address = premises.address("web-928", "web")
    assert IPv6Address(address) in IPv6Network(_CONTAINERS)

    for place in (premises.router, premises.internet):
        premises.assert_reachable(place, address, "web-928")
    assert premises.provider.ping_from_internet(address)
    assert premises.provider.seen_as(premises.engine, "web-928") == address
    premises.assert_refused(premises.internet, address, 81)
