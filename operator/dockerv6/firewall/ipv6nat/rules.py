"""What docker-ipv6nat writes, and how that differs from what engines write into chains of the same names. Pure.

docker-ipv6nat (0.4.4, github.com/robbertkl/docker-ipv6nat: manager.go, firewall.go) copies what the engine of its time
did for IPv4, chain names included, and leaves no comment in its rules. Most of them are an engine's to the letter
(SHARED). What it alone writes (OWN) includes a signature: one rule for each network that is not internal. What it never
writes, and an engine on the same host always does (ENGINE), shows that the engine's own IPv6 rules are on; then a
shared rule is the engine's. Compared with the rules of engines 20.10, 26.1 and 28.5, see tests/golden/ipv6nat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.firewall.hostfilter.drops import is_accept_rule
from dockerv6.firewall.hostfilter.place import FORWARD, USER
from dockerv6.firewall.model import DEFAULT_MARK, FilterVariant
from dockerv6.firewall.walk.chains import TableChain
from dockerv6.firewall.xtables.rule import FILTER, NAT, NOT, ListedRule, XtablesChain, XtablesRule

DOCKER = "DOCKER"
STAGE_1 = "DOCKER-ISOLATION-STAGE-1"
_CHAINS = {(FILTER, DOCKER), (FILTER, STAGE_1), (FILTER, "DOCKER-ISOLATION-STAGE-2"), (FILTER, USER), (NAT, DOCKER)}
_ENGINE_FORWARD = (FILTER, "DOCKER-FORWARD")
"""Engine >= 28 alone has this chain; its FORWARD holds no rule for a single bridge."""

_UNIQUE_LOCAL = IPv6Network("fc00::/7")
"""It serves networks in this prefix only (state.go)."""

FilterTables = Mapping[TableChain, XtablesChain]
"""The chains of the tables filter and nat of one variant."""

Form = tuple[str, str, str, frozenset[str]]
"""Table, chain, target and conditions of a rule, without their values."""


def _forms(text: str) -> frozenset[Form]:
    lines = (line.split() for line in text.strip().splitlines())
    return frozenset((table, chain, target, frozenset(conditions)) for table, chain, target, *conditions in lines)


# engines match an internal network by its subnet, docker-ipv6nat by its bridge
OWN = _forms("""
    nat POSTROUTING MASQUERADE oif destination_type
    filter DOCKER-ISOLATION-STAGE-1 DROP !iif oif
    filter DOCKER-ISOLATION-STAGE-1 DROP iif !oif
""")
SHARED = _forms("""
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
""")
# up to 27; newer ones have _ENGINE_FORWARD
ENGINE = _forms("""
    filter DOCKER-ISOLATION-STAGE-1 DROP !source oif
    filter DOCKER-ISOLATION-STAGE-1 DROP !destination iif
    filter DOCKER-ISOLATION-STAGE-1 DROP !source !iif oif
    filter DOCKER-ISOLATION-STAGE-1 DROP !destination iif !oif
    nat POSTROUTING MASQUERADE oif source_type
""")


@dataclass(frozen=True, slots=True)
class IPv6NatRules:
    """What is docker-ipv6nat's in one variant of xtables.

    Attributes:
        rules: to be removed, in the order in which they were read.
        chains: to be removed once the rules are gone.
        networks: bridges of the networks that it serves.
        engine_rules: the engine's own IPv6 rules are on as well.
    """

    variant: FilterVariant
    rules: tuple[ListedRule, ...]
    chains: tuple[TableChain, ...]
    networks: tuple[str, ...]
    engine_rules: bool


def form(listed: ListedRule) -> Form | None:
    """The rule's form; None: neither docker-ipv6nat nor an engine writes rules with such values."""
    rule = listed.rule
    one_bridge = not (rule.iif and rule.oif) or rule.iif.removeprefix(NOT) == rule.oif.removeprefix(NOT)
    one_port = rule.ports is None or rule.ports[0] == rule.ports[1]
    if rule.comment or rule.states not in {(), ("RELATED", "ESTABLISHED")} or not (one_bridge and one_port):
        return None
    if listed.chain == "POSTROUTING" and rule.source and not _is_unique_local(rule.source):
        return None
    negations = ((name, NOT.strip() if str(value).startswith(NOT) else "") for name, value in rule.conditions.items())
    return listed.table, listed.chain, rule.target_name, frozenset(negation + name for name, negation in negations)


def is_signature(listed: ListedRule) -> bool:
    """Whether it is the rule that docker-ipv6nat alone writes, for each network that is not internal."""
    return listed.table == NAT and form(listed) in OWN


def find_rules(tables: FilterTables, variant: FilterVariant) -> IPv6NatRules | None:
    """What docker-ipv6nat wrote; None where its signature is missing."""
    rules = [each for chain in tables.values() for each in chain.rules]
    if not any(map(is_signature, rules)):
        return None
    networks = {_bridge(each.rule) for each in rules if form(each) in OWN}
    theirs = {each for each in rules if form(each) in OWN}
    chains: list[TableChain] = []
    modern = _ENGINE_FORWARD in tables
    engine_rules = modern or _has_engine_order(tables) or any(form(each) in ENGINE for each in rules)
    if modern:
        theirs.update(_beside_modern(tables, networks))
    elif not engine_rules:
        theirs.update(_without_engine(tables, networks))
        used = {place for each in rules if each not in theirs for place in _places(each)}
        chains = [place for place in tables if place in _CHAINS and place not in used]
    removed = tuple(each for each in rules if each in theirs)
    return IPv6NatRules(variant, removed, tuple(chains), tuple(sorted(networks)), engine_rules)


def _without_engine(tables: FilterTables, networks: set[str]) -> set[ListedRule]:
    """Shared rules where no engine writes any: all in docker-ipv6nat's chains, elsewhere those for its bridges."""
    theirs = {
        each
        for place, chain in tables.items()
        for each in chain.rules
        if form(each) in SHARED and (place in _CHAINS or _bridge(each.rule) in networks | {""})
    }
    user = _rules(tables, USER)
    accept_rules = {each for each in user if is_accept_rule(each.rule, DEFAULT_MARK)}
    if set(user) <= theirs | accept_rules:
        return theirs | accept_rules  # our own rule is removed with the chain, and added again where it is needed
    # an administrator's rules: the chain stays, and FORWARD still jumps there
    return {each for each in theirs if (FILTER, USER) not in _places(each)}


def _beside_modern(tables: FilterTables, networks: set[str]) -> Iterator[ListedRule]:
    """Shared rules that engines >= 28 don't write: those of FORWARD for single bridges, and the end of DOCKER-USER."""
    for each in _rules(tables, FORWARD):
        if form(each) in SHARED and (each.rule.target_name == STAGE_1 or _bridge(each.rule) in networks):
            yield each
    yield from (each for each in _rules(tables, USER)[-1:] if form(each) in SHARED)


def _has_engine_order(tables: FilterTables) -> bool:
    """Whether FORWARD accepts a bridge's established flows before it jumps to DOCKER, as engines up to 27 do.

    docker-ipv6nat writes the two rules the other way round, and adds none where it finds them.
    """
    accepted: set[str] = set()
    jumped: set[str] = set()
    for each in _rules(tables, FORWARD):
        if form(each) in SHARED and each.rule.target_name == DOCKER:
            if each.rule.oif in accepted - jumped:
                return True
            jumped.add(each.rule.oif)
        elif form(each) in SHARED and each.rule.states:
            accepted.add(each.rule.oif)
    return False


def _rules(tables: FilterTables, chain: str) -> tuple[ListedRule, ...]:
    return tables[FILTER, chain].rules if (FILTER, chain) in tables else ()


def _places(listed: ListedRule) -> set[TableChain]:
    return {(listed.table, listed.chain), (listed.table, listed.rule.target_name)}


def _bridge(rule: XtablesRule) -> str:
    return (rule.oif or rule.iif).removeprefix(NOT)


def _is_unique_local(prefix: str) -> bool:
    try:
        return IPv6Network(prefix).subnet_of(_UNIQUE_LOCAL)
    except ValueError:  # negated
        return False
