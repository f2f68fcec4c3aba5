"""What a person should know about rules and engine, said alike for networks and for policies. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.firewall.model import PortIntent
from dockerv6.planning.docker.engine import ENGINE_RETRY
from dockerv6.planning.firewall.port_claims import port_finding, shown
from dockerv6.planning.host.interfaces import HostAddresses, host_addresses
from dockerv6.planning.inputs import HostView, Observed, RulesView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import (
    AddAcceptRule,
    RemoveAcceptRule,
)

HELD_RETRY = 30.0  # seconds until rules that somebody else's held ones keep out are looked at again


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
    """One finding for all ports that are not published: the faults, or if there are none, what they wait for."""
    found = (*rules.port_problems.get(owner, ()), *pending_addresses(rules.ports.get(owner, ()), host))
    reported = tuple(f for f in found if not f.unknown) or found
    if not reported:
        return ()
    retries = [f.retry for f in reported if f.retry is not None]
    message = "; ".join(f.message for f in reported)
    return (replace(reported[0], message=message, retry=min(retries, default=None)),)


def filter_steps(rules: RulesView, *, wanted: bool = True) -> tuple[AddAcceptRule | RemoveAcceptRule, ...]:
    """Let our marked flows pass the host's own filter, where it drops; not ``wanted``: there are none any more."""
    if not wanted:
        return tuple(
            RemoveAcceptRule(b)
            for b in (*rules.filter.forward_drops, *rules.filter.orphaned)
            if b.repairable and b.has_accept_rule
        )
    admit = tuple(AddAcceptRule(b) for b in rules.filter.forward_drops if b.repairable and not b.has_accept_rule)
    return (*admit, *(RemoveAcceptRule(b) for b in rules.filter.orphaned))


def filter_findings(rules: RulesView) -> tuple[Finding, ...]:
    """Drops that only a person can lift: said, but no reason to stop."""
    return tuple(
        Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, b.remedy, blocks=False, unknown=True)
        for b in rules.filter.forward_drops
        if not b.repairable and not b.has_accept_rule
    )


def pending_addresses(ports: Iterable[PortIntent], host: HostView) -> tuple[Finding, ...]:
    """Why ports that are published on one address can't be reached there yet."""
    bound = [(port, port.host_address) for port in ports if port.host_address is not None]
    if not bound or not host.interfaces:  # without a single one, nothing is known of the host
        return ()
    there = host_addresses(host)
    said = (
        f"{port.protocol} port {port.port} on {shown(address)}: {why}"
        for port, address in bound
        if (why := _why_not(address, there))
    )
    return tuple(port_finding(Reason.ADDRESS_PENDING, message, waiting=True) for message in said)


def _why_not(address: IPv6Address, there: HostAddresses) -> str:
    if address.is_loopback or address.is_link_local:  # nobody lists those
        return ""
    if address not in there:
        return "the host has no such address; it is taken up when it appears"
    return there[address]
