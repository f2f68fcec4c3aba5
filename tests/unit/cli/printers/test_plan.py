from ipaddress import IPv6Network

from dockerv6.cli.printers.plan import changes, plan_lines, plan_mapping, summary
from dockerv6.dockerd.model import Attachment
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import BindSubnet, DetachEndpoint, RemoveNetwork, SetSysctl

ADD = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "it has none")
CHANGE = SetSysctl("net.ipv6.conf.all.forwarding", "1", "0", "it routes")
REMOVE = RemoveNetwork("0123456789abcdef", "shop", "the resource is deleted")
BLOCKED = Finding("SubnetAllocated", "SubnetOverlap", "fd00::/64 overlaps\nlab")
NOTE = Finding("HostReady", "HostNotReady", "maybe", blocks=False)


def plan(*steps: object, name: str = "blog", findings: tuple[Finding, ...] = ()) -> Plan:
    return Plan("IPv6Network", name, steps, findings)  # type: ignore[arg-type]


def test_steps_are_counted_by_their_symbol() -> None:
    assert changes([plan(ADD, CHANGE), plan(REMOVE, name="shop")]) == {
        "add": 1,
        "change": 1,
        "remove": 1,
        "disconnects": 0,
    }


def test_a_plan_without_changes_is_one_line() -> None:
    assert plan_lines([plan()]) == ["No changes. The host matches the resources."]
    assert plan_lines([plan()], invalid_files=True) == ["No changes."]
    assert plan_lines([]) == ["No changes. The host matches the resources."]


def test_each_resource_shows_its_steps_with_their_reasons() -> None:
    assert "\n".join(plan_lines([plan(ADD, REMOVE, findings=(NOTE,))])).replace("\x1b[0m", "") == (
        "ipv6network/blog\n"
        "  \x1b[32m+ allocate fd00::/64 from IPv6Pool default  # it has none\n"
        "  \x1b[31m- remove Docker network shop (0123456789ab)  # the resource is deleted\n"
        "  \x1b[33mi HostReady HostNotReady: maybe\n"
        "\n"
        "Plan: 1 to add, 0 to change, 1 to remove."
    )


def test_blocked_resources_are_named() -> None:
    lines = plan_lines([plan(findings=(BLOCKED,))])
    assert lines[1].endswith("SubnetAllocated SubnetOverlap: fd00::/64 overlaps lab")
    assert lines[-1] == "No changes. Blocked: ipv6network/blog."


def test_disconnected_containers_are_counted() -> None:
    endpoints = [Attachment(name * 4, name, running=True) for name in ("web", "db")]
    one = plan(DetachEndpoint("n", endpoints[0]))
    assert summary([one]) == "Plan: 0 to add, 0 to change, 1 to remove; disconnects 1 container."
    assert plan_lines([plan(*(DetachEndpoint("n", e) for e in endpoints))])[0].endswith("[Disconnects 2 containers]")


def test_json_has_plans_summary_and_diagnostics() -> None:
    shown = plan_mapping([plan(ADD)], [])
    assert list(shown) == ["apiVersion", "kind", "summary", "plans", "diagnostics"]
    assert shown["summary"] == {"add": 1, "change": 0, "remove": 0, "disconnects": 0}
