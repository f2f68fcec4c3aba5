from ipaddress import IPv6Network

from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import RouteProtocol
from dockerv6.planning.inputs import Desired, Holdings, HostView, Observed
from dockerv6.planning.steps import BindSubnet, Finding, ForgetSubnet, KeepPoolPrefix
from dockerv6.planning.subnets import Subnet, decide
from tests.simulation.resources import pool
from tests.unit.planning.scene import (
    SUBNET,
    allocation,
    cooling,
    desired,
    foreign,
    holdings,
    live,
    observed,
    route,
)

FIXED = {"subnet": str(SUBNET)}


def given(wish: Desired, moment: Observed | None = None, held: Holdings | None = None) -> Subnet:
    found = decide(wish, moment or observed(), held or holdings(), own(wish, moment))
    assert isinstance(found, Subnet), found
    return found


def refused(wish: Desired, moment: Observed | None = None, held: Holdings | None = None) -> Finding:
    found = decide(wish, moment or observed(), held or holdings(), own(wish, moment))
    assert isinstance(found, Finding), found
    return found


def own(wish: Desired, moment: Observed | None) -> Network | None:
    return next(iter(moment.networks.owned(wish.identity, wish.name)), None) if moment else None


def binding(found: Subnet) -> BindSubnet:
    (bind,) = [s for s in found.steps if isinstance(s, BindSubnet)]
    return bind


def test_a_new_network_is_given_a_free_subnet_of_its_pool() -> None:
    found = given(desired())
    assert found.prefix.prefixlen == 64
    assert found.prefix.subnet_of(IPv6Network("fd12:3456:789a::/48"))
    assert binding(found) == BindSubnet("blog", "default", found.prefix, None, binding(found).reason)


def test_the_same_question_has_the_same_answer() -> None:
    assert given(desired()) == given(desired())


def test_an_allocation_is_kept() -> None:
    assert given(desired(), held=holdings(allocation())) == Subnet(SUBNET)


def test_an_allocation_is_kept_by_a_disabled_pool() -> None:
    closed = pool(prefix="fd12:3456:789a::/48", disabled=True)
    assert given(desired(None, closed), held=holdings(allocation())) == Subnet(SUBNET)


def test_a_disabled_pool_gives_out_nothing_new() -> None:
    found = refused(desired(None, pool(prefix="fd12:3456:789a::/48", disabled=True)))
    assert (found.condition, found.reason) == ("SubnetAllocated", "PoolDisabled")


def test_an_unknown_pool_is_named_with_the_known_ones() -> None:
    found = refused(desired(addressing={"poolRef": {"name": "office"}}))
    assert found.reason == "PoolNotFound"
    assert "office" in found.message
    assert "default" in found.message


def test_a_pool_that_follows_an_interface_is_not_yet_in_effect() -> None:
    assert refused(desired(None, pool(fromInterface={"name": "eth0"}))).reason == "NotYetInEffect"


def test_a_full_pool_says_when_the_next_subnet_is_free() -> None:
    small = pool(prefix="fd00:1::/63")
    held = holdings(allocation("fd00:1::/64", "a"), cooling("fd00:1:0:1::/64", "b", ago=600))
    found = refused(desired(None, small), held=held)
    assert found.reason == "PoolExhausted"
    assert found.retry == 3000
    assert "1 of 2 are held and 1 cool down" in found.message


def test_a_full_pool_that_nothing_will_free_is_not_asked_again() -> None:
    held = holdings(allocation("fd00:1::/64", "a"))
    assert refused(desired(None, pool(prefix="fd00:1::/64")), held=held).retry is None


def test_a_pool_that_is_smaller_than_the_subnet_asked_for_says_so() -> None:
    wish = desired(addressing={"prefixLength": 40})
    assert "too small to hold a /40" in refused(wish).message


def test_a_subnet_of_another_length_can_be_asked_for() -> None:
    assert given(desired(addressing={"prefixLength": 80})).prefix.prefixlen == 80


def test_another_length_moves_an_allocation_and_shows_its_revision() -> None:
    found = given(desired(addressing={"prefixLength": 80}), held=holdings(allocation()))
    assert binding(found).seen == 7


def test_what_a_pool_no_longer_holds_is_moved() -> None:
    moved = pool(prefix="fd77::/48")
    assert given(desired(None, moved), held=holdings(allocation())).prefix.subnet_of(IPv6Network("fd77::/48"))


def test_what_a_pool_excludes_is_moved_although_it_is_live() -> None:
    wish = desired(None, pool(prefix="fd12:3456:789a::/48", exclude=[str(SUBNET)]))
    found = given(wish, observed(live(wish)), holdings(allocation()))
    assert found.prefix != SUBNET


def test_a_cooling_subnet_is_given_to_nobody_else() -> None:
    free = given(desired()).prefix
    assert given(desired(), held=holdings(cooling(free))).prefix != free


def test_a_subnet_whose_cooldown_is_over_is_forgotten_before_it_is_bound_again() -> None:
    one = pool(prefix="fd00:1::/64")
    old = cooling("fd00:1::/64", ago=3600)
    found = given(desired(None, one), held=holdings(old))
    assert found.steps == (ForgetSubnet(old), binding(found))


def test_the_last_owner_gets_its_cooling_subnet_back() -> None:
    assert given(desired(), held=holdings(cooling(SUBNET, "blog"))).prefix == SUBNET


def test_live_networks_and_routes_inside_the_pool_are_kept_clear_of() -> None:
    free = given(desired()).prefix
    second = given(desired(), observed(foreign("x", str(free)))).prefix
    assert second != free
    assert given(desired(), observed(host=HostView(routes=(route(str(free)),)))).prefix != free


def test_a_lost_ledger_is_rebuilt_from_the_live_network() -> None:
    wish = desired()
    found = given(wish, observed(live(wish)))
    assert found.prefix == SUBNET
    assert binding(found).reason == "its live network has it"


def test_a_live_subnet_that_somebody_else_holds_is_not_taken_up() -> None:
    wish = desired()
    assert given(wish, observed(live(wish)), holdings(allocation(owner="other"))).prefix != SUBNET


def test_an_allocation_that_was_taken_while_the_network_was_gone_is_told_of() -> None:
    found = refused(desired(), observed(foreign("thief", str(SUBNET))), holdings(allocation()))
    assert found.reason == "SubnetOverlap"
    assert "thief" in found.message
    assert found.retry


def test_an_allocation_out_of_an_on_link_pool_comes_back() -> None:
    on_link = pool(prefix="2001:db8:1::/64", allocationLength=80)
    moment = observed(host=HostView(routes=(route("2001:db8:1::/64"),)))
    first = given(desired(None, on_link), moment).prefix
    assert given(desired(None, on_link), moment, holdings(allocation(first))) == Subnet(first)


def test_a_generated_pool_is_made_at_its_first_use() -> None:
    found = given(desired(None, pool()), observed(entropy=b"\x12\x34\x56\x78\x9a"))
    assert found.steps[0] == KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48"))


def test_a_generated_pool_keeps_its_prefix() -> None:
    kept = IPv6Network("fd01:203:405::/48")
    found = given(desired(None, pool()), held=holdings(default=kept))
    assert found.prefix.subnet_of(kept)
    assert not any(isinstance(s, KeepPoolPrefix) for s in found.steps)


def test_a_generated_pool_that_was_lost_is_what_its_networks_say() -> None:
    wish = desired(None, pool())
    found = given(wish, observed(live(wish)))
    assert found.prefix == SUBNET
    assert found.steps[0] == KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48"))


def test_a_fixed_subnet_is_bound_as_it_is() -> None:
    found = given(desired(addressing=FIXED))
    assert found.steps == (BindSubnet("blog", "", SUBNET, None, "the resource fixes it"),)


def test_a_fixed_subnet_that_is_bound_stays() -> None:
    assert given(desired(addressing=FIXED), held=holdings(allocation(pool=""))) == Subnet(SUBNET)


def test_a_fixed_subnet_is_the_resources_own_network_too() -> None:
    wish = desired(addressing=FIXED)
    assert given(wish, observed(live(wish), applied=True), holdings(allocation(pool=""))) == Subnet(SUBNET)


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


def test_a_fixed_subnet_that_cools_down_for_somebody_else_is_refused() -> None:
    found = refused(desired(addressing=FIXED), held=holdings(cooling(SUBNET, "shop", ago=10)))
    assert "cools down" in found.message


def test_a_fixed_subnet_that_was_fixed_before_has_no_cooldown() -> None:
    old = cooling(SUBNET, "shop", pool="")
    assert given(desired(addressing=FIXED), held=holdings(old)).steps[0] == ForgetSubnet(old)


def test_a_fixed_subnet_that_swallows_a_whole_pool_is_refused() -> None:
    found = refused(
        desired(addressing={"subnet": "fd12::/16"}), held=holdings(default=IPv6Network("fd12:3456:789a::/48"))
    )
    assert "the whole of IPv6Pool default" in found.message


def test_a_fixed_subnet_on_an_on_link_prefix_is_refused_without_an_ndp_proxy() -> None:
    wish = {"subnet": "2001:db8:1:0:1::/80"}
    view = HostView(routes=(route("2001:db8:1::/64"),))
    assert "on eth0 (kernel)" in refused(desired(addressing=wish), observed(host=view)).message
    proxied = desired(addressing=wish, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
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
