"""For all inputs, a plan has the properties that its module promises."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import ManagementPolicy
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.deletion import GarbageInputs, plan_deletion, plan_garbage
from dockerv6.planning.firewall.contributions import network_contribution
from dockerv6.planning.inputs import Desired, Holdings, HostView, NetworkIndex, Observed, RulesView
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Plan
from dockerv6.planning.status import NETWORK_DOMAIN, StatusInputs, conditions_of
from dockerv6.planning.steps import (
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


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Desired, Observed, Holdings]:
    """A desired network, an observed state and a ledger."""
    resource: NetworkResource = draw(networks(supported_only=True))
    declared: list[IPv6Pool] = draw(st.lists(pools(), max_size=1))
    known = {"default": draw(st.sampled_from([pool(), pool(prefix="fd00::/40"), FOLLOWING]))}
    want = Desired(resource, {**known, **{p.metadata.name: p for p in declared}})
    there: list[Network] = [
        foreign(draw(st.sampled_from(["x", resource.docker_name])), str(prefix), 50 + number)
        for number, prefix in enumerate(draw(st.lists(prefixes, max_size=2)))
    ]
    if draw(st.booleans()):
        apart = (prefixes | subnets(longest=64)).filter(
            lambda p: not any(p.overlaps(c.subnet) for n in there for c in n.ipv6)  # engines refuse it
        )
        mine = live(want, draw(apart))
        there.append(replace(mine, internal=draw(st.booleans())))
    own = [n for n in there if IDENTITY.owns(n)]
    everybody = [
        container(n, running=draw(st.booleans())) for n in draw(st.sets(st.sampled_from(["web", "db", "cron"])))
    ]
    bridges = draw(st.sampled_from([HostView(), host()]))
    name = resource.metadata.name
    rules = RulesView(
        change=draw(st.sampled_from([RulesetChange(), lacking("").change, lacking(name).change])),
        problem=draw(st.sampled_from(["", "", "", "install nft"])),
        filter=replace(RulesView().filter, forward_drops=draw(st.sampled_from([(), (FORWARD,), (STUBBORN,)]))),
        excluded=draw(st.sampled_from([{}, {name: "overlaps"}])),
    )
    state = Observed(
        now=NOW,
        engine=draw(st.sampled_from([ENGINE_28, ENGINE_28, ENGINE_20_10, None])),
        networks=NetworkIndex(there),
        attachments=tuple(everybody) if own else (),
        remembered=() if own else tuple(everybody),
        applied=draw(st.booleans()),
        host=replace(
            bridges,
            forwarding=draw(st.sampled_from(["0", "1", None])),
            accept_ra=draw(st.sampled_from([{}, {"eth0": "1"}])),
            routes=tuple(route(str(p)) for p in draw(st.lists(prefixes, max_size=2))),
        ),
        rules=rules,
        containers=tuple(
            replace(running(n), labels=dict(resource.spec.members.match_labels), network_mode=draw(modes))
            for n in draw(st.sets(st.sampled_from(["web", "db", "app"])))
        ),
        members=frozenset(draw(st.sets(st.sampled_from(["web-id", "db-id", "cron-id", "gone-id"])))),
        in_flight=draw(st.sampled_from([(), (), ("shop",)])),
    )
    held = replace(draw(ledgers(name)), tracked=draw(tracked(resource)))
    bound = held.bound.get(name)
    shares = network_contribution(
        resource, bound.prefix if bound is not None else None, state.networks.owned(IDENTITY, name), (), held.tracked
    )
    return want, replace(state, proxied_subnets=shares.proxied_subnets or ()), held


@st.composite
def tracked(draw: st.DrawFn, resource: NetworkResource) -> dict[str, TrackedPrefix]:
    """What is known of the interfaces that matter."""
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
    """Whether every step of the one kind comes before every one of the other."""
    last = max((i for i, s in enumerate(plan.steps) if isinstance(s, earlier)), default=-1)
    start = first(plan, later)
    return start is None or last < start


def names(endpoints: Iterable[Attachment]) -> set[str]:
    return {e.container_name for e in endpoints}


@given(scenes())
def test_the_same_inputs_give_the_same_plan_and_it_can_be_printed(scene: tuple[Desired, Observed, Holdings]) -> None:
    assert plan_network(*scene) == plan_network(*scene)
    assert plan_network(*scene).as_mapping()["name"] == scene[0].name


@given(scenes())
def test_steps_are_in_an_order_that_is_safe_to_interrupt(scene: tuple[Desired, Observed, Holdings]) -> None:
    found = plan_network(*scene)
    assert before(found, RememberEndpoints, DetachEndpoint)
    assert before(found, RememberNetwork, BindSubnet)
    assert before(found, RememberNetwork, DetachEndpoint)
    assert before(found, RememberNetwork, RemoveNetwork)
    assert before(found, BindSubnet, RemoveNetwork)
    assert before(found, BindSubnet, CreateNetwork)
    assert before(found, ForgetSubnet, BindSubnet)
    assert before(found, DetachEndpoint, RemoveNetwork)
    assert before(found, RemoveNetwork, CreateNetwork)
    assert before(found, UpdateFirewall, CreateNetwork)
    assert before(found, SetSysctl, CreateNetwork)
    assert before(found, CreateNetwork, AttachEndpoint)
    assert before(found, CreateNetwork, AddProxyNeighbour)


@given(scenes())
def test_what_is_removed_can_come_back_as_it_was(scene: tuple[Desired, Observed, Holdings]) -> None:
    want, state, held = scene
    found = plan_network(*scene)
    if want.name in held.bound and (at := first(found, RemoveNetwork)) is not None:
        removed = found.steps[at]
        (remember,) = (s for s in found.steps if isinstance(s, RememberNetwork))
        (before_,) = (n for n in state.networks if isinstance(removed, RemoveNetwork) and n.id == removed.network_id)
        assert remember.subnet == held.bound[want.name].prefix
        assert (remember.previous.name, remember.previous.ipam, remember.previous.labels) == (
            before_.name,
            before_.ipam,
            before_.labels,
        )


@given(scenes())
def test_every_detached_container_is_attached_again(scene: tuple[Desired, Observed, Holdings]) -> None:
    found = plan_network(*scene)
    detached = names(s.endpoint for s in found.steps if isinstance(s, DetachEndpoint))
    attached = names(s.endpoint for s in found.steps if isinstance(s, AttachEndpoint))
    remembered = names(e for s in found.steps if isinstance(s, RememberEndpoints) for e in s.endpoints)
    assert detached <= attached & remembered


@given(scenes())
def test_only_own_networks_are_removed_and_only_for_new_ones(scene: tuple[Desired, Observed, Holdings]) -> None:
    want, state, _ = scene
    found = plan_network(*scene)
    removed = {s.network_id for s in found.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.networks.owned(want.identity, want.name)}
    assert not removed or first(found, CreateNetwork) is not None
    touched = {s.network_id for s in found.steps if isinstance(s, DetachEndpoint)}
    assert touched <= removed


@given(scenes())
def test_a_blocked_plan_changes_no_network(scene: tuple[Desired, Observed, Holdings]) -> None:
    found = plan_network(*scene)
    if found.blocked is not None:
        answering = {SetSysctl, AddProxyNeighbour, RemoveProxyNeighbour}
        assert {type(s) for s in found.steps} <= {UpdateFirewall, AttachEndpoint, *answering}


@given(scenes())
def test_the_created_subnet_is_the_allocated_one_and_does_not_overlap(
    scene: tuple[Desired, Observed, Holdings],
) -> None:
    want, state, held = scene
    found = plan_network(*scene)
    forgotten = {s.allocation for s in found.steps if isinstance(s, ForgetSubnet)}
    for bind in (s for s in found.steps if isinstance(s, BindSubnet)):
        rivals = [a for a in held.allocations if a.owner != want.name and a.prefix.overlaps(bind.prefix)]
        assert set(rivals) <= forgotten
        for other in state.networks:
            if not want.identity.owns(other, want.name):
                assert not any(isinstance(c.subnet, IPv6Network) and c.subnet.overlaps(bind.prefix) for c in other.ipv6)
        for create in (s for s in found.steps if isinstance(s, CreateNetwork)):
            assert bind.prefix in {c.subnet for c in create.spec.ipam}


@given(scenes())
def test_a_network_is_only_made_with_rules_an_engine_and_an_allocation(
    scene: tuple[Desired, Observed, Holdings],
) -> None:
    want, state, held = scene
    found = plan_network(*scene)
    if first(found, CreateNetwork) is not None:
        assert state.engine is not None
        assert not state.rules.problem
        assert state.host.forwarding is not None
        assert want.name in held.bound or first(found, BindSubnet) is not None
        assert want.resource.spec.management_policy is ManagementPolicy.MANAGE
        assert not want.resource.spec.suspend


@given(scenes(), st.sampled_from([None, 5.0]), st.booleans(), st.sampled_from(["", "wrong"]))
def test_the_rules_of_conditions_hold(
    scene: tuple[Desired, Observed, Holdings],
    retry: float | None,
    held: bool,  # noqa: FBT001 - drawn
    problem: str,
) -> None:
    found = conditions_of((), StatusInputs(NOW, 1, plan_network(*scene), retry=retry, prune_held=held, problem=problem))
    check_conditions(found)
    assert {c.type for c in found} >= {"Ready", "Accepted", *NETWORK_DOMAIN}


@given(scenes())
def test_a_deletion_removes_only_what_is_the_resources_own(scene: tuple[Desired, Observed, Holdings]) -> None:
    want, state, _ = scene
    found = plan_deletion(*scene)
    removed = {s.network_id for s in found.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.networks.owned(want.identity, want.name)}
    released = [s.endpoint for s in found.steps if isinstance(s, DetachMember)]
    assert not removed or not any(a.running for a in state.attachments if a not in released)
    assert found.empty or not found.findings


@given(scenes(), st.booleans())
def test_garbage_is_never_anybodys(scene: tuple[Desired, Observed, Holdings], exists: bool) -> None:  # noqa: FBT001
    want, state, held = scene
    known = GarbageInputs({want.name} if exists else (), (), want.pools)
    idle = {n.id for n in state.networks}
    found = plan_garbage(known, want.identity, state.networks, idle, held, NOW)
    removed = {s.network_id for s in found.steps if isinstance(s, RemoveNetwork)}
    assert removed <= {n.id for n in state.networks if want.identity.owns(n)}
    if exists:
        assert not removed


@given(scenes(), st.sampled_from([plan_network, plan_deletion]))
def test_only_what_we_attached_is_ever_detached_as_a_member(
    scene: tuple[Desired, Observed, Holdings], decide: Callable[[Desired, Observed, Holdings], Plan]
) -> None:
    steps = decide(*scene).steps
    detached = {s.endpoint.container_id for s in steps if isinstance(s, DetachMember)}
    assert detached <= scene[1].members & {a.container_id for a in scene[1].attachments}


@given(scenes())
def test_no_container_is_attached_twice_or_without_the_labels(scene: tuple[Desired, Observed, Holdings]) -> None:
    want, state, _ = scene
    steps = plan_network(*scene).steps
    joining = [s.endpoint.container_id for s in steps if isinstance(s, AttachMember)]
    back = [s.endpoint.container_id for s in steps if isinstance(s, AttachEndpoint)]
    assert len({*joining, *back}) == len(joining) + len(back)
    assert not joining or want.resource.spec.members.match_labels
    assert {*joining} <= {c.id for c in state.containers if c.network_mode == "bridge"}
    assert not {*joining} & {a.container_id for a in state.attachments}
