"""The state of our rules and of the host's own packet filter: accept rules, drift, findings.

Networks and policies use it alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.firewall.model import FlowProblem, PortIntent
from dockerv6.planning.docker.engine import ENGINE_RETRY
from dockerv6.planning.firewall.port_claims import bracketed, port_finding
from dockerv6.planning.host.interfaces import HostAddresses, host_addresses
from dockerv6.planning.inputs import HostView, Observed, RulesView
from dockerv6.planning.plan import Drift, Finding
from dockerv6.planning.steps import (
    AddAcceptRule,
    RemoveAcceptRule,
)

EXCLUDED_RETRY = 30.0
"""Seconds until rules that another owner's rules exclude are tried again."""


def rules_findings(rules: RulesView, owner: str, host: HostView) -> tuple[Finding, ...]:
    """Why an owner's rules, accept rules or published ports are not in effect."""
    return (*_table(rules, owner), *flow_findings(rules, owner), *_rival(rules), *_ports(rules, owner, host))


def rules_drift(observed: Observed, owner: str) -> tuple[Drift, ...]:
    """That others changed an owner's rules or the shared ones since they were in place."""
    changes = observed.rules.pending_changes(owner)
    if not observed.applied or observed.rules.intended or not changes:
        return ()
    return (Drift(modified_table(changes), ConditionType.FIREWALL_READY),)


def modified_table(changes: Sequence[str]) -> str:
    """The drift of our table in one line; a flushed table is dozens of changes.

    Args:
        changes: those that repair it, at least one.
    """
    count = f"{len(changes)} changes, first: " if len(changes) > 1 else ""
    return f"firewall: our table was modified; the repair is {count}{changes[0]}"


def _table(rules: RulesView, owner: str) -> tuple[Finding, ...]:
    if rules.problem:
        return (Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_UNAVAILABLE, rules.problem, retry=ENGINE_RETRY),)
    if refused := rules.refused.get(owner):
        return (refused_finding(refused),)
    if shared := rules.shared_networks.get(owner):
        return (_finding(Reason.NAME_CONFLICT, shared, retry=EXCLUDED_RETRY),)
    if overlapping := rules.overlapping.get(owner):
        return (_finding(Reason.SUBNET_OVERLAP, overlapping, retry=EXCLUDED_RETRY),)
    untranslated = rules.untranslated.get(owner)
    return (_finding(Reason.PREFIX_CONFLICT, untranslated),) if untranslated else ()


def refused_finding(why: str, *, blocks: bool = False) -> Finding:
    """The rules of a resource can't be in the kernel. ``blocks``: its Docker network can't be created without them."""
    return replace(_finding(Reason.RULES_REFUSED, why), blocks=blocks)


def _rival(rules: RulesView) -> tuple[Finding, ...]:
    if not rules.rival:
        return ()
    return (_finding(Reason.FOREIGN_RULES, rules.rival, unknown=True),)


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
    """Accept our marked flows in chains of the host's filter that drop them.

    Args:
        rules: our table and the host's filter.
        wanted: whether any network needs it; False: all accept rules are removed.
    """
    if rules.filter_problem:
        return ()
    drops, orphaned = rules.filter.forward_drops, rules.filter.orphaned
    if not wanted:
        return tuple(RemoveAcceptRule(each) for each in (*drops, *orphaned) if each.has_accept_rule)
    missing = tuple(AddAcceptRule(each) for each in drops if not each.has_accept_rule)
    return (*missing, *(RemoveAcceptRule(each) for each in orphaned))


def flow_findings(rules: RulesView, owner: str) -> tuple[Finding, ...]:
    """One finding for all flows of an owner that are dropped; if there are none, for those whose fate is unknown."""
    waiting = any(not each.has_accept_rule for each in rules.filter.forward_drops)  # for our own step
    problems = () if waiting else rules.flow_problems.get(owner, ())
    dropped = tuple(each for each in problems if each.certain)
    if dropped:
        return (_finding(Reason.FIREWALL_BLOCKED, _problems_text(dropped)),)
    if rules.filter_problem:
        message = (
            "whether the host's own filter drops packets is not known, because it can't be read"
            f" ({rules.filter_problem}); it is read again, and `dockerv6 doctor` shows what it finds"
        )
        # never read, such as without a capability, is no evidence at all
        reason = Reason.FIREWALL_UNKNOWN if rules.filter_read else Reason.FIREWALL_UNAVAILABLE
        return (_finding(reason, message, retry=EXCLUDED_RETRY, unknown=rules.filter_read),)
    if owner in rules.unfollowed:
        message = "the flows of this network have not been followed yet through the filters of the host"
        return (replace(_finding(Reason.FLOWS_NOT_FOLLOWED, message, unknown=True), waits=True),)
    if problems:
        return (_finding(Reason.FIREWALL_UNKNOWN, _problems_text(problems), unknown=True),)
    return ()


def _problems_text(problems: Iterable[FlowProblem]) -> str:
    """What is wrong, then the commands, each on a line of its own and once, then how to keep their effect."""
    listed = tuple(problems)
    wrong = "; ".join(each.message for each in listed)
    commands = dict.fromkeys(command for each in listed for command in each.commands)
    keeping = dict.fromkeys(each.keeping for each in listed if each.keeping)
    if not commands:
        return "; ".join((wrong, *keeping))
    return "\n".join((f"{wrong}; to let them pass, run:", *commands, *keeping))


def pending_addresses(ports: Iterable[PortIntent], host: HostView) -> tuple[Finding, ...]:
    """Ports that are bound to an address which the host does not have, or can't use yet.

    Their rules are in the table all the same: they check when a packet arrives whether the address is the host's.
    """
    bound = [(port, port.host_address) for port in ports if port.host_address is not None]
    if not bound or not host.interfaces:  # without interfaces, the host has not been observed
        return ()
    present = host_addresses(host)
    return tuple(
        port_finding(
            Reason.ADDRESS_PENDING, f"{port.protocol} port {port.port} on {bracketed(address)}: {why}", waiting=True
        )
        for port, address in bound
        if (why := _unusable_address(address, present))
    )


def _unusable_address(address: IPv6Address, present: HostAddresses) -> str:
    """Why the host does not receive packets for the address; "": it does."""
    if address.is_loopback or address.is_link_local:  # `host_addresses` has none of these
        return ""
    if address not in present:
        return "the host does not have this address; the port opens when it does"
    return f"the address can't be used: {present[address]}" if present[address] else ""


def _finding(reason: Reason, message: str, *, retry: float | None = None, unknown: bool = False) -> Finding:
    return Finding(ConditionType.FIREWALL_READY, reason, message, blocks=False, retry=retry, unknown=unknown)
