"""What a person should know about rules and engine, said alike for networks and for policies. Pure."""

from collections.abc import Mapping, Sequence

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.api.traffic import Egress, Firewall
from dockerv6.dockerd.model import EngineInfo
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.host.addresses import pending_addresses
from dockerv6.planning.host.sysctls import filter_findings
from dockerv6.planning.inputs import HostView, Observed, RulesView
from dockerv6.planning.plan import Finding

RAW_DROP_SINCE = (28, 2)
PASSING_MODES = frozenset({"routed", "nat-unprotected"})
TRUSTED_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces"
ENGINE_RETRY = 5.0  # seconds until an engine that gives no answer is asked again
HELD_RETRY = 30.0  # seconds until rules that somebody else's held ones keep out are looked at again
PORT_RETRY = 10.0  # seconds until a port that a process of the host has is looked at again: nobody tells of its end


def engine_findings(observed: Observed) -> tuple[Finding, ...]:
    """The engine gives no answer."""
    if observed.engine is not None:
        return ()
    return (
        Finding(
            ConditionType.NETWORK_READY,
            Reason.ENGINE_UNAVAILABLE,
            f"the Docker Engine gives no answer ({observed.engine_problem}); is it running?",
            retry=ENGINE_RETRY,
        ),
    )


def rules_findings(rules: RulesView, owner: str, host: HostView) -> tuple[Finding, ...]:
    """What keeps an owner's rules, or what they are to let through, from being in effect."""
    return (*_table(rules, owner), *filter_findings(rules), *_rival(rules), *_ports(rules, owner, host))


def rules_drift(observed: Observed, owner: str) -> tuple[str, ...]:
    """An owner's rules, and those of all, that were there and are not: somebody else took them away."""
    if not observed.applied or observed.rules.intended:
        return ()
    return tuple(
        f"firewall: {c}"
        for c in (*observed.rules.pending_changes.get("", ()), *observed.rules.pending_changes.get(owner, ()))
    )


def repaired_table(changes: Sequence[str]) -> str:
    """The drift of our table in one line; a flushed table is dozens of changes."""
    count = f"{len(changes)} changes, first: " if len(changes) > 1 else ""
    return f"firewall: our table was modified; repaired by {count}{changes[0]}"


def _table(rules: RulesView, owner: str) -> tuple[Finding, ...]:
    if rules.problem:
        return (Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_UNAVAILABLE, rules.problem, retry=ENGINE_RETRY),)
    left_out = rules.excluded.get(owner)
    if left_out:
        return (Finding(ConditionType.FIREWALL_READY, Reason.SUBNET_OVERLAP, left_out, blocks=False, retry=HELD_RETRY),)
    why = rules.untranslated.get(owner)
    return (Finding(ConditionType.FIREWALL_READY, Reason.PREFIX_CONFLICT, why, blocks=False),) if why else ()


def _rival(rules: RulesView) -> tuple[Finding, ...]:
    if not rules.rival:
        return ()
    return (Finding(ConditionType.FIREWALL_READY, Reason.FOREIGN_RULES, rules.rival, blocks=False, unknown=True),)


def _ports(rules: RulesView, owner: str, host: HostView) -> tuple[Finding, ...]:
    """Ports that don't lead where they should; what only waits, for a container or an address, is no fault."""
    problems = (*rules.port_problems.get(owner, ()), *pending_addresses(rules.ports.get(owner, ()), host))
    faults = tuple(p for p in problems if not p.waiting)
    told = faults or problems
    if not told:
        return ()
    taken = any(p.reason is Reason.PORT_TAKEN for p in told)
    return (
        Finding(
            ConditionType.PORTS_PUBLISHED,
            told[0].reason,
            "; ".join(p.message for p in told),
            blocks=False,
            retry=PORT_RETRY if taken else None,
            unknown=not faults,
        ),
    )


def raw_drop_findings(
    egress: Egress, firewall: Firewall, engine: EngineInfo | None, options: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Engines from 28.2 on drop what is sent to a container's address before any rule of ours sees it (moby 49325).

    So neither replies of untranslated flows arrive, nor what is let in without a published port, unless the network's
    driver options allow it.
    """
    translated = egress.mode is EgressMode.PREFIX_TRANSLATION  # what is let in was not sent to the container's address
    asked = [
        *(["egress.mode: Routed"] if egress.mode is EgressMode.ROUTED else []),
        *(["egress.exclude"] if egress.exclude else []),
        *(["firewall.ingress"] if firewall.ingress and not translated else []),
        *(["firewall.isolation: false"] if not firewall.isolation else []),
    ]
    answered = options.get(GATEWAY_MODE_IPV6) in PASSING_MODES or TRUSTED_INTERFACES in options
    if not asked or engine is None or engine.release < RAW_DROP_SINCE or answered:
        return ()
    message = (
        f"Docker Engine {engine.version} drops what is sent to containers' own addresses; for spec.{asked[0]} to work"
        f" set options: {{{TRUSTED_INTERFACES}: <interface>}}, or {GATEWAY_MODE_IPV6}: routed"
    )
    return (Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, message, blocks=False, unknown=True),)
