"""A packet's way through a ruleset, judged by the meaning of each term; for proofs that need no kernel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from dockerv6.firewall.expr import (
    Chain,
    ClearMark,
    Dnat,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    MapField,
    Netmap,
    SetField,
    SetMark,
    Snat,
    Term,
    Verdict,
)

if TYPE_CHECKING:
    from dockerv6.firewall.expr import Element
    from dockerv6.firewall.ruleset import Ruleset


@dataclass
class Packet:
    """Its fields, each with the values that it has (connection states and statuses are several), and its mark."""

    fields: dict[Field, str] = field(default_factory=dict)
    mark: int = 0

    def having(self, **fields: str) -> Packet:
        """The same with other values, by the fields' names in lower case."""
        return replace(self, fields={**self.fields, **{Field[name.upper()]: value for name, value in fields.items()}})


@dataclass(frozen=True)
class Fate:
    """What a base chain made of a packet."""

    verdict: Verdict
    packet: Packet
    target: tuple[str, str] | None = None  # its destination is translated to this address and port; no port: as it was
    source: str | None = None  # its source is translated to this address


def through(ruleset: Ruleset, chain: str, packet: Packet) -> Fate:
    """The fate of a packet in a base chain, whose policy is to accept."""
    found = ruleset.chain(chain)
    assert found is not None
    packet = replace(packet, fields=dict(packet.fields))
    return _walk(ruleset, found, packet) or Fate(Verdict.ACCEPT, packet)


def _walk(ruleset: Ruleset, chain: Chain, packet: Packet) -> Fate | None:
    """None: the chain's end was reached. What was done to the packet by then is in `packet`."""
    for rule in chain.rules:
        for term in rule.terms:
            if isinstance(term, Jump):
                into = ruleset.chain(term.chain)
                assert into is not None
                fate = _walk(ruleset, into, packet)
            elif isinstance(term, Verdict | Dnat | Snat | Netmap):
                fate = _decided(ruleset, term, packet)
                if fate is None:
                    break
            elif not _holds(ruleset, term, packet):
                break
            else:
                continue
            if fate is not None:
                return fate
    return None


def _decided(ruleset: Ruleset, term: Verdict | Dnat | Snat | Netmap, packet: Packet) -> Fate | None:
    """None: a map has nothing for the packet."""
    match term:
        case Verdict():
            return Fate(term, packet)
        case Netmap(of, to):
            return mapped(packet, of, to)
        case Snat(fields, name):
            source = _look_up(ruleset, name, fields, packet)
            return Fate(Verdict.ACCEPT, packet, source=source.value) if source is not None else None
        case Dnat(fields, addresses, ports):
            address, port = (_look_up(ruleset, name, fields, packet) for name in (addresses, ports))
            if address is None or port is None:
                return None
            return Fate(Verdict.ACCEPT, packet, (address.value, port.value))


def mapped(packet: Packet, of: Field, to: str) -> Fate:
    """The fate of a packet whose prefix is exchanged: what is behind it stays."""
    prefix = IPv6Network(to)
    host = int(IPv6Address(packet.fields[of])) & int(prefix.hostmask)
    address = f"{IPv6Address(int(prefix.network_address) | host)}/128"
    if of is Field.SADDR:
        return Fate(Verdict.ACCEPT, packet, source=address)
    return Fate(Verdict.ACCEPT, packet, (address, ""))


def _holds(ruleset: Ruleset, term: Term, packet: Packet) -> bool:
    match term:
        case In(fields, name, negate):
            return (_look_up(ruleset, name, fields, packet) is not None) is not negate
        case Is(Field.IIF_KIND | Field.OIF_KIND as name) if not packet.fields.get(name):
            return False  # the kernel ends the rule for a link without a kind, such as a physical one
        case Is(name, values, negate):
            there = set(packet.fields.get(name, "").split(","))
            return any(_matches(value, each) for value in values for each in there) is not negate
        case HasMark(bits):
            return bool(packet.mark & bits)
        case SetMark(bits):
            packet.mark |= bits
        case ClearMark(bits):
            packet.mark &= ~bits
        case SetField(name, value):
            packet.fields[name] = value
        case MapField(name, fields, table):
            element = _look_up(ruleset, table, fields, packet)
            if element is None:
                return False
            packet.fields[name] = element.value.removesuffix("/128")
        case _:
            raise AssertionError(term)
    return True


def _look_up(ruleset: Ruleset, name: str, fields: tuple[Field, ...], packet: Packet) -> Element | None:
    found = ruleset.set(name)
    assert found is not None
    values = [packet.fields.get(each, "") for each in fields]
    matching = [e for e in found.elements if all(_matches(part, v) for part, v in zip(e.key, values, strict=True))]
    assert len(matching) < 2, "the kernel refuses elements that overlap"
    return matching[0] if matching else None


def _matches(part: str, value: str) -> bool:
    if "/" in part and value:
        return IPv6Network(value).subnet_of(IPv6Network(part))
    return part == value
