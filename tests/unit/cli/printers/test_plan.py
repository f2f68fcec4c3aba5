from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.cli.printers.plan import changes, plan_lines, plan_mapping, summary
from dockerv6.dockerd.model import Attachment, NetworkSpec
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import BindSubnet, CreateNetwork, DetachEndpoint, KeepPoolPrefix, RemoveNetwork, SetSysctl

ADD = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "it has none")
CHANGE = SetSysctl("net.ipv6.conf.all.forwarding", "1", "0", "it routes")
CREATE = CreateNetwork(NetworkSpec("blog"), "its subnet changed")
REMOVE = RemoveNetwork("0123456789abcdef", "shop", "the resource is deleted")
BLOCKED = Finding("SubnetAllocated", "SubnetOverlap", "fd00::/64 overlaps\nlab")
NOTE = Finding("HostReady", "HostNotReady", "maybe", blocks=False, unknown=True)


def plan(*steps: object, name: str = "blog", findings: tuple[Finding, ...] = ()) -> Plan:
    return Plan("IPv6Network", name, steps, findings)  # type: ignore[arg-type]


def test_resources_are_counted_by_what_happens_to_them() -> None:
    new, replaced = plan(ADD, CHANGE, CREATE), plan(REMOVE, CREATE, name="shop")
    garbage = Plan("Host", "garbage", (REMOVE, REMOVE))
    assert changes([new, plan(CHANGE, name="a"), plan(ADD, name="b"), replaced, plan(name="c"), garbage]) == {
        "add": 1,
        "change": 2,
        "replace": 1,
        "remove": 2,
        "disconnects": 0,
    }


def test_a_resource_is_marked_by_what_happens_to_it() -> None:
    lines = plan_lines([plan(REMOVE, CREATE), plan(CHANGE, name="shop")])
    assert lines[0].endswith("-/+\x1b[0m ipv6network/blog [Recreate]")
    assert "\x1b[33m~\x1b[0m ipv6network/shop" in lines


def test_addresses_of_a_random_prefix_are_known_after_apply() -> None:
    kept = KeepPoolPrefix("default", IPv6Network("fd12:3456:789a::/48"))
    bind = BindSubnet("blog", "default", IPv6Network("fd12:3456:789a:5::/64"), None, "it has none")
    plans = [plan(kept, bind, ADD)]
    text = "\n".join(plan_lines(plans))
    assert "generate (known after apply) for IPv6Pool default" in text
    assert "allocate (known after apply) from IPv6Pool default" in text
    assert "allocate fd00::/64 from" in text
    assert "fd12" not in text + str(plan_mapping(plans, []))
    assert "fd12" in "\n".join(plan_lines([plan(bind)]))


def test_a_plan_without_changes_is_one_line() -> None:
    assert plan_lines([plan()]) == ["No changes. The host matches the resources."]
    assert plan_lines([plan()], invalid_files=True) == ["No changes."]
    assert plan_lines([]) == ["No changes. The host matches the resources."]


def test_each_resource_shows_its_steps_with_their_reasons() -> None:
    assert "\n".join(plan_lines([plan(ADD, REMOVE, findings=(NOTE,))])).replace("\x1b[0m", "") == (
        "\x1b[31m- ipv6network/blog\n"
        "  \x1b[32m+ allocate fd00::/64 from IPv6Pool default  # it has none\n"
        "  \x1b[31m- remove Docker network shop (0123456789ab)  # the resource is deleted\n"
        "  \x1b[33mi HostReady HostNotReady: maybe\n"
        "\n"
        "Plan: 0 to add, 0 to change, 0 to replace, 1 to remove. Warnings: ipv6network/blog (HostNotReady)."
    )


def test_blocked_resources_are_named() -> None:
    lines = plan_lines([plan(findings=(BLOCKED,))])
    assert lines[1].endswith("SubnetAllocated SubnetOverlap: fd00::/64 overlaps lab")
    assert lines[-1] == "No changes. Blocked: ipv6network/blog (SubnetOverlap)."


def test_nothing_is_called_done_that_is_not() -> None:
    waits = replace(BLOCKED, blocks=False)
    assert summary([plan(findings=(waits,))]) == "No changes. Blocked: ipv6network/blog (SubnetOverlap)."
    assert summary([plan(findings=(NOTE,))]) == "No changes. Warnings: ipv6network/blog (HostNotReady)."
    assert summary([plan(findings=(replace(NOTE, reason="Suspended"),))]) == "No changes. Suspended: ipv6network/blog."


def test_disconnected_containers_are_counted() -> None:
    endpoints = [Attachment(name * 4, name, running=True) for name in ("web", "db")]
    one = plan(DetachEndpoint("n", endpoints[0]))
    assert summary([one]) == "Plan: 0 to add, 1 to change, 0 to replace, 0 to remove; disconnects 1 container."
    assert plan_lines([plan(*(DetachEndpoint("n", e) for e in endpoints))])[0].endswith("[Disconnects 2 containers]")


def test_json_has_plans_summary_and_diagnostics() -> None:
    shown = plan_mapping([plan(ADD)], [])
    assert list(shown) == ["apiVersion", "kind", "summary", "plans", "diagnostics"]
    assert shown["summary"] == {"add": 0, "change": 1, "replace": 0, "remove": 0, "disconnects": 0}
