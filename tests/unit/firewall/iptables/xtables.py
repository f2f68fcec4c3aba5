"""A packet's way through chains of xtables, as the kernel walks them; for proofs that need no kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from dockerv6.firewall.expr import Field, Verdict
from dockerv6.firewall.xtables.rule import (
    ICMP_TYPES,
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
    """The fate of a packet in what a ruleset's base chain has become; to come back to the built-in chain is to pass."""
    packet = replace(packet, fields=dict(packet.fields))
    for table in tables:
        for _, jump, origin in table.jumps:
            if origin == chain:
                chains = {each.name: each.rules for each in table.chains}
                return _step(chains, jump, packet) or Fate(Verdict.ACCEPT, packet)
    raise AssertionError(chain)


def rules_passed(tables: tuple[CompiledTable, ...], chain: str, packet: Packet) -> int:
    """How many rules look at the packet on its way."""
    before = _looked[0]
    through(tables, chain, packet)
    return _looked[0] - before


_looked = [0]


def _walk(chains: dict[str, tuple[XtablesRule, ...]], name: str, packet: Packet) -> Fate | None:
    """None: back to whoever jumped here."""
    for spec in chains[name]:
        if not matches(spec, packet):
            continue
        if spec.target is PlainTarget.RETURN or (isinstance(spec.target, ChainTarget) and not spec.target.jump):
            return _step(chains, spec, packet)
        fate = _step(chains, spec, packet)
        if fate is not None:
            return fate
    return None


def _step(chains: dict[str, tuple[XtablesRule, ...]], spec: XtablesRule, packet: Packet) -> Fate | None:
    target: XtablesTarget | None = spec.target
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
            return mapped(packet, Field.SADDR if spec.source else Field.DADDR, prefix)
        case PlainTarget() if target is not PlainTarget.RETURN:
            return Fate(_VERDICTS[target], packet)
    return None


def matches(spec: XtablesRule, packet: Packet) -> bool:
    """Whether the packet fulfils every condition."""
    _looked[0] += 1
    fields = packet.fields
    states = set(fields.get(Field.CT_STATE, "").upper().split(","))
    protocol = fields.get(Field.PROTOCOL, "")
    checks = (
        not spec.source
        or _inside(fields.get(Field.SADDR, ""), spec.source.removeprefix("!")) is not spec.source.startswith("!"),
        not spec.destination or _inside(fields.get(Field.DADDR, ""), spec.destination),
        _named(spec.iif, fields.get(Field.IIF, "")),
        _named(spec.oif, fields.get(Field.OIF, "")),
        not spec.protocol or spec.protocol == protocol,
        spec.ports is None or spec.ports[0] <= int(fields.get(Field.DPORT, "-1")) <= spec.ports[1],
        spec.icmp_type is None or ICMP_TYPES.get(fields.get(Field.ICMP_TYPE, "")) == spec.icmp_type,
        not spec.mark or bool(packet.mark & spec.mark),
        not spec.states or bool(states & set(spec.states)),
        not spec.direction or fields.get(Field.CT_DIRECTION, "").upper() == spec.direction,
        not spec.translated or "dnat" in fields.get(Field.CT_STATUS, "").split(","),
        not spec.original or _inside(fields.get(Field.CT_ORIGINAL_DADDR, ""), spec.original),
        not spec.destination_type
        or (fields.get(Field.DADDR_TYPE) == "local") is not spec.destination_type.startswith("!"),
    )
    return all(checks)


def _inside(address: str, prefix: str) -> bool:
    return bool(address) and IPv6Network(address).subnet_of(IPv6Network(prefix))


def _named(wanted: str, name: str) -> bool:
    if wanted.endswith(WILDCARD):
        return name.startswith(wanted.removesuffix(WILDCARD))
    return not wanted or wanted == name
