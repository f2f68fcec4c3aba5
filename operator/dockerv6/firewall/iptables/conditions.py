"""What a rule asks of a packet, but for what it looks up, in xtables' words. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from dockerv6.firewall.expr import Field, HasMark, Is
from dockerv6.firewall.xtables.rule import ICMP_TYPES, UnsupportedRuleError, XtablesRule

_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED")
"""In the order in which ip6tables shows them."""


def alternatives(spec: XtablesRule, term: Is | HasMark) -> Iterator[XtablesRule]:
    """The alternatives that the term makes of a spec: one for each value; none where it is never true."""
    if isinstance(term, HasMark):
        yield replace(spec, mark=term.bits)
        return
    if term.field is Field.FAMILY:
        if ("ipv6" in term.values) is not term.negate:
            yield spec
        return
    if term.negate and len(term.values) == 1:
        (value,) = term.values
        if term.field is Field.SADDR and not spec.not_source:
            yield replace(spec, not_source=value)
            return
        if (term.field, value) == (Field.DADDR_TYPE, "local"):
            yield replace(spec, not_local=True)
            return
    saying = _SAYINGS.get(term.field)
    if saying is None or term.negate:
        raise UnsupportedRuleError(f"no rule can say: {term}; for links' kinds, the bridges have to be named")
    yield from saying(spec, sorted(term.values))


def _icmp(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(spec, protocol="ipv6-icmp", icmp_type=ICMP_TYPES[value])


def _states(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    yield replace(spec, states=tuple(state for state in _STATES if state.lower() in values))


def _direction(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(spec, direction=value.upper())


def _status(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    if values != ["dnat"]:
        raise UnsupportedRuleError(f"no rule can say: ct status {','.join(values)}")
    yield replace(spec, translated=True)


def _local(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    if values != ["local"]:
        raise UnsupportedRuleError(f"no rule can say: fib daddr type {','.join(values)}")
    yield replace(spec, local=True)


def _source(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(spec, source=whole(value))


def _destination(spec: XtablesRule, values: list[str]) -> Iterator[XtablesRule]:
    for value in values:
        yield replace(spec, destination=whole(value))


def whole(prefix: str) -> str:
    """With its length, which rules leave out of a single address's."""
    return prefix if "/" in prefix else f"{prefix}/128"


_SAYINGS: dict[Field, Callable[[XtablesRule, list[str]], Iterator[XtablesRule]]] = {
    Field.ICMP_TYPE: _icmp,
    Field.CT_STATE: _states,
    Field.CT_DIRECTION: _direction,
    Field.CT_STATUS: _status,
    Field.DADDR_TYPE: _local,
    Field.SADDR: _source,
    Field.DADDR: _destination,
}
