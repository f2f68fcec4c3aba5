"""Rulesets and changes of them, as values.

A `Ruleset` is the content of a table: chains with ordered rules, and sets. Each element carries the name of its owner,
as do the rules of single resources. `diff.diff` computes the change between two of them, and a backend commits the
operations of that change as one transaction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dockerv6.firewall.expr import SHARED, Chain, Element, ElementSet, Rule
from dockerv6.firewall.operations import (
    AddElements,
    AddRules,
    AddTable,
    DeleteChain,
    DeleteTable,
    FlushChain,
    FlushSet,
    Operation,
    RemoveElements,
)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The content of a table. Without `exists` there is no table.

    Attributes:
        chains: ordered by name.
        sets: ordered by name.
        foreign: anything else that we never write: flags of the table or of a set, counters, flowtables.
    """

    chains: tuple[Chain, ...] = ()
    sets: tuple[ElementSet, ...] = ()
    foreign: tuple[str, ...] = ()
    exists: bool = field(default=False, kw_only=True)

    @property
    def owners(self) -> frozenset[str]:
        """The owners of its elements and rules."""
        elements = {element.owner for each in self.sets for element in each.elements}
        return frozenset(elements | {rule.owner for rule in self.owned}) - {SHARED}

    @property
    def owned(self) -> tuple[Rule, ...]:
        """All rules of single resources."""
        return tuple(rule for chain in self.chains for rule in chain.owned)

    def part_of(self, owner: str) -> "OwnedPart":
        """The elements and rules of an owner."""
        elements = [(each.name, element) for each in self.sets for element in each.elements if element.owner == owner]
        return frozenset([*elements, *((c.name, rule) for c in self.chains for rule in c.owned if rule.owner == owner)])

    def chain(self, name: str) -> Chain | None:
        """The chain of that name."""
        return next((chain for chain in self.chains if chain.name == name), None)

    def set(self, name: str) -> ElementSet | None:
        """The set of that name."""
        return next((each for each in self.sets if each.name == name), None)

    def lines(self) -> Iterator[str]:
        """The whole ruleset as text for people."""
        for each in self.sets:
            kind = "map" if each.data else "interval set" if each.interval else "set"
            yield f"{kind} {each.name}: {' . '.join(each.key)}" + (f" : {each.data}" if each.data else "")
            for element in sorted(each.elements):
                yield f"  {element}" + (f"  ({element.owner})" if element.owner else "")
            for what in each.odd:
                yield f"  {what}"
        for chain in self.chains:
            base = f": {chain.type} {chain.hook} {chain.priority} policy {chain.policy}" if chain.hook else ""
            yield f"chain {chain.name}{base}"
            for rule in chain.rules:
                yield f"  {rule}" + (f"  ({rule.owner})" if rule.owner else "")
        for what in self.foreign:
            yield f"foreign {what}"


OwnedPart = frozenset[tuple[str, Element | Rule]]
"""What belongs to one owner, each with the name of its set or chain."""

EMPTY = Ruleset()
"""No table."""


@dataclass(frozen=True, slots=True)
class BlockedOwner:
    """An owner that gets no elements now, because they would overlap elements that are kept for another owner."""

    owner: str
    message: str


@dataclass(frozen=True)
class RulesetChange:
    """The difference between two rulesets.

    Attributes:
        operations: one transaction, in an order that the kernel accepts.
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
        """Whether there is nothing to do."""
        return not self.operations

    @property
    def owners(self) -> frozenset[str]:
        """The owners of elements and rules that are added or removed; `SHARED` if anything else changes."""
        return frozenset(self.by_owner)

    def describe(self) -> tuple[str, ...]:
        """One line for each operation, element and owned rule, for people."""
        return tuple(f"{line.text} ({line.owner})" if line.owner else line.text for line in self._lines())

    def lines_for(self, owner: str) -> tuple[str, ...]:
        """What changes for this owner, first what all owners share; a table that is added or deleted is one line."""
        return tuple(line.text for line in self._lines_for(owner))

    def removed_and_added(self, owner: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The lines of `lines_for` about what is removed, and the others."""
        lines = self._lines_for(owner)
        return (
            tuple(line.text for line in lines if line.removes),
            tuple(line.text for line in lines if not line.removes),
        )

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[str, ...]]:
        """The lines of `describe` by owner; other lines under `SHARED`.

        The line about a table that is deleted is listed for each owner of something in it.
        """
        return {owner: tuple(line.text for line in lines) for owner, lines in self._by_owner.items()}

    def _lines_for(self, owner: str) -> tuple["_Line", ...]:
        tables = (each for each in self.operations if isinstance(each, AddTable | DeleteTable))
        table = tuple(_shared(each) for each in tables)
        own = self._by_owner.get(owner, ()) if owner != SHARED else ()
        return (*(table or self._by_owner.get(SHARED, ())), *(line for line in own if line not in table))

    @cached_property
    def _by_owner(self) -> Mapping[str, tuple["_Line", ...]]:
        found: dict[str, tuple[_Line, ...]] = {}
        for operation in self.operations:
            if isinstance(operation, DeleteTable):
                found.update((owner, (_shared(operation),)) for owner in sorted(operation.owners))
        for line in self._lines():
            found[line.owner] = (*found.get(line.owner, ()), line)
        return found

    def _lines(self) -> Iterator["_Line"]:
        for operation in self.operations:
            if isinstance(operation, AddElements | RemoveElements | FlushSet):
                if isinstance(operation, FlushSet):
                    yield _shared(operation)
                where = f"{'map' if operation.set.data else 'set'} {operation.set.name}"
                added, removed = changed_elements(operation)
                for element in removed:
                    yield _Line(element.owner, f"remove {element} from {where}", removes=True)
                for element in added:
                    yield _Line(element.owner, f"add {element} to {where}")
            elif isinstance(operation, FlushChain | AddRules):
                yield from _rule_lines(operation)
            else:
                yield _shared(operation)


@dataclass(frozen=True, slots=True)
class _Line:
    owner: str  # `SHARED` if it concerns no single resource
    text: str
    removes: bool = False


def _shared(operation: Operation) -> _Line:
    removes = isinstance(operation, DeleteTable | FlushChain | DeleteChain | FlushSet)
    return _Line(SHARED, str(operation), removes)


def changed_elements(operation: Operation) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
    """The elements that come and those that go; not those that are only written again."""
    match operation:
        case AddElements(_, elements, back):
            return tuple(each for each in elements if each not in back) if back else elements, ()
        case RemoveElements(_, elements) | FlushSet(gone=elements):
            return (), elements
        case _:
            return (), ()


def _rule_lines(operation: FlushChain | AddRules) -> Iterator[_Line]:
    if isinstance(operation, FlushChain):
        if operation.shared:
            yield _shared(operation)
        for rule in operation.gone:
            yield _Line(rule.owner, f"remove {rule} from chain {operation.chain}", removes=True)
        return
    if operation.shared and operation.chain.shared:
        yield _shared(operation)
    for rule in operation.chain.owned:
        if rule not in operation.back:
            yield _Line(rule.owner, f"add {rule} to chain {operation.chain.name}")
