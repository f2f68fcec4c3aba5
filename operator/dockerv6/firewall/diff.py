"""The change from one ruleset to another, with elements and rules of some owners kept. Pure and deterministic."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace

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
    FlushSet,
    Operation,
    RemoveElements,
)
from dockerv6.firewall.prefixes import prefixes_of
from dockerv6.firewall.ruleset import BlockedOwner, Ruleset, RulesetChange


def diff(desired: Ruleset, observed: Ruleset, keep: frozenset[str] = frozenset()) -> RulesetChange:
    """The change that makes `observed` become `desired`.

    Args:
        desired: rendered from an intent that keeps the same owners; without its chains their elements have no effect.
        observed: what the table holds.
        keep: owners whose elements and rules stay as observed.
    """
    target, blocked = _target(desired, observed, keep)
    return RulesetChange(_operations(target, observed), target, blocked, observed)


def _target(desired: Ruleset, observed: Ruleset, keep: frozenset[str]) -> tuple[Ruleset, tuple[BlockedOwner, ...]]:
    if not keep:
        return desired, ()
    kept = {
        each.name: frozenset(e for e in each.elements if e.owner in keep)
        for each in observed.sets
        if (wanted := desired.set(each.name)) is not None and wanted.definition == each.definition
    }
    rules = [rule for chain in observed.chains for rule in _kept_rules(chain, keep)]
    blocked = _blocked(desired, kept, rules, keep)
    out = keep | {each.owner for each in blocked}
    sets = tuple(
        replace(wanted, elements=_with_kept(kept.get(wanted.name, frozenset()), wanted.elements, out))
        for wanted in desired.sets
    )
    chains = tuple(
        wanted.owning(
            [
                *_kept_rules(observed.chain(wanted.name), keep),
                *(rule for rule in wanted.owned if rule.owner not in out),
            ]
        )
        for wanted in desired.chains
    )
    return replace(desired, chains=chains, sets=sets), blocked


def _kept_rules(chain: Chain | None, keep: frozenset[str]) -> tuple[Rule, ...]:
    """The chain's rules of these owners, as they are rendered: an owned rule has no comment."""
    owned = chain.owned if chain is not None else ()
    return tuple(Rule(rule.terms, owner=rule.owner) for rule in owned if rule.owner in keep)


def _with_kept(kept: frozenset[Element], wanted: frozenset[Element], out: frozenset[str]) -> frozenset[Element]:
    keys = {element.key for element in kept}
    return kept | {element for element in wanted if element.owner not in out and element.key not in keys}


def _blocked(
    desired: Ruleset, kept: Mapping[str, frozenset[Element]], rules: Iterable[Rule], keep: frozenset[str]
) -> tuple[BlockedOwner, ...]:
    """Owners with a prefix or an element that overlaps one that is kept for another owner.

    All elements of such an owner are left out, since some of them would make half a network.
    """
    subnets = _subnets(kept, rules)
    clashes: list[tuple[str, str, str]] = []
    for rule in desired.owned if subnets else ():
        prefix, _ = prefixes_of(rule)
        if rule.owner not in keep and (rival := _owner_of(prefix, subnets)) is not None:
            clashes.append((rule.owner, prefix, rival))
    for wanted in desired.sets:
        # keys that begin with a subnet overlap only if the subnets do
        by_subnet = wanted.key[0] is KeyType.PREFIX
        there = {} if by_subnet else _grouped_by_names(wanted, kept.get(wanted.name, frozenset()))
        for element in wanted.elements if (subnets if by_subnet else there) else ():
            if element.owner == SHARED or element.owner in keep:
                continue
            if by_subnet:
                rival, what = _owner_of(element.key[0], subnets), element.key[0]
            else:
                near = there.get(_names_in(wanted, element), [])
                rival = next((e.owner for e in near if overlapping((e.key, element.key)) is not None), None)
                what = " . ".join(element.key)
            if rival is not None:
                clashes.append((element.owner, what, rival))
    found: dict[str, BlockedOwner] = {}
    for owner, what, rival in sorted(clashes):
        message = f"{what} overlaps rules that are kept for {rival}, which is suspended or can't be evaluated now"
        found.setdefault(owner, BlockedOwner(owner, message))
    return tuple(found.values())


def _subnets(kept: Mapping[str, frozenset[Element]], rules: Iterable[Rule]) -> list[tuple[int, int, str]]:
    """First and last address, and owner, of kept prefixes; in order, and merged where they overlap."""
    firsts = {(element.key[0], element.owner) for elements in kept.values() for element in elements}
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


def _names_in(where: ElementSet, element: Element) -> tuple[str, ...]:
    """The parts of a key that are no prefixes. Two keys can overlap only if these are equal."""
    return tuple([part for part, kind in zip(element.key, where.key, strict=True) if kind is not KeyType.PREFIX])


def _grouped_by_names(where: ElementSet, elements: Iterable[Element]) -> dict[tuple[str, ...], list[Element]]:
    found: dict[tuple[str, ...], list[Element]] = {}
    for element in sorted(elements):
        found.setdefault(_names_in(where, element), []).append(element)
    return found


def _operations(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    if not target.exists:
        return (DeleteTable("no resource needs it", observed.owners),) if observed.exists else ()
    if not observed.exists:
        return (AddTable(), *_fill(target))
    reason = _needs_rebuild(target, observed)
    if reason:
        return (DeleteTable(reason, observed.owners), AddTable(), *_fill(target))
    return (*_chain_operations(target, observed), *_element_operations(target, observed))


def _needs_rebuild(target: Ruleset, observed: Ruleset) -> str:
    """Why the table must be created again: a set can't be changed, and unknown objects may refer to anything."""
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
    """Fill an empty table. Chains come before rules, which may jump to any of them."""
    return (
        *(AddSet(each) for each in target.sets),
        *(AddElements(each, _ordered(each.elements)) for each in target.sets if each.elements),
        *(AddChain(chain) for chain in target.chains),
        *(AddRules(chain) for chain in target.chains if chain.rules),
    )


def _ordered(elements: Iterable[Element]) -> tuple[Element, ...]:
    """In the elements' order. Tuples compare ten times as fast, and a deleted table needs all elements again."""
    return tuple(sorted(elements, key=lambda element: (element.key, element.owner)))


def _chain_operations(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    """Flush chains before deleting any (a jump keeps its target), and create all of them before adding rules."""
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
    # a regular chain can be deleted only if nothing jumps to it, so chains that jump to it are refilled as well
    recreated = {chain.name for chain in gone} & {chain.name for chain in fresh}
    for wanted in target.chains:
        there = observed.chain(wanted.name)
        if there is not None and there.rules == wanted.rules and wanted not in fresh and jumps_into(wanted, recreated):
            refill.append((there, wanted))
    # flushed although it may look empty: if another program fills it first, its rules would be there twice
    flushed = [FlushChain(chain.name, chain.owned) for chain in gone if chain.rules]
    flushed += [_flush(there, wanted) for there, wanted in refill]
    filled = {chain.name: AddRules(chain) for chain in fresh} | {
        wanted.name: _refill(there, wanted) for there, wanted in refill
    }
    return (
        *(AddSet(each) for each in target.sets if observed.set(each.name) is None),
        *sorted(flushed, key=lambda operation: operation.chain),
        *(DeleteChain(chain.name) for chain in gone),
        *(AddChain(chain) for chain in fresh),
        *(filled[chain.name] for chain in target.chains if chain.rules and chain.name in filled),
    )


def _flush(there: Chain, wanted: Chain) -> FlushChain:
    gone = tuple(rule for rule in there.owned if rule not in wanted.rules)
    return FlushChain(there.name, gone, shared=_shared_differs(there, wanted))


def _refill(there: Chain, wanted: Chain) -> AddRules:
    back = frozenset(rule for rule in wanted.owned if rule in there.rules)
    return AddRules(wanted, back, shared=_shared_differs(there, wanted))


def _shared_differs(there: Chain, wanted: Chain) -> bool:
    """Whether rules that belong to no single resource differ, or only the order of rules."""
    return there.shared != wanted.shared or set(there.owned) == set(wanted.owned)


def jumps_into(chain: Chain, names: set[str]) -> bool:
    """Whether a rule of the chain jumps to one of these chains."""
    return any(isinstance(term, Jump) and term.chain in names for rule in chain.rules for term in rule.terms)


def _element_operations(target: Ruleset, observed: Ruleset) -> tuple[Operation, ...]:
    """Remove before adding: an element with a new owner or range would overlap its previous form.

    A set with odd elements is flushed and filled again. They need no description by which they could be removed, and
    since it is one transaction, no packet meets an empty set.
    """
    operations: list[Operation] = []
    for wanted in target.sets:
        there = observed.set(wanted.name)
        present = there.elements if there is not None else frozenset()
        if there is not None and there.odd:
            operations.append(FlushSet(wanted, f"it holds {', '.join(there.odd)}", _ordered(present - wanted.elements)))
            if wanted.elements:
                operations.append(AddElements(wanted, _ordered(wanted.elements), present))
            continue
        if removed := _ordered(present - wanted.elements):
            operations.append(RemoveElements(wanted, removed))
        if added := _ordered(wanted.elements - present):
            operations.append(AddElements(wanted, added))
    return tuple(operations)
