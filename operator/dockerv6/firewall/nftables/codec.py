"""Rulesets in nftables' JSON (libnftables-json(5)), both ways.

Reading back is the inverse of writing, term by term, over what nft really prints (1.0.6 to 1.1.3): handles and counters
are dropped, prefixes and ranges become one spelling, and whatever the writing side never produces becomes `Opaque`, so
a rule that was edited in place is seen to differ.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, summarize_address_range

from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.steps import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteTable,
    FlushChain,
    RemoveElements,
    Step,
)
from dockerv6.firewall.terms import (
    Chain,
    ClearMark,
    Element,
    ElementSet,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    KeyType,
    Opaque,
    Rule,
    SetMark,
    Term,
    Verdict,
)

FAMILY = "inet"
TABLE = "dockerv6"
TABLE_COMMENT = "dockerv6: made and repaired by the dockerv6 operator; edits are undone"

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
Object = Mapping[str, Json]

_HERE: Object = {"family": FAMILY, "table": TABLE}
_ALL_BITS = 0xFFFFFFFF
_MARK: Object = {"meta": {"key": "mark"}}
_HOST_BITS = 128

_FIELDS: dict[Field, Object] = {
    Field.SADDR: {"payload": {"protocol": "ip6", "field": "saddr"}},
    Field.DADDR: {"payload": {"protocol": "ip6", "field": "daddr"}},
    Field.IIF: {"meta": {"key": "iifname"}},
    Field.OIF: {"meta": {"key": "oifname"}},
    Field.OIF_KIND: {"meta": {"key": "oifkind"}},
    Field.CT_STATE: {"ct": {"key": "state"}},
    Field.CT_DIRECTION: {"ct": {"key": "direction"}},
}
_VERDICTS: dict[Verdict, Object] = {
    Verdict.ACCEPT: {"accept": None},
    Verdict.MASQUERADE: {"masquerade": None},
    Verdict.KEEP_SOURCE: {"snat": {"family": "ip6", "addr": _FIELDS[Field.SADDR]}},
}


def canonical(value: Json) -> str:
    """One text for one JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


_FIELD_OF = {canonical(value): name for name, value in _FIELDS.items()}
_VERDICT_OF = {canonical(value): name for name, value in _VERDICTS.items()}


# ---- writing ----


def commands(steps: Iterable[Step]) -> list[Object]:
    """The steps as commands of one transaction.

    "create" where "add" would do as well: it is refused when the thing is there already, so a change that was made
    against what is no longer true fails as a whole instead of, say, filling a chain twice.
    """
    return [command for step in steps for command in _commands(step)]


def _commands(step: Step) -> list[Object]:  # noqa: PLR0911 - one return a kind of step
    match step:
        case AddTable():
            # nft 1.0.6 ignores the comment in JSON; the rules' own comments name us there.
            return [{"create": {"table": {"family": FAMILY, "name": TABLE, "comment": TABLE_COMMENT}}}]
        case DeleteTable():
            return [{"delete": {"table": {"family": FAMILY, "name": TABLE}}}]
        case AddSet(each):
            return [{"create": {"set": _write_set(each)}}]
        case AddElements(each, elements):
            return [
                {"create": {"element": {**_HERE, "name": each.name, "elem": [_write_element(e) for e in elements]}}}
            ]
        case RemoveElements(each, elements):
            keys = [_write_key(element.key) for element in elements]
            return [{"delete": {"element": {**_HERE, "name": each.name, "elem": keys}}}]
        case AddChain(chain):
            return [{"create": {"chain": _write_chain(chain)}}]
        case AddRules(chain):
            return [{"add": {"rule": _write_rule(chain.name, rule)}} for rule in chain.rules]
        case FlushChain(name):
            return [{"flush": {"chain": {**_HERE, "name": name}}}]
        case DeleteChain(name):
            return [{"delete": {"chain": {**_HERE, "name": name}}}]


def _write_set(each: ElementSet) -> Object:
    key: Json = [part.value for part in each.key] if len(each.key) > 1 else each.key[0].value
    flags: Object = {"flags": ["interval"]} if each.interval else {}
    return {**_HERE, "name": each.name, "type": key, **flags}


def _write_element(element: Element) -> Json:
    key = _write_key(element.key)
    return {"elem": {"val": key, "comment": element.owner}} if element.owner else key


def _write_key(key: tuple[str, ...]) -> Json:
    parts = [_write_part(part) for part in key]
    return {"concat": parts} if len(parts) > 1 else parts[0]


def _write_part(part: str) -> Json:
    if ":" in part and "-" in part:
        return {"range": part.split("-", 1)}
    if ":" in part and "/" in part:
        address, _, length = part.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}} if int(length) < _HOST_BITS else address
    return part


def _write_chain(chain: Chain) -> Object:
    base: Object = (
        {"type": chain.type, "hook": chain.hook, "prio": chain.priority, "policy": chain.policy} if chain.hook else {}
    )
    return {**_HERE, "name": chain.name, **base}


def _write_rule(chain: str, rule: Rule) -> Object:
    comment: Object = {"comment": rule.comment} if rule.comment else {}
    return {**_HERE, "chain": chain, **comment, "expr": [_write_term(term) for term in rule.terms]}


def _write_term(term: Term) -> Json:  # noqa: PLR0911 - one return a kind of term
    match term:
        case In(fields, name):
            parts = [_FIELDS[each] for each in fields]
            left: Json = {"concat": parts} if len(parts) > 1 else parts[0]
            return {"match": {"op": "==", "left": left, "right": f"@{name}"}}
        case Is(field, values, negate):
            return _write_is(field, sorted(values), negate=negate)
        case HasMark(bits):
            return {"match": {"op": "!=", "left": {"&": [_MARK, bits]}, "right": 0}}
        case SetMark(bits):
            return {"mangle": {"key": _MARK, "value": {"|": [_MARK, bits]}}}
        case ClearMark(bits):
            return {"mangle": {"key": _MARK, "value": {"&": [_MARK, _ALL_BITS ^ bits]}}}
        case Verdict():
            return _VERDICTS[term]
        case Jump(chain):
            return {"jump": {"target": chain}}
        case Opaque(text):
            raise ValueError(f"what somebody else wrote can't be written again: {text}")


def _write_is(field: Field, values: list[str], *, negate: bool) -> Json:
    # Connection states are bits, and "in" is how nft says that any of them is set.
    states = field is Field.CT_STATE
    operator = "!=" if negate else "in" if states else "=="
    right: Json = values[0] if len(values) == 1 else values if states else {"set": values}
    return {"match": {"op": operator, "left": _FIELDS[field], "right": right}}


# ---- reading ----


def ruleset(items: Iterable[Object]) -> Ruleset:
    """What a listing of our table says. Items of other tables are passed over."""
    chains: dict[str, Chain] = {}
    sets: list[ElementSet] = []
    rules: dict[str, list[Rule]] = {}
    foreign: list[str] = []
    for item in items:
        for kind, body in item.items():
            if not isinstance(body, Mapping) or kind in {"metainfo", "table"} or not _ours(body):
                continue
            if kind == "chain":
                chains[str(body["name"])] = _read_chain(body)
            elif kind == "rule":
                rules.setdefault(str(body["chain"]), []).append(_read_rule(body))
            elif kind == "set" and (found := _read_set(body)) is not None:
                sets.append(found)
            else:
                foreign.append(f"{kind} {body.get('name', body.get('handle', ''))}")
    filled = (_filled(chain, rules.get(name, [])) for name, chain in chains.items())
    return Ruleset(
        tuple(sorted(filled, key=lambda chain: chain.name)),
        tuple(sorted(sets, key=lambda each: each.name)),
        tuple(sorted(foreign)),
        exists=True,
    )


def _ours(body: Object) -> bool:
    return body.get("family") == FAMILY and body.get("table") == TABLE


def _filled(chain: Chain, rules: list[Rule]) -> Chain:
    return Chain(chain.name, tuple(rules), chain.type, chain.hook, chain.priority, chain.policy)


def _read_chain(body: Object) -> Chain:
    priority = body.get("prio", 0)
    return Chain(
        str(body["name"]),
        type=str(body.get("type", "")),
        hook=str(body.get("hook", "")),
        priority=priority if isinstance(priority, int) else 0,
        policy=str(body.get("policy", "")),
    )


def _read_set(body: Object) -> ElementSet | None:
    """None: not of a kind that we make."""
    known = {"family", "table", "name", "handle", "type", "flags", "elem"}
    flags = body.get("flags", [])
    types = body["type"]
    names = list(types) if isinstance(types, Sequence) and not isinstance(types, str) else [types]
    if not known.issuperset(body) or flags not in ([], ["interval"], "interval"):
        return None
    try:
        key = tuple(KeyType(str(name)) for name in names)
    except ValueError:
        return None
    listed = body.get("elem", [])
    elements = frozenset(_read_element(each, key) for each in listed) if isinstance(listed, Sequence) else frozenset()
    return ElementSet(str(body["name"]), key, interval=bool(flags), elements=elements)


def _read_element(value: Json, key: tuple[KeyType, ...]) -> Element:
    # dict and list, which JSON becomes, are tested much faster than Mapping and Sequence; there are many elements
    owner = ""
    if isinstance(value, dict) and isinstance(body := value.get("elem"), dict):
        owner = str(body.get("comment", ""))
        value = body.get("val")
    parts = value.get("concat") if isinstance(value, dict) else None
    listed = parts if isinstance(parts, list) else [value]
    if len(listed) != len(key):
        return Element((canonical(value),) * len(key), owner)
    return Element(tuple(_read_part(part, kind) for part, kind in zip(listed, key, strict=True)), owner)


def _read_part(value: Json, kind: KeyType) -> str:
    match value:
        case str() if kind is KeyType.INTERFACE:
            return value
        case str():
            return _address(value) + "/128"
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{_address(address)}/{length}"
        case {"range": [str(first), str(last)]} if kind is KeyType.PREFIX:
            networks = list(summarize_address_range(IPv6Address(first), IPv6Address(last)))
            return str(networks[0]) if len(networks) == 1 else f"{_address(first)}-{_address(last)}"
        case _:
            return canonical(value)


def _address(text: str) -> str:
    # inet_ntop writes IPv4-mapped and -compatible addresses with dots, Python 3.11 doesn't.
    return str(IPv6Address(text)) if "." in text else text


def _read_rule(body: Object) -> Rule:
    expressions = body.get("expr", [])
    if not isinstance(expressions, Sequence):
        return Rule((Opaque(canonical(expressions)),))
    return Rule(tuple(_read_term(each) for each in expressions), str(body.get("comment", "")))


def _read_term(value: Json) -> Term:
    match value:
        case {"match": {"op": str(operator), "left": left, "right": right}}:
            found = _read_match(operator, left, right)
        case {"mangle": {"key": key, "value": {"|": [source, int(bits)]}}} if key == source == _MARK:
            found = SetMark(bits)
        case {"mangle": {"key": key, "value": {"&": [source, int(bits)]}}} if key == source == _MARK:
            found = ClearMark(_ALL_BITS ^ bits)
        case {"jump": {"target": str(chain)}}:
            found = Jump(chain)
        case _:
            found = _VERDICT_OF.get(canonical(value))
    # What reads the same must also write the same, or something beside it was passed over.
    if found is None or canonical(_write_term(found)) != canonical(value):
        return Opaque(canonical(value))
    return found


def _read_match(operator: str, left: Json, right: Json) -> Term | None:  # noqa: PLR0911 - one return a shape
    match left, right:
        case {"concat": [*parts]}, str(name) if name.startswith("@"):
            fields = [_FIELD_OF.get(canonical(part)) for part in parts]
            known = tuple(field for field in fields if field is not None)
            return In(known, name[1:]) if len(known) == len(fields) else None
        case {"&": [source, int(bits)]}, 0 if source == _MARK:
            return HasMark(bits)
    field = _FIELD_OF.get(canonical(left))
    if field is None:
        return None
    match right:
        case str(name) if name.startswith("@"):
            return In((field,), name[1:])
        case str(value):
            return Is(field, frozenset({value}), negate=operator == "!=")
        case [*values] | {"set": [*values]}:
            return Is(field, frozenset(str(value) for value in values), negate=operator == "!=")
    return None
