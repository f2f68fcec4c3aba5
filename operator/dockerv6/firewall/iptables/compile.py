"""Compiles a ruleset to chains of xtables. Pure. It translates terms; `firewall.render` decides what is accepted.

Each base chain becomes a chain that one commented jump enters, at the top of the built-in chain with the nearest
priority (see `_PLACES`). "Accept" in a table of our own means that other tables still decide. In xtables that is a
return to the built-in chain: an ACCEPT would keep the packet from the rules below our jump. So a chain from which a
packet may be accepted is entered by `goto`, which has no way back; only chains and lookups that never accept are jumped
to.

"Not translated" has to be a decision too (see `PlainTarget.KEEP_SOURCE`): after an ACCEPT in the table nat, an engine
whose rules are in iptables-nft would still masquerade the packet; after NETMAP to itself no other rule is asked.

Only the jumps, and the few rules that start a lookup, have comments: one costs 288 bytes, and a call for every packet.
The owners of elements are in the ownership records (see `ownership`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from dockerv6.firewall.expr import (
    Chain,
    ClearMark,
    Dnat,
    Element,
    ElementSet,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    Netmap,
    Rule,
    SetMark,
    Snat,
    Term,
    Verdict,
    overlapping,
)
from dockerv6.firewall.iptables.matches import LEAF, LookupElement, LookupTree, alternatives, matching, with_length
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.xtables.rule import (
    MANGLE,
    NAT,
    OWN_CHAIN_PREFIX,
    ChainTarget,
    DnatTarget,
    MarkTarget,
    NetmapTarget,
    PlainTarget,
    SnatTarget,
    UnsupportedRuleError,
    XtablesRule,
    XtablesTarget,
)

UNSUPPORTED_CHAINS = frozenset({"loopback", "loopback_back"})
"""Chains that xtables can't express: it rewrites no address without connection tracking, so [::1] of the host reaches a
published port only through the engine's userland proxy."""

_TO_PROXY = XtablesRule(PlainTarget.RETURN, source="::1/128")
"""Without those chains, a translated packet from ::1 would be dropped; the userland proxy, if there is one, answers."""

_PLACES = {
    ("filter", "prerouting", -300): (MANGLE, "PREROUTING"),
    ("filter", "prerouting", -150): (MANGLE, "PREROUTING"),
    ("filter", "input", -1): (MANGLE, "INPUT"),
    ("filter", "forward", -1): (MANGLE, "FORWARD"),
    ("filter", "forward", 100): (MANGLE, "POSTROUTING"),
    ("nat", "prerouting", -101): (NAT, "PREROUTING"),
    ("nat", "output", -101): (NAT, "OUTPUT"),
    ("nat", "postrouting", 99): (NAT, "POSTROUTING"),
}
"""Table and built-in chain by a base chain's type, hook and priority.

The mark is cleared in POSTROUTING, because mangle has no hook behind filter in FORWARD. Table raw is not ours."""

_VERDICT_TARGETS: dict[Verdict, PlainTarget] = {
    Verdict.ACCEPT: PlainTarget.RETURN,
    Verdict.DROP: PlainTarget.DROP,
    Verdict.MASQUERADE: PlainTarget.MASQUERADE,
    Verdict.KEEP_SOURCE: PlainTarget.KEEP_SOURCE,
}
_PASS = f"{OWN_CHAIN_PREFIX}PASS"
_LONGEST_NAME = 28
"""XT_EXTENSION_MAXNAMELEN without its NUL."""


@dataclass(frozen=True, slots=True)
class CompiledChain:
    """A chain of ours. `origin`: the ruleset's chain that it comes from; empty for the ownership records."""

    name: str
    rules: tuple[XtablesRule, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class CompiledTable:
    """Our part of a table: chains, and jumps at the top of the built-in chains, in the order in `jumps`."""

    name: str
    chains: tuple[CompiledChain, ...] = ()
    jumps: tuple[tuple[str, XtablesRule, str], ...] = ()  # built-in chain, the rule, the ruleset's chain that it enters

    def lines(self) -> Iterator[str]:
        """The lines of `ip6tables-save`."""
        yield f"*{self.name}"
        for chain in self.chains:
            yield f":{chain.name} - [0:0]"
        for builtin, rule, _ in self.jumps:
            yield f"-A {builtin} {rule}"
        for chain in self.chains:
            for rule in chain.rules:
                yield f"-A {chain.name} {rule}".rstrip()


def compile_ruleset(ruleset: Ruleset) -> tuple[CompiledTable, CompiledTable]:
    """Our part of the tables mangle and nat, without the ownership records.

    Raises:
        UnsupportedRuleError: the ruleset has a rule that xtables can't express, or sets that no kernel would take.
    """
    if not ruleset.exists:
        return CompiledTable(MANGLE), CompiledTable(NAT)
    for each in ruleset.sets:
        if each.interval and (clash := overlapping(element.key for element in each.elements)) is not None:
            raise UnsupportedRuleError(f"{' . '.join(clash[0])} overlaps {' . '.join(clash[1])} in set {each.name}")
    return _TableCompiler(MANGLE, ruleset).compiled(), compile_nat(ruleset)


def compile_nat(ruleset: Ruleset) -> CompiledTable:
    """The part in the table nat alone."""
    return _TableCompiler(NAT, ruleset).compiled()


def origin(name: str, chains: Iterable[Chain]) -> str:
    """The ruleset's chain that a compiled chain comes from, by its name; empty: none."""
    for each in sorted(chains, key=lambda chain: -len(chain.name)):
        if name == own_name(each.name) or name.startswith(f"{_short(each.name)}-"):
            return each.name
    return "forward" if name == _PASS else ""


def is_supported(chain: Chain) -> bool:
    """Whether xtables can express the chain; the others are left out."""
    return chain.name not in UNSUPPORTED_CHAINS


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A lookup in a set or a map."""

    fields: tuple[Field, ...]
    kinds: ElementSet
    entries: tuple[tuple[tuple[str, ...], XtablesTarget | None], ...]  # key, and a map's target; None: the rule's
    negate: bool

    @property
    def decides(self) -> bool:
        """Whether its elements have targets of their own."""
        return any(target is not None for _, target in self.entries)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A rule taken apart."""

    conditions: tuple[XtablesRule, ...]  # alternatives; none: never true
    lookups: tuple[_Lookup, ...]
    target: XtablesTarget | None  # None: each element of the one lookup has its own
    leaves: bool  # the target may accept, so it must be entered by goto


class _TableCompiler:
    """Compiles our part of one table."""

    def __init__(self, name: str, ruleset: Ruleset) -> None:
        self._name = name
        self._ruleset = ruleset
        self._sets = {each.name: each for each in ruleset.sets}
        self._chains: dict[str, CompiledChain] = {}
        self._known: dict[object, str] = {}
        self._origin = ""

    def compiled(self) -> CompiledTable:
        jumps: list[tuple[str, XtablesRule, str]] = []
        for chain in self._ruleset.chains:
            if not chain.hook or not is_supported(chain):
                continue
            place = _PLACES.get((chain.type, chain.hook, chain.priority))
            if place is None:
                raise UnsupportedRuleError(f"no built-in chain has the hook and priority of chain {chain.name}")
            if place[0] == self._name:
                comment = f"dockerv6: {chain.name.replace('_', ' ')}"
                rule = XtablesRule(ChainTarget(self._chain(chain), jump=True), comment=comment)
                jumps.append((place[1], rule, chain.name))
        priorities = {chain.name: chain.priority for chain in self._ruleset.chains}
        jumps.sort(key=lambda each: (each[0], priorities[each[2]]))
        return CompiledTable(self._name, tuple(self._chains.values()), tuple(jumps))

    def _chain(self, chain: Chain) -> str:
        """The name of the compiled chain; compiles it if it is not there."""
        name = own_name(chain.name)
        if name not in self._chains:
            caller, self._origin = self._origin, chain.name
            self._chains[name] = CompiledChain(name, (), chain.name)  # keeps its place before the chains that it enters
            self._fill(name, chain, chain.rules)
            self._origin = caller
        return name

    def _emit(self, name: str, rules: list[XtablesRule]) -> None:
        if len(name) > _LONGEST_NAME:
            raise UnsupportedRuleError(f"{name} is too long for a chain")
        if name in self._chains and self._chains[name].rules:
            raise UnsupportedRuleError(f"two chains would be called {name}")
        self._chains[name] = CompiledChain(name, tuple(rules), self._origin)

    def _fill(self, name: str, chain: Chain, rules: tuple[Rule, ...]) -> None:
        """Compile the last rules of a chain into the compiled chain of that name."""
        written = [_TO_PROXY] if (chain.type, chain.hook) == ("nat", "output") else []
        for number, rule in enumerate(rules, start=1):
            parts = self._parts(rule)
            if not parts.conditions:
                continue
            if not parts.lookups:
                written.extend(_with(each, parts.target, rule.comment) for each in parts.conditions)
                continue
            if (listed := _listed(parts)) is not None:
                written.extend(listed)
                continue
            tree = f"{_short(chain.name)}-{len(chain.rules) - len(rules) + number}"
            if not parts.leaves:
                root = ChainTarget(self._tree(tree, parts, None), jump=True)
                written.extend(replace(each, target=root, comment=rule.comment) for each in parts.conditions)
                continue
            rest = self._rest(f"{tree}+", chain, rules[number:])
            root = ChainTarget(self._tree(tree, parts, rest))
            written.extend(replace(each, target=root, comment=rule.comment) for each in parts.conditions)
            if rest is not None and all(each.conditions for each in parts.conditions):
                written.append(XtablesRule(rest))
            break
        self._emit(name, written)

    def _rest(self, name: str, chain: Chain, rules: tuple[Rule, ...]) -> XtablesTarget | None:
        """A chain with the rules behind a lookup; None: none of them ever matches."""
        if not any(self._parts(rule).conditions for rule in rules):
            return None
        self._fill(name, chain, rules)
        return ChainTarget(name)

    def _tree(self, name: str, parts: _Parts, miss: XtablesTarget | None) -> str:
        """The root of the rule's lookup trees. `miss`: the target of a packet that isn't found; None: it returns."""
        lookup, *more = parts.lookups
        known = (parts.lookups, parts.target, miss)
        if known in self._known:
            return self._known[known]
        hit = parts.target
        if more:
            others = replace(parts, lookups=tuple(more))
            hit = ChainTarget(self._tree(f"{name}{chr(ord('a') + len(more) - 1)}", others, miss), jump=not parts.leaves)
        if lookup.negate:
            hit, miss = miss or PlainTarget.RETURN, hit
        entries = [LookupElement(key, own or hit or PlainTarget.RETURN) for key, own in lookup.entries]
        LookupTree(lookup.fields, lookup.kinds.key, miss, self._emit).write(name, entries)
        self._known[known] = name
        return name

    def _parts(self, rule: Rule) -> _Parts:
        conditions = [XtablesRule()]
        lookups: list[_Lookup] = []
        actions: list[Term] = []
        for term in rule.terms:
            match term:
                case In():
                    lookups.append(self._lookup(term))
                case Dnat():
                    lookups.append(self._translation(term))
                case Snat():
                    lookups.append(self._source(term))
                case Is() | HasMark():
                    conditions = [replaced for each in conditions for replaced in alternatives(each, term)]
                case _:
                    actions.append(term)
        if any(not each.entries and not each.negate for each in lookups):
            conditions = []
        asked = [each for each in lookups if each.entries]
        # a map's elements have final targets, so that lookup comes last, after all other conditions
        asked.sort(key=lambda each: (each.decides, each.negate, len(each.entries)))
        target, leaves = self._target(actions)
        return _Parts(tuple(conditions), tuple(asked), target, leaves)

    def _lookup(self, term: In) -> _Lookup:
        found = self._set(term.set)
        keys = tuple((each.key, None) for each in sorted(found.elements, key=_key))
        return _Lookup(term.fields, replace(found, elements=frozenset()), keys, term.negate)

    def _translation(self, term: Dnat) -> _Lookup:
        """The maps of a DNAT, of addresses and of ports, as one lookup with a target for each element."""
        addresses = self._set(term.addresses)
        ports = {each.key: each.value for each in self._set(term.ports).elements}
        entries = tuple(
            (each.key, DnatTarget(each.value.partition("/")[0], int(ports[each.key])))
            for each in sorted(addresses.elements, key=_key)
            if each.key in ports
        )
        return _Lookup(term.fields, replace(addresses, elements=frozenset()), entries, negate=False)

    def _source(self, term: Snat) -> _Lookup:
        """The map of an SNAT as a lookup with a target for each element."""
        found = self._set(term.addresses)
        entries = tuple(
            (each.key, SnatTarget(each.value.partition("/")[0])) for each in sorted(found.elements, key=_key)
        )
        return _Lookup(term.fields, replace(found, elements=frozenset()), entries, negate=False)

    def _set(self, name: str) -> ElementSet:
        if name not in self._sets:
            raise UnsupportedRuleError(f"there is no set {name}")
        return self._sets[name]

    def _target(self, actions: Sequence[Term]) -> tuple[XtablesTarget | None, bool]:
        """The target, and whether a packet may leave our chains by it (accept)."""
        match tuple(actions):
            case ():
                return None, False
            case (SetMark(bits) | ClearMark(bits) as mark,):
                return MarkTarget(bits if isinstance(mark, SetMark) else 0, bits), False
            case (SetMark(bits), Verdict.ACCEPT):
                return ChainTarget(self._pass(bits)), True
            case (Netmap(_, to),):
                return NetmapTarget(with_length(to)), False
            case (Verdict() as verdict,):
                return _VERDICT_TARGETS[verdict], verdict is Verdict.ACCEPT
            case (Jump(name),):
                chain = self._ruleset.chain(name)
                if chain is None:
                    raise UnsupportedRuleError(f"there is no chain {name}")
                leaves = self._leaves(chain)
                return ChainTarget(self._chain(chain), jump=not leaves), leaves
        raise UnsupportedRuleError(f"xtables has no target for: {' '.join(str(each) for each in actions)}")

    def _pass(self, bits: int) -> str:
        """The chain that marks a packet and accepts it."""
        name = _PASS
        if name not in self._chains:
            caller, self._origin = self._origin, "forward"
            self._emit(name, [XtablesRule(MarkTarget(bits, bits))])
            self._origin = caller
        return name

    def _leaves(self, chain: Chain) -> bool:
        """Whether packets may leave our chains from it; if so, all must, since a chain entered by goto can't return."""
        leaves = any(self._may_leave(rule) for rule in chain.rules)
        if leaves and not (chain.rules and self._ends(chain.rules[-1])):
            raise UnsupportedRuleError(f"chain {chain.name} accepts some packets and returns with others")
        return leaves

    def _may_leave(self, rule: Rule) -> bool:
        if Verdict.ACCEPT in rule.terms:
            return True
        chains = (self._ruleset.chain(term.chain) for term in rule.terms if isinstance(term, Jump))
        return any(self._leaves(chain) for chain in chains if chain is not None)

    @staticmethod
    def _ends(rule: Rule) -> bool:
        return all(isinstance(term, Verdict | SetMark) for term in rule.terms) and isinstance(rule.terms[-1], Verdict)


def _key(element: Element) -> tuple[str, ...]:
    return element.key


def _listed(parts: _Parts) -> list[XtablesRule] | None:
    """The rules of a single lookup with few elements, one for each; None: it needs a tree of chains."""
    lookup = parts.lookups[0]
    if len(parts.lookups) > 1 or lookup.negate or len(lookup.entries) > LEAF:
        return None
    try:
        return [
            matching(replace(condition, target=own or parts.target), lookup.fields, key)
            for condition, (key, own) in product(parts.conditions, lookup.entries)
        ]
    except UnsupportedRuleError:  # two conditions on one field need two rules
        return None


def _with(condition: XtablesRule, target: XtablesTarget | None, comment: str) -> XtablesRule:
    return replace(condition, target=target, comment=comment if isinstance(target, ChainTarget) and target.jump else "")


def own_name(chain: str) -> str:
    """The name of a ruleset's chain in xtables."""
    return f"{OWN_CHAIN_PREFIX}{chain.upper()}"


def _short(chain: str) -> str:
    """The name, short enough for the numbers of its lookup trees behind it."""
    words = chain.upper().split("_")
    return OWN_CHAIN_PREFIX + (words[0][:7] if len(words) == 1 else f"{words[0][:3]}_{words[1][:3]}")
