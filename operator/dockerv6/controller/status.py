"""The status of resources: fields, messages and conditions, and how they are written."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import Condition, Conditions, ConditionType, Reason
from dockerv6.api.kinds import NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.options import IPVLAN_MODE, LAYER_3_MODES, Driver
from dockerv6.api.traffic import Egress
from dockerv6.controller.context import Context
from dockerv6.controller.converge import ConvergeResult, requeue_after
from dockerv6.controller.packet_walk import FLOWS
from dockerv6.dockerd.model import Network
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.translation import translate_subnet
from dockerv6.planning.docker.network_spec import gateway, own_network
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.host.interfaces import host_message
from dockerv6.planning.host.ndp_proxy import proxying_interfaces, required_entries
from dockerv6.planning.inputs import Desired, Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.status import (
    NETWORK_DOMAIN,
    StatusInputs,
    conditions_of,
    suspended_conditions,
    warnings_of,
)
from dockerv6.reconciler.handler import Key
from dockerv6.store.model import StoredObject
from dockerv6.store.port import StoreError

logger = logging.getLogger(__name__)

_DRIFTED = {
    ConditionType.SUBNET_ALLOCATED: "subnet",
    ConditionType.NETWORK_READY: "network",
    ConditionType.FIREWALL_READY: "rules",
    ConditionType.HOST_READY: "host",
}
"""What drifted, for the metric, by the condition that the repairing step concerns."""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """The fields beside the conditions, and the message of each condition that is good."""

    fields: Mapping[str, object]
    messages: Mapping[ConditionType, str]


def network_status(resource: NetworkResource, observed: Observed, context: Context) -> StatusFacts:
    """The fields and messages of a network's status."""
    live = _live(resource, observed, context)
    before = _last_known(resource, observed, live, context)
    subnets = _subnets(resource, live, context)
    running = [a for a in observed.attachments if a.running]
    shown = ", ".join(map(str, subnets)) or "no subnet"
    driver = live.driver if live is not None else str(resource.spec.driver)
    routed = driver == Driver.BRIDGE and not resource.spec.internal  # the host forwards its packets
    mode = resource.spec.egress.mode if routed else EgressMode.NONE
    proxied_subnets = [a for a in observed.proxied_subnets if a.owner == resource.metadata.name]
    fields: dict[str, object] = {
        "subnet": str(subnets[0]) if subnets else None,
        "gateway": _gateway(resource, live, subnets),
        "networkID": live.id if live is not None else before.get("networkID"),
        "bridge": live.bridge if live is not None else before.get("bridge"),
        "engine": observed.engine.version if observed.engine is not None else None,
        "firewallBackend": observed.rules.backend or None,
        "networkName": live.name if live is not None else before.get("networkName"),
        "egress": str(mode),
        "containers": len(running),
        "endpoints": [{"container": a.container_name, "ipv6": str(a.ipv6) if a.ipv6 else None} for a in running],
        "publishedPorts": published_ports(observed, resource.metadata.name),
        "lastAppliedHash": _applied_hash(resource, context),
        **reached_by(resource.spec.egress, subnets, proxied_subnets, observed, context),
    }
    bridge = f" on {live.bridge}" if live is not None and live.bridge else ""
    messages = {
        ConditionType.READY: f"{shown}{bridge}, egress {mode}{_to(fields)}",
        ConditionType.SUBNET_ALLOCATED: shown,
        ConditionType.NETWORK_READY: f"Docker network {live.name} ({live.id[:12]}){bridge}" if live else "no network",
        ConditionType.FIREWALL_READY: f"the {observed.rules.backend} rules are in place"
        if live is None or live.bridge
        else f"packets of {live.driver} networks do not pass the host's firewall",
        ConditionType.PORTS_PUBLISHED: published_message(observed, resource.metadata.name),
        ConditionType.HOST_READY: host_message(observed.host, proxying_interfaces(proxied_subnets, observed.host)),
    }
    return StatusFacts({k: v for k, v in fields.items() if v is not None}, messages)


def reached_by(
    egress: Egress,
    subnets: Iterable[IPv6Network],
    proxied_subnets: Iterable[ProxiedSubnet],
    observed: Observed,
    context: Context,
) -> Mapping[str, object]:
    """How others reach the containers: external prefixes of translation, and addresses with an NDP proxy entry."""
    tracked = context.inventory.holdings.tracked
    translated = subnets if egress.mode is EgressMode.PREFIX_TRANSLATION else ()
    external = [
        str(prefix) for subnet in translated for prefix in translate_subnet(egress, subnet, tracked).external_prefixes
    ]
    present = {(p.interface, p.address) for p in observed.host.proxies}
    answered = sorted(required_entries(proxied_subnets, observed.containers, observed.host) & present)
    return {
        **({"translatedTo": external} if external else {}),
        **({"answeredFor": [f"{address} on {interface}" for interface, address in answered]} if answered else {}),
    }


def _to(fields: Mapping[str, object]) -> str:
    external = fields.get("translatedTo")
    return f" to {external[0]}" if isinstance(external, list) else ""


def published_ports(observed: Observed, owner: str) -> list[Mapping[str, object]]:
    """The ports of the host that lead to containers."""
    rules = observed.rules
    return [
        {
            "protocol": str(port.protocol),
            "hostAddress": str(port.host_address) if port.host_address is not None else "::",
            "port": port.port,
            "container": rules.port_names.get((str(port.protocol), port.port, port.host_address), ""),
            "address": str(port.target),
            "targetPort": port.target_port,
            **({"from": [str(source) for source in port.sources]} if port.sources else {}),
        }
        for port in rules.ports.get(owner, ())
    ]


def published_message(observed: Observed, owner: str) -> str:
    """The number of published ports, as a sentence."""
    count = len(observed.rules.ports.get(owner, ()))
    return f"{count} port{'' if count == 1 else 's'} published" if count else "no ports to publish"


def _live(resource: NetworkResource, observed: Observed, context: Context) -> Network | None:
    """The resource's Docker network: with `Observe` any network of its name, else only its own."""
    if resource.observed:
        return next(iter(observed.networks.named(resource.docker_name)), None)
    return own_network(Desired(resource, {}, context.settings.identity), observed)


def _last_known(
    resource: NetworkResource, observed: Observed, live: Network | None, context: Context
) -> Mapping[str, object]:
    """The previous status of a network that can't be observed, or that is to be created again."""
    if live is not None or (resource.observed and observed.engine is not None):
        return {}
    stored = context.inventory.get(str(resource.kind), resource.metadata.name)
    return stored.status if stored is not None else {}


def _gateway(resource: NetworkResource, live: Network | None, subnets: list[IPv6Network]) -> str | None:
    """The bridge's address; that of an observed network is known only if its creator set one."""
    if not subnets:
        return None
    options = live.options if live is not None else resource.spec.options
    if options.get(IPVLAN_MODE) in LAYER_3_MODES:  # layer 3 modes have no gateway
        return None
    address = next((c.gateway for c in (live.ipv6 if live else ()) if c.subnet == subnets[0]), None)
    if address is None and not resource.observed:
        address = gateway(resource, subnets[0])
    return str(address) if address is not None else None


def _subnets(resource: NetworkResource, live: Network | None, context: Context) -> list[IPv6Network]:
    """The network's subnets; before it exists, the allocation."""
    there = [c.subnet for c in (live.ipv6 if live else ()) if isinstance(c.subnet, IPv6Network)]
    bound = context.inventory.holdings.bound.get(resource.metadata.name)
    return [bound.prefix] if not there and bound is not None and not resource.observed else there


def _applied_hash(resource: NetworkResource, context: Context) -> str | None:
    stored = context.inventory.get(str(resource.kind), resource.metadata.name)
    return stored.digest if stored is not None else None


def conditions_before(stored: StoredObject) -> Conditions:
    """The conditions of the stored status; damaged ones are left out."""
    items = stored.status.get("conditions")
    found: cond.Conditions = ()
    for item in items if isinstance(items, list) else ():
        with suppress(ValueError):
            found += cond.from_json([item] if isinstance(item, Mapping) else ())
    return found


def condition_status(stored: StoredObject, type_: ConditionType) -> str | None:
    """The status of one condition of the stored status, without decoding the others; None: it has none."""
    items = stored.status.get("conditions")
    found = (i for i in items if isinstance(i, Mapping) and i.get("type") == type_) if isinstance(items, list) else ()
    return next((str(item.get("status")) for item in found), None)


def fields_before(stored: StoredObject) -> Mapping[str, object]:
    """The fields of the stored status, without its conditions and what `write_status` adds."""
    return {k: v for k, v in stored.status.items() if k not in ("conditions", "observedGeneration", "commit")}


async def write_status(
    stored: StoredObject, conditions: Conditions, fields: Mapping[str, object], context: Context
) -> None:
    """Store the status. One that equals the stored status writes nothing. Raises `StoreError`."""
    commit = {"commit": stored.source_commit} if stored.source_commit else {}
    status = {"observedGeneration": stored.generation, "conditions": cond.to_json(conditions), **fields, **commit}
    await context.inventory.write_status(stored.kind, stored.name, status)


async def report(
    stored: StoredObject,
    result: ConvergeResult,
    facts: StatusFacts,
    context: Context,
    *,
    owner: str,
    started: float,
    domain: tuple[ConditionType, ...] = NETWORK_DOMAIN,
    suspended: bool = False,
) -> None:
    """Write the status of a network or policy, once, at the end of its reconcile.

    Args:
        stored: the resource's object.
        result: what the reconcile did and what is left.
        facts: fields and messages.
        context: the operator's.
        started: when the reconcile began, as of `Clock.monotonic`.
        owner: the resource's name as owner of firewall elements, for repairs made outside of its own reconcile.
        domain: the conditions that Ready consists of.
        suspended: the resource is suspended: the previous conditions stay.
    """
    plan, failed = result.plan, result.failed
    for drift in result.drift:
        context.drift.drifted(stored.kind, _DRIFTED[drift.condition])
    if result.drift:
        context.drift.repaired(context.clock.monotonic() - started)
    repairs = (*map(str, result.drift), *context.unreported_repairs.pop(owner, ()))
    for what in repairs:
        await context.events.warning(stored.kind, stored.name, "Drifted", what)
    inputs = StatusInputs(
        now=result.observed.now,
        generation=stored.generation,
        plan=plan,
        domain=domain,
        problem=stored.problem_message,
        problem_reason=stored.problem_reason,
        failure=failed.failure if failed is not None else None,
        retry=failed.retry if failed is not None else requeue_after(plan),
        restored=repairs,
        prune_held=f"{stored.kind}/{stored.name}" in context.prune_held,
        messages=facts.messages,
    )
    if any(finding.reason == Reason.FLOWS_NOT_FOLLOWED for finding in plan.findings):
        context.enqueue(FLOWS, f"{stored.kind}/{stored.name} waits for its first packet walk")
    before = conditions_before(stored)
    after = (
        suspended_conditions(before, inputs, plan.findings[0].message) if suspended else conditions_of(before, inputs)
    )
    warnings = warnings_of(plan)
    await write_status(stored, after, {**facts.fields, **({"warnings": warnings} if warnings else {})}, context)


async def write_simple(
    stored: StoredObject, plan: Plan, fields: Mapping[str, object], message: str, context: Context
) -> None:
    """Write the status of a resource that has only the conditions Accepted and Ready."""
    inputs = StatusInputs(
        now=context.clock.now(),
        generation=stored.generation,
        plan=plan,
        domain=(),
        problem=stored.problem_message,
        problem_reason=stored.problem_reason,
        prune_held=f"{stored.kind}/{stored.name}" in context.prune_held,
        messages={ConditionType.READY: message},
    )
    await write_status(stored, conditions_of(conditions_before(stored), inputs), fields, context)


async def report_fault(key: Key, error: Exception, context: Context, reason: Reason = Reason.INTERNAL_ERROR) -> None:
    """Record an exception that a handler did not report itself as an event and in the status of the resource.

    The other conditions stay as they were. The next run writes the status again, whatever it finds.
    """
    message = f"{type(error).__name__}: {error}; it is tried again, and the log has the details"
    await context.events.warning(key.kind, key.name, reason, message)
    if key.kind == NETWORK:
        context.converged.pop(key.name, None)
    stored = context.inventory.get(key.kind, key.name)
    if stored is None:
        return
    now, before = context.clock.now(), conditions_before(stored)
    current = [
        Condition(ConditionType.READY, "False", reason, message, now, stored.generation),
        Condition(ConditionType.RECONCILING, "True", Reason.RETRYING, message, now, stored.generation),
    ]
    kept = [c for c in before if c.type not in {*(each.type for each in current), ConditionType.STALLED}]
    try:
        await write_status(stored, cond.merge(before, [*kept, *current]), fields_before(stored), context)
    except StoreError as problem:  # it may be the fault itself
        logger.warning("the status of %s could not be stored: %s", key, problem)


async def never_accepted(stored: StoredObject, context: Context) -> None:
    """Write the status of a resource that never was valid: the condition Accepted says what is wrong."""
    await write_simple(stored, Plan(stored.kind, stored.name), {}, "", context)
