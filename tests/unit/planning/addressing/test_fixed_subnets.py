from ipaddress import IPv6Network

from dockerv6.hostnet.model import RouteProtocol
from dockerv6.planning.addressing.subnets import SubnetDecision
from dockerv6.planning.inputs import HostView
from dockerv6.planning.steps import BindSubnet, ForgetSubnet
from tests.simulation.resources import pool
from tests.unit.planning.addressing.decisions import FIXED, binding, given, refused
from tests.unit.planning.scene import (
    SUBNET,
    allocation,
    cooling,
    desired,
    foreign,
    holding,
    holdings,
    live,
    observed,
    route,
    tracked,
)


def test_a_fixed_subnet_is_bound_as_it_is() -> None:
    found = given(desired(addressing=FIXED))
    assert found.steps == (BindSubnet("blog", "", SUBNET, None, "spec.addressing.subnet"),)


def test_a_fixed_subnet_that_is_bound_stays() -> None:
    assert given(desired(addressing=FIXED), held=holdings(allocation(pool=""))) == SubnetDecision(SUBNET)


def test_a_fixed_subnet_is_the_resources_own_network_too() -> None:
    want = desired(addressing=FIXED)
    assert given(want, observed(live(want), applied=True), holdings(allocation(pool=""))) == SubnetDecision(SUBNET)


def test_a_pools_subnet_that_becomes_fixed_changes_its_pool() -> None:
    found = given(desired(addressing=FIXED), held=holdings(allocation()))
    assert binding(found).pool == ""
    assert binding(found).seen == 7


def test_a_fixed_subnet_that_overlaps_a_docker_network_is_refused() -> None:
    found = refused(desired(addressing=FIXED), observed(foreign("compose", "fd12:3456:789a::/48")))
    assert "fd12:3456:789a::/48 of Docker network compose" in found.message


def test_a_fixed_subnet_that_overlaps_another_resources_is_refused() -> None:
    found = refused(desired(addressing=FIXED), held=holdings(allocation("fd12:3456:789a::/49", "shop")))
    assert "IPv6Network shop" in found.message


def test_a_fixed_subnet_in_the_cooldown_of_another_owner_is_refused() -> None:
    found = refused(desired(addressing=FIXED), held=holdings(cooling(SUBNET, "shop", ago=10)))
    assert "in cooldown" in found.message


def test_a_fixed_subnet_that_was_fixed_before_has_no_cooldown() -> None:
    old = cooling(SUBNET, "shop", pool="")
    assert given(desired(addressing=FIXED), held=holdings(old)).steps[0] == ForgetSubnet(old)


def test_a_fixed_subnet_that_swallows_a_whole_pool_is_refused() -> None:
    generated = holdings(default=IPv6Network("fd12:3456:789a::/48"))
    found = refused(desired(None, pool(), addressing={"subnet": "fd12:3456::/32"}), held=generated)
    assert "the whole of IPv6Pool default (fd12:3456:789a::/48)" in found.message


def test_a_fixed_subnet_that_swallows_an_unused_pool_is_refused() -> None:
    several = pool("p", prefixes=["fd00:7:0:1::/64", "fd00:7:0:9::/64"])
    found = refused(desired(None, several, addressing={"subnet": "fd00:7::/48"}))
    assert found.reason == "SubnetOverlap"
    assert "the whole of IPv6Pool p (fd00:7:0:1::/64 and 1 more)" in found.message
    part = desired(None, several, addressing={"subnet": "fd00:7:0:1::/64"})
    assert str(given(part).prefix) == "fd00:7:0:1::/64"


def test_a_fixed_subnet_that_swallows_a_pool_of_an_interface_is_refused() -> None:
    follows = pool("p", fromInterface={"name": "eth0", "prefixLength": 64})
    want = desired(None, follows, addressing={"subnet": "2001:db8:1::/64"}, egress={"mode": "Routed"})
    held = holding(following=tracked("2001:db8:1::/56"))
    assert "the whole of IPv6Pool p" in refused(want, held=held).message
    assert str(given(want).prefix) == "2001:db8:1::/64"  # the interface has no prefix yet


def test_a_pool_that_is_declared_later_takes_no_fixed_subnet() -> None:
    want = desired(None, pool("p", prefix=str(SUBNET)), addressing=FIXED)
    assert given(want, held=holdings(allocation(pool=""))) == SubnetDecision(SUBNET)


def test_a_fixed_subnet_on_an_on_link_prefix_is_refused_without_an_ndp_proxy() -> None:
    want = {"subnet": "2001:db8:1:0:1::/80"}
    view = HostView(routes=(route("2001:db8:1::/64"),))
    assert "on eth0 (kernel)" in refused(desired(addressing=want), observed(host=view)).message
    proxied = desired(addressing=want, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    assert given(proxied, observed(host=view)).prefix == IPv6Network("2001:db8:1:0:1::/80")


def test_a_fixed_subnet_may_be_more_specific_than_an_aggregate() -> None:
    routes = (route("fc00::/7", "wg0", RouteProtocol.STATIC), route("::/0", protocol=RouteProtocol.RA))
    assert given(desired(addressing=FIXED), observed(host=HostView(routes=routes))).prefix == SUBNET


def test_a_route_inside_a_fixed_subnet_is_a_conflict() -> None:
    view = HostView(routes=(route("fd12:3456:789a:1:8000::/65", "wg0", RouteProtocol.STATIC),))
    assert "wg0 (static)" in refused(desired(addressing=FIXED), observed(host=view)).message


def test_the_route_of_the_own_bridge_is_none() -> None:
    view = HostView(routes=(route(str(SUBNET), "v6-blog"),))
    assert given(desired(addressing=FIXED), observed(host=view)).prefix == SUBNET
