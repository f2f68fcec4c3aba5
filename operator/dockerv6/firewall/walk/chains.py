"""Rules, chains and tables of any kind of filter, as packets pass them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address
from sys import intern
from typing import Protocol

from dockerv6.firewall.walk.bits import Bits
from dockerv6.firewall.walk.packet import ADDRESS_SIZE, INTERNET_PREFIX, Packet, Paths
from dockerv6.firewall.walk.sets import UNTOLD, Found, WalkSet

_NAMED, _ELEMENTS = 16, 4
"""Addresses of one flow, and elements of one set, that are noted."""


class Action(Enum):
    """What comes next."""

    CONTINUE = auto()  # the next rule
    ACCEPT = auto()  # the end of this base chain
    DROP = auto()
    JUMP = auto()
    GOTO = auto()
    RETURN = auto()
    TRANSLATED = auto()  # the end of all chains that translate, in this hook
    LOST = auto()  # it can't be followed any further: a queue, a proxy


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One of the possible results of a rule.

    Attributes:
        action: what comes next.
        packet: after the rule.
        chain: where a jump or a goto leads.
        doubt: the match that can't be decided, if there are other results because of it; empty: there are none.
    """

    action: Action
    packet: Packet
    chain: str = ""
    doubt: str = ""


TableChain = tuple[str, str]
"""Table and chain."""

Lookup = tuple[str, str, Bits | None]
"""Table, set and key; None: its first elements."""


class WalkRule(Protocol):
    """A rule of any kind of filter."""

    @property
    def text(self) -> str:
        """How a person finds it: its text, or its handle."""

    def run(self, packet: Packet, around: "Surroundings") -> Sequence[RuleOutcome]:
        """Every result that is possible."""


@dataclass(frozen=True, slots=True)
class FilterTable:
    """A table of one filter, with its chains."""

    variant: str  # a `FilterVariant`
    family: str
    name: str
    chains: Mapping[str, Sequence[WalkRule]] = field(default_factory=dict)
    sets: Mapping[str, WalkSet] = field(default_factory=dict)

    def __str__(self) -> str:
        return intern(f"{self.family} {self.name} ({self.variant})")

    def find(self, name: str, key: Bits) -> Found:
        """Look up as much of a key as a set has; in one that was not read, the answer is unknown."""
        known = self.sets.get(name)
        return UNTOLD if known is None else known.find(self.fitting(name, key))

    def first_elements(self, name: str) -> Found:
        """The first elements of a set; none of one that was not read."""
        known = self.sets.get(name)
        return Found(None, tuple((known.elements or ())[:_ELEMENTS]) if known is not None else ())

    def repeat(self, lookup: Lookup) -> Found:
        """Find again what was found in this table, perhaps in an earlier reading of it."""
        _, name, key = lookup
        return self.first_elements(name) if key is None else self.find(name, key)

    def fitting(self, name: str, key: Bits) -> Bits:
        """As much of a key as a set has. Registers hold more."""
        known = self.sets.get(name)
        return key if known is None else key.part(0, known.key_size)


@dataclass(slots=True)
class Reliance:
    """What the verdict on a flow was made from: it stands as long as the next reading has the same.

    Attributes:
        chains: the rules, by table and chain.
        lookups: what was found, by table, set and key.
        named: some addresses of the internet that rules compare with those of the packets.
        elements: what was found without a key in sets of such addresses. Only a caller that uses `named` relies on it.
        added: table and name of sets to which packets of the flow were added.
    """

    chains: dict[TableChain, Sequence[WalkRule]] = field(default_factory=dict)
    lookups: dict[Lookup, Found] = field(default_factory=dict)
    named: set[IPv6Address] = field(default_factory=set)
    elements: dict[Lookup, Found] = field(default_factory=dict)
    added: set[tuple[str, str]] = field(default_factory=set)

    def name(self, address: bytes) -> None:
        """Note an address, or the prefix of some."""
        known = IPv6Address(address[:ADDRESS_SIZE].ljust(ADDRESS_SIZE, b"\0"))
        if len(self.named) < _NAMED and known in INTERNET_PREFIX:
            self.named.add(known)

    def join(self, other: "Reliance") -> None:
        """Rely on what another walk relied on, too."""
        self.chains |= other.chains
        self.lookups |= other.lookups


@dataclass(slots=True)
class Evidence:
    """What the verdicts on many flows were made from. They rely on the same things, so each is kept once."""

    _chains: dict[TableChain, tuple[TableChain, Sequence[WalkRule]]] = field(default_factory=dict)
    _lookups: dict[Lookup, tuple[Lookup, Found]] = field(default_factory=dict)

    def changed(self, tables: Mapping[str, FilterTable]) -> frozenset[TableChain | Lookup]:
        """What the tables, by their texts, don't have as it was; of two equal chains the reader keeps one."""
        chains = (at for at, rules in self._chains.values() if tables[at[0]].chains.get(at[1], ()) is not rules)
        lookups = (at for at, found in self._lookups.values() if tables[at[0]].repeat(at) != found)
        return frozenset((*chains, *lookups))

    def keep(self, reliance: Reliance) -> tuple[TableChain | Lookup, ...]:
        """Keep what a verdict relies on; returns the keys of it."""
        chains = (self._chains.setdefault(at, (at, rules))[0] for at, rules in reliance.chains.items())
        lookups = (self._lookups.setdefault(at, (at, found))[0] for at, found in reliance.lookups.items())
        return (*chains, *lookups)

    def drop_others(self, keys: frozenset[TableChain | Lookup]) -> None:
        """Keep only what has one of the keys."""
        self._chains = {at: kept for at, kept in self._chains.items() if at in keys}
        self._lookups = {at: kept for at, kept in self._lookups.items() if at in keys}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rule knows besides the packet: the hook that it runs in, the host, and its table.

    Attributes:
        reliance: notes what is looked up.
    """

    hook: str
    paths: Paths
    table: FilterTable
    reliance: Reliance = field(default_factory=Reliance)

    def find(self, name: str, key: Bits) -> Found:
        """Look up a key in a set of the table."""
        found = self.table.find(name, key)
        self.reliance.lookups[str(self.table), intern(name), self.table.fitting(name, key)] = found
        return found

    def name_elements(self, name: str) -> None:
        """Note some elements of a set of addresses."""
        found = self.reliance.elements[str(self.table), intern(name), None] = self.table.first_elements(name)
        for each in found.elements:
            self.reliance.name(each.first)


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that the kernel calls in a hook."""

    table: FilterTable
    name: str
    hook: str
    priority: int
    drops: bool = False  # its policy
    translates: bool = False  # type nat: only the first packet of a flow, and until one translates it
