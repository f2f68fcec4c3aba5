"""robbertkl/docker-ipv6nat#63: published ports must also answer at the host's link-local address, for its own LAN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS, UPLINK
from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_LINK_LOCAL = ("address", "show", "dev", UPLINK, "scope", "link")


@pytest.mark.cells("20.10-off", "28.5")
def test_a_published_port_answers_at_the_link_local_address(host: Host) -> None:
    host.create_network("pi", "fd00:dead:beef:63::/64")
    host.run("pi-63", "pi", ports={"80/tcp": 8063})
    address = json.loads(host.engine.netexec("ip", "-json", "-6", *_LINK_LOCAL).stdout)
    index = json.loads(host.lab.neighbour.exec("ip", "-json", "link", "show", "dev", UPLINK).stdout)[0]["ifindex"]
    (local,) = [each["local"] for link in address for each in link.get("addr_info", []) if each]
    link_local = Port("tcp", f"{local}%{index}", 8063)
    reach(host.neighbour, link_local, name="pi-63")

    host.policy("pi", {"selector": {"names": ["pi"]}})

    reach_as(host.neighbour, published(8063), "pi-63", NEIGHBOUR_ADDRESS)
    reach(host.neighbour, link_local, name="pi-63")
