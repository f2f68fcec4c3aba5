"""Operations as messages of one transaction. Only for writing: see `reader` for the way back.

Names and comments are written as they are: no notation gives any of their characters a meaning.

Attributes are given by their numbers (linux/netfilter/nf_tables.h), which differ by the message:

    NFTA_TABLE_     NAME 1, FLAGS 2, USERDATA 6
    NFTA_CHAIN_     TABLE 1, NAME 3, HOOK 4 (NUMBER 1, PRIORITY 2), POLICY 5, TYPE 7
    NFTA_RULE_      TABLE 1, CHAIN 2, HANDLE 3, EXPRESSIONS 4, USERDATA 7
    NFTA_SET_       TABLE 1, NAME 2, FLAGS 3, KEY_TYPE 4, KEY_LEN 5, DATA_TYPE 6, DATA_LEN 7,
                    DESC 9 (SIZE 1, CONCAT 2 with FIELD_LEN 1), ID 10, USERDATA 13
    NFTA_SET_ELEM_  LIST_TABLE 1, LIST_SET 2, LIST_ELEMENTS 3, LIST_SET_ID 4;
                    of an element KEY 1, DATA 2, FLAGS 3, USERDATA 6, KEY_END 10
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv6Address

from dockerv6.firewall.expr import Chain, Element, ElementSet, KeyType, span
from dockerv6.firewall.nftables.expressions import (
    ANONYMOUS_SET,
    PROTOCOLS,
    AnonymousSet,
    name_bytes,
    program,
)
from dockerv6.firewall.nftables.kernel import NFPROTO_INET, NFPROTO_IPV6, NftMessage, nested, number, text
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
from dockerv6.lib.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, attribute

FAMILY = "inet"
TABLE = "dockerv6"
TABLE_COMMENT = "dockerv6: made and repaired by the dockerv6 operator; edits are undone"
DIGEST_MARK = " #"
"""Between a rule's comment, or its owner, and its digest."""

HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
"""By the kernel's numbers (NF_INET_*)."""

POLICIES = ("drop", "accept")
"""NF_DROP, NF_ACCEPT."""

TYPE_NUMBERS = {KeyType.PREFIX: 8, KeyType.PROTOCOL: 12, KeyType.PORT: 13, KeyType.INTERFACE: 41}
"""nft's numbers (enum datatypes in its include/datatype.h); the kernel stores them for nft, 6 bits for each part."""

TYPE_BITS = 6
KEY_SIZES = {KeyType.PREFIX: 16, KeyType.INTERFACE: 16, KeyType.PROTOCOL: 1, KeyType.PORT: 2}
INTERVAL, MAP, CONCATENATION = 0x4, 0x8, 0x80
"""NFT_SET_*"""

_ANONYMOUS_CONSTANT = 0x1 | 0x2
_ICMPV6_TYPE = 29  # nft's number
_NEWTABLE, _DELTABLE, _NEWCHAIN, _DELCHAIN, _NEWRULE, _DELRULE = 0, 2, 3, 5, 6, 8  # NFT_MSG_*
_NEWSET, _NEWSETELEM, _DELSETELEM = 9, 12, 14
_CREATE = NLM_F_CREATE | NLM_F_EXCL
_INTERVAL_END = 1  # NFT_SET_ELEM_INTERVAL_END
_LAST_ADDRESS = (1 << 128) - 1
_MAX_LIST = 32 << 10
"""Bytes of elements in one message. An attribute holds less than 64 KiB."""

_MAX_COMMENT = 127
"""Bytes, as in nft. The kernel drops the comment of an element that needs more than 255 bytes with it."""

_COMMENT = 0  # NFTNL_UDATA_TABLE_COMMENT, …_RULE_COMMENT, …_SET_ELEM_COMMENT of libnftnl
_KEY_BYTE_ORDER, _DATA_BYTE_ORDER, _DATA_INTERVAL = 0, 1, 6  # NFTNL_UDATA_SET_*
_MIXED, _HOST_ORDER, _NETWORK_ORDER = 0, 1, 2  # nft's enum byteorder


def commands(operations: Iterable[Operation]) -> list[NftMessage]:
    """The operations as messages of one transaction.

    They create where adding would do as well: the kernel refuses to create what exists already, so a change that no
    longer fits the table fails as a whole instead of, say, filling a chain twice.
    """
    writer = _Writer()
    return [each for operation in operations for each in writer.operation(operation)]


def delete_table() -> NftMessage:
    """Delete our table."""
    return NftMessage(_DELTABLE, 0, NFPROTO_INET, text(1, TABLE), f"delete table {FAMILY} {TABLE}")


def delete_foreign_rule(table: str, chain: str, handle: int) -> NftMessage:
    """Delete a rule of a table of family ip6."""
    attributes = text(1, table) + text(2, chain) + attribute(3, handle.to_bytes(8, "big"))
    return NftMessage(_DELRULE, 0, NFPROTO_IPV6, attributes, f"delete rule {handle} of chain ip6 {table} {chain}")


def delete_foreign_chain(table: str, chain: str) -> NftMessage:
    """Delete a chain of a table of family ip6."""
    return NftMessage(_DELCHAIN, 0, NFPROTO_IPV6, text(1, table) + text(3, chain), f"delete chain ip6 {table} {chain}")


class _Writer:
    """Writes one transaction, in which each new set has a number."""

    def __init__(self) -> None:
        self._sets = 0

    def operation(self, operation: Operation) -> Iterator[NftMessage]:
        match operation:
            case AddTable():
                attributes = text(1, TABLE) + number(2, 0) + attribute(6, _user_data(_COMMENT, TABLE_COMMENT))
                yield _ours(_NEWTABLE, _CREATE, attributes, f"create table {FAMILY} {TABLE}")
            case DeleteTable():
                yield delete_table()
            case AddSet(each):
                yield from self._set(each)
            case FlushSet() | AddElements() | RemoveElements():
                yield from _content(operation)
            case AddChain(chain):
                yield _chain(chain)
            case AddRules(chain):
                yield from self._rules(chain)
            case FlushChain(name):
                yield _ours(_DELRULE, 0, text(1, TABLE) + text(2, name), f"flush chain {name}")
            case DeleteChain(name):
                yield _ours(_DELCHAIN, 0, text(1, TABLE) + text(3, name), f"delete chain {name}")

    def _set(self, each: ElementSet) -> Iterator[NftMessage]:
        self._sets += 1
        concatenated = each.interval and len(each.key) > 1
        flags = (INTERVAL if each.interval else 0) | (MAP if each.data else 0) | (CONCATENATION if concatenated else 0)
        key, data, description = number(4, _type_number(each.key)) + number(5, key_size(each.key)), b"", b""
        order = _order(each.key[0]) if len(each.key) == 1 else _MIXED
        shown = _user_number(_KEY_BYTE_ORDER, order)
        if each.data:
            data = number(6, TYPE_NUMBERS[each.data]) + number(7, KEY_SIZES[each.data])
            shown += _user_number(_DATA_BYTE_ORDER, _order(each.data)) + _user_number(_DATA_INTERVAL, 0)
        if concatenated:
            description = nested(9, nested(2, *(nested(1, number(1, KEY_SIZES[part])) for part in each.key)))
        attributes = text(1, TABLE) + text(2, each.name) + number(3, flags) + key + data + description
        made = attributes + number(10, self._sets) + attribute(13, shown)
        yield _ours(_NEWSET, _CREATE, made, f"create set {each.name}")

    def _rules(self, chain: Chain) -> Iterator[NftMessage]:
        for rule in chain.rules:
            made = program(rule, self._sets + 1)
            for each in made.sets:
                self._sets += 1
                yield from _anonymous(each, self._sets)
            comment = f"{rule.owner or rule.comment}{DIGEST_MARK}{rule.digest}"
            attributes = text(1, TABLE) + text(2, chain.name) + nested(4, made.expressions)
            attributes += attribute(7, _user_data(_COMMENT, comment))
            purpose = f"add to chain {chain.name} the rule {rule}"
            yield _ours(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, attributes, purpose)


def _ours(kind: int, flags: int, attributes: bytes, purpose: str) -> NftMessage:
    return NftMessage(kind, flags, NFPROTO_INET, attributes, purpose)


def _chain(chain: Chain) -> NftMessage:
    attributes = text(1, TABLE) + text(3, chain.name)
    if chain.hook:
        attributes += nested(4, number(1, HOOKS.index(chain.hook)), number(2, chain.priority))
        attributes += number(5, POLICIES.index(chain.policy)) + text(7, chain.type)
    return _ours(_NEWCHAIN, _CREATE, attributes, f"create chain {chain.name}")


def _anonymous(each: AnonymousSet, identifier: int) -> Iterator[NftMessage]:
    """A set that the kernel names, and that goes with its rule."""
    size = len(each.values[0])
    key = number(4, _ICMPV6_TYPE) + number(5, size) + nested(9, number(1, len(each.values)))
    attributes = text(1, TABLE) + text(2, ANONYMOUS_SET) + number(3, _ANONYMOUS_CONSTANT) + key
    shown = attribute(13, _user_number(_KEY_BYTE_ORDER, _NETWORK_ORDER))
    yield _ours(_NEWSET, _CREATE, attributes + number(10, identifier) + shown, f"create a set of {each.field}")
    elements = [nested(1, _data(1, value)) for value in each.values]
    where = text(1, TABLE) + text(2, ANONYMOUS_SET) + number(4, identifier)
    yield _list(_NEWSETELEM, NLM_F_CREATE, where, elements, str(each.field))


# ---- elements ----


def _content(operation: FlushSet | AddElements | RemoveElements) -> Iterator[NftMessage]:
    match operation:
        case FlushSet(each):
            yield _ours(_DELSETELEM, 0, text(1, TABLE) + text(2, each.name), f"flush set {each.name}")
        case AddElements(each, elements):
            yield from _elements(_NEWSETELEM, _CREATE, each, elements)
        case RemoveElements(each, elements):
            yield from _elements(_DELSETELEM, 0, each, elements)


def _elements(kind: int, flags: int, each: ElementSet, elements: Sequence[Element]) -> Iterator[NftMessage]:
    """The elements in as many messages as they need."""
    where = text(1, TABLE) + text(2, each.name)
    encode = _boundaries if each.interval and len(each.key) == 1 else _element
    waiting: list[bytes] = []
    size = 0
    for element in elements:
        encoded = encode(element, each, whole=kind == _NEWSETELEM)
        if size + len(encoded) > _MAX_LIST:
            yield _list(kind, flags, where, waiting, each.name)
            waiting, size = [], 0
        waiting.append(encoded)
        size += len(encoded)
    if waiting:
        yield _list(kind, flags, where, waiting, each.name)


def _list(kind: int, flags: int, where: bytes, elements: Sequence[bytes], name: str) -> NftMessage:
    verb = "add elements to" if kind == _NEWSETELEM else "remove elements of"
    return _ours(kind, flags, where + nested(3, *elements), f"{verb} set {name}")


def _boundaries(element: Element, of: ElementSet, *, whole: bool) -> bytes:
    """An element of a set with ranges and one field: its first key, and the one behind its last if there is one."""
    (first, last), size = span(element.key[0]), KEY_SIZES[of.key[0]]
    start = nested(1, _data(1, first.to_bytes(size, "big")), _beside(element, of) if whole else b"")
    if last == _LAST_ADDRESS:
        return start
    return start + nested(1, _data(1, (last + 1).to_bytes(size, "big")), number(3, _INTERVAL_END))


def _element(element: Element, of: ElementSet, *, whole: bool) -> bytes:
    """An element of a set without ranges, or of one with ranges and several fields. Its key alone deletes it."""
    ends = [_part_bytes(part, kind) for part, kind in zip(element.key, of.key, strict=True)]
    first, last = (b"".join(_padded(end[side]) if len(ends) > 1 else end[side] for end in ends) for side in (0, 1))
    behind = _data(10, last) if of.interval else b""
    return nested(1, _data(1, first), behind, _beside(element, of) if whole else b"")


def _beside(element: Element, of: ElementSet) -> bytes:
    """A map's value, and the owner."""
    value = _data(2, _part_bytes(element.value, of.data)[0]) if of.data else b""
    return value + (attribute(6, _user_data(_COMMENT, element.owner)) if element.owner else b"")


def _part_bytes(part: str, kind: KeyType) -> tuple[bytes, bytes]:
    """First and last value of a part of a key."""
    match kind:
        case KeyType.PREFIX:
            first, last = span(part)
            return IPv6Address(first).packed, IPv6Address(last).packed
        case KeyType.INTERFACE:
            value = name_bytes(part)
        case KeyType.PROTOCOL:
            value = bytes((PROTOCOLS[part],))
        case KeyType.PORT:
            value = int(part).to_bytes(2, "big")
    return value, value


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(1, value))


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def key_size(key: tuple[KeyType, ...]) -> int:
    """The bytes of a key; each part of several is padded."""
    return sum(size + -size % 4 for size in map(KEY_SIZES.__getitem__, key)) if len(key) > 1 else KEY_SIZES[key[0]]


def _type_number(key: tuple[KeyType, ...]) -> int:
    found = 0
    for part in key:
        found = found << TYPE_BITS | TYPE_NUMBERS[part]
    return found


def _order(kind: KeyType) -> int:
    return _HOST_ORDER if kind is KeyType.INTERFACE else _NETWORK_ORDER


def _user_data(kind: int, value: str) -> bytes:
    """What the kernel keeps for the programs that show it: type, length, text."""
    encoded = value.encode(errors="surrogateescape")[:_MAX_COMMENT] + b"\0"
    return bytes((kind, len(encoded))) + encoded


def _user_number(kind: int, value: int) -> bytes:
    return bytes((kind, 4)) + value.to_bytes(4, sys.byteorder)
