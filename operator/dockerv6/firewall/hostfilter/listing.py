"""Chains of a filter out of an nftables listing (libnftables-json(5)), iptables-nft's own tables included. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dockerv6.firewall.hostfilter.chains import FilterChain, FilterRule, Target
from dockerv6.firewall.nftables.codec import Json, Object

_VERDICTS = {
    "accept": Target.ACCEPT,
    "drop": Target.DROP,
    "reject": Target.DROP,
    "return": Target.RETURN,
    "continue": Target.OTHER,
}
_XT_VERDICTS = {"REJECT": Target.DROP}
_SILENT = frozenset({"counter", "comment", "log"})
"""Statements that neither choose packets nor decide about them."""


@dataclass(frozen=True, slots=True)
class ListedChain:
    """A chain in its table. `hook` is empty for one that is not a base chain."""

    family: str
    table: str
    name: str
    hook: str
    type: str
    policy: str


def chains(items: Iterable[Object]) -> tuple[ListedChain, ...]:
    """All chains of a listing, without their rules."""
    return tuple(
        ListedChain(
            *(str(body.get(key, "")) for key in ("family", "table", "name", "hook", "type", "policy")),
        )
        for item in items
        if isinstance(body := item.get("chain"), Mapping)
    )


def chain(items: Iterable[Object], name: str, mark: int) -> FilterChain:
    """One chain with its rules, out of the listing of its table or of itself alone."""
    policy = ""
    rules: list[FilterRule] = []
    for item in items:
        if isinstance(body := item.get("chain"), Mapping) and body.get("name") == name:
            policy = str(body.get("policy", ""))
        if isinstance(body := item.get("rule"), Mapping) and body.get("chain") == name:
            rules.append(rule(body, mark))
    return FilterChain(policy, tuple(rules))


def handles(items: Iterable[Object], name: str, mark: int) -> tuple[int, ...]:
    """The kernel's numbers of our accept rules in a chain."""
    return tuple(
        handle
        for item in items
        if isinstance(body := item.get("rule"), Mapping)
        and body.get("chain") == name
        and rule(body, mark).ours
        and isinstance(handle := body.get("handle"), int)
    )


def rule(body: Object, mark: int) -> FilterRule:
    """A rule, reduced to what is to be known of it."""
    expressions = body.get("expr", [])
    said = [each for each in expressions if isinstance(each, Mapping)] if isinstance(expressions, Sequence) else []
    target, jump = Target.OTHER, ""
    matches: list[Object] = []
    for each in said:
        kind = next(iter(each))
        if kind in _VERDICTS:
            target = _VERDICTS[kind]
        elif kind in {"jump", "goto"}:
            target, jump = Target.JUMP, _named(each[kind], "target")
        elif kind == "xt":
            if _named(each[kind], "type") == "target":
                target = _XT_VERDICTS.get(_named(each[kind], "name"), Target.OTHER)
            elif _named(each[kind], "name") != "comment":
                matches.append(each)
        elif kind not in _SILENT:
            matches.append(each)
    ours = target is Target.ACCEPT and len(matches) == 1 and _matches_mark(matches[0], mark)
    return FilterRule(target, jump, conditional=bool(matches), ours=ours)


def _matches_mark(statement: Object, mark: int) -> bool:
    """`meta mark & M == M`, as ip6tables writes it, or `!= 0` or `meta mark == M`, as people do."""
    match statement.get("match"):
        case {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, int(mask)]}, "right": int(value)}:
            return mask == value == mark
        case {"op": "!=", "left": {"&": [{"meta": {"key": "mark"}}, int(mask)]}, "right": 0}:
            return mask == mark
    return False


def _named(body: Json, key: str) -> str:
    return str(body.get(key, "")) if isinstance(body, Mapping) else ""
