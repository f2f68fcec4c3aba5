"""Rules as the kernel keeps them: `struct ip6t_entry` with its matches and its target. Pure.

The layouts are those of linux/netfilter_ipv6/ip6_tables.h and linux/netfilter/{x_tables,xt_*,nf_nat}.h on 64-bit, in
the revisions that every kernel since 3.7 has (but for DNAT's). Building and reading them here takes microseconds where
python-iptables' `Rule6` takes hundreds, and equal rules are equal bytes, so what the kernel shows can be compared
without being decoded. iptables-nft keeps the same matches in nf_tables (NFTA_MATCH_INFO).

No match or target that we write keeps the kernel's own data in its structure, so what is read is what was written, but
for the counters, two fields that only the kernel uses, and the offset that stands for a jump's chain.
"""

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Address

from dockerv6.firewall.xtables.rule import (
    NOT,
    WILDCARD,
    ChainTarget,
    DnatTarget,
    ExtensionTarget,
    MarkTarget,
    NetmapTarget,
    PlainTarget,
    SnatTarget,
    UnsupportedRuleError,
    XtablesRule,
    XtablesTarget,
)
from dockerv6.lib.networking import MAX_INTERFACE_NAME

HEAD = 168
"""sizeof(struct ip6t_entry)"""

OFFSETS = struct.Struct("=HH")
"""target_offset and next_offset"""

OFFSETS_AT = 140
COUNTERS_AT = 152
COUNTERS = 16
TARGET_HEAD = struct.Struct("=H29sB")
"""struct xt_entry_target and xt_entry_match: size, name, revision"""

VERDICT = struct.Struct("=i4x")
STANDARD = TARGET_HEAD.size + VERDICT.size
NAME_AT = 2
NAME_SIZE = 29

COMMENT_SIZE = 256
"""XT_MAX_COMMENT_LEN, its NUL included"""

VERDICTS = {-1: "DROP", -2: "ACCEPT", -4: "QUEUE", -5: "RETURN"}
"""-NF_DROP - 1 and so on; XT_RETURN"""

DNAT = 2
"""The target's revision from kernel 4.18 on, 1 before. ip6tables shows other ones as unsupported."""

UNREAD_COMMENT = "?"
"""A comment that is there and can't be read."""

_SNAT = 1
"""The target's revision; ip6tables (1.8.9) shows the kernel's other one, 2, as unsupported."""

_IFNAMSIZ = MAX_INTERFACE_NAME + 1
_PROTOCOLS = {"tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
_F_PROTO = 0x01
_F_GOTO = 0x04
_INVERTED = {"iif": 0x01, "oif": 0x02, "source": 0x08, "destination": 0x10, "protocol": 0x40}
"""IP6T_INV_* by the rule's field."""

_NAT_MAP_IPS = 0x01
_NAT_PROTO_SPECIFIED = 0x02
_ADDRTYPE_LOCAL = 1 << 2
_ADDRTYPE_INVERT = {"source": 1 << 0, "destination": 1 << 1}
_CONNTRACK_STATE = 1 << 0
_CONNTRACK_ORIGINAL_DESTINATION = 1 << 3
_CONNTRACK_DIRECTION = 1 << 12
_STATES = {"INVALID": 1, "NEW": 1 << 3, "RELATED": 1 << 2, "ESTABLISHED": 1 << 1, "DNAT": 1 << 7}
"""In the order in which ip6tables shows them."""

_ANY_PORT = (0, 0xFFFF)
_NO_FLAGS = b"\xff\0\0" * 4
"""Flags of no chunk, as ip6tables writes them"""

_NO_PREFIX = bytes(16), bytes(16)
_NO_LINK = bytes(_IFNAMSIZ), bytes(_IFNAMSIZ)
_IP6 = struct.Struct("=16s16s16s16s16s16s16s16sHBBB3x")
_ENTRY = struct.Struct("=IHHI4x16x")
_TCP = struct.Struct("=HHHHBBBB")
_UDP = struct.Struct("=HHHHB")
_SCTP = struct.Struct("=HHHH256sI12siII")
"""Destination and source ports, a bit for each chunk type (in 64 words), their kind, four chunks' flags, the number of
the latter, which of these conditions apply (2: destination ports), and which are inverted"""

_ICMP = struct.Struct("=BBBB")
_MARK = struct.Struct("=IIB")
_ADDRTYPE = struct.Struct("=HHI")
_CONNTRACK = struct.Struct("=128s8s8sHHHHH")
"""xt_conntrack_mtinfo3 and 2: eight addresses, expiry, four ports, protocol; which conditions apply, and which are
inverted; states, status"""


@lru_cache(maxsize=65536)
def encode(rule: XtablesRule, dnat: int = DNAT) -> bytes:
    """The entry, without counters; verdicts and jumps by name, as libiptc takes them.

    Args:
        rule: what to encode.
        dnat: the revision of the target DNAT that the kernel has.

    Raises:
        UnsupportedRuleError: a name or a comment is too long, or the rule has parts that were not decoded.
    """
    matches = b"".join(_matches(rule))
    target = _target(rule.target, dnat)
    goto = isinstance(rule.target, ChainTarget) and not rule.target.jump
    source, source_mask = _prefix(rule.source.removeprefix(NOT))
    destination, destination_mask = _prefix(rule.destination.removeprefix(NOT))
    (in_name, in_mask), (out_name, out_mask) = _link(rule.iif.removeprefix(NOT)), _link(rule.oif.removeprefix(NOT))
    head = _IP6.pack(
        source,
        destination,
        source_mask,
        destination_mask,
        in_name,
        out_name,
        in_mask,
        out_mask,
        _PROTOCOLS[rule.protocol.removeprefix(NOT)] if rule.protocol else 0,
        0,
        (_F_PROTO if rule.protocol else 0) | (_F_GOTO if goto else 0),
        sum(bit for name, bit in _INVERTED.items() if getattr(rule, name).startswith(NOT)),
    )
    at = HEAD + len(matches)
    return head + _ENTRY.pack(0, at, at + len(target), 0) + matches + target


@lru_cache(maxsize=4096)
def decode(entry: bytes) -> XtablesRule:
    """The rule of an entry as `encode` gives it; what is not decoded is in `unknown`, or is an `ExtensionTarget`.

    A target of eight bytes, such as REJECT, looks like a jump to a chain of that name; the reader knows the chains.
    """
    target_at, _ = OFFSETS.unpack_from(entry, OFFSETS_AT)
    rule = _decoded_header(entry)
    at = HEAD
    while at + TARGET_HEAD.size <= target_at:
        size, name, revision = TARGET_HEAD.unpack_from(entry, at)
        if size < TARGET_HEAD.size:
            break
        rule = with_match(rule, _name(name), revision, entry[at + TARGET_HEAD.size : at + size])
        at += size
    return replace(rule, target=_decoded_target(entry, target_at))


def with_match(rule: XtablesRule, name: str, revision: int, data: bytes) -> XtablesRule:
    """The rule with the further condition of a match, given by its data; its name in `unknown` if it isn't decoded."""
    if name == "comment":
        return replace(rule, comment=data.partition(b"\0")[0].decode(errors="replace") or UNREAD_COMMENT)
    try:
        found = _DECODERS[name, revision](data)
    except (KeyError, struct.error):  # another match, or another layout
        found = None
    if found is None or any(getattr(rule, field) != getattr(_EMPTY, field) for field in found):
        return replace(rule, unknown=(*rule.unknown, name))
    return replace(rule, **found)  # type: ignore[arg-type] # the names are the rule's fields, the values of their types


_EMPTY = XtablesRule()
_TOS = XtablesRule(unknown=("tos",))
_Fields = Mapping[str, object]
"""Of a rule, by name."""


def chain_of(entry: bytes) -> str:
    """The chain or the verdict that is the entry's target; empty: it has another one (exceptions: see `decode`)."""
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    if size - target != STANDARD:
        return ""
    return _name(entry[target + NAME_AT : target + NAME_AT + NAME_SIZE])


def comment_of(entry: bytes) -> str:
    """The comment that is the entry's first match; empty: none."""
    if not entry.startswith(_COMMENT_HEAD, HEAD):
        return ""
    at = HEAD + TARGET_HEAD.size
    return _name(entry[at : at + COMMENT_SIZE])


_COMMENT_HEAD = TARGET_HEAD.pack(TARGET_HEAD.size + COMMENT_SIZE, b"comment", 0)


def _name(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")


def _decoded_header(entry: bytes) -> XtablesRule:
    head = _IP6.unpack_from(entry)
    source, destination, source_mask, destination_mask, in_name, out_name, in_mask, out_mask = head[:8]
    protocol, tos, _, inverted = head[8:]
    found = {
        "source": _prefix_text(source, source_mask),
        "destination": _prefix_text(destination, destination_mask),
        "iif": _link_text(in_name, in_mask),
        "oif": _link_text(out_name, out_mask),
        "protocol": next((name for name, number in _PROTOCOLS.items() if number == protocol), str(protocol or "")),
    }
    for name, bit in _INVERTED.items():
        if inverted & bit:
            found[name] = f"{NOT}{found[name]}"
    return replace(_TOS if tos else _EMPTY, **found)  # type: ignore[arg-type] # the names are of fields that are texts


def _prefix_text(address: bytes, mask: bytes) -> str:
    if not any(mask):
        return ""
    inverse = int.from_bytes(mask, "big") ^ _ALL_BITS
    if inverse & (inverse + 1):  # not a prefix
        return f"{IPv6Address(address)}/{IPv6Address(mask)}"
    return f"{IPv6Address(address)}/{128 - inverse.bit_length()}"


_ALL_BITS = (1 << 128) - 1


def _link_text(name: bytes, mask: bytes) -> str:
    """The mask covers the NUL, unless the name is a prefix of names."""
    if not any(mask):
        return ""
    raw = name.partition(b"\0")[0]
    whole = any(mask[len(raw) :])
    return _name(raw) if whole else f"{_name(raw)}{WILDCARD}"


def _decode_tcp(data: bytes) -> _Fields | None:
    first_source, last_source, first, last, *flags = _TCP.unpack_from(data)
    return {"ports": (first, last)} if (first_source, last_source) == _ANY_PORT and not any(flags) else None


def _decode_udp(data: bytes) -> _Fields | None:
    first_source, last_source, first, last, inverted = _UDP.unpack_from(data)
    return {"ports": (first, last)} if (first_source, last_source) == _ANY_PORT and not inverted else None


def _decode_sctp(data: bytes) -> _Fields | None:
    first, last, *_, asked, inverted = _SCTP.unpack_from(data)
    return {"ports": (first, last)} if asked == _SCTP_DESTINATION and not inverted else None


def _decode_icmp(data: bytes) -> _Fields | None:
    kind, first, last, inverted = _ICMP.unpack_from(data)
    return {"icmp_type": kind} if (first, last, inverted) == (0, 0xFF, 0) else None


def _decode_mark(data: bytes) -> _Fields | None:
    value, mask, inverted = _MARK.unpack_from(data)
    if (value, inverted) == (0, 1):
        return {"mark": mask}
    return {"mark_all": mask} if (value, inverted) == (mask, 0) else None


def _decode_addrtype(data: bytes) -> _Fields | None:
    source, destination, inverted = _ADDRTYPE.unpack_from(data)
    if {source, destination} != {0, _ADDRTYPE_LOCAL} or inverted & ~sum(_ADDRTYPE_INVERT.values()):
        return None
    side = "source" if source else "destination"
    return {f"{side}_type": f"{NOT if inverted & _ADDRTYPE_INVERT[side] else ''}LOCAL"}


def _decode_conntrack(data: bytes) -> _Fields | None:
    addresses, *_, asked, inverted, bits, _ = _CONNTRACK.unpack_from(data)
    if asked == _CONNTRACK_ORIGINAL_DESTINATION and not inverted:
        return {"original": _prefix_text(addresses[32:48], addresses[48:64])}
    if asked == _CONNTRACK_STATE and not inverted and bits == _STATES["DNAT"]:
        return {"translated": True}
    if not asked or asked & ~(_CONNTRACK_STATE | _CONNTRACK_DIRECTION) or inverted & _CONNTRACK_STATE:
        return None
    found: dict[str, object] = {}
    if asked & _CONNTRACK_STATE:
        found["states"] = tuple(name for name, bit in _STATES.items() if bits & bit)
    if asked & _CONNTRACK_DIRECTION:
        found["direction"] = "REPLY" if inverted else "ORIGINAL"
    return found


_DECODERS: Mapping[tuple[str, int], Callable[[bytes], _Fields | None]] = {
    ("tcp", 0): _decode_tcp,
    ("udp", 0): _decode_udp,
    ("sctp", 0): _decode_sctp,
    ("icmp6", 0): _decode_icmp,
    ("mark", 1): _decode_mark,
    ("addrtype", 1): _decode_addrtype,
    ("conntrack", 2): _decode_conntrack,
    ("conntrack", 3): _decode_conntrack,
}
"""By name and revision."""


def _decoded_target(entry: bytes, at: int) -> XtablesTarget | None:
    name = _name(TARGET_HEAD.unpack_from(entry, at)[1])
    if chain_of(entry):
        if name in _VERDICT_TARGETS:
            return PlainTarget(name)
        goto = _IP6.unpack_from(entry)[10] & _F_GOTO
        return ExtensionTarget(name) if name in VERDICTS.values() else ChainTarget(name, jump=not goto)
    if not name:
        return None
    return PlainTarget.MASQUERADE if name == PlainTarget.MASQUERADE else ExtensionTarget(name)


_VERDICT_TARGETS = frozenset({"ACCEPT", "DROP", "RETURN"})


@lru_cache(maxsize=65536)
def _prefix(prefix: str) -> tuple[bytes, bytes]:
    """Address and mask."""
    if not prefix:
        return _NO_PREFIX
    address, _, length = prefix.partition("/")
    bits = int(length)
    mask = ((1 << bits) - 1) << (128 - bits)
    return socket.inet_pton(socket.AF_INET6, address), mask.to_bytes(16, "big")


@lru_cache(maxsize=4096)
def _link(name: str) -> tuple[bytes, bytes]:
    """Name and mask; the mask covers the NUL, unless the name is a prefix of names."""
    if not name:
        return _NO_LINK
    whole = not name.endswith(WILDCARD)
    raw = name.removesuffix(WILDCARD).encode(errors="surrogateescape")  # any bytes are a name for the kernel
    if len(raw) >= _IFNAMSIZ:
        raise UnsupportedRuleError(f"{name} is no interface name")
    return raw.ljust(_IFNAMSIZ, b"\0"), (b"\xff" * (len(raw) + whole)).ljust(_IFNAMSIZ, b"\0")


def _matches(rule: XtablesRule) -> Iterator[bytes]:
    if rule.unknown:
        raise UnsupportedRuleError(f"conditions that were not decoded: {', '.join(rule.unknown)}")
    if rule.ports is not None:
        yield _ports(rule.protocol, *rule.ports)
    if rule.icmp_type is not None:
        yield _part("icmp6", 0, _ICMP.pack(rule.icmp_type, 0, 0xFF, 0))
    if rule.mark:
        yield _part("mark", 1, _MARK.pack(0, rule.mark, 1))
    if rule.mark_all:
        yield _part("mark", 1, _MARK.pack(rule.mark_all, rule.mark_all, 0))
    if rule.states or rule.direction:
        yield _conntrack(rule.states, rule.direction)
    if rule.translated:
        yield _conntrack(("DNAT",), "")
    if rule.original:
        yield _sent_to(rule.original)
    yield from _address_types(rule)
    if rule.comment:
        yield _comment(rule.comment)


def _address_types(rule: XtablesRule) -> Iterator[bytes]:
    for side, value in (("source", rule.source_type), ("destination", rule.destination_type)):
        if value:
            types = (_ADDRTYPE_LOCAL, 0) if side == "source" else (0, _ADDRTYPE_LOCAL)
            yield _part("addrtype", 1, _ADDRTYPE.pack(*types, _ADDRTYPE_INVERT[side] if value.startswith(NOT) else 0))


def _comment(comment: str) -> bytes:
    text = comment.encode()
    if len(text) >= COMMENT_SIZE:
        raise UnsupportedRuleError(f"a comment of {len(text)} bytes")
    return _part("comment", 0, text.ljust(COMMENT_SIZE, b"\0"))


@lru_cache(maxsize=4096)
def _ports(protocol: str, first: int, last: int) -> bytes:
    if protocol == "tcp":
        return _part("tcp", 0, _TCP.pack(*_ANY_PORT, first, last, 0, 0, 0, 0))
    if protocol == "udp":
        return _part("udp", 0, _UDP.pack(*_ANY_PORT, first, last, 0))
    return _part("sctp", 0, _SCTP.pack(first, last, 0, 0, bytes(256), 0, _NO_FLAGS, 0, _SCTP_DESTINATION, 0))


_SCTP_DESTINATION = 2


@lru_cache(maxsize=64)
def _conntrack(states: tuple[str, ...], direction: str) -> bytes:
    asked = (_CONNTRACK_STATE if states else 0) | (_CONNTRACK_DIRECTION if direction else 0)
    inverted = _CONNTRACK_DIRECTION if direction == "REPLY" else 0
    return _conntrack_info(b"", asked, inverted, sum(_STATES[each] for each in states))


def _conntrack_info(addresses: bytes, asked: int, inverted: int = 0, bits: int = 0) -> bytes:
    ranges = bytes(8)  # of ports, in revision 3 alone
    return _part("conntrack", 3, _CONNTRACK.pack(addresses, b"", b"", 0, asked, inverted, bits, 0) + ranges)


@lru_cache(maxsize=4096)
def _sent_to(prefix: str) -> bytes:
    address, mask = _prefix(prefix)
    return _conntrack_info(bytes(32) + address + mask, _CONNTRACK_ORIGINAL_DESTINATION)


def _target(target: XtablesTarget | None, dnat: int) -> bytes:
    match target:
        case MarkTarget(value, mask):
            return _part("MARK", 2, struct.pack("=II", value, mask))
        case DnatTarget() | SnatTarget() | NetmapTarget() | PlainTarget.MASQUERADE | PlainTarget.KEEP_SOURCE:
            return _translation(target, dnat)
        case ChainTarget(chain):
            return standard(chain)
        case ExtensionTarget(name):
            raise UnsupportedRuleError(f"a target that was not decoded: {name}")
        case _:
            return standard(target or "")


def _translation(target: DnatTarget | SnatTarget | NetmapTarget | PlainTarget, revision: int) -> bytes:
    match target:
        case DnatTarget(address, port):
            raw, number = socket.inet_pton(socket.AF_INET6, address), struct.pack("!H", port)
            flags = _NAT_MAP_IPS | _NAT_PROTO_SPECIFIED
            base = bytes(4 if revision >= DNAT else 0)  # nf_nat_range2 begins as nf_nat_range does
            return _part("DNAT", revision, struct.pack("=I16s16s2s2s", flags, raw, raw, number, number) + base)
        case SnatTarget(address):
            raw = socket.inet_pton(socket.AF_INET6, address)
            return _part("SNAT", _SNAT, _range(_NAT_MAP_IPS, raw, raw))
        case NetmapTarget(prefix):
            first, mask = _prefix(prefix)
            last = bytes(one | ~other & 0xFF for one, other in zip(first, mask, strict=True))
            return _part("NETMAP", 0, _range(_NAT_MAP_IPS, first, last))
        case PlainTarget.KEEP_SOURCE:  # the whole of ::/0 onto itself
            return _part("NETMAP", 0, _range(_NAT_MAP_IPS, bytes(16), b"\xff" * 16))
        case _:
            return _part("MASQUERADE", 0, _range(0, bytes(16), bytes(16)))


def _range(flags: int, first: bytes, last: bytes) -> bytes:
    """nf_nat_range, of whatever ports."""
    return struct.pack("=I16s16s4s", flags, first, last, b"")


def standard(name: str) -> bytes:
    """A target that is a verdict or a chain."""
    return TARGET_HEAD.pack(STANDARD, name.encode(errors="surrogateescape"), 0) + VERDICT.pack(0)


def _part(name: str, revision: int, data: bytes) -> bytes:
    """A match, or a target that a module provides."""
    size = TARGET_HEAD.size + (len(data) + 7) // 8 * 8
    return TARGET_HEAD.pack(size, name.encode(), revision) + data.ljust(size - TARGET_HEAD.size, b"\0")
