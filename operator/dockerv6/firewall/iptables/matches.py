"""Conditions of a rule, and lookups in sets as trees of chains, since xtables has no sets. Pure.

In a tree a packet passes dozens of rules, not thousands. A node with few elements is a plain list. A larger node sends
the packet by `goto` to the one child that can hold its element, chosen by the next bits of an address, the next
character of an interface name, a protocol, or a range of ports. The other children are skipped. Every node ends with
the target of a packet that isn't found.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address

from dockerv6.firewall.expr import Field, HasMark, Is, KeyType
from dockerv6.firewall.xtables.rule import (
    ICMP_TYPES,
    NOT,
    WILDCARD,
    ChainTarget,
    UnsupportedRuleError,
    XtablesRule,
    XtablesTarget,
)

LEAF = 8
"""A node with at most so many elements is a list."""

FEW = 2
"""A group of at most so many elements is listed in its parent's node."""

_BITS = 3
"""Bits of an address or a port that a level decides: up to eight children."""

_ANY = "::/0"

_PREFIXES = {Field.SADDR: "source", Field.DADDR: "destination", Field.CT_ORIGINAL_DADDR: "original"}
_LINKS = {Field.IIF: "iif", Field.OIF: "oif"}
_ORDER = (Field.PROTOCOL, Field.DPORT, Field.DADDR, Field.SADDR, Field.CT_ORIGINAL_DADDR, Field.OIF, Field.IIF)

_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED")
"""In the order in which ip6tables shows them."""

_NARROWING = ("source", "destination", "original", "iif", "oif", "protocol", "ports")
"""The conditions by which a tree divides its elements."""

Emit = Callable[[str, list[XtablesRule]], None]


def alternatives(rule: XtablesRule, term: Is | HasMark) -> Iterator[XtablesRule]:
    """The rule with a further condition: one rule for each value of the term; none where it is never true.

    Raises:
        UnsupportedRuleError: xtables has no such condition.
    """
    if isinstance(term, HasMark):
        yield replace(rule, mark=term.bits)
        return
    if term.field is Field.FAMILY:
        if ("ipv6" in term.values) is not term.negate:
            yield rule
        return
    if term.negate and len(term.values) == 1:
        (value,) = term.values
        if term.field is Field.SADDR and not rule.source:
            yield replace(rule, source=f"{NOT}{value}")
            return
        if (term.field, value) == (Field.DADDR_TYPE, "local"):
            yield replace(rule, destination_type=f"{NOT}LOCAL")
            return
    write = _CONDITIONS_BY_FIELD.get(term.field)
    if write is None or term.negate:
        raise UnsupportedRuleError(f"xtables can't match on {term}; for link kinds, the intent has to name the bridges")
    yield from write(rule, sorted(term.values))


def _icmp(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(rule, protocol="ipv6-icmp", icmp_type=ICMP_TYPES[value])


def _states(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    yield replace(rule, states=tuple(state for state in _STATES if state.lower() in values))


def _direction(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(rule, direction=value.upper())


def _status(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    if values != ["dnat"]:
        raise UnsupportedRuleError(f"xtables can't match on ct status {','.join(values)}")
    yield replace(rule, translated=True)


def _local(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    if values != ["local"]:
        raise UnsupportedRuleError(f"xtables can't match on fib daddr type {','.join(values)}")
    yield replace(rule, destination_type="LOCAL")


def _source(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(rule, source=with_length(value))


def _destination(rule: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(rule, destination=with_length(value))


def with_length(prefix: str) -> str:
    """The prefix with its length, which a ruleset leaves out of a single address."""
    return prefix if "/" in prefix else f"{prefix}/128"


_CONDITIONS_BY_FIELD: dict[Field, Callable[[XtablesRule, list[str]], Iterator[XtablesRule]]] = {
    Field.ICMP_TYPE: _icmp,
    Field.CT_STATE: _states,
    Field.CT_DIRECTION: _direction,
    Field.CT_STATUS: _status,
    Field.DADDR_TYPE: _local,
    Field.SADDR: _source,
    Field.DADDR: _destination,
}


@dataclass(frozen=True, slots=True)
class LookupElement:
    """An element's key, and the target of a packet with these values."""

    key: tuple[str, ...]
    target: XtablesTarget


def matching(rule: XtablesRule, fields: Sequence[Field], key: tuple[str, ...]) -> XtablesRule:
    """The rule with the further condition that the fields have these values.

    Raises:
        UnsupportedRuleError: the rule has a condition on such a field already, or xtables has none for it.
    """
    found: dict[str, str | tuple[int, int]] = {}
    for field, part in zip(fields, key, strict=True):
        if field in _PREFIXES:
            if part != _ANY:
                found[_PREFIXES[field]] = part
        elif field in _LINKS:
            found[_LINKS[field]] = part
        elif field is Field.PROTOCOL:
            found["protocol"] = part
        elif field is Field.DPORT:
            found["ports"] = (int(part), int(part))
        else:
            raise UnsupportedRuleError(f"xtables can't look up {field} in a list")
    for name in found:
        if getattr(rule, name):
            raise UnsupportedRuleError(f"a rule can't have two conditions on {name}")
    return replace(rule, **found)  # type: ignore[arg-type] # the names and their types go together


_Groups = list[tuple[XtablesRule | None, list[LookupElement]]]
"""Elements by the condition that they share; None: none."""


@dataclass(frozen=True, slots=True)
class LookupTree:
    """One lookup, written into chains by `emit`.

    Attributes:
        miss: the target of a packet that no element matches; None: it returns.
    """

    fields: tuple[Field, ...]
    kinds: tuple[KeyType, ...]
    miss: XtablesTarget | None
    emit: Emit
    _taken: dict[str, str] = dataclasses.field(default_factory=dict)

    def write(self, name: str, entries: Sequence[LookupElement]) -> None:
        """Emit the chain `name` and those below it."""
        self._node(name, name, sorted(entries, key=lambda each: each.key), XtablesRule())

    def _node(self, root: str, name: str, entries: list[LookupElement], known: XtablesRule) -> None:
        """Emit a node. `known`: conditions that a packet here fulfils; chains are named by them, not by their level."""
        rules: list[XtablesRule] = []
        groups = self._split(entries) if len(entries) > LEAF else None
        if groups is None:
            rules.extend(self._leaf(each) for each in entries)
        else:
            for condition, members in groups:
                if condition is None or len(members) <= FEW:
                    rules.extend(self._leaf(each) for each in members)
                    continue
                below = _narrowed(known, condition)
                child = self._child(root, str(below))
                rules.append(replace(condition, target=ChainTarget(child)))
                self._node(root, child, members, below)
        if self.miss is not None:
            rules.append(XtablesRule(self.miss))
        self.emit(name, rules)

    def _child(self, root: str, known: str) -> str:
        """A name that depends on the conditions only, so that other elements don't change it."""
        salt = known
        while True:
            name = f"{root}-{hashlib.blake2b(salt.encode(errors='surrogateescape'), digest_size=3).hexdigest()}"
            if self._taken.setdefault(name, known) == known:
                return name
            salt += "\n"

    def _leaf(self, entry: LookupElement) -> XtablesRule:
        return _leaf(entry.target, self.fields, entry.key)

    def _split(self, entries: list[LookupElement]) -> _Groups | None:
        """The partition whose largest part is smallest; None: no field divides the elements."""
        best: _Groups | None = None
        for field in _ORDER:
            if field not in self.fields:
                continue
            found = self._split_by(field, self.fields.index(field), entries)
            if found is not None and (best is None or _largest(found) < _largest(best)):
                best = found
        return best

    def _split_by(self, field: Field, index: int, entries: list[LookupElement]) -> _Groups | None:
        if field is Field.PROTOCOL:
            found = _grouped(entries, lambda each: each.key[index])
            return [(XtablesRule(protocol=name), members) for name, members in found] if len(found) > 1 else None
        if field is Field.DPORT:
            return self._by_port(index, entries)
        if field in _LINKS:
            return _by_name(_LINKS[field], index, entries)
        return _by_address(_PREFIXES[field], index, entries)

    def _by_port(self, index: int, entries: list[LookupElement]) -> _Groups | None:
        protocols = {each.key[self.fields.index(Field.PROTOCOL)] for each in entries}
        ports = sorted({int(each.key[index]) for each in entries})
        if len(protocols) != 1 or len(ports) == 1:
            return None
        (protocol,) = protocols
        bits = max(0, (ports[0] ^ ports[-1]).bit_length() - _BITS)
        found: dict[int, list[LookupElement]] = {}
        for each in entries:
            found.setdefault(int(each.key[index]) >> bits, []).append(each)
        return [
            (XtablesRule(protocol=protocol, ports=(block << bits, ((block + 1) << bits) - 1)), found[block])
            for block in sorted(found)
        ]


def _narrowed(known: XtablesRule, condition: XtablesRule) -> XtablesRule:
    found = {name: value for name in _NARROWING if (value := getattr(condition, name))}
    return replace(known, **found)


@lru_cache(maxsize=32768)
def _leaf(target: XtablesTarget, fields: tuple[Field, ...], key: tuple[str, ...]) -> XtablesRule:
    """Cached, since a change of one element compiles all."""
    return matching(XtablesRule(target), fields, key)


def _by_name(option: str, index: int, entries: list[LookupElement]) -> _Groups | None:
    names = sorted({each.key[index] for each in entries})
    if len(names) == 1:
        return None
    common = _common(names[0], names[-1])
    exact = [each for each in entries if each.key[index] == common]
    longer = _grouped(
        [each for each in entries if each.key[index] != common], lambda each: each.key[index][: len(common) + 1]
    )
    conditions = [(_named(option, prefix, members, index), members) for prefix, members in longer]
    return [(XtablesRule(**{option: common}), exact), *conditions] if exact else [*conditions]  # type: ignore[arg-type]


def _named(option: str, prefix: str, members: list[LookupElement], index: int) -> XtablesRule:
    alone = {each.key[index] for each in members}
    return XtablesRule(**{option: next(iter(alone)) if len(alone) == 1 else prefix + WILDCARD})  # type: ignore[arg-type]


def _by_address(option: str, index: int, entries: list[LookupElement]) -> _Groups | None:
    ranges = [_number(each.key[index]) for each in entries]
    length = min(length for _, length in ranges)
    low, high = min(number for number, _ in ranges), max(number for number, _ in ranges)
    length = min(length, 128 - (low ^ high).bit_length())
    below = length + _BITS
    here = [each for each, (_, own) in zip(entries, ranges, strict=True) if own < below]
    deeper: dict[int, list[LookupElement]] = {}
    for each, (number, own) in zip(entries, ranges, strict=True):
        if own >= below:
            deeper.setdefault(number >> (128 - below), []).append(each)
    if not deeper or len(deeper) + bool(here) == 1:
        return None
    found: _Groups = [(None, here)] if here else []
    for start in sorted(deeper):
        prefix = f"{IPv6Address(start << (128 - below))}/{below}"
        found.append((XtablesRule(**{option: prefix}), deeper[start]))  # type: ignore[arg-type]
    return found


@lru_cache(maxsize=65536)
def _number(prefix: str) -> tuple[int, int]:
    address, _, length = prefix.partition("/")
    try:
        return int(IPv6Address(address)), int(length)
    except ValueError as error:
        raise UnsupportedRuleError(f"{prefix} is not a prefix") from error


def _common(first: str, last: str) -> str:
    """The common beginning of two names, and so of all that are sorted between them."""
    for at, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:at]
    return min(first, last, key=len)


def _grouped(
    entries: list[LookupElement], key: Callable[[LookupElement], str]
) -> list[tuple[str, list[LookupElement]]]:
    found: dict[str, list[LookupElement]] = {}
    for each in entries:
        found.setdefault(key(each), []).append(each)
    return sorted(found.items())


def _largest(groups: _Groups) -> int:
    return max(len(members) for _, members in groups)
