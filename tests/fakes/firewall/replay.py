"""What a change makes of a ruleset, step by step as the kernel does it; for the fake, and for proofs about `diff`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dockerv6.firewall.diff import jumps_into
from dockerv6.firewall.expr import Chain, Element, ElementSet, KeyType, overlapping
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
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange
from dockerv6.lib.networking import MAX_INTERFACE_NAME


def apply(observed: Ruleset, change: RulesetChange) -> Ruleset:
    """What `observed` becomes by the change's steps, done one by one as the kernel does them.

    Raises:
        ValueError: a step that the kernel would refuse; nothing of the change would have happened.
    """
    now = observed
    for step in change.operations:
        now = _apply_step(now, step)
    return now


def _apply_step(now: Ruleset, step: Operation) -> Ruleset:
    match step:
        case AddTable():
            if now.exists:
                raise ValueError("there is a table")
            return replace(now, exists=True)
        case DeleteTable():
            if not now.exists:
                raise ValueError("there is no table")
            return EMPTY
        case AddSet() | AddElements() | RemoveElements() | FlushSet():
            return _apply_to_set(now, step)
        case _:
            return _apply_to_chain(now, step)


def _apply_to_chain(now: Ruleset, step: AddChain | AddRules | FlushChain | DeleteChain) -> Ruleset:
    match step:
        case AddChain(chain):
            if now.chain(chain.name) is not None:
                raise ValueError(f"there is a chain {chain.name}")
            return _with_chain(now, replace(chain, rules=()))
        case AddRules(chain):
            there = _chain_of(now, chain.name)
            return _with_chain(now, replace(there, rules=there.rules + chain.rules))
        case FlushChain(name):
            return _with_chain(now, replace(_chain_of(now, name), rules=()))
        case DeleteChain(name):
            if _chain_of(now, name).rules or any(jumps_into(chain, {name}) for chain in now.chains):
                raise ValueError(f"chain {name} is in use")
            return replace(now, chains=tuple(chain for chain in now.chains if chain.name != name))


def _apply_to_set(now: Ruleset, step: AddSet | AddElements | RemoveElements | FlushSet) -> Ruleset:
    match step:
        case AddSet(each):
            if now.set(each.name) is not None:
                raise ValueError(f"there is a set {each.name}")
            return _with_set(now, replace(each, elements=frozenset()))
        case FlushSet(each):
            return _with_set(now, replace(_set_of(now, each.name), elements=frozenset(), odd=()))
        case RemoveElements(each, elements):
            present = _set_of(now, each.name)
            if not present.elements >= set(elements):
                raise ValueError(f"set {each.name} lacks an element")
            return _with_set(now, replace(present, elements=present.elements - set(elements)))
        case AddElements(each, elements):
            present = _set_of(now, each.name)
            if any(len(part) > MAX_INTERFACE_NAME for part in _links(each, elements)):
                raise ValueError(f"an interface in set {each.name} has too long a name")
            clash = overlapping(element.key for element in (*present.elements, *elements))
            if clash is not None:
                raise ValueError(f"{' . '.join(clash[0])} overlaps {' . '.join(clash[1])} in set {each.name}")
            return _with_set(now, replace(present, elements=present.elements | set(elements)))


def _links(each: ElementSet, elements: Iterable[Element]) -> Iterator[str]:
    for element in elements:
        yield from (part for part, kind in zip(element.key, each.key, strict=True) if kind is KeyType.INTERFACE)


def _chain_of(now: Ruleset, name: str) -> Chain:
    chain = now.chain(name)
    if chain is None:
        raise ValueError(f"there is no chain {name}")
    return chain


def _set_of(now: Ruleset, name: str) -> ElementSet:
    found = now.set(name)
    if found is None:
        raise ValueError(f"there is no set {name}")
    return found


def _with_chain(now: Ruleset, chain: Chain) -> Ruleset:
    others = [each for each in now.chains if each.name != chain.name]
    return replace(now, chains=tuple(sorted([*others, chain], key=lambda each: each.name)))


def _with_set(now: Ruleset, changed: ElementSet) -> Ruleset:
    others = [each for each in now.sets if each.name != changed.name]
    return replace(now, sets=tuple(sorted([*others, changed], key=lambda each: each.name)))
