"""Matches and targets of xtables on a packet of which not everything is known. Pure.

The layouts are those of linux/netfilter/xt_*.h and linux/netfilter_ipv6/ip6t_*.h on 64-bit. Legacy tables and
iptables-nft (`match` and `target` expressions) hold the same structures. A match that isn't known, or has another
layout, may match or not; a target that isn't known may do anything.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address

from dockerv6.firewall.walk.bits import Answer, Bits, every, exact, negated, unknown
from dockerv6.firewall.walk.chains import Action, RuleOutcome, Surroundings
from dockerv6.firewall.walk.packet import (
    DESTINATION_TRANSLATED,
    SOURCE_TRANSLATED,
    Endpoints,
    Packet,
    Tracking,
)
from dockerv6.firewall.walk.translations import NETMAP, Target, masquerade, redirect, translate

_HOST = struct.Struct("=I")
_TCP = struct.Struct("=HHHHBBBB")
_UDP = struct.Struct("=HHHHB")
_ICMP = struct.Struct("=BBBB")
_MULTIPORT = struct.Struct("=BB15H15sB")
_MARK = struct.Struct("=4s4sB")
_CONNTRACK = struct.Struct("=16s16s16s16s16s16s16s16sIIHHHHHHHHH")
_ADDRTYPE = struct.Struct("=HHI")
_IPRANGE = struct.Struct("=16s16s16s16sB")
_CONNMARK = struct.Struct("=4s4s4s")
_RANGE = struct.Struct("=I16s16s2s2s")


def run_match(name: str, revision: int, data: bytes, packet: Packet, around: Surroundings) -> Answer:
    """Whether a match is fulfilled."""
    if name in _ABSENT_HEADERS:
        return False
    known = _MATCHES.get((name, revision))
    if known is None:
        return None
    try:
        return known(data, packet, around)
    except (struct.error, IndexError):  # another layout
        return None


# ---- matches


def _between(port: Bits, first: int, last: int) -> Answer:
    return port.within(first.to_bytes(2, "big"), last.to_bytes(2, "big"))


def _tcp(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    first_source, last_source, first, last, option, mask, flags, inverted = _TCP.unpack_from(data)
    seen = packet.transport.part(13, 1).masked(bytes((mask,)), b"\0")
    return every(
        _ports(packet, (first_source, last_source), (first, last), inverted),
        negated(seen.equals(bytes((flags,))), bool(inverted & 4)),
        None if option else True,
    )


def _udp(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    first_source, last_source, first, last, inverted = _UDP.unpack_from(data)
    return _ports(packet, (first_source, last_source), (first, last), inverted)


def _ports(packet: Packet, sources: tuple[int, int], destinations: tuple[int, int], inverted: int) -> Answer:
    ends = packet.endpoints
    return every(
        negated(_between(ends.sport, *sources), bool(inverted & 1)),
        negated(_between(ends.dport, *destinations), bool(inverted & 2)),
    )


def _icmp6(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    kind, first, last, inverted = _ICMP.unpack_from(data)
    header = packet.transport
    answer = every(header.part(0, 1).equals(bytes((kind,))), header.part(1, 1).within(bytes((first,)), bytes((last,))))
    return negated(answer, bool(inverted))


_SOURCE_PORTS, _DESTINATION_PORTS = 0, 1  # XT_MULTIPORT_*


def _multiport(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    which, count, *rest = _MULTIPORT.unpack_from(data)
    ports, ranges, inverted = rest[:15], rest[15], rest[16]
    ends = packet.endpoints
    read = {_SOURCE_PORTS: (ends.sport,), _DESTINATION_PORTS: (ends.dport,)}.get(which, (ends.sport, ends.dport))
    answers: list[Answer] = []
    at = 0
    while at < min(count, len(ports)):
        last = at + 1 if ranges[at] and at + 1 < len(ports) else at
        answers += [_between(port, ports[at], ports[last]) for port in read]
        at = last + 1
    answer = True if True in answers else None if None in answers else False
    return negated(answer, bool(inverted))


def _mark(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    return _marked(data, packet.mark)


def _connmark(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    return _marked(data, packet.ct_mark) if packet.tracking is Tracking.TRACKED else False


def _marked(data: bytes, mark: Bits) -> Answer:
    value, mask, inverted = _MARK.unpack_from(data)
    return negated(mark.masked(mask, b"").equals(value), bool(inverted))


_STATE, _PROTOCOL, _STATUS, _EXPIRES, _DIRECTION = 1, 2, 64, 128, 4096  # XT_CONNTRACK_*
_ADDRESS_FLAGS = (4, 8, 16, 32)  # ORIGSRC, ORIGDST, REPLSRC, REPLDST
_PORT_FLAGS = (256, 512, 1024, 2048)
_SNAT_STATE, _DNAT_STATE, _UNTRACKED_STATE = 1 << 6, 1 << 7, 1 << 8
_INVALID_STATE = 1
_OLD_UNTRACKED = 1 << 6  # XT_STATE_UNTRACKED


def _conntrack(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    *addresses, _, _, protocol, _, _, _, _, asked, inverted, states, status = _CONNTRACK.unpack_from(data)
    answers: list[Answer] = []
    if asked & _STATE:
        answers.append(negated(_in_state(states, packet), bool(inverted & _STATE)))
    if packet.tracking is not Tracking.TRACKED:
        return every(*answers) if answers else False
    if asked & _DIRECTION:
        answers.append(negated(not packet.reply, bool(inverted & _DIRECTION)))
    for number, (flag, end) in enumerate(zip(_ADDRESS_FLAGS, _tuple(packet), strict=True)):
        if asked & flag:
            address, mask = addresses[2 * number : 2 * number + 2]
            answers.append(negated(end.masked(mask, b"").equals(address), bool(inverted & flag)))
    if asked & _PROTOCOL:
        answers.append(negated(protocol == packet.protocol, bool(inverted & _PROTOCOL)))
    if asked & _STATUS:
        answers.append(negated(_any_bit(packet.status, status), bool(inverted & _STATUS)))
    if asked & (_EXPIRES | sum(_PORT_FLAGS)):
        answers.append(None)
    return every(*answers)


def _tuple(packet: Packet) -> tuple[Bits, Bits, Bits, Bits]:
    there: Endpoints = packet.original
    back = packet.replied
    return there.source, there.destination, back.source, back.destination


def _any_bit(bits: Bits, wanted: int) -> Answer:
    return negated(bits.masked(_HOST.pack(wanted), b"").equals(bytes(4)))


def _in_state(states: int, packet: Packet) -> Answer:
    if packet.tracking is Tracking.UNTRACKED:
        return bool(states & _UNTRACKED_STATE)
    if packet.tracking is Tracking.BEFORE:
        return bool(states & _INVALID_STATE)
    if states & packet.state:
        return True
    wanted = (SOURCE_TRANSLATED if states & _SNAT_STATE else 0) | (
        DESTINATION_TRANSLATED if states & _DNAT_STATE else 0
    )
    return _any_bit(packet.status, wanted) if wanted else False


def _state(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    (states,) = _HOST.unpack_from(data)
    if packet.tracking is Tracking.UNTRACKED:
        return bool(states & _OLD_UNTRACKED)
    return bool(states & (_INVALID_STATE if packet.tracking is Tracking.BEFORE else packet.state))


_UNICAST, _LOCAL, _MULTICAST = 1 << 1, 1 << 2, 1 << 5  # XT_ADDRTYPE_*


def _addrtype(data: bytes, packet: Packet, around: Surroundings) -> Answer:
    source, destination, flags = _ADDRTYPE.unpack_from(data)
    if flags & ~3:  # limited to an interface
        return None
    return every(
        negated(_of_type(packet.source, source, around), bool(flags & 1)) if source else True,
        negated(_of_type(packet.destination, destination, around), bool(flags & 2)) if destination else True,
    )


def _of_type(address: Bits, types: int, around: Surroundings) -> Answer:
    if types & ~(_UNICAST | _LOCAL | _MULTICAST):
        return None
    multicast = IPv6Address(address.data).is_multicast if address.exact else None
    return every(
        multicast if types & _MULTICAST else True,
        negated(multicast) if types & _UNICAST else True,
        around.paths.is_local(address) if types & _LOCAL else True,
    )


def _iprange(data: bytes, packet: Packet, _: Surroundings) -> Answer:
    source_first, source_last, first, last, flags = _IPRANGE.unpack_from(data)
    return every(
        negated(packet.source.within(source_first, source_last), bool(flags & 16)) if flags & 1 else True,
        negated(packet.destination.within(first, last), bool(flags & 32)) if flags & 2 else True,
    )


def _rpfilter(data: bytes, packet: Packet, around: Surroundings) -> Answer:
    if packet.iif is None or not data:
        return None
    back = packet.iif.name in around.paths.routes_to(packet.source)
    return negated(True if back else None, bool(data[0] & 8))


def _comment(data: bytes, packet: Packet, around: Surroundings) -> Answer:
    del data, packet, around
    return True


_Match = Callable[[bytes, Packet, Surroundings], Answer]
_ABSENT_HEADERS = frozenset({"frag", "hbh", "dst", "rt", "ah", "mh"})
"""IPv6 extension headers, which packets of a flow that begins don't have."""

_MATCHES: Mapping[tuple[str, int], _Match] = {
    ("tcp", 0): _tcp,
    ("udp", 0): _udp,
    ("icmp6", 0): _icmp6,
    ("multiport", 1): _multiport,
    ("mark", 1): _mark,
    ("connmark", 1): _connmark,
    ("conntrack", 2): _conntrack,
    ("conntrack", 3): _conntrack,
    ("state", 0): _state,
    ("addrtype", 1): _addrtype,
    ("iprange", 1): _iprange,
    ("rpfilter", 0): _rpfilter,
    ("comment", 0): _comment,
}
"""By name and revision."""


# ---- targets

_PASSIVE = frozenset(
    {
        *("LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TCPMSS", "TCPOPTSTRIP", "TOS", "DSCP", "CLASSIFY", "HL"),
        *("CHECKSUM", "SET", "TEE", "RATEEST", "LED", "IDLETIMER", "SECMARK", "CONNSECMARK", "ECN"),
    }
)
_LOSING = frozenset({"NFQUEUE", "QUEUE", "TPROXY", "SYNPROXY"})
_NOTRACK = 1  # XT_CT_NOTRACK

_MAP_ADDRESSES, _MAP_PORTS = 1, 2  # NF_NAT_RANGE_*


def run_target(name: str, revision: int, data: bytes, packet: Packet, around: Surroundings) -> Sequence[RuleOutcome]:
    """What a target does."""
    if name in _PASSIVE:
        return (RuleOutcome(Action.CONTINUE, packet),)
    if name == "REJECT":
        return (RuleOutcome(Action.DROP, packet),)
    if name in _LOSING:
        return (RuleOutcome(Action.LOST, packet, doubt=f"-j {name}"),)
    try:
        changed = _changed(name, revision, data, packet)
        if changed is not None:
            return (RuleOutcome(Action.CONTINUE, changed),)
        translated = _translated(name, data, packet, around)
    except (struct.error, IndexError):  # another layout
        translated = None
    if translated is not None:
        return (RuleOutcome(Action.TRANSLATED, translated),)
    actions = (Action.CONTINUE, Action.ACCEPT, Action.DROP)
    return tuple(RuleOutcome(action, packet, doubt=f"-j {name}") for action in actions)


def _changed(name: str, revision: int, data: bytes, packet: Packet) -> Packet | None:
    """The packet after a target that marks it or excludes it from tracking; None: it is another target."""
    match name, revision:
        case "MARK", 2:
            return replace(packet, mark=packet.mark.masked(_inverse(data[4:8]), data[:4]))
        case "CONNMARK", 1:
            return _connection_marked(data, data[12], packet)
        case "CONNMARK", 2 if not data[13]:  # no bits are shifted
            return _connection_marked(data, data[14], packet)
        case "HMARK", _:
            return replace(packet, mark=unknown(4))
        case ("NOTRACK", _) | ("CT", _):
            excluded = name == "NOTRACK" or bool(struct.unpack_from("=H", data)[0] & _NOTRACK)
            return replace(packet, tracking=Tracking.UNTRACKED) if excluded else packet
    return None


def _connection_marked(data: bytes, mode: int, packet: Packet) -> Packet:
    value, ct_mask, mask = _CONNMARK.unpack_from(data)
    if packet.tracking is not Tracking.TRACKED:
        return packet
    match mode:
        case 0:
            return replace(packet, ct_mark=packet.ct_mark.masked(_inverse(ct_mask), value))
        case 1:
            return replace(packet, ct_mark=_xor(packet.ct_mark.masked(_inverse(ct_mask), b""), packet.mark, mask))
        case _:
            return replace(packet, mark=_xor(packet.mark.masked(_inverse(mask), b""), packet.ct_mark, ct_mask))


def _xor(kept: Bits, other: Bits, mask: bytes) -> Bits:
    added = other.masked(mask, b"")
    known = bytes(a & b for a, b in zip(kept.known, added.known, strict=True))
    data = bytes((a ^ b) & k for a, b, k in zip(kept.data, added.data, known, strict=True))
    return Bits(data, known)


def _inverse(mask: bytes) -> bytes:
    return bytes(each ^ 0xFF for each in mask)


def _translated(name: str, data: bytes, packet: Packet, around: Surroundings) -> Packet | None:
    if name not in {"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"}:
        return None
    flags, first, last, low, high = _RANGE.unpack_from(data)
    maps, maps_ports = bool(flags & _MAP_ADDRESSES) or name == "NETMAP", bool(flags & _MAP_PORTS)
    target = Target(
        exact(first) if maps else None,
        exact(last) if maps else None,
        exact(low) if maps_ports else None,
        exact(high) if maps_ports else None,
        flags | (NETMAP if name == "NETMAP" else 0),
    )
    match name:
        case "MASQUERADE":
            return masquerade(packet, around.paths, target)
        case "REDIRECT":
            return redirect(packet, around.paths, target)
        case "NETMAP":
            return translate(packet, target, destination=around.hook in {"prerouting", "output"})
        case _:
            return translate(packet, target, destination=name == "DNAT")
