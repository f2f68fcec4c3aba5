"""Passes a packet through compiled chains, as the kernel does; for tests that need no kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from dockerv6.firewall.expr import Field, Verdict
from dockerv6.firewall.xtables.rule import (
    ICMP_TYPES,
    NOT,
    WILDCARD,
    ChainTarget,
    DnatTarget,
    MarkTarget,
    NetmapTarget,
    PlainTarget,
    SnatTarget,
    XtablesRule,
)
from tests.unit.firewall.packets import Fate, Packet, mapped

if TYPE_CHECKING:
    from dockerv6.firewall.iptables.compile import CompiledTable
    from dockerv6.firewall.xtables.rule import XtablesTarget

_VERDICTS = {
    PlainTarget.DROP: Verdict.DROP,
    PlainTarget.MASQUERADE: Verdict.MASQUERADE,
    PlainTarget.KEEP_SOURCE: Verdict.KEEP_SOURCE,
}


def through(tables: tuple[CompiledTable, ...], chain: str, packet: Packet) -> Fate:
    """The fate of a packet in the compiled base chain; a return to the built-in chain accepts it."""
    packet = replace(packet, fields=dict(packet.fields))
    for table in tables:
        for _, jump, origin in table.jumps:
            if origin == chain:
                chains = {each.name: each.rules for each in table.chains}
                return _step(chains, jump, packet) or Fate(Verdict.ACCEPT, packet)
    raise AssertionError(chain)


def rules_passed(tables: tuple[CompiledTable, ...], chain: str, packet: Packet) -> int:
    """The number of rules that are matched against the packet."""
    before = _matched[0]
    through(tables, chain, packet)
    return _matched[0] - before


_matched = [0]


def _walk(chains: dict[str, tuple[XtablesRule, ...]], name: str, packet: Packet) -> Fate | None:
    """The packet's fate in a chain; None: it returns."""
    for rule in chains[name]:
        if not matches(rule, packet):
            continue
        if rule.target is PlainTarget.RETURN or (isinstance(rule.target, ChainTarget) and not rule.target.jump):
            return _step(chains, rule, packet)
        fate = _step(chains, rule, packet)
        if fate is not None:
            return fate
    return None


def _step(chains: dict[str, tuple[XtablesRule, ...]], rule: XtablesRule, packet: Packet) -> Fate | None:
    target: XtablesTarget | None = rule.target
    match target:
        case ChainTarget(chain):
            return _walk(chains, chain, packet)
        case MarkTarget(value, mask):
            packet.mark = packet.mark & ~mask | value
        case DnatTarget(address, port):
            return Fate(Verdict.ACCEPT, packet, (f"{address}/128", str(port)))
        case SnatTarget(address):
            return Fate(Verdict.ACCEPT, packet, source=f"{address}/128")
        case NetmapTarget(prefix):
            # the kernel goes by the hook: only a chain for what leaves looks at sources
            return mapped(packet, Field.SADDR if rule.source else Field.DADDR, prefix)
        case PlainTarget() if target is not PlainTarget.RETURN:
            return Fate(_VERDICTS[target], packet)
    return None


def matches(rule: XtablesRule, packet: Packet) -> bool:
    """Whether the packet fulfils every condition of the rule."""
    _matched[0] += 1
    fields = packet.fields
    states = set(fields.get(Field.CT_STATE, "").upper().split(","))
    protocol = fields.get(Field.PROTOCOL, "")
    checks = (
        not rule.source
        or _inside(fields.get(Field.SADDR, ""), rule.source.removeprefix(NOT)) is not rule.source.startswith(NOT),
        not rule.destination or _inside(fields.get(Field.DADDR, ""), rule.destination),
        _named(rule.iif, fields.get(Field.IIF, "")),
        _named(rule.oif, fields.get(Field.OIF, "")),
        not rule.protocol or rule.protocol == protocol,
        rule.ports is None or rule.ports[0] <= int(fields.get(Field.DPORT, "-1")) <= rule.ports[1],
        rule.icmp_type is None or ICMP_TYPES.get(fields.get(Field.ICMP_TYPE, "")) == rule.icmp_type,
        not rule.mark or bool(packet.mark & rule.mark),
        not rule.states or bool(states & set(rule.states)),
        not rule.direction or fields.get(Field.CT_DIRECTION, "").upper() == rule.direction,
        not rule.translated or "dnat" in fields.get(Field.CT_STATUS, "").split(","),
        not rule.original or _inside(fields.get(Field.CT_ORIGINAL_DADDR, ""), rule.original),
        not rule.destination_type
        or (fields.get(Field.DADDR_TYPE) == "local") is not rule.destination_type.startswith(NOT),
    )
    return all(checks)


def _inside(address: str, prefix: str) -> bool:
    return bool(address) and IPv6Network(address).subnet_of(IPv6Network(prefix))


def _named(wanted: str, name: str) -> bool:
    if wanted.endswith(WILDCARD):
        return name.startswith(wanted.removesuffix(WILDCARD))
    return not wanted or wanted == name
