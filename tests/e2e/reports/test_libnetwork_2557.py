"""moby/libnetwork#2557: routed IPv6 networks are closed by default; one container may be open entirely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, assert_closed, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SUBNET = "2001:db8:2557:1::/64"


@pytest.mark.core_cells("28.5")
def test_a_routed_network_is_closed_except_for_what_is_listed(host: Host) -> None:
    ingress = [
        {"containers": {"matchLabels": {"expose": "all"}}},
        {"containers": {"matchLabels": {"expose": "web"}}, "ports": [{"port": 80}]},
    ]
    host.network(
        "routed",
        {"addressing": {"subnet": _SUBNET}, "egress": {"mode": "Routed"}, "firewall": {"ingress": ingress}},
    )
    with host.routed(_SUBNET):
        for name in ("all", "web", "none"):
            host.run(f"{name}-2557", "routed", labels={"expose": name})
        ports = {
            name: [Port("tcp", host.address(f"{name}-2557", "routed"), port) for port in (80, 81)]
            for name in ("all", "web", "none")
        }
        for port in ports["all"]:
            assert str(reach(host.neighbour, port, name="all-2557").client) == NEIGHBOUR_ADDRESS
        reach(host.neighbour, ports["web"][0], name="web-2557")
        assert_closed(host.neighbour, ports["web"][1], *ports["none"])
        assert host.source_of("none-2557") == ports["none"][0].address
