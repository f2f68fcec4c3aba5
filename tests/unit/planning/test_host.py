from dataclasses import replace

import pytest

from dockerv6.firewall.model import HostFilterState
from dockerv6.hostnet.model import Interface, RouteProtocol
from dockerv6.planning.host import (
    FORWARDING,
    accept_ra,
    filter_findings,
    filter_steps,
    host_findings,
    restore_steps,
    sysctl_steps,
    uplink_bridges,
)
from dockerv6.planning.inputs import RulesView
from dockerv6.planning.steps import AdmitMark, RestoreSysctl, SetSysctl, WithdrawMark
from tests.unit.planning.scene import FORWARD, STUBBORN, host, route

ADMITTED = replace(FORWARD, admitted=True)
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
    assert filter_steps(rules(FORWARD, ADMITTED, STUBBORN)) == (AdmitMark(FORWARD),)


def test_an_accept_rule_that_is_needed_no_more_goes() -> None:
    assert filter_steps(rules(stray=(ADMITTED,))) == (WithdrawMark(ADMITTED),)


def test_every_accept_rule_goes_when_no_network_is_left() -> None:
    assert filter_steps(rules(FORWARD, ADMITTED, STUBBORN), wanted=False) == (WithdrawMark(ADMITTED),)


def test_what_only_a_person_can_open_is_told_of() -> None:
    (finding,) = filter_findings(rules(FORWARD, STUBBORN, replace(STUBBORN, admitted=True)))
    assert (finding.message, finding.blocks, finding.doubtful) == ("allow it there", False, True)


def test_forwarding_is_restored_before_its_guards() -> None:
    steps = restore_steps({RA: "1", FORWARDING: "0"}, {RA: "2", FORWARDING: "1"})
    assert [(s.name, s.value) for s in steps] == [(FORWARDING, "0"), (RA, "1")]
    assert all(isinstance(s, RestoreSysctl) for s in steps)


@pytest.mark.parametrize("now", [{FORWARDING: "0"}, {FORWARDING: None}, {FORWARDING: "2"}, {}])
def test_what_is_no_longer_as_we_set_it_is_left_alone(now: dict[str, str | None]) -> None:
    assert restore_steps({FORWARDING: "0"}, now) == ()


def test_what_was_so_before_is_left_alone() -> None:
    assert restore_steps({FORWARDING: "1"}, {FORWARDING: "1"}) == ()
