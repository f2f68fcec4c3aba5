from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import Interface, RouteProtocol
from dockerv6.planning.addressing.subnets import SubnetDecision
from dockerv6.planning.inputs import Holdings, HostView, Observed
from dockerv6.planning.steps import BindSubnet, ForgetSubnet, KeepPoolPrefix
from tests.simulation.resources import network, pool
from tests.unit.planning.addressing.decisions import binding, given, refused, stays
from tests.unit.planning.scene import (
    SUBNET,
    allocation,
    cooling,
    desired,
    foreign,
    holding,
    holdings,
    host,
    live,
    observed,
    route,
    tracked,
)


def test_a_new_network_is_given_a_free_subnet_of_its_pool() -> None:
    found = given(desired())
    assert found.prefix.prefixlen == 64
    assert found.prefix.subnet_of(IPv6Network("fd12:3456:789a::/48"))
    assert binding(found) == BindSubnet("blog", "default", found.prefix, None, binding(found).reason)


def test_equal_inputs_give_equal_plans() -> None:
    assert given(desired()) == given(desired())


def test_an_allocation_is_kept() -> None:
    assert given(desired(), held=holdings(allocation())) == SubnetDecision(SUBNET)


def test_an_allocation_is_kept_by_a_disabled_pool() -> None:
    closed = pool(prefix="fd12:3456:789a::/48", disabled=True)
    assert given(desired(None, closed), held=holdings(allocation())) == SubnetDecision(SUBNET)


def test_a_disabled_pool_gives_out_nothing_new() -> None:
    found = refused(desired(None, pool(prefix="fd12:3456:789a::/48", disabled=True)))
    assert (found.condition, found.reason) == ("SubnetAllocated", "PoolDisabled")


def test_an_unknown_pool_is_named_with_the_known_ones() -> None:
    found = refused(desired(addressing={"poolRef": {"name": "office"}}))
    assert found.reason == "PoolNotFound"
    assert "office" in found.message
    assert "default" in found.message


def test_a_full_pool_reports_when_the_next_subnet_is_free() -> None:
    small = pool(prefix="fd00:1::/63")
    held = holdings(allocation("fd00:1::/64", "a"), cooling("fd00:1:0:1::/64", "b", ago=600))
    found = refused(desired(None, small), held=held)
    assert found.reason == "PoolExhausted"
    assert found.retry == 3000
    assert "1 of 2 are allocated and 1 in cooldown" in found.message


def test_a_cooldown_that_ends_after_the_year_9999_is_no_time_in_a_message() -> None:
    for cooldown in (1e17, float("inf")):
        endless = pool(prefix="fd00:1::/64")
        spec = endless.spec.model_copy(update={"cooldown": cooldown})
        want = desired(None, endless.model_copy(update={"spec": spec}))
        found = refused(want, held=holdings(cooling("fd00:1::/64", "a")))
        assert found.message.endswith("0 of 1 are allocated and 1 in cooldown; add a prefix to the pool")


def test_what_fills_a_pool_besides_its_allocations_is_named_with_a_remedy() -> None:
    one = pool(prefix="fd00:1::/62", exclude=["fd00:1::/64"])
    held = holdings(allocation("fd00:1:0:1::/64", "zz", pool=""))
    view = host(routes=(route("fd00:1:0:3::/64", "wg0", RouteProtocol.STATIC), route("fd00:1:0:2::/64", "br-x")))
    found = refused(desired(None, one), observed(foreign("x", "fd00:1:0:2::/64"), host=view), held)
    assert found.message == (
        "IPv6Pool default has no free /64: 1 of 4 are allocated (including fd00:1:0:1::/64 of zz) and 0 in cooldown;"
        " exclude takes 1 (fd00:1::/64); Docker networks take 1 (fd00:1:0:2::/64 of x);"
        " routes of the host take 1 (fd00:1:0:3::/64 on wg0);"
        " add a prefix to the pool, remove a network, shorten exclude, remove Docker networks that are not needed"
        " or remove routes of the host that are not needed"
    )
    assert found.retry == 30


def test_a_subnet_that_swallowed_the_pool_counts_with_all_its_subnets() -> None:
    held = holdings(allocation("fd00:1::/32", "zz", pool=""))
    found = refused(desired(None, pool(prefix="fd00:1::/48")), held=held)
    assert "65536 of 65536 are allocated (including fd00:1::/32 of zz)" in found.message


def test_of_many_exclusions_the_first_are_named() -> None:
    every = [f"fd00:1:0:{number}::/64" for number in range(8)]
    follows = pool(fromInterface={"name": "eth0"}, exclude=every)
    found = refused(desired(None, follows), held=holding(following=tracked("fd00:1::/61")))
    assert "exclude takes 8 (fd00:1::/64, fd00:1:0:1::/64, fd00:1:0:2::/64 and 5 more)" in found.message
    assert found.message.endswith("; use another pool or shorten exclude")


def test_networks_of_other_resources_are_allocations_and_not_foreign() -> None:
    other = live(desired(network("shop")), IPv6Network("fd00:1::/64"), 2)
    view = host(routes=(route("fd00:1::/64", "v6-shop"),))
    held = holdings(allocation("fd00:1::/64", "shop"))
    found = refused(desired(None, pool(prefix="fd00:1::/64")), observed(other, host=view), held)
    assert found.message.endswith(
        "/64: 1 of 1 are allocated and 0 in cooldown; add a prefix to the pool or remove a network"
    )


def test_a_full_pool_that_nothing_will_free_is_not_asked_again() -> None:
    held = holdings(allocation("fd00:1::/64", "a"))
    assert refused(desired(None, pool(prefix="fd00:1::/64")), held=held).retry is None


def test_a_pool_that_is_smaller_than_the_requested_subnet_is_reported() -> None:
    want = desired(addressing={"prefixLength": 40})
    assert "too small for a /40" in refused(want).message


def test_a_subnet_of_another_length_can_be_asked_for() -> None:
    assert given(desired(addressing={"prefixLength": 80})).prefix.prefixlen == 80


def test_another_length_moves_an_allocation_and_shows_its_revision() -> None:
    found = given(desired(addressing={"prefixLength": 80}), held=holdings(allocation()))
    assert binding(found).seen == 7


def test_what_a_pool_excludes_is_moved_although_it_is_live() -> None:
    want = desired(None, pool(prefix="fd12:3456:789a::/48", exclude=[str(SUBNET)]))
    found = given(want, observed(live(want)), holdings(allocation()))
    assert found.prefix != SUBNET


def test_a_cooling_subnet_is_not_given_to_another_owner() -> None:
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
    want = desired()
    found = given(want, observed(live(want)))
    assert found.prefix == SUBNET
    assert binding(found).reason == "the live network has it"


def test_a_live_subnet_of_another_owner_is_not_adopted() -> None:
    want = desired()
    assert given(want, observed(live(want)), holdings(allocation(owner="other"))).prefix != SUBNET


def test_an_allocation_that_others_use_while_the_network_is_absent_is_reported() -> None:
    found = refused(desired(), observed(foreign("thief", str(SUBNET))), holdings(allocation()))
    assert found.reason == "SubnetOverlap"
    assert "thief" in found.message
    assert found.retry


def test_an_allocation_out_of_an_on_link_pool_comes_back() -> None:
    on_link = pool(prefix="2001:db8:1::/64", allocationLength=80)
    state = observed(host=HostView(routes=(route("2001:db8:1::/64"),)))
    first = given(desired(None, on_link), state).prefix
    assert given(desired(None, on_link), state, holdings(allocation(first))) == SubnetDecision(first)


def test_a_generated_pool_is_made_at_its_first_use() -> None:
    found = given(desired(None, pool()), observed(entropy=b"\x12\x34\x56\x78\x9a"))
    assert found.steps[0] == KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48"))


def test_a_generated_pool_keeps_its_prefix() -> None:
    kept = IPv6Network("fd01:203:405::/48")
    found = given(desired(None, pool()), held=holdings(default=kept))
    assert found.prefix.subnet_of(kept)
    assert not any(isinstance(s, KeepPoolPrefix) for s in found.steps)


def test_a_generated_pool_that_was_lost_is_what_its_networks_say() -> None:
    want = desired(None, pool())
    found = given(want, observed(live(want)))
    assert found.prefix == SUBNET
    assert found.steps[0] == KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48"))


def test_an_allocation_may_be_a_whole_pool() -> None:
    want = desired(None, pool(prefix=str(SUBNET)))
    assert given(want, held=holdings(allocation())) == SubnetDecision(SUBNET)


class TestAddressesOfTheHost:
    """An on-link prefix has the host's own addresses in it."""

    POOL = pool(prefix="2001:db8:1::/64", allocationLength=66)

    def test_a_subnet_that_contains_one_of_them_is_not_allocated(self) -> None:
        first = given(desired(None, self.POOL)).prefix
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface(f"{first[7]}/64"),))
        assert not given(desired(None, self.POOL), observed(host=host(eth0))).prefix.overlaps(first)

    def test_the_bridge_of_the_network_itself_is_no_obstacle(self) -> None:
        first = given(desired(None, self.POOL)).prefix
        bridge = Interface(9, "v6-blog", "bridge", up=True, mtu=1500, addresses=(IPv6Interface(f"{first[1]}/66"),))
        assert given(desired(None, self.POOL), observed(host=host(bridge))).prefix == first

    def test_a_pool_that_is_full_of_them_reports_that_nothing_is_free(self) -> None:
        addresses = tuple(IPv6Interface(f"2001:db8:1:0:{part}::1/64") for part in ("0", "4000", "8000", "c000"))
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=addresses)
        assert refused(desired(None, self.POOL), observed(host=host(eth0))).reason == "PoolExhausted"


class TestRenumbering:
    """The pool's prefix is another one."""

    NEW = IPv6Network("2001:db8:7::/48")
    DESIRED = desired(None, pool(prefix=str(NEW)))
    MOVED = IPv6Network("2001:db8:7:1::/64")  # number 1, as SUBNET is of the pool's old prefix

    def test_the_subnet_keeps_its_number(self) -> None:
        found = given(self.DESIRED, held=holdings(allocation()))
        assert (found.prefix, found.replaces) == (self.MOVED, SUBNET)
        assert binding(found) == BindSubnet("blog", "default", self.MOVED, 7, binding(found).reason)

    def test_the_live_network_with_the_old_one_is_no_reason_to_stay(self) -> None:
        found = given(self.DESIRED, observed(live(self.DESIRED)), holdings(allocation()))
        assert (found.prefix, found.replaces) == (self.MOVED, SUBNET)

    def test_once_bound_it_is_like_any_other(self) -> None:
        state = observed(live(self.DESIRED))
        assert given(self.DESIRED, state, holdings(allocation(self.MOVED))) == SubnetDecision(self.MOVED)

    def test_a_tracked_prefix_that_changed_does_the_same(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0", "prefixLength": 60, "offset": 2}))
        held = holding(allocation("2001:db8:1:2f::/64"), following=tracked("2001:db8:9:100::/56", "2001:db8:1::/56"))
        found = given(want, held=held)
        assert (str(found.prefix), str(found.replaces)) == ("2001:db8:9:12f::/64", "2001:db8:1:2f::/64")

    def test_a_withdrawn_prefix_without_a_successor_changes_nothing(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0"}))
        gone = replace(tracked("2001:db8:1::/56"), withdrawn=True)
        held = holding(allocation("2001:db8:1:2f::/64"), following=gone)
        assert given(want, held=held) == SubnetDecision(IPv6Network("2001:db8:1:2f::/64"))

    def test_a_prefix_that_is_forgotten_takes_nothing_away(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0"}))
        assert stays(want, holdings(allocation("2001:db8:1:2f::/64"))).reason == "PrefixPending"

    def test_a_part_that_the_new_prefix_does_not_have_takes_nothing_away(self) -> None:
        want = desired(None, pool(fromInterface={"name": "eth0", "prefixLength": 56}))
        held = holding(allocation("2001:db8:1:2f::/64"), following=tracked("2001:db8:9::/64"))
        assert stays(want, held).reason == "PrefixTooLong"

    def test_a_pool_that_is_no_longer_declared_takes_nothing_away(self) -> None:
        want = desired(addressing={"poolRef": {"name": "office"}})
        assert stays(want, holdings(allocation(pool="office"))).reason == "PoolNotFound"

    @pytest.mark.parametrize(
        "rival",
        [
            holdings(allocation(), allocation(MOVED, "shop")),
            holdings(allocation(), cooling(MOVED, "shop", ago=10)),
        ],
        ids=["another resource's", "cooling down"],
    )
    def test_a_number_that_is_taken_there_is_exchanged_for_a_free_one(self, rival: Holdings) -> None:
        found = given(self.DESIRED, held=rival)
        assert found.prefix.subnet_of(self.NEW)
        assert not found.prefix.overlaps(self.MOVED)
        assert found.replaces == SUBNET
        assert binding(found).seen == 7

    @pytest.mark.parametrize(
        "state",
        [
            observed(foreign("x", "2001:db8:7:0::/62")),
            observed(host=HostView(routes=(route("2001:db8:7:1:8000::/65", "wg0"),))),
        ],
        ids=["a Docker network's", "a route's"],
    )
    def test_so_is_one_that_the_host_uses_otherwise(self, state: Observed) -> None:
        found = given(self.DESIRED, state, holdings(allocation()))
        assert found.prefix.subnet_of(self.NEW)
        assert not found.prefix.overlaps(self.MOVED)

    def test_so_is_one_with_an_address_of_the_host_in_it(self) -> None:
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface(f"{self.MOVED[7]}/48"),))
        found = given(self.DESIRED, observed(host=host(eth0)), holdings(allocation()))
        assert found.prefix.subnet_of(self.NEW)
        assert not found.prefix.overlaps(self.MOVED)

    def test_so_is_one_that_the_pool_excludes(self) -> None:
        want = desired(None, pool(prefix=str(self.NEW), exclude=[str(self.MOVED)]))
        assert not given(want, held=holdings(allocation())).prefix.overlaps(self.MOVED)

    def test_what_cooled_down_in_its_place_is_forgotten_first(self) -> None:
        old = cooling(self.MOVED, "shop", ago=3600)
        found = given(self.DESIRED, held=holdings(allocation(), old))
        assert found.prefix == self.MOVED
        assert found.steps == (ForgetSubnet(old), binding(found))

    def test_its_own_former_subnet_is_no_obstacle(self) -> None:
        held = holdings(allocation(), cooling(self.MOVED, "blog", ago=10))
        assert given(self.DESIRED, held=held).prefix == self.MOVED

    def test_the_first_prefix_that_has_the_number_free_is_taken(self) -> None:
        want = desired(None, pool(prefixes=["2001:db8:7::/48", "2001:db8:8::/48"]))
        held = holdings(allocation(), allocation(self.MOVED, "shop"))
        assert given(want, held=held).prefix == IPv6Network("2001:db8:8:1::/64")

    def test_what_another_prefix_of_the_pool_still_has_stays(self) -> None:
        want = desired(None, pool(prefixes=["2001:db8:7::/48", "fd12:3456:789a::/48"]))
        assert given(want, held=holdings(allocation())) == SubnetDecision(SUBNET)

    def test_a_smaller_prefix_keeps_as_much_of_the_number_as_fits(self) -> None:
        want = desired(None, pool(prefix="2001:db8:7:ab00::/56"))
        found = given(want, held=holdings(allocation("fd12:3456:789a:1234::/64")))
        assert str(found.prefix) == "2001:db8:7:ab34::/64"

    def test_a_pool_that_became_too_small_reports_which_subnet_stays(self) -> None:
        small = pool(prefix="2001:db8:7::/72", allocationLength=80)
        found = stays(desired(None, small, addressing={"prefixLength": 64}), holdings(allocation()))
        assert found.reason == "PoolExhausted"
        assert "too small for a /64" in found.message

    def test_a_pool_that_became_full_does_the_same(self) -> None:
        want = desired(None, pool(prefix="2001:db8:7::/64"))
        found = stays(want, holdings(allocation(), allocation("2001:db8:7::/64", "shop")))
        assert found.reason == "PoolExhausted"

    def test_a_disabled_pool_renumbers_no_network(self) -> None:
        want = desired(None, pool(prefix=str(self.NEW), disabled=True))
        assert stays(want, holdings(allocation())).reason == "PoolDisabled"

    def test_another_pool_is_no_renumbering(self) -> None:
        office = pool("office", prefix=str(self.NEW))
        want = desired(None, office, addressing={"poolRef": {"name": "office"}})
        found = given(want, held=holdings(allocation()))
        assert found.prefix.subnet_of(self.NEW)
        assert found.replaces is None

    def test_a_generated_pool_that_follows_a_fixed_one_keeps_its_prefix_first(self) -> None:
        held = holdings(allocation("2001:db8:7:1::/64"))
        found = given(desired(None, pool()), observed(entropy=b"\x12\x34\x56\x78\x9a"), held)
        assert found.prefix == SUBNET
        assert found.steps == (KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48")), binding(found))

    def test_a_live_network_that_is_there_already_is_adopted(self) -> None:
        there = live(self.DESIRED, IPv6Network("2001:db8:7:9::/64"))
        found = given(self.DESIRED, observed(there), holdings(allocation()))
        assert str(found.prefix) == "2001:db8:7:9::/64"
        assert binding(found).reason == "the live network has it"
