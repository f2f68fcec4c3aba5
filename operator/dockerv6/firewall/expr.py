"""Rules, chains, sets and elements as values that are independent of a backend.

There are terms for what `render` writes. Anything else in a table is an `UnknownExpr`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network

RULE_FORMAT = 1
"""Part of every rule's digest. Raise it when the nftables backend renders a term differently than before: rules of a
running table are then written again. A test compares what is rendered with what earlier versions rendered."""

SHARED = ""
"""The owner of everything that belongs to no single resource: chains, sets, the table."""


class KeyType(StrEnum):
    """The type of one part of an element's key."""

    PREFIX = "ipv6_addr"  # written as a prefix, an address as /128
    INTERFACE = "ifname"
    PROTOCOL = "inet_proto"  # by its name: "tcp"
    PORT = "inet_service"  # a number, without names


class Field(StrEnum):
    """A property of a packet that rules match on."""

    FAMILY = "meta nfproto"  # "ipv4" or "ipv6"
    SADDR = "ip6 saddr"
    DADDR = "ip6 daddr"
    IIF = "iifname"
    OIF = "oifname"
    OIF_KIND = "meta oifkind"  # the link's kind as `ip -details link` shows it; kernel >= 5.1
    CT_STATE = "ct state"
    CT_DIRECTION = "ct direction"
    CT_STATUS = "ct status"  # "dnat": the destination of the flow's first packet was translated, by any rule
    CT_ORIGINAL_DADDR = "ct original ip6 daddr"  # where the flow's first packet was sent, before any translation
    IIF_KIND = "meta iifkind"  # kernel >= 5.1
    DADDR_TYPE = "fib daddr type"  # "local": one of the host's own addresses
    PROTOCOL = "meta l4proto"
    DPORT = "th dport"
    ICMP_TYPE = "icmpv6 type"


@dataclass(frozen=True, slots=True)
class In:
    """The fields, taken together, are an element of the set (`negate`: are none)."""

    fields: tuple[Field, ...]
    set: str
    negate: bool = False

    def __str__(self) -> str:
        return f"{' . '.join(self.fields)} {'!= ' if self.negate else ''}@{self.set}"


@dataclass(frozen=True, slots=True)
class Is:
    """The field has one of the values (`negate`: none of them)."""

    field: Field
    values: frozenset[str]
    negate: bool = False

    def __str__(self) -> str:
        return f"{self.field} {'!= ' if self.negate else ''}{','.join(sorted(self.values))}"


@dataclass(frozen=True, slots=True)
class HasMark:
    """Any of these bits of the packet's mark is set."""

    bits: int

    def __str__(self) -> str:
        return f"meta mark & {self.bits:#010x} != 0"


@dataclass(frozen=True, slots=True)
class SetMark:
    """Set these bits of the packet's mark, keep the others."""

    bits: int

    def __str__(self) -> str:
        return f"meta mark set meta mark | {self.bits:#010x}"


@dataclass(frozen=True, slots=True)
class ClearMark:
    """Clear these bits of the packet's mark, keep the others."""

    bits: int

    def __str__(self) -> str:
        return f"meta mark set meta mark & ~{self.bits:#010x}"


@dataclass(frozen=True, slots=True)
class Dnat:
    """Translate the destination to the address and port that two maps have for the fields; no element, no match."""

    fields: tuple[Field, ...]
    addresses: str
    ports: str

    def __str__(self) -> str:
        key = " . ".join(self.fields)
        return f"dnat to {key} map @{self.addresses} : {key} map @{self.ports}"


@dataclass(frozen=True, slots=True)
class Snat:
    """Translate the source to the address that a map has for the fields; no element, no match."""

    fields: tuple[Field, ...]
    addresses: str

    def __str__(self) -> str:
        return f"snat to {' . '.join(self.fields)} map @{self.addresses}"


@dataclass(frozen=True, slots=True)
class Netmap:
    """Replace the address's prefix by another one, as long as the one that the rule matched; the other bits stay.

    It is a NAT decision like any other: made for a flow's first packet, tracked, and undone for its replies.
    """

    field: Field  # SADDR or DADDR
    to: str  # a prefix; a single address without its length

    def __str__(self) -> str:
        return f"{'snat' if self.field is Field.SADDR else 'dnat'} prefix to {self.to}"


@dataclass(frozen=True, slots=True)
class SetField:
    """Write an address into the packet's header, without connection tracking; the checksum is corrected."""

    field: Field
    value: str

    def __str__(self) -> str:
        return f"{self.field} set {self.value}"


@dataclass(frozen=True, slots=True)
class MapField:
    """As `SetField`, with the value that the map has for the fields; no element, no match."""

    field: Field
    fields: tuple[Field, ...]
    map: str

    def __str__(self) -> str:
        return f"{self.field} set {' . '.join(self.fields)} map @{self.map}"


class Verdict(StrEnum):
    """What happens to a packet that matches the rule's other terms."""

    ACCEPT = "accept"
    DROP = "drop"
    MASQUERADE = "masquerade"
    KEEP_SOURCE = "snat to ip6 saddr"  # a NAT decision: not translated; later NAT chains are not asked


@dataclass(frozen=True, slots=True)
class Jump:
    """Continue in another chain, and return if it has no verdict."""

    chain: str

    def __str__(self) -> str:
        return f"jump {self.chain}"


@dataclass(frozen=True, slots=True)
class UnknownExpr:
    """Content of a rule that we didn't write. It never equals a rendered rule."""

    text: str

    def __str__(self) -> str:
        return self.text


Term = (
    In | Is | HasMark | SetMark | ClearMark | Dnat | Snat | Netmap | SetField | MapField | Verdict | Jump | UnknownExpr
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Terms from left to right, and a comment for people who read the table.

    A rule that exists for a single resource has that `owner`, which is written in the comment's place. Only rules that
    translate prefixes have one: no map can hold prefixes as values.

    Two rules are equal if their digests are. A backend writes the digest beside the rule; a rule that is read back has
    that digest, and its terms need not be decoded.
    """

    terms: tuple[Term, ...] = field(compare=False)
    comment: str = field(default="", compare=False)
    owner: str = SHARED
    digest: str = ""  # computed where it is not given

    def __post_init__(self) -> None:
        if not self.digest:
            content = f"{RULE_FORMAT}\0{self}\0{self.owner}"
            object.__setattr__(
                self, "digest", blake2b(content.encode(errors="surrogateescape"), digest_size=6).hexdigest()
            )

    def __str__(self) -> str:
        terms = " ".join(str(term) for term in self.terms)
        return f'{terms} comment "{self.comment}"' if self.comment else terms


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; a base chain where `hook` is set.

    Attributes:
        type: "filter" or "nat".
        priority: netfilter's, smaller is earlier (`srcnat` is 100, `filter` 0).
    """

    name: str
    rules: tuple[Rule, ...] = ()
    type: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = ""

    @property
    def base(self) -> tuple[str, str, int, str]:
        """What only a new chain can change."""
        return (self.type, self.hook, self.priority, self.policy)

    @property
    def shared(self) -> tuple[Rule, ...]:
        """The rules that belong to no single resource."""
        return tuple(rule for rule in self.rules if rule.owner == SHARED)

    @property
    def owned(self) -> tuple[Rule, ...]:
        """The rules of single resources."""
        return tuple(rule for rule in self.rules if rule.owner != SHARED)

    def owning(self, rules: Iterable[Rule]) -> "Chain":
        """The chain with these owned rules, in a fixed order behind the shared ones."""
        owned = tuple(sorted(rules, key=lambda rule: (str(rule), rule.owner)))
        return replace(self, rules=self.shared + owned) if owned != self.owned else self


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """A key (one text for each of the set's key types), the owner in its comment, and a map's value."""

    key: tuple[str, ...]
    owner: str = SHARED
    value: str = ""

    def __str__(self) -> str:
        key = " . ".join(self.key)
        return f"{key} : {self.value}" if self.value else key


@dataclass(frozen=True, slots=True)
class ElementSet:
    """A set. With `interval`, its prefixes are ranges; the kernel refuses ranges that overlap.

    With `data` it is a map: each element has a value of that type.

    `odd` says what else is in the set: elements of a form that we never write. Those that have a key and an owner like
    ours (an element with a timeout, for example) are also among the `elements`, in our form.
    """

    name: str
    key: tuple[KeyType, ...]
    interval: bool = True
    elements: frozenset[Element] = frozenset()
    data: KeyType | None = None
    odd: tuple[str, ...] = ()

    @property
    def definition(self) -> tuple[tuple[KeyType, ...], bool, KeyType | None]:
        """What only a new set can change."""
        return (self.key, self.interval, self.data)


def overlapping(keys: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Two keys that one packet could match, which the kernel refuses in an interval set; None if there are none."""
    active: list[tuple[tuple[tuple[int, int], ...], tuple[str, ...]]] = []
    for ranges, key in sorted((_ranges(key), key) for key in keys):
        active = [each for each in active if each[0][0][1] >= ranges[0][0]]
        for other, rival in active:
            if all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(ranges, other, strict=True)):
                return rival, key
        active.append((ranges, key))
    return None


def _ranges(key: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(span(part) for part in key)


@lru_cache(maxsize=8192)
def span(part: str) -> tuple[int, int]:
    """First and last value of a part of a key, as numbers. Names become negative numbers, which no address has."""
    if ":" in part:
        try:
            first, _, last = part.partition("-")
            if last:
                return int(IPv6Address(first)), int(IPv6Address(last))
            network = IPv6Network(part)
            return int(network.network_address), int(network.broadcast_address)
        except ValueError:  # an interface alias such as eth0:1
            pass
    number = -1 - int.from_bytes(part.encode(errors="surrogateescape"))
    return number, number
