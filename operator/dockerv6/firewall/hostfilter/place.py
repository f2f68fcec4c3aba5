"""Where our accept rule belongs: behind all that may drop, before what ends the chain for every packet. Pure.

A rule *blocks* if no packet gets past it. A rule *may drop* if it drops some packets and lets others go on. The accept
rule belongs behind the last rule that may drop above the first one that blocks: there the drops of administrators are
in force, and every packet that would meet the blocking rule meets ours before. It stands no lower than that, since
rules that log what is about to be dropped, or return to FORWARD, would then apply to the flows that we accept.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dockerv6.firewall.xtables.rule import (
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    MarkTarget,
    PlainTarget,
    XtablesChain,
    XtablesRule,
)

FORWARD = "FORWARD"
USER = "DOCKER-USER"

_ENGINE_CHAINS = "DOCKER"
_DROPS = frozenset({PlainTarget.DROP, ExtensionTarget("REJECT")})
_PASSES = (PlainTarget.ACCEPT, PlainTarget.RETURN)
_GOES_ON = frozenset(
    {"AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "HL", "IDLETIMER", "LED", "LOG", "MARK"}
    | {"NFLOG", "NOTRACK", "RATEEST", "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TRACE", "ULOG"}
)
"""Extensions behind which every packet goes on (iptables-extensions(8)). NFQUEUE and others may drop it."""

_VERDICTS = frozenset({"lookup", "verdict", "queue", "synproxy", "tproxy"})
"""Expressions of nftables that decide about a packet, in rules that are decoded without a target."""

FilterChains = Mapping[str, XtablesChain]
"""FORWARD and DOCKER-USER of one variant, as far as they exist, and the chains that they lead into, by name."""

_EMPTY = XtablesChain()


@dataclass(frozen=True, slots=True)
class Place:
    """Indexes into a chain's rules between which the accept rule belongs.

    Attributes:
        first: of the rule behind the last one that may drop; the accept rule is inserted here.
        blocking: of the first rule that blocks; the number of rules if none does.
    """

    first: int
    blocking: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The chains, and what is known of each. `conceded`: see `contests`; these rules neither block nor drop."""

    chains: FilterChains
    conceded: Mapping[str, Collection[XtablesRule]] = field(default_factory=dict)
    _fates: dict[str, PlainTarget] = field(default_factory=dict)

    def fate(self, name: str) -> PlainTarget:
        """What a packet that no conditional rule decides about meets in a chain: DROP, ACCEPT, or RETURN to the caller.

        A chain of the engine's counts as DROP: it drops what the engine didn't publish itself.
        """
        if name not in self._fates:
            self._fates[name] = PlainTarget.RETURN  # chains that were read while they changed may lead in a circle
            self._fates[name] = PlainTarget.DROP if is_engine_chain(name) else self._fate(name)
        return self._fates[name]

    def _fate(self, name: str) -> PlainTarget:
        for each in self._rules(name):
            target = each.rule.target
            if each.rule.conditions:
                continue
            if target in _DROPS:
                return PlainTarget.DROP
            if isinstance(target, PlainTarget) and target in _PASSES:
                return target
            if isinstance(target, ChainTarget):
                fate = self.fate(target.chain)
                if fate is not PlainTarget.RETURN or not target.jump:
                    return fate
        return PlainTarget.RETURN

    def blocks(self, rule: XtablesRule) -> bool:
        """Whether no packet gets past the rule."""
        if rule.conditions:
            return False
        if isinstance(rule.target, ChainTarget):
            return not rule.target.jump or self.fate(rule.target.chain) is not PlainTarget.RETURN
        return rule.target in _DROPS or rule.target in _PASSES

    def may_drop(self, rule: XtablesRule) -> bool:
        """Whether the rule, or one that it leads to, drops; so may what isn't known. Engines' chains don't count."""
        pending, seen = [rule], set[str]()
        while pending:
            each = pending.pop()
            if _drops(each):
                return True
            name = entered(each)
            if name and name not in seen and not is_engine_chain(name):
                seen.add(name)
                pending += (listed.rule for listed in self._rules(name))
        return False

    def place(self, name: str) -> Place:
        """Where the accept rule belongs in a chain."""
        rules, conceded = self._rules(name), self.conceded.get(name, ())
        blocking = self._first_blocking(rules, conceded)
        for at in range(blocking, 0, -1):
            rule = rules[at - 1].rule
            if rule not in conceded and self.may_drop(rule):
                return Place(at, blocking)
        return Place(0, blocking)

    def chain(self) -> str:
        """The chain that the accept rule belongs in: DOCKER-USER, or FORWARD where packets would not meet it there.

        Engines < 23 don't have DOCKER-USER for IPv6. In it nobody moves our rule, whereas engines put their jumps on
        top of FORWARD again and again. But what may drop between the jump to DOCKER-USER and the first rule that blocks
        is behind all of DOCKER-USER; and packets that return from DOCKER-USER above our rule meet it in FORWARD only.
        """
        rules = self._rules(FORWARD)
        for at, each in enumerate(rules):
            if entered(each.rule) == USER and not each.rule.conditions and USER in self.chains:
                if self.blocks(each.rule):  # they don't come back
                    return USER
                behind = rules[at + 1 :]
                behind = behind[: self._first_blocking(behind, self.conceded.get(FORWARD, ()))]
                user, place = self._rules(USER), self.place(USER)
                leave = any(_leaves(above.rule) for above in user[: place.first])
                # what blocks in DOCKER-USER may be a goto, from which packets come back to FORWARD
                others = (*user[place.blocking :][:1], *(below for below in behind if entered(below.rule) != USER))
                return FORWARD if leave or any(self.may_drop(other.rule) for other in others) else USER
            if self.blocks(each.rule) and not is_engine_chain(entered(each.rule)):
                break  # engines put their jumps on top first, and that to DOCKER-USER above them right after that
        return FORWARD

    def _first_blocking(self, rules: Sequence[ListedRule], conceded: Collection[XtablesRule]) -> int:
        return next((at for at, e in enumerate(rules) if self.blocks(e.rule) and e.rule not in conceded), len(rules))

    def _rules(self, name: str) -> Sequence[ListedRule]:
        return self.chains.get(name, _EMPTY).rules


def unread(chains: FilterChains) -> frozenset[str]:
    """The chains that have to be read too: those that FORWARD and DOCKER-USER lead into, as far as they matter.

    An engine's chains have rules for each network, and a chain that is known to drop may lead into one for each client:
    neither says more.
    """
    return frozenset(name for chain, found in chains.items() for name in _leading(chain, found) if name not in chains)


def _leading(chain: str, found: XtablesChain) -> Iterator[str]:
    known = chain not in {FORWARD, USER} and any(_drops(each.rule) for each in found.rules)
    for each in found.rules:
        name = entered(each.rule)
        if name and not is_engine_chain(name) and not (known and each.rule.conditions):
            yield name


def entered(rule: XtablesRule) -> str:
    """The chain that the rule leads into; empty: none."""
    return rule.target.chain if isinstance(rule.target, ChainTarget) else ""


def is_engine_chain(name: str) -> bool:
    """Whether an engine drops in it what it didn't publish itself."""
    return name.startswith(_ENGINE_CHAINS) and name != USER


def _drops(rule: XtablesRule) -> bool:
    """Whether the rule itself may drop."""
    if rule.target is None:
        return not _VERDICTS.isdisjoint(rule.unknown)
    if isinstance(rule.target, ExtensionTarget):
        return rule.target.name not in _GOES_ON
    return not isinstance(rule.target, ChainTarget | MarkTarget) and rule.target not in _PASSES


def _leaves(rule: XtablesRule) -> bool:
    """Whether packets that fulfil its conditions leave the chain for the one that led into it."""
    return rule.target is PlainTarget.RETURN or (isinstance(rule.target, ChainTarget) and not rule.target.jump)
