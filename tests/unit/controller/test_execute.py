from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.controller.endpoints import remembered_endpoints
from dockerv6.controller.execute import LATER, SYSCTLS, StepFailed, execute, execute_step
from dockerv6.dockerd.model import NetworkSpec
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineTooOld, EngineUnavailable
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.hostnet.port import HostNetPermissionError
from dockerv6.ipam.ledger import LedgerError
from dockerv6.planning import steps as s
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import BindSubnet, CreateNetwork, RemoveNetwork, SetSysctl, Step, UpdateFirewall
from dockerv6.reconciler.handler import TemporaryError
from tests.simulation.resources import network
from tests.unit.planning.scene import container
from tests.world import Bench, Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)
PREFIX = IPv6Network("fd00:1::/48")


async def bench() -> Bench:
    """A network with everything that it needs."""
    made = await Host().bench(network())
    await made.reconcile()
    return made


async def test_every_step_can_be_done_twice() -> None:
    it = await bench()
    there = await it.host.docker("blog")
    assert there is not None
    web = it.host.engine.run_container("web")
    endpoint = container("web").__class__(web, "web", running=True)
    it.host.filter.add_forward_drop(FORWARD)
    for step in (
        s.KeepPoolPrefix("other", PREFIX),
        s.SetSysctl(FORWARDING, "1", "0", "x"),
        s.RepairBridge("v6-blog", IPv6Interface("fd00::1/64"), "x"),
        s.UpdateFirewall("blog", RulesetChange(), "x"),
        s.AddAcceptRule(FORWARD),
        s.RememberEndpoints("blog", "blog", (endpoint,)),
        s.AttachEndpoint("blog", endpoint),
        s.DetachEndpoint(there.id, endpoint),
        s.RemoveAcceptRule(FORWARD),
        s.RemoveNetwork(there.id, "blog", "x"),
        s.RestoreSysctl(FORWARDING, "0", "x"),
    ):
        await execute_step(step, it.context)
        once = await it.host.snapshot()
        await execute_step(step, it.context)
        assert await it.host.snapshot() == once


async def test_an_unknown_step_is_a_type_error() -> None:
    it = await bench()
    with pytest.raises(TypeError, match="no executor"):
        await execute_step("nonsense", it.context)  # type: ignore[arg-type]


async def test_only_the_first_prior_value_is_kept() -> None:
    it = await bench()
    await execute_step(s.SetSysctl(FORWARDING, "1", "7", "x"), it.context)
    assert await it.host.store.record(SYSCTLS, FORWARDING) == {"prior": "0"}


async def test_a_pool_prefix_that_another_reconcile_generated_first_is_retried() -> None:
    it = await bench()
    with pytest.raises(TemporaryError, match="meanwhile"):
        await execute_step(s.KeepPoolPrefix("default", PREFIX), it.context)


async def test_a_network_that_was_removed_meanwhile_is_tried_again() -> None:
    it = await bench()
    with pytest.raises(TemporaryError, match="removed again"):
        await execute_step(s.AttachEndpoint("nowhere", container("web")), it.context)


async def test_a_container_that_is_gone_is_no_failure_and_is_forgotten() -> None:
    it = await bench()
    await execute_step(s.RememberEndpoints("blog", "blog", (container("web"),)), it.context)
    await execute_step(s.AttachEndpoint("blog", container("web")), it.context)
    assert await remembered_endpoints(it.host.store, "blog") == ()


async def test_a_plan_stops_where_a_step_fails() -> None:
    it = await bench()
    it.host.engine.fail_next("remove_network", EngineUnavailable("gone"))
    steps = (s.RemoveNetwork("x", "x", "x"), s.SetSysctl(FORWARDING, "0", "1", "x"))
    with pytest.raises(StepFailed, match="remove Docker network x") as failed:
        await execute(Plan("IPv6Network", "blog", steps), it.context)
    assert failed.value.step == steps[0]
    assert isinstance(failed.value.__cause__, EngineUnavailable)
    assert await it.host.net.sysctl(FORWARDING) == "1"


@pytest.mark.parametrize(("error", "attached"), [(EngineApiError("in use"), {"web"}), (EngineUnavailable("x"), set())])
async def test_a_refused_container_does_not_keep_the_next_one_away(error: Exception, attached: set[str]) -> None:
    it = await bench()
    endpoints = [container(n).__class__(it.host.engine.run_container(n), n, running=True) for n in ("db", "web")]
    it.host.engine.fail_next("connect", error)
    with pytest.raises(StepFailed) as failed:
        await execute(Plan("IPv6Network", "blog", tuple(s.AttachEndpoint("blog", e) for e in endpoints)), it.context)
    assert failed.value.__cause__ is error
    assert await it.host.attached("blog") == attached


CREATE = CreateNetwork(NetworkSpec("blog"), "x")
REMOVE = RemoveNetwork("1", "blog", "x")
BIND = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "x")
RULES = UpdateFirewall("blog", RulesetChange(), "x")
SYSCTL = SetSysctl("net.x", "1", "0", "x")


@pytest.mark.parametrize(
    ("step", "cause", "reason"),
    [
        (CREATE, EngineUnavailable("x"), "EngineUnavailable"),
        (CREATE, EngineTooOld("x"), "EngineTooOld"),
        (CREATE, EngineConflict("x"), "SubnetOverlap"),
        (REMOVE, EngineConflict("x"), "ApplyFailed"),
        (RULES, FirewallUnavailable("x"), "FirewallUnavailable"),
        (RULES, FirewallRejected("x"), "ApplyFailed"),
        (SYSCTL, HostNetPermissionError("x"), "HostDenied"),
        (BIND, LedgerError("disk full"), "ApplyFailed"),
    ],
)
def test_the_reason_follows_from_the_type_of_the_cause(step: Step, cause: Exception, reason: str) -> None:
    failed = StepFailed(step, cause)
    assert failed.failure is not None
    assert failed.failure.reason == reason
    assert str(cause) in failed.failure.message
    assert failed.__cause__ is cause


def test_a_failure_is_retried_with_backoff_except_while_the_engine_is_unavailable() -> None:
    unavailable = StepFailed(CREATE, EngineUnavailable("x"))
    assert (unavailable.delay, unavailable.retry) == (5, 5)
    backoff = StepFailed(RULES, FirewallRejected("x"))
    assert (backoff.delay, backoff.retry) == (None, LATER)


def test_a_lost_race_is_retried_at_once_and_not_reported() -> None:
    lost = StepFailed(BIND, TemporaryError("taken", delay=0.1))
    assert lost.lost_race
    assert (lost.failure, lost.delay) == (None, 0.1)
