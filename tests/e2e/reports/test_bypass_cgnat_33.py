"""mochman/Bypass_CGNAT#33: an MTU of 1500 in containers behind a WireGuard uplink of 1420 must be noticed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import network_yaml
from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS, UPLINK
from tests.lab.probe import download, upload

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SIZE = 500_000


def _set_mtu(host: Host, mtu: int) -> None:
    host.engine.netexec("ip", "link", "set", "dev", UPLINK, "mtu", str(mtu))


@pytest.mark.core_cells("28.5")
def test_the_mtu_of_the_uplink_is_reported_and_the_remedy_works(host: Host) -> None:
    _set_mtu(host, 1420)
    try:
        host.operator.apply_yaml("tunnel.yaml", network_yaml("tunnel"))
        message = host.wait_for_reason("tunnel", "HostReady", "MTUMismatch")["message"]
        found = re.search(r"set spec\.bridge\.mtu: (\d+)", message)
        assert found is not None, message

        host.operator.apply_yaml("tunnel.yaml", network_yaml("tunnel", {"bridge": {"mtu": int(found[1])}}))
        host.wait_while_reason("tunnel", "HostReady", "MTUMismatch")
        host.operator.wait_ready("ipv6network/tunnel")

        host.run("tunnel-33", "tunnel", ports={"80/tcp": 8033})
        reach_as(host.neighbour, published(8033), "tunnel-33", NEIGHBOUR_ADDRESS)
        link = host.engine.container_netns_exec("tunnel-33", "ip", "-json", "link", "show", "eth0").stdout
        assert json.loads(link)[0]["mtu"] == 1420
        assert download(host.neighbour, published(8033), _SIZE) == _SIZE
        assert upload(host.neighbour, published(8033), _SIZE) is not None
    finally:
        _set_mtu(host, 1500)
