"""robbertkl/docker-ipv6nat#1: port 22 of a second address for a container, that of the main address for the host."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.namespace import entered
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import connect

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_DEDICATED = "2001:db8:0:1::22"


@pytest.mark.core_cells("20.10-off")
def test_ssh_of_the_host_and_of_a_container_have_an_address_each(host: Host) -> None:
    with entered(host.host):
        sshd = socket.create_server((HOST_ADDRESS, 22), family=socket.AF_INET6)
    with closing(sshd), host.second_address(_DEDICATED):
        option = f"com.docker.network.bridge.host_binding_ipv6={_DEDICATED}"
        host.create_network("git", "fd00:dead:babe::/64", "-o", option)
        host.run("git-1", "git", ports={"80/tcp": (_DEDICATED, 22)})

        host.policy("git", {"selector": {"names": ["git"]}})

        reach_as(host.neighbour, published(22, address=_DEDICATED), "git-1", NEIGHBOUR_ADDRESS)
        with connect(host.neighbour, published(22)):
            accepted, client = sshd.accept()
            accepted.close()
        assert client[0] == NEIGHBOUR_ADDRESS
