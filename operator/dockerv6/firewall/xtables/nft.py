"""Rules of iptables-nft, and those of nftables' own chains, as far as they have the form of an xtables rule.

A rule is a program for a register machine. What is loaded into a register is remembered; a comparison with it is a
condition. Everything else that could keep a packet from matching is an unknown condition, by the expression's name.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from dockerv6.firewall.nftables.foreign import NftChain, NftExpression, NftRule, list_chains, list_rules
from dockerv6.firewall.nftables.kernel import NFPROTO_IPV6, attributes_of, number_in, text_in
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.xtables.entries import with_match
from dockerv6.firewall.xtables.rule import (
    NOT,
    WILDCARD,
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    PlainTarget,
    XtablesChain,
    XtablesRule,
    XtablesTarget,
)

FAMILY = "ip6"
"""Of iptables-nft's tables for IPv6."""

_SILENT = frozenset({"counter", "log", "last"})
"""Expressions that neither choose packets nor decide about them."""

_WRITES = {"meta": 3, "ct": 4, "payload": 5}
"""The attribute of a source register: such an expression changes the packet, and chooses none."""

_VERDICTS: Mapping[int, XtablesTarget | None] = {
    0: PlainTarget.DROP,
    1: PlainTarget.ACCEPT,
    -1: None,  # NFT_CONTINUE
    -5: PlainTarget.RETURN,
}
_JUMP, _GOTO = -3, -4  # NFT_*
_OBJECT_COUNTER = 1  # NFT_OBJECT_COUNTER
_DNAT = 1  # NFT_NAT_DNAT
_ADDRESSES = {"ip": (12, 16, 4), "ip6": (8, 24, 16), "inet": (8, 24, 16)}
"""Offsets of source and destination in the header, and their size. In family inet IPv6 alone is of interest."""

_NEXT_HEADER = 6
"""Its offset in the IPv6 header."""

_PROTOCOLS = {6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_OPERATORS = {0: "", 1: NOT}  # NFT_CMP_EQ, NFT_CMP_NEQ
_HOST = struct.Struct("=I")


async def read_chain(session: NftSession, family: str, table: str, name: str) -> XtablesChain | None:
    """One chain with its rules; None where it doesn't exist."""
    return (await read_chains(session, family, table, name)).get((table, name))


async def read_chains(
    session: NftSession, family: str, table: str, *chain: str, listed: tuple[NftChain, ...] | None = None
) -> Mapping[tuple[str, str], XtablesChain]:
    """The chains of a table, or one of them, with their rules, by table and name; those that exist.

    Args:
        session: to read with.
        family: "ip6" and the like.
        table: its name.
        chain: the name of the only chain to read.
        listed: every chain of the host, if the caller has listed them.
    """
    known = await list_chains(session) if listed is None else listed
    here = [
        each for each in known if (each.family, each.table) == (family, table) and each.name in (chain or each.name)
    ]
    rules = await list_rules(session, family, table, *chain) if here else ()
    found: dict[str, list[ListedRule]] = {each.name: [] for each in here}
    for each in rules:
        if each.chain in found:  # else it is newer than the list of chains
            found[each.chain].append(ListedRule(table, each.chain, decode(each, family), handle=each.handle))
    return {(table, each.name): XtablesChain(each.policy.upper(), tuple(found[each.name])) for each in here}


def decode(listed: NftRule, family: str) -> XtablesRule:
    """One rule of a family's table. An expression that is not decoded is in `unknown` by its name."""
    reader = _Reader(family)
    for expression in listed.expressions:
        reader.read(expression)
    rule = reader.rule
    return replace(rule, comment=listed.comment) if listed.comment else rule


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is in a register: which part of the packet, and which of its bits."""

    source: tuple[object, ...]
    mask: bytes | None = None


class _Reader:
    """Reads the expressions of one rule in their order."""

    def __init__(self, family: str) -> None:
        self.rule = XtablesRule()
        self._family = family
        self._registers: dict[int, _Loaded] = {}

    def read(self, each: NftExpression) -> None:
        match each.name:
            case "meta" | "ct" | "payload" if _WRITES[each.name] in each.attributes:
                self._registers.clear()
            case "meta":
                self._load(each, ("meta", each.number(2)))
            case "payload":
                self._load(each, (each.number(2), each.number(3), each.number(4)))
            case "bitwise":
                self._bitwise(each)
            case "cmp":
                self._compare(each)
            case "match":
                self.rule = with_match(self.rule, each.text(1), each.number(2), each.attributes.get(3, b""))
            case "immediate":
                self._immediate(each)
            case _:
                self._statement(each)

    def _statement(self, each: NftExpression) -> None:
        match each.name:
            case "target":
                self._target(_extension(each.text(1)))
            case "masq":
                self._target(PlainTarget.MASQUERADE)
            case "reject":
                self._target(ExtensionTarget("REJECT"))
            case "nat" if each.number(1) == _DNAT:
                self._target(ExtensionTarget("DNAT"))
            case "objref" if each.number(1) == _OBJECT_COUNTER:
                return
            case name if name not in _SILENT:
                self._unknown(name)

    def _target(self, target: XtablesTarget | None) -> None:
        self.rule = replace(self.rule, target=target)

    def _unknown(self, name: str) -> None:
        self.rule = replace(self.rule, unknown=(*self.rule.unknown, name))
        self._registers.clear()

    def _load(self, each: NftExpression, source: tuple[object, ...]) -> None:
        self._registers[_place(each.number(1))] = _Loaded(source)

    def _bitwise(self, each: NftExpression) -> None:
        """Only bits that are kept; the attributes are source, destination, length, mask and inverted bits."""
        loaded = self._registers.pop(_place(each.number(1)), None)
        mask = each.nested(4).get(1)
        if loaded is None or loaded.mask is not None or not mask or any(each.nested(5).get(1, b"")) or each.number(6):
            self._unknown(each.name)
        else:
            self._registers[_place(each.number(2))] = _Loaded(loaded.source, mask)

    def _immediate(self, each: NftExpression) -> None:
        """A verdict, or a value for a register."""
        if each.number(1):
            self._registers.clear()
            return
        verdict = dict(attributes_of(each.nested(2).get(2, b"")))
        code = int.from_bytes(verdict.get(1, b""), "big", signed=True)
        if code in {_JUMP, _GOTO}:
            self._target(ChainTarget(text_in(verdict.get(2, b"")), jump=code == _JUMP))
        elif code in _VERDICTS:
            self._target(_VERDICTS[code])
        else:
            self._unknown("verdict")

    def _compare(self, each: NftExpression) -> None:
        loaded = self._registers.get(_place(each.number(1)))
        negation, value = _OPERATORS.get(each.number(2)), each.nested(3).get(1, b"")
        condition = None if loaded is None or negation is None else self._condition(loaded, negation, value)
        if condition is None or any(getattr(self.rule, name) != getattr(_EMPTY, name) for name in condition):
            self._unknown(each.name)
        else:
            self.rule = replace(self.rule, **condition)  # type: ignore[arg-type] # the names are the rule's fields

    def _condition(self, loaded: _Loaded, negation: str, value: bytes) -> Mapping[str, object] | None:
        """The rule's fields that a comparison is; None: it has none for it.

        The numbers are those of NFT_META_* (mark 3, iifname 6, oifname 7, nfproto 15, l4proto 16), and of NFT_PAYLOAD_*
        (network header 1, transport header 2) with offset and size.
        """
        condition: Mapping[str, object] | None = None
        match loaded.source:
            case ("meta", 3):
                condition = _mark(negation, value, loaded.mask)
            case (1, int(offset), int()) if offset != _NEXT_HEADER:
                condition = self._address(offset, negation, value, loaded.mask)
            case _ if loaded.mask is not None:
                return None
            case ("meta", 6):
                condition = {"iif": negation + _interface(value)}
            case ("meta", 7):
                condition = {"oif": negation + _interface(value)}
            case ("meta", 15) if (value, negation) == (bytes((NFPROTO_IPV6,)), ""):
                condition = {}
            case ("meta", 16):
                condition = self._protocol(negation, value)
            case (1, int(), 1) if self._family != "ip":
                condition = self._protocol(negation, value)
            case (2, 2, 2) if not negation:
                condition = {"ports": (number_in(value), number_in(value))}
        return condition

    def _protocol(self, negation: str, value: bytes) -> Mapping[str, object] | None:
        name = negation + _PROTOCOLS.get(number_in(value), str(number_in(value)))
        if self.rule.protocol == name:  # `tcp dport` tests the protocol again
            return {}
        return {"protocol": name}

    def _address(self, offset: int, negation: str, value: bytes, mask: bytes | None) -> Mapping[str, object] | None:
        source, destination, size = _ADDRESSES.get(self._family, _ADDRESSES[FAMILY])
        if offset not in {source, destination} or len(value) > size:
            return None  # another field, or both addresses at once
        length = 8 * len(value) if mask is None else _length(mask)
        if length is None:
            return None
        address = value.ljust(size, b"\0")
        text = IPv4Address(address) if self._family == "ip" else IPv6Address(address)
        return {"source" if offset == source else "destination": f"{negation}{text}/{length}"}


_EMPTY = XtablesRule()


def _place(register: int) -> int:
    """One number for a register, which has two where one of 16 bytes begins (NFT_REG_*, NFT_REG32_*)."""
    return (register - 1) * 4 if register < 8 else register - 8  # noqa: PLR2004 - NFT_REG32_00


def _extension(name: str) -> XtablesTarget:
    return PlainTarget.MASQUERADE if name == PlainTarget.MASQUERADE else ExtensionTarget(name)


def _interface(value: bytes) -> str:
    """A name that is compared without its NUL stands for all names that begin so."""
    name = text_in(value.partition(b"\0")[0])
    return name if b"\0" in value else f"{name}{WILDCARD}"


def _mark(negation: str, value: bytes, mask: bytes | None) -> Mapping[str, object] | None:
    if mask is None or len(mask) != _HOST.size:
        return None
    bits = _HOST.unpack(mask)[0]
    if value == mask and not negation:
        return {"mark_all": bits}
    return {"mark": bits} if negation and not any(value) else None


def _length(mask: bytes) -> int | None:
    """The prefix length; None: the mask is none of a prefix."""
    inverse = number_in(mask) ^ ((1 << 8 * len(mask)) - 1)
    return None if inverse & (inverse + 1) else 8 * len(mask) - inverse.bit_length()
