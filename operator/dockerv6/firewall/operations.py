"""What one transaction consists of. A backend says each of these in its own language."""

from dataclasses import dataclass

from dockerv6.firewall.expr import Chain, Element, ElementSet, Rule


@dataclass(frozen=True, slots=True)
class AddTable:
    """Make the table."""

    def __str__(self) -> str:
        return "add the table"


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Remove the table with all that it holds, the elements of `owners` too."""

    reason: str
    owners: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"delete the table: {self.reason}"


@dataclass(frozen=True, slots=True)
class AddSet:
    """Make a set, without elements."""

    set: ElementSet

    def __str__(self) -> str:
        return f"add set {self.set.name}"


@dataclass(frozen=True, slots=True)
class AddChain:
    """Make a chain, without rules."""

    chain: Chain

    def __str__(self) -> str:
        return f"add chain {self.chain.name}"


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Take all rules out of a chain.

    Attributes:
        gone: those of single resources that don't come back.
        shared: whether anything else is the reason.
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
    """Put the chain's rules into it, in their order.

    Attributes:
        back: those of single resources that were there before.
        shared: whether any of the shared ones is new.
    """

    chain: Chain
    back: frozenset[Rule] = frozenset()
    shared: bool = True

    def __str__(self) -> str:
        count = len(self.chain.shared)
        return f"add {count} rule{'' if count == 1 else 's'} to chain {self.chain.name}"


@dataclass(frozen=True, slots=True)
class RemoveElements:
    """Take elements out of a set; in order."""

    set: ElementSet
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class AddElements:
    """Put elements into a set; in order."""

    set: ElementSet
    elements: tuple[Element, ...]


Operation = (
    AddTable | DeleteTable | AddSet | AddChain | FlushChain | DeleteChain | AddRules | RemoveElements | AddElements
)
