"""favonia/cloudflare-ddns#119: a DDNS client in a container must find the host's IPv6 address by asking a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.net import HOST_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = """
services:
  cloudflare-ddns:
    image: busybox:test
    command: [sleep, "3600"]
    cap_drop: [ALL]
    read_only: true
"""


@pytest.mark.cells("20.10-off")
def test_a_server_sees_the_hosts_address(host: Host) -> None:
    stack = host.stack("ddns", _STACK)
    stack.up()
    container = stack.container("cloudflare-ddns")
    assert host.source_of(container) == ""

    host.network("ddns6", {"members": {"matchLabels": {"com.docker.compose.project": "ddns"}}})

    host.wait_source(container, HOST_ADDRESS)
