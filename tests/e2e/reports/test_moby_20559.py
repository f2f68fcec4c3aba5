"""moby/moby#20559: `docker run` on the default bridge must reach IPv6 hosts although its prefix is routed nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.net import HOST_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host


@pytest.mark.cells("20.10-off")
def test_the_default_bridge_reaches_ipv6_hosts(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host(config={"ipv6": True, "fixed-cidr-v6": "2001:db8:2055:9::/64"})
    host.run("ubuntu", None)
    host.start()
    assert not host.pings("ubuntu", expected=False)

    host.policy("default-bridge", {"selector": {"names": ["bridge"]}})

    assert host.pings("ubuntu")
    assert host.source_of("ubuntu") == HOST_ADDRESS
