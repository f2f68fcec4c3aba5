"""Rules, chains and tables in xtables' words, as values. Written out, they are lines of `ip6tables-save`."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "DOCKERV6-"
"""How the names of all our chains begin; a chain of that name is ours."""

MANGLE = "mangle"
NAT = "nat"

WILDCARD = "/"
"""At the end of an interface name: every name that begins so (`+` in the rules; "/" can't be part of a name)."""

ICMP_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "nd-router-solicit": 133,
    "nd-router-advert": 134,
    "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136,
    "nd-redirect": 137,
}


class UnsupportedRuleError(ValueError):
    """A rule that xtables can't express."""


class PlainTarget(StrEnum):
    """Targets that need nothing further."""

    DROP = "DROP"
    RETURN = "RETURN"
    MASQUERADE = "MASQUERADE"
    KEEP_SOURCE = "NETMAP --to ::/0"  # a translation to itself: decided, no later NAT rule is asked


@dataclass(frozen=True, slots=True)
class ChainTarget:
    """On to another chain; with `jump` back behind this rule afterwards, else to wherever this chain would return."""

    chain: str
    jump: bool = False

    def __str__(self) -> str:
        return f"{self.chain}"


@dataclass(frozen=True, slots=True)
class MarkTarget:
    """Write `value` into the bits `mask` of the packet's mark, keep the others."""

    value: int
    mask: int

    def __str__(self) -> str:
        return f"MARK --set-xmark {self.value:#x}/{self.mask:#x}"


@dataclass(frozen=True, slots=True)
class DnatTarget:
    """Translate the destination."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"DNAT --to-destination [{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class SnatTarget:
    """Translate the source."""

    address: str

    def __str__(self) -> str:
        return f"SNAT --to-source {self.address}"


@dataclass(frozen=True, slots=True)
class NetmapTarget:
    """Exchange a prefix for another: the source's where a packet leaves, else the destination's."""

    prefix: str

    def __str__(self) -> str:
        return f"NETMAP --to {self.prefix}"


XtablesTarget = PlainTarget | ChainTarget | MarkTarget | DnatTarget | SnatTarget | NetmapTarget


@dataclass(frozen=True, slots=True)
class XtablesRule:
    """One rule: what a packet must be, and what happens to it then. An empty condition is none.

    Attributes:
        not_source: not from there; a rule has one condition on the source at most.
        mark: any of these bits is set.
        states: of connection tracking, any of them.
        translated: the destination of the flow's first packet was translated.
        original: the flow's first packet was sent there, before any translation.
        local: the destination is one of the host's own addresses.
        not_local: it is none.
    """

    target: XtablesTarget | None = None
    source: str = ""
    not_source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    protocol: str = ""
    ports: tuple[int, int] | None = None  # destination ports, first and last
    icmp_type: int | None = None
    mark: int = 0
    states: tuple[str, ...] = ()
    direction: str = ""  # "ORIGINAL" or "REPLY"
    translated: bool = False
    original: str = ""
    local: bool = False
    not_local: bool = False
    comment: str = ""

    @property
    def conditional(self) -> bool:
        """Whether some packets are left out."""
        return any(
            (
                self.source,
                self.not_source,
                self.destination,
                self.iif,
                self.oif,
                self.protocol,
                self.mark,
                self.states,
                self.direction,
                self.translated,
                self.original,
                self.local,
                self.not_local,
            )
        )

    def __str__(self) -> str:
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        yield from self._header()
        yield from self._matches()
        if self.comment:
            yield f'-m comment --comment "{self.comment}"'
        if self.target is not None:
            yield f"{'-g' if isinstance(self.target, ChainTarget) and not self.target.jump else '-j'} {self.target}"

    def _header(self) -> Iterator[str]:
        for option, value in (("-s", self.source), ("! -s", self.not_source), ("-d", self.destination)):
            if value:
                yield f"{option} {value}"
        for option, value in (("-i", self.iif), ("-o", self.oif)):
            if value:
                yield f"{option} {value.removesuffix(WILDCARD)}{'+' if value.endswith(WILDCARD) else ''}"
        if self.protocol:
            yield f"-p {self.protocol}"

    def _matches(self) -> Iterator[str]:
        if self.ports is not None:
            first, last = self.ports
            yield f"-m {self.protocol} --dport {first}" + (f":{last}" if last != first else "")
        if self.icmp_type is not None:
            yield f"-m icmp6 --icmpv6-type {self.icmp_type}"
        if self.mark:
            yield f"-m mark ! --mark 0x0/{self.mark:#x}"
        if self.states or self.direction:
            states = f" --ctstate {','.join(self.states)}" if self.states else ""
            yield f"-m conntrack{states}" + (f" --ctdir {self.direction}" if self.direction else "")
        if self.translated:
            yield "-m conntrack --ctstate DNAT"
        if self.original:
            yield f"-m conntrack --ctorigdst {self.original.removesuffix('/128')}"
        if self.local or self.not_local:
            yield f"-m addrtype {'! ' if self.not_local else ''}--dst-type LOCAL"


@dataclass(frozen=True, slots=True)
class CompiledChain:
    """A chain of ours. `origin`: the ruleset's chain that it comes from; empty for the ledger."""

    name: str
    specs: tuple[XtablesRule, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class CompiledTable:
    """Our part of a table: chains, and one jump at the top of each built-in chain in `jumps`."""

    name: str
    chains: tuple[CompiledChain, ...] = ()
    jumps: tuple[
        tuple[str, XtablesRule, str], ...
    ] = ()  # built-in chain, the rule, the ruleset's chain that it leads to

    def lines(self) -> Iterator[str]:
        """As `ip6tables-save` shows it."""
        yield f"*{self.name}"
        for chain in self.chains:
            yield f":{chain.name} - [0:0]"
        for builtin, spec, _ in self.jumps:
            yield f"-A {builtin} {spec}"
        for chain in self.chains:
            for spec in chain.specs:
                yield f"-A {chain.name} {spec}".rstrip()
