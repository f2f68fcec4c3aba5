"""Sets, maps and their elements from the kernel's dumps (NFTA_SET_*, NFTA_SET_ELEM_*: linux/netfilter/nf_tables.h).

Only the forms that `commands` writes are decoded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import NamedTuple

from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.nftables.commands import (
    CONCATENATION,
    INTERVAL,
    KEY_SIZES,
    MAP,
    TYPE_BITS,
    TYPE_NUMBERS,
    key_size,
)
from dockerv6.firewall.nftables.expressions import PROTOCOLS
from dockerv6.firewall.nftables.kernel import attributes_of, number_in, text_in

_NAME, _FLAGS, _KEY_TYPE, _KEY_SIZE = 2, 3, 4, 5  # NFTA_SET_*
_DATA_TYPE, _DATA_SIZE, _POLICY, _DESCRIPTION = 6, 7, 8, 9
_ODD_ATTRIBUTES = {
    11: "a timeout",
    12: "a timeout",
    15: "objects",
    17: "expressions",
    18: "expressions",
}  # NFTA_SET_TIMEOUT, GC_INTERVAL, OBJ_TYPE, EXPR, EXPRESSIONS
_FLAG_NAMES = {0x2: "constant", 0x10: "timeout", 0x20: "dynamic", 0x40: "object"}  # NFT_SET_*
_DESCRIPTION_SIZE, _DESCRIPTION_FIELDS = 1, 2  # NFTA_SET_DESC_SIZE, NFTA_SET_DESC_CONCAT
_TYPES = {kind_number: kind for kind, kind_number in TYPE_NUMBERS.items()}
_LIST_ELEMENTS = 3  # NFTA_SET_ELEM_LIST_ELEMENTS
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_FLAGS, _ELEMENT_USERDATA, _ELEMENT_PAD, _ELEMENT_KEY_END = 1, 2, 3, 6, 8, 10
_ELEMENT_ATTRIBUTES = frozenset(
    {_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_FLAGS, _ELEMENT_USERDATA, _ELEMENT_PAD, _ELEMENT_KEY_END}
)
_DATA_VALUE = 1
_INTERVAL_END = 1
_USERDATA_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl
_PROTOCOL_NAMES = {bytes((protocol,)): name for name, protocol in PROTOCOLS.items()}
_LAST_ADDRESS = (1 << 128) - 1


class UnknownElementError(Exception):
    """An element that has no meaning as one of ours."""


class RangeBoundary(NamedTuple):
    """First address of a range, or the one behind its end, in an interval set with one field."""

    address: int
    is_start: bool
    owner: str
    value: str


class DecodedElement(NamedTuple):
    """What an element of a dump means."""

    value: Element | RangeBoundary | None  # None: nothing that one of ours means
    odd: str = ""  # how it differs from what `commands` writes; "": not at all


@dataclass(frozen=True, slots=True)
class DecodedSet:
    """A set, with the bytes that it was decoded from.

    Attributes:
        set: the set with its elements.
        messages: the dump of its elements.
        decoded: what each element of the dump means.
    """

    set: ElementSet
    messages: Sequence[bytes] = ()
    decoded: Mapping[bytes, DecodedElement] = field(default_factory=dict)

    def updated(self, messages: Sequence[bytes]) -> "DecodedSet":
        """The same set with the elements of a new dump. Only elements that are new in it are decoded."""
        if messages == self.messages:
            return self
        raw = list(raw_elements(messages))
        if len(raw) == len(self.decoded) and all(each in self.decoded for each in raw):
            return replace(self, messages=messages)
        decoded = {each: self.decoded.get(each) or _decoded(each, self.set) for each in raw}
        boundaries = [value for value, _ in decoded.values() if isinstance(value, RangeBoundary)]
        elements = [value for value, _ in decoded.values() if isinstance(value, Element)]
        odd = {each.odd for each in decoded.values()} - {""}
        if _unpaired(boundaries):
            odd.add("a range without its start or its end")
        now = replace(self.set, elements=frozenset([*elements, *ranges(boundaries)]), odd=tuple(sorted(odd)))
        return DecodedSet(now, messages, decoded)


def _decoded(raw: bytes, of: ElementSet) -> DecodedElement:
    """An element of any form. What more than key, value and comment it has does not keep it from being decoded."""
    decode = decode_boundary if of.interval and len(of.key) == 1 else decode_element
    more = {kind for kind, _ in attributes_of(raw)} - _ELEMENT_ATTRIBUTES
    try:
        return DecodedElement(decode(raw, of), "an element with more than a key and a value" if more else "")
    except UnknownElementError as error:
        return DecodedElement(None, str(error))


def decode_definition(attributes: Mapping[int, bytes]) -> ElementSet | None:
    """A set or a map without its elements; None: its elements can't be read as ours, because of their types."""
    flags = number_in(attributes.get(_FLAGS, b""))
    key = _key_types(number_in(attributes[_KEY_TYPE]))
    data = _TYPES.get(number_in(attributes.get(_DATA_TYPE, b""))) if flags & MAP else None
    if key is None or (flags & MAP and data is None):
        return None
    # programs may give any type to values of any size
    if number_in(attributes.get(_KEY_SIZE, b"")) != key_size(key):
        return None
    if data is not None and number_in(attributes.get(_DATA_SIZE, b"")) != KEY_SIZES[data]:
        return None
    if flags & INTERVAL and len(key) > 1 and _field_sizes(attributes) != tuple(KEY_SIZES[part] for part in key):
        return None
    return ElementSet(name_of(attributes), key, interval=bool(flags & INTERVAL), data=data)


def odd_definition(attributes: Mapping[int, bytes]) -> str:
    """What a set has that `commands` never makes; "": nothing. Only a new set can change it."""
    flags = number_in(attributes.get(_FLAGS, b""))
    limits = dict(attributes_of(attributes.get(_DESCRIPTION, b"")))
    found = {text for kind, text in _ODD_ATTRIBUTES.items() if kind in attributes}
    if rest := flags & ~(INTERVAL | MAP | CONCATENATION):
        names = [name for bit, name in _FLAG_NAMES.items() if rest & bit]
        found.add(f"flags {', '.join(names) or hex(rest)}")
    if _DESCRIPTION_SIZE in limits:
        found.add("a size")
    if number_in(attributes.get(_POLICY, b"")):
        found.add("another policy")
    return ", ".join(sorted(found))


def _field_sizes(attributes: Mapping[int, bytes]) -> tuple[int, ...]:
    """The sizes of the fields in which a set with ranges looks up parts of a key."""
    fields = dict(attributes_of(attributes.get(_DESCRIPTION, b""))).get(_DESCRIPTION_FIELDS, b"")
    return tuple(number_in(size) for _, field_ in attributes_of(fields) for _, size in attributes_of(field_))


def name_of(attributes: Mapping[int, bytes]) -> str:
    """The set's name."""
    return text_in(attributes[_NAME])


def comment_in(userdata: bytes) -> str:
    """The comment in the user data of a rule or an element: type, length, text."""
    position = 0
    while position + 2 <= len(userdata):
        kind, length = userdata[position], userdata[position + 1]
        if kind == _USERDATA_COMMENT:
            return userdata[position + 2 : position + 2 + length].rstrip(b"\0").decode(errors="replace")
        position += 2 + length
    return ""


def raw_elements(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The attributes of each element of a GETSETELEM dump."""
    for message in messages:
        for kind, listed in attributes_of(message):
            if kind == _LIST_ELEMENTS:
                yield from (element for _, element in attributes_of(listed))


def decode_element(raw: bytes, of: ElementSet) -> Element:
    """An element of a set without ranges, or of one with ranges and several fields.

    Raises:
        UnknownElementError: it is in a form that `commands` never writes.
    """
    found = _parsed(raw)
    if number_in(found.get(_ELEMENT_FLAGS, b"")):
        raise UnknownElementError("an element with flags")
    first = _value(found[_ELEMENT_KEY])
    last = _value(found[_ELEMENT_KEY_END]) if _ELEMENT_KEY_END in found else first
    key, position = [], 0
    for kind in of.key:
        end = position + KEY_SIZES[kind]
        key.append(_part(first[position:end], last[position:end], kind))
        position = end + (-end % 4)
    return Element(tuple(key), comment_in(found.get(_ELEMENT_USERDATA, b"")), _data(found, of))


def decode_boundary(raw: bytes, of: ElementSet) -> RangeBoundary:
    """An element of a set with ranges and one field.

    Raises:
        UnknownElementError: it is in a form that `commands` never writes.
    """
    found = _parsed(raw)
    flags = number_in(found.get(_ELEMENT_FLAGS, b""))
    if flags & ~_INTERVAL_END or _ELEMENT_KEY_END in found:
        raise UnknownElementError("an element with flags")
    owner, key = comment_in(found.get(_ELEMENT_USERDATA, b"")), _value(found[_ELEMENT_KEY])
    if len(key) != KEY_SIZES[KeyType.PREFIX]:
        raise UnknownElementError("a value of another length")
    return RangeBoundary(number_in(key), not flags, owner, "" if flags else _data(found, of))


def ranges(boundaries: Iterable[RangeBoundary]) -> Iterator[Element]:
    """The elements between the boundaries. A range may start where another one ends."""
    start: RangeBoundary | None = None
    for each in sorted(boundaries):  # an end sorts before a start
        if start is not None:
            yield _range(start, each.address - 1)
        start = each if each.is_start else None
    if start is not None:
        yield _range(start, _LAST_ADDRESS)


def _unpaired(boundaries: Iterable[RangeBoundary]) -> bool:
    """Whether an end has no start, or a start no end. nft writes an end at :: without a start (see `ranges`)."""
    is_open = False
    for each in sorted(boundaries):
        if each.is_start is is_open and each.address:
            return True
        is_open = each.is_start
    return False


def _range(start: RangeBoundary, last: int) -> Element:
    return Element((_prefix(start.address, last),), start.owner, start.value)


def _key_types(number: int) -> tuple[KeyType, ...] | None:
    found: list[KeyType] = []
    while number:
        kind = _TYPES.get(number & ((1 << TYPE_BITS) - 1))
        if kind is None:
            return None
        found.insert(0, kind)
        number >>= TYPE_BITS
    return tuple(found) or None


def _data(found: Mapping[int, bytes], of: ElementSet) -> str:
    """A map's value."""
    if of.data is None:
        return ""
    value = _value(found.get(_ELEMENT_DATA, b""))
    return _part(value, value, of.data)


def _parsed(raw: bytes) -> Mapping[int, bytes]:
    found = dict(attributes_of(raw))
    if _ELEMENT_KEY not in found:
        raise UnknownElementError("an element that stands for all others")  # nft's *
    return found


def _value(nested: bytes) -> bytes:
    value = dict(attributes_of(nested)).get(_DATA_VALUE)
    if value is None:
        raise UnknownElementError("a value that is a verdict")
    return value


def _part(first: bytes, last: bytes, kind: KeyType) -> str:
    if not len(first) == len(last) == KEY_SIZES[kind]:
        raise UnknownElementError("a value of another length")
    if kind is KeyType.PREFIX:
        return _prefix(number_in(first), number_in(last))
    if first != last:
        raise UnknownElementError("a range of names or numbers")
    match kind:
        case KeyType.PORT:
            return str(number_in(first))
        case KeyType.PROTOCOL if first in _PROTOCOL_NAMES:
            return _PROTOCOL_NAMES[first]
        case KeyType.INTERFACE if first.endswith(b"\0"):
            return first.rstrip(b"\0").decode(errors="surrogateescape")
        case _:
            raise UnknownElementError("a protocol or an interface that can't be named")


def _prefix(first: int, last: int) -> str:
    hosts = first ^ last
    if hosts & (hosts + 1) == 0 and first & hosts == 0:
        return f"{IPv6Address(first)}/{128 - hosts.bit_length()}"
    return f"{IPv6Address(first)}-{IPv6Address(last)}"
