from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import Interface
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.port_claims import port_finding
from dockerv6.planning.firewall.rules import pending_addresses, rules_findings
from dockerv6.planning.host.interfaces import host_addresses
from dockerv6.planning.inputs import HostView, RulesView
from dockerv6.planning.plan import Finding
from tests.unit.planning.scene import SUBNET, host

HERE, GONE = IPv6Address("2001:db8::5"), IPv6Address("2001:db8::6")
ETH1 = Interface(3, "eth1", "", up=True, mtu=1500, addresses=(IPv6Interface((HERE, 64)),))
TENTATIVE = replace(ETH1, tentative=frozenset({HERE}))
FAILED = replace(TENTATIVE, dad_failed=frozenset({HERE}))


def port(at: IPv6Address | str | None, number: int = 443) -> PortIntent:
    address = IPv6Address(at) if at is not None else None
    return PortIntent("blog", TransportProtocol.TCP, number, SUBNET[2], 80, host_address=address)


def said(view: HostView, *ports: PortIntent) -> list[str]:
    found = pending_addresses(ports, view)
    assert all((p.reason, p.unknown) == ("AddressPending", True) for p in found)
    return [p.message for p in found]


@pytest.mark.parametrize("at", [None, "::1", "fe80::1", HERE])
def test_what_is_reached_is_not_spoken_of(at: IPv6Address | str | None) -> None:
    assert said(host(ETH1), port(at)) == []


def test_an_address_that_the_host_has_not_is_waited_for() -> None:
    assert said(host(ETH1), port(GONE)) == [
        "tcp port 443 on [2001:db8::6]: the host has no such address; it is taken up when it appears"
    ]


def test_one_that_is_being_proven_is_waited_for() -> None:
    assert said(host(TENTATIVE), port(HERE)) == [
        "tcp port 443 on [2001:db8::5]: the address is still tentative (duplicate address detection on eth1)"
    ]


def test_one_that_somebody_else_has_is_told_of() -> None:
    assert said(host(FAILED), port(HERE)) == [
        "tcp port 443 on [2001:db8::5]: the address failed duplicate address detection: somebody else on eth1 has it"
    ]


@pytest.mark.parametrize("index", [1, 9])
def test_one_interface_that_has_it_for_good_is_enough(index: int) -> None:
    proven = replace(ETH1, index=index, name=f"wlan{index}")
    assert said(host(*sorted((FAILED, proven), key=lambda i: i.index)), port(HERE)) == []


def test_another_address_of_the_same_interface_does_not_count() -> None:
    assert said(host(replace(FAILED, addresses=(*ETH1.addresses, IPv6Interface((GONE, 64))))), port(GONE)) == []


def test_each_port_is_named() -> None:
    assert [m[:11] for m in said(host(), port(GONE, 80), port(None, 81), port(HERE, 82))] == [
        "tcp port 80",
        "tcp port 82",
    ]


def test_of_a_host_that_was_not_seen_nothing_is_said() -> None:
    assert said(HostView(), port(GONE)) == []


def test_the_hosts_addresses_tell_their_state() -> None:
    both = replace(FAILED, addresses=(*ETH1.addresses, IPv6Interface((GONE, 64))))
    assert [(str(a), bool(why)) for a, why in host_addresses(host(both)).items()] == [
        ("2001:db8::5", True),
        ("2001:db8::6", False),
    ]
    assert host_addresses(host(TENTATIVE)) != host_addresses(host(FAILED))


class TestFindings:
    def found(self, *problems: Finding) -> list[tuple[str, str, bool, bool]]:
        rules = RulesView(ports={"blog": (port(GONE),), "other": (port(HERE),)}, port_problems={"blog": problems})
        return [(f.condition, f.reason, f.unknown, f.blocks) for f in rules_findings(rules, "blog", host())]

    def test_it_is_in_doubt_whether_the_ports_are_published(self) -> None:
        assert self.found() == [("PortsPublished", "AddressPending", True, False)]

    def test_a_fault_goes_first(self) -> None:
        from_claims = port_finding(Reason.PORT_CONFLICT, "it is another's")
        assert self.found(from_claims) == [("PortsPublished", "PortConflict", False, False)]
