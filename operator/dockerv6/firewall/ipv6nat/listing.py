"""Rules of iptables-nft's tables out of a listing by libnftables (libnftables-json(5)). Pure."""

from collections.abc import Iterable, Mapping, Sequence

from dockerv6.firewall.hostfilter import listing as chain_listing
from dockerv6.firewall.ipv6nat.rules import Rule, Tables
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.firewall.nftables.codec import Json, Object

FAMILY = "ip6"

_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN", "masquerade": "MASQUERADE", "dnat": "DNAT"}
_SILENT = frozenset({"counter"})
_PORTS = frozenset({"tcp", "udp", "sctp", "th"})


def tables(items: Iterable[Object], local: Mapping[int, str]) -> Tables:
    """Chains with their rules.

    Args:
        items: listings of the tables.
        local: which address a rule's addrtype match means, "src" or "dst", by the rule's handle; libnftables says no
            more of such a match than its name.
    """
    chains: dict[tuple[str, str], list[Rule]] = {}
    for item in items:
        if isinstance(body := item.get("chain"), Mapping):
            chains.setdefault((str(body.get("table")), str(body.get("name"))), [])
        if isinstance(body := item.get("rule"), Mapping):
            found = rule(body, local)
            chains.setdefault((found.table, found.chain), []).append(found)
    return Tables({place: tuple(rules) for place, rules in chains.items()})


def rule(body: Mapping[str, Json], local: Mapping[int, str]) -> Rule:
    """One rule."""
    handle = body.get("handle")
    number = handle if isinstance(handle, int) else 0
    said: dict[str, str | bool] = {}
    expressions = body.get("expr", [])
    for each in expressions if isinstance(expressions, Sequence) else ():
        if isinstance(each, Mapping):
            _read(each, said, local.get(number, "?"))
    if body.get("comment"):
        said["strange"] = True
    if chain_listing.rule(body, DEFAULT_MARK).ours:
        said["ours"] = True
    return Rule(
        str(body.get("table")),
        str(body.get("chain")),
        handle=number,
        **said,  # type: ignore[arg-type] # the names are Rule's and their values of its types
    )


def _read(statement: Mapping[str, Json], said: dict[str, str | bool], local: str) -> None:
    kind = next(iter(statement))
    content = statement[kind]
    if kind in _VERDICTS:
        said["target"] = _VERDICTS[kind]
    elif kind == "jump":
        said["target"] = _named(content, "target")
    elif kind == "xt":
        _read_xt(_named(content, "type"), _named(content, "name"), said, local)
    elif kind == "match" and isinstance(content, Mapping):
        _read_match(content, said)
    elif kind not in _SILENT:
        said["strange"] = True


def _read_xt(kind: str, name: str, said: dict[str, str | bool], local: str) -> None:
    if kind == "target":
        said["target"] = name
    elif name == "conntrack":
        said["states"] = True
    elif name == "addrtype":
        said["local"] = local
    elif name in _PORTS:  # iptables < 1.8.8 for all, newer ones for sctp
        said["protocol"], said["port"] = name, "?"
    else:
        said["strange"] = True


def _read_match(content: Mapping[str, Json], said: dict[str, str | bool]) -> None:
    operator, left, right = content.get("op"), content.get("left"), _value(content.get("right"))
    negation = "!" if operator == "!=" else ""
    if not right or operator not in ("==", "!="):
        said["strange"] = True
        return
    match left:
        case {"meta": {"key": "iifname"}}:
            said["iif"] = negation + right
        case {"meta": {"key": "oifname"}}:
            said["oif"] = negation + right
        case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip6", "field": "nexthdr"}}:
            said["protocol"] = negation + right
        case {"payload": {"protocol": "ip6", "field": "saddr"}}:
            said["source"] = negation + right
        case {"payload": {"protocol": "ip6", "field": "daddr"}}:
            said["destination"] = negation + right
        case {"payload": {"protocol": protocol, "field": "dport"}} if protocol in _PORTS:
            if protocol != "th":
                said["protocol"] = str(protocol)
            said["port"] = negation + right
        case _:
            said["strange"] = True


def _value(right: Json) -> str:
    match right:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{address}/{length}"
        case str() | int():
            return str(right)
    return ""


def _named(body: Json, key: str) -> str:
    return str(body.get(key, "")) if isinstance(body, Mapping) else ""
