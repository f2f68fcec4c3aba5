"""One ip6tables rule as a value, whatever it was read from or is written to. Written out, it is `ip6tables-save`'s."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

OWN_CHAIN_PREFIX = "DOCKERV6-"
"""How the names of all our chains begin; a chain of that name is ours."""

FILTER = "filter"
MANGLE = "mangle"
NAT = "nat"

WILDCARD = "/"
"""At the end of an interface name: every name that begins so (`+` in ip6tables; "/" can't be part of a name)."""

NOT = "! "
"""Before the value of a condition: every packet but these. With the space, which no name of an interface has: `!eth0`
is a name."""

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
    """Targets without arguments."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    RETURN = "RETURN"
    MASQUERADE = "MASQUERADE"
    KEEP_SOURCE = "NETMAP --to ::/0"  # a translation to itself: no later NAT rule is asked


@dataclass(frozen=True, slots=True)
class ChainTarget:
    """Another chain. With `jump`, a packet that returns from it goes on behind this rule; else (goto) it does not."""

    chain: str
    jump: bool = False

    def __str__(self) -> str:
        return self.chain


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


@dataclass(frozen=True, slots=True)
class ExtensionTarget:
    """Any other target of a rule that was read, such as REJECT or LOG; its arguments are not decoded."""

    name: str

    def __str__(self) -> str:
        return self.name


XtablesTarget = PlainTarget | ChainTarget | MarkTarget | DnatTarget | SnatTarget | NetmapTarget | ExtensionTarget


@dataclass(frozen=True, slots=True)
class XtablesRule:
    """One rule: its conditions, all of which a packet must fulfil, and its target. An empty field is no condition.

    `NOT` before an address, an interface, a protocol or an address type negates it.

    Attributes:
        target: None: the packet is counted and goes on.
        source: a prefix, also of a single address ("2001:db8::1/128"); so is `destination`.
        ports: destination ports, first and last.
        mark: any of these bits is set.
        mark_all: all of these bits are set.
        states: states of connection tracking, one of them.
        direction: "ORIGINAL" or "REPLY".
        translated: the destination of the flow's first packet was translated.
        original: the flow's first packet was sent to this prefix, before any translation.
        source_type: "LOCAL": an address of the host; so is `destination_type`.
        unknown: conditions that were read and are not decoded, by their names.
    """

    target: XtablesTarget | None = None
    source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    protocol: str = ""
    ports: tuple[int, int] | None = None
    icmp_type: int | None = None
    mark: int = 0
    mark_all: int = 0
    states: tuple[str, ...] = ()
    direction: str = ""
    translated: bool = False
    original: str = ""
    source_type: str = ""
    destination_type: str = ""
    unknown: tuple[str, ...] = ()
    comment: str = ""

    @property
    def conditions(self) -> Mapping[str, object]:
        """The conditions by their fields' names; empty: every packet fulfils them."""
        return {name: value for name in _CONDITIONS if (value := getattr(self, name)) not in _NO_CONDITION}

    @property
    def target_name(self) -> str:
        """The target without its arguments, as after `-j`; empty: none."""
        return str(self.target or "").partition(" ")[0]

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
        for option, value in (("-s", self.source), ("-d", self.destination), ("-i", self.iif), ("-o", self.oif)):
            if value:
                yield _option(option, f"{value.removesuffix(WILDCARD)}+" if value.endswith(WILDCARD) else value)
        if self.protocol:
            yield _option("-p", self.protocol)

    def _matches(self) -> Iterator[str]:
        if self.ports is not None:
            first, last = self.ports
            yield f"-m {self.protocol} --dport {first}" + (f":{last}" if last != first else "")
        if self.icmp_type is not None:
            yield f"-m icmp6 --icmpv6-type {self.icmp_type}"
        if self.mark:
            yield f"-m mark ! --mark 0x0/{self.mark:#x}"
        if self.mark_all:
            yield f"-m mark --mark {self.mark_all:#x}/{self.mark_all:#x}"
        if self.states or self.direction:
            states = f" --ctstate {','.join(self.states)}" if self.states else ""
            yield f"-m conntrack{states}" + (f" --ctdir {self.direction}" if self.direction else "")
        if self.translated:
            yield "-m conntrack --ctstate DNAT"
        if self.original:
            yield f"-m conntrack --ctorigdst {self.original.removesuffix('/128')}"
        if self.source_type:
            yield f"-m addrtype {_option('--src-type', self.source_type)}"
        if self.destination_type:
            yield f"-m addrtype {_option('--dst-type', self.destination_type)}"
        yield from (f"-m {name} ..." for name in self.unknown)


_CONDITIONS = tuple(each.name for each in fields(XtablesRule) if each.name not in {"target", "comment"})
_NO_CONDITION: tuple[object, ...] = ("", None, 0, False, ())


def _option(name: str, value: str) -> str:
    return f"! {name} {value.removeprefix(NOT)}" if value.startswith(NOT) else f"{name} {value}"


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule in its place.

    Attributes:
        handle: its number in nf_tables, by which it is deleted; 0 in a legacy table.
        entry: its bytes, by which it is deleted from a legacy table (see `entries`); empty in nf_tables.
    """

    table: str
    chain: str
    rule: XtablesRule
    handle: int = 0
    entry: bytes = b""

    def __str__(self) -> str:
        return f"-A {self.chain} {self.rule}"


@dataclass(frozen=True, slots=True)
class XtablesChain:
    """A chain that was read. `policy` is empty for one that is not a built-in or base chain."""

    policy: str = ""
    rules: tuple[ListedRule, ...] = ()
