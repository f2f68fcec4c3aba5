"""Matches and targets of xtables that random rules do not reach, and those in another layout."""

from __future__ import annotations

import struct

import pytest

from dockerv6.firewall.walk.bits import Answer, exact, unknown
from dockerv6.firewall.walk.chains import Action
from dockerv6.firewall.walk.extensions import run_match, run_target
from dockerv6.firewall.walk.packet import ICMPV6, Packet, Tracking
from tests.unit.firewall.walk.scene import CONTAINER, OUTER, around, host, packet

PING = packet(protocol=ICMPV6, transport=exact(b"\x80" + bytes(19)))
UNTRACKED = packet(tracking=Tracking.UNTRACKED)


@pytest.mark.parametrize(
    ("name", "revision", "data", "at", "answer"),
    [
        ("icmp6", 0, bytes((128, 0, 255, 0)), PING, True),
        ("icmp6", 0, bytes((128, 0, 255, 1)), PING, False),
        ("frag", 0, b"", packet(), False),
        ("rpfilter", 0, b"\0", packet(), True),
        ("rpfilter", 0, b"\x08", packet(), False),
        ("rpfilter", 0, b"\0", packet(iif=None), None),
        ("state", 0, host(8), packet(), True),
        ("state", 0, host(1 << 6), UNTRACKED, True),
        ("connmark", 1, host(0) + host(1) + b"\0", UNTRACKED, False),
        ("addrtype", 1, struct.pack("=HHI", 0, 1 << 2, 4), packet(), None),
        ("addrtype", 1, struct.pack("=HHI", 0, 1 << 4, 0), packet(), None),
        ("mark", 7, b"", packet(), None),
        ("tcp", 0, b"\0", packet(), None),
        ("set", 4, bytes(64), packet(), None),
    ],
)
def test_a_match(name: str, revision: int, data: bytes, at: Packet, *, answer: Answer) -> None:
    assert run_match(name, revision, data, at, around()) is answer


def test_a_target_that_is_unknown_may_do_anything() -> None:
    outcomes = run_target("NEW", 0, b"", packet(), around())
    assert [each.action for each in outcomes] == [Action.CONTINUE, Action.ACCEPT, Action.DROP]
    assert {each.doubt for each in outcomes} == {"-j NEW"}
    assert len(run_target("DNAT", 2, b"", packet(), around())) == 3
    assert len(run_target("CONNMARK", 2, b"", packet(), around())) == 3


def test_marks_of_packets_and_of_connections() -> None:
    marked = packet(mark=exact(host(6)))
    (saved,) = run_target("CONNMARK", 1, host(0) + host(0xFFFFFFFF) * 2 + b"\1", marked, around())
    assert saved.packet.ct_mark == exact(host(6))
    (same,) = run_target("CONNMARK", 1, host(1) + host(0xFFFFFFFF) * 2 + b"\0", UNTRACKED, around())
    assert same.packet == UNTRACKED
    (hashed,) = run_target("HMARK", 0, b"", marked, around())
    assert hashed.packet.mark == unknown(4)


def test_translations_by_ranges_and_prefixes() -> None:
    one = struct.pack("=I16s16s2s2s", 3, CONTAINER.packed, CONTAINER.packed, b"\0\x50", b"\0\x50")
    (sent,) = run_target("DNAT", 2, one, packet(), around("prerouting"))
    assert (sent.action, sent.packet.destination) == (Action.TRANSLATED, exact(CONTAINER.packed))
    many = struct.pack("=I16s16s4x", 1, CONTAINER.packed, OUTER.packed)
    (sent,) = run_target("SNAT", 1, many, packet(), around("postrouting"))
    assert sent.packet.source == unknown(16)
    prefix = struct.pack("=I16s16s4x", 0, b"\xfd\x99" + bytes(14), b"\xfd\x99" + b"\0" * 6 + b"\xff" * 8)
    (sent,) = run_target("NETMAP", 0, prefix, packet(), around("postrouting"))
    assert sent.packet.source == exact(b"\xfd\x99" + bytes(13) + b"\2")


@pytest.mark.parametrize("name", ["NFQUEUE", "TPROXY", "SYNPROXY"])
def test_what_hands_packets_over_cannot_be_followed(name: str) -> None:
    (outcome,) = run_target(name, 0, b"", packet(), around())
    assert outcome.action is Action.LOST
