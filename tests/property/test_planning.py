"""For all inputs, a plan has the properties that its module promises."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import ManagementPolicy
from dockerv6.dockerd.model import COMPOSE_PROJECT, Attachment, Network
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.deletion import GarbageInputs, plan_deletion, plan_garbage
from dockerv6.planning.docker.members import is_member
from dockerv6.planning.firewall.contributions import network_contribution
from dockerv6.planning.inputs import NETWORK_LABEL, Desired, Holdings, HostView, NetworkIndex, Observed, RulesView
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from dockerv6.planning.status import NETWORK_DOMAIN, StatusInputs, conditions_of
from dockerv6.planning.steps import (
    AddAcceptRule,
    AddProxyNeighbour,
    AttachEndpoint,
    AttachMember,
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    DetachMember,
    ForgetSubnet,
    RememberEndpoints,
    RememberNetwork,
    RemoveNetwork,
    RemoveProxyNeighbour,
    SetSysctl,
    UpdateFirewall,
)
from tests.condition_rules import check_conditions
from tests.property.strategies_api import networks, pools, subnets
from tests.simulation.resources import pool
from tests.unit.planning.scene import (
    ENGINE_20_10,
    ENGINE_28,
    FORWARD,
    IDENTITY,
    NOW,
    STUBBORN,
    container,
    foreign,
    host,
    lacking,
    live,
    route,
    running,
)

if TYPE_CHECKING:
    from dockerv6.api.pool import IPv6Pool

LENGTHS = st.sampled_from([48, 56, 64, 80])
prefixes = st.builds(
    lambda number, length: IPv6Network((0xFD00 << 112 | number << 80, 128)).supernet(new_prefix=length),
    st.integers(0, 5),
    LENGTHS,
)
owners = st.sampled_from(["a", "b", "c", "blog"])


@st.composite
def ledgers(draw: st.DrawFn, owner: str) -> Holdings:
    """A possible ledger: one bound allocation per owner, none of which overlap."""
    rows: list[Allocation] = []
    for revision in range(draw(st.integers(0, 5))):
        row = Allocation(
            draw(owners | st.just(owner)),
            draw(st.sampled_from(["default", ""])),
            draw(prefixes),
            draw(st.sampled_from(list(AllocationState))),
            NOW - draw(st.sampled_from([0, 1800, 7200])),
            revision + 1,
        )
        clash = any(r.prefix == row.prefix or (r.owner != row.owner and r.prefix.overlaps(row.prefix)) for r in rows)
        twice = row.state is AllocationState.BOUND and any(
            r.owner == row.owner and r.state is AllocationState.BOUND for r in rows
        )
        if not clash and not twice:
            rows.append(row)
    kept = draw(st.none() | prefixes.filter(lambda p: p.prefixlen == 48))
    return Holdings(tuple(rows), {"default": kept} if kept else {})


FOLLOWING = pool(fromInterface={"name": "eth0"}, allocationLength=80)
modes = st.sampled_from(["bridge", "bridge", "host", "container:x"])


PlanInputs = tuple[Desired, Observed, Holdings]
"""The arguments of `plan_network`."""


@st.composite
def plan_inputs(draw: st.DrawFn) -> PlanInputs:
    """A desired network, an observed state and a ledger."""
    resource: NetworkResource = draw(networks(supported_only=True))
    named = {NETWORK_LABEL: resource.metadata.name}
    selected = dict(resource.spec.members.match_labels)
    labels_of_members = st.sampled_from([selected, named, {**named, COMPOSE_PROJECT: "blog"}])
    declared: list[IPv6Pool] = draw(st.lists(pools(), max_size=1))
    known_pools = {"default": draw(st.sampled_from([pool(), pool(prefix="fd00::/40"), FOLLOWING]))}
    desired = Desired(resource, {**known_pools, **{p.metadata.name: p for p in declared}})
    existing: list[Network] = [
        foreign(draw(st.sampled_from(["x", resource.docker_name])), str(prefix), 50 + number)
        for number, prefix in enumerate(draw(st.lists(prefixes, max_size=2)))
    ]
    if draw(st.booleans()):
        free = (prefixes | subnets(longest=64)).filter(
            lambda p: not any(p.overlaps(c.subnet) for n in existing for c in n.ipv6)  # engines refuse it
        )
        own_network = live(desired, draw(free))
        existing.append(replace(own_network, internal=draw(st.booleans())))
    own = [n for n in existing if IDENTITY.labelled(n)]
    attached = [
        container(n, running=draw(st.booleans())) for n in draw(st.sets(st.sampled_from(["web", "db", "cron"])))
    ]
    bridges = draw(st.sampled_from([HostView(), host()]))
    name = resource.metadata.name
    rules = RulesView(
        change=draw(st.sampled_from([RulesetChange(), lacking("").change, lacking(name).change])),
        problem=draw(st.sampled_from(["", "", "", "install nft"])),
        filter=replace(RulesView().filter, forward_drops=draw(st.sampled_from([(), (FORWARD,)]))),
        flow_problems=draw(st.sampled_from([{}, {"blog": (STUBBORN,)}])),
        overlapping=draw(st.sampled_from([{}, {name: "overlaps"}])),
    )
    state = Observed(
        now=NOW,
        engine=draw(st.sampled_from([ENGINE_28, ENGINE_28, ENGINE_20_10, None])),
        networks=NetworkIndex(existing),
        attachments=tuple(attached) if own else (),
        remembered=() if own else tuple(attached),
        applied=draw(st.booleans()),
        host=replace(
            bridges,
            forwarding=draw(st.sampled_from(["0", "1", None])),
            accept_ra=draw(st.sampled_from([{}, {"eth0": "1"}])),
            routes=tuple(route(str(p)) for p in draw(st.lists(prefixes, max_size=2))),
        ),
        rules=rules,
        containers=tuple(
            replace(running(n), labels=draw(labels_of_members), network_mode=draw(modes))
            for n in draw(st.sets(st.sampled_from(["web", "db", "app"])))
        ),
        members=frozenset(draw(st.sets(st.sampled_from(["web-id", "db-id", "cron-id", "gone-id"])))),
        in_flight=draw(st.sampled_from([(), (), ("shop",)])),
    )
    holdings = replace(draw(ledgers(name)), tracked=draw(tracked(resource)))
    bound = holdings.bound.get(name)
    contribution = network_contribution(
        resource,
        bound.prefix if bound is not None else None,
        state.owned(desired),
        (),
        holdings.tracked,
    )
    return desired, replace(state, proxied_subnets=contribution.proxied_subnets or ()), holdings


@st.composite
def tracked(draw: st.DrawFn, resource: NetworkResource) -> dict[str, TrackedPrefix]:
    """Tracked prefixes of the interfaces that the resource and the pools may follow."""
    source = resource.spec.egress.prefix_from
    names = {"eth0", *([source.interface] if source is not None else [])}
    return {
        name: TrackedPrefix(name, draw(prefixes), NOW, withdrawn=draw(st.booleans()))
        for name in sorted(names)
        if draw(st.booleans())
    }


def first(plan: Plan, kind: type[object]) -> int | None:
    return next((i for i, s in enumerate(plan.steps) if isinstance(s, kind)), None)


def before(plan: Plan, earlier: type[object], later: type[object]) -> bool:
    """Whether every step of type ``earlier`` comes before every step of type ``later``."""
    last = max((i for i, s in enumerate(plan.steps) if isinstance(s, earlier)), default=-1)
    start = first(plan, later)
    return start is None or last < start


def names(endpoints: Iterable[Attachment]) -> set[str]:
    return {e.container_name for e in endpoints}


@given(plan_inputs())
def test_a_plan_is_deterministic_and_can_be_printed(inputs: PlanInputs) -> None:
    assert plan_network(*inputs) == plan_network(*inputs)
    assert plan_network(*inputs).as_mapping()["name"] == inputs[0].name


@given(plan_inputs())
def test_steps_are_in_an_order_that_is_safe_to_interrupt(inputs: PlanInputs) -> None:
    plan = plan_network(*inputs)
    assert before(plan, RememberEndpoints, DetachEndpoint)
    assert before(plan, RememberNetwork, BindSubnet)
    assert before(plan, RememberNetwork, DetachEndpoint)
    assert before(plan, RememberNetwork, RemoveNetwork)
    assert before(plan, BindSubnet, RemoveNetwork)
    assert before(plan, BindSubnet, CreateNetwork)
    assert before(plan, ForgetSubnet, BindSubnet)
    assert before(plan, DetachEndpoint, RemoveNetwork)
    assert before(plan, RemoveNetwork, CreateNetwork)
    assert before(plan, UpdateFirewall, CreateNetwork)
    assert before(plan, SetSysctl, CreateNetwork)
    assert before(plan, CreateNetwork, AttachEndpoint)
    assert before(plan, CreateNetwork, AddProxyNeighbour)


@given(plan_inputs())
def test_a_removed_network_is_recorded_for_rollback(inputs: PlanInputs) -> None:
    desired, state, holdings = inputs
    plan = plan_network(*inputs)
    if desired.name in holdings.bound and (at := first(plan, RemoveNetwork)) is not None:
        removed = plan.steps[at]
        (remember,) = (s for s in plan.steps if isinstance(s, RememberNetwork))
        (previous,) = (n for n in state.networks if isinstance(removed, RemoveNetwork) and n.id == removed.network_id)
        assert remember.subnet == holdings.bound[desired.name].prefix
        assert (remember.previous.name, remember.previous.ipam, remember.previous.labels) == (
            previous.name,
            previous.ipam,
            previous.labels,
        )


@given(plan_inputs())
def test_every_detached_container_is_attached_again(inputs: PlanInputs) -> None:
    plan = plan_network(*inputs)
    detached = names(s.endpoint for s in plan.steps if isinstance(s, DetachEndpoint))
    attached = names(s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint))
    remembered = names(e for s in plan.steps if isinstance(s, RememberEndpoints) for e in s.endpoints)
    assert detached <= attached & remembered


@given(plan_inputs())
def test_only_own_networks_are_removed_and_only_to_be_recreated(inputs: PlanInputs) -> None:
    desired, state, _ = inputs
    plan = plan_network(*inputs)
    removed = {s.network_id for s in plan.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.owned(desired)}
    assert not removed or first(plan, CreateNetwork) is not None
    touched = {s.network_id for s in plan.steps if isinstance(s, DetachEndpoint)}
    assert touched <= removed


@given(plan_inputs())
def test_a_blocked_plan_changes_no_network(inputs: PlanInputs) -> None:
    plan = plan_network(*inputs)
    if plan.blocked is not None:
        proxying = {SetSysctl, AddProxyNeighbour, RemoveProxyNeighbour}
        assert {type(s) for s in plan.steps} <= {UpdateFirewall, AddAcceptRule, AttachEndpoint, *proxying}


@given(plan_inputs())
def test_the_created_subnet_is_the_allocated_one_and_does_not_overlap(
    inputs: PlanInputs,
) -> None:
    desired, state, holdings = inputs
    plan = plan_network(*inputs)
    forgotten = {s.allocation for s in plan.steps if isinstance(s, ForgetSubnet)}
    for bind in (s for s in plan.steps if isinstance(s, BindSubnet)):
        conflicting = [a for a in holdings.allocations if a.owner != desired.name and a.prefix.overlaps(bind.prefix)]
        assert set(conflicting) <= forgotten
        for other in state.networks:
            if other not in state.owned(desired):
                assert not any(isinstance(c.subnet, IPv6Network) and c.subnet.overlaps(bind.prefix) for c in other.ipv6)
        for create in (s for s in plan.steps if isinstance(s, CreateNetwork)):
            assert bind.prefix in {c.subnet for c in create.spec.ipam}


@given(plan_inputs())
def test_a_network_is_only_created_with_rules_an_engine_and_an_allocation(
    inputs: PlanInputs,
) -> None:
    desired, state, holdings = inputs
    plan = plan_network(*inputs)
    if first(plan, CreateNetwork) is not None:
        assert state.engine is not None
        assert not state.rules.problem
        assert state.host.forwarding is not None
        assert desired.name in holdings.bound or first(plan, BindSubnet) is not None
        assert desired.resource.spec.management_policy is ManagementPolicy.MANAGE
        assert not desired.resource.spec.suspend


@given(plan_inputs(), st.sampled_from([None, 5.0]), st.booleans(), st.sampled_from(["", "wrong"]))
def test_the_rules_of_conditions_hold(
    inputs: PlanInputs,
    retry: float | None,
    held: bool,  # noqa: FBT001 - drawn
    problem: str,
) -> None:
    conditions = conditions_of(
        (), StatusInputs(NOW, 1, plan_network(*inputs), retry=retry, prune_held=held, problem=problem)
    )
    check_conditions(conditions)
    assert {c.type for c in conditions} >= {"Ready", "Accepted", *NETWORK_DOMAIN}


@given(plan_inputs())
def test_a_deletion_removes_only_the_own_network(inputs: PlanInputs) -> None:
    desired, state, _ = inputs
    plan = plan_deletion(*inputs)
    removed = {s.network_id for s in plan.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.owned(desired)}
    released = [s.endpoint for s in plan.steps if isinstance(s, DetachMember)]
    assert not removed or not any(a.running for a in state.attachments if a not in released)
    assert plan.empty or not plan.findings


@given(plan_inputs(), st.booleans())
def test_garbage_collection_removes_only_networks_without_a_resource(inputs: PlanInputs, exists: bool) -> None:  # noqa: FBT001
    desired, state, holdings = inputs
    garbage = GarbageInputs({desired.name} if exists else (), (), desired.pools)
    idle = {n.id for n in state.networks}
    plan = plan_garbage(garbage, desired.identity, state.networks, idle, holdings, NOW)
    removed = {s.network_id for s in plan.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.networks if desired.identity.labelled(n)}
    if exists:
        assert not removed


@given(plan_inputs(), st.sampled_from([plan_network, plan_deletion]))
def test_only_members_that_dockerv6_attached_are_detached(
    inputs: PlanInputs, decide: Callable[[Desired, Observed, Holdings], Plan]
) -> None:
    steps = decide(*inputs).steps
    detached = {s.endpoint.container_id for s in steps if isinstance(s, DetachMember)}
    assert detached <= inputs[1].members & {a.container_id for a in inputs[1].attachments}


@given(plan_inputs())
def test_no_container_is_attached_twice_or_without_the_labels(inputs: PlanInputs) -> None:
    desired, state, _ = inputs
    steps = plan_network(*inputs).steps
    joining = [s.endpoint.container_id for s in steps if isinstance(s, AttachMember)]
    restored = [s.endpoint.container_id for s in steps if isinstance(s, AttachEndpoint)]
    assert len({*joining, *restored}) == len(joining) + len(restored)
    assert {*joining} <= {c.id for c in state.containers if is_member(desired.resource, c.labels)}
    assert {*joining} <= {c.id for c in state.containers if c.network_mode == "bridge"}
    assert not {*joining} & {a.container_id for a in state.attachments}
