"""Executes a plan's steps in order, exactly as `dockerv6 plan` prints them."""

import logging
from contextlib import suppress
from functools import singledispatch
from ipaddress import IPv6Interface, IPv6Network

from dockerv6.api.addressing import DEFAULT_POOL
from dockerv6.api.conditions import Reason
from dockerv6.api.kinds import POOL
from dockerv6.controller.context import Context
from dockerv6.controller.endpoints import (
    RememberedEndpoint,
    forget_endpoint,
    forget_member,
    keep_endpoints,
    remember_member,
    remembered_endpoints,
)
from dockerv6.dockerd.model import Network
from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineApiError,
    EngineConflict,
    EngineError,
    EngineTooOld,
    EngineUnavailable,
)
from dockerv6.firewall.port import FirewallError, FirewallUnavailable, OwnersExcluded, RulesetMoved
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from dockerv6.ipam.ledger import LedgerConflict, SubnetTaken
from dockerv6.planning import steps as s
from dockerv6.planning.admission import implied_pool_object
from dockerv6.planning.docker.engine import ENGINE_RETRY
from dockerv6.planning.docker.recreation import PreviousNetwork
from dockerv6.planning.host.sysctls import disable_ipv6
from dockerv6.planning.inputs import NAME_LABEL
from dockerv6.planning.plan import Plan
from dockerv6.planning.status import Failure
from dockerv6.planning.steps import Step
from dockerv6.reconciler.handler import Key, TemporaryError
from dockerv6.store.port import StoreError

logger = logging.getLogger(__name__)

RACE_RETRY = 0.1
"""Seconds until a lost race for a subnet is tried again."""

SYSCTLS = "sysctl"
"""Store scope: the value of each sysctl before the first change."""

LATER = 30.0
"""Seconds that a status names as the next try while the queue backs off exponentially."""


class StepFailed(TemporaryError):  # noqa: N818 - an event of the plan, as ContainerNotFound is one of the engine
    """A step failed; the steps before it stay done. It is the error of the reconcile: the queue reads ``delay``.

    Attributes:
        step: the step.
        reason: the stable reason for the condition and the event.
        lost_race: another owner took the subnet first, or our table changed after the plan was made. The plan is made
            again at once, and nothing is reported.
        executed: the steps of the plan that were executed before it.
    """

    def __init__(self, step: Step, cause: Exception, executed: tuple[Step, ...] = ()) -> None:
        self.step = step
        self.executed = executed
        self.reason, delay = _reason(step, cause)
        self.lost_race = False
        if isinstance(cause, TemporaryError) and isinstance(step, s.BindSubnet | s.KeepPoolPrefix):
            self.lost_race, delay = True, cause.delay
        elif isinstance(cause, RulesetMoved | OwnersExcluded):
            self.lost_race, delay = True, RACE_RETRY
        super().__init__(f"{step.describe()}: {cause}", delay=delay)
        self.__cause__ = cause

    @property
    def failure(self) -> Failure | None:
        """The failure as conditions report it."""
        if self.lost_race:
            return None
        cause = self.__cause__
        brief = f"{self.step.describe()}: {cause.explanation}" if isinstance(cause, EngineApiError) else ""
        return Failure(self.step, self.reason, str(self), brief)

    @property
    def retry(self) -> float:
        """Seconds until the next try, for the status."""
        return LATER if self.delay is None else self.delay


def _reason(step: Step, cause: Exception) -> tuple[Reason, float | None]:
    """The reason, and the delay of the next try in seconds; None: exponential backoff."""
    if isinstance(cause, EngineUnavailable):
        return Reason.ENGINE_UNAVAILABLE, ENGINE_RETRY
    match cause:
        case EngineTooOld():
            reason = Reason.ENGINE_TOO_OLD
        case EngineApiError() if cause.reason:
            reason = Reason(cause.reason)
        case EngineConflict() if isinstance(step, s.CreateNetwork):
            reason = Reason.SUBNET_OVERLAP
        case FirewallUnavailable():
            reason = Reason.FIREWALL_UNAVAILABLE
        case HostNetPermissionError():
            reason = Reason.HOST_DENIED
        case _:
            reason = Reason.APPLY_FAILED
    return reason, None


async def execute(plan: Plan, context: Context, *, approved: bool = False) -> None:
    """Execute the plan. After an error, the next plan continues from there.

    A container that the engine refuses to attach does not keep the others from being attached.

    Args:
        plan: the steps.
        context: what they need.
        approved: whether a plan file that lacks the steps still allows them, as it does for a rollback.

    Raises:
        StepFailed: with the error of the engine, the kernel, the ledger or the store as its cause.
    """
    refused: StepFailed | None = None
    executed: list[Step] = []
    for step in plan.steps:
        logger.debug("%s", step.describe(), extra={"kind": plan.kind, "resource": plan.name, "reason": step.reason})
        try:
            if not approved:
                context.approve(f"{plan.kind}/{plan.name}", step)
            await execute_step(step, context)
        except Exception as error:
            failed = StepFailed(step, error, tuple(executed))
            if not step.independent or not isinstance(error, EngineApiError):
                raise failed from error
            refused = refused or failed
        else:
            executed.append(step)
    if refused is not None:
        raise refused


@singledispatch
async def execute_step(step: Step, context: Context) -> None:
    """Execute one step. Each is idempotent, so a plan may be interrupted anywhere."""
    del context
    raise TypeError(f"no executor for {step!r}")


@execute_step.register
async def _(step: s.KeepPoolPrefix, context: Context) -> None:
    kept = await context.inventory.keep_pool_prefix(step.pool, step.prefix)
    if kept != step.prefix:
        raise TemporaryError(f"IPv6Pool {step.pool} was given {kept} meanwhile", delay=RACE_RETRY)
    if step.pool == DEFAULT_POOL and context.inventory.get(POOL, step.pool) is None:
        await context.inventory.write((implied_pool_object(context.inventory.now()),))
    context.enqueue(Key(POOL, step.pool), "its prefix was made")


@execute_step.register
async def _(step: s.BindSubnet, context: Context) -> None:
    try:
        await context.inventory.bind(step.owner, step.pool, step.prefix, context.inventory.now(), step.seen)
    except (LedgerConflict, SubnetTaken) as error:
        raise TemporaryError(str(error), delay=RACE_RETRY) from error
    _enqueue_pool(step.pool, context)


@execute_step.register
async def _(step: s.ReleaseSubnet, context: Context) -> None:
    await context.inventory.release(step.allocation, context.inventory.now())
    context.enqueue_unallocated("a subnet was released")
    _enqueue_pool(step.allocation.pool, context)


@execute_step.register
async def _(step: s.ForgetSubnet, context: Context) -> None:
    await context.inventory.forget(step.allocation)
    _enqueue_pool(step.allocation.pool, context)


def _enqueue_pool(pool: str, context: Context) -> None:
    """Update the pool's counters, if it has a resource."""
    if context.inventory.get(POOL, pool) is not None:
        context.enqueue(Key(POOL, pool), "its allocations changed")


@execute_step.register
async def _(step: s.SetSysctl, context: Context) -> None:
    if await context.store.record(SYSCTLS, step.name) is None:
        await context.store.put_record(SYSCTLS, step.name, {"prior": step.prior})
    if await context.world.host.sysctl(step.name) != step.value:  # several networks plan it at the same time
        await context.world.host.set_sysctl(step.name, step.value)
        await context.events.normal("Host", "forwarding", "SysctlSet", f"{step.describe()}: {step.reason}")
    context.world.host_changed()


@execute_step.register
async def _(step: s.RestoreSysctl, context: Context) -> None:
    await context.world.host.set_sysctl(step.name, step.value)
    await context.store.drop_record(SYSCTLS, step.name)
    context.world.host_changed()


@execute_step.register
async def _(step: s.RepairBridge, context: Context) -> None:
    switch = disable_ipv6(step.bridge)
    if await context.world.host.sysctl(switch) == "1":  # then the kernel refuses addresses
        await context.world.host.set_sysctl(switch, "0")
    await context.world.host.set_link_up(step.bridge)
    await context.world.host.add_address(step.bridge, step.address)
    context.world.host_changed()


@execute_step.register
async def _(step: s.UpdateFirewall, context: Context) -> None:
    await context.firewall.commit(step.change)


@execute_step.register
async def _(step: s.AddAcceptRule, context: Context) -> None:
    await context.firewall.add_accept_rule(step.forward_drop)


@execute_step.register
async def _(step: s.RemoveAcceptRule, context: Context) -> None:
    await context.firewall.remove_accept_rule(step.forward_drop)


@execute_step.register
async def _(step: s.RememberEndpoints, context: Context) -> None:
    due = {e.container_id: RememberedEndpoint(e, pending=True) for e in step.endpoints}
    others = [r for r in await remembered_endpoints(context.store, step.owner) if r.attachment.container_id not in due]
    await keep_endpoints(context.store, step.owner, (*due.values(), *others))


@execute_step.register
async def _(step: s.RememberNetwork, context: Context) -> None:
    await context.recreations.remember(step.owner, PreviousNetwork(step.previous, step.subnet, step.pool))


@execute_step.register
async def _(step: s.AddProxyNeighbour, context: Context) -> None:
    await context.world.host.add_proxy_neighbour(step.interface, step.address)
    context.world.host_changed()


@execute_step.register
async def _(step: s.RemoveProxyNeighbour, context: Context) -> None:
    await context.world.host.remove_proxy_neighbour(step.interface, step.address)
    context.world.host_changed()


@execute_step.register
async def _(step: s.DetachEndpoint, context: Context) -> None:
    await context.world.engine.disconnect(step.network_id, step.endpoint.container_id, force=True)
    context.world.endpoints_changed(step.network_id)


@execute_step.register
async def _(step: s.RemoveNetwork, context: Context) -> None:
    await context.world.engine.remove_network(step.network_id)
    context.world.network_removed(step.network_id)


@execute_step.register
async def _(step: s.CreateNetwork, context: Context) -> None:
    inventory, name = context.inventory, step.spec.name
    unknown = not context.world.known_networks.named(name)  # else a network of others would be taken for ours
    first = unknown and name not in inventory.unconfirmed_networks
    if unknown:
        with suppress(StoreError):  # a full disk does not keep a network from being created again
            await inventory.record_request(name)
    try:
        network_id = await context.world.engine.create_network(step.spec)
    except EngineError as error:
        if first and error.refused:  # after an earlier request, its network may be what has the name
            with suppress(StoreError):  # the engine's error is what the user needs, and the record expires
                await inventory.forget_request(name)
        raise
    made = await context.world.refresh_network(network_id)
    await inventory.record_created(network_id, name)  # later: a sweep drops records of what it misses
    for config in step.spec.ipam:
        if made is not None and made.bridge and isinstance(config.subnet, IPv6Network) and config.gateway is not None:
            address = IPv6Interface((int(config.gateway), config.subnet.prefixlen))
            context.world.bridge_created(made.bridge, address)


def _network_of(step: s.AttachEndpoint | s.AttachMember, context: Context) -> Network:
    """The network that a container is to be attached to. Engines before 25 allow others of its name.

    Raises:
        TemporaryError: it was removed again.
    """
    named = context.world.known_networks.named(step.network)
    ours = [n for n in named if context.settings.identity.labelled(n)]
    if not named:
        raise TemporaryError(f"Docker network {step.network} was removed again", delay=0)
    return next(iter(ours or named))


@execute_step.register
async def _(step: s.AttachEndpoint, context: Context) -> None:
    network = _network_of(step, context)
    try:
        await context.world.engine.connect(network.id, step.endpoint)
    except ContainerNotFound:
        logger.info("container %s was removed meanwhile", step.endpoint.container_name)
        await forget_endpoint(context.store, network.labels.get(NAME_LABEL, ""), step.endpoint.container_id)
    context.world.endpoints_changed(network.id)


@execute_step.register
async def _(step: s.AttachMember, context: Context) -> None:
    network = _network_of(step, context)
    container = step.endpoint.container_id
    await remember_member(context.store, step.owner, container)
    try:
        await context.world.engine.connect(network.id, step.endpoint)
    except EngineApiError as error:
        await forget_member(context.store, step.owner, container)
        if not isinstance(error, ContainerNotFound):
            raise
        logger.info("container %s was removed meanwhile", step.endpoint.container_name)
    context.world.endpoints_changed(network.id)
    await _publish_at_once(container, context)


async def _publish_at_once(container: str, context: Context) -> None:
    """Write the rules for the ports of a container that was attached, without waiting for the engine's event.

    Until then, the proxy of 20.10 answers, with the gateway as the client's address. Measured on two busy cores: for
    45 ms if the event is waited for, else for 17 to 29 ms; with 28.5, which keeps the client's address, never. Before
    that, every engine refuses connections for 40 to 100 ms, while it starts its proxy again. Rules before the
    attachment would need an address that is fixed, and another container could have it when this one starts again.
    """
    if not any(each.id == container and each.ports for each in context.world.known_containers):
        return
    await context.world.engine_state()
    try:
        await context.firewall.repair()
    except (FirewallError, HostNetError) as error:  # the event leads to another try
        logger.info("the ports of container %s are published later: %s", container[:12], error)


@execute_step.register
async def _(step: s.DetachMember, context: Context) -> None:
    await context.world.engine.disconnect(step.network_id, step.endpoint.container_id, force=True)
    await forget_endpoint(context.store, step.owner, step.endpoint.container_id)
    await forget_member(context.store, step.owner, step.endpoint.container_id)
    context.world.endpoints_changed(step.network_id)


@execute_step.register
async def _(step: s.SetHairpin, context: Context) -> None:
    try:
        await context.world.host.set_hairpin(step.port, on=True)
    except HostNetPermissionError:
        raise
    except HostNetError as error:  # the container stopped, and its port is gone
        logger.info("hairpin mode of %s: %s", step.port, error)
    context.world.host_changed()


@execute_step.register
async def _(step: s.SetBridgeNetfilter, context: Context) -> None:
    await context.world.host.set_bridge_netfilter(step.bridge, on=True)
    context.world.host_changed()
