"""robbertkl/docker-ipv6nat#64: tasks of a swarm reach the outside through docker_gwbridge, and must do so over IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.net import HOST_ADDRESS, HOST_ADDRESS_V4

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host

_GWBRIDGE = (
    *("--subnet", "172.25.0.0/16", "--gateway", "172.25.0.1"),
    *("--opt", "com.docker.network.bridge.name=docker_gwbridge"),
    *("--opt", "com.docker.network.bridge.enable_icc=true"),
    *("--opt", "com.docker.network.bridge.enable_ip_masquerade=true"),
)


@pytest.mark.cells("20.10-off")
def test_a_task_of_a_swarm_reaches_the_outside(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    host.start()
    host.create_network("docker_gwbridge", "fdd0:4cab:5070:357f::/64", *_GWBRIDGE)
    host.engine.docker("swarm", "init", "--advertise-addr", HOST_ADDRESS_V4)
    # a container on the overlay network, as a task is; the engine starts tasks only after half a minute
    host.engine.docker("network", "create", "--driver", "overlay", "--attachable", "apps")
    container = host.run("app-64", "apps")
    assert not host.pings(container, expected=False)

    host.policy("swarm", {"selector": {"names": ["docker_gwbridge"]}})

    assert host.pings(container)
    assert host.source_of(container) == HOST_ADDRESS
    host.engine.docker("swarm", "leave", "--force")
