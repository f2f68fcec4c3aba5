"""Rules of iptables-nft, and those of nftables' own chains, out of libnftables' listings (libnftables-json(5)).

libnftables shows a match of xtables' own, such as addrtype, by its name alone ({"xt": {"name": "addrtype"}}). Its data,
the same as in a legacy table, is dumped over nfnetlink where a reader needs it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dockerv6.firewall.nftables.kernel import NFPROTO_IPV6, NFT_MSG_GETRULE, attributes_of
from dockerv6.firewall.nftables.library import Json, JsonObject
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.xtables.entries import UNREAD_COMMENT, with_match
from dockerv6.firewall.xtables.rule import (
    NOT,
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    PlainTarget,
    XtablesChain,
    XtablesRule,
    XtablesTarget,
)

FAMILY = "ip6"
"""Of iptables-nft's tables for IPv6."""

_TARGETS: Mapping[str, XtablesTarget | None] = {
    "accept": PlainTarget.ACCEPT,
    "drop": PlainTarget.DROP,
    "return": PlainTarget.RETURN,
    "masquerade": PlainTarget.MASQUERADE,
    "reject": ExtensionTarget("REJECT"),
    "dnat": ExtensionTarget("DNAT"),
    "continue": None,
}
_SILENT = frozenset({"counter", "comment", "log"})
"""Statements that neither choose packets nor decide about them."""

_CHAINS: JsonObject = {"list": {"chains": None}}
_RULE_HANDLE, _RULE_EXPRESSIONS = 3, 4  # NFTA_RULE_*
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2  # NFTA_EXPR_*
_MATCH_NAME, _MATCH_REVISION, _MATCH_DATA = 1, 2, 3  # NFTA_MATCH_*
_SINGLE_ADDRESS = {"ip": 32, "ip6": 128}


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain in its table, without its rules. `hook` is empty for one that is not a base chain."""

    family: str
    table: str
    name: str
    hook: str = ""
    type: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class MatchData:
    """The data of an xtables match in nf_tables."""

    name: str
    revision: int
    data: bytes


async def list_chains(session: NftSession) -> tuple[NftChain, ...]:
    """Every chain of this network namespace. Raises `FirewallUnavailable` where there is no nf_tables."""
    return chains_in(await session.run([_CHAINS]))


async def read_chain(session: NftSession, family: str, table: str, name: str) -> XtablesChain | None:
    """One chain with its rules, matches undecoded; None where it doesn't exist."""
    return rules_in(await _list_chain(session, family, table, name)).get((table, name))


async def read_table(session: NftSession, family: str, table: str) -> Mapping[tuple[str, str], XtablesChain]:
    """All chains of a table with their rules, by table and name, matches undecoded; empty where it doesn't exist."""
    return rules_in(await _list_table(session, family, table))


async def read_decoded(session: NftSession, table: str) -> Mapping[tuple[str, str], XtablesChain]:
    """As `read_table` of family ip6, with the matches decoded.

    Raises:
        FirewallRejected: the rules changed meanwhile.
    """
    listed = await _list_table(session, FAMILY, table)
    concerned = {str(body.get("chain")) for body in _bodies(listed, "rule") if _has_match(body)}
    return rules_in(listed, await session.call(lambda: _dump(session, table, concerned)))


async def has_local_destination(session: NftSession, table: str, chain: str) -> bool:
    """Whether a rule of a chain of family ip6 matches on `addrtype --dst-type LOCAL`; cheap, nothing is listed.

    Raises:
        FirewallRejected: the rules changed meanwhile.
    """
    matches = await session.call(lambda: _dump(session, table, (chain,)))
    decoded = (
        with_match(XtablesRule(), each.name, each.revision, each.data) for data in matches.values() for each in data
    )
    return any(each.destination_type == "LOCAL" for each in decoded)


async def _list_chain(session: NftSession, family: str, table: str, name: str) -> Sequence[JsonObject]:
    """The listing; empty where the chain doesn't exist."""
    try:
        return await session.run([{"list": {"chain": {"family": family, "table": table, "name": name}}}])
    except FirewallRejected:
        if any((each.family, each.table, each.name) == (family, table, name) for each in await list_chains(session)):
            raise
        return ()


async def _list_table(session: NftSession, family: str, table: str) -> Sequence[JsonObject]:
    """The listing; empty where the table doesn't exist, or has no chain."""
    try:
        return await session.run([{"list": {"table": {"family": family, "name": table}}}])
    except FirewallRejected:
        if any((each.family, each.table) == (family, table) for each in await list_chains(session)):
            raise
        return ()


def chains_in(items: Iterable[JsonObject]) -> tuple[NftChain, ...]:
    """The chains of a listing."""
    return tuple(
        NftChain(*(str(body.get(key, "")) for key in ("family", "table", "name", "hook", "type", "policy")))
        for body in _bodies(items, "chain")
    )


def rules_in(
    items: Iterable[JsonObject], matches: Mapping[int, Sequence[MatchData]] | None = None
) -> Mapping[tuple[str, str], XtablesChain]:
    """The chains of a listing with their rules, by table and name.

    Args:
        items: listings of tables or chains of one family.
        matches: the data of the rules' xtables matches in their order, by the rules' handles.
    """
    items = tuple(items)
    policies = {(each.table, each.name): each.policy.upper() for each in chains_in(items)}
    rules: dict[tuple[str, str], list[ListedRule]] = {place: [] for place in policies}
    for body in _bodies(items, "rule"):
        place = str(body.get("table")), str(body.get("chain"))
        handle = body.get("handle")
        number = handle if isinstance(handle, int) else 0
        decoded = rule(body, (matches or {}).get(number, ()))
        rules.setdefault(place, []).append(ListedRule(*place, decoded, handle=number))
    return {place: XtablesChain(policies.get(place, ""), tuple(found)) for place, found in rules.items()}


def rule(body: JsonObject, matches: Sequence[MatchData] = ()) -> XtablesRule:
    """One rule. A match without data, and any statement that is not decoded, is in `unknown` by its name."""
    found = XtablesRule(comment=str(body.get("comment") or ""))
    data = iter(matches)
    for statement in _statements(body):
        kind = next(iter(statement))
        content = statement[kind]
        if kind in _TARGETS:
            found = replace(found, target=_TARGETS[kind])
        elif kind in {"jump", "goto"}:
            found = replace(found, target=ChainTarget(_text(content, "target"), jump=kind == "jump"))
        elif kind == "xt" and _text(content, "type") == "target":
            found = replace(found, target=_extension(_text(content, "name")))
        elif kind == "xt":
            found = _with_xt(found, _text(content, "name"), next(data, None))
        elif kind == "match" and isinstance(content, Mapping):
            found = _with_condition(found, content)
        elif kind not in _SILENT:
            found = _with_unknown(found, kind)
    return found


def match_data(messages: Iterable[bytes]) -> Mapping[int, tuple[MatchData, ...]]:
    """The xtables matches in a dump of rules (linux/netfilter/nf_tables.h, nf_tables_compat.h), by rule handle."""
    found: dict[int, tuple[MatchData, ...]] = {}
    for message in messages:
        attributes = dict(attributes_of(message))
        handle = int.from_bytes(attributes.get(_RULE_HANDLE, b""), "big")
        if data := tuple(_matches(attributes.get(_RULE_EXPRESSIONS, b""))):
            found[handle] = data
    return found


def _matches(expressions: bytes) -> Iterator[MatchData]:
    for _, item in attributes_of(expressions):
        expression = dict(attributes_of(item))
        if expression.get(_EXPRESSION_NAME) == b"match\0":
            match = dict(attributes_of(expression.get(_EXPRESSION_DATA, b"")))
            yield MatchData(
                match.get(_MATCH_NAME, b"").rstrip(b"\0").decode(errors="replace"),
                int.from_bytes(match.get(_MATCH_REVISION, b""), "big"),
                match.get(_MATCH_DATA, b""),
            )


def _dump(session: NftSession, table: str, chains: Iterable[str]) -> Mapping[int, tuple[MatchData, ...]]:
    """On the session's thread. Handles are unique in a table."""
    found: dict[int, tuple[MatchData, ...]] = {}
    try:
        for chain in sorted(chains):
            found.update(match_data(session.dump_now(NFT_MSG_GETRULE, table, chain, family=NFPROTO_IPV6)))
    except FileNotFoundError:  # deleted since it was seen
        return {}
    except OSError as error:  # InterruptedError: another process is writing
        raise FirewallRejected(f"rules of table {FAMILY} {table} changed while they were read: {error}") from error
    return found


def _bodies(items: Iterable[JsonObject], kind: str) -> Iterator[JsonObject]:
    for item in items:
        body = item.get(kind)
        if isinstance(body, Mapping):
            yield body


def _statements(body: JsonObject) -> Iterator[JsonObject]:
    expressions = body.get("expr")
    for each in expressions if isinstance(expressions, Sequence) else ():
        if isinstance(each, Mapping):
            yield each


def _has_match(body: JsonObject) -> bool:
    return any(_text(each.get("xt"), "type") == "match" for each in _statements(body))


def _with_xt(found: XtablesRule, name: str, data: MatchData | None) -> XtablesRule:
    if data is not None and data.name == name:
        return with_match(found, name, data.revision, data.data)
    return replace(found, comment=UNREAD_COMMENT) if name == "comment" else _with_unknown(found, name)


def _with_unknown(found: XtablesRule, name: str) -> XtablesRule:
    return replace(found, unknown=(*found.unknown, name))


def _extension(name: str) -> XtablesTarget:
    return PlainTarget.MASQUERADE if name == PlainTarget.MASQUERADE else ExtensionTarget(name)


def _with_condition(found: XtablesRule, match: JsonObject) -> XtablesRule:
    operator, left, right = match.get("op"), match.get("left"), match.get("right")
    condition = _condition(left, right, NOT if operator == "!=" else "") if operator in ("==", "!=") else None
    if condition is None:
        return _with_unknown(found, "match")
    return replace(found, **condition)  # type: ignore[arg-type] # the names are the rule's fields


def _condition(left: Json, right: Json, negation: str) -> Mapping[str, object] | None:
    """The rule's fields that a native match is; None: it has none for it."""
    condition: Mapping[str, object] | None = None
    match left, right:
        case {"meta": {"key": "iifname"}}, str(name):
            condition = {"iif": negation + name}
        case {"meta": {"key": "oifname"}}, str(name):
            condition = {"oif": negation + name}
        case (({"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip6", "field": "nexthdr"}}), str() | int()):
            condition = {"protocol": f"{negation}{right}"}
        case {"&": [{"meta": {"key": "mark"}}, int(mask)]}, int(value) if (value, negation) == (mask, ""):
            condition = {"mark_all": mask}
        case {"&": [{"meta": {"key": "mark"}}, int(mask)]}, 0 if negation:
            condition = {"mark": mask}
        case {"payload": {"protocol": "ip" | "ip6" as family, "field": "saddr" | "daddr" as side}}, _:
            if prefix := _prefix(right, _SINGLE_ADDRESS[family]):
                condition = {"source" if side == "saddr" else "destination": negation + prefix}
        case {"payload": {"protocol": "th", "field": "dport"}}, int(port) if not negation:
            condition = {"ports": (port, port)}
        case {"payload": {"protocol": str(protocol), "field": "dport"}}, int(port) if not negation:
            condition = {"protocol": protocol, "ports": (port, port)}
    return condition


def _prefix(right: Json, single: int) -> str:
    match right:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{address}/{length}"
        case str(address):
            return f"{address}/{single}"
    return ""


def _text(body: Json, key: str) -> str:
    return str(body.get(key, "")) if isinstance(body, Mapping) else ""
