"""Rulesets in nftables' JSON, both ways.

Reading back is the inverse of writing, term by term, over what nft really prints (1.0.6 to 1.1.3): handles and counters
are dropped, and whatever the writing side never produces is `foreign` or opaque (see `elements`, `terms`).
"""

from collections.abc import Iterable, Mapping, Sequence

from dockerv6.firewall.expr import Chain, ElementSet, KeyType, Netmap, Rule, UnknownExpr
from dockerv6.firewall.nftables.elements import read_element, write_element, write_key
from dockerv6.firewall.nftables.expr import read_term, write_term
from dockerv6.firewall.nftables.notation import FAMILY, HERE, TABLE, TABLE_COMMENT, Json, Object, canonical
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
from dockerv6.firewall.ruleset import Ruleset

__all__ = ["FAMILY", "TABLE", "Json", "Object", "commands", "rules_by_handle", "ruleset"]

# ---- writing ----


def commands(steps: Iterable[Operation]) -> list[Object]:
    """The steps as commands of one transaction.

    "create" where "add" would do as well: it is refused when the thing is there already, so a change that was made
    against what is no longer true fails as a whole instead of, say, filling a chain twice.
    """
    return [command for step in steps for command in _commands(step)]


def _commands(step: Operation) -> list[Object]:  # noqa: PLR0911 - one return a kind of step
    match step:
        case AddTable():
            # nft 1.0.6 ignores the comment in JSON; the rules' own comments name us there.
            return [{"create": {"table": {"family": FAMILY, "name": TABLE, "comment": TABLE_COMMENT}}}]
        case DeleteTable():
            return [{"delete": {"table": {"family": FAMILY, "name": TABLE}}}]
        case AddSet(each):
            return [{"create": {"map" if each.data else "set": _write_set(each)}}]
        case AddElements(each, elements):
            return [{"create": {"element": _in_set(each, [write_element(element, each) for element in elements])}}]
        case RemoveElements(each, elements):
            return [{"delete": {"element": _in_set(each, [write_key(element, each) for element in elements])}}]
        case AddChain(chain):
            return [{"create": {"chain": _write_chain(chain)}}]
        case AddRules(chain):
            return [{"add": {"rule": _write_rule(chain.name, rule)}} for rule in chain.rules]
        case FlushChain(name):
            return [{"flush": {"chain": {**HERE, "name": name}}}]
        case DeleteChain(name):
            return [{"delete": {"chain": {**HERE, "name": name}}}]


def _write_set(each: ElementSet) -> Object:
    key: Json = [part.value for part in each.key] if len(each.key) > 1 else each.key[0].value
    data: Object = {"map": each.data.value} if each.data else {}
    flags: Object = {"flags": ["interval"]} if each.interval else {}
    return {**HERE, "name": each.name, "type": key, **data, **flags}


def _in_set(each: ElementSet, elements: list[Json]) -> Object:
    return {**HERE, "name": each.name, "elem": elements}


def _write_chain(chain: Chain) -> Object:
    base: Object = (
        {"type": chain.type, "hook": chain.hook, "prio": chain.priority, "policy": chain.policy} if chain.hook else {}
    )
    return {**HERE, "name": chain.name, **base}


def _write_rule(chain: str, rule: Rule) -> Object:
    text = rule.owner or rule.comment
    comment: Object = {"comment": text} if text else {}
    return {**HERE, "chain": chain, **comment, "expr": [write_term(term) for term in rule.terms]}


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
            elif kind in {"set", "map"} and (found := _read_set(body)) is not None:
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


def rules_by_handle(items: Iterable[Object]) -> dict[int, Rule]:
    """The rules of a listing of our table by the kernel's numbers, which are never given twice."""
    bodies = (item["rule"] for item in items if "rule" in item)
    return {int(str(each["handle"])): _read_rule(each) for each in bodies if isinstance(each, Mapping) and _ours(each)}


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
    """A set or a map; None: not of a kind that we make."""
    known = {"family", "table", "name", "handle", "type", "map", "flags", "elem"}
    flags = body.get("flags", [])
    types = body.get("type")
    names = list(types) if isinstance(types, Sequence) and not isinstance(types, str) else [types]
    if not known.issuperset(body) or flags not in ([], ["interval"], "interval"):
        return None
    try:
        key = tuple(KeyType(str(name)) for name in names)
        data = KeyType(str(body["map"])) if "map" in body else None
    except ValueError:
        return None
    listed = body.get("elem", [])
    elements = (
        frozenset([read_element(each, key, data) for each in listed]) if isinstance(listed, list) else frozenset()
    )
    return ElementSet(str(body["name"]), key, interval=bool(flags), elements=elements, data=data)


def _read_rule(body: Object) -> Rule:
    expressions = body.get("expr", [])
    if not isinstance(expressions, Sequence):
        return Rule((UnknownExpr(canonical(expressions)),))
    terms = tuple(read_term(each) for each in expressions)
    comment = str(body.get("comment", ""))
    if any(isinstance(term, Netmap) for term in terms) and not any(isinstance(term, UnknownExpr) for term in terms):
        return Rule(terms, owner=comment)
    return Rule(terms, comment)
