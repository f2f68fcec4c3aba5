"""What docker-ipv6nat writes, and how that differs from what engines write into chains of the same names. Pure.

docker-ipv6nat (0.4.4, github.com/robbertkl/docker-ipv6nat: manager.go, firewall.go) copies what the engine of its time
did for IPv4, chain names included, and leaves no comment in its rules. Most of them are an engine's to the letter:
`SHARED` below. What it alone writes (`OWN`) are two rules for each network; what it never writes and an engine on
the same host always does (`ENGINE`) tells that the engine's own IPv6 rules are on, and then a shared rule is the
engine's. Compared with the rules of engines 20.10, 26.1 and 28.5, see tests/golden/ipv6nat.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Network

DOCKER = "DOCKER"
USER = "DOCKER-USER"
STAGE_1 = "DOCKER-ISOLATION-STAGE-1"
STAGE_2 = "DOCKER-ISOLATION-STAGE-2"
ENGINE_FORWARD = "DOCKER-FORWARD"
"""Engine >= 28 alone has this; its FORWARD holds no rule for a single bridge."""

BUILT_IN = {"filter": ("FORWARD",), "nat": ("PREROUTING", "OUTPUT", "POSTROUTING")}
MADE = {"filter": (DOCKER, STAGE_1, STAGE_2, USER), "nat": (DOCKER,)}
"""The chains that it makes. DOCKER-USER is the only one that it doesn't empty first and never removes."""

UNIQUE_LOCAL = IPv6Network("fc00::/7")
"""It looks after networks in this prefix only (state.go)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as far as docker-ipv6nat's vocabulary goes. Names and addresses begin with "!" where they are negated."""

    table: str
    chain: str
    target: str = ""
    iif: str = ""
    oif: str = ""
    source: str = ""
    destination: str = ""
    protocol: str = ""
    port: str = ""  # destination port; "?" where it can't be read
    states: bool = False  # matches on connection tracking's state
    local: str = ""  # "src" or "dst" is an address of the host; "?" where it can't be read which
    strange: bool = False  # says something that docker-ipv6nat never says
    ours: bool = False  # our accept rule, by the default bit of the mark
    handle: int = 0  # the kernel's number (nftables), or the place in its chain

    def __str__(self) -> str:
        """As in ip6tables-save, as far as it is known."""
        words = ["-A", self.chain]
        for option, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.iif),
            ("-o", self.oif),
            ("-p", self.protocol),
            ("--dport", self.port),
        ):
            if value:
                words += ["!", option, value[1:]] if value.startswith("!") else [option, value]
        if self.states:
            words += ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
        if self.local:
            words += ["-m", "addrtype", f"--{self.local}-type", "LOCAL"]
        return " ".join([*words, "-j", self.target])


@dataclass(frozen=True, slots=True)
class Tables:
    """Chains of the IPv6 tables filter and nat, by table and name, with their rules in order."""

    chains: Mapping[tuple[str, str], tuple[Rule, ...]]

    @property
    def rules(self) -> Iterable[Rule]:
        """All rules."""
        return (rule for rules in self.chains.values() for rule in rules)


class Author(StrEnum):
    """Who writes a rule like this."""

    OWN = "docker-ipv6nat"
    SHARED = "docker-ipv6nat or an engine"
    ENGINE = "an engine"
    FOREIGN = "somebody else"


class Certainty(StrEnum):
    """How sure it is that rules are docker-ipv6nat's."""

    CERTAIN = "certain"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is docker-ipv6nat's in a set of tables.

    Attributes:
        certainty: LIKELY where it has no network, so that only rules without effect are there; then nothing is listed
            for removal.
        rules: to be removed, in the order in which they are read.
        chains: to be removed once the rules are gone.
        kept: its chains that must stay, since somebody else's rules are in them or lead to them.
        networks: bridges that it looks after.
        engine: the engine's own IPv6 rules are on as well.
    """

    certainty: Certainty
    rules: tuple[Rule, ...]
    chains: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]
    networks: tuple[str, ...]
    engine: bool


_Form = frozenset[str]


def _form(*parts: str) -> _Form:
    return frozenset(parts)


_PORT = ("protocol", "port")
_FORMS: Mapping[tuple[str, str, str, _Form], Author] = {
    ("filter", "FORWARD", USER, _form()): Author.SHARED,
    ("filter", "FORWARD", STAGE_1, _form()): Author.SHARED,
    ("filter", "FORWARD", DOCKER, _form("oif")): Author.SHARED,
    ("filter", "FORWARD", "ACCEPT", _form("oif", "states")): Author.SHARED,
    ("filter", "FORWARD", "ACCEPT", _form("iif", "!oif")): Author.SHARED,
    ("filter", "FORWARD", "ACCEPT", _form("iif", "oif")): Author.SHARED,
    ("filter", "FORWARD", "DROP", _form("iif", "oif")): Author.SHARED,
    ("filter", "FORWARD", ENGINE_FORWARD, _form()): Author.ENGINE,
    ("filter", USER, "RETURN", _form()): Author.SHARED,
    ("filter", DOCKER, "ACCEPT", _form("destination", "!iif", "oif", *_PORT)): Author.SHARED,
    ("filter", DOCKER, "DROP", _form("!iif", "oif")): Author.ENGINE,  # >= 28
    ("filter", STAGE_1, STAGE_2, _form("iif", "!oif")): Author.SHARED,
    ("filter", STAGE_1, "RETURN", _form()): Author.SHARED,
    # An internal network. Engines tell it by its subnet, docker-ipv6nat by its bridge, so as not to stop NDP.
    ("filter", STAGE_1, "DROP", _form("!iif", "oif")): Author.OWN,
    ("filter", STAGE_1, "DROP", _form("iif", "!oif")): Author.OWN,
    ("filter", STAGE_1, "DROP", _form("!source", "oif")): Author.ENGINE,  # 20.10
    ("filter", STAGE_1, "DROP", _form("!destination", "iif")): Author.ENGINE,
    ("filter", STAGE_1, "DROP", _form("!source", "!iif", "oif")): Author.ENGINE,  # >= 23
    ("filter", STAGE_1, "DROP", _form("!destination", "iif", "!oif")): Author.ENGINE,
    ("filter", STAGE_2, "DROP", _form("oif")): Author.SHARED,
    ("filter", STAGE_2, "RETURN", _form()): Author.SHARED,
    ("nat", "PREROUTING", DOCKER, _form("local=dst")): Author.SHARED,
    ("nat", "OUTPUT", DOCKER, _form("local=dst")): Author.SHARED,
    ("nat", "OUTPUT", DOCKER, _form("!destination", "local=dst")): Author.SHARED,
    ("nat", DOCKER, "RETURN", _form("iif")): Author.SHARED,
    ("nat", DOCKER, "DNAT", _form(*_PORT)): Author.SHARED,
    ("nat", DOCKER, "DNAT", _form("destination", *_PORT)): Author.SHARED,
    ("nat", DOCKER, "DNAT", _form("!iif", *_PORT)): Author.SHARED,
    ("nat", DOCKER, "DNAT", _form("destination", "!iif", *_PORT)): Author.SHARED,
    ("nat", DOCKER, "DNAT", _form("!source", *_PORT)): Author.ENGINE,  # >= 28: not for link-local sources
    ("nat", DOCKER, "DNAT", _form("!source", "!iif", *_PORT)): Author.ENGINE,
    ("nat", DOCKER, "DNAT", _form("!source", "destination", *_PORT)): Author.ENGINE,
    ("nat", DOCKER, "DNAT", _form("!source", "destination", "!iif", *_PORT)): Author.ENGINE,
    # Engines write this for --src-type, without a userland proxy; only docker-ipv6nat does for --dst-type, always.
    ("nat", "POSTROUTING", "MASQUERADE", _form("oif", "local=dst")): Author.OWN,
    ("nat", "POSTROUTING", "MASQUERADE", _form("oif", "local=src")): Author.ENGINE,
    ("nat", "POSTROUTING", "MASQUERADE", _form("source", "!oif")): Author.SHARED,
    ("nat", "POSTROUTING", "MASQUERADE", _form("source", "destination", *_PORT)): Author.SHARED,
}
_FIELDS = ("iif", "oif", "source", "destination", "protocol", "port")
_OF_A_BRIDGE = frozenset({_form("oif"), _form("oif", "states"), _form("iif", "!oif"), _form("iif", "oif")})


def form(rule: Rule) -> _Form:
    """Which conditions a rule has, whatever their values are."""
    said = {f"!{name}" if value.startswith("!") else name for name in _FIELDS if (value := getattr(rule, name))}
    if rule.states:
        said.add("states")
    if rule.local:
        said.add(f"local={rule.local}")
    return frozenset(said)


def author(rule: Rule) -> Author:
    """Who writes such a rule, going by this rule alone."""
    if rule.strange or not _one_bridge(rule):
        return Author.FOREIGN
    found = _FORMS.get((rule.table, rule.chain, rule.target, form(rule)), Author.FOREIGN)
    if found is Author.SHARED and rule.chain == "POSTROUTING" and not _unique_local(rule.source):
        return Author.FOREIGN
    return found


def judge(tables: Tables) -> Verdict | None:
    """What docker-ipv6nat wrote here; None where nothing looks like it.

    Between one network's rules in FORWARD the order tells: docker-ipv6nat jumps to DOCKER before it accepts
    established flows, engines up to 27 after. It adds none where it finds them, so an engine's stay the engine's.
    """
    by = {rule: author(rule) for rule in tables.rules}
    own_order, engine_order = _orders(tables)
    modern = ("filter", ENGINE_FORWARD) in tables.chains
    engine = modern or bool(engine_order) or Author.ENGINE in by.values()
    counted = own_order if modern or not engine else frozenset()
    evidence = [rule for rule, who in by.items() if who is Author.OWN]
    networks = counted | {_bridge(rule) for rule in evidence}
    if not networks:
        return _without_networks(tables, by) if not engine else None
    if engine:
        further = _beside_modern(tables, networks) if modern else frozenset()
        rules = tuple(rule for rule in tables.rules if by[rule] is Author.OWN or rule in further)
        return Verdict(Certainty.CERTAIN, rules, (), (), tuple(sorted(networks)), engine=True)
    return _alone(tables, by, networks)


def _alone(tables: Tables, by: Mapping[Rule, Author], networks: frozenset[str]) -> Verdict:
    """No engine writes IPv6 rules here: the chains are docker-ipv6nat's, and its rules elsewhere go by its bridges."""
    theirs = {
        rule
        for rule, who in by.items()
        if who is Author.OWN
        or (who is Author.SHARED and (rule.chain not in BUILT_IN[rule.table] or _concerns(rule, networks)))
    }
    for at in [place for place in tables.chains if place[1] == USER]:
        if any(rule not in theirs and not rule.ours for rule in tables.chains[at]):
            # people's own rules: the chain stays, and is reached
            theirs -= {rule for rule in theirs if USER in (rule.chain, rule.target)}
        else:  # ours goes along, and comes back where it is needed then
            theirs |= {rule for rule in tables.chains[at] if rule.ours}
    left = [rule for rule in tables.rules if rule not in theirs]
    made = [place for place in tables.chains if place[1] in MADE.get(place[0], ())]
    kept = {
        place for place in made if any(place in ((rule.table, rule.chain), (rule.table, rule.target)) for rule in left)
    }
    return Verdict(
        Certainty.CERTAIN,
        tuple(rule for rule in tables.rules if rule in theirs),
        tuple(place for place in made if place not in kept),
        tuple(place for place in made if place in kept),
        tuple(sorted(networks)),
        engine=False,
    )


def _without_networks(tables: Tables, by: Mapping[Rule, Author]) -> Verdict | None:
    """Only what it writes at its start. An engine's isolation chain would at least name docker0."""
    stage_1 = tables.chains.get(("filter", STAGE_1), ())
    base = [rule for rule in by if rule.chain in ("FORWARD", STAGE_1) and rule.target in (STAGE_1, USER, "RETURN")]
    if ("filter", USER) in tables.chains and len(stage_1) == 1 and stage_1[0].target == "RETURN" and len(base) > 1:
        return Verdict(Certainty.LIKELY, (), (), (), (), engine=False)
    return None


def _orders(tables: Tables) -> tuple[frozenset[str], frozenset[str]]:
    """Bridges whose rules in FORWARD are in docker-ipv6nat's order, and those in an engine's."""
    jumps: dict[str, int] = {}
    accepts: dict[str, int] = {}
    for number, rule in enumerate(tables.chains.get(("filter", "FORWARD"), ())):
        if author(rule) is not Author.SHARED:
            continue
        if rule.target == DOCKER:
            jumps.setdefault(rule.oif, number)
        elif rule.states:
            accepts.setdefault(rule.oif, number)
    both = jumps.keys() & accepts.keys()
    own = frozenset(bridge for bridge in both if jumps[bridge] < accepts[bridge])
    return own, frozenset(both) - own


def _beside_modern(tables: Tables, bridges: frozenset[str]) -> frozenset[Rule]:
    """Rules that are its because engines >= 28 write none like them: in FORWARD, and the end of DOCKER-USER."""
    forward = tables.chains.get(("filter", "FORWARD"), ())
    user = tables.chains.get(("filter", USER), ())
    its = {
        rule
        for rule in forward
        if author(rule) is Author.SHARED
        and (rule.target == STAGE_1 or (form(rule) in _OF_A_BRIDGE and _bridge(rule) in bridges))
    }
    return frozenset(its | {rule for rule in user[-1:] if author(rule) is Author.SHARED})


def _concerns(rule: Rule, bridges: frozenset[str]) -> bool:
    """Whether a shared rule of a built-in chain names one of the bridges, or none at all."""
    return not (rule.iif or rule.oif) or _bridge(rule) in bridges


def _bridge(rule: Rule) -> str:
    return (rule.oif or rule.iif).removeprefix("!")


def _one_bridge(rule: Rule) -> bool:
    return not (rule.iif and rule.oif) or rule.iif.removeprefix("!") == rule.oif.removeprefix("!")


def _unique_local(prefix: str) -> bool:
    try:
        return IPv6Network(prefix).subnet_of(UNIQUE_LOCAL)
    except ValueError:  # negated, or none
        return False
