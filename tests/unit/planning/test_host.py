from dataclasses import replace

import pytest

from dockerv6.firewall.model import HostFilterState
from dockerv6.hostnet.model import BridgePort, Interface, RouteProtocol
from dockerv6.planning.firewall.rules import filter_findings, filter_steps
from dockerv6.planning.host.bridges import bridge_steps, icc_findings
from dockerv6.planning.host.interfaces import external_interfaces, guest_bridges, host_message, uplink_bridges
from dockerv6.planning.host.sysctls import (
    FORWARDING,
    accept_ra,
    host_findings,
    proxy_ndp,
    restore_steps,
    sysctl_steps,
    unneeded_sysctls,
)
from dockerv6.planning.inputs import HostView, RulesView
from dockerv6.planning.steps import (
    AddAcceptRule,
    RemoveAcceptRule,
    RestoreSysctl,
    SetBridgeNetfilter,
    SetHairpin,
    SetSysctl,
)
from tests.unit.planning.scene import FORWARD, STUBBORN, host, route

ADMITTED = replace(FORWARD, has_accept_rule=True)
RA = accept_ra("eth0.100")


def rules(*barriers: object, stray: tuple[object, ...] = ()) -> RulesView:
    return RulesView(filter=HostFilterState(barriers, stray))  # type: ignore[arg-type]


def test_a_host_that_forwards_needs_nothing() -> None:
    assert sysctl_steps(host()) == ()


def test_uplinks_are_guarded_before_forwarding_is_turned_on() -> None:
    steps = sysctl_steps(host(forwarding="0", accept_ra={"eth1": "1", "eth0.100": "1"}))
    assert [(s.name, s.value, s.prior) for s in steps] == [
        ("net/ipv6/conf/eth0.100/accept_ra", "2", "1"),
        ("net/ipv6/conf/eth1/accept_ra", "2", "1"),
        (FORWARDING, "1", "0"),
    ]


def test_uplinks_are_guarded_late_where_forwarding_is_on_already() -> None:
    (step,) = sysctl_steps(host(accept_ra={"eth0": "1"}))
    assert isinstance(step, SetSysctl)


def test_a_kernel_without_ipv6_is_told_of_and_not_written_to() -> None:
    assert sysctl_steps(host(forwarding=None)) == ()
    (finding,) = host_findings(host(forwarding=None))
    assert (finding.reason, finding.blocks) == ("HostNotReady", True)
    assert host_findings(host()) == ()


def test_only_bridges_with_a_default_route_lead_outside() -> None:
    bridges = [Interface(i, name, "bridge", up=True, mtu=1500) for i, name in enumerate(("br0", "docker0"), 7)]
    routes = (route("::/0", "br0", RouteProtocol.RA), route("::/0", "eth0"), route("fd00::/64", "docker0"))
    assert uplink_bridges(host(*bridges, routes=routes)) == ("br0",)


def test_the_mark_is_admitted_where_it_is_dropped_and_can_be() -> None:
    assert filter_steps(rules(FORWARD, ADMITTED, STUBBORN)) == (AddAcceptRule(FORWARD),)


def test_an_accept_rule_that_is_needed_no_more_goes() -> None:
    assert filter_steps(rules(stray=(ADMITTED,))) == (RemoveAcceptRule(ADMITTED),)


def test_every_accept_rule_goes_when_no_network_is_left() -> None:
    assert filter_steps(rules(FORWARD, ADMITTED, STUBBORN), wanted=False) == (RemoveAcceptRule(ADMITTED),)


def test_what_only_a_person_can_open_is_told_of() -> None:
    (finding,) = filter_findings(rules(FORWARD, STUBBORN, replace(STUBBORN, has_accept_rule=True)))
    assert (finding.message, finding.blocks, finding.unknown) == ("allow it there", False, True)


def test_forwarding_is_restored_before_its_guards() -> None:
    steps = restore_steps({RA: "1", FORWARDING: "0"}, {RA: "2", FORWARDING: "1"})
    assert [(s.name, s.value) for s in steps] == [(FORWARDING, "0"), (RA, "1")]
    assert all(isinstance(s, RestoreSysctl) for s in steps)


@pytest.mark.parametrize("now", [{FORWARDING: "0"}, {FORWARDING: None}, {FORWARDING: "2"}, {}])
def test_what_is_no_longer_as_we_set_it_is_left_alone(now: dict[str, str | None]) -> None:
    assert restore_steps({FORWARDING: "0"}, now) == ()


def test_what_was_so_before_is_left_alone() -> None:
    assert restore_steps({FORWARDING: "1"}, {FORWARDING: "1"}) == ()


def test_answers_to_neighbours_are_switched_off_again() -> None:
    (step,) = restore_steps({proxy_ndp("eth0.100"): "0"}, {proxy_ndp("eth0.100"): "1"})
    assert (step.name, step.value) == ("net/ipv6/conf/eth0.100/proxy_ndp", "0")
    assert restore_steps({proxy_ndp("eth0"): "1"}, {proxy_ndp("eth0"): "1"}) == ()


PRIORS = {FORWARDING: "0", RA: "1", proxy_ndp("eth0"): "0", proxy_ndp("eth1"): "0"}


def test_where_nobody_is_answered_any_more_the_switch_is_spare_although_networks_are_left() -> None:
    assert unneeded_sysctls(PRIORS, forwards=True, proxying={"eth0"}) == {proxy_ndp("eth1"): "0"}
    assert unneeded_sysctls(PRIORS, forwards=True, proxying=()) == {proxy_ndp("eth0"): "0", proxy_ndp("eth1"): "0"}


def test_without_networks_all_is_spare_but_where_neighbours_are_answered() -> None:
    assert unneeded_sysctls(PRIORS, forwards=False, proxying=()) == PRIORS
    assert proxy_ndp("eth0") not in unneeded_sysctls(PRIORS, forwards=False, proxying={"eth0"})


def test_a_good_host_is_described_by_what_is_in_place() -> None:
    assert host_message(HostView()) == "the host forwards IPv6"
    eth1 = Interface(3, "eth1", "", up=True, mtu=1500, autoconfigured=True)
    view = host(eth1, routes=(route("::/0", "eth0", RouteProtocol.RA), route("fd00::/64", "eth0")))
    assert host_message(view, {"eth1", "eth0"}) == (
        "the host forwards IPv6; its way out is eth0; it hears routers on eth0, eth1;"
        " it answers neighbours on eth0, eth1"
    )
    assert "eth1" not in host_message(replace(view, accept_ra={"eth1": "1"}))


def test_all_bridges_but_those_that_lead_outside_have_guests() -> None:
    bridges = [
        Interface(i, name, "bridge", up=True, mtu=1500) for i, name in enumerate(("br0", "virbr0", "docker0"), 7)
    ]
    assert guest_bridges(host(*bridges, routes=(route("::/0", "br0"),))) == ("docker0", "virbr0")


def test_neither_loopback_nor_guests_nor_ports_are_outward() -> None:
    others = [
        Interface(1, "lo", "", up=True, mtu=65536),
        Interface(3, "eth1", "", up=True, mtu=1500, master=7),
        Interface(7, "br0", "bridge", up=True, mtu=1500),
        Interface(8, "docker0", "bridge", up=True, mtu=1500),
    ]
    assert external_interfaces(host(*others, routes=(route("::/0", "br0"),))) == ("br0", "eth0")


class TestBridges:
    """What the packet filter needs of a network's own bridge, beside rules."""

    HAIRPIN = (SetHairpin("veth1", "br-a"),)

    def bridge(self, *, netfilter: bool | None = None, own: bool = False, hairpin: bool = False) -> HostView:
        return host(
            Interface(7, "br-a", "bridge", up=True, mtu=1500, bridge_netfilter=own),
            Interface(8, "veth1", "veth", up=True, mtu=1500, master=7, bridge_port=BridgePort(hairpin)),
            Interface(9, "veth2", "veth", up=True, mtu=1500, master=70, bridge_port=BridgePort()),
            Interface(10, "vxlan1", "vxlan", up=True, mtu=1500, master=7),
            bridge_netfilter=netfilter,
        )

    @pytest.mark.parametrize(
        ("netfilter", "own", "needed"),
        [(True, False, True), (False, True, True), (False, False, False), (None, False, False)],
    )
    def test_ports_reflect_only_where_bridged_packets_are_looked_at(
        self, *, netfilter: bool | None, own: bool, needed: bool
    ) -> None:
        found = bridge_steps(self.bridge(netfilter=netfilter, own=own), ("br-a",), published=True, icc=True)
        assert found == (self.HAIRPIN if needed else ())

    def test_nothing_is_reflected_without_published_ports(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True), ("br-a",), published=False, icc=True) == ()

    def test_a_port_that_reflects_is_left_alone(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True, hairpin=True), ("br-a",), published=True, icc=True) == ()

    def test_a_bridge_that_keeps_its_containers_apart_is_looked_at(self) -> None:
        found = bridge_steps(self.bridge(netfilter=False), ("br-a",), published=False, icc=False)
        assert found == (SetBridgeNetfilter("br-a"),)
        found = bridge_steps(self.bridge(netfilter=False), ("br-a",), published=True, icc=False)
        assert found == (SetBridgeNetfilter("br-a"), *self.HAIRPIN)

    @pytest.mark.parametrize(("netfilter", "own"), [(True, False), (False, True)])
    def test_once_it_is_looked_at_there_is_nothing_to_do(self, *, netfilter: bool, own: bool) -> None:
        assert bridge_steps(self.bridge(netfilter=netfilter, own=own), ("br-a",), published=False, icc=False) == ()

    def test_a_bridge_that_is_not_there_needs_nothing(self) -> None:
        assert bridge_steps(self.bridge(netfilter=True), ("br-b",), published=True, icc=False) == ()

    def test_without_the_module_nothing_keeps_them_apart_and_that_is_said(self) -> None:
        assert icc_findings(self.bridge(), icc=True) == ()
        assert icc_findings(self.bridge(netfilter=False), icc=False) == ()
        (finding,) = icc_findings(self.bridge(), icc=False)
        assert (finding.condition, finding.blocks, finding.unknown) == ("HostReady", False, False)
