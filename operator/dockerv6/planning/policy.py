"""Which Docker networks a policy applies to, and the plan for them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import POLICY
from dockerv6.api.policy import IPv6Policy, IPv6PolicySpec, NetworkSelector
from dockerv6.dockerd.model import Network
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.prefixes import PrefixSet
from dockerv6.planning.addressing.route_conflicts import route_findings
from dockerv6.planning.addressing.translation import translation_findings
from dockerv6.planning.docker.engine import (
    chains_findings,
    driver_finding,
    engine_findings,
    namespace_findings,
    product_findings,
    raw_drop_findings,
)
from dockerv6.planning.firewall.claims import Held
from dockerv6.planning.firewall.contributions import POLICY_OWNER, icc_disabled, ipv6_subnets, resource_of
from dockerv6.planning.firewall.listening import ipv4_only_findings
from dockerv6.planning.firewall.port_claims import has_labels
from dockerv6.planning.firewall.rules import filter_steps, rules_drift, rules_findings
from dockerv6.planning.host.bridge_ports import source_findings
from dockerv6.planning.host.bridges import bridge_findings, bridge_steps, icc_findings, on_link_findings
from dockerv6.planning.host.ndp_proxy import ndp_proxy_findings, ndp_proxy_steps
from dockerv6.planning.host.sysctls import host_findings, sysctl_steps
from dockerv6.planning.host.uplinks import uplink_findings
from dockerv6.planning.inputs import MANAGED_BY, POLICY_LABEL, Holdings, Observed
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import Step, UpdateFirewall

NONE_HELD: Held = {}


@dataclass(frozen=True, slots=True)
class PolicyAssignment:
    """Which policy applies to which network."""

    networks: Mapping[str, tuple[Network, ...]]  # by policy
    claimed_by: Mapping[str, Mapping[str, str]]  # policy -> other network that it matches -> the resource that has it


def assign_networks(
    policies: Mapping[str, IPv6Policy],
    networks: Iterable[Network],
    observers: Mapping[str, Collection[str]],
    held: Held = NONE_HELD,
) -> PolicyAssignment:
    """Assign each network to one of the policies that match it, unless an IPv6Network observes it.

    An IPv6Network names its Docker network, a policy only matches it: so the IPv6Network has it, also if it comes
    later. Among policies that match it, the one that its label names has it. Otherwise, among policies, and among
    IPv6Networks, the policy that has the rules keeps them, and of those that come together the first by name has it.

    Args:
        policies: by name.
        networks: all live Docker networks.
        observers: the IPv6Networks that observe a Docker network, by its name.
        held: the claims that have rules now.
    """
    assigned: dict[str, list[Network]] = {name: [] for name in policies}
    claimed_by: dict[str, dict[str, str]] = {name: {} for name in policies}
    prefixes = {name: PrefixSet(policy.spec.selector.prefixes) for name, policy in policies.items()}
    for network in networks:
        if not eligible(network):
            continue
        matching = [n for n, policy in policies.items() if matches(policy.spec.selector, prefixes[n], network)]
        if not matching:
            continue
        chosen = [name for name in matching if name == network.labels.get(POLICY_LABEL)]
        owners = observers.get(network.name) or [f"{POLICY_OWNER}{name}" for name in chosen or matching]
        kind, first = resource_of(min(owners, key=lambda owner: _rank(owner, network, held)))
        for name in matching:
            if (kind, name) == (POLICY, first):
                assigned[name].append(network)
            else:
                claimed_by[name][network.name] = f"{kind}/{first}"
    return PolicyAssignment({name: tuple(each) for name, each in assigned.items()}, claimed_by)


def _rank(owner: str, network: Network, held: Held) -> tuple[float, str]:
    since = min((held.get((owner, subnet), inf) for subnet, _ in ipv6_subnets(network)), default=inf)
    return since, owner


def eligible(network: Network) -> bool:
    """Whether a policy can apply to it: it is a bridge of this host with IPv6 that dockerv6 did not create."""
    return bool(network.bridge and any(ipv6_subnets(network)) and MANAGED_BY not in network.labels)


def matches(selector: NetworkSelector, prefixes: PrefixSet, network: Network) -> bool:
    """Whether the network satisfies every criterion of the selector. ``prefixes``: those of the selector, sorted."""
    return (
        (not selector.match_labels or has_labels(network.labels, selector.match_labels))
        and (not selector.names or network.name in selector.names)
        and network.name not in selector.exclude_names
        and (not selector.drivers or network.driver in {str(d) for d in selector.drivers})
        and (not selector.prefixes or any(prefixes.containing(subnet) for subnet, _ in ipv6_subnets(network)))
    )


def plan_policy(policy: IPv6Policy, observed: Observed, networks: Collection[Network], holdings: Holdings) -> Plan:
    """Keep the rules and host settings for a policy's networks. The networks themselves are not managed."""
    name, spec = policy.metadata.name, policy.spec
    owner = f"{POLICY_OWNER}{name}"
    blocking = (*host_findings(observed.host), *namespace_findings(observed))
    if blocking:
        return Plan("IPv6Policy", name, findings=blocking)
    unsupported = product_findings(observed.engine)
    if unsupported:
        return Plan("IPv6Policy", name, findings=tuple(_firewall_finding(f, unknown=False) for f in unsupported))
    proxied = tuple(p for p in observed.proxied_subnets if p.owner == owner)
    separate = any(icc_disabled(n) for n in networks)
    findings = (
        *(_firewall_finding(f) for f in engine_findings(observed)),
        *_selection_findings(spec.selector, observed),
        *chains_findings(observed),
        *rules_findings(observed.rules, owner, observed.host),
        *ipv4_only_findings(observed.rules.ports.get(owner, ()), observed.containers, observed.ipv4_only),
        *_raw_drops(spec, observed, networks),
        *translation_findings(spec.egress, (s for n in networks for s, _ in ipv6_subnets(n)), holdings.tracked),
        *icc_findings(observed.host, icc=not separate),
        *(_firewall_finding(f, unknown=False) for f in bridge_findings(observed.host, networks)),
        *source_findings(observed.host, spec.firewall, networks),
        *route_findings(observed.host, networks, spec.egress),
        *on_link_findings(observed.host, networks, observed.rules.unrouted),
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


def _raw_drops(spec: IPv6PolicySpec, observed: Observed, networks: Iterable[Network]) -> Iterator[Finding]:
    for network in networks:
        tried = observed.rules.tried(network, observed.containers)
        yield from raw_drop_findings(spec.egress, spec.firewall, observed, network.options, tried=tried)


def _selection_findings(selector: NetworkSelector, observed: Observed) -> Iterator[Finding]:
    """The selector matches nothing that a policy can apply to, or also networks to which none can apply."""
    if observed.engine is None:
        return
    prefixes = PrefixSet(selector.prefixes)
    matching = [n for n in observed.networks if matches(selector, prefixes, n)]
    yield from (
        driver_finding(n, ConditionType.FIREWALL_READY, blocks=False) for n in matching if n.driver == "overlay"
    )
    if any(eligible(n) for n in matching):
        return
    why = [f"{n.name} {why_not(n)}" for n in matching if n.driver != "overlay"]
    message = (
        f"spec.selector matches Docker networks that no policy applies to: {'; '.join(why)}"
        if why
        else "spec.selector matches no Docker network; correct it, or create the network (docker network ls lists them)"
    )
    yield Finding(ConditionType.FIREWALL_READY, Reason.NO_NETWORK, message, blocks=False, unknown=True)


def why_not(network: Network) -> str:
    """Why no policy applies to a network that a selector matches: it is not `eligible`."""
    if MANAGED_BY in network.labels:
        return "has an IPv6Network, which says what applies to it"
    if not network.bridge:
        return f"has the driver {network.driver}, whose packets do not pass the host's firewall"
    return "has no IPv6 subnet (recreate it with --ipv6)"


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
