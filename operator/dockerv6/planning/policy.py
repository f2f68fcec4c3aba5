"""Which Docker networks a policy applies to, and the plan for them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dockerv6.api.conditions import ConditionType
from dockerv6.api.policy import IPv6Policy, NetworkSelector
from dockerv6.dockerd.model import Network
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.translation import translation_findings
from dockerv6.planning.docker.engine import engine_findings, raw_drop_findings
from dockerv6.planning.firewall.contributions import POLICY_OWNER, icc_disabled, ipv6_subnets
from dockerv6.planning.firewall.port_claims import has_labels
from dockerv6.planning.firewall.rules import filter_steps, rules_drift, rules_findings
from dockerv6.planning.host.bridge_ports import source_findings
from dockerv6.planning.host.bridges import bridge_findings, bridge_steps, icc_findings
from dockerv6.planning.host.ndp_proxy import ndp_proxy_findings, ndp_proxy_steps
from dockerv6.planning.host.sysctls import host_findings, sysctl_steps
from dockerv6.planning.host.uplinks import uplink_findings
from dockerv6.planning.inputs import MANAGED_BY, Holdings, Observed
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import Step, UpdateFirewall


@dataclass(frozen=True, slots=True)
class PolicyAssignment:
    """Which policy applies to which network."""

    networks: Mapping[str, tuple[Network, ...]]  # by policy
    claimed_by: Mapping[str, Mapping[str, str]]  # policy -> other network that it matches -> the resource that has it


def assign_networks(
    policies: Mapping[str, IPv6Policy], networks: Iterable[Network], observed_names: Mapping[str, str]
) -> PolicyAssignment:
    """Assign each network to the first policy, by name, that matches it.

    Args:
        policies: by name.
        networks: all live Docker networks.
        observed_names: names of Docker networks that IPv6Networks observe, and the names of those resources.
    """
    assigned: dict[str, list[Network]] = {name: [] for name in policies}
    claimed_by: dict[str, dict[str, str]] = {name: {} for name in policies}
    ordered = sorted(policies)
    for network in networks:
        if not eligible(network):
            continue
        matching = [name for name in ordered if matches(policies[name].spec.selector, network)]
        if not matching:
            continue
        claimed = observed_names.get(network.name)
        if claimed is not None:
            for name in matching:
                claimed_by[name][network.name] = f"IPv6Network/{claimed}"
            continue
        first, *others = matching
        assigned[first].append(network)
        for name in others:
            claimed_by[name][network.name] = f"IPv6Policy/{first}"
    return PolicyAssignment({name: tuple(each) for name, each in assigned.items()}, claimed_by)


def eligible(network: Network) -> bool:
    """Whether a policy can apply to it: it is a bridge of this host with IPv6 that dockerv6 did not create."""
    return bool(network.bridge and any(ipv6_subnets(network)) and MANAGED_BY not in network.labels)


def matches(selector: NetworkSelector, network: Network) -> bool:
    """Whether the network satisfies every criterion of the selector."""
    subnets = [subnet for subnet, _ in ipv6_subnets(network)]
    return (
        (not selector.match_labels or has_labels(network.labels, selector.match_labels))
        and (not selector.names or network.name in selector.names)
        and (not selector.drivers or network.driver in {str(d) for d in selector.drivers})
        and (not selector.prefixes or any(s.subnet_of(p) for s in subnets for p in selector.prefixes))
    )


def plan_policy(policy: IPv6Policy, observed: Observed, networks: Collection[Network], holdings: Holdings) -> Plan:
    """Keep the rules and host settings for a policy's networks. The networks themselves are not managed."""
    name, spec = policy.metadata.name, policy.spec
    owner = f"{POLICY_OWNER}{name}"
    blocking = host_findings(observed.host)
    if blocking:
        return Plan("IPv6Policy", name, findings=blocking)
    proxied = tuple(p for p in observed.proxied_subnets if p.owner == owner)
    separate = any(icc_disabled(n) for n in networks)
    findings = (
        *(_firewall_finding(f) for f in engine_findings(observed)),
        *rules_findings(observed.rules, owner, observed.host),
        *(f for n in networks for f in raw_drop_findings(spec.egress, spec.firewall, observed.engine, n.options)),
        *translation_findings(spec.egress, (s for n in networks for s, _ in ipv6_subnets(n)), holdings.tracked),
        *icc_findings(observed.host, icc=not separate),
        *(_firewall_finding(f, unknown=False) for f in bridge_findings(observed.host, networks)),
        *source_findings(observed.host, spec.firewall, networks),
        *ndp_proxy_findings(proxied, observed.containers, observed.host),
        *uplink_findings(observed.host, spec.egress, networks, managed=False),
    )
    if observed.rules.problem:
        return Plan("IPv6Policy", name, findings=findings)
    steps: list[Step] = []
    if observed.rules.pending_changes(owner):
        steps.append(UpdateFirewall(owner, observed.rules.change, "the table differs from the desired rules"))
    if networks:
        steps = [*sysctl_steps(observed.host), *steps, *filter_steps(observed.rules)]
        published = spec.egress.mode is EgressMode.PREFIX_TRANSLATION or bool(observed.rules.ports.get(owner))
        for network in networks:
            bridges = (network.bridge,) if network.bridge else ()
            steps += bridge_steps(observed.host, bridges, published=published, icc=not icc_disabled(network))
    containers = observed.containers if observed.engine is not None else None
    steps += ndp_proxy_steps(proxied, observed.proxied_subnets, containers, observed.host)
    return Plan("IPv6Policy", name, tuple(steps), findings, rules_drift(observed, owner))


def _firewall_finding(finding: Finding, *, unknown: bool = True) -> Finding:
    """The finding for a policy, which has no NetworkReady. ``unknown``: its rules stay until the engine answers."""
    return Finding(
        ConditionType.FIREWALL_READY,
        finding.reason,
        finding.message,
        blocks=False,
        retry=finding.retry,
        unknown=unknown,
    )
