from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.planning import steps as s
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.steps import Step
from tests.unit.planning.scene import FORWARD, IDENTITY, SUBNET, allocation, container, desired, lacking, live

POOL = IPv6Network("fd12:3456:789a::/48")
SPEC = network_spec(desired().resource, SUBNET, IDENTITY)
EXAMPLES: dict[str, tuple[Step, str, str]] = {
    type(step).__name__: (step, sign, words)
    for step, sign, words in (
        (s.KeepPoolPrefix("default", POOL), "+", f"generate {POOL} for IPv6Pool default"),
        (s.BindSubnet("blog", "default", SUBNET, None, "x"), "+", f"allocate {SUBNET} from IPv6Pool default"),
        (s.ReleaseSubnet(allocation(), "x"), "-", f"release {SUBNET}"),
        (s.ForgetSubnet(allocation()), "-", f"forget {SUBNET}, released by blog"),
        (s.SetSysctl("net.x", "1", "0", "x"), "~", "set sysctl net.x=1 (was 0)"),
        (s.RestoreSysctl("net.x", "0", "x"), "~", "restore sysctl net.x=0"),
        (
            s.RepairBridge("v6-blog", IPv6Interface("fd00::1/64"), "x"),
            "~",
            "repair bridge v6-blog: up, with fd00::1/64",
        ),
        (
            s.UpdateFirewall("blog", lacking("", "blog").change, "x"),
            "~",
            "firewall: add the table; add x to set networks",
        ),
        (s.AddAcceptRule(FORWARD), "~", "accept marked flows in iptables-nft filter FORWARD"),
        (s.RemoveAcceptRule(FORWARD), "-", "remove the accept rule from iptables-nft filter FORWARD"),
        (s.RememberEndpoints("blog", "blog", (container("web"),)), "~", "remember 1 endpoints of blog"),
        (s.RememberNetwork("blog", SPEC, SUBNET, "default"), "~", f"remember Docker network blog with {SUBNET}"),
        (
            s.AddProxyNeighbour("eth0", SUBNET[5]),
            "+",
            f"proxy neighbour solicitations for {SUBNET[5]} on eth0",
        ),
        (
            s.RemoveProxyNeighbour("eth0", SUBNET[5]),
            "-",
            f"stop proxying neighbour solicitations for {SUBNET[5]} on eth0",
        ),
        (s.DetachEndpoint("1", container("web")), "-", "detach container web"),
        (s.RemoveNetwork(live().id, "blog", "x"), "-", "remove Docker network blog (000000000000)"),
        (s.CreateNetwork(SPEC, "x"), "+", f"create Docker network blog (bridge, {SUBNET})"),
        (s.AttachEndpoint("blog", container("web")), "+", "attach container web to blog"),
        (s.AttachMember("blog", "blog", container("web")), "+", "attach container web to blog"),
        (s.DetachMember("blog", "1", container("web"), "x"), "-", "detach container web"),
        (s.SetHairpin("veth1", "v6-blog"), "~", "set hairpin mode on port veth1 of bridge v6-blog"),
        (s.SetBridgeNetfilter("v6-blog"), "~", "pass packets bridged within v6-blog to ip6tables"),
    )
}


@pytest.mark.parametrize("kind", [each.__name__ for each in Step.__subclasses__()])
def test_every_step_describes_itself(kind: str) -> None:
    step, symbol, sentence = EXAMPLES[kind]
    assert (step.symbol, step.describe(), step.action) == (symbol, sentence, kind)
    assert step.reason


def test_only_steps_of_the_ledger_are_executed_by_a_preview() -> None:
    assert {name for name, (step, _, _) in EXAMPLES.items() if step.ledger_only} == {
        "KeepPoolPrefix",
        "BindSubnet",
        "ReleaseSubnet",
        "ForgetSubnet",
    }


def test_all_steps_but_one_change_fields_that_a_user_sees() -> None:
    assert {name for name, (step, _, _) in EXAMPLES.items() if not list(step.fields())} == {"RememberEndpoints"}


def test_a_recreation_is_begun_by_few_steps_and_ended_by_others() -> None:
    assert {name for name, (step, _, _) in EXAMPLES.items() if step.cuts_off} == {"DetachEndpoint", "RemoveNetwork"}
    assert {name for name, (step, _, _) in EXAMPLES.items() if step.restores} == {
        "AttachEndpoint",
        "BindSubnet",
        "CreateNetwork",
        "RememberEndpoints",
        "RememberNetwork",
        "RepairBridge",
        "SetSysctl",
        "UpdateFirewall",
    }


def test_steps_of_networks_and_endpoints_wait_for_the_chains_of_the_engine() -> None:
    assert {name for name, (step, _, _) in EXAMPLES.items() if step.needs_engine_chains} == {
        "AttachEndpoint",
        "AttachMember",
        "CreateNetwork",
        "DetachEndpoint",
        "DetachMember",
        "RemoveNetwork",
    }


def test_only_running_containers_are_disconnected() -> None:
    assert {name for name, (step, _, _) in EXAMPLES.items() if step.disconnects} == {"DetachEndpoint", "DetachMember"}
    assert not s.DetachEndpoint("1", container("cron", running=False)).disconnects


def test_a_failure_is_reported_in_the_condition_of_the_step() -> None:
    conditions: dict[str, set[str]] = {}
    for name, (step, _, _) in EXAMPLES.items():
        conditions.setdefault(step.condition, set()).add(name)
    assert conditions == {
        "SubnetAllocated": {"KeepPoolPrefix", "BindSubnet", "ReleaseSubnet", "ForgetSubnet"},
        "NetworkReady": {
            "RepairBridge",
            "RememberEndpoints",
            "RememberNetwork",
            "DetachEndpoint",
            "RemoveNetwork",
            "CreateNetwork",
            "AttachEndpoint",
            "AttachMember",
            "DetachMember",
        },
        "FirewallReady": {"UpdateFirewall", "AddAcceptRule", "RemoveAcceptRule"},
        "HostReady": {
            "SetSysctl",
            "RestoreSysctl",
            "AddProxyNeighbour",
            "RemoveProxyNeighbour",
            "SetHairpin",
            "SetBridgeNetfilter",
        },
    }
