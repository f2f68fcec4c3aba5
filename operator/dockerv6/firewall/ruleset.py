"""A ruleset as a value, and the difference between two of them.

A `Ruleset` says what a table holds: chains with ordered rules, and sets whose elements each carry the name of their
owner, as the rules of single resources do. `diff` tells what has to happen to one so that it becomes another; a backend
translates the operations of that `RulesetChange` and commits them as one transaction. Everything here is pure and
deterministic.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from dockerv6.firewall.expr import SHARED, Chain, Element, ElementSet, Jump, KeyType, Rule, overlapping, span
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
from dockerv6.firewall.prefixes import prefixes_of


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What the table holds; no table at all when not `exists`.

    Attributes:
        chains: by name.
        sets: by name.
        foreign: what else was found in the table (counters, flowtables, a dormant flag…): never wanted.
    """

    chains: tuple[Chain, ...] = ()
    sets: tuple[ElementSet, ...] = ()
    foreign: tuple[str, ...] = ()
    exists: bool = field(default=False, kw_only=True)

    @property
    def owners(self) -> frozenset[str]:
        """Everybody who has an element or a rule in it."""
        elements = {element.owner for each in self.sets for element in each.elements}
        return frozenset(elements | {rule.owner for rule in self.owned}) - {SHARED}

    @property
    def owned(self) -> tuple[Rule, ...]:
        """All rules of single resources."""
        return tuple(rule for chain in self.chains for rule in chain.owned)

    def chain(self, name: str) -> Chain | None:
        """The chain of that name."""
        return next((chain for chain in self.chains if chain.name == name), None)

    def set(self, name: str) -> ElementSet | None:
        """The set of that name."""
        return next((each for each in self.sets if each.name == name), None)

    def lines(self) -> Iterator[str]:
        """The whole of it for people, in the order in which rules are read."""
        for each in self.sets:
            kind = "map" if each.data else "interval set" if each.interval else "set"
            yield f"{kind} {each.name}: {' . '.join(each.key)}" + (f" : {each.data}" if each.data else "")
            for element in sorted(each.elements):
                yield f"  {element}" + (f"  ({element.owner})" if element.owner else "")
        for chain in self.chains:
            base = f": {chain.type} {chain.hook} {chain.priority} policy {chain.policy}" if chain.hook else ""
            yield f"chain {chain.name}{base}"
            for rule in chain.rules:
                yield f"  {rule}" + (f"  ({rule.owner})" if rule.owner else "")
        for what in self.foreign:
            yield f"foreign {what}"


EMPTY = Ruleset()
"""No table at all."""


@dataclass(frozen=True, slots=True)
class BlockedOwner:
    """An owner that gets no elements now, because elements that have to stay are in their way."""

    owner: str
    message: str


@dataclass(frozen=True)
class RulesetChange:
    """What has to happen, in an order in which it can.

    Attributes:
        operations: one transaction.
        target: what the table holds afterwards.
        blocked: owners that are left out, because the kernel would refuse the whole transaction.
        base: what the change was computed from; it can only be applied to a table that still holds this.
    """

    operations: tuple[Operation, ...] = ()
    target: Ruleset = EMPTY
    blocked: tuple[BlockedOwner, ...] = ()
    base: Ruleset = EMPTY

    @property
    def empty(self) -> bool:
        """Nothing has to happen."""
        return not self.operations

    @property
    def owners(self) -> frozenset[str]:
        """Whose elements or rules are added or removed; `SHARED` when anything else changes."""
        return frozenset(self.by_owner)

    def describe(self) -> tuple[str, ...]:
        """One line a step, element or rule of somebody's, for people."""
        return tuple(f"{line} ({owner})" if owner else line for owner, line in self._lines())

    def lines_for(self, owner: str) -> tuple[str, ...]:
        """What changes for this owner, first what all owners share; a table that is added or deleted is one line."""
        table = tuple(str(each) for each in self.operations if isinstance(each, AddTable | DeleteTable))
        own = self.by_owner.get(owner, ()) if owner != SHARED else ()
        return (*(table or self.by_owner.get(SHARED, ())), *(line for line in own if line not in table))

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[str, ...]]:
        """The same lines by the owner of the elements and rules; those of all else under `SHARED`.

        Whoever has any in a table that is deleted finds that line among theirs too.
        """
        found: dict[str, tuple[str, ...]] = {}
        for step in self.operations:
            if isinstance(step, DeleteTable):
                found.update((owner, (str(step),)) for owner in sorted(step.owners))
        for owner, line in self._lines():
            found[owner] = (*found.get(owner, ()), line)
        return found

    def _lines(self) -> Iterator[tuple[str, str]]:
        for step in self.operations:
            if isinstance(step, AddElements | RemoveElements):
                verb, where = ("add", "to") if isinstance(step, AddElements) else ("remove", "from")
                kind = "map" if step.set.data else "set"
                for element in step.elements:
                    yield element.owner, f"{verb} {element} {where} {kind} {step.set.name}"
            elif isinstance(step, FlushChain | AddRules):
                yield from _rule_lines(step)
            else:
                yield SHARED, str(step)


def _rule_lines(step: FlushChain | AddRules) -> Iterator[tuple[str, str]]:
    if isinstance(step, FlushChain):
        if step.shared:
            yield SHARED, str(step)
        for rule in step.gone:
            yield rule.owner, f"remove {rule} from chain {step.chain}"
        return
    if step.shared and step.chain.shared:
        yield SHARED, str(step)
    for rule in step.chain.owned:
        if rule not in step.back:
            yield rule.owner, f"add {rule} to chain {step.chain.name}"


def diff(desired: Ruleset, observed: Ruleset, keep: frozenset[str] = frozenset()) -> RulesetChange:
    """The change that makes `observed` become `desired`.

    Args:
        desired: rendered from an intent that keeps the same owners; without its chains their elements have no effect.
        observed: what the table holds.
        keep: owners whose elements and rules stay as observed.
    """
    target, blocked = _target(desired, observed, keep)
    return RulesetChange(_steps(target, observed), target, blocked, observed)


def _target(desired: Ruleset, observed: Ruleset, keep: frozenset[str]) -> tuple[Ruleset, tuple[BlockedOwner, ...]]:
    if not keep:
        return desired, ()
    held = {
        each.name: frozenset(e for e in each.elements if e.owner in keep)
        for each in observed.sets
        if (wanted := desired.set(each.name)) is not None and wanted.definition == each.definition
    }
    rules = [rule for chain in observed.chains for rule in _held_rules(chain, keep)]
    blocked = _blocked(desired, held, rules, keep)
    out = keep | {each.owner for each in blocked}
    sets = tuple(
        replace(wanted, elements=_beside(held.get(wanted.name, frozenset()), wanted.elements, out))
        for wanted in desired.sets
    )
    chains = tuple(
        wanted.owning(
            [
                *_held_rules(observed.chain(wanted.name), keep),
                *(rule for rule in wanted.owned if rule.owner not in out),
            ]
        )
        for wanted in desired.chains
    )
    return replace(desired, chains=chains, sets=sets), blocked


def _held_rules(chain: Chain | None, keep: frozenset[str]) -> tuple[Rule, ...]:
    """The chain's rules of these owners, as they are rendered: an owned rule has no comment."""
    owned = chain.owned if chain is not None else ()
    return tuple(Rule(rule.terms, owner=rule.owner) for rule in owned if rule.owner in keep)


def _beside(held: frozenset[Element], wanted: frozenset[Element], out: frozenset[str]) -> frozenset[Element]:
    keys = {element.key for element in held}
    return held | {element for element in wanted if element.owner not in out and element.key not in keys}


def _blocked(
    desired: Ruleset, held: Mapping[str, frozenset[Element]], rules: Iterable[Rule], keep: frozenset[str]
) -> tuple[BlockedOwner, ...]:
    """Owners with a prefix that overlaps one of a held owner's, or with an element that a held one stands against.

    An owner is left out as a whole: with some of its elements it would be half a network.
    """
    subnets = _subnets(held, rules)
    clashes: list[tuple[str, str, str]] = []
    for rule in desired.owned if subnets else ():
        prefix, _ = prefixes_of(rule)
        if rule.owner not in keep and (rival := _owner_of(prefix, subnets)) is not None:
            clashes.append((rule.owner, prefix, rival))
    for wanted in desired.sets:
        # Keys that begin with a subnet can only meet where the subnets do.
        told_by_subnet = wanted.key[0] is KeyType.PREFIX
        there = {} if told_by_subnet else _by_names(wanted, held.get(wanted.name, frozenset()))
        for element in wanted.elements if (subnets if told_by_subnet else there) else ():
            if element.owner == SHARED or element.owner in keep:
                continue
            if told_by_subnet:
                rival, what = _owner_of(element.key[0], subnets), element.key[0]
            else:
                near = there.get(_names(wanted, element), [])
                rival = next((e.owner for e in near if overlapping((e.key, element.key)) is not None), None)
                what = " . ".join(element.key)
            if rival is not None:
                clashes.append((element.owner, what, rival))
    found: dict[str, BlockedOwner] = {}
    for owner, what, rival in sorted(clashes):
        message = f"{what} overlaps what is held for {rival}, which is suspended or unclear"
        found.setdefault(owner, BlockedOwner(owner, message))
    return tuple(found.values())


def _subnets(held: Mapping[str, frozenset[Element]], rules: Iterable[Rule]) -> list[tuple[int, int, str]]:
    """First and last address, and owner, of what is held; in order, and merged where they overlap."""
    firsts = {(element.key[0], element.owner) for elements in held.values() for element in elements}
    firsts |= {(prefixes_of(rule)[0], rule.owner) for rule in rules}
    found: list[tuple[int, int, str]] = []
    for first, last, owner in sorted((*span(part), owner) for part, owner in firsts if "/" in part):
        if not found or first > found[-1][1]:
            found.append((first, last, owner))
        elif last > found[-1][1]:
            found[-1] = (found[-1][0], last, found[-1][2])
    return found


def _owner_of(part: str, subnets: list[tuple[int, int, str]]) -> str | None:
    first, last = span(part)
    place = bisect_right(subnets, last, key=lambda subnet: subnet[0]) - 1
    return subnets[place][2] if place >= 0 and subnets[place][1] >= first else None


def _names(where: ElementSet, element: Element) -> tuple[str, ...]:
    """The parts of a key that are no prefixes: two keys can only overlap where these are the same."""
    return tuple([part for part, kind in zip(element.key, where.key, strict=True) if kind is not KeyType.PREFIX])


def _by_names(where: ElementSet, elements: Iterable[Element]) -> dict[tuple[str, ...], list[Element]]:
    found: dict[tuple[str, ...], list[Element]] = {}
    for element in sorted(elements):
        found.setdefault(_names(where, element), []).append(element)
    return found


def _steps(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    if not target.exists:
        return (DeleteTable("nothing asks for it any more", observed.owners),) if observed.exists else ()
    if not observed.exists:
        return (AddTable(), *_fill(target))
    reason = _needs_rebuild(target, observed)
    if reason:
        return (DeleteTable(reason, observed.owners), AddTable(), *_fill(target))
    return (*_chain_steps(target, observed), *_element_steps(target, observed))


def _needs_rebuild(target: Ruleset, observed: Ruleset) -> str:
    """Why steps one by one can't get there: sets can't be edited, and what we don't know may refer to anything."""
    if observed.foreign and observed.foreign != target.foreign:
        return f"it holds {', '.join(observed.foreign)}"
    extra = sorted(each.name for each in observed.sets if target.set(each.name) is None)
    if extra:
        return f"it holds set {', '.join(extra)}"
    for wanted in target.sets:
        there = observed.set(wanted.name)
        if there is not None and there.definition != wanted.definition:
            return f"set {wanted.name} is of another type"
    return ""


def _fill(target: Ruleset) -> tuple[Operation, ...]:
    """Everything into an empty table. All chains come before any rule, which may jump to any of them."""
    return (
        *(AddSet(each) for each in target.sets),
        *(AddElements(each, _ordered(each.elements)) for each in target.sets if each.elements),
        *(AddChain(chain) for chain in target.chains),
        *(AddRules(chain) for chain in target.chains if chain.rules),
    )


def _ordered(elements: Iterable[Element]) -> tuple[Element, ...]:
    """In their own order, but by tuples, which compare ten times as fast: a table that was deleted has them all."""
    return tuple(sorted(elements, key=lambda element: (element.key, element.owner)))


def _chain_steps(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    """Flush before deleting (a jump keeps its target alive), make all chains before any rule."""
    gone = [chain for chain in observed.chains if target.chain(chain.name) is None]
    fresh: list[Chain] = []
    refill: list[tuple[Chain, Chain]] = []
    for wanted in target.chains:
        there = observed.chain(wanted.name)
        if there is None:
            fresh.append(wanted)
        elif there.base != wanted.base:
            gone.append(there)
            fresh.append(wanted)
        elif there.rules != wanted.rules:
            refill.append((there, wanted))
    # A regular chain can only be deleted once nothing jumps to it, so whoever jumps there is refilled as well.
    anew = {chain.name for chain in gone} & {chain.name for chain in fresh}
    for wanted in target.chains:
        there = observed.chain(wanted.name)
        if there is not None and there.rules == wanted.rules and wanted not in fresh and jumps_into(wanted, anew):
            refill.append((there, wanted))
    # Flushed though it may look empty: somebody else may be about to fill it, and its rules would be there twice.
    flushed = [FlushChain(chain.name, chain.owned) for chain in gone if chain.rules]
    flushed += [_flush(there, wanted) for there, wanted in refill]
    filled = {chain.name: AddRules(chain) for chain in fresh} | {
        wanted.name: _refill(there, wanted) for there, wanted in refill
    }
    return (
        *(AddSet(each) for each in target.sets if observed.set(each.name) is None),
        *sorted(flushed, key=lambda step: step.chain),
        *(DeleteChain(chain.name) for chain in gone),
        *(AddChain(chain) for chain in fresh),
        *(filled[chain.name] for chain in target.chains if chain.rules and chain.name in filled),
    )


def _flush(there: Chain, wanted: Chain) -> FlushChain:
    gone = tuple(rule for rule in there.owned if rule not in wanted.rules)
    return FlushChain(there.name, gone, shared=_differs_for_all(there, wanted))


def _refill(there: Chain, wanted: Chain) -> AddRules:
    back = frozenset(rule for rule in wanted.owned if rule in there.rules)
    return AddRules(wanted, back, shared=_differs_for_all(there, wanted))


def _differs_for_all(there: Chain, wanted: Chain) -> bool:
    """Whether more differs than whose rules there are."""
    return there.shared != wanted.shared or set(there.owned) == set(wanted.owned)


def jumps_into(chain: Chain, names: set[str]) -> bool:
    """Whether a rule of the chain jumps to one of those."""
    return any(isinstance(term, Jump) and term.chain in names for rule in chain.rules for term in rule.terms)


def _element_steps(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    """Remove before adding: an element that changes its owner or its range would clash with itself."""
    steps: list[Operation] = []
    for wanted in target.sets:
        there = observed.set(wanted.name)
        present = there.elements if there is not None else frozenset()
        if removed := _ordered(present - wanted.elements):
            steps.append(RemoveElements(wanted, removed))
        if added := _ordered(wanted.elements - present):
            steps.append(AddElements(wanted, added))
    return tuple(steps)
