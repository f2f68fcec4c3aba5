"""moby/moby#15254: `firewall-cmd --reload` must not cut off published ports, nor containers from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host
    from tests.lab.firewalls import HostFirewalls


@pytest.mark.core_cells("20.10-off")
def test_a_reload_of_firewalld_cuts_nothing_off(firewalld: tuple[Host, HostFirewalls]) -> None:
    host, firewalls = firewalld
    host.start()
    host.create_network("theirs", "fd00:1525:4::/64")
    host.policy("theirs", {"selector": {"names": ["theirs"]}})
    host.network("ours")
    for name in ("ours", "theirs"):
        host.run(f"{name}-web", name, ports={"80/tcp": {"ours": 8001, "theirs": 8002}[name]})

    for command in ("--reload", "--complete-reload"):
        firewalls.firewall_cmd(command)
        for port, name in ((8001, "ours"), (8002, "theirs")):
            reach_as(host.neighbour, published(port), f"{name}-web", NEIGHBOUR_ADDRESS)
        host.wait_source("theirs-web", HOST_ADDRESS)
        assert_closed(host.inside("theirs-web"), Port("tcp", host.address("ours-web", "ours"), 81))
    assert "inet firewalld" in host.engine.netexec("nft", "list", "tables").stdout
