"""A rule of a legacy table, run on a packet of which not everything is known; the base chains of such a table. Pure."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.walk.bits import Answer, Bits, every, exact, negated
from dockerv6.firewall.walk.chains import Action, BaseChain, FilterTable, RuleOutcome, Surroundings, WalkRule
from dockerv6.firewall.walk.extensions import run_match, run_target
from dockerv6.firewall.walk.loads import name as name_bits
from dockerv6.firewall.walk.packet import Link, Packet
from dockerv6.firewall.xtables.entries import HEAD, OFFSETS, OFFSETS_AT, TARGET_HEAD
from dockerv6.firewall.xtables.rule import ChainTarget, ExtensionTarget, ListedRule, PlainTarget, XtablesChain

FAMILY = "ip6"
HOOKS = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
TABLES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
"""Legacy tables with the priorities of their hooks (linux/netfilter_ipv6.h)."""

_IP6 = struct.Struct("=16s16s16s16s16s16s16s16sHBBB3x")
_INVERT_IN, _INVERT_OUT, _INVERT_SOURCE, _INVERT_DESTINATION, _INVERT_PROTOCOL = 0x01, 0x02, 0x08, 0x10, 0x40
_HAS_PROTOCOL = 0x01  # IP6T_F_PROTO
_PLAIN = {PlainTarget.ACCEPT: Action.ACCEPT, PlainTarget.DROP: Action.DROP, PlainTarget.RETURN: Action.RETURN}


@dataclass(frozen=True)
class LegacyWalkRule:
    """A rule, with its entry (`struct ip6t_entry`)."""

    listed: ListedRule

    @cached_property
    def text(self) -> str:
        """As ip6tables-save shows it."""
        return str(self.listed)

    def run(self, packet: Packet, around: Surroundings) -> Sequence[RuleOutcome]:
        """Every possible result."""
        doubt = ""
        for answer, what in self._matches(packet, around):
            if answer is False:
                return (RuleOutcome(Action.CONTINUE, packet),)
            if answer is None:
                doubt = what
        results = tuple(self._target(packet, around, doubt))
        return (*results, RuleOutcome(Action.CONTINUE, packet, doubt=doubt)) if doubt else results

    def _matches(self, packet: Packet, around: Surroundings) -> Iterator[tuple[Answer, str]]:
        entry = self.listed.entry
        yield _header(entry, packet, around), "an address"
        target_at, _ = OFFSETS.unpack_from(entry, OFFSETS_AT)
        at = HEAD
        while at + TARGET_HEAD.size <= target_at:
            size, raw, revision = TARGET_HEAD.unpack_from(entry, at)
            if size < TARGET_HEAD.size:
                yield None, "a match"
                return
            name = _name(raw)
            yield run_match(name, revision, entry[at + TARGET_HEAD.size : at + size], packet, around), f"-m {name}"
            at += size

    def _target(self, packet: Packet, around: Surroundings, doubt: str) -> Iterator[RuleOutcome]:
        match self.listed.rule.target:
            case None:
                yield RuleOutcome(Action.CONTINUE, packet, doubt=doubt)
            case ChainTarget(chain, jump):
                yield RuleOutcome(Action.JUMP if jump else Action.GOTO, packet, chain, doubt)
            case PlainTarget() as plain if plain in _PLAIN:
                yield RuleOutcome(_PLAIN[plain], packet, doubt=doubt)
            case ExtensionTarget("QUEUE"):
                yield RuleOutcome(Action.LOST, packet, doubt="-j QUEUE")
            case _:
                entry = self.listed.entry
                at, _ = OFFSETS.unpack_from(entry, OFFSETS_AT)
                size, raw, revision = TARGET_HEAD.unpack_from(entry, at)
                data = entry[at + TARGET_HEAD.size : at + size]
                for each in run_target(_name(raw), revision, data, packet, around):
                    yield RuleOutcome(each.action, each.packet, each.chain, each.doubt or doubt)


def base_chains(
    table: str, chains: Mapping[str, XtablesChain], before: Mapping[str, Sequence[WalkRule]]
) -> Iterator[BaseChain]:
    """The base chains of a legacy table. `before`: its rules as they were; equal chains are the same objects."""
    rules: dict[str, Sequence[WalkRule]] = {}
    for name, chain in chains.items():
        listed = tuple(LegacyWalkRule(each) for each in chain.rules)
        rules[name] = before[name] if before.get(name) == listed else listed
    shown = FilterTable(FilterVariant.XTABLES_LEGACY, FAMILY, table, rules)
    for name, chain in chains.items():
        if name in HOOKS:
            yield BaseChain(
                shown, name, name.lower(), TABLES[table], drops=chain.policy == "DROP", translates=table == "nat"
            )


def _header(entry: bytes, packet: Packet, around: Surroundings) -> Answer:
    """The conditions of every entry, as ip6_packet_match has them."""
    source, destination, source_mask, destination_mask, in_name, out_name, in_mask, out_mask, *rest = _IP6.unpack_from(
        entry
    )
    protocol, _, flags, inverted = rest
    for mask, address in ((source_mask, source), (destination_mask, destination)):
        if any(mask):
            around.reliance.name(address)
    return every(
        _protocol(protocol, packet, flags, inverted),
        _link(packet.iif, in_name, in_mask, bool(inverted & _INVERT_IN)),
        _link(packet.oif, out_name, out_mask, bool(inverted & _INVERT_OUT)),
        _address(packet.source, source, source_mask, bool(inverted & _INVERT_SOURCE)),
        _address(packet.destination, destination, destination_mask, bool(inverted & _INVERT_DESTINATION)),
    )


def _protocol(protocol: int, packet: Packet, flags: int, inverted: int) -> bool:
    if not flags & _HAS_PROTOCOL:
        return True
    if protocol == packet.protocol:
        return not inverted & _INVERT_PROTOCOL
    return not protocol or bool(inverted & _INVERT_PROTOCOL)


def _link(link: Link | None, name: bytes, mask: bytes, invert: bool) -> Answer:  # noqa: FBT001 - a flag of the entry
    there = name_bits(link.name) if link is not None else exact(bytes(len(name)))
    return negated(there.masked(mask, b"").equals(_and(name, mask)), invert)


def _address(address: Bits, wanted: bytes, mask: bytes, invert: bool) -> Answer:  # noqa: FBT001 - a flag of the entry
    return negated(address.masked(mask, b"").equals(_and(wanted, mask)), invert)


def _and(value: bytes, mask: bytes) -> bytes:
    return bytes(a & b for a, b in zip(value, mask, strict=True))


def _name(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")
