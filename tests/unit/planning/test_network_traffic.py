"""What the plan of a network asks of the host, by mode and by driver."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network
from typing import ClassVar

import pytest

from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.dockerd.model import BRIDGE_NAME, EngineInfo, Network
from dockerv6.hostnet.model import Interface, ProxyNeighbour
from dockerv6.planning.docker.network_spec import network_spec, with_spec_hash
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.inputs import NetworkIndex
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AddProxyNeighbour, CreateNetwork, RemoveProxyNeighbour
from tests.unit.planning.scene import (
    ENGINE_20_10,
    ENGINE_28,
    HELD,
    IDENTITY,
    LACKING,
    SUBNET,
    allocation,
    bridge,
    container,
    created,
    decide,
    desired,
    end,
    foreign,
    holding,
    holdings,
    host,
    in_sync,
    kinds,
    lacking,
    live,
    observed,
    reasons,
    running,
    tracked,
)


class TestRouted:
    DESIRED = desired(egress={"mode": "Routed"})
    ROUTED: ClassVar[dict[str, str]] = {GATEWAY_MODE_IPV6: "routed"}

    def there(self, engine: EngineInfo | None) -> Network:
        """The network as that engine made it."""
        resource = self.DESIRED.resource
        return created(with_spec_hash(network_spec(resource, SUBNET, self.DESIRED.identity, engine)))

    @pytest.mark.parametrize(("release", "expected"), [((26, 1), False), ((27, 0), True), ((29, 0), True)], ids=str)
    def test_engines_with_gateway_modes_get_routed(self, release: tuple[int, int], *, expected: bool) -> None:
        engine = replace(ENGINE_28, release=release)
        plan = decide(self.DESIRED, observed(engine=engine), HELD)
        (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
        assert (GATEWAY_MODE_IPV6 in create.spec.options) is expected
        assert plan.findings == ()

    @pytest.mark.parametrize("engine", [ENGINE_20_10, ENGINE_28])
    def test_what_an_engine_made_is_as_it_should_be(self, engine: EngineInfo) -> None:
        there = self.there(engine)
        plan = decide(self.DESIRED, observed(there, engine=engine, applied=True), HELD)
        assert (plan.empty, reasons(plan)) == (True, [("HostReady", "NoReturnRoute")])

    def test_a_downgrade_recreates_nothing(self) -> None:
        there = self.there(ENGINE_28)
        assert decide(self.DESIRED, observed(there, engine=ENGINE_20_10, applied=True), HELD).empty

    def test_an_upgrade_recreates_it_since_the_engine_would_drop_what_is_let_in(self) -> None:
        there = self.there(ENGINE_20_10)
        plan = decide(self.DESIRED, observed(there, applied=True), HELD)
        assert f"option {GATEWAY_MODE_IPV6} is unset, should be routed" in plan.steps[-1].reason
        assert str(plan.disruption) == "Recreate"

    def test_a_waiting_deletion_is_reported(self) -> None:
        there = self.there(ENGINE_20_10)
        plan = decide(self.DESIRED, observed(there, applied=True, attachments=(container("web"),)), HELD)
        assert (plan.empty, reasons(plan)[1:]) == (True, [("NetworkReady", "RecreateBlocked")])
        assert f"option {GATEWAY_MODE_IPV6} is unset, should be routed" in plan.findings[1].message

    def test_the_resources_own_ports_come_first(self) -> None:
        own = desired(egress={"mode": "Routed"}, options={GATEWAY_MODE_IPV6: "nat-unprotected"})
        (create,) = (s for s in decide(own, observed(), HELD).steps if isinstance(s, CreateNetwork))
        assert create.spec.options[GATEWAY_MODE_IPV6] == "nat-unprotected"

    def test_a_network_that_is_no_longer_routed_is_recreated(self) -> None:
        plan = decide(desired(), observed(self.there(ENGINE_28), applied=True), HELD)
        assert f"option {GATEWAY_MODE_IPV6} is routed, should be unset" in plan.steps[-1].reason


class TestNeighbours:
    """An on-link prefix: eth0 has 2001:db8:1::/64, the network a part of it."""

    SUBNET = IPv6Network("2001:db8:1:0:5::/80")
    DESIRED = desired(addressing={"subnet": str(SUBNET)}, egress={"mode": "Routed"}, ndpProxy={"enabled": True})
    ANSWERS = ProxiedSubnet("blog", SUBNET)
    HELD = holdings(allocation(SUBNET, pool=""))
    ENTRY = ProxyNeighbour("eth0", SUBNET[5], ours=True)

    def plan(self, *proxies: ProxyNeighbour, proxy_ndp: str = "1", **changes: object) -> Plan:
        there = created(
            with_spec_hash(network_spec(self.DESIRED.resource, self.SUBNET, self.DESIRED.identity, ENGINE_28))
        )
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
        view = host(bridge(there), eth0, proxies=frozenset(proxies), proxy_ndp={"eth0": proxy_ndp})
        state = observed(there, applied=True, host=view, proxied_subnets=(self.ANSWERS,), **changes)
        web = running("web", end(there, self.SUBNET[5]))
        return decide(self.DESIRED, replace(state, containers=changes.get("containers", (web,))), self.HELD)  # type: ignore[arg-type]

    def test_the_uplink_proxies_running_containers(self) -> None:
        assert self.plan().steps == (AddProxyNeighbour("eth0", self.SUBNET[5]),)

    def test_it_is_switched_on_before(self) -> None:
        plan = self.plan(proxy_ndp="0")
        assert kinds(plan) == ["SetSysctl", "AddProxyNeighbour"]

    def test_what_is_there_needs_nothing(self) -> None:
        plan = self.plan(self.ENTRY)
        assert (plan.empty, plan.findings) == (True, ())

    def test_entries_of_removed_containers_are_removed(self) -> None:
        assert self.plan(self.ENTRY, containers=()).steps == (RemoveProxyNeighbour("eth0", self.SUBNET[5]),)

    def test_without_an_engine_the_containers_are_unknown(self) -> None:
        assert self.plan(self.ENTRY, engine=None, containers=()).empty

    def test_they_are_kept_up_while_something_else_is_wrong(self) -> None:
        taken = replace(foreign("x"), options={BRIDGE_NAME: "br-blog"})
        want = desired(addressing={"subnet": str(self.SUBNET)}, ndpProxy={"enabled": True},
                       egress={"mode": "Routed"}, bridge={"name": "br-blog"})  # fmt: skip
        there = created(with_spec_hash(network_spec(self.DESIRED.resource, self.SUBNET, IDENTITY, ENGINE_28)))
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
        state = observed(
            there,
            taken,
            applied=True,
            host=host(bridge(there), eth0, proxy_ndp={"eth0": "1"}),
            proxied_subnets=(self.ANSWERS,),
            containers=(running("web", end(there, self.SUBNET[5])),),
        )
        plan = decide(want, state, self.HELD)
        assert (kinds(plan), reasons(plan)) == (["AddProxyNeighbour"], [("NetworkReady", "NameConflict")])

    def test_they_come_after_the_network(self) -> None:
        fresh = host(Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),)),
                     proxy_ndp={"eth0": "0"})  # fmt: skip
        plan = decide(self.DESIRED, observed(host=fresh, proxied_subnets=(self.ANSWERS,)), self.HELD)
        assert kinds(plan) == ["CreateNetwork", "SetSysctl"]


class TestTranslated:
    def test_without_a_prefix_the_network_works_and_a_finding_is_reported(self) -> None:
        want = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        plan = decide(want, observed(), HELD)
        assert (kinds(plan), reasons(plan)) == (["CreateNetwork"], [("FirewallReady", "PrefixPending")])

    def test_a_prefix_that_changes_touches_no_container(self) -> None:
        want = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        there = live(want)
        held = holding(allocation(), following=tracked("2001:db8:200::/48", "2001:db8:100::/48"))
        state = observed(there, applied=True, attachments=(container("web"),), rules=LACKING)
        plan = decide(want, state, held)
        assert (kinds(plan), plan.disconnected, plan.findings) == (["UpdateFirewall"], 0, ())

    def test_a_prefix_that_is_too_long_is_reported_for_the_subnet(self) -> None:
        want = desired(egress={"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}})
        held = holding(allocation(), following=tracked("2001:db8:100:1:2::/80"))
        plan = decide(want, observed(), held)
        assert reasons(plan) == [("FirewallReady", "PrefixTooLong")]
        assert str(SUBNET) in plan.findings[0].message


class TestOtherDrivers:
    """Their containers are on the parent's link by themselves: the host's firewall and bridges are none of theirs."""

    @pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
    def test_a_network_is_made_without_rules_and_without_forwarding(self, driver: str) -> None:
        want = desired(driver=driver, options={"parent": "eth0"})
        rules = lacking("blog", problem="install nft")
        plan = decide(want, observed(host=host(forwarding="0"), rules=rules))
        assert (kinds(plan), plan.findings) == (["BindSubnet", "CreateNetwork"], ())

    def test_what_was_made_is_as_it_should_be(self) -> None:
        want = desired(driver="macvlan", options={"parent": "eth0"})
        assert decide(want, observed(live(want), applied=True), HELD) == Plan("IPv6Network", "blog")

    def test_one_takes_over_from_a_bridge_in_the_same_way(self) -> None:
        want = desired(driver="macvlan", options={"parent": "eth0"}, updateStrategy="Recreate")
        _, state = in_sync(attachments=(container("web"),))
        assert kinds(decide(want, state, HELD)) == [
            "RememberNetwork",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "UpdateFirewall",
            "CreateNetwork",
            "AttachEndpoint",
        ]

    def test_rules_of_a_bridge_that_it_took_over_from_go(self) -> None:
        want = desired(driver="macvlan", options={"parent": "eth0"})
        state = observed(live(want), applied=True, rules=LACKING)
        assert kinds(decide(want, state, HELD)) == ["UpdateFirewall"]
        assert decide(want, replace(state, rules=lacking("blog", problem="install nft")), HELD).empty

    def test_a_bridge_that_still_runs_is_looked_after(self) -> None:
        want = desired(driver="macvlan", options={"parent": "eth0"})
        _, state = in_sync(attachments=(container("web"),), rules=LACKING)
        plan = decide(want, state, HELD)
        assert (kinds(plan), reasons(plan)) == (["UpdateFirewall"], [("NetworkReady", "RecreateBlocked")])

    def test_an_observed_one_needs_nothing_of_the_host(self) -> None:
        there = replace(foreign("x"), driver="macvlan", options={"parent": "eth0"})
        want = desired(managementPolicy="Observe", networkName="x")
        state = observed(there, host=host(forwarding="0"), rules=lacking(""))
        assert decide(want, state) == Plan("IPv6Network", "blog")
        assert reasons(decide(want, replace(state, networks=NetworkIndex((replace(there, ipam=()),))))) == [
            ("NetworkReady", "NoIPv6")
        ]
