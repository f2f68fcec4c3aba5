"""What the traffic of a bridge network needs on the host: rules, sysctls, bridge settings, NDP proxy entries.

The containers of macvlan and ipvlan networks are on the parent's link: their packets pass neither bridge nor firewall.
"""

from collections.abc import Iterable
from ipaddress import IPv6Network

from dockerv6.api.options import Driver
from dockerv6.dockerd.model import Network, NetworkSpec
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.route_conflicts import route_findings
from dockerv6.planning.addressing.translation import translation_findings
from dockerv6.planning.docker.engine import raw_drop_findings
from dockerv6.planning.firewall.contributions import (
    ProxiedSubnet,
    depends_on_containers,
    icc_disabled,
    network_contribution,
)
from dockerv6.planning.firewall.desired import FirewallSnapshot
from dockerv6.planning.firewall.listening import ipv4_only_findings
from dockerv6.planning.firewall.rules import filter_steps, rules_findings
from dockerv6.planning.host.bridge_ports import source_findings
from dockerv6.planning.host.bridges import bridge_findings, bridge_steps, icc_findings, on_link_findings
from dockerv6.planning.host.ndp_proxy import ndp_proxy_findings, ndp_proxy_steps, on_link_prefixes
from dockerv6.planning.host.sysctls import sysctl_steps
from dockerv6.planning.host.uplinks import uplink_findings
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import Step, UpdateFirewall


def bridged(desired: Desired, live: Network | None) -> bool:
    """Whether packets of the live network, or of the desired one, pass a bridge and the host's firewall."""
    return desired.resource.spec.driver is Driver.BRIDGE or (live is not None and live.bridge is not None)


def traffic_findings(
    desired: Desired,
    observed: Observed,
    holdings: Holdings,
    live: Network | None,
    network: Network | NetworkSpec | None,
) -> tuple[Finding, ...]:
    """Why packets may not pass. ``network`` is the live network, or the one that is to be created."""
    spec = desired.resource.spec
    options = network.options if network is not None else {}
    subnets = {c.subnet for c in (network.ipam if network is not None else ()) if isinstance(c.subnet, IPv6Network)}
    there = (live,) if live is not None else ()
    tried = live is not None and observed.rules.tried(live, observed.containers)
    return (
        *rules_findings(observed.rules, desired.name, observed.host),
        *ipv4_only_findings(observed.rules.ports.get(desired.name, ()), observed.containers, observed.ipv4_only),
        *raw_drop_findings(spec.egress, spec.firewall, observed, options, tried=tried),
        *translation_findings(spec.egress, subnets, holdings.tracked),
        *icc_findings(observed.host, icc=spec.bridge.icc),
        *bridge_findings(observed.host, there),
        *source_findings(observed.host, spec.firewall, there),
        *route_findings(observed.host, there, spec.egress),
        *on_link_findings(observed.host, there, observed.rules.unrouted),
        *ndp_proxy_findings(_proxied_subnets(desired, observed), observed.containers, observed.host),
        *uplink_findings(observed.host, spec.egress, there, managed=not desired.resource.observed),
    )


def rules_steps(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """The firewall step for rules that differ from the desired ones."""
    if not observed.rules.pending_changes(desired.name):
        return ()
    return (UpdateFirewall(desired.name, observed.rules.change, "the table differs from the desired rules"),)


def future_firewall(
    desired: Desired, observed: Observed, holdings: Holdings, subnet: IPv6Network, networks: Iterable[Network]
) -> FirewallSnapshot:
    """The firewall with what the resource contributes once it holds ``subnet`` and has these Docker networks.

    The rules are in place before the network is, so that no container is reachable before it is filtered.
    """
    spec = desired.resource.spec
    contribution = network_contribution(
        desired.resource,
        subnet,
        networks,
        observed.containers if depends_on_containers(spec.egress, spec.firewall) else (),
        holdings.tracked,
        on_link_prefixes(observed.host) if spec.egress.mode is EgressMode.PREFIX_TRANSLATION else (),
        bridge_free=observed.bridge_free(desired, (subnet, *holdings.subnets_of(desired.name))),
    )
    return observed.rules.snapshot.with_contribution(desired.name, contribution)


def future_rules_steps(desired: Desired, firewall: FirewallSnapshot, reason: str) -> tuple[Step, ...]:
    """The firewall step for a `future_firewall`."""
    step = UpdateFirewall(desired.name, firewall.change, reason)
    return (step,) if step.changes else ()


def obsolete_rules_steps(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """The firewall step that removes rules of a network that used to have a bridge."""
    if not observed.rules.pending_own_changes(desired.name) or observed.rules.problem:
        return ()
    reason = "its packets no longer pass the host's firewall"
    return (UpdateFirewall(desired.name, observed.rules.change, reason),)


def forwarding_steps(observed: Observed, rules: tuple[Step, ...]) -> tuple[Step, ...]:
    """Enable forwarding, write our rules, and accept our flows in the host's filter; before the network exists."""
    return (*sysctl_steps(observed.host), *rules, *filter_steps(observed.rules))


def bridge_port_steps(desired: Desired, observed: Observed, live: Network) -> tuple[Step, ...]:
    """Set what bridged packets of a live network need to pass the packet filter."""
    translated = desired.resource.spec.egress.mode is EgressMode.PREFIX_TRANSLATION
    published = translated or bool(observed.rules.ports.get(desired.name))
    icc = desired.resource.spec.bridge.icc and not icc_disabled(live)
    return bridge_steps(observed.host, (live.bridge,) if live.bridge else (), published=published, icc=icc)


def proxy_steps(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """Keep the NDP proxy entries of running containers; unchanged while the engine does not answer."""
    containers = observed.containers if observed.engine is not None else None
    return ndp_proxy_steps(_proxied_subnets(desired, observed), observed.proxied_subnets, containers, observed.host)


def _proxied_subnets(desired: Desired, observed: Observed) -> tuple[ProxiedSubnet, ...]:
    return tuple(a for a in observed.proxied_subnets if a.owner == desired.name)
