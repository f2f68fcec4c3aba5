from dockerv6.api.conditions import ConditionType
from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.plan import Change, Drift, Finding, Plan
from dockerv6.planning.steps import AttachEndpoint, CreateNetwork, DetachEndpoint, ReleaseSubnet, RemoveNetwork, Step
from tests.unit.planning.scene import IDENTITY, SUBNET, allocation, container, desired

SPEC = network_spec(desired().resource, SUBNET, IDENTITY)
REMOVE, CREATE = RemoveNetwork("1", "blog", "x"), CreateNetwork(SPEC, "x")
WEB, CRON = container("web"), container("cron", running=False)


def of(*steps: Step) -> Plan:
    return Plan("IPv6Network", "blog", steps)


def test_a_plan_without_steps_is_empty_whatever_was_found() -> None:
    assert Plan("IPv6Network", "blog", findings=(Finding("Ready", "Suspended", "x"),)).empty
    assert not of(CREATE).empty


def test_the_first_finding_that_blocks_is_what_blocks() -> None:
    findings = (Finding("A", "X", "x", blocks=False), Finding("B", "Y", "y"), Finding("C", "Z", "z"))
    assert Plan("IPv6Network", "blog", findings=findings).blocked == findings[1]
    assert Plan("IPv6Network", "blog", findings=findings[:1]).blocked is None


def test_what_keeps_a_resource_from_being_ready_is_an_obstacle_and_the_rest_a_warning() -> None:
    waits = Finding("NetworkReady", "RecreateBlocked", "stop them", blocks=False)
    unsure = Finding("HostReady", "MTUMismatch", "set it", blocks=False, unknown=True)
    suspended = Finding("Ready", "Suspended", "set it to false", blocks=False, unknown=True)
    plan = Plan("IPv6Network", "blog", findings=(unsure, waits, suspended))
    assert (plan.blocked, plan.obstacles, plan.warnings, plan.suspended) == (None, (waits,), (unsure,), True)


def test_the_change_of_a_resource_is_what_its_steps_do_together() -> None:
    release = ReleaseSubnet(allocation(), "x")
    plans = (of(), of(CREATE, AttachEndpoint("blog", WEB)), of(AttachEndpoint("blog", WEB)), of(REMOVE, CREATE))
    assert [p.change for p in (*plans, of(REMOVE), of(release))] == [
        Change.NONE,
        Change.ADD,
        Change.CHANGE,
        Change.REPLACE,
        Change.REMOVE,
        Change.REMOVE,
    ]


def test_only_a_recreation_is_disruptive() -> None:
    assert [str(p.disruption) for p in (of(CREATE), of(REMOVE), of(REMOVE, CREATE))] == ["None", "None", "Recreate"]


def test_running_containers_that_are_detached_are_counted() -> None:
    plan = of(DetachEndpoint("1", WEB), DetachEndpoint("1", CRON), REMOVE, CREATE, AttachEndpoint("blog", WEB))
    assert (str(plan.disruption), plan.disconnected) == ("Disconnects", 1)
    assert str(of(DetachEndpoint("1", CRON), REMOVE, CREATE).disruption) == "Recreate"


def test_a_plan_is_a_mapping_for_programs() -> None:
    finding = Finding("NetworkReady", "ForeignNetwork", "choose another name", retry=5.0)
    step = ReleaseSubnet(allocation(), "the resource is deleted")
    assert Plan(
        "IPv6Network", "blog", (step,), (finding,), (Drift("a bridge", ConditionType.NETWORK_READY),)
    ).as_mapping() == {
        "kind": "IPv6Network",
        "name": "blog",
        "change": "Remove",
        "disruption": "None",
        "disconnects": 0,
        "changes": [{"field": "subnet", "before": str(SUBNET), "after": None}],
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
