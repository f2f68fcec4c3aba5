"""mailcow/mailcow-dockerized#5721: SNAT6_TO_SOURCE must be effective although the engine masquerades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.reports import mailcow
from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_SOURCE = "2001:db8:0:1::25"
# what mailcow's netfilter container adds, behind the engine's MASQUERADE
_SNAT = ("-s", "fd4d:6169:6c63:6f77::/64", "!", "-d", "fd4d:6169:6c63:6f77::/64", "-j", "SNAT", "--to-source", _SOURCE)


@pytest.mark.cells("20.10-on")
def test_mail_leaves_from_the_chosen_address(host: Host) -> None:
    with host.second_address(_SOURCE), host.xtables_restored():
        host.stack("mailcow", mailcow.STACK).up()
        host.engine.exec("ip6tables", "-t", "nat", "-A", "POSTROUTING", *_SNAT)
        assert host.source_of("mailcow-postfix-1") == HOST_ADDRESS

        host.policy("mailcow", {**mailcow.POLICY, "egress": {"mode": "SNAT", "snatAddress": _SOURCE}})

        assert host.source_of("mailcow-postfix-1") == _SOURCE
        reach_as(host.neighbour, published(25, address=_SOURCE), "postfix", NEIGHBOUR_ADDRESS)
