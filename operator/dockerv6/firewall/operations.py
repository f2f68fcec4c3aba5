"""The operations of a transaction. A backend translates each of them into its own commands."""

from dataclasses import dataclass

from dockerv6.firewall.expr import Chain, Element, ElementSet, Rule


@dataclass(frozen=True, slots=True)
class AddTable:
    """Create the table."""

    def __str__(self) -> str:
        return "add the table"


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Remove the table with everything in it, including elements and rules of the `owners`."""

    reason: str
    owners: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"delete the table: {self.reason}"


@dataclass(frozen=True, slots=True)
class AddSet:
    """Create a set without elements."""

    set: ElementSet

    def __str__(self) -> str:
        return f"add set {self.set.name}"


@dataclass(frozen=True, slots=True)
class AddChain:
    """Create a chain without rules."""

    chain: Chain

    def __str__(self) -> str:
        return f"add chain {self.chain.name}"


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Remove all rules of a chain.

    Attributes:
        gone: rules of single resources that are not added again.
        shared: whether rules that belong to no single resource differ.
    """

    chain: str
    gone: tuple[Rule, ...] = ()
    shared: bool = True

    def __str__(self) -> str:
        return f"flush chain {self.chain}: its rules differ"


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Remove a chain that has been flushed."""

    chain: str

    def __str__(self) -> str:
        return f"delete chain {self.chain}"


@dataclass(frozen=True, slots=True)
class AddRules:
    """Add the chain's rules to it, in their order.

    Attributes:
        back: rules of single resources that were there before.
        shared: whether rules that belong to no single resource differ.
    """

    chain: Chain
    back: frozenset[Rule] = frozenset()
    shared: bool = True

    def __str__(self) -> str:
        count = len(self.chain.shared)
        return f"add {count} rule{'' if count == 1 else 's'} to chain {self.chain.name}"


@dataclass(frozen=True, slots=True)
class FlushSet:
    """Remove all elements of a set, whatever their form.

    Attributes:
        reason: what is in it.
        gone: elements that are not added again.
    """

    set: ElementSet
    reason: str
    gone: tuple[Element, ...] = ()

    def __str__(self) -> str:
        return f"flush set {self.set.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RemoveElements:
    """Remove elements from a set."""

    set: ElementSet
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class AddElements:
    """Add elements to a set.

    `back`: elements that were there before, in a set that was flushed.
    """

    set: ElementSet
    elements: tuple[Element, ...]
    back: frozenset[Element] = frozenset()


Operation = (
    AddTable
    | DeleteTable
    | AddSet
    | AddChain
    | FlushChain
    | DeleteChain
    | AddRules
    | FlushSet
    | RemoveElements
    | AddElements
)
