"""robbertkl/docker-ipv6nat#43: incoming connections must work after a restart of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host

_ALWAYS = {"RestartPolicy": {"Name": "always"}}


@pytest.mark.core_cells("20.10-off")
def test_incoming_connections_work_after_a_restart_of_the_host(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    host.start()
    host.create_network("caddy", "fd00:beef::/80", "-o", "com.docker.network.bridge.name=br-caddy")
    host.policy("caddy", {"selector": {"names": ["caddy"]}})
    host.run("caddy-43", "caddy", ports={"80/tcp": 80, "81/tcp": 443}, host_config=_ALWAYS)
    reach_as(host.neighbour, published(80), "caddy-43", NEIGHBOUR_ADDRESS)

    host.engine.kill()
    host.operator.kill()
    # a power failure: the bridges and the rules of the kernel are gone too
    host.engine.netexec("nft", "flush", "ruleset")
    for bridge in ("docker0", "br-caddy"):
        host.engine.netexec("ip", "link", "del", bridge)
    host.operator.start()
    host.engine.start()

    for port in (80, 443):
        reach_as(host.neighbour, published(port), "caddy-43", NEIGHBOUR_ADDRESS)
