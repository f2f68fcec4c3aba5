"""chaifeng/ufw-docker#8: with ufw on, only the clients that the administrator lists may reach a container over IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host
    from tests.lab.firewalls import HostFirewalls

_LISTED = {"port": 8080, "targetPort": 80, "containers": {"name": "web-8"}, "from": [f"{FAR_ADDRESS}/128"]}
_OPEN = {"port": 8081, "targetPort": 80, "containers": {"name": "web-8"}}


def _as_listed(host: Host) -> None:
    reach_as(host.neighbour, published(8080), "web-8", FAR_ADDRESS, source=FAR_ADDRESS)
    reach_as(host.neighbour, published(8081), "web-8", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)
    assert ask(host.neighbour, published(8080), source=NEIGHBOUR_ADDRESS, patience=0.3) is None
    host.wait_source("web-8", HOST_ADDRESS)


@pytest.mark.core_cells("20.10-off")
def test_only_listed_clients_reach_a_container_behind_ufw(
    host: Host, firewalls: Callable[[Host], HostFirewalls]
) -> None:
    ufw = firewalls(host).ufw
    host.network("web", {"publish": {"ports": [_LISTED, _OPEN]}})
    host.run("web-8", "web")

    with host.xtables_restored():
        for command in (("--force", "enable"), ("reload",)):
            ufw(*command)
            _as_listed(host)
        assert "deny (routed)" in ufw("status", "verbose")


@pytest.mark.cells("20.10-off")
@pytest.mark.parametrize("first", ["ufw", "dockerv6"])
def test_a_client_that_ufw_denies_does_not_reach_a_container(
    fresh_host: Callable[..., Host], firewalls: Callable[[Host], HostFirewalls], first: str
) -> None:
    host = fresh_host()
    ufw = firewalls(host).ufw
    if first == "ufw":
        ufw("--force", "enable")
        ufw("route", "deny", "from", NEIGHBOUR_ADDRESS)
    host.start()
    host.network("web", {"publish": {"ports": [_OPEN]}})
    host.run("web-8", "web")
    if first == "dockerv6":
        reach_as(host.neighbour, published(8081), "web-8", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)
        ufw("--force", "enable")
        ufw("route", "deny", "from", NEIGHBOUR_ADDRESS)

    for _ in range(2):
        reach_as(host.neighbour, published(8081), "web-8", FAR_ADDRESS, source=FAR_ADDRESS)
        eventually(
            lambda: ask(host.neighbour, published(8081), source=NEIGHBOUR_ADDRESS, patience=0.3) is None,
            "the denied client is kept out",
        )
        host.operator.wait_ready("ipv6network/web")
        ufw("reload")

    ufw("route", "delete", "deny", "from", NEIGHBOUR_ADDRESS)
    reach_as(host.neighbour, published(8081), "web-8", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)
