"""A plan file is applied, and a step fails after containers were detached: they come back."""

from ipaddress import IPv6Network

import pytest

from dockerv6.controller.observe import desired_network, observe_network
from dockerv6.controller.recreations import RECREATIONS
from dockerv6.controller.renumbering import decide
from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineUnavailable
from dockerv6.planning.saved_plan import PlanOrigin, SavedPlan
from dockerv6.planning.steps import DetachEndpoint, RemoveNetwork
from dockerv6.reconciler.handler import TemporaryError
from tests.unit.controller.renumbered import NEW, OLD, READY, ends, moved, populated, subnet
from tests.unit.controller.test_renumbering_rollback import REFUSALS
from tests.world import Bench

HERE = PlanOrigin("0.2.0", "1a2b", "dockerv6", "web1")
REFUSED = {**REFUSALS, "the disk": ("create_network", EngineApiError("no space left on device"))}
FAILURES = {
    "the removal": ("remove_network", EngineUnavailable("gone")),
    "the network": ("create_network", EngineUnavailable("gone")),
    "an attachment": ("connect", EngineUnavailable("gone")),
}


async def approve_plan_of(bench: Bench, name: str) -> None:
    """Approve what is planned for a network now, as `apply PLAN` does."""
    context, stored = bench.context, await bench.host.stored(name)
    resource = context.inventory.networks()[name]
    desired = desired_network(resource, context)
    plan = decide(desired, await observe_network(desired, stored, context), context)
    assert any(isinstance(step, RemoveNetwork) for step in plan.steps)
    assert any(isinstance(step, DetachEndpoint) for step in plan.steps)
    context.approve = SavedPlan.of((plan,), HERE).approval()


async def retried(bench: Bench, name: str) -> None:
    for _ in range(4):
        bench.invalidate_all()
        try:
            await bench.reconcile(name)
        except TemporaryError:
            bench.host.clock.advance(60)


@pytest.mark.parametrize("refusal", REFUSED.values(), ids=list(REFUSED))
async def test_what_the_engine_refuses_is_rolled_back(refusal: tuple[str, Exception]) -> None:
    bench = await populated()
    host, was = bench.host, await ends(bench.host, "a")
    await moved(bench)
    await approve_plan_of(bench, "a")
    host.engine.fail_next(*refusal)
    await bench.reconcile("a")
    assert (await ends(host, "a"), len(was)) == (was, 3)
    assert (await subnet(host, "a")).subnet_of(IPv6Network(OLD))
    await retried(bench, "a")
    assert await host.ready("a") == ("False", "RolledBack")
    assert await ends(host, "a") == was
    assert await host.store.records(RECREATIONS) == {}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=list(FAILURES))
async def test_what_fails_for_a_moment_is_completed(failure: tuple[str, Exception]) -> None:
    bench = await populated()
    host, was = bench.host, await ends(bench.host, "a")
    await moved(bench)
    await approve_plan_of(bench, "a")
    host.engine.fail_next(*failure)
    await retried(bench, "a")
    assert await ends(host, "a") == was
    assert (await subnet(host, "a")).subnet_of(IPv6Network(NEW))
    assert await host.ready("a") == READY


@pytest.mark.parametrize("also_ipv6", [False, True])
async def test_a_subnet_that_was_taken_meanwhile_leaves_no_container_alone(*, also_ipv6: bool) -> None:
    bench = await populated()
    host, was = bench.host, await ends(bench.host, "a")
    await moved(bench)
    await approve_plan_of(bench, "a")
    remove = host.engine.remove_network

    async def removed_and_taken(network_id: str) -> None:
        previous = await host.engine.network(network_id)
        assert previous is not None
        await remove(network_id)
        setattr(host.engine, "remove_network", remove)  # noqa: B010 - mypy knows the method
        held = await host.bound("a")
        assert held is not None
        taken = (SubnetConfig(previous.ipv4[0].subnet), *((SubnetConfig(held.prefix),) if also_ipv6 else ()))
        await host.engine.create_network(NetworkSpec("usurper", enable_ipv6=also_ipv6, ipam=taken))

    setattr(host.engine, "remove_network", removed_and_taken)  # noqa: B010 - mypy knows the method
    await retried(bench, "a")
    assert await host.docker("usurper") is not None
    assert await ends(host, "a") == was


async def test_the_way_back_of_one_network_approves_nothing_for_another() -> None:
    bench = await populated()
    was = await ends(bench.host, "b")
    await moved(bench)
    await approve_plan_of(bench, "a")
    await bench.reconcile("a")
    bench.invalidate_all()
    with pytest.raises(TemporaryError, match="not in the plan file"):
        await bench.reconcile("b")
    assert await ends(bench.host, "b") == was
    assert (await subnet(bench.host, "b")).subnet_of(IPv6Network(OLD))
