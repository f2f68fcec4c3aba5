"""docker-mailserver/docker-mailserver#1405: a mail server that trusts Docker's addresses must not relay over IPv6."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  mail:
    image: busybox:test
    hostname: mail-1405
    command: [responder, tcp/25]
    ports: ["25:25"]
"""
# what PERMIT_DOCKER=network trusts
_TRUSTED = ip_network("172.16.0.0/12")


@pytest.mark.cells("20.10-off")
def test_an_ipv6_client_is_not_taken_for_a_container(host: Host) -> None:
    host.stack("mail", _STACK).up()
    assert reach(host.neighbour, published(25), name="mail-1405").client in _TRUSTED

    host.network("mail6", {"members": {"matchLabels": {"com.docker.compose.project": "mail"}}})

    reach_as(host.neighbour, published(25), "mail-1405", NEIGHBOUR_ADDRESS)
    assert ip_address(NEIGHBOUR_ADDRESS) not in _TRUSTED
