"""What a network's packets need of the host."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network
from typing import ClassVar

import pytest

from dockerv6.firewall.model import HostFilterState, PortIntent
from dockerv6.hostnet.model import BridgePort, Interface, ProxyNeighbour
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.firewall.desired import FirewallSnapshot
from dockerv6.planning.inputs import Observed, RulesView
from dockerv6.planning.steps import AddProxyNeighbour, UpdateFirewall
from dockerv6.planning.traffic import (
    bridge_port_steps,
    bridged,
    forwarding_steps,
    future_firewall,
    future_rules_steps,
    proxy_steps,
    rules_steps,
    traffic_findings,
)
from tests.unit.planning.scene import (
    FORWARD,
    LACKING,
    SUBNET,
    bridge,
    desired,
    end,
    holding,
    holdings,
    host,
    kinds,
    lacking,
    live,
    observed,
    reasons,
    running,
    tracked,
)

OFF = lacking("", "blog", "shop")


@pytest.mark.parametrize(("driver", "passes"), [("bridge", True), ("macvlan", False), ("ipvlan", False)])
def test_only_packets_of_bridges_pass_the_hosts_firewall(driver: str, *, passes: bool) -> None:
    options = {} if passes else {"parent": "eth0"}
    want = desired(driver=driver, options=options)
    assert bridged(want, None) is passes
    assert bridged(want, live(want)) is passes


def test_those_of_a_bridge_that_still_runs_do() -> None:
    assert bridged(desired(driver="macvlan", options={"parent": "eth0"}), live())


class TestRules:
    def test_a_table_in_sync_needs_nothing(self) -> None:
        assert rules_steps(desired(), observed()) == ()

    def test_what_all_share_and_what_is_the_resources_own_is_put_right(self) -> None:
        (step,) = rules_steps(desired(), observed(rules=OFF))
        assert isinstance(step, UpdateFirewall)
        assert step.changes == ("add the table", "add x to set networks")

    def test_rules_for_a_subnet_that_is_about_to_be_allocated_are_planned_with_it(self) -> None:
        firewall = future_firewall(desired(), observed(rules=RulesView()), holdings(), SUBNET, ())
        (step,) = future_rules_steps(desired(), firewall, "why")
        assert isinstance(step, UpdateFirewall)
        assert step.changes[0] == "add the table"
        assert any(str(SUBNET) in line for line in step.changes[1:])
        table = step.change.target
        there = observed(rules=replace(LACKING, snapshot=FirewallSnapshot(table=table)))
        firewall = future_firewall(desired(), there, holdings(), SUBNET, ())
        assert future_rules_steps(desired(), firewall, "why") == ()

    def test_the_host_forwards_then_the_rules_decide_then_we_are_let_pass(self) -> None:
        rules = replace(OFF, filter=HostFilterState((FORWARD,)))
        state = observed(host=host(forwarding="0", accept_ra={"eth0": "1"}), rules=rules)
        assert kinds(forwarding_steps(state, rules_steps(desired(), state))) == [
            "SetSysctl",
            "SetSysctl",
            "UpdateFirewall",
            "AddAcceptRule",
        ]
        assert forwarding_steps(observed(), ()) == ()


class TestBridge:
    PORT = Interface(20, "veth1", "veth", up=True, mtu=1500, master=9, bridge_port=BridgePort())
    PORTS = RulesView(ports={"blog": (PortIntent("blog", TransportProtocol.TCP, 80, SUBNET[5], 80),)})

    def test_containers_reach_themselves_through_their_published_ports(self) -> None:
        there = live()
        state = observed(there, host=host(bridge(there), self.PORT, bridge_netfilter=True), rules=self.PORTS)
        assert kinds(bridge_port_steps(desired(), state, there)) == ["SetHairpin"]
        assert bridge_port_steps(desired(), replace(state, rules=RulesView()), there) == ()

    @pytest.mark.parametrize("by", ["resource", "option"])
    def test_what_is_dropped_within_a_bridge_is_seen_by_the_filter(self, by: str) -> None:
        want = desired(bridge={"icc": by != "resource"})
        there = live()
        if by == "option":
            there = replace(there, options={**there.options, "com.docker.network.bridge.enable_icc": "false"})
        state = observed(there, host=host(bridge(there), bridge_netfilter=False))
        assert kinds(bridge_port_steps(want, state, there)) == ["SetBridgeNetfilter"]

    def test_a_network_without_one_needs_nothing(self) -> None:
        there = replace(live(), driver="macvlan")
        assert bridge_port_steps(desired(bridge={"icc": False}), observed(live()), there) == ()


class TestProxiedSubnets:
    PART = IPv6Network("2001:db8:1:0:5::/80")
    UPLINK = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))

    def state(self, *answers: ProxiedSubnet, **changes: object) -> Observed:
        web = running("web", end(live(), self.PART[5]))
        view = host(self.UPLINK, proxy_ndp={"eth0": "1"})
        return observed(host=view, containers=(web,), proxied_subnets=answers, **changes)

    def test_only_the_resources_own_are_its_affair(self) -> None:
        found = proxy_steps(desired(), self.state(ProxiedSubnet("blog", self.PART)))
        assert found == (AddProxyNeighbour("eth0", self.PART[5]),)
        assert proxy_steps(desired(), self.state(ProxiedSubnet("shop", self.PART))) == ()

    def test_an_entry_that_another_resource_needs_stays(self) -> None:
        mine, shops = ProxiedSubnet("blog", self.PART), ProxiedSubnet("shop", IPv6Network("2001:db8:1:0:5::/81"))
        stale = ProxyNeighbour("eth0", self.PART[7], ours=True)
        state = self.state(mine, shops)
        state = replace(state, host=replace(state.host, proxies=frozenset({stale})))
        assert kinds(proxy_steps(desired(), state)) == ["AddProxyNeighbour", "RemoveProxyNeighbour"]
        kept = (*state.containers, running("db", end(live(), self.PART[7])))
        assert kinds(proxy_steps(desired(), replace(state, containers=kept))) == ["AddProxyNeighbour"]

    def test_nothing_changes_while_the_engine_is_away(self) -> None:
        assert proxy_steps(desired(), self.state(ProxiedSubnet("blog", self.PART), engine=None)) == ()


class TestFindings:
    TRANSLATED: ClassVar[dict[str, object]] = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}

    def test_a_network_in_sync_has_no_findings(self) -> None:
        assert traffic_findings(desired(), observed(live()), holdings(), live(), live()) == ()

    def test_what_is_to_be_counts_for_translation_and_what_is_there_for_the_way_out(self) -> None:
        want = desired(egress=self.TRANSLATED)
        held = holding(following=tracked("2001:db8:100:1::/64"))
        there, wanted = live(), live(subnet=IPv6Network("fd12:3456:789a::/56"))
        state = observed(there, host=host(bridge(there), routes=()))
        found = traffic_findings(want, state, held, there, wanted)
        assert reasons(found) == [("FirewallReady", "PrefixTooLong"), ("HostReady", "NoDefaultRoute")]

    def test_without_a_network_its_uplinks_give_no_findings(self) -> None:
        state = observed(host=host(routes=()))
        assert traffic_findings(desired(), state, holdings(), None, None) == ()
