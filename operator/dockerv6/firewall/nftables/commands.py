"""Operations as commands in nftables' JSON (libnftables-json(5)). Only for writing: see `reader` for the way back."""

from collections.abc import Iterable, Sequence

from dockerv6.firewall.expr import (
    Chain,
    ClearMark,
    Dnat,
    Element,
    ElementSet,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    KeyType,
    MapField,
    Netmap,
    Rule,
    SetField,
    SetMark,
    Snat,
    Term,
    UnknownExpr,
    Verdict,
)
from dockerv6.firewall.nftables.library import Json, JsonObject
from dockerv6.firewall.operations import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteTable,
    FlushChain,
    Operation,
    RemoveElements,
)

FAMILY = "inet"
TABLE = "dockerv6"
TABLE_COMMENT = "dockerv6: made and repaired by the dockerv6 operator; edits are undone"
DIGEST_MARK = " #"
"""Between a rule's comment, or its owner, and its digest."""

DELETE_TABLE: JsonObject = {"delete": {"table": {"family": FAMILY, "name": TABLE}}}

_HERE: JsonObject = {"family": FAMILY, "table": TABLE}
_ADDRESS_BITS = 128
_MARK_BITS = 0xFFFFFFFF
_MARK: JsonObject = {"meta": {"key": "mark"}}
_FIELDS: dict[Field, JsonObject] = {
    Field.FAMILY: {"meta": {"key": "nfproto"}},
    Field.SADDR: {"payload": {"protocol": "ip6", "field": "saddr"}},
    Field.DADDR: {"payload": {"protocol": "ip6", "field": "daddr"}},
    Field.IIF: {"meta": {"key": "iifname"}},
    Field.OIF: {"meta": {"key": "oifname"}},
    Field.IIF_KIND: {"meta": {"key": "iifkind"}},
    Field.OIF_KIND: {"meta": {"key": "oifkind"}},
    Field.CT_STATE: {"ct": {"key": "state"}},
    Field.CT_STATUS: {"ct": {"key": "status"}},
    Field.CT_DIRECTION: {"ct": {"key": "direction"}},
    Field.CT_ORIGINAL_DADDR: {"ct": {"key": "ip6 daddr", "dir": "original"}},
    Field.DADDR_TYPE: {"fib": {"result": "type", "flags": ["daddr"]}},
    Field.PROTOCOL: {"meta": {"key": "l4proto"}},
    Field.DPORT: {"payload": {"protocol": "th", "field": "dport"}},
    Field.ICMP_TYPE: {"payload": {"protocol": "icmpv6", "field": "type"}},
}
_BIT_FIELDS = frozenset({Field.CT_STATE, Field.CT_STATUS})
"""Fields that are bits; the operator "in" matches if any of the bits is set."""

_VERDICTS: dict[Verdict, JsonObject] = {
    Verdict.ACCEPT: {"accept": None},
    Verdict.DROP: {"drop": None},
    Verdict.MASQUERADE: {"masquerade": None},
    Verdict.KEEP_SOURCE: {"snat": {"family": "ip6", "addr": _FIELDS[Field.SADDR]}},
}
_NETMAPS = {Field.SADDR: "snat", Field.DADDR: "dnat"}


def commands(operations: Iterable[Operation]) -> list[JsonObject]:
    """The operations as commands of one transaction.

    They are "create" where "add" would do as well: the kernel refuses to create what exists already, so a change that
    no longer fits the table fails as a whole instead of, say, filling a chain twice.
    """
    return [command for operation in operations for command in _commands(operation)]


def _commands(operation: Operation) -> list[JsonObject]:  # noqa: PLR0911 - one return an operation
    match operation:
        case AddTable():
            # nft 1.0.6 ignores the comment in JSON
            return [{"create": {"table": {"family": FAMILY, "name": TABLE, "comment": TABLE_COMMENT}}}]
        case DeleteTable():
            return [DELETE_TABLE]
        case AddSet(each):
            return [{"create": {"map" if each.data else "set": _set(each)}}]
        case AddElements(each, elements):
            return [{"create": {"element": _in_set(each, [_element(element, each) for element in elements])}}]
        case RemoveElements(each, elements):
            return [{"delete": {"element": _in_set(each, [_key(element, each) for element in elements])}}]
        case AddChain(chain):
            return [{"create": {"chain": _chain(chain)}}]
        case AddRules(chain):
            return [{"add": {"rule": _rule(chain.name, rule)}} for rule in chain.rules]
        case FlushChain(name):
            return [{"flush": {"chain": {**_HERE, "name": name}}}]
        case DeleteChain(name):
            return [{"delete": {"chain": {**_HERE, "name": name}}}]


# ---- sets ----


def _set(each: ElementSet) -> JsonObject:
    key: Json = [part.value for part in each.key] if len(each.key) > 1 else each.key[0].value
    data: JsonObject = {"map": each.data.value} if each.data else {}
    flags: JsonObject = {"flags": ["interval"]} if each.interval else {}
    return {**_HERE, "name": each.name, "type": key, **data, **flags}


def _in_set(each: ElementSet, elements: list[Json]) -> JsonObject:
    return {**_HERE, "name": each.name, "elem": elements}


def _element(element: Element, of: ElementSet) -> Json:
    """An element to add, with its owner as comment and a map's value."""
    key = _key(element, of)
    owned: Json = {"elem": {"val": key, "comment": element.owner}} if element.owner else key
    return owned if of.data is None else [owned, _part(element.value, of.data)]


def _key(element: Element, of: ElementSet) -> Json:
    """What deletes an element, of a map as much as of a set."""
    return _concatenated([_part(part, kind) for part, kind in zip(element.key, of.key, strict=True)])


def _part(part: str, kind: KeyType) -> Json:
    if kind is KeyType.PREFIX:
        first, _, last = part.partition("-")
        return {"range": [first, last]} if last else _prefix(part)
    return int(part) if part.isdecimal() and kind is KeyType.PORT else part


def _prefix(text: str) -> Json:
    """A prefix, or an address with or without its length."""
    address, _, length = text.partition("/")
    if not length or int(length) == _ADDRESS_BITS:
        return address
    return {"prefix": {"addr": address, "len": int(length)}}


def _concatenated(parts: Sequence[Json]) -> Json:
    return {"concat": parts} if len(parts) > 1 else parts[0]


# ---- chains and rules ----


def _chain(chain: Chain) -> JsonObject:
    base: JsonObject = (
        {"type": chain.type, "hook": chain.hook, "prio": chain.priority, "policy": chain.policy} if chain.hook else {}
    )
    return {**_HERE, "name": chain.name, **base}


def _rule(chain: str, rule: Rule) -> JsonObject:
    comment = f"{rule.owner or rule.comment}{DIGEST_MARK}{rule.digest}"
    return {**_HERE, "chain": chain, "comment": comment, "expr": [_term(term) for term in rule.terms]}


def _term(term: Term) -> Json:
    """The term as an expression.

    Raises:
        ValueError: it is of a rule that was read, not rendered.
    """
    match term:
        case In(fields, name, negate):
            return {"match": {"op": "!=" if negate else "==", "left": _fields(fields), "right": f"@{name}"}}
        case Is(field, values, negate):
            return _is(field, sorted(values), negate=negate)
        case HasMark(bits):
            return {"match": {"op": "!=", "left": {"&": [_MARK, bits]}, "right": 0}}
        case Verdict():
            return _VERDICTS[term]
        case Jump(chain):
            return {"jump": {"target": chain}}
        case UnknownExpr(text):
            raise ValueError(f"a rule of unknown content can't be written: {text}")
        case _:
            return _statement(term)


def _statement(term: SetMark | ClearMark | Dnat | Snat | Netmap | SetField | MapField) -> Json:
    """A term that changes the packet, or sets up its translation."""
    match term:
        case SetMark(bits):
            return {"mangle": {"key": _MARK, "value": {"|": [_MARK, bits]}}}
        case ClearMark(bits):
            return {"mangle": {"key": _MARK, "value": {"&": [_MARK, _MARK_BITS ^ bits]}}}
        case SetField(field, value):
            return {"mangle": {"key": _FIELDS[field], "value": value}}
        case MapField(field, fields, name):
            return {"mangle": {"key": _FIELDS[field], "value": _lookup(fields, name)}}
        case Dnat() | Snat() | Netmap():
            return _translation(term)


def _translation(term: Dnat | Snat | Netmap) -> Json:
    match term:
        case Dnat(fields, addresses, ports):
            return {"dnat": {"family": "ip6", "addr": _lookup(fields, addresses), "port": _lookup(fields, ports)}}
        case Snat(fields, name):
            return {"snat": {"family": "ip6", "addr": _lookup(fields, name)}}
        case Netmap(field, to):
            prefix: JsonObject = {"family": "ip6", "addr": _prefix(to), "flags": "netmap", "type_flags": "prefix"}
            return {_NETMAPS[field]: prefix}


def _fields(fields: tuple[Field, ...]) -> Json:
    return _concatenated([_FIELDS[each] for each in fields])


def _lookup(fields: tuple[Field, ...], name: str) -> Json:
    return {"map": {"key": _fields(fields), "data": f"@{name}"}}


def _is(field: Field, values: list[str], *, negate: bool) -> Json:
    operator = "!=" if negate else "in" if field in _BIT_FIELDS else "=="
    written = [_prefix(value) if "/" in value else value for value in values]
    right: Json = written[0] if len(values) == 1 else written if field in _BIT_FIELDS else {"set": written}
    return {"match": {"op": operator, "left": _FIELDS[field], "right": right}}
