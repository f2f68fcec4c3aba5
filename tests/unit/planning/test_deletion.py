from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import Interface, ProxyNeighbour
from dockerv6.planning.deletion import GarbageInputs, plan_deletion, plan_garbage, unclaimed_networks
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.inputs import Identity, NetworkIndex, Observed, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import ForgetSubnet, ReleaseSubnet, RemoveNetwork, RemoveProxyNeighbour
from tests.simulation.resources import network
from tests.unit.planning.scene import (
    IDENTITY,
    NOW,
    POOL,
    SUBNET,
    allocation,
    container,
    cooling,
    desired,
    end,
    foreign,
    holdings,
    host,
    kinds,
    lacking,
    live,
    observed,
    reasons,
    running,
)

HELD = holdings(allocation())
OFF = lacking("blog")


def delete(state: Observed, **spec: object) -> Plan:
    return plan_deletion(desired(**spec), state, HELD)


def test_network_then_allocation_then_rules_go() -> None:
    assert kinds(delete(observed(live()))) == ["RemoveNetwork", "ReleaseSubnet", "UpdateFirewall"]


def test_nothing_left_is_nothing_to_do() -> None:
    assert plan_deletion(desired(), observed(rules=RulesView()), holdings()) == Plan("IPv6Network", "blog")


def test_running_containers_are_waited_for_by_name() -> None:
    plan = delete(observed(live(), attachments=(container("web"), container("cron", running=False))))
    assert (plan.empty, reasons(plan)) == (True, [("Ready", "EndpointsAttached")])
    assert "web" in plan.findings[0].message
    assert "cron" not in plan.findings[0].message
    assert plan.findings[0].retry is None  # an event is sent when they leave


def test_stopped_containers_are_not_waited_for() -> None:
    plan = delete(observed(live(), attachments=(container("cron", running=False),)))
    assert kinds(plan)[0] == "RemoveNetwork"


@pytest.mark.parametrize(
    "spec",
    [
        {"deletionPolicy": "Orphan"},
        {"suspend": True},
        {"managementPolicy": "Observe"},
    ],
)
def test_a_network_that_is_to_stay_stays_but_its_rules_go(spec: dict[str, object]) -> None:
    plan = delete(observed(live(), attachments=(container("web"),)), **spec)
    assert kinds(plan) == ["ReleaseSubnet", "UpdateFirewall"]


def test_rules_of_an_observed_network_go_without_an_allocation() -> None:
    want = desired(managementPolicy="Observe", networkName="x")
    assert kinds(plan_deletion(want, observed(foreign("x"), rules=OFF), holdings())) == ["UpdateFirewall"]


@pytest.mark.parametrize("spec", [{}, {"deletionPolicy": "Orphan"}])
@pytest.mark.parametrize("networks", [(), (live(),)])
def test_nothing_is_done_while_the_engine_does_not_answer(networks: tuple[()], spec: dict[str, object]) -> None:
    plan = delete(observed(*networks, engine=None), **spec)
    assert (plan.empty, reasons(plan)) == (True, [("Ready", "EngineUnavailable")])
    assert plan.findings[0].retry


def test_a_broken_firewall_does_not_keep_a_resource_for_ever() -> None:
    plan = delete(observed(live(), rules=RulesView(problem="install nft")))
    assert kinds(plan) == ["RemoveNetwork", "ReleaseSubnet"]


class TestNeighbours:
    """A deleted resource leaves no NDP proxy entries."""

    SUBNET = IPv6Network("2001:db8:1:0:5::/80")
    MINE = ProxiedSubnet("blog", SUBNET)
    OTHERS = ProxiedSubnet("shop", IPv6Network("2001:db8:1:0:6::/80"))
    HOST = host(
        proxies=frozenset(
            {
                ProxyNeighbour("eth0", SUBNET[5], ours=True),
                ProxyNeighbour("eth0", SUBNET[6], ours=False),
                ProxyNeighbour("eth0", OTHERS.subnet[5], ours=True),
            }
        ),
        proxy_ndp={"eth0": "1"},
    )

    def removed(self, state: Observed, **spec: object) -> list[object]:
        steps = plan_deletion(desired(**spec), state, holdings(allocation(self.SUBNET))).steps
        return [(s.interface, s.address) for s in steps if isinstance(s, RemoveProxyNeighbour)]

    def test_our_entries_for_its_containers_go(self) -> None:
        state = observed(host=self.HOST, proxied_subnets=(self.MINE, self.OTHERS))
        assert self.removed(state) == [("eth0", self.SUBNET[5])]

    @pytest.mark.parametrize("spec", [{"deletionPolicy": "Orphan"}, {"suspend": True}], ids=str)
    def test_so_they_do_when_the_network_stays(self, spec: dict[str, object]) -> None:
        there = live(subnet=self.SUBNET)
        state = observed(there, host=self.HOST, proxied_subnets=(self.MINE, self.OTHERS))
        assert self.removed(state, **spec) == [("eth0", self.SUBNET[5])]

    def test_they_go_after_the_network_and_before_its_subnet_is_given_back(self) -> None:
        there = live(subnet=self.SUBNET)
        state = observed(there, host=self.HOST, proxied_subnets=(self.MINE, self.OTHERS))
        plan = plan_deletion(desired(), state, holdings(allocation(self.SUBNET)))
        assert kinds(plan) == ["RemoveNetwork", "RemoveProxyNeighbour", "ReleaseSubnet", "UpdateFirewall"]

    def test_entries_of_other_resources_stay(self) -> None:
        there = foreign("x", str(self.SUBNET))
        also = ProxiedSubnet("policy/all", self.SUBNET)
        web = running("web", end(there, self.SUBNET[5]))
        eth0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:1::2/64"),))
        view = replace(self.HOST, interfaces={"eth0": eth0})
        state = observed(there, host=view, proxied_subnets=(self.MINE, also), containers=(web,))
        assert self.removed(state) == []
        assert self.removed(replace(state, containers=())) == [("eth0", self.SUBNET[5])]

    def test_containers_are_proxied_while_the_deletion_waits_for_them(self) -> None:
        there = live(subnet=self.SUBNET)
        state = observed(there, host=self.HOST, proxied_subnets=(self.MINE,), attachments=(container("web"),))
        assert self.removed(state) == []

    def test_while_the_engine_is_away_too(self) -> None:
        assert self.removed(observed(engine=None, host=self.HOST, proxied_subnets=(self.MINE,))) == []


class TestGarbage:
    def plan(self, *networks: object, names: tuple[str, ...] = (), idle: bool = True, kept: tuple[str, ...] = (),
             held: object = None) -> Plan:  # fmt: skip
        there = NetworkIndex(networks)  # type: ignore[arg-type]
        known = GarbageInputs(names, kept, {"default": POOL})
        ids = {n.id for n in there} if idle else set()
        return plan_garbage(known, IDENTITY, there, ids, held or holdings(), NOW)  # type: ignore[arg-type]

    def test_an_unclaimed_network_is_removed_with_its_allocation(self) -> None:
        plan = self.plan(live(), held=HELD)
        assert plan.steps == (
            RemoveNetwork(live().id, "blog", "there is no IPv6Network blog"),
            ReleaseSubnet(allocation(), "no resource claims it"),
        )

    def test_a_busy_unclaimed_network_waits_and_keeps_its_allocation(self) -> None:
        plan = self.plan(live(), idle=False, held=HELD)
        assert (plan.empty, reasons(plan)) == (True, [("Ready", "EndpointsAttached")])

    def test_what_a_resource_asks_for_stays(self) -> None:
        assert self.plan(live(), names=("blog",), held=HELD).empty

    def test_foreign_networks_are_never_garbage(self) -> None:
        assert self.plan(foreign("x"), foreign("y", "fd98::/64", 98, **{"dockerv6.io/managed-by": "other"})).empty

    def test_an_orphan_stays(self) -> None:
        assert self.plan(live(), kept=(live().id,)).empty

    def test_a_cooldown_that_is_over_is_forgotten(self) -> None:
        over, yet = cooling(ago=3600), cooling("fd00::/64", ago=3599)
        assert self.plan(held=holdings(over, yet)).steps == (ForgetSubnet(over),)

    def test_a_fixed_subnet_has_no_cooldown(self) -> None:
        over = cooling(pool="")
        assert self.plan(held=holdings(over)).steps == (ForgetSubnet(over),)

    def test_a_deleted_pool_has_a_cooldown_of_an_hour(self) -> None:
        over, yet = cooling(pool="x", ago=3600), cooling("fd00::/64", pool="x", ago=3000)
        assert self.plan(held=holdings(over, yet)).steps == (ForgetSubnet(over),)

    def test_unclaimed_proxy_entries_are_removed_with_the_rest(self) -> None:
        stray = RemoveProxyNeighbour("eth0", SUBNET[5])
        known = GarbageInputs((), (), {})
        found = plan_garbage(known, IDENTITY, NetworkIndex((live(),)), {live().id}, HELD, NOW, iter((stray,)))
        assert kinds(found) == ["RemoveNetwork", "ReleaseSubnet", "RemoveProxyNeighbour"]

    def test_of_duplicates_the_unused_one_is_unclaimed(self) -> None:
        known = GarbageInputs(("blog",), (), {})
        twins = NetworkIndex((live(number=1), live(number=2)))
        assert unclaimed_networks(known, IDENTITY, twins) == (live(number=2),)

    def test_a_renamed_leftover_is_no_twin(self) -> None:
        known = GarbageInputs(("blog",), (), {})
        there = NetworkIndex((live(), replace(live(number=2), name="old")))
        assert unclaimed_networks(known, IDENTITY, there) == ()

    def test_networks_of_another_installation_are_no_garbage(self) -> None:
        known = GarbageInputs((), (), {})
        theirs = replace(live(), labels={**live().labels, "dockerv6.io/installation": "0123"})
        assert unclaimed_networks(known, Identity(installation="4567"), NetworkIndex((theirs,))) == ()
        assert unclaimed_networks(known, Identity(installation="0123"), NetworkIndex((theirs,))) == (theirs,)
        assert unclaimed_networks(known, Identity(installation="4567"), NetworkIndex((live(),))) == (live(),)

    def test_names_of_resources_not_of_networks_count(self) -> None:
        other = live(desired(network("shop", networkName="blog")), IPv6Network("fd00::/64"))
        assert self.plan(other, names=("blog",)).steps[0] == RemoveNetwork(
            other.id, "blog", "there is no IPv6Network shop"
        )
        assert SUBNET not in {c.subnet for c in other.ipv6}
