"""What docker-ipv6nat writes, and how that differs from what engines write into chains of the same names. Pure.

docker-ipv6nat (0.4.4, github.com/robbertkl/docker-ipv6nat: manager.go, firewall.go) copies what the engine of its time
did for IPv4, chain names included, and leaves no comment in its rules. Most of them are an engine's to the letter
(SHARED). What it alone writes (OWN) is a signature: one rule for each network but internal ones. What it never writes,
and an engine on the same host always does (ENGINE), shows that the engine's own IPv6 rules are on; then a shared rule
is the engine's. Compared with the rules of engines 20.10, 26.1 and 28.5, see tests/golden/ipv6nat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Network

from dockerv6.firewall.hostfilter.drops import FORWARD, USER, is_accept_rule
from dockerv6.firewall.model import DEFAULT_MARK, FilterVariant
from dockerv6.firewall.xtables.rule import FILTER, NAT, NOT, ListedRule, XtablesChain, XtablesRule

ENGINE_FORWARD = "DOCKER-FORWARD"
"""Engine >= 28 alone has this chain; its FORWARD holds no rule for a single bridge."""

DOCKER = "DOCKER"
STAGE_1 = "DOCKER-ISOLATION-STAGE-1"
_OWN_CHAINS = {FILTER: (DOCKER, STAGE_1, "DOCKER-ISOLATION-STAGE-2", USER), NAT: (DOCKER,)}
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
"""It serves networks in this prefix only (state.go)."""

Place = tuple[str, str]
"""A chain, by table and name."""

FilterTables = Mapping[Place, XtablesChain]
"""The chains of the tables filter and nat of one variant."""


class Author(StrEnum):
    """Who writes a rule like this."""

    OWN = "docker-ipv6nat"
    SHARED = "docker-ipv6nat or an engine"
    ENGINE = "an engine"
    OTHER = "another program, or a person"


_FORMS = {
    Author.OWN: """
        nat POSTROUTING MASQUERADE oif destination_type
        filter DOCKER-ISOLATION-STAGE-1 DROP !iif oif
        filter DOCKER-ISOLATION-STAGE-1 DROP iif !oif
    """,
    Author.SHARED: """
        filter FORWARD DOCKER-USER
        filter FORWARD DOCKER-ISOLATION-STAGE-1
        filter FORWARD DOCKER oif
        filter FORWARD ACCEPT oif states
        filter FORWARD ACCEPT iif !oif
        filter FORWARD ACCEPT iif oif
        filter FORWARD DROP iif oif
        filter DOCKER-USER RETURN
        filter DOCKER ACCEPT destination !iif oif protocol ports
        filter DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 iif !oif
        filter DOCKER-ISOLATION-STAGE-1 RETURN
        filter DOCKER-ISOLATION-STAGE-2 DROP oif
        filter DOCKER-ISOLATION-STAGE-2 RETURN
        nat PREROUTING DOCKER destination_type
        nat OUTPUT DOCKER destination_type
        nat OUTPUT DOCKER !destination destination_type
        nat DOCKER RETURN iif
        nat DOCKER DNAT protocol ports
        nat DOCKER DNAT destination protocol ports
        nat DOCKER DNAT !iif protocol ports
        nat DOCKER DNAT destination !iif protocol ports
        nat POSTROUTING MASQUERADE source !oif
        nat POSTROUTING MASQUERADE source destination protocol ports
    """,
    Author.ENGINE: """
        filter FORWARD DOCKER-FORWARD
        filter DOCKER DROP !iif oif
        filter DOCKER-ISOLATION-STAGE-1 DROP !source oif
        filter DOCKER-ISOLATION-STAGE-1 DROP !destination iif
        filter DOCKER-ISOLATION-STAGE-1 DROP !source !iif oif
        filter DOCKER-ISOLATION-STAGE-1 DROP !destination iif !oif
        nat DOCKER DNAT !source protocol ports
        nat DOCKER DNAT !source !iif protocol ports
        nat DOCKER DNAT !source destination protocol ports
        nat DOCKER DNAT !source destination !iif protocol ports
        nat POSTROUTING MASQUERADE oif source_type
    """,
}
"""Table, chain, target and conditions.

Engines masquerade for `--src-type LOCAL`, without a userland proxy only; docker-ipv6nat for `--dst-type LOCAL`, always.
Engines match an internal network by its subnet, docker-ipv6nat by its bridge. Engines >= 28 exclude link-local sources
from DNAT, and drop at the end of DOCKER."""

_Form = tuple[str, str, str, frozenset[str]]
_AUTHORS: Mapping[_Form, Author] = {
    (table, chain, target, frozenset(conditions)): author
    for author, lines in _FORMS.items()
    for table, chain, target, *conditions in (line.split() for line in lines.strip().splitlines())
}


@dataclass(frozen=True, slots=True)
class Ipv6NatRules:
    """What is docker-ipv6nat's in one variant of xtables.

    Attributes:
        rules: to be removed, in the order in which they were read.
        chains: to be removed once the rules are gone.
        kept: its chains that stay, since rules of others are in them or lead to them.
        networks: bridges of the networks that it serves.
        engine_rules: the engine's own IPv6 rules are on as well.
    """

    variant: FilterVariant
    rules: tuple[ListedRule, ...]
    chains: tuple[Place, ...]
    kept: tuple[Place, ...]
    networks: tuple[str, ...]
    engine_rules: bool


def author(listed: ListedRule) -> Author:
    """Who writes such a rule, going by this rule alone."""
    rule = listed.rule
    typical = not rule.comment and rule.states in {(), ("RELATED", "ESTABLISHED")} and _concerns_one_bridge(rule)
    if not typical or (rule.ports is not None and rule.ports[0] != rule.ports[1]):
        return Author.OTHER
    found = _AUTHORS.get((listed.table, listed.chain, rule.target_name, _form(rule)), Author.OTHER)
    if found is Author.SHARED and listed.chain == "POSTROUTING" and not _is_unique_local(rule.source):
        return Author.OTHER
    return found


def is_signature(listed: ListedRule) -> bool:
    """Whether it is the rule that docker-ipv6nat alone writes, for each network but internal ones."""
    return listed.table == NAT and author(listed) is Author.OWN


def find_rules(tables: FilterTables, variant: FilterVariant) -> Ipv6NatRules | None:
    """What docker-ipv6nat wrote; None where its signature is missing."""
    rules = [each for chain in tables.values() for each in chain.rules]
    if not any(map(is_signature, rules)):
        return None
    networks = frozenset(_bridge(each.rule) for each in rules if author(each) is Author.OWN)
    modern = (FILTER, ENGINE_FORWARD) in tables
    if not (modern or _has_engine_order(tables) or any(author(each) is Author.ENGINE for each in rules)):
        return _without_engine(tables, rules, networks, variant)
    further = set(_beside_modern(tables, networks)) if modern else set()
    theirs = tuple(each for each in rules if author(each) is Author.OWN or each in further)
    return Ipv6NatRules(variant, theirs, (), (), tuple(sorted(networks)), engine_rules=True)


def _without_engine(
    tables: FilterTables, rules: list[ListedRule], networks: frozenset[str], variant: FilterVariant
) -> Ipv6NatRules:
    """No engine writes IPv6 rules: the chains are docker-ipv6nat's, and so are rules elsewhere for its bridges."""
    theirs = {
        each
        for each in rules
        if author(each) is Author.OWN
        or (
            author(each) is Author.SHARED
            and (each.chain in _OWN_CHAINS[each.table] or _bridge(each.rule) in networks | {""})
        )
    }
    user = tables.get((FILTER, USER), XtablesChain()).rules
    accept_rules = {each for each in user if is_accept_rule(each.rule, DEFAULT_MARK)}
    if set(user) <= theirs | accept_rules:
        theirs |= accept_rules  # ours goes along, and comes back where it is needed then
    else:  # rules of an administrator: the chain stays, and FORWARD still leads there
        theirs -= {each for each in theirs if USER in (each.chain, each.rule.target_name)}
    used = {place for each in rules if each not in theirs for place in _places(each)}
    own = [place for place in tables if place[1] in _OWN_CHAINS.get(place[0], ())]
    return Ipv6NatRules(
        variant,
        tuple(each for each in rules if each in theirs),
        tuple(place for place in own if place not in used),
        tuple(place for place in own if place in used),
        tuple(sorted(networks)),
        engine_rules=False,
    )


def _has_engine_order(tables: FilterTables) -> bool:
    """Whether FORWARD accepts a bridge's established flows before it jumps to DOCKER, as engines up to 27 do.

    docker-ipv6nat writes the two rules the other way round, and adds none where it finds them.
    """
    jumps: dict[str, int] = {}
    accepts: dict[str, int] = {}
    for number, each in enumerate(tables.get((FILTER, FORWARD), XtablesChain()).rules):
        if author(each) is Author.SHARED and each.rule.target_name == DOCKER:
            jumps.setdefault(each.rule.oif, number)
        elif author(each) is Author.SHARED and each.rule.states:
            accepts.setdefault(each.rule.oif, number)
    return any(accepts[bridge] < jumps[bridge] for bridge in jumps.keys() & accepts.keys())


def _beside_modern(tables: FilterTables, networks: frozenset[str]) -> Iterator[ListedRule]:
    """Rules that engines >= 28 don't write: those of FORWARD for its bridges, and the end of DOCKER-USER."""
    for each in tables.get((FILTER, FORWARD), XtablesChain()).rules:
        if author(each) is Author.SHARED and (each.rule.target_name == STAGE_1 or _bridge(each.rule) in networks):
            yield each
    for each in tables.get((FILTER, USER), XtablesChain()).rules[-1:]:
        if author(each) is Author.SHARED:
            yield each


def _form(rule: XtablesRule) -> frozenset[str]:
    return frozenset(f"{NOT if str(value).startswith(NOT) else ''}{name}" for name, value in rule.conditions.items())


def _places(listed: ListedRule) -> tuple[Place, Place]:
    return (listed.table, listed.chain), (listed.table, listed.rule.target_name)


def _bridge(rule: XtablesRule) -> str:
    return (rule.oif or rule.iif).removeprefix(NOT)


def _concerns_one_bridge(rule: XtablesRule) -> bool:
    return not (rule.iif and rule.oif) or rule.iif.removeprefix(NOT) == rule.oif.removeprefix(NOT)


def _is_unique_local(prefix: str) -> bool:
    try:
        return IPv6Network(prefix).subnet_of(_UNIQUE_LOCAL)
    except ValueError:  # negated, or none
        return False
