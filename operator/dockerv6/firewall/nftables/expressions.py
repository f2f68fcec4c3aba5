"""The terms of rules as the expressions that the kernel executes (NFTA_RULE_EXPRESSIONS: linux/netfilter/nf_tables.h).

A rule is a program for a register machine: expressions load what they find in the packet into registers, compare and
look up registers, and write the verdict. The programs are those that libnftables 1.0.6 makes of the same rules, so that
every version of nft can show them.

Attributes are given by their numbers, which differ by the expression:

    meta       DREG 1, KEY 2, SREG 3                  cmp        SREG 1, OP 2, DATA 3
    payload    DREG 1, BASE 2, OFFSET 3, LEN 4,       bitwise    SREG 1, DREG 2, LEN 3, MASK 4, XOR 5
               SREG 5, CSUM_TYPE 6, CSUM_OFFSET 7,    lookup     SET 1, SREG 2, DREG 3, SET_ID 4, FLAGS 5
               CSUM_FLAGS 8                           immediate  DREG 1, DATA 2
    ct         DREG 1, KEY 2, DIRECTION 3             nat        TYPE 1, FAMILY 2, REG_ADDR_MIN 3, REG_ADDR_MAX 4,
    fib        DREG 1, RESULT 2, FLAGS 3                         REG_PROTO_MIN 5, REG_PROTO_MAX 6, FLAGS 7
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from dockerv6.firewall.expr import (
    ClearMark,
    Dnat,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    MapField,
    Netmap,
    Rule,
    SetField,
    SetMark,
    Snat,
    Term,
    UnknownExpr,
    Verdict,
)
from dockerv6.firewall.nftables.kernel import NFPROTO_IPV4, NFPROTO_IPV6, nested, number, text
from dockerv6.firewall.xtables.rule import ICMP_TYPES
from dockerv6.lib import netlink
from dockerv6.lib.networking import MAX_INTERFACE_NAME

ANONYMOUS_SET = "__set%d"
"""The name under which an anonymous set is made; the kernel puts a number in."""

INTERFACE_SIZE = MAX_INTERFACE_NAME + 1
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

_LIST_ELEMENT, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 1, 2  # NFTA_LIST_ELEM, NFTA_EXPR_*
_DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 1, 2, 1, 2  # NFTA_DATA_*, NFTA_VERDICT_*
_ACCEPT, _DROP, _JUMP = 1, 0, -3  # NF_ACCEPT, NF_DROP, NFT_JUMP
_VERDICT_REGISTER = 0
_META_MARK = 3
_EQUAL, _NOT_EQUAL = 0, 1  # NFT_CMP_*
_LOOKUP_INVERTED = 1  # NFT_LOOKUP_F_INV
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2  # NFT_PAYLOAD_*
_PSEUDO_HEADER_CHECKSUM = 1  # NFT_PAYLOAD_L4CSUM_PSEUDOHDR
_SNAT, _DNAT = 0, 1  # NFT_NAT_*
_MAP_ADDRESS, _MAP_PORT, _NETMAP = 1, 2, 0x40  # NF_NAT_RANGE_*
_ICMPV6 = 58
_ADDRESS_SIZE = 16
_ADDRESS_BITS = 128
_MARK_BITS = 0xFFFFFFFF
_WORD = 4
"""Bytes of the smallest register. A register of 16 bytes is four of them."""

_HOST = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class _Load:
    """How a field gets into a register: the expression, its attributes but for the register, and the field's size."""

    name: str
    attributes: bytes
    size: int


def _meta(key: int, size: int) -> _Load:
    return _Load("meta", number(2, key), size)


def _header(base: int, offset: int, size: int) -> _Load:
    return _Load("payload", number(2, base) + number(3, offset) + number(4, size), size)


def _conntrack(key: int, size: int, direction: bytes = b"") -> _Load:
    return _Load("ct", number(2, key) + direction, size)


_SOURCE_AT, _DESTINATION_AT = 8, 24  # in the IPv6 header, RFC 8200
_ADDRESSES = {Field.SADDR: _SOURCE_AT, Field.DADDR: _DESTINATION_AT}
_LOADS: Mapping[Field, _Load] = {
    Field.FAMILY: _meta(15, 1),
    Field.IIF: _meta(6, INTERFACE_SIZE),
    Field.OIF: _meta(7, INTERFACE_SIZE),
    Field.IIF_KIND: _meta(26, INTERFACE_SIZE),
    Field.OIF_KIND: _meta(27, INTERFACE_SIZE),
    Field.PROTOCOL: _meta(16, 1),
    Field.SADDR: _header(_NETWORK_HEADER, _SOURCE_AT, _ADDRESS_SIZE),
    Field.DADDR: _header(_NETWORK_HEADER, _DESTINATION_AT, _ADDRESS_SIZE),
    Field.DPORT: _header(_TRANSPORT_HEADER, 2, 2),
    Field.ICMP_TYPE: _header(_TRANSPORT_HEADER, 0, 1),
    Field.CT_STATE: _conntrack(0, 4),
    Field.CT_DIRECTION: _conntrack(1, 1),
    Field.CT_STATUS: _conntrack(2, 4),
    Field.CT_ORIGINAL_DADDR: _conntrack(22, _ADDRESS_SIZE, netlink.attribute(3, bytes(1))),
    Field.DADDR_TYPE: _Load("fib", number(2, 3) + number(3, 2), 4),  # NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR
}
_VALUES: Mapping[Field, Mapping[str, int]] = {
    Field.FAMILY: {"ipv4": NFPROTO_IPV4, "ipv6": NFPROTO_IPV6},
    Field.PROTOCOL: PROTOCOLS,
    Field.ICMP_TYPE: ICMP_TYPES,
    Field.CT_STATE: {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
    Field.CT_DIRECTION: {"original": 0, "reply": 1},
    Field.CT_STATUS: {"snat": 1 << 4, "dnat": 1 << 5},
    Field.DADDR_TYPE: {"local": 2},  # RTN_LOCAL
}
_BIT_FIELDS = frozenset({Field.CT_STATE, Field.CT_STATUS})
"""Fields that are bits: `Is` matches if any of the values' bits is set."""

_NAMES = frozenset({Field.IIF, Field.OIF, Field.IIF_KIND, Field.OIF_KIND})


@dataclass(frozen=True, slots=True)
class AnonymousSet:
    """Several values that a rule compares a field with: an anonymous set of that rule."""

    field: Field
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A rule's expressions, encoded, and the anonymous sets that they refer to by numbers from `first_set` on."""

    expressions: bytes
    sets: tuple[AnonymousSet, ...]


def program(rule: Rule, first_set: int) -> Program:
    """The expressions of a rule.

    Raises:
        ValueError: the rule was read, not rendered.
    """
    compiler = _Compiler(first_set)
    parts = [part for term in rule.terms for part in compiler.term(term)]
    return Program(b"".join(parts), tuple(compiler.sets))


def name_bytes(name: str) -> bytes:
    """An interface's name, or a link's kind, in a register."""
    return name.encode(errors="surrogateescape").ljust(INTERFACE_SIZE, b"\0")


class _Compiler:
    """Compiles the terms of one rule in their order."""

    def __init__(self, first_set: int) -> None:
        self.sets: list[AnonymousSet] = []
        self._first_set = first_set
        self._is_ipv6 = False  # what the expressions so far have made sure of

    def term(self, term: Term) -> Iterator[bytes]:
        match term:
            case In(fields, name, negate):
                yield from self._load(fields)
                yield _lookup(name, negate=negate)
            case Is():
                yield from self._is(term)
            case HasMark(bits):
                yield _load_mark()
                yield _bits(_HOST.pack(bits))
                yield _compare(bytes(_HOST.size), negate=True)
            case Verdict.KEEP_SOURCE:
                yield from self._load((Field.SADDR,))
                yield _nat(_SNAT, _MAP_ADDRESS, address=(0, 0))
            case Verdict.MASQUERADE:
                yield _expression("masq")
            case Verdict():
                yield _verdict(_ACCEPT if term is Verdict.ACCEPT else _DROP)
            case Jump(chain):
                yield _verdict(_JUMP, text(_VERDICT_CHAIN, chain))
            case UnknownExpr(content):
                raise ValueError(f"a rule of unknown content can't be written: {content}")
            case _:
                yield from self._statement(term)

    def _statement(self, term: SetMark | ClearMark | Dnat | Snat | Netmap | SetField | MapField) -> Iterator[bytes]:
        """A term that changes the packet, or sets up its translation."""
        match term:
            case SetMark(bits):
                yield from _change_mark(bits, bits)
            case ClearMark(bits):
                yield from _change_mark(bits, 0)
            case SetField(field, value):
                yield _immediate(0, IPv6Address(value).packed)
                yield _write(field)
            case MapField(field, fields, name):
                yield from self._map(fields, name, 0)
                yield _write(field)
            case Dnat(fields, addresses, ports):
                yield from self._map(fields, addresses, 0)
                yield from self._map(fields, ports, _ADDRESS_SIZE)
                yield _nat(_DNAT, _MAP_ADDRESS | _MAP_PORT, address=(0, 0), port=_ADDRESS_SIZE)
            case Snat(fields, name):
                yield from self._map(fields, name, 0)
                yield _nat(_SNAT, _MAP_ADDRESS, address=(0, 0))
            case Netmap(field, to):
                yield from _netmap(field, to)

    def _is(self, term: Is) -> Iterator[bytes]:
        field, values = term.field, sorted(term.values)
        if field in _ADDRESSES and len(values) == 1:
            yield from self._is_prefix(field, IPv6Network(values[0]), negate=term.negate)
            return
        encoded = sorted(_value(field, value) for value in values)
        yield from self._load((field,))
        if field in _BIT_FIELDS:
            together = 0
            for each in encoded:
                together |= _HOST.unpack(each)[0]
            yield _bits(_HOST.pack(together))
            yield _compare(bytes(_HOST.size), negate=not term.negate)
        elif len(encoded) == 1:
            yield _compare(encoded[0], negate=term.negate)
        else:
            self.sets.append(AnonymousSet(field, tuple(encoded)))
            number_of_set = self._first_set + len(self.sets) - 1
            yield _lookup(ANONYMOUS_SET, number(4, number_of_set), negate=term.negate)

    def _is_prefix(self, field: Field, prefix: IPv6Network, *, negate: bool) -> Iterator[bytes]:
        """A prefix of whole bytes is compared without the rest of the address."""
        size, bits = divmod(prefix.prefixlen, 8)
        if size and not bits:
            yield from self._depend(field)
            yield _load(_header(_NETWORK_HEADER, _ADDRESSES[field], size), 0)
            yield _compare(prefix.network_address.packed[:size], negate=negate)
            return
        yield from self._load((field,))
        yield _bits(prefix.netmask.packed)
        yield _compare(prefix.network_address.packed, negate=negate)

    def _load(self, fields: tuple[Field, ...], at: int = 0) -> Iterator[bytes]:
        """Load the fields one behind the other, each at the begin of a register."""
        for field in fields:
            yield from self._depend(field, at)
        for field in fields:
            yield _load(_LOADS[field], at)
            at += _padded(_LOADS[field].size)

    def _map(self, fields: tuple[Field, ...], name: str, at: int) -> Iterator[bytes]:
        """Load what the map has for the fields; a packet without an element in it doesn't match the rule."""
        yield from self._load(fields, at)
        yield _lookup(name, number(3, register(at)), at=at)

    def _depend(self, field: Field, at: int = 0) -> Iterator[bytes]:
        """A header is read only where the packet has it: the table is for IPv4 as well."""
        if (field in _ADDRESSES or field is Field.ICMP_TYPE) and not self._is_ipv6:
            self._is_ipv6 = True
            yield _load(_LOADS[Field.FAMILY], at)
            yield _compare(bytes((NFPROTO_IPV6,)), at=at)
        if field is Field.ICMP_TYPE:
            yield _load(_LOADS[Field.PROTOCOL], at)
            yield _compare(bytes((_ICMPV6,)), at=at)


def register(at: int) -> int:
    """The number of the register at a byte: NFT_REG_1 and so on where one of 16 bytes begins, else NFT_REG32_…."""
    return 1 + at // _ADDRESS_SIZE if at % _ADDRESS_SIZE == 0 else 8 + at // _WORD


def _padded(size: int) -> int:
    return size + -size % _WORD


def _value(field: Field, value: str) -> bytes:
    """A value as it is in a register: numbers of the kernel's own in host byte order."""
    if field in _NAMES:
        return name_bytes(value)
    if field in _ADDRESSES or field is Field.CT_ORIGINAL_DADDR:
        return IPv6Address(value).packed
    if field is Field.DPORT:
        return int(value).to_bytes(2, "big")
    found = _VALUES[field][value]
    return _HOST.pack(found) if _LOADS[field].size == _HOST.size else bytes((found,))


# ---- expressions ----


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(_LIST_ELEMENT, text(_EXPRESSION_NAME, name), nested(_EXPRESSION_DATA, *attributes))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, netlink.attribute(_DATA_VALUE, value))


def _load(load: _Load, at: int) -> bytes:
    return _expression(load.name, load.attributes, number(1, register(at)))


def _compare(value: bytes, *, negate: bool = False, at: int = 0) -> bytes:
    return _expression("cmp", number(1, register(at)), number(2, _NOT_EQUAL if negate else _EQUAL), _data(3, value))


def _lookup(name: str, more: bytes = b"", *, negate: bool = False, at: int = 0) -> bytes:
    flags = number(5, _LOOKUP_INVERTED) if negate else b""
    return _expression("lookup", text(1, name), number(2, register(at)), more, flags)


def _bits(mask: bytes, set_bits: bytes = b"") -> bytes:
    """Keep the bits of the mask, then invert others (which are 0 then)."""
    places = number(1, register(0)), number(2, register(0)), number(3, len(mask))
    return _expression("bitwise", *places, _data(4, mask), _data(5, set_bits or bytes(len(mask))))


def _immediate(at: int, value: bytes) -> bytes:
    return _expression("immediate", number(1, register(at)), _data(2, value))


def _verdict(code: int, chain: bytes = b"") -> bytes:
    verdict = nested(_DATA_VERDICT, number(_VERDICT_CODE, code), chain)
    return _expression("immediate", number(1, _VERDICT_REGISTER), nested(2, verdict))


def _load_mark() -> bytes:
    return _load(_meta(_META_MARK, _HOST.size), 0)


def _change_mark(changed: int, bits: int) -> Iterator[bytes]:
    yield _load_mark()
    yield _bits(_HOST.pack(_MARK_BITS ^ changed), _HOST.pack(bits))
    yield _expression("meta", number(2, _META_MARK), number(3, register(0)))


def _write(field: Field) -> bytes:
    """Write an address from the first register; IPv6's own header has no checksum."""
    place = number(2, _NETWORK_HEADER), number(3, _ADDRESSES[field]), number(4, _ADDRESS_SIZE)
    checksum = number(6, 0), number(7, 0), number(8, _PSEUDO_HEADER_CHECKSUM)
    return _expression("payload", number(5, register(0)), *place, *checksum)


def _netmap(field: Field, to: str) -> Iterator[bytes]:
    prefix = IPv6Network(to)
    yield _immediate(0, prefix.network_address.packed)
    if prefix.prefixlen < _ADDRESS_BITS:
        yield _immediate(_ADDRESS_SIZE, prefix.broadcast_address.packed)
    last = _ADDRESS_SIZE if prefix.prefixlen < _ADDRESS_BITS else 0
    yield _nat(_SNAT if field is Field.SADDR else _DNAT, _MAP_ADDRESS | _NETMAP, address=(0, last))


def _nat(kind: int, flags: int, *, address: tuple[int, int], port: int | None = None) -> bytes:
    """Translate to the addresses, and the port, in registers."""
    addresses = number(3, register(address[0])), number(4, register(address[1]))
    ports = () if port is None else (number(5, register(port)), number(6, register(port)))
    return _expression("nat", number(1, kind), number(2, NFPROTO_IPV6), *addresses, *ports, number(7, flags))
