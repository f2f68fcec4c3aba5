"""The plan for one IPv6Network resource: from the wish and the world to ordered steps."""

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.errors import format_path
from dockerv6.api.network import ManagementPolicy, UpdateStrategy
from dockerv6.api.options import Driver
from dockerv6.dockerd.model import Attachment, Network, NetworkSpec
from dockerv6.planning.addressing.conflicts import network_conflict
from dockerv6.planning.addressing.pools import withdrawn_findings
from dockerv6.planning.addressing.subnets import SubnetDecision, choose_subnet
from dockerv6.planning.docker.engine import engine_findings, namespace_findings, version_findings
from dockerv6.planning.docker.members import attach_members, detach_members, member_findings
from dockerv6.planning.docker.network_spec import (
    differences,
    fingerprint,
    network_spec,
    observed_network,
    own_network,
)
from dockerv6.planning.docker.recreation import Recreation, attach, creation
from dockerv6.planning.firewall.contributions import network_contribution
from dockerv6.planning.firewall.rules import rules_drift
from dockerv6.planning.host.bridges import missing_bridge, repair_bridge_steps
from dockerv6.planning.host.parents import parent_findings, vain_findings
from dockerv6.planning.host.sysctls import host_findings
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding, Plan
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
    left_steps,
    proxy_steps,
    rules_steps,
    traffic_findings,
)

UNBRIDGED = frozenset({Driver.MACVLAN, Driver.IPVLAN})

TURN_RETRY = 5.0  # seconds until a network looks again whether it is its turn; it is also told


def plan_network(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """What to do for the resource now. Pure; empty once the world is as it should be."""
    name = desired.name
    blocking = _refusals(desired, observed)
    if blocking:
        return Plan("IPv6Network", name, findings=blocking)
    if desired.resource.spec.management_policy is ManagementPolicy.OBSERVE:
        return _plan_observed(desired, observed, holdings)
    live = own_network(desired, observed)
    subnet = choose_subnet(desired, observed, holdings, live)
    if isinstance(subnet, Finding):
        return Plan("IPv6Network", name, _kept(desired, observed, holdings, live), (subnet,))
    return _plan_managed(desired, observed, holdings, live, subnet)


def _refusals(desired: Desired, observed: Observed) -> tuple[Finding, ...]:
    """Why nothing at all is done for the resource."""
    spec = desired.resource.spec
    if spec.suspend:
        return (Finding(ConditionType.READY, Reason.SUSPENDED, "spec.suspend is true: everything is left as it is"),)
    unsupported = ", ".join(map(format_path, desired.resource.unsupported_fields()))
    if unsupported:
        message = f"this version does not support {unsupported}; remove it to have the resource applied"
        return (Finding(ConditionType.ACCEPTED, Reason.NOT_YET_IN_EFFECT, message),)
    too_old = version_findings(spec, observed.engine)
    if too_old:
        return too_old
    return (*host_findings(observed.host), *namespace_findings(observed))


def _kept(desired: Desired, observed: Observed, holdings: Holdings, live: Network | None) -> tuple[Step, ...]:
    """What is already applied is kept up, even while the resource can't be carried out.

    That is its rules, and the containers that a recreation detached before it was stopped by what can't be had.
    """
    back = _back(observed, live) if live is not None and observed.engine is not None else ()
    if desired.name not in holdings.bound or observed.rules.problem or not bridged(desired, live):
        return back
    return (*rules_steps(desired, observed), *proxy_steps(desired, observed), *back)


def _plan_observed(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """Somebody else's network: rules and host settings only."""
    live = observed_network(desired, observed)
    if live is not None and live.driver in UNBRIDGED:
        return _plan_unbridged(desired, observed, live)
    intents = (
        network_contribution(desired.resource, None, (live,), (), holdings.tracked).networks if live is not None else ()
    )
    findings: list[Finding] = [
        *traffic_findings(desired, observed, holdings, live, live),
        *member_findings(desired, observed),
    ]
    if live is None:
        findings += engine_findings(observed) or (
            Finding(
                ConditionType.NETWORK_READY,
                Reason.NETWORK_NOT_FOUND,
                f"there is no Docker network {desired.resource.docker_name} to observe; it is taken up when it appears",
            ),
        )
    elif not intents:
        findings.append(
            Finding(
                ConditionType.NETWORK_READY,
                Reason.NO_IPV6,
                f"Docker network {live.name} has no IPv6 subnet on a bridge; recreate it with --ipv6",
            )
        )
    steps: tuple[Step, ...] = ()
    if not observed.rules.problem:
        steps = rules_steps(desired, observed)
        if intents:  # else the host need not forward anything for it
            steps = (*forwarding_steps(desired, observed), *proxy_steps(desired, observed))
    if live is not None and not any(f.blocks for f in findings):
        steps = (*steps, *bridge_port_steps(desired, observed, live), *_members(desired, observed, live))
    return Plan("IPv6Network", desired.name, steps, tuple(findings), rules_drift(observed, desired.name))


def _rules_drift(desired: Desired, observed: Observed, live: Network | None) -> tuple[str, ...]:
    return rules_drift(observed, desired.name) if bridged(desired, live) else ()


def _plan_unbridged(desired: Desired, observed: Observed, live: Network) -> Plan:
    """Somebody else's macvlan or ipvlan network: its packets pass nothing of ours; members, and what is to be said."""
    findings = [
        *engine_findings(observed),
        *parent_findings(live, live, observed),
        *vain_findings(desired.resource.spec, live),
        *member_findings(desired, observed),
    ]
    if not live.ipv6:
        message = f"Docker network {live.name} has no IPv6 subnet; recreate it with --ipv6"
        findings.append(Finding(ConditionType.NETWORK_READY, Reason.NO_IPV6, message))
    members = () if any(f.blocks for f in findings) else _members(desired, observed, live)
    return Plan("IPv6Network", desired.name, (*left_steps(desired, observed), *members), tuple(findings))


def _plan_managed(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, subnet: SubnetDecision
) -> Plan:
    """A network of our own: allocation, host, rules, then the network, then its endpoints."""
    spec = desired.resource.spec
    want = network_spec(desired.resource, subnet.prefix, desired.identity, observed.engine)
    findings = [
        *engine_findings(observed),
        *(traffic_findings(desired, observed, holdings, live, want) if bridged(desired, live) else ()),
        *parent_findings(want, live, observed),
        *member_findings(desired, observed),
        *((subnet.finding,) if subnet.finding is not None else ()),
        *withdrawn_findings(desired.pools.get(spec.addressing.pool or ""), holdings),
    ]
    rival = network_conflict(desired, observed, live, want)
    if rival is not None:
        findings.append(rival)
    change, drift, refusal = _network_change(desired, observed, holdings, live, want, subnet)
    if refusal is not None:
        findings.append(refusal)
    if any(f.blocks for f in findings):
        kept = _kept(desired, observed, holdings, live)
        return Plan(
            "IPv6Network", desired.name, kept, tuple(findings), (*drift, *_rules_drift(desired, observed, live))
        )
    adopted = live is not None and any(c.subnet == subnet.prefix for c in live.ipv6)
    binding = subnet.steps if refusal is None or adopted else ()
    because = "the network's rules are there before it is" if binding else ""
    remade = any(isinstance(s, CreateNetwork) for s in change)
    mend = () if live is None or remade else repair_bridge_steps(observed, live)
    previous = [s for s in change if isinstance(s, RememberNetwork)]
    removed = [s for s in change if isinstance(s, RememberEndpoints | DetachEndpoint | RemoveNetwork)]
    rest = [s for s in change if s not in removed and s not in previous]
    steps = (
        *previous,
        *binding,  # before anything is taken down: what is wanted instead is then nobody else's
        *removed,
        *(forwarding_steps(desired, observed, because) if bridged(desired, live) else left_steps(desired, observed)),
        *rest,
        *mend,
        *(bridge_port_steps(desired, observed, live) if live is not None and not remade else ()),
        *proxy_steps(desired, observed),
        *(_members(desired, observed, live if live is not None and not remade else want)),
    )
    drift = (*drift, *(s.reason for s in mend), *_rules_drift(desired, observed, live))
    return Plan("IPv6Network", desired.name, steps, tuple(findings), drift)


def _members(desired: Desired, observed: Observed, network: Network | NetworkSpec) -> tuple[Step, ...]:
    """Containers that come and go by their labels."""
    if observed.engine is None:
        return ()
    gone = detach_members(desired, observed, network) if isinstance(network, Network) else ()
    return (*gone, *attach_members(desired, observed, network))


def _back(observed: Observed, live: Network) -> tuple[Step, ...]:
    """Who is missing from a network that is there."""
    return attach(observed.remembered, live, [a.ipv6 for a in observed.attachments if a.ipv6 is not None])


def _network_change(
    desired: Desired,
    observed: Observed,
    holdings: Holdings,
    live: Network | None,
    want: NetworkSpec,
    subnet: SubnetDecision,
) -> tuple[tuple[Step, ...], tuple[str, ...], Finding | None]:
    """Steps for the Docker network itself, the drift that they mend, and what forbids them."""
    if observed.engine is None:
        return (), (), None
    missing = observed.remembered
    if live is None:
        gone = f"Docker network {want.name} was removed"
        why = gone if observed.applied else "it does not exist yet"
        return creation(desired.name, missing, want, why), ((gone,) if observed.applied else ()), None
    found = differences(want, live, observed.engine)
    broken = missing_bridge(observed.host, live)
    if not found and not broken:
        return _back(observed, live), (), None
    why = "; ".join((*found, *((broken,) if broken else ())))
    drift = (broken,) if broken else ()
    running = [a for a in observed.attachments if a.running]
    refusal = (
        _refuse_recreation(desired.resource.spec.update_strategy, running, why, broken=bool(broken))
        or _rolled_back(observed, want)
        or _not_its_turn(desired, observed, subnet)
    )
    if refusal is not None:
        return _back(observed, live), drift, refusal
    anew = Recreation(live, want, observed.attachments, missing, holdings.bound.get(desired.name), why)
    return anew.steps(desired.name), drift, None


def _rolled_back(observed: Observed, want: NetworkSpec) -> Finding | None:
    """This very wish was tried, and the network that was there before brought back: not again until it is another."""
    if observed.refused != fingerprint(want):
        return None
    return Finding(ConditionType.NETWORK_READY, Reason.ROLLED_BACK, observed.refusal, blocks=False)


def _not_its_turn(desired: Desired, observed: Observed, subnet: SubnetDecision) -> Finding | None:
    """Of a pool's networks only so many are renumbered at the same time."""
    pool = desired.pools.get(desired.resource.spec.addressing.pool or "")
    if subnet.replaces is None or pool is None or len(observed.in_flight) < pool.spec.max_unavailable:
        return None
    verb = "is" if len(observed.in_flight) == 1 else "are"
    message = (
        f"the subnet becomes {subnet.prefix} instead of {subnet.replaces}, and waits for its turn:"
        f" {', '.join(observed.in_flight)} of the same pool {verb} being renumbered"
        f" (maxUnavailable {pool.spec.max_unavailable})"
    )
    return Finding(ConditionType.NETWORK_READY, Reason.RENUMBERING, message, blocks=False, retry=TURN_RETRY)


def _refuse_recreation(
    strategy: UpdateStrategy, running: list[Attachment], why: str, *, broken: bool
) -> Finding | None:
    """Docker networks can't be edited: whether the recreation may go on now."""
    if strategy is UpdateStrategy.NEVER:
        message = f"the Docker network differs ({why}) and updateStrategy is Never; set WhenIdle or Recreate"
        return Finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, message, blocks=False)
    if strategy is UpdateStrategy.WHEN_IDLE and running and not broken:
        names = ", ".join(a.container_name for a in running)
        message = (
            f"the Docker network must be recreated ({why}) and waits for running containers to leave: {names};"
            " stop them, or set updateStrategy: Recreate"
        )
        return Finding(ConditionType.NETWORK_READY, Reason.RECREATE_BLOCKED, message, blocks=False)
    return None
