from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

import pytest

from dockerv6.api.traffic import Egress
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.planning.docker.network_spec import MTU
from dockerv6.planning.host.uplinks import snat_findings, uplink_findings
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network as resource
from tests.unit.planning.scene import bridge, foreign, host, reasons, route

NET = foreign("legacy", "fd99::/64", 8)
ADDRESS = IPv6Address("2001:db8:1::2")
HELD = (IPv6Interface(f"{ADDRESS}/64"),)
NOWHERE: tuple[Route, ...] = ()


def egress(mode: str = "Masquerade", **fields: object) -> Egress:
    return resource("x", egress={"mode": mode, **fields}).spec.egress


def nic(name: str = "eth0", mtu: int = 1500, **changes: object) -> Interface:
    return replace(Interface(2, name, "", up=True, mtu=mtu), **changes)  # type: ignore[arg-type]


def view(*interfaces: Interface, routes: tuple[Route, ...] = (route("::/0"),), **changes: object) -> HostView:
    return host(bridge(NET), *interfaces, routes=routes, **changes)


def findings_of(
    on: HostView, want: Egress | None = None, networks: tuple[Network, ...] = (NET,), *, managed: bool = True
) -> tuple[Finding, ...]:
    found = uplink_findings(on, want or egress(), networks, managed=managed)
    assert {str(f.condition) for f in found} <= {"HostReady"}
    assert not any(f.blocks for f in found)
    return found


def why(found: tuple[Finding, ...]) -> list[str]:
    return [reason for _, reason in reasons(found)]


def test_a_host_with_a_default_route_has_no_finding() -> None:
    assert findings_of(view()) == ()


class TestReturnRoute:
    """Whether others have a route to the containers can't be seen from the host."""

    def test_unique_local_addresses_that_leave_untranslated_are_doubtful(self) -> None:
        (found,) = findings_of(view(), egress("Routed"))
        assert (found.reason, found.unknown) == ("NoReturnRoute", True)
        assert "fd99::/64" in found.message
        assert "egress.mode: Masquerade" in found.message

    def test_public_addresses_are_not(self) -> None:
        assert findings_of(view(), egress("Routed"), (foreign("public", "2001:db8:7::/64"),)) == ()

    def test_nor_is_the_prefix_of_a_site(self) -> None:
        site = nic(addresses=(IPv6Interface("fd99:0:0:5::2/64"),))
        assert findings_of(view(site), egress("Routed")) == ()

    def test_nor_are_translated_ones(self) -> None:
        assert findings_of(view(), egress()) == ()


class TestDefaultRoute:
    def test_it_is_unknown_with_a_remedy(self) -> None:
        (found,) = findings_of(view(routes=NOWHERE))
        assert (found.reason, found.unknown) == ("NoDefaultRoute", True)
        assert "ip -6 route add default" in found.message

    def test_a_deaf_uplink_is_named(self) -> None:
        (found,) = findings_of(view(routes=NOWHERE, accept_ra={"eth0": "1"}))
        assert "eth0 (accept_ra is 1)" in found.message

    @pytest.mark.parametrize("destination", ["2000::/3", "::/1", "2000::/4"])
    def test_a_vpns_routes_in_its_place_lead_out_too(self, destination: str) -> None:
        assert findings_of(view(routes=(route(destination, protocol=RouteProtocol.STATIC),))) == ()

    @pytest.mark.parametrize(
        "other", [route("fc00::/7"), route("8000::/1"), route("::/0", "lo"), route("::/0", "gone0")]
    )
    def test_other_routes_do_not(self, other: Route) -> None:
        assert why(findings_of(view(routes=(other,)))) == ["NoDefaultRoute"]

    def test_a_default_route_into_the_network_itself_leads_nowhere(self) -> None:
        assert why(findings_of(view(routes=(route("::/0", NET.bridge or ""),)))) == ["NoDefaultRoute"]

    def test_ipv6_that_is_off_is_the_cause(self) -> None:
        (found,) = findings_of(view(routes=NOWHERE, ipv6_off=frozenset({"all", "eth0"})))
        assert (found.reason, found.unknown) == ("HostNotReady", False)
        assert "run sysctl -w net/ipv6/conf/all/disable_ipv6=0," in found.message

    def test_ipv6_that_is_off_on_an_interface_may_be_the_cause(self) -> None:
        off = view(routes=NOWHERE, ipv6_off=frozenset({"eth0.7"}))
        (found,) = findings_of(off)
        assert (found.reason, found.unknown) == ("NoDefaultRoute", True)
        assert "sysctl -w net/ipv6/conf/eth0.7/disable_ipv6=0," in found.message
        (found,) = findings_of(view(nic("eth0.7"), ipv6_off=off.ipv6_off), egress(interfaces=["eth0.7"]))
        assert "IPv6 is off on interface eth0.7" in found.message

    def test_a_resource_that_names_interfaces_needs_no_default_route(self) -> None:
        assert findings_of(view(routes=NOWHERE), egress(interfaces=["eth0"])) == ()

    def test_networks_without_egress_give_no_findings(self) -> None:
        bad = view(routes=NOWHERE)
        assert findings_of(bad, egress("None")) == ()
        assert findings_of(bad, networks=()) == ()
        assert findings_of(bad, networks=(replace(NET, internal=True),)) == ()
        assert findings_of(bad, networks=(replace(NET, driver="macvlan"),)) == ()
        assert findings_of(HostView()) == ()


class TestMtu:
    def test_a_bridge_with_a_larger_mtu_than_its_uplink_is_reported(self) -> None:
        (found,) = findings_of(view(nic(mtu=1492)))
        assert (found.reason, found.unknown) == ("MTUMismatch", True)
        assert "eth0 has an MTU of 1492" in found.message
        assert "spec.bridge.mtu: 1492" in found.message

    def test_a_foreign_network_has_to_be_recreated_by_its_owner(self) -> None:
        (found,) = findings_of(view(nic(mtu=1492)), managed=False)
        assert f"recreate legacy with --opt {MTU}=1492" in found.message

    def test_the_option_counts_rather_than_the_mtu_of_an_empty_bridge(self) -> None:
        small = replace(NET, options={MTU: "1280"})
        assert findings_of(view(nic(mtu=1492)), networks=(small,)) == ()
        large = replace(NET, options={MTU: "9000"})
        assert why(findings_of(view(), networks=(large,))) == ["MTUMismatch"]
        for text in ("big", "9" * 5000):
            senseless = replace(NET, options={MTU: text})
            assert findings_of(view(), networks=(senseless,)) == ()

    @pytest.mark.parametrize("mtu", [0, 1500, 9000])
    def test_an_uplink_with_an_equal_or_unknown_mtu_gives_no_finding(self, mtu: int) -> None:
        assert findings_of(view(nic(mtu=mtu))) == ()

    def test_a_missing_bridge_gives_no_finding(self) -> None:
        assert findings_of(host(nic(mtu=1492), routes=(route("::/0"),))) == ()

    def test_the_narrowest_of_the_uplinks_counts_and_only_those_that_are_used(self) -> None:
        both = (nic("ppp0", 1492), nic("wg0", 1420))
        routes = (route("::/0", "ppp0"), route("::/0", "wg0", table=51820))
        (found,) = findings_of(view(*both, routes=routes))
        assert "spec.bridge.mtu: 1420" in found.message
        (found,) = findings_of(view(*both, routes=routes), egress(interfaces=["ppp0"]))
        assert "spec.bridge.mtu: 1492" in found.message

    def test_no_less_than_ipv6_needs_is_advised(self) -> None:
        (found,) = findings_of(view(nic(mtu=1000)))
        assert "spec.bridge.mtu: 1280" in found.message

    def test_only_networks_that_are_wider_are_named(self) -> None:
        small = replace(foreign("small", "fd98::/64", 7), options={MTU: "1400"})
        (found,) = findings_of(view(nic(mtu=1492)), networks=(NET, small), managed=False)
        assert "small" not in found.message


class TestInterfaces:
    def test_an_interface_that_is_not_there_may_come_later(self) -> None:
        (found,) = findings_of(view(), egress(interfaces=["eth0", "wg0"]))
        assert (found.reason, found.unknown) == ("HostNotReady", True)
        assert "there is no interface wg0" in found.message
        assert "eth0" in found.message

    def test_an_interface_that_is_down_is_reported(self) -> None:
        (found,) = findings_of(view(nic("wg0", up=False)), egress(interfaces=["wg0"]))
        assert "ip link set wg0 up" in found.message

    def test_an_interface_whose_prefix_is_tracked_must_exist(self) -> None:
        want = egress("PrefixTranslation", prefixFrom={"interface": "ppp0"})
        (found,) = findings_of(view(), want)
        assert (found.reason, found.unknown) == ("HostNotReady", False)
        assert "there is no interface ppp0" in found.message
        assert findings_of(view(nic("ppp0")), want) == ()

    def test_findings_that_are_false_come_first(self) -> None:
        want = egress("PrefixTranslation", prefixFrom={"interface": "ppp0"}, interfaces=["ppp0"])
        assert [f.unknown for f in findings_of(view(), want)] == [False, True]


class TestSource:
    def test_the_address_is_there(self) -> None:
        assert snat_findings(ADDRESS, host(nic(addresses=HELD))) == ()
        assert snat_findings(ADDRESS, host(nic("lo", addresses=HELD))) == ()

    def test_the_address_is_not_there(self) -> None:
        (found,) = snat_findings(ADDRESS, host(routes=NOWHERE))
        assert (found.reason, found.blocks, found.unknown) == ("AddressMissing", False, False)
        assert f"ip -6 addr add {ADDRESS}/128 dev lo preferred_lft 0" in found.message
        (found,) = snat_findings(ADDRESS, host(nic(), routes=(route("::/0"),)))
        assert f"ip -6 addr add {ADDRESS}/128 dev eth0 preferred_lft 0" in found.message

    def test_the_address_is_not_yet_usable(self) -> None:
        (found,) = snat_findings(ADDRESS, host(nic(addresses=HELD, tentative=frozenset({ADDRESS}))))
        assert (found.reason, found.unknown) == ("AddressPending", True)

    def test_a_duplicate_address_is_reported(self) -> None:
        one = frozenset({ADDRESS})
        (found,) = snat_findings(ADDRESS, host(nic(addresses=HELD, tentative=one, dad_failed=one)))
        assert (found.reason, found.unknown) == ("DuplicateAddress", False)
        assert "eth0" in found.message

    def test_one_interface_that_has_it_is_enough(self) -> None:
        failing = nic(addresses=HELD, tentative=frozenset({ADDRESS}), dad_failed=frozenset({ADDRESS}))
        assert snat_findings(ADDRESS, host(failing, nic("eth1", addresses=HELD))) == ()

    def test_an_unobserved_host_gives_no_findings(self) -> None:
        assert snat_findings(ADDRESS, HostView()) == ()

    def test_with_snat_only_its_address_is_reported(self) -> None:
        want = egress("SNAT", snatAddress=str(ADDRESS))
        assert why(findings_of(view(), want)) == ["AddressMissing"]
        other = IPv6Address("2001:db8:1::3")
        failing = nic(
            addresses=(*HELD, IPv6Interface(f"{other}/64")), tentative=frozenset({other}), dad_failed=frozenset({other})
        )
        assert findings_of(view(failing), want) == ()

    @pytest.mark.parametrize("mode", ["Masquerade", "Routed"])
    def test_a_duplicate_address_of_an_uplink_is_reported(self, mode: str) -> None:
        one = frozenset({ADDRESS})
        failing = nic(addresses=HELD, tentative=one, dad_failed=one)
        found, *doubts = findings_of(view(failing), egress(mode))[::-1]
        assert [each.reason for each in doubts] == (["NoReturnRoute"] if mode == "Routed" else [])
        assert (found.reason, found.unknown) == ("DuplicateAddress", True)
        assert f"{ADDRESS} on eth0" in found.message
        others = findings_of(view(replace(failing, name="eth1")), egress(mode))
        assert "DuplicateAddress" not in {each.reason for each in others}
