"""mailcow/mailcow-dockerized#345: mail must arrive over IPv6 behind own ip6tables rules that drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.reports import mailcow
from tests.e2e.site import published, reach_as
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_RULES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT
COMMIT
"""


@pytest.mark.cells("20.10-off")
def test_mail_arrives_and_leaves_behind_rules_that_drop(host: Host) -> None:
    with host.xtables_restored():
        host.engine.exec("ip6tables-restore", stdin=_RULES)
        host.stack("mailcow", mailcow.STACK).up()

        host.policy("mailcow", mailcow.POLICY)

        reach_as(host.neighbour, published(25), "postfix", NEIGHBOUR_ADDRESS)
        host.wait_source("mailcow-postfix-1", HOST_ADDRESS)
        saved = host.engine.exec("ip6tables-save", "-t", "filter").stdout
        assert ":FORWARD DROP" in saved
        assert [rule for rule in _RULES.splitlines() if rule.startswith("-A") and rule not in saved] == []
