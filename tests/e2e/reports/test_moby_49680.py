"""moby/moby#49680: containers of an isolated network must reach each other over IPv6 while firewalld is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host
    from tests.lab.firewalls import HostFirewalls


@pytest.mark.cells("28.5")
def test_an_internal_network_works_beside_firewalld(firewalld: tuple[Host, HostFirewalls]) -> None:
    host, firewalls = firewalld
    host.start()
    host.network("isolated", {"internal": True})
    for name in ("one", "two"):
        host.run(f"{name}-49680", "isolated")
    firewalls.firewall_cmd("--reload")

    one, two = (host.address(f"{name}-49680", "isolated") for name in ("one", "two"))
    assert str(reach(host.inside("one-49680"), Port("tcp", two, 80), name="two-49680").client) == one
    assert host.pings("two-49680", one)
    assert not host.pings("one-49680", expected=False)
