"""What the traffic of a bridge network needs on the host: rules, sysctls, bridge settings, NDP proxy entries. Pure.

The containers of macvlan and ipvlan networks are on the parent's link: their packets pass neither bridge nor firewall.
"""

from ipaddress import IPv6Network

from dockerv6.api.options import Driver
from dockerv6.dockerd.model import Network, NetworkSpec
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.translation import translation_findings
from dockerv6.planning.docker.engine import raw_drop_findings
from dockerv6.planning.firewall.contributions import icc_switched_off
from dockerv6.planning.firewall.rules import filter_steps, rules_findings
from dockerv6.planning.host.bridges import bridge_steps, icc_findings
from dockerv6.planning.host.ndp_proxy import ndp_proxy_findings, ndp_proxy_steps
from dockerv6.planning.host.sysctls import sysctl_steps
from dockerv6.planning.host.uplinks import uplink_findings
from dockerv6.planning.inputs import Desired, Holdings, Observed, ProxiedSubnet
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import EnsureRules, Step


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
    return (
        *rules_findings(observed.rules, desired.name, observed.host),
        *raw_drop_findings(spec.egress, spec.firewall, observed.engine, options),
        *translation_findings(spec.egress, subnets, holdings.tracked),
        *icc_findings(observed.host, icc=spec.bridge.icc),
        *ndp_proxy_findings(_proxied_subnets(desired, observed), observed.containers, observed.host),
        *uplink_findings(observed.host, spec.egress, there, managed=not desired.resource.observed),
    )


def rules_steps(desired: Desired, observed: Observed, because: str = "") -> tuple[Step, ...]:
    """Our table's step, when it lacks something for this resource or is about to."""
    pending = observed.rules.pending_changes
    changes = (*pending.get("", ()), *pending.get(desired.name, ()))
    if not changes and not because:
        return ()
    return (EnsureRules(desired.name, changes, because or "the table differs from the intended rules"),)


def left_steps(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """What is left in our table of a network that was on a bridge, and is on one no more."""
    changes = observed.rules.pending_changes.get(desired.name, ())
    if not changes or observed.rules.problem:
        return ()
    return (EnsureRules(desired.name, changes, "its packets no longer pass the host's firewall"),)


def forwarding_steps(desired: Desired, observed: Observed, because: str = "") -> tuple[Step, ...]:
    """Enable forwarding, write our rules, and accept our flows in the host's filter; before the network exists."""
    return (
        *sysctl_steps(observed.host),
        *rules_steps(desired, observed, because),
        *filter_steps(observed.rules),
    )


def bridge_port_steps(desired: Desired, observed: Observed, live: Network) -> tuple[Step, ...]:
    """Set what bridged packets of a live network need to pass the packet filter."""
    translated = desired.resource.spec.egress.mode is EgressMode.PREFIX_TRANSLATION
    published = translated or bool(observed.rules.ports.get(desired.name))
    icc = desired.resource.spec.bridge.icc and not icc_switched_off(live)
    return bridge_steps(observed.host, (live.bridge,) if live.bridge else (), published=published, icc=icc)


def proxy_steps(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """Keep the NDP proxy entries of running containers; unchanged while the engine does not answer."""
    containers = observed.containers if observed.engine is not None else None
    return ndp_proxy_steps(_proxied_subnets(desired, observed), observed.proxied_subnets, containers, observed.host)


def _proxied_subnets(desired: Desired, observed: Observed) -> tuple[ProxiedSubnet, ...]:
    return tuple(a for a in observed.proxied_subnets if a.owner == desired.name)
