from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.firewall.model import FlowProblem, HostFilterState, PortIntent
from dockerv6.hostnet.model import Interface
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.port_assignment import PORT_RETRY
from dockerv6.planning.firewall.port_claims import port_finding
from dockerv6.planning.firewall.rules import (
    filter_steps,
    flow_findings,
    modified_table,
    pending_addresses,
    rules_findings,
)
from dockerv6.planning.inputs import HostView, RulesView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import (
    AddAcceptRule,
    RemoveAcceptRule,
)
from tests.unit.planning.scene import FORWARD, SUBNET, host

HERE, GONE = IPv6Address("2001:db8::5"), IPv6Address("2001:db8::6")
ETH1 = Interface(3, "eth1", "", up=True, mtu=1500, addresses=(IPv6Interface((HERE, 64)),))
TENTATIVE = replace(ETH1, tentative=frozenset({HERE}))
FAILED = replace(TENTATIVE, dad_failed=frozenset({HERE}))
PENDING = port_finding(Reason.ADDRESS_PENDING, "it has no address", waiting=True)
NOBODY = port_finding(Reason.NO_ENDPOINT, "nobody is there", waiting=True)
CONFLICT = port_finding(Reason.PORT_CONFLICT, "it is another's")
TAKEN = port_finding(Reason.PORT_TAKEN, "somebody listens", retry=PORT_RETRY)


def ports(*problems: Finding) -> Finding:
    (found,) = rules_findings(RulesView(port_problems={"blog": problems, "other": (TAKEN,)}), "blog", HostView())
    assert (found.condition, found.blocks) == ("PortsPublished", False)
    return found


def test_rules_in_sync_give_no_findings() -> None:
    others = RulesView(port_problems={"other": (CONFLICT,)}, overlapping={"other": "x"})
    assert rules_findings(others, "blog", HostView()) == ()


@pytest.mark.parametrize("problem", [PENDING, NOBODY])
def test_a_port_that_only_waits_is_no_fault(problem: Finding) -> None:
    found = ports(problem)
    assert (found.reason, found.unknown, found.retry) == (problem.reason, True, None)


def test_a_port_of_another_container_is_an_error() -> None:
    found = ports(CONFLICT)
    assert (found.reason, found.unknown, found.retry, found.message) == (
        "PortConflict",
        False,
        None,
        "it is another's",
    )


def test_a_port_that_a_process_has_is_looked_at_again() -> None:
    assert (ports(TAKEN).reason, ports(TAKEN).retry) == ("PortTaken", PORT_RETRY)
    assert ports(CONFLICT, TAKEN).retry == PORT_RETRY


def test_errors_come_before_waiting_ports_and_are_all_reported() -> None:
    found = ports(PENDING, CONFLICT, TAKEN)
    assert (found.reason, found.unknown) == ("PortConflict", False)
    assert found.message == "it is another's; somebody listens"
    assert ports(NOBODY, PENDING).message == "nobody is there; it has no address"


def test_what_keeps_the_table_from_being_right_blocks_or_waits() -> None:
    (gone,) = rules_findings(RulesView(problem="no nft"), "blog", HostView())
    assert (gone.reason, gone.blocks) == ("FirewallUnavailable", True)
    (overlap,) = rules_findings(RulesView(overlapping={"blog": "x overlaps"}), "blog", HostView())
    assert (overlap.reason, overlap.blocks, overlap.unknown) == ("SubnetOverlap", False, False)
    assert overlap.retry


def test_another_program_for_the_same_networks_is_reported() -> None:
    (rival,) = rules_findings(RulesView(rival="docker-ipv6nat runs"), "blog", HostView())
    assert (rival.reason, rival.unknown, rival.blocks) == ("ForeignRules", True, False)


def test_the_repair_of_a_flushed_table_is_one_line() -> None:
    assert modified_table(("add a",)).endswith("the repair is add a")
    assert modified_table(("add a", "b", "c")).endswith("the repair is 3 changes, first: add a")


def port(at: IPv6Address | str | None, number: int = 443) -> PortIntent:
    address = IPv6Address(at) if at is not None else None
    return PortIntent("blog", TransportProtocol.TCP, number, SUBNET[2], 80, host_address=address)


def messages(view: HostView, *ports: PortIntent) -> list[str]:
    found = pending_addresses(ports, view)
    assert all((p.reason, p.unknown) == ("AddressPending", True) for p in found)
    return [p.message for p in found]


@pytest.mark.parametrize("at", [None, "::1", "fe80::1", HERE])
def test_what_is_reached_is_not_spoken_of(at: IPv6Address | str | None) -> None:
    assert messages(host(ETH1), port(at)) == []


def test_an_address_that_the_host_has_not_is_waited_for() -> None:
    assert messages(host(ETH1), port(GONE)) == [
        "tcp port 443 on [2001:db8::6]: the host does not have this address; the port opens when it does"
    ]


def test_one_that_is_being_proven_is_waited_for() -> None:
    assert messages(host(TENTATIVE), port(HERE)) == [
        (
            "tcp port 443 on [2001:db8::5]: the address can't be used:"
            " it is still tentative (duplicate address detection on eth1)"
        )
    ]


def test_an_address_of_another_host_is_reported() -> None:
    assert messages(host(FAILED), port(HERE)) == [
        (
            "tcp port 443 on [2001:db8::5]: the address can't be used:"
            " it failed duplicate address detection: another host on eth1 has it"
        )
    ]


@pytest.mark.parametrize("index", [1, 9])
def test_one_interface_that_has_it_for_good_is_enough(index: int) -> None:
    proven = replace(ETH1, index=index, name=f"wlan{index}")
    assert messages(host(*sorted((FAILED, proven), key=lambda i: i.index)), port(HERE)) == []


def test_another_address_of_the_same_interface_does_not_count() -> None:
    assert messages(host(replace(FAILED, addresses=(*ETH1.addresses, IPv6Interface((GONE, 64))))), port(GONE)) == []


def test_each_port_is_named() -> None:
    assert [m[:11] for m in messages(host(), port(GONE, 80), port(None, 81), port(HERE, 82))] == [
        "tcp port 80",
        "tcp port 82",
    ]


def test_ports_of_an_unobserved_host_give_no_findings() -> None:
    assert messages(HostView(), port(GONE)) == []


class TestFindings:
    def found(self, *problems: Finding) -> list[tuple[str, str, bool, bool]]:
        rules = RulesView(ports={"blog": (port(GONE),), "other": (port(HERE),)}, port_problems={"blog": problems})
        return [(f.condition, f.reason, f.unknown, f.blocks) for f in rules_findings(rules, "blog", host())]

    def test_ports_published_is_unknown(self) -> None:
        assert self.found() == [("PortsPublished", "AddressPending", True, False)]

    def test_a_fault_goes_first(self) -> None:
        from_claims = port_finding(Reason.PORT_CONFLICT, "it is another's")
        assert self.found(from_claims) == [("PortsPublished", "PortConflict", False, False)]


ADMITTED = replace(FORWARD, has_accept_rule=True)


def rules(*drops: object, orphaned: tuple[object, ...] = ()) -> RulesView:
    return RulesView(filter=HostFilterState(drops, orphaned))  # type: ignore[arg-type]


def test_the_mark_is_admitted_where_it_is_dropped_and_can_be() -> None:
    assert filter_steps(rules(FORWARD, ADMITTED)) == (AddAcceptRule(FORWARD),)


def test_an_orphaned_accept_rule_is_removed() -> None:
    assert filter_steps(rules(orphaned=(ADMITTED,))) == (RemoveAcceptRule(ADMITTED),)


def test_every_accept_rule_goes_when_no_network_is_left() -> None:
    assert filter_steps(rules(FORWARD, ADMITTED), wanted=False) == (RemoveAcceptRule(ADMITTED),)


def problem(message: str, *commands: str, certain: bool = True, keeping: str = "") -> FlowProblem:
    return FlowProblem("blog", message, certain=certain, commands=commands, keeping=keeping)


def test_the_message_has_the_problem_and_then_one_command_a_line() -> None:
    view = RulesView(
        flow_problems={
            "blog": (
                problem("web is dropped by a", "run a", "run b", keeping="keep it"),
                problem("mail is dropped by a", "run a", keeping="keep it"),
                problem("whether dns passes is unknown", certain=False),
            )
        }
    )
    (finding,) = flow_findings(view, "blog")
    assert finding.message.splitlines() == [
        "web is dropped by a; mail is dropped by a; to let them pass, run:",
        "run a",
        "run b",
        "keep it",
    ]
    assert (finding.reason, finding.blocks, finding.unknown) == ("FirewallBlocked", False, False)
    assert flow_findings(view, "shop") == ()


def test_without_a_command_the_message_is_one_line() -> None:
    (finding,) = flow_findings(RulesView(flow_problems={"blog": (problem("dropped", keeping="set it"),)}), "blog")
    assert finding.message == "dropped; set it"


def test_an_unknown_result_is_no_failure() -> None:
    (finding,) = flow_findings(RulesView(flow_problems={"blog": (problem("who knows", certain=False),)}), "blog")
    assert (finding.reason, finding.message, finding.unknown) == ("FirewallUnknown", "who knows", True)


def test_what_our_accept_rule_will_let_pass_is_not_reported() -> None:
    view = replace(rules(FORWARD), flow_problems={"blog": (problem("dropped"),)})
    assert flow_findings(view, "blog") == ()
    assert flow_findings(replace(view, filter=rules(ADMITTED).filter), "blog") != ()
