"""For all resources, faults and crashes: the operator converges, and keeps attachments and foreign networks."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dockerv6.api.kinds import NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.controller import garbage
from dockerv6.controller.observe import desired_network, observe_network
from dockerv6.controller.status import conditions_before
from dockerv6.dockerd.model import Attachment
from dockerv6.dockerd.port import EngineConflict, EngineError, EngineUnavailable
from dockerv6.planning import network as planning
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.reconciler.handler import TemporaryError
from tests.condition_rules import check_conditions
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5
from tests.property.examples import examples
from tests.simulation.crashes import SIDE_EFFECTS
from tests.simulation.resources import network
from tests.world import Bench, Host

ROUNDS = 12
FOREIGN = {"legacy": "fd00:f0::/64", "compose_default": "fd00:f1::/64"}
CONTAINERS = ("db", "web", "worker")


class Killed(BaseException):
    """The process was killed. A BaseException, so that no code of the operator catches it."""


@dataclass
class Killer:
    """Kills the process at its n-th side effect, before or after it happens."""

    host: Host
    at: int = -1  # never
    after: bool = False
    count: int = 0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for port, methods in SIDE_EFFECTS.items():
            for method in methods:
                self._wrap(getattr(self.host, port), method)

    def _wrap(self, port: object, method: str) -> None:
        original: Callable[..., Awaitable[object]] = getattr(port, method)
        assert inspect.iscoroutinefunction(original)

        async def wrapper(*args: object, **kwargs: object) -> object:
            self.count += 1
            self.log.append(method)
            if self.at >= 0 and (self.count > self.at or (self.count == self.at and not self.after)):
                raise Killed
            result = await original(*args, **kwargs)
            if self.count == self.at:
                raise Killed
            return result

        setattr(port, method, wrapper)

    def disable(self) -> None:
        self.at = -1


subnet_choices = st.sampled_from(["fd00:a::/64", "fd00:b::/64", "fd00:c::/48", "fd00:c:0:5::/64", "fd00:f0::/64"])


@st.composite
def specs(draw: st.DrawFn) -> dict[str, object]:
    """Different specs, some of which conflict."""
    spec: dict[str, object] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "updateStrategy": st.sampled_from(["WhenIdle", "Recreate", "Never"]),
                "labels": st.sampled_from([{"team": "a"}, {"team": "b"}]),
                "internal": st.just(True),
                "bridge": st.sampled_from([{"name": "br-x"}, {"mtu": 1400}, {"icc": False}]),
                "networkName": st.sampled_from(["shared", "legacy", "other"]),
                "ipv4": st.sampled_from([{"subnet": "192.0.2.0/25"}, {"subnet": "192.0.2.128/25"}]),
                "deletionPolicy": st.sampled_from(["Delete", "Orphan"]),
            },
        )
    )
    if draw(st.booleans()):
        spec["addressing"] = {"subnet": draw(subnet_choices)}
    elif draw(st.booleans()):
        spec["addressing"] = {"prefixLength": draw(st.sampled_from([64, 80]))}
    if "internal" not in spec:
        spec["egress"] = draw(
            st.sampled_from([{}, {"mode": "None"}, {"interfaces": ["eth0"]}, {"exclude": ["fc00::/7"]}])
        )
    return spec


@st.composite
def resources(draw: st.DrawFn) -> tuple[NetworkResource, ...]:
    """One to three networks."""
    names = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True))
    return tuple(network(name, **draw(specs())) for name in names)


profiles = st.sampled_from([ENGINE_20_10, ENGINE_28_5])


async def converge(bench: Bench) -> None:
    """Handle every key, as the manager does, until nothing changes."""
    for _ in range(ROUNDS):
        converged = True
        for stored in bench.context.inventory.objects:
            if stored.kind != NETWORK:
                continue
            handle = bench.reconcile if stored.deleting_since is None else bench.finalize
            before = len(bench.host.engine.calls), bench.host.firewall.commits
            try:
                await handle(stored.name)
            except TemporaryError as error:
                bench.host.clock.advance(error.delay or 1.0)
                converged = False
            converged = converged and before[1] == bench.host.firewall.commits
            bench.invalidate_all()
        try:
            await garbage.sweep(bench.context)
        except TemporaryError:
            converged = False
        bench.invalidate_all()
        if converged:
            return


async def check_converged(bench: Bench, *, may_be_stuck: bool = True) -> None:
    """All plans are empty, no allocations of two owners overlap, and the conditions are valid."""
    for stored in bench.context.inventory.objects:
        if stored.kind != NETWORK or stored.deleting_since is not None:
            continue
        resource = bench.context.inventory.resource(NETWORK, stored.name)
        assert isinstance(resource, NetworkResource)
        want = desired_network(resource, bench.context)
        plan = planning.plan_network(
            want, await observe_network(want, stored, bench.context), bench.context.inventory.holdings
        )
        assert plan.empty or (may_be_stuck and any(type(s).__name__ == "CreateNetwork" for s in plan.steps)), plan
        check_conditions(conditions_before(await bench.host.stored(stored.name)))
    allocations = await bench.host.ledger.allocations()
    for i, one in enumerate(allocations):
        for other in allocations[i + 1 :]:
            assert one.owner == other.owner or not one.prefix.overlaps(other.prefix)


async def check_foreign(host: Host, ids: frozenset[str]) -> None:
    """No foreign network was changed."""
    assert ids <= {n.id for n in await host.engine.networks()}
    for call in host.engine.calls:
        if call.method in {"remove_network", "disconnect"}:
            assert call.arguments[0] not in ids


async def start(*, old: bool, first: tuple[NetworkResource, ...]) -> tuple[Host, Bench, frozenset[str]]:
    host = Host(ENGINE_20_10 if old else ENGINE_28_5)
    ids = [await host.create_foreign(name, subnet) for name, subnet in FOREIGN.items()]
    host.engine.run_container("other", "legacy")
    bench = await host.bench(*first)
    await converge(bench)
    return host, bench, frozenset(ids)


async def populate(host: Host) -> None:
    """Run containers of every kind on every managed network."""
    for made in await host.ours():
        host.engine.run_container(f"web-{made.name}", made.name)
        prefix = made.ipv6[0].subnet
        assert isinstance(prefix, IPv6Network)
        static = Attachment("", "", running=False, static_ipv6=IPv6Address(int(prefix.network_address) + 2**4))
        host.engine.run_container(f"db-{made.name}", made.name, static)
        stopped = host.engine.run_container(f"cron-{made.name}", made.name)
        host.engine.stop_container(stopped)


async def containers_by_resource(host: Host) -> dict[str, frozenset[str]]:
    """The containers on the network of each resource."""
    found: dict[str, frozenset[str]] = {}
    for made in await host.ours():
        attachments = await host.engine.attachments(made.id)
        assert made.labels["dockerv6.io/name"] not in found, "two networks of one resource"
        found[made.labels["dockerv6.io/name"]] = frozenset(a.container_name for a in attachments)
    return found


@given(resources(), st.booleans())
def test_a_plan_is_empty_after_it_was_applied(first: tuple[NetworkResource, ...], old: bool) -> None:  # noqa: FBT001
    async def run() -> None:
        host, bench, foreign = await start(old=old, first=first)
        await check_converged(bench)
        commits = host.firewall.commits
        await converge(bench)
        assert host.firewall.commits == commits
        await check_foreign(host, foreign)

    asyncio.run(run())


# the process is killed between removal and creation of a, which asks for no IPv4 subnet: c may get the one that it had
@example(
    first=(network("a", internal=True, addressing={"subnet": "fd00:a::/64"}, ipv4={"subnet": "192.0.2.0/25"}),),
    then=(
        network("b"),
        network("c", ipv4={"subnet": "192.0.2.0/25"}),
        network("a", updateStrategy="Recreate", addressing={"subnet": "fd00:a::/64"}),
    ),
    at=8,
    after=False,
)
@pytest.mark.parametrize("old", [False, True])  # apart, so that two processes share the longest of all tests
@examples(75)
@given(first=resources(), then=resources(), at=st.integers(1, 60), after=st.booleans())
def test_a_process_killed_at_any_step_converges_to_the_same_state(
    first: tuple[NetworkResource, ...],
    then: tuple[NetworkResource, ...],
    old: bool,  # noqa: FBT001
    at: int,
    after: bool,  # noqa: FBT001
) -> None:
    async def run(at: int) -> tuple[object, dict[str, frozenset[str]], dict[str, frozenset[str]]]:
        host, bench, foreign = await start(old=old, first=first)
        await populate(host)
        bench.invalidate_all()
        await converge(bench)
        before = await containers_by_resource(host)
        killer = Killer(host, at=at, after=after)
        try:
            await bench.accept(*then)
            await converge(bench)
        except Killed:
            pass
        killer.disable()
        bench = await host.bench()
        await bench.accept(*then)
        await converge(bench)
        await check_converged(bench)
        await check_foreign(host, foreign)
        return await host.snapshot(), before, await containers_by_resource(host)

    undisturbed, before, after_all = asyncio.run(run(-1))
    disturbed, _, after_kill = asyncio.run(run(at))
    if not handed_over(first, then):
        assert disturbed == undisturbed
    for owner, containers in before.items():
        assert containers <= after_all.get(owner, frozenset())
        assert containers <= after_kill.get(owner, frozenset())


def exclusive_values(resource: NetworkResource) -> set[str]:
    """Names and subnets that the engine gives to one network only."""
    spec = resource.spec
    return {str(c) for c in (resource.docker_name, spec.bridge.name, spec.ipv4.subnet) if c is not None}


def conflict(resources: tuple[NetworkResource, ...]) -> bool:
    """Whether two resources want the same value. Then the result depends on their order."""
    return any(exclusive_values(a) & exclusive_values(b) for i, a in enumerate(resources) for b in resources[i + 1 :])


def handed_over(first: tuple[NetworkResource, ...], then: tuple[NetworkResource, ...]) -> bool:
    """Whether a resource wants a value that another one had before the edit. The other one may keep it, or lose it."""
    return any(
        exclusive_values(a) & exclusive_values(b) for a in first for b in then if a.metadata.name != b.metadata.name
    )


ERRORS: dict[str, type[EngineError]] = {"refused": EngineConflict, "gone": EngineUnavailable}


# the engine refuses the network under its new name, and has created it nevertheless; then the former one is restored
_RENAMED = network(
    "a",
    updateStrategy="Recreate",
    networkName="shared",
    addressing={"subnet": "fd00:a::/64"},
    ipv4={"subnet": "192.0.2.0/25"},
)


@example((network("a"),), (_RENAMED,), [("create_network", "refused", True), ("connect", "gone", False)])
@example(
    (network("a", networkName="shared"),),
    (network("a", updateStrategy="Recreate"),),
    [("create_network", "gone", True), ("create_network", "gone", True), ("connect", "refused", False)],
)
@examples(100)
@given(
    resources(),
    resources(),
    st.lists(
        st.tuples(st.sampled_from(SIDE_EFFECTS["engine"]), st.sampled_from(sorted(ERRORS)), st.booleans()), max_size=4
    ),
)
def test_errors_of_the_engine_detach_no_container(
    first: tuple[NetworkResource, ...], then: tuple[NetworkResource, ...], faults: list[tuple[str, str, bool]]
) -> None:
    assume(not (conflict(first) or conflict(then) or handed_over(first, then)))

    async def run() -> None:
        host, bench, foreign = await start(old=False, first=first)
        await populate(host)
        bench.invalidate_all()
        await converge(bench)
        before = await containers_by_resource(host)
        for method, error, after in faults:
            host.engine.fail_next(method, ERRORS[error](error), after=after)
        await bench.accept(*then)
        await converge(bench)
        await check_converged(bench)
        await check_foreign(host, foreign)
        now = await containers_by_resource(host)
        for owner, containers in before.items():
            assert containers <= now.get(owner, frozenset())

    asyncio.run(run())


async def _remove(host: Host) -> None:
    for made in await host.ours():
        await host.remove_by_hand(made.name)


async def _flush(host: Host) -> None:
    host.flush_rules()


async def _bridges(host: Host) -> None:
    for made in await host.ours():
        if made.bridge in {i.name for i in await host.net.interfaces()}:
            host.net.remove_interface(made.bridge)


async def _addresses(host: Host) -> None:
    bridges = {n.bridge for n in await host.ours()}
    for interface in await host.net.interfaces():
        if interface.name in bridges:
            host.net.add_interface(replace(interface, addresses=(), up=False))


async def _forwarding(host: Host) -> None:
    if await host.ours():
        host.net.change_sysctl(FORWARDING, "0")


async def _stop(host: Host) -> None:
    for container in sorted(await host.engine.running_container_ids())[:1]:
        host.engine.stop_container(container)


DAMAGES: dict[str, Callable[[Host], Awaitable[None]]] = {
    "network removed": _remove,
    "rules flushed": _flush,
    "bridge deleted": _bridges,
    "address lost": _addresses,
    "forwarding off": _forwarding,
    "container stopped": _stop,
}


@examples(75)
@given(resources(), st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_damage_is_repaired_with_all_attachments(
    first: tuple[NetworkResource, ...],
    damages: list[str],
    old: bool,  # noqa: FBT001
    restart: bool,  # noqa: FBT001
) -> None:
    first = tuple(r for r in first if r.spec.update_strategy != "Never") or (network("a"),)

    async def run() -> None:
        host, bench, foreign = await start(old=old, first=first)
        await populate(host)
        bench.invalidate_all()
        await converge(bench)
        before = await host.snapshot()
        # stop containers first: a container that stops after it was detached is not attached again
        for damage in sorted(damages, key=lambda damage: damage != "container stopped"):
            await DAMAGES[damage](host)
        if restart:
            bench = await host.bench()
        bench.invalidate_all()
        await converge(bench)
        await check_converged(bench)
        await check_foreign(host, foreign)
        assert await host.snapshot() == before

    asyncio.run(run())
