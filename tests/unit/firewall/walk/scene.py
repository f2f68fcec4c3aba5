"""A host, packets and rules of nftables for the tests of the packet walk."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from dockerv6.firewall.nftables import kernel
from dockerv6.firewall.nftables.foreign import NftExpression, NftRule
from dockerv6.firewall.walk.chains import BaseChain, FilterTable, Surroundings
from dockerv6.firewall.walk.machine import NftWalkRule
from dockerv6.firewall.walk.packet import TCP, Flow, Link, Paths, Tracking, first_packet
from dockerv6.lib import netlink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockerv6.firewall.walk.packet import Packet
    from dockerv6.firewall.walk.sets import WalkSet

CONTAINER, WORLD, OUTER = (IPv6Address(text) for text in ("fd12::2", "2001:db8:ffff::1", "2001:db8::1"))
PATHS = Paths(
    {"lo": Link("lo", 1), "eth0": Link("eth0", 2), "br-a": Link("br-a", 3, "bridge")},
    ((IPv6Network("::/0"), "eth0"), (IPv6Network("fd12::/64"), "br-a")),
    {IPv6Address("::1"): "lo", OUTER: "eth0", IPv6Address("fd12::1"): "br-a"},
)
EGRESS = Flow("a", "connections", CONTAINER, WORLD, "br-a", TCP, 443, subnet=IPv6Network("fd12::/64"))
ACCEPT, DROP, JUMP, GOTO, RETURN = 1, 0, -3, -4, -5


def packet(flow: Flow = EGRESS, **changes: object) -> Packet:
    """The first packet of a flow in the forward hook."""
    made = replace(first_packet(flow, PATHS), tracking=Tracking.TRACKED, oif=PATHS.links["eth0"])
    return replace(made, **changes)  # type: ignore[arg-type]


def host(number: int) -> bytes:
    """A number as the kernel has it in a register."""
    return struct.pack("=I", number)


def name(text: str) -> bytes:
    return text.encode().ljust(16, b"\0")


def data(value: bytes) -> bytes:
    """A value as NFTA_DATA_VALUE."""
    return netlink.attribute(1, value)


def expr(kind: str, numbers: Mapping[int, int] | None = None, **values: bytes) -> NftExpression:
    """An expression with numbers by attribute, and with bytes by names such as `a3`."""
    found = {key: struct.pack("!i" if value < 0 else "!I", value) for key, value in (numbers or {}).items()}
    return NftExpression(kind, found | {int(key[1:]): value for key, value in values.items()})


def meta(key: int) -> NftExpression:
    return expr("meta", {1: 1, 2: key})


def cmp(value: bytes, operator: int = 0) -> NftExpression:
    return expr("cmp", {1: 1, 2: operator}, a3=data(value))


def verdict(code: int, chain: str = "") -> NftExpression:
    content = kernel.nested(2, kernel.number(1, code), *([kernel.text(2, chain)] if chain else []))
    return expr("immediate", {1: 0}, a2=content)


def rule(*expressions: NftExpression, handle: int = 7) -> NftWalkRule:
    made = NftWalkRule(b"", "inet")
    made.__dict__["rule"] = NftRule("t", "c", handle, expressions)
    return made


def around(hook: str = "forward", sets: Mapping[str, WalkSet] | None = None) -> Surroundings:
    return Surroundings(hook, PATHS, FilterTable("nftables", "inet", "t", {}, sets or {}))


def base(
    *rules: NftWalkRule,
    hook: str = "forward",
    priority: int = 0,
    table: str = "t",
    drops: bool = False,
    translates: bool = False,
    **chains: tuple[NftWalkRule, ...],
) -> BaseChain:
    """A base chain of that name in a table of its own, beside other chains."""
    made = FilterTable("nftables", "inet", table, {"c": rules, **chains})
    return BaseChain(made, "c", hook, priority, drops=drops, translates=translates)
