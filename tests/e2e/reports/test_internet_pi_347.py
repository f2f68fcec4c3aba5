"""geerlingguy/internet-pi#347: a Compose stack must ping IPv6-only sites, without a subnet that somebody made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SERVICE = """
services:
  ping:
    image: busybox:test
    command: [sleep, "3600"]
    networks: [back-tier]
networks:
  back-tier: """


@pytest.mark.cells("20.10-off")
def test_a_stack_without_a_subnet_pings_ipv6_only_sites(host: Host) -> None:
    refused = host.stack("internet-pi", _SERVICE + "{enable_ipv6: true}\n").up(check=False)
    assert "could not find an available, non-overlapping IPv6 address pool" in refused.stderr

    host.network("back-tier")
    stack = host.stack("internet-pi", _SERVICE + "{external: true}\n")
    stack.up()

    assert host.pings(stack.container("ping"))
