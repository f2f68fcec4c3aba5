"""The plan for one IPv6Network: allocation, host, rules, Docker network, endpoints, in this order."""

from collections.abc import Iterable
from dataclasses import dataclass

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.errors import format_path
from dockerv6.api.network import ManagementPolicy, UpdateStrategy
from dockerv6.api.options import Driver
from dockerv6.dockerd.model import Attachment, Network, NetworkSpec
from dockerv6.planning.addressing.conflicts import RETRY, name_conflict, network_conflict, no_ipv6_remedy
from dockerv6.planning.addressing.pools import withdrawn_findings
from dockerv6.planning.addressing.subnets import SubnetDecision, choose_subnet
from dockerv6.planning.docker.engine import (
    container_findings,
    driver_finding,
    engine_findings,
    held_by_missing_chains,
    namespace_findings,
    product_findings,
    version_findings,
)
from dockerv6.planning.docker.members import attach_members, detach_members, member_findings
from dockerv6.planning.docker.network_spec import (
    address_findings,
    differences,
    fingerprint,
    network_spec,
    observed_network,
    own_network,
)
from dockerv6.planning.docker.recreation import Recreation, attach, complete, creation
from dockerv6.planning.firewall.contributions import network_contribution
from dockerv6.planning.firewall.rules import refused_finding, rules_drift
from dockerv6.planning.host.bridges import missing_bridge, repair_bridge_steps
from dockerv6.planning.host.parents import ineffective_findings, parent_findings
from dockerv6.planning.host.sysctls import host_findings
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Drift, Finding, Plan
from dockerv6.planning.steps import (
    CreateNetwork,
    DetachEndpoint,
    RememberEndpoints,
    RememberNetwork,
    RemoveNetwork,
    Step,
)
from dockerv6.planning.traffic import (
    bridge_port_steps,
    bridged,
    forwarding_steps,
    future_firewall,
    future_rules_steps,
    obsolete_rules_steps,
    proxy_steps,
    rules_steps,
    traffic_findings,
)

UNBRIDGED = frozenset({Driver.MACVLAN, Driver.IPVLAN})

TURN_RETRY = 5.0
"""Seconds until a network checks again whether it may be renumbered. The end of another renumbering triggers it too."""


def plan_network(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """The steps that lead from the observed to the desired state. Empty once they agree."""
    plan = _plan(desired, observed, holdings)
    live = observed_network(desired, observed) or own_network(desired, observed)
    if not observed.chains_missing or not bridged(desired, live) or desired.resource.spec.suspend:
        return plan
    return held_by_missing_chains(plan, observed, _maintain(desired, observed, holdings, live))


def _plan(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    name = desired.name
    blocking = _blocking_findings(desired, observed)
    if blocking:
        return Plan("IPv6Network", name, findings=blocking)
    if desired.resource.spec.management_policy is ManagementPolicy.OBSERVE:
        return _plan_observed(desired, observed, holdings)
    live = own_network(desired, observed)
    subnet = choose_subnet(desired, observed, holdings, live)
    if isinstance(subnet, Finding):
        why = name_conflict(desired, observed, live) or subnet  # the subnet may be that of the network with the name
        return Plan("IPv6Network", name, _maintain(desired, observed, holdings, live), (why,))
    return _plan_managed(desired, observed, holdings, live, subnet)


def _blocking_findings(desired: Desired, observed: Observed) -> tuple[Finding, ...]:
    """Why nothing at all is done for the resource."""
    spec = desired.resource.spec
    if spec.suspend:
        message = (
            f"it is suspended: nothing is changed; run `dockerv6 resume ipv6network/{desired.name}`, or set"
            " spec.suspend to false if it is true"
        )
        ready = observed.ready
        return (Finding(ConditionType.READY, Reason.SUSPENDED, message, blocks=not ready, unknown=ready),)
    unsupported = ", ".join(map(format_path, desired.resource.unsupported_fields()))
    if unsupported:
        message = f"this version does not support {unsupported}; remove it to have the resource applied"
        return (Finding(ConditionType.ACCEPTED, Reason.NOT_YET_IN_EFFECT, message),)
    unsuitable = product_findings(observed.engine) or version_findings(spec, observed.engine)
    if unsuitable:
        return unsuitable
    return (*host_findings(observed.host), *namespace_findings(observed))


def _maintain(desired: Desired, observed: Observed, holdings: Holdings, live: Network | None) -> tuple[Step, ...]:
    """Keep up what is applied while the plan is blocked: rules, NDP proxy entries, and detached containers."""
    endpoints = _attach_missing(observed, live) if live is not None and observed.engine is not None else ()
    if desired.name not in holdings.bound or observed.rules.problem or not bridged(desired, live):
        return endpoints
    return (*rules_steps(desired, observed), *proxy_steps(desired, observed), *endpoints)


def _plan_observed(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """With ``managementPolicy: Observe``: rules, host settings and members of a network that others manage."""
    live = observed_network(desired, observed)
    if live is not None and live.driver in UNBRIDGED:
        return _plan_unbridged(desired, observed, live)
    intents = (
        network_contribution(desired.resource, None, (live,), (), holdings.tracked).networks if live is not None else ()
    )
    findings: list[Finding] = [
        *engine_findings(observed),
        *traffic_findings(desired, observed, holdings, live, live),
        *member_findings(desired, observed),
        *container_findings(observed),
    ]
    if live is None and observed.engine is not None:
        message = (
            f"there is no Docker network {desired.resource.docker_name} to observe; create it, or correct networkName"
        )
        findings.append(Finding(ConditionType.NETWORK_READY, Reason.NETWORK_NOT_FOUND, message, waits=True))
    elif live is not None and live.driver != Driver.BRIDGE:
        findings.append(driver_finding(live, ConditionType.NETWORK_READY, blocks=True))
    elif live is not None and not intents:
        message = f"Docker network {live.name} has no IPv6 subnet on a bridge; {no_ipv6_remedy(live)}"
        findings.append(Finding(ConditionType.NETWORK_READY, Reason.NO_IPV6, message))
    steps: tuple[Step, ...] = ()
    if not observed.rules.problem:
        steps = rules_steps(desired, observed)
        if intents:  # otherwise the host need not forward anything for it
            steps = (*forwarding_steps(observed, steps), *proxy_steps(desired, observed))
    if live is not None and not any(f.blocks for f in findings):
        if not observed.rules.excludes(desired.name):
            steps = (*steps, *bridge_port_steps(desired, observed, live))
        steps = (*steps, *_member_steps(desired, observed, live))
    return Plan("IPv6Network", desired.name, steps, tuple(findings), rules_drift(observed, desired.name))


def _plan_unbridged(desired: Desired, observed: Observed, live: Network) -> Plan:
    """A macvlan or ipvlan network that others manage: only its members, since its packets do not pass our rules."""
    findings = [
        *engine_findings(observed),
        *parent_findings(live, live, observed),
        *ineffective_findings(desired.resource.spec, live),
        *member_findings(desired, observed),
        *container_findings(observed),
    ]
    if not live.ipv6:
        message = f"Docker network {live.name} has no IPv6 subnet; {no_ipv6_remedy(live)}"
        findings.append(Finding(ConditionType.NETWORK_READY, Reason.NO_IPV6, message))
    members = () if any(f.blocks for f in findings) else _member_steps(desired, observed, live)
    return Plan("IPv6Network", desired.name, (*obsolete_rules_steps(desired, observed), *members), tuple(findings))


def _plan_managed(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, subnet: SubnetDecision
) -> Plan:
    """With ``managementPolicy: Manage``: a network of our own."""
    spec = desired.resource.spec
    want = network_spec(desired.resource, subnet.prefix, desired.identity, observed.engine)
    change = _network_change(desired, observed, holdings, live, want, subnet)
    conflict = network_conflict(desired, observed, holdings, live, want)
    findings = (
        *engine_findings(observed),
        *address_findings(spec.addressing, want, observed),
        *(traffic_findings(desired, observed, holdings, live, want) if bridged(desired, live) else ()),
        *parent_findings(want, live, observed),
        *member_findings(desired, observed),
        *container_findings(observed),
        *((subnet.finding,) if subnet.finding is not None else ()),
        *withdrawn_findings(desired.pools.get(spec.addressing.pool or ""), holdings),
        *((conflict,) if conflict is not None else ()),
        *((change.refusal,) if change.refusal is not None else ()),
    )
    rules_drifted = rules_drift(observed, desired.name) if bridged(desired, live) else ()
    if any(f.blocks for f in findings):
        steps = _maintain(desired, observed, holdings, live)
        return Plan("IPv6Network", desired.name, steps, findings, (*change.drift, *rules_drifted))
    adopted = live is not None and any(c.subnet == subnet.prefix for c in live.ipv6)
    binding = subnet.steps if change.refusal is None or adopted else ()
    kept = live if not any(isinstance(s, CreateNetwork) for s in change.steps) else None  # not recreated
    repair = repair_bridge_steps(observed, kept) if kept is not None else ()
    remember = [s for s in change.steps if isinstance(s, RememberNetwork)]
    removal = [s for s in change.steps if isinstance(s, RememberEndpoints | DetachEndpoint | RemoveNetwork)]
    rest = [s for s in change.steps if s not in removal and s not in remember]
    if binding or removal:
        remaining = tuple(n for n in observed.owned(desired) if live is None or n.id != live.id or kept is not None)
        reason = "the rules are in place before the network exists"
        firewall = future_firewall(desired, observed, holdings, subnet.prefix, remaining)
        rules = future_rules_steps(desired, firewall, reason)
    else:
        firewall, rules = observed.rules.snapshot, rules_steps(desired, observed)
    if kept is None and desired.name in firewall.excluded:  # no network without its rules
        steps = _maintain(desired, observed, holdings, live)
        refused = refused_finding(firewall.excluded[desired.name], blocks=True)
        return Plan("IPv6Network", desired.name, steps, (*findings, refused), (*change.drift, *rules_drifted))
    if kept is None and (why := firewall.attainable.overlapping.get(desired.name)):
        steps = _maintain(desired, observed, holdings, live)
        overlap = Finding(ConditionType.NETWORK_READY, Reason.SUBNET_OVERLAP, why, retry=RETRY)
        return Plan("IPv6Network", desired.name, steps, (*findings, overlap), (*change.drift, *rules_drifted))
    steps = (
        *remember,
        *binding,  # before the network is removed, so that no other owner takes the subnet
        *removal,
        *(forwarding_steps(observed, rules) if bridged(desired, live) else obsolete_rules_steps(desired, observed)),
        *rest,
        *repair,
        *(bridge_port_steps(desired, observed, kept) if kept is not None else ()),
        *proxy_steps(desired, observed),
        *_member_steps(desired, observed, kept if kept is not None else want),
    )
    drift = (*change.drift, *(Drift(s.reason, s.condition) for s in repair), *rules_drifted)
    return Plan("IPv6Network", desired.name, steps, findings, drift)


def _member_steps(desired: Desired, observed: Observed, network: Network | NetworkSpec) -> tuple[Step, ...]:
    """Attach and detach containers by ``spec.members``. None is attached to a network that others have the rules of."""
    if observed.engine is None:
        return ()
    detach = detach_members(desired, observed, network) if isinstance(network, Network) else ()
    attach_none = observed.rules.excludes(desired.name)
    return (*detach, *(() if attach_none else attach_members(desired, observed, network)))


def _attach_missing(observed: Observed, live: Network) -> tuple[Step, ...]:
    """Attach the containers that a live network lost."""
    return attach(complete(observed.remembered), live, [a.ipv6 for a in observed.attachments if a.ipv6 is not None])


@dataclass(frozen=True, slots=True)
class _NetworkChange:
    """What is done about the Docker network itself."""

    steps: tuple[Step, ...] = ()
    drift: tuple[Drift, ...] = ()  # what the steps repair
    refusal: Finding | None = None  # why the network is not recreated now, although it differs


def _network_change(
    desired: Desired,
    observed: Observed,
    holdings: Holdings,
    live: Network | None,
    want: NetworkSpec,
    subnet: SubnetDecision,
) -> _NetworkChange:
    """Create the network, recreate it if it differs, or attach the containers that it lost."""
    if observed.engine is None:
        return _NetworkChange()
    missing = observed.remembered
    if live is None:
        removed = f"Docker network {want.name} was removed"
        why = removed if observed.applied else "it does not exist yet"
        drift = (Drift(removed, ConditionType.NETWORK_READY),) if observed.applied else ()
        return _NetworkChange(creation(desired.name, missing, want, why), drift)
    differing = differences(want, live, observed.engine)
    broken = missing_bridge(observed.host, live)
    if not differing and not broken:
        return _NetworkChange(_attach_missing(observed, live))
    why = "; ".join((*differing, *((broken,) if broken else ())))
    drift = (Drift(broken, ConditionType.NETWORK_READY),) if broken else ()
    running = [a for a in observed.attachments if a.running]
    refusal = (
        _recreation_blocked(desired.resource.spec.update_strategy, running, why, broken=bool(broken))
        or (_settings_unknown(observed.attachments, why) if not broken else None)
        or _rolled_back(observed, want)
        or _waits_for_turn(desired, observed, subnet)
    )
    if refusal is not None:
        return _NetworkChange(_attach_missing(observed, live), drift, refusal)
    recreation = Recreation(live, want, observed.attachments, missing, holdings.bound.get(desired.name), why)
    return _NetworkChange(recreation.steps(desired.name), drift)


def _recreation_blocked(
    strategy: UpdateStrategy, running: list[Attachment], why: str, *, broken: bool
) -> Finding | None:
    """``updateStrategy`` forbids the recreation now. Docker networks can't be edited."""
    if strategy is UpdateStrategy.NEVER:
        message = f"the Docker network differs ({why}) and updateStrategy is Never; set WhenIdle or Recreate"
        return Finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, message, blocks=False)
    if strategy is UpdateStrategy.WHEN_IDLE and running and not broken:
        names = ", ".join(a.container_name for a in running)
        message = (
            f"the Docker network must be recreated ({why}), but running containers are attached: {names};"
            " stop them, or set updateStrategy: Recreate"
        )
        return Finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, message, blocks=False)
    return None


def _settings_unknown(attached: Iterable[Attachment], why: str) -> Finding | None:
    """A recreation would lose the aliases and addresses of a container that was never inspected."""
    names = ", ".join(each.container_name for each in attached if not each.complete)
    if not names:
        return None
    message = (
        f"the Docker network must be recreated ({why}), but the settings with which {names} is attached are unknown,"
        " because the container can't be inspected; remove the container, or detach it with `docker network disconnect`"
    )
    return Finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, message, blocks=False)


def _rolled_back(observed: Observed, want: NetworkSpec) -> Finding | None:
    """This specification failed before and was rolled back. It is not tried again until it changes."""
    if observed.refused != fingerprint(want):
        return None
    return Finding(ConditionType.NETWORK_READY, Reason.ROLLED_BACK, observed.refusal, blocks=False)


def _waits_for_turn(desired: Desired, observed: Observed, subnet: SubnetDecision) -> Finding | None:
    """At most ``maxUnavailable`` networks of a pool are renumbered at the same time."""
    pool = desired.pools.get(desired.resource.spec.addressing.pool or "")
    if subnet.replaces is None or pool is None or len(observed.in_flight) < pool.spec.max_unavailable:
        return None
    verb = "is" if len(observed.in_flight) == 1 else "are"
    message = (
        f"the subnet changes from {subnet.replaces} to {subnet.prefix}; this network waits for its turn, while"
        f" {', '.join(observed.in_flight)} of the same pool {verb} being renumbered"
        f" (maxUnavailable: {pool.spec.max_unavailable})"
    )
    return Finding(ConditionType.NETWORK_READY, Reason.RENUMBERING, message, blocks=False, retry=TURN_RETRY)
