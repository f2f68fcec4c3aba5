from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.dockerd.model import Attachment, NetworkSpec
from dockerv6.planning.plan import Plan
from dockerv6.planning.saved_plan import PlanOrigin, PlanRefused, SavedPlan, StepNotApproved
from dockerv6.planning.steps import (
    BindSubnet,
    CreateNetwork,
    DetachMember,
    KeepPoolPrefix,
    RemoveNetwork,
    SetSysctl,
    UpdateFirewall,
)
from tests.unit.planning.scene import lacking

HERE = PlanOrigin("0.2.0", "1a2b", "dockerv6", "web1")
SYSCTL = SetSysctl("net.ipv6.conf.all.forwarding", "1", "0", "containers need it")

RULES = UpdateFirewall("blog", lacking("", "blog").change, "its rules differ")


def generated(prefix: str) -> Plan:
    """The plan of a network whose pool gets a random prefix."""
    network = IPv6Network(f"{prefix}::/64")
    steps = (
        KeepPoolPrefix("default", network.supernet(16)),
        BindSubnet("blog", "default", network, None, "new"),
        SYSCTL,
    )
    return Plan("IPv6Network", "blog", steps)


def saved(*plans: Plan, origin: PlanOrigin = HERE) -> SavedPlan:
    return SavedPlan.of(plans, origin)


def test_a_plan_survives_its_file() -> None:
    plan = saved(generated("fd01:203:405:1"))
    assert SavedPlan.decode(plan.encode(), "x") == plan
    plan.check(plan)


def test_a_random_prefix_does_not_make_a_plan_stale_and_is_not_written() -> None:
    plan = saved(generated("fd01:203:405:1"))
    assert "fd01" not in plan.encode()
    plan.check(saved(generated("fd99:203:405:1")))


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (replace(HERE, installation="other", host="web2"), "made on host web2.*on web1"),
        (replace(HERE, version="0.1.0"), r"made by dockerv6 0\.1\.0, and this is 0\.2\.0"),
        (replace(HERE, instance="test", installation="other"), "use --instance test"),
    ],
)
def test_a_plan_of_another_place_is_refused_with_a_remedy(origin: PlanOrigin, message: str) -> None:
    with pytest.raises(PlanRefused, match=message) as refused:
        saved(origin=origin).check(saved())
    assert "make the plan again with `dockerv6 plan --out FILE`" in str(refused.value)


def test_a_plan_of_the_previous_version_is_refused_by_its_version() -> None:
    text = saved(origin=replace(HERE, version="0.1.0")).encode().replace('"steps": []', '"steps": ["IPv6Pool/a: + x"]')
    with pytest.raises(PlanRefused, match=r"made by dockerv6 0\.1\.0"):
        SavedPlan.decode(text, "x").check(saved())
    with pytest.raises(PlanRefused, match="stale"):
        SavedPlan.decode(text.replace("0.1.0", HERE.version), "x").check(saved())


def test_a_firewall_step_is_approved_for_all_whatever_its_text() -> None:
    for of_blog, of_shop in ((RULES, replace(RULES, owner="shop")), (replace(RULES, owner="shop"), RULES)):
        approve = saved(Plan("IPv6Network", "blog", (of_blog,))).approval()
        approve("IPv6Network/shop", of_shop)
    with pytest.raises(StepNotApproved):
        saved(generated("fd01:203:405:1")).approval()("IPv6Network/blog", RULES)


def test_a_stale_plan_is_refused_with_the_difference() -> None:
    other = replace(SYSCTL, prior="2")
    with pytest.raises(PlanRefused, match="stale") as refused:
        saved(Plan("IPv6Network", "blog", (SYSCTL,))).check(saved(Plan("IPv6Network", "blog", (other,))))
    assert refused.value.difference == (
        "--- in the plan",
        "+++ now",
        "-IPv6Network/blog: ~ set sysctl net.ipv6.conf.all.forwarding=1 (was 0)",
        "+IPv6Network/blog: ~ set sysctl net.ipv6.conf.all.forwarding=1 (was 2)",
    )


def test_only_the_steps_of_the_plan_are_approved() -> None:
    approve = saved(generated("fd01:203:405:1")).approval()
    for step in generated("fd77:203:405:1").steps:  # another random prefix
        approve("IPv6Network/blog", step)
    with pytest.raises(StepNotApproved, match="not in the plan file"):
        approve("IPv6Network/blog", replace(SYSCTL, prior="2"))
    approve("Host/forwarding", SYSCTL)
    with pytest.raises(StepNotApproved):
        approve("IPv6Network/shop", BindSubnet("shop", "default", IPv6Network("fd77:203:405:2::/64"), None, "new"))
    with pytest.raises(StepNotApproved):
        approve("IPv6Network/blog", KeepPoolPrefix("other", IPv6Network("fd88::/48")))


def test_what_an_approved_removal_cut_off_may_be_restored_with_other_values() -> None:
    removal = RemoveNetwork("4f" * 32, "blog", "its subnet changes")
    creation = CreateNetwork(NetworkSpec("blog"), "it was removed")
    subnet = BindSubnet("blog", "default", IPv6Network("fd77:203:405:2::/64"), None, "new")
    approve = saved(Plan("IPv6Network", "blog", (removal,))).approval()
    with pytest.raises(StepNotApproved):
        approve("IPv6Network/blog", creation)
    approve("IPv6Network/blog", removal)
    for step in (subnet, creation):
        approve("IPv6Network/blog", step)
        with pytest.raises(StepNotApproved):
            approve("IPv6Network/shop", step)
    member = DetachMember("blog", "4f" * 32, Attachment("c1", "c", running=True), "gone")
    for further in (replace(removal, network_id="5a" * 32), member):
        with pytest.raises(StepNotApproved):
            approve("IPv6Network/blog", further)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "7", '"x"', "{}", "[" * 100_000),
        '{"apiVersion": "dockerv6.io/v1alpha1", "kind": "PlanList", "origin": {}, "steps": []}',
        saved().encode().replace("SavedPlan", "Plan"),
        saved().encode().replace('"steps": []', '"steps": [1]'),
        saved().encode().replace('"steps": []', '"steps": 1'),
        saved().encode().replace('"steps": []', '"steps": [{"owner": "IPv6Network/blog"}]'),
        saved().encode().replace('"steps": []', '"steps": [{"owner": "Host/x", "action": "X", "line": 1}]'),
        saved().encode().replace('"web1"', "1"),
        saved().encode().replace('"host"', '"hosts"'),
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanRefused, match="x is not a plan"):
        SavedPlan.decode(text, "x")
