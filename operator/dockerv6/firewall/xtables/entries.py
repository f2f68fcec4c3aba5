"""Rules as the kernel keeps them: `struct ip6t_entry` with its matches and its target. Pure.

The layouts are those of linux/netfilter_ipv6/ip6_tables.h and linux/netfilter/{x_tables,xt_*,nf_nat}.h on 64-bit, in
the revisions that every kernel since 3.7 has (but for DNAT's). Building them here takes microseconds where
python-iptables' `Rule6` takes hundreds, and equal rules are equal bytes, so what the kernel shows is compared without
being understood.

Nothing that we use keeps the kernel's own data in its structures, so what is read is what was written, but for the
counters, two fields that only the kernel uses, and the offset that stands for a jump's chain.
"""

import socket
import struct
from functools import lru_cache

from dockerv6.firewall.xtables.rule import (
    WILDCARD,
    ChainTarget,
    DnatTarget,
    MarkTarget,
    NetmapTarget,
    PlainTarget,
    SnatTarget,
    UnsupportedRuleError,
    XtablesRule,
    XtablesTarget,
)

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

_IFNAMSIZ = 16
_PROTOCOLS = {"tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
_F_PROTO = 0x01
_F_GOTO = 0x04
_INV_SRCIP = 0x08
_NAT_MAP_IPS = 0x01
_NAT_PROTO_SPECIFIED = 0x02
_ADDRTYPE_LOCAL = 1 << 2
_ADDRTYPE_INVERT_DESTINATION = 1 << 1
_CONNTRACK_STATE = 1 << 0
_CONNTRACK_ORIGINAL_DESTINATION = 1 << 3
_CONNTRACK_DIRECTION = 1 << 12
_STATES = {"INVALID": 1, "ESTABLISHED": 1 << 1, "RELATED": 1 << 2, "NEW": 1 << 3, "DNAT": 1 << 7}
VERDICTS = {-1: "DROP", -2: "ACCEPT", -4: "QUEUE", -5: "RETURN"}
"""-NF_DROP - 1 and so on; XT_RETURN"""

DNAT = 2
"""The target's revision from kernel 4.18 on, without which ip6tables shows it as of an unsupported one; 1 before."""

_SNAT = 1
"""That one's; ip6tables (1.8.9) shows the kernel's other, 2, as of an unsupported one."""

_NO_FLAGS = b"\xff\0\0" * 4
"""No chunk's flags, as ip6tables writes it"""

_NO_PREFIX = bytes(16), bytes(16)
_NO_LINK = bytes(_IFNAMSIZ), bytes(_IFNAMSIZ)
_IP6 = struct.Struct("=16s16s16s16s16s16s16s16sHBBB3x")
_ENTRY = struct.Struct("=IHHI4x16x")


@lru_cache(maxsize=65536)
def encode(spec: XtablesRule, dnat: int = DNAT) -> bytes:
    """The entry, without counters; verdicts and jumps by name, as libiptc takes them. `dnat`: that one's revision."""
    matches = b"".join(_matches(spec))
    target = _target(spec.target, dnat)
    flags = (_F_PROTO if spec.protocol else 0) | (
        _F_GOTO if isinstance(spec.target, ChainTarget) and not spec.target.jump else 0
    )
    source, source_mask = _prefix(spec.source or spec.not_source)
    destination, destination_mask = _prefix(spec.destination)
    head = _IP6.pack(
        source,
        destination,
        source_mask,
        destination_mask,
        *_interleaved(spec.iif, spec.oif),
        _PROTOCOLS[spec.protocol] if spec.protocol else 0,
        0,
        flags,
        _INV_SRCIP if spec.not_source else 0,
    )
    at = HEAD + len(matches)
    return head + _ENTRY.pack(0, at, at + len(target), 0) + matches + target


@lru_cache(maxsize=65536)
def _prefix(prefix: str) -> tuple[bytes, bytes]:
    """Address and mask."""
    if not prefix:
        return _NO_PREFIX
    address, _, length = prefix.partition("/")
    bits = int(length)
    mask = ((1 << bits) - 1) << (128 - bits)
    return socket.inet_pton(socket.AF_INET6, address), mask.to_bytes(16, "big")


def _interleaved(iif: str, oif: str) -> tuple[bytes, bytes, bytes, bytes]:
    (in_name, in_mask), (out_name, out_mask) = _link(iif), _link(oif)
    return in_name, out_name, in_mask, out_mask


@lru_cache(maxsize=4096)
def _link(name: str) -> tuple[bytes, bytes]:
    """Name and mask; the mask covers the NUL of a name that is meant whole."""
    if not name:
        return _NO_LINK
    whole = not name.endswith(WILDCARD)
    raw = name.removesuffix(WILDCARD).encode()
    if len(raw) >= _IFNAMSIZ:
        raise UnsupportedRuleError(f"{name} is no interface name")
    return raw.ljust(_IFNAMSIZ, b"\0"), (b"\xff" * (len(raw) + whole)).ljust(_IFNAMSIZ, b"\0")


def _matches(spec: XtablesRule) -> list[bytes]:
    found: list[bytes] = []
    if spec.ports is not None:
        found.append(_ports(spec.protocol, *spec.ports))
    if spec.icmp_type is not None:
        found.append(_part("icmp6", 0, struct.pack("=BBBB", spec.icmp_type, 0, 0xFF, 0)))
    if spec.mark:
        found.append(_part("mark", 1, struct.pack("=IIB", 0, spec.mark, 1)))
    if spec.states or spec.direction:
        found.append(_conntrack(spec.states, spec.direction))
    if spec.translated:
        found.append(_conntrack(("DNAT",), ""))
    if spec.original:
        found.append(_sent_to(spec.original))
    if spec.local or spec.not_local:
        inverted = _ADDRTYPE_INVERT_DESTINATION if spec.not_local else 0
        found.append(_part("addrtype", 1, struct.pack("=HHI", 0, _ADDRTYPE_LOCAL, inverted)))
    if spec.comment:
        text = spec.comment.encode()
        if len(text) >= COMMENT_SIZE:
            raise UnsupportedRuleError(f"a comment of {len(text)} bytes")
        found.append(_part("comment", 0, text.ljust(COMMENT_SIZE, b"\0")))
    return found


@lru_cache(maxsize=4096)
def _ports(protocol: str, first: int, last: int) -> bytes:
    if protocol == "tcp":
        return _part("tcp", 0, struct.pack("=HHHHBBBB", 0, 0xFFFF, first, last, 0, 0, 0, 0))
    if protocol == "udp":
        return _part("udp", 0, struct.pack("=HHHHB", 0, 0xFFFF, first, last, 0))
    # xt_sctp_info: destination and source ports, a bit for each chunk type (in 64 words), their kind, four chunks'
    # flags, the number of the latter, what of it all is asked for (2: destination ports), and inversion
    return _part("sctp", 0, struct.pack("=HHHH256sI12siII", first, last, 0, 0, bytes(256), 0, _NO_FLAGS, 0, 2, 0))


@lru_cache(maxsize=64)
def _conntrack(states: tuple[str, ...], direction: str) -> bytes:
    asked = (_CONNTRACK_STATE if states else 0) | (_CONNTRACK_DIRECTION if direction else 0)
    inverted = _CONNTRACK_DIRECTION if direction == "REPLY" else 0
    bits = sum(_STATES[each] for each in states)
    return _conntrack_info(b"", asked, inverted, bits)


def _conntrack_info(addresses: bytes, asked: int, inverted: int = 0, bits: int = 0) -> bytes:
    # xt_conntrack_mtinfo3: eight addresses, expiry, four ports, protocol, asked, inverted, states, status, port ranges
    return _part("conntrack", 3, struct.pack("=128s8s8sHHHHH8s", addresses, b"", b"", 0, asked, inverted, bits, 0, b""))


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
    return TARGET_HEAD.pack(STANDARD, name.encode(), 0) + VERDICT.pack(0)


def _part(name: str, revision: int, data: bytes) -> bytes:
    """A match, or a target that a module provides."""
    size = TARGET_HEAD.size + (len(data) + 7) // 8 * 8
    return TARGET_HEAD.pack(size, name.encode(), revision) + data.ljust(size - TARGET_HEAD.size, b"\0")
