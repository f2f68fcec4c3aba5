"""Routes of others that take packets for containers away from their bridge (moby/moby#46615)."""

from dataclasses import replace
from ipaddress import IPv6Network
from random import Random

import pytest

from dockerv6.api.traffic import Egress
from dockerv6.hostnet.model import Route, RouteProtocol, RoutingRule
from dockerv6.planning.addressing.route_conflicts import _RouteIndex, route_conflicts, route_findings
from dockerv6.planning.inputs import HostView
from tests.unit.planning.scene import DEFAULT_ROUTE, bridge, foreign, host

NET = foreign("blog", "fd12:3456:789a:1::/64")
OWN = Route(IPv6Network("fd12:3456:789a:1::/64"), NET.bridge, RouteProtocol.KERNEL, 254, 256)
MAIN = RoutingRule(32766, 254)
LOCAL = RoutingRule(0, 255)


def vpn(to: str = "fd12:3456:789a:1::/64", metric: int = 50, table: int = 254) -> Route:
    return Route(IPv6Network(to), "wg0", RouteProtocol.STATIC, table, metric)


def view(*routes: Route, rules: tuple[RoutingRule, ...] = (LOCAL, MAIN), own: tuple[Route, ...] = (OWN,)) -> HostView:
    return host(bridge(NET), routes=(DEFAULT_ROUTE, *own, *routes), rules=rules)


def competing(on: HostView) -> list[tuple[str, bool]]:
    return [(str(each.entry.destination), each.certain) for each in route_conflicts(on, (NET,))]


@pytest.mark.parametrize(
    "route",
    [
        vpn(metric=50),  # an equal prefix, preferred
        vpn(metric=256),  # or with the same preference
        vpn("fd12:3456:789a:1::/80", metric=1024),  # a part
        vpn("fd12:3456:789a:1::5/128", metric=1024),
    ],
    ids=str,
)
def test_a_route_to_the_subnet_or_to_a_part_of_it_takes_packets(route: Route) -> None:
    assert competing(view(route)) == [(str(route.destination), True)]


@pytest.mark.parametrize(
    "route",
    [
        vpn(metric=1024),  # the bridge's comes first
        vpn("fd00::/8", metric=1),  # the bridge's is longer
        vpn("fd12:3456:789a:2::/64"),
        vpn("::/0", metric=1),
    ],
    ids=str,
)
def test_other_routes_do_not(route: Route) -> None:
    assert competing(view(route)) == []


LOW, HIGH = (replace(OWN, destination=half) for half in OWN.destination.subnets())
QUARTERS = tuple(replace(OWN, destination=each) for each in OWN.destination.subnets(2))


@pytest.mark.parametrize(
    ("own", "route", "taken"),
    [
        ((LOW, HIGH), vpn(), []),  # the parts are longer
        ((LOW, *QUARTERS[2:]), vpn(metric=1), []),
        ((LOW, HIGH), vpn("fd12:3456:789a:1:8000::/65", metric=1024), []),
        ((LOW, HIGH), vpn("fd12:3456:789a:1:8000::/65", metric=50), [("fd12:3456:789a:1:8000::/65", True)]),
        ((LOW, HIGH), vpn("fd12:3456:789a:1::/80", metric=1024), [("fd12:3456:789a:1::/80", True)]),
        ((LOW, QUARTERS[2]), vpn(), [("fd12:3456:789a:1::/64", False)]),  # the last quarter
        ((OWN, LOW), vpn("fd12:3456:789a:1:8000::/65"), [("fd12:3456:789a:1:8000::/65", True)]),
        ((OWN, QUARTERS[0]), vpn("fd12:3456:789a:1::/66", metric=1024), []),
    ],
)
def test_a_subnet_may_be_routed_to_the_bridge_in_parts(
    own: tuple[Route, ...], route: Route, taken: list[tuple[str, bool]]
) -> None:
    assert competing(view(route, own=own)) == taken


def test_a_copy_of_the_parts_in_another_table_comes_before_its_default_route() -> None:
    rules = (LOCAL, RoutingRule(5270, 52), MAIN)
    low, high = (replace(each, table=52) for each in (LOW, HIGH))
    assert competing(view(vpn("::/0", table=52), low, high, rules=rules)) == []
    assert competing(view(vpn("::/0", table=52), low, rules=rules)) == [("::/0", False)]


def test_without_a_route_to_the_bridge_any_other_one_takes_packets() -> None:
    """Perhaps: of a new bridge, the route may not be read yet."""
    dhcp = Route(OWN.destination, "lo", RouteProtocol.DHCP, 254, 1024, "unreachable")
    for seen in (
        view(vpn(metric=1024), own=()),
        view(vpn(metric=256), own=()),
        replace(view(own=()), rejecting=(dhcp,)),
    ):
        assert competing(seen) == [("fd12:3456:789a:1::/64", False)]
    assert competing(view(vpn("fd12:3456:789a:1::/80"), own=())) == [("fd12:3456:789a:1::/80", True)]


@pytest.mark.parametrize("seed", range(20))
def test_the_index_finds_what_a_search_through_all_routes_finds(seed: int) -> None:
    random = Random(seed)
    prefixes = ["::/0", "2000::/3", "2000::/4", "8000::/1", "fd00::/8", "fd12::/16", "fd12:3456::/32", "fd12:3457::/32"]
    prefixes += ["fd12:3456:789a::/48", "fd12:3456:789a::/63", "fd12:3456:789a:1::/64", "fd12:3456:789a:1::/65"]
    routes = [vpn(random.choice(prefixes), random.randrange(9), random.choice((52, 254))) for _ in range(25)]
    index, subnet = _RouteIndex(host(routes=tuple(routes))), OWN.destination

    def best(found: list[Route]) -> tuple[int, int] | None:
        return min(((-r.destination.prefixlen, r.metric) for r in found), default=None)

    for table in (52, 254, 7):
        here = [r for r in routes if r.table == table]
        larger = [r for r in here if subnet != r.destination and subnet.subnet_of(r.destination)]
        cover = index.covering(table, subnet)
        assert best([cover] if cover else []) == best(larger)
        for suppressed in (None, 0, 3, 4):
            lead = [r for r in here if str(r.destination) in {"::/0", "2000::/3", "2000::/4"}]
            default = index.default(table, suppressed)
            usable = [r for r in lead if suppressed is None or suppressed < r.destination.prefixlen]
            assert best([default] if default else []) == best(usable)


class TestRules:
    """Tables that are consulted before the main one."""

    def test_a_table_without_a_rule_has_no_effect(self) -> None:
        assert competing(view(vpn(table=52))) == []

    def test_a_rule_for_all_packets_is_certain(self) -> None:
        assert competing(view(vpn(table=52), rules=(LOCAL, RoutingRule(5270, 52), MAIN))) == [
            ("fd12:3456:789a:1::/64", True)
        ]

    @pytest.mark.parametrize("condition", ["from", "fwmark", "iif"])
    def test_a_rule_for_some_packets_is_not(self, condition: str) -> None:
        rule = RoutingRule(5270, 52, conditions=frozenset({condition}))
        assert competing(view(vpn(table=52), rules=(LOCAL, rule, MAIN))) == [("fd12:3456:789a:1::/64", False)]

    def test_a_default_route_in_such_a_table_may_take_all(self) -> None:
        # an exit node of Tailscale
        seen = view(vpn("::/0", table=52), rules=(LOCAL, RoutingRule(5270, 52), MAIN))
        assert competing(seen) == [("::/0", False)]
        (found,) = route_findings(seen, (NET,), Egress())
        assert "`ip -6 rule add to fd12:3456:789a:1::/64 lookup main pref 1`" in found.message
        exception = RoutingRule(1, 254, IPv6Network("fd12:3456:789a:1::/64"))  # what that command adds
        assert competing(replace(seen, rules=(LOCAL, exception, *seen.rules[1:]))) == []

    def test_a_default_route_for_marked_packets_is_ordinary(self) -> None:
        rule = RoutingRule(100, 52, conditions=frozenset({"fwmark"}))
        assert competing(view(vpn("::/0", table=52), rules=(LOCAL, rule, MAIN))) == []

    def test_a_default_route_for_a_source_of_the_host_is_ordinary(self) -> None:
        rule = RoutingRule(100, 52, conditions=frozenset({"from"}))
        assert competing(view(vpn("::/0", table=52), rules=(LOCAL, rule, MAIN))) == []

    def test_the_main_table_may_come_first_for_all_but_its_default_route(self) -> None:
        # wg-quick
        first = RoutingRule(32764, 254, suppressed=0)
        second = RoutingRule(32765, 51820, conditions=frozenset({"fwmark", "not"}))
        assert competing(view(vpn("::/0", table=51820), rules=(LOCAL, first, second, MAIN))) == []

    def test_a_rule_for_another_destination_does_not_matter(self) -> None:
        rule = RoutingRule(5270, 52, IPv6Network("2001:db8::/32"))
        assert competing(view(vpn(table=52), rules=(LOCAL, rule, MAIN))) == []

    @pytest.mark.parametrize("part", ["fd12:3456:789a:1::/80", "fd12:3456:789a:1::2/128"])
    def test_the_main_table_for_a_part_of_the_subnet_leaves_the_rest_to_later_rules(self, part: str) -> None:
        rules = (LOCAL, RoutingRule(1, 254, IPv6Network(part)), RoutingRule(5270, 52), MAIN)
        assert competing(view(vpn(table=52), rules=rules)) == [("fd12:3456:789a:1::/64", True)]
        for whole in ("fd12:3456:789a:1::/64", "fd12::/16"):
            rules = (LOCAL, RoutingRule(1, 254, IPv6Network(whole)), *rules[2:])
            assert competing(view(vpn(table=52), rules=rules)) == []

    def test_a_table_with_the_route_to_the_bridge_is_a_copy(self) -> None:
        copy = replace(OWN, table=52)
        assert competing(view(vpn("::/0", table=52), copy, rules=(LOCAL, RoutingRule(5270, 52), MAIN))) == []


def test_the_finding_names_the_route_and_how_to_remove_it() -> None:
    (found,) = route_findings(view(vpn()), (NET,), Egress())
    assert (str(found.condition), found.reason, found.blocks, found.unknown) == (
        "HostReady",
        "RouteConflict",
        False,
        False,
    )
    assert "route fd12:3456:789a:1::/64 on wg0 (static, table main) takes packets" in found.message
    assert "`ip -6 route del fd12:3456:789a:1::/64 dev wg0`" in found.message
    rules = (LOCAL, RoutingRule(1, 52, conditions=frozenset({"fwmark"})), MAIN)
    (found,) = route_findings(view(vpn(table=52), rules=rules), (NET,), Egress())
    assert found.unknown
    assert "`ip -6 route del fd12:3456:789a:1::/64 dev wg0 table 52`" in found.message


def test_a_network_without_its_bridge_has_no_finding() -> None:
    assert route_findings(host(routes=(vpn(),)), (NET,), Egress()) == ()
