"""crazy-max/docker-fail2ban#13: an IPv6 client that is banned must not reach a container's published port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import ask

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_JAIL = "f2b-nginx"


@pytest.mark.cells("28.5")
def test_a_banned_client_does_not_reach_a_published_port(host: Host) -> None:
    host.create_network("nginx", "fd00:f2b::/64")
    host.policy("nginx", {"selector": {"names": ["nginx"]}})
    host.run("nginx-13", "nginx", ports={"80/tcp": 8013})
    reach_as(host.neighbour, published(8013), "nginx-13", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)

    with host.xtables_restored():
        # fail2ban's action with `chain = DOCKER-USER`
        for command in (f"-N {_JAIL}", f"-A {_JAIL} -j RETURN", f"-I DOCKER-USER -p tcp -j {_JAIL}"):
            host.engine.exec("ip6tables", *command.split())
        ban = (_JAIL, "-s", NEIGHBOUR_ADDRESS, "-j", "REJECT", "--reject-with", "icmp6-port-unreachable")
        host.engine.exec("ip6tables", "-I", *ban)
        for _ in range(2):
            assert ask(host.neighbour, published(8013), source=NEIGHBOUR_ADDRESS, patience=0.3) is None
            reach_as(host.neighbour, published(8013), "nginx-13", FAR_ADDRESS, source=FAR_ADDRESS)
            # the repair of dockerv6's own rules must not lift the ban
            host.engine.netexec("nft", "flush", "table", "inet", "dockerv6")

        host.engine.exec("ip6tables", "-D", *ban)
        reach_as(host.neighbour, published(8013), "nginx-13", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)
