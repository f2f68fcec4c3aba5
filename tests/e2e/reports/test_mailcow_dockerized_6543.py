"""mailcow/mailcow-dockerized#6543: a client that mailcow's netfilter bans must be kept out of the published ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.reports import mailcow
from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host


@pytest.mark.cells("20.10-off", "20.10-on", "28.5")
@pytest.mark.parametrize("first", ["mailcow", "dockerv6"])
def test_a_banned_client_is_kept_out(fresh_host: Callable[..., Host], first: str) -> None:
    host = fresh_host()
    host.stack("mailcow", mailcow.STACK).up()
    host.engine.exec("ip6tables", "-P", "FORWARD", "DROP")  # some engines do this
    if first == "mailcow":
        mailcow.start_netfilter(host.engine)
    host.start()
    host.policy("mailcow", mailcow.POLICY)
    if first == "dockerv6":
        mailcow.start_netfilter(host.engine)
    reach_as(host.neighbour, published(25), "postfix", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)
    mailcow.ban(host.engine, NEIGHBOUR_ADDRESS)

    eventually(
        lambda: ask(host.neighbour, published(25), source=NEIGHBOUR_ADDRESS, patience=0.3) is None,
        "the banned client is kept out",
    )
    reach_as(host.neighbour, published(25), "postfix", FAR_ADDRESS, source=FAR_ADDRESS)
    host.operator.wait_ready("ipv6policy/mailcow")
