from dockerv6.planning.docker.network_spec import network_spec
from dockerv6.planning.plan import Finding, Plan
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


def test_only_a_recreation_is_disruptive() -> None:
    assert [str(p.disruption) for p in (of(CREATE), of(REMOVE), of(REMOVE, CREATE))] == ["None", "None", "Recreate"]


def test_running_containers_that_are_detached_are_counted() -> None:
    plan = of(DetachEndpoint("1", WEB), DetachEndpoint("1", CRON), REMOVE, CREATE, AttachEndpoint("blog", WEB))
    assert (str(plan.disruption), plan.disconnected) == ("Disconnects", 1)
    assert str(of(DetachEndpoint("1", CRON), REMOVE, CREATE).disruption) == "Recreate"


def test_a_plan_is_a_mapping_for_programs() -> None:
    finding = Finding("NetworkReady", "ForeignNetwork", "choose another name", retry=5.0)
    step = ReleaseSubnet(allocation(), "the resource is deleted")
    assert Plan("IPv6Network", "blog", (step,), (finding,), ("a bridge",)).as_mapping() == {
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
