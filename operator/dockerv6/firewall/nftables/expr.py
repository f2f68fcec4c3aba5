"""The terms of rules as expressions in nftables' JSON, both ways.

Whatever the writing side never produces is read as `UnknownExpr`, so a rule that was edited in place is seen to differ.
"""

from collections.abc import Sequence

from dockerv6.firewall.expr import (
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
    UnknownExpr,
    Verdict,
)
from dockerv6.firewall.nftables.notation import Json, Object, canonical

_ALL_BITS = 0xFFFFFFFF
_MARK: Object = {"meta": {"key": "mark"}}
_FIELDS: dict[Field, Object] = {
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
_BITS = frozenset({Field.CT_STATE, Field.CT_STATUS})
"""Fields that are bits; "in" is how nft says that any of them is set."""

_VERDICTS: dict[Verdict, Object] = {
    Verdict.ACCEPT: {"accept": None},
    Verdict.DROP: {"drop": None},
    Verdict.MASQUERADE: {"masquerade": None},
    Verdict.KEEP_SOURCE: {"snat": {"family": "ip6", "addr": _FIELDS[Field.SADDR]}},
}
_NETMAPS = {Field.SADDR: "snat", Field.DADDR: "dnat"}
_FIELD_OF = {canonical(value): name for name, value in _FIELDS.items()}
_VERDICT_OF = {canonical(value): name for name, value in _VERDICTS.items()}


def write_term(term: Term) -> Json:
    """The term as an expression.

    Raises:
        ValueError: it is opaque.
    """
    match term:
        case In(fields, name, negate):
            return {"match": {"op": "!=" if negate else "==", "left": _write_fields(fields), "right": f"@{name}"}}
        case Is(field, values, negate):
            return _write_is(field, sorted(values), negate=negate)
        case HasMark(bits):
            return {"match": {"op": "!=", "left": {"&": [_MARK, bits]}, "right": 0}}
        case Verdict():
            return _VERDICTS[term]
        case Jump(chain):
            return {"jump": {"target": chain}}
        case UnknownExpr(text):
            raise ValueError(f"what somebody else wrote can't be written again: {text}")
        case _:
            return _write_change(term)


def _write_change(term: SetMark | ClearMark | Dnat | Snat | Netmap | SetField | MapField) -> Json:
    """A term that changes the packet, or decides that connection tracking shall."""
    match term:
        case SetMark(bits):
            return {"mangle": {"key": _MARK, "value": {"|": [_MARK, bits]}}}
        case ClearMark(bits):
            return {"mangle": {"key": _MARK, "value": {"&": [_MARK, _ALL_BITS ^ bits]}}}
        case Dnat() | Snat() | Netmap():
            return _write_translation(term)
        case SetField(field, value):
            return {"mangle": {"key": _FIELDS[field], "value": value}}
        case MapField(field, fields, name):
            return {"mangle": {"key": _FIELDS[field], "value": _write_lookup(fields, name)}}


def _write_translation(term: Dnat | Snat | Netmap) -> Json:
    match term:
        case Dnat(fields, addresses, ports):
            address, port = _write_lookup(fields, addresses), _write_lookup(fields, ports)
            return {"dnat": {"family": "ip6", "addr": address, "port": port}}
        case Snat(fields, name):
            return {"snat": {"family": "ip6", "addr": _write_lookup(fields, name)}}
        case Netmap(field, to):
            prefix: Object = {"family": "ip6", "addr": _write_value(to), "flags": "netmap", "type_flags": "prefix"}
            return {_NETMAPS[field]: prefix}


def _write_fields(fields: tuple[Field, ...]) -> Json:
    parts = [_FIELDS[each] for each in fields]
    return {"concat": parts} if len(parts) > 1 else parts[0]


def _write_lookup(fields: tuple[Field, ...], name: str) -> Json:
    return {"map": {"key": _write_fields(fields), "data": f"@{name}"}}


def _write_is(field: Field, values: list[str], *, negate: bool) -> Json:
    operator = "!=" if negate else "in" if field in _BITS else "=="
    written = [_write_value(value) for value in values]
    right: Json = written[0] if len(values) == 1 else written if field in _BITS else {"set": written}
    return {"match": {"op": operator, "left": _FIELDS[field], "right": right}}


def _write_value(value: str) -> Json:
    address, _, length = value.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}} if length else value


def read_term(value: Json) -> Term:
    """The term that an expression is, `UnknownExpr` if it is none."""
    match value:
        case {"match": {"op": str(operator), "left": left, "right": right}}:
            found = _read_match(operator, left, right)
        case {"mangle": {"key": key, "value": source}}:
            found = _read_mangle(key, source)
        case {"dnat": {"addr": {"map": {"key": key, "data": str(addresses)}}, "port": {"map": {"data": str(ports)}}}}:
            found = Dnat(_read_fields(key), addresses[1:], ports[1:])
        case {"snat": {"addr": {"map": {"key": key, "data": str(addresses)}}}}:
            found = Snat(_read_fields(key), addresses[1:])
        case {"snat": {"addr": to, "flags": "netmap"}}:
            found = Netmap(Field.SADDR, _read_value(to))
        case {"dnat": {"addr": to, "flags": "netmap"}}:
            found = Netmap(Field.DADDR, _read_value(to))
        case {"jump": {"target": str(chain)}}:
            found = Jump(chain)
        case _:
            found = _VERDICT_OF.get(canonical(value))
    # What reads the same must also write the same, or something beside it was passed over.
    if found is None or canonical(write_term(found)) != canonical(_ordered(value)):
        return UnknownExpr(canonical(value))
    return found


def _read_fields(key: Json) -> tuple[Field, ...]:
    """The fields of a key; those that we never look at are left out."""
    match key:
        case {"concat": [*parts]}:
            pass
        case _:
            parts = [key]
    fields = [_FIELD_OF.get(canonical(part)) for part in parts]
    return tuple(field for field in fields if field is not None)


def _read_match(operator: str, left: Json, right: Json) -> Term | None:
    match left, right:
        case {"&": [source, int(bits)]}, 0 if source == _MARK:
            return HasMark(bits)
        case _, str(name) if name.startswith("@"):
            fields = _read_fields(left)
            return In(fields, name[1:], negate=operator == "!=") if fields else None
    field = _FIELD_OF.get(canonical(left))
    values = _values(right)
    if field is None or not values:
        return None
    return Is(field, frozenset(_read_value(value) for value in values), negate=operator == "!=")


def _values(right: Json) -> Sequence[Json]:
    match right:
        case str() | {"prefix": _}:
            return [right]
        case [*values] | {"set": [*values]}:
            return values
        case _:
            return ()


def _read_value(value: Json) -> str:
    match value:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{address}/{length}"
        case _:
            return str(value)


def _read_mangle(key: Json, value: Json) -> Term | None:
    if key == _MARK:
        match value:
            case {"|": [source, int(bits)]} if source == _MARK:
                return SetMark(bits)
            case {"&": [source, int(bits)]} if source == _MARK:
                return ClearMark(_ALL_BITS ^ bits)
    field = _FIELD_OF.get(canonical(key))
    match value:
        case str(text) if field is not None:
            return SetField(field, text)
        case {"map": {"key": fields, "data": str(name)}} if field is not None:
            return MapField(field, _read_fields(fields), name[1:])
    return None


def _ordered(value: Json) -> Json:
    """With the values of a match in the order in which they are written; nft shows them in the kernel's."""
    match value:
        case {"match": {"op": operator, "left": left, "right": [*values]}}:
            return {"match": {"op": operator, "left": left, "right": sorted(values, key=canonical)}}
        case {"match": {"op": operator, "left": left, "right": {"set": [*values]}}}:
            return {"match": {"op": operator, "left": left, "right": {"set": sorted(values, key=canonical)}}}
        case _:
            return value
