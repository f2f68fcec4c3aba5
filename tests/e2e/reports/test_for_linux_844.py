"""docker/for-linux#844: the host must have its advertised default route although Docker has turned forwarding on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, forwarding
from tests.e2e.provider import UPLINK

if TYPE_CHECKING:
    from tests.e2e.provider import Premises


def _default_route(premises: Premises) -> str:
    return premises.ip("route", "show", "default", "dev", UPLINK)


@pytest.mark.cells("20.10-off")
def test_the_default_route_comes_back(premises: Premises) -> None:
    engine = premises.engine
    engine.netexec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0", f"net.ipv6.conf.{UPLINK}.accept_ra=1")
    premises.provider.advertise("2001:db8:844:1::/64")
    eventually(lambda: "proto ra" in _default_route(premises), "the host has its default route")
    premises.create_network("containers", "fdaa:bbbb:cccc:1::/64")
    assert forwarding(engine) == "1"
    eventually(lambda: _default_route(premises) == "", "the kernel removed the default route")

    premises.start()
    premises.network("blog")

    eventually(lambda: "proto ra" in _default_route(premises), "the host has its default route again")
    premises.run("app-844", "blog")
    source = premises.provider.seen_as(engine, "app-844")
    assert source in premises.ip("address", "show", "dev", UPLINK)
