"""Elements of sets and maps as the kernel dumps them (linux/netfilter/nf_tables.h), for `reader`.

libnftables takes 20 ms to show a thousand elements; these bytes take less than one. Only what we write ourselves is
understood; for everything else there is libnftables.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple

from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.nftables.kernel import attributes_of

_LIST_ELEMENTS = 3  # NFTA_SET_ELEM_LIST_ELEMENTS
_KEY, _DATA, _FLAGS, _USERDATA, _PAD, _KEY_END = 1, 2, 3, 6, 8, 10  # NFTA_SET_ELEM_*
_KNOWN = frozenset({_KEY, _DATA, _FLAGS, _USERDATA, _PAD, _KEY_END})
_DATA_VALUE = 1
_INTERVAL_END = 1
_COMMENT = 0
_SIZES = {KeyType.PREFIX: 16, KeyType.INTERFACE: 16, KeyType.PROTOCOL: 1, KeyType.PORT: 2}
_PROTOCOLS = {b"\x06": "tcp", b"\x11": "udp", b"\x84": "sctp"}
_ATTRIBUTE = struct.Struct("=HH")
_HIGHEST = (1 << 128) - 1


class Boundary(NamedTuple):
    """Where a range begins or is over, of a set with ranges of one field, and what is said of it where it begins."""

    place: int
    begins: bool
    owner: str
    value: str


class StrangeError(Exception):
    """Something that we never write."""


def raw_elements(messages: Sequence[bytes]) -> Iterator[bytes]:
    """The attributes of each element of a GETSETELEM dump."""
    for message in messages:
        for kind, listed in attributes_of(message):
            if kind == _LIST_ELEMENTS:
                place = 0
                while place < len(listed):
                    (length, _) = _ATTRIBUTE.unpack_from(listed, place)
                    yield listed[place + _ATTRIBUTE.size : place + length]
                    place += length + (-length % 4)


def element(raw: bytes, of: ElementSet) -> Element:
    """An element of a set without ranges, or of one with ranges and several fields.

    Raises:
        StrangeError: it is not as we write them.
    """
    found = _parsed(raw)
    if _flags(found):
        raise StrangeError("an element with flags")
    first = _value(found[_KEY])
    last = _value(found[_KEY_END]) if _KEY_END in found else first
    key, place = [], 0
    for kind in of.key:
        end = place + _SIZES[kind]
        key.append(_part(first[place:end], last[place:end], kind))
        place = end + (-end % 4)
    return Element(tuple(key), _owner(found), _data(found, of))


def boundary(raw: bytes, of: ElementSet) -> Boundary:
    """An element of a set with ranges of one field.

    Raises:
        StrangeError: it is not as we write them.
    """
    found = _parsed(raw)
    flags = _flags(found)
    if flags & ~_INTERVAL_END or _KEY_END in found:
        raise StrangeError("an element with flags")
    begins = not flags
    return Boundary(
        int.from_bytes(_value(found[_KEY]), "big"), begins, _owner(found), _data(found, of) if begins else ""
    )


def ranges(boundaries: Sequence[Boundary]) -> Iterator[Element]:
    """The elements between the boundaries. Where one range ends another may begin."""
    begun: Boundary | None = None
    for each in sorted(boundaries):  # an end sorts before a beginning
        if begun is not None:
            yield _between(begun, each.place - 1)
        begun = each if each.begins else None
    if begun is not None:
        yield _between(begun, _HIGHEST)


def _between(begun: Boundary, last: int) -> Element:
    return Element((_prefix(begun.place, last),), begun.owner, begun.value)


def _data(found: Mapping[int, bytes], of: ElementSet) -> str:
    """A map's value."""
    if of.data is None:
        return ""
    value = _value(found.get(_DATA, b""))
    return _part(value, value, of.data)


def _parsed(raw: bytes) -> Mapping[int, bytes]:
    found = dict(attributes_of(raw))
    if _KEY not in found or not found.keys() <= _KNOWN:
        raise StrangeError("an element with more than a key and a value")
    return found


def _flags(found: Mapping[int, bytes]) -> int:
    return int.from_bytes(found.get(_FLAGS, b""), "big")


def _value(nested: bytes) -> bytes:
    value = dict(attributes_of(nested)).get(_DATA_VALUE)
    if value is None:
        raise StrangeError("a value that is a verdict")
    return value


def _owner(found: Mapping[int, bytes]) -> str:
    """The comment: type, length, text."""
    data, place = found.get(_USERDATA, b""), 0
    while place + 2 <= len(data):
        kind, length = data[place], data[place + 1]
        if kind == _COMMENT:
            return data[place + 2 : place + 2 + length].rstrip(b"\0").decode(errors="replace")
        place += 2 + length
    return ""


def _part(first: bytes, last: bytes, kind: KeyType) -> str:
    if kind is KeyType.PREFIX:
        return _prefix(int.from_bytes(first, "big"), int.from_bytes(last, "big"))
    if first != last:
        raise StrangeError("a range of names or numbers")
    match kind:
        case KeyType.PORT:
            return str(int.from_bytes(first, "big"))
        case KeyType.PROTOCOL if first in _PROTOCOLS:
            return _PROTOCOLS[first]
        case KeyType.INTERFACE if first.endswith(b"\0"):
            return first.rstrip(b"\0").decode(errors="replace")
        case _:
            raise StrangeError("a name that is not ours")


def _prefix(first: int, last: int) -> str:
    hosts = first ^ last
    if hosts & (hosts + 1) == 0 and first & hosts == 0:
        return f"{IPv6Address(first)}/{128 - hosts.bit_length()}"
    return f"{IPv6Address(first)}-{IPv6Address(last)}"
