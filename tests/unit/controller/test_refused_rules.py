"""One name or one owner that the packet filter refuses leaves the rules of all others in place."""

from dataclasses import replace

import pytest

from dockerv6.controller.recorded_intents import RecordedIntent
from dockerv6.controller.records import RecordCodec
from dockerv6.firewall.port import FirewallRejected
from dockerv6.lib.networking import InterfaceName
from dockerv6.planning.firewall.contributions import FirewallContribution
from dockerv6.planning.firewall.desired import DesiredFirewall, FirewallInputs
from tests.simulation.resources import network, policy
from tests.unit.firewall.intents import BLOG, WEB
from tests.world import Bench, Host

POLICY = "IPv6Policy"


async def rules_in_place(bench: Bench, *names: str) -> None:
    """Reconcile twice, so that a status has what the first run found out."""
    for _ in range(2):
        bench.invalidate_all()
        for name in names:
            await bench.reconcile(name)


@pytest.mark.parametrize("bridge", ["*", "br*", "@x", "!eth0", "eth+", 'a"b', "a\\*", "\x01", "é"])
async def test_a_foreign_network_with_a_strange_bridge_has_rules(bridge: str) -> None:
    host = Host()
    await host.create_foreign("strange", "fd98::/64", bridge=bridge)
    bench = await host.bench(policy("all"))
    await rules_in_place(bench)
    await bench.reconcile("all", POLICY)
    assert {f"networks fd98::/64 . {bridge}", "egress_any fd98::/64"} <= host.rules_of("policy/all")
    assert (await host.ready("all", POLICY))[0] == "True"


@pytest.mark.parametrize("bridge", ["a b", "a/b", "..", "x" * 16, "\ud800", "\n"])
async def test_a_foreign_network_whose_bridge_no_kernel_has_is_left_out_alone(bridge: str) -> None:
    host = Host()
    await host.create_foreign("bad", "fd98::/64", bridge=bridge)
    await host.create_foreign("good", "fd99::/64", bridge="br-good")
    bench = await host.bench(policy("all"))
    await rules_in_place(bench)
    await bench.reconcile("all", POLICY)
    assert {"networks fd99::/64 . br-good", "egress_any fd99::/64"} <= host.rules_of("policy/all")
    assert not any("fd98" in rule for rule in host.rules_of("policy/all"))


async def test_refused_rules_of_one_owner_do_not_keep_the_others_from_theirs() -> None:
    host = Host()
    host.firewall.refused_owners = frozenset({"b"})
    bench = await host.bench(*(network(name) for name in "abc"))
    await rules_in_place(bench, "a", "c")
    assert [bool(host.rules_of(name)) for name in "abc"] == [True, False, True]
    await rules_in_place(bench, "b")
    condition = await host.condition("b", "FirewallReady")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "RulesRefused")
    assert "the fake kernel refused" in condition.message
    assert await host.docker("b") is None  # no network without its rules
    assert [(await host.ready(name))[0] for name in "ac"] == ["True", "True"]


async def test_refused_rules_are_not_tried_again_before_they_change_or_a_resync() -> None:
    host = Host()
    bench = await host.bench(*(network(name) for name in "ab"))
    await rules_in_place(bench, "a", "b")
    before = host.rules_of("b")
    host.firewall.refused_owners = frozenset({"b"})
    host.firewall.flush_all()
    bench.context.firewall.invalidate()
    await bench.context.firewall.repair()
    assert (bool(host.rules_of("a")), host.rules_of("b")) == (True, frozenset())
    checks = host.firewall.checks
    for _ in range(3):
        bench.invalidate_all()
        assert (await bench.context.firewall.repair()).change.empty
        await bench.reconcile("b")
    assert host.firewall.checks == checks
    host.firewall.refused_owners = frozenset()
    bench.context.firewall.refused.forget()
    await bench.context.firewall.repair()
    assert host.rules_of("b") == before


async def test_a_refusal_that_no_owner_causes_is_raised() -> None:
    bench = await Host().bench(network("a"))
    await rules_in_place(bench, "a")
    bench.host.firewall.flush_all()
    bench.context.firewall.invalidate()
    await bench.context.firewall.view()
    bench.host.firewall.fail_next(*[FirewallRejected("no")] * 3)
    with pytest.raises(FirewallRejected):
        await bench.context.firewall.repair()


@pytest.mark.parametrize("name", ["a/b", "x" * 16, ""])
def test_a_recorded_intent_with_such_a_name_is_damaged(name: str) -> None:
    codec = RecordCodec(RecordedIntent)
    good = RecordedIntent("boot", (replace(BLOG, egress_interfaces=(InterfaceName("eth0"),)),))
    record = codec.encode(good)
    assert codec.decode(record) == good
    for key, value in (("bridge", name), ("egressInterfaces", ["eth0", name])):
        networks = [{**network, key: value} for network in record["networks"]]  # type: ignore[attr-defined] # a list
        assert codec.decode({**record, "networks": networks}) is None


def test_an_owner_that_is_kept_has_no_recorded_ports() -> None:
    inputs = FirewallInputs(recorded_ports=(WEB, replace(WEB, owner="shop")))
    kept = DesiredFirewall((FirewallContribution("blog", (BLOG,)),), inputs).keeping(frozenset({"blog", "gone"}))
    assert [(each.owner, each.keep, each.networks) for each in kept.contributions] == [
        ("blog", True, ()),
        ("gone", True, ()),
    ]
    assert [port.owner for port in kept.intent.ports] == ["shop"]


GEO = [f"2001:db8:{each:x}::/48" for each in range(0, 2000, 2)]
TOO_MANY = {"ingress": [{"from": GEO, "ports": [{"port": number} for number in range(1, 80)]}]}


async def test_a_resource_with_too_many_elements_keeps_its_rules_and_stops_nobody() -> None:
    host = Host()
    bench = await host.bench(*(network(name) for name in "abc"))
    await rules_in_place(bench, *"abc")
    before = host.rules_of("b")
    await bench.accept(network("b", firewall=TOO_MANY), network("c", egress={"mode": "None"}))
    await rules_in_place(bench, *"abc")
    assert host.rules_of("b") == before
    assert not any("egress_any" in rule for rule in host.rules_of("c"))
    condition = await host.condition("b", "FirewallReady")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "RulesRefused")
    assert "65,536 elements" in condition.message
    assert "kernel" not in condition.message
    assert [(await host.ready(name))[0] for name in "ac"] == ["True", "True"]
    await bench.accept(network("b"))
    await rules_in_place(bench, "b")
    assert (await host.ready("b"))[0] == "True"


async def test_a_new_network_with_too_many_elements_is_not_created() -> None:
    host = Host()
    bench = await host.bench(network("a"), network("b", firewall=TOO_MANY))
    await rules_in_place(bench, *"ab")
    assert await host.docker("a") is not None
    assert await host.docker("b") is None
    assert not host.rules_of("b")
    assert await host.ready("b") == ("False", "RulesRefused")
