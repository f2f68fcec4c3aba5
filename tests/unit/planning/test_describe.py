from ipaddress import IPv6Interface, IPv6Network
from typing import get_args

import pytest

from dockerv6.planning import steps as s
from dockerv6.planning.describe import as_mapping, describe, rules_changed, symbol
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.steps import Finding, Plan, Step
from tests.unit.planning.scene import FORWARD, IDENTITY, SUBNET, allocation, container, desired, live

POOL = IPv6Network("fd12:3456:789a::/48")
SPEC = network_spec(desired().resource, SUBNET, IDENTITY)
EXAMPLES: dict[str, tuple[Step, str, str]] = {
    type(step).__name__: (step, sign, words)
    for step, sign, words in (
        (s.KeepPoolPrefix("default", POOL), "+", f"generate {POOL} for IPv6Pool default"),
        (s.BindSubnet("blog", "default", SUBNET, None, "x"), "+", f"allocate {SUBNET} from IPv6Pool default"),
        (s.ReleaseSubnet(allocation(), "x"), "-", f"release {SUBNET}"),
        (s.ForgetSubnet(allocation()), "-", f"forget {SUBNET}, which blog held"),
        (s.SetSysctl("net.x", "1", "0", "x"), "~", "set sysctl net.x=1 (was 0)"),
        (s.RestoreSysctl("net.x", "0", "x"), "~", "restore sysctl net.x=0"),
        (s.RepairBridge("v6-blog", IPv6Interface("fd00::1/64"), "x"), "~", "mend bridge v6-blog: up, with fd00::1/64"),
        (s.EnsureRules("blog", ("add a", "add b"), "x"), "~", "firewall: add a; add b"),
        (s.AddAcceptRule(FORWARD), "~", "accept marked flows in iptables-nft filter FORWARD"),
        (s.RemoveAcceptRule(FORWARD), "-", "remove the accept rule from iptables-nft filter FORWARD"),
        (s.RememberEndpoints("blog", "blog", (container("web"),)), "~", "remember 1 endpoints of blog"),
        (s.RememberNetwork("blog", SPEC, SUBNET, "default"), "~", f"remember Docker network blog with {SUBNET}"),
        (
            s.AddProxyNeighbour("eth0", SUBNET[5]),
            "+",
            f"answer neighbour solicitations for {SUBNET[5]} on eth0",
        ),
        (
            s.RemoveProxyNeighbour("eth0", SUBNET[5]),
            "-",
            f"answer no more neighbour solicitations for {SUBNET[5]} on eth0",
        ),
        (s.DetachEndpoint("1", container("web")), "-", "detach container web"),
        (s.RemoveNetwork(live().id, "blog", "x"), "-", "remove Docker network blog (000000000000)"),
        (s.CreateNetwork(SPEC, "x"), "+", f"create Docker network blog (bridge, {SUBNET})"),
        (s.AttachEndpoint("blog", container("web")), "+", "attach container web to blog"),
        (s.AttachMember("blog", "blog", container("web")), "+", "attach container web to blog"),
        (s.DetachMember("blog", "1", container("web"), "x"), "-", "detach container web"),
        (s.SetHairpin("veth1", "v6-blog"), "~", "set hairpin mode on port veth1 of bridge v6-blog"),
        (s.SetBridgeNetfilter("v6-blog"), "~", "let ip6tables see what is bridged within v6-blog"),
    )
}


@pytest.mark.parametrize("kind", [each.__name__ for each in get_args(Step)])
def test_every_step_is_said_in_words_with_a_sign(kind: str) -> None:
    step, sign, words = EXAMPLES[kind]
    assert (symbol(step), describe(step)) == (sign, words)
    assert step.reason


def test_a_flushed_table_is_one_line() -> None:
    assert rules_changed(("add a",)).endswith("put right by add a")
    assert rules_changed(("add a", "b", "c")).endswith("put right by 3 steps, first: add a")


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(TypeError, match="is no step"):
        describe("nonsense")  # type: ignore[arg-type]


def test_a_plan_is_a_mapping_for_programs() -> None:
    finding = Finding("NetworkReady", "ForeignNetwork", "choose another name", retry=5.0)
    step = s.ReleaseSubnet(allocation(), "the resource is deleted")
    assert as_mapping(Plan("IPv6Network", "blog", (step,), (finding,), ("a bridge",))) == {
        "kind": "IPv6Network",
        "name": "blog",
        "disruption": "None",
        "disconnects": 0,
        "drift": ["a bridge"],
        "steps": [{"action": "ReleaseSubnet", "description": f"release {SUBNET}", "reason": "the resource is deleted"}],
        "findings": [
            {
                "condition": "NetworkReady",
                "reason": "ForeignNetwork",
                "message": "choose another name",
                "blocks": True,
            }
        ],
    }
