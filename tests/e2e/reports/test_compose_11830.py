"""docker/compose#11830: networks and containers of a Compose project must have IPv6 only, and no IPv4 at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  web:
    image: busybox:test
    hostname: web-11830
    command: [responder, tcp/80]
    ports: ["8080:80"]
  db:
    image: busybox:test
    hostname: db-11830
    command: [responder, tcp/80]
networks:
  default: {external: true, name: six}
"""


@pytest.mark.cells("28.5")
def test_a_project_has_ipv6_only(host: Host) -> None:
    host.network("six", {"ipv4": {"enabled": False}})
    stack = host.stack("only", _STACK)
    stack.up()
    web, db = stack.container("web"), stack.container("db")

    for container in (web, db):
        links = host.engine.container_netns_exec(container, "ip", "-4", "-br", "address", "show", "dev", "eth0").stdout
        assert links == ""
        assert host.source_of(container) == HOST_ADDRESS
    reach_as(host.neighbour, published(8080), "web-11830", NEIGHBOUR_ADDRESS)
    answered = host.engine.container_exec(web, "ping", "-c", "1", "-W", "20", "db").stdout
    assert host.address(db, "six") in answered
