"""moby/moby#46615: a VPN adds a route to the subnet of a Docker network that exists, and the cause must be named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml, subnet_of
from tests.lab.net import NEIGHBOUR_ADDRESS, ping

if TYPE_CHECKING:
    from tests.lab.lab import Lab


def add_vpn(lab: Lab) -> None:
    """An interface that leads elsewhere."""
    lab.engine.netexec("ip", "link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1")
    for name in ("vpn0", "vpn1"):
        lab.engine.netexec("ip", "link", "set", name, "up")


@pytest.mark.core_cells("28.5")
def test_the_route_is_named_while_it_is_there(lab: Lab) -> None:
    operator, host = lab.operator(), lab.engine.netexec
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    lab.engine.run("web", "blog")
    eventually(lambda: ping(lab.engine, "web", NEIGHBOUR_ADDRESS, deadline=1), "the container reaches others")
    subnet = subnet_of(lab.engine, "blog")
    route = ("route", subnet, "dev", "vpn0", "metric", "50")
    add_vpn(lab)
    host("ip", "-6", "route", "add", *route[1:])
    assert not ping(lab.engine, "web", NEIGHBOUR_ADDRESS, deadline=1)
    eventually(has_condition(operator, "blog", "HostReady", "False", "RouteConflict"), "the route is noticed")
    found = condition(operator, "blog", "Ready")
    assert found is not None
    assert f"the host's route {subnet} on vpn0" in found["message"]
    doctor = operator.cli("doctor", check=False)
    assert doctor.returncode == 1
    assert f"the host's route {subnet} on vpn0" in doctor.stdout
    remedy = f"ip -6 route del {subnet} dev vpn0"
    assert f"`{remedy}`" in found["message"]
    host(*remedy.split())
    eventually(has_condition(operator, "blog", "Ready", "True", "ReconcileSucceeded"), "the remedy works")
    assert ping(lab.engine, "web", NEIGHBOUR_ADDRESS)
    eventually(lambda: operator.cli("doctor").returncode == 0, "doctor has no finding")


@pytest.mark.core_cells("28.5")
def test_a_route_in_a_table_that_comes_first_is_named_too(lab: Lab) -> None:
    operator, host = lab.operator(), lab.engine.netexec
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    add_vpn(lab)
    host("ip", "-6", "route", "add", "default", "dev", "vpn0", "table", "52")
    host("ip", "-6", "rule", "add", "priority", "5270", "table", "52")  # as Tailscale does
    eventually(has_condition(operator, "blog", "HostReady", "Unknown", "RouteConflict"), "the rule is noticed")
    host("ip", "-6", "rule", "del", "priority", "5270")
    eventually(has_condition(operator, "blog", "HostReady", "True", "InSync"), "it is over")
    host("ip", "-6", "route", "flush", "table", "52")


@pytest.mark.core_cells("28.5")
def test_a_route_that_drops_is_over_as_soon_as_its_remedy_was_pasted(lab: Lab) -> None:
    """The kernel's notification is enough, whatever the length of the prefix: nothing waits for a resync."""
    operator, host = lab.operator(), lab.engine.netexec
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    half = subnet_of(lab.engine, "blog").replace("/64", "/65")
    for kind, to, metric in (("blackhole", half, "7"), ("unreachable", "default", "3")):
        host("ip", "-6", "route", "add", kind, to, "metric", metric)
        eventually(has_condition(operator, "blog", "HostReady", "False", "RouteConflict"), "the route is noticed")
        found = condition(operator, "blog", "Ready")
        assert found is not None
        remedy = re.search(r"`(ip -6 route del [^`]+)`", found["message"])
        assert remedy is not None
        host(*remedy[1].split())
        eventually(has_condition(operator, "blog", "Ready", "True", "ReconcileSucceeded"), "the remedy works")
