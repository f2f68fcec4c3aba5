"""Each kind of expression on a packet: matched, not matched, or unknown."""

from __future__ import annotations

import pytest

from dockerv6.firewall.nftables.foreign import NftExpression
from dockerv6.firewall.walk.bits import exact, unknown
from dockerv6.firewall.walk.chains import Action
from dockerv6.firewall.walk.packet import ICMPV6, UDP, Packet, Tracking
from dockerv6.firewall.walk.sets import FoundElement, WalkSet
from tests.unit.firewall.walk.scene import (
    ACCEPT,
    CONTAINER,
    DROP,
    GOTO,
    JUMP,
    OUTER,
    RETURN,
    WORLD,
    around,
    cmp,
    data,
    expr,
    host,
    meta,
    name,
    packet,
    rule,
    verdict,
)

YES, NO, MAYBE = [Action.DROP], [Action.CONTINUE], [Action.CONTINUE, Action.DROP]


def actions(*expressions: NftExpression, at: Packet | None = None, hook: str = "forward") -> list[Action]:
    """What a rule with these expressions and a drop behind them may do."""
    outcomes = rule(*expressions, verdict(DROP)).run(at or packet(), around(hook))
    return [outcome.action for outcome in outcomes]


def ct(key: int, *direction: int) -> NftExpression:
    found = expr("ct", {1: 1, 2: key})
    return found if not direction else NftExpression("ct", {**found.attributes, 3: bytes(direction)})


def payload(part: int, offset: int, size: int) -> NftExpression:
    return expr("payload", {1: 1, 2: part, 3: offset, 4: size})


def bits(mask: int, inverted: int = 0) -> NftExpression:
    return expr("bitwise", {1: 1, 2: 1, 3: 4}, a4=data(host(mask)), a5=data(host(inverted)))


UNTRACKED = packet(tracking=Tracking.UNTRACKED)
MARKED = packet(mark=exact(host(3)))
MATCHES: dict[str, tuple[tuple[NftExpression, ...], list[Action]]] = {
    "iifname": ((meta(6), cmp(name("br-a"))), YES),
    "another iifname": ((meta(6), cmp(name("br-b"))), NO),
    "the begin of a name": ((meta(6), cmp(b"br-")), YES),
    "iifname is not": ((meta(6), cmp(name("lan"), 1)), YES),
    "oif": ((meta(5), cmp(host(2))), YES),
    "iifkind": ((meta(26), cmp(name("bridge"))), YES),
    "a link without a kind ends the rule": ((meta(27), cmp(name("bridge"), 1)), NO),
    "nfproto": ((meta(15), cmp(b"\x0a")), YES),
    "l4proto": ((meta(16), cmp(b"\x11")), NO),
    "protocol": ((meta(1), cmp(b"\x86\xdd")), YES),
    "skuid of a forwarded packet": ((meta(10), cmp(host(0))), NO),
    "cpu": ((meta(20), cmp(host(0))), MAYBE),
    "a key that isn't known": ((meta(99), cmp(host(0))), MAYBE),
    "ct state": ((ct(0), bits(8), cmp(host(0), 1)), YES),
    "ct state of replies": ((ct(0), bits(6), cmp(host(0), 1)), NO),
    "ct direction": ((ct(1), cmp(b"\0")), YES),
    "ct status": ((ct(2), bits(0x20), cmp(host(0), 1)), NO),
    "ct mark": ((ct(3), cmp(host(0))), YES),
    "ct original daddr": ((ct(22, 0), cmp(WORLD.packed)), YES),
    "ct zone": ((ct(17), cmp(b"\0\0")), MAYBE),
    "daddr": ((payload(1, 24, 16), cmp(WORLD.packed)), YES),
    "a prefix": ((payload(1, 8, 2), cmp(b"\xfd\x12")), YES),
    "dport": ((payload(2, 2, 2), cmp((443).to_bytes(2, "big"))), YES),
    "less": ((payload(2, 2, 2), cmp((443).to_bytes(2, "big"), 2)), NO),
    "less or equal": ((payload(2, 2, 2), cmp((443).to_bytes(2, "big"), 3)), YES),
    "greater": ((payload(2, 2, 2), cmp((442).to_bytes(2, "big"), 4)), YES),
    "greater or equal": ((payload(2, 2, 2), cmp((444).to_bytes(2, "big"), 5)), NO),
    "TCP flags": ((payload(2, 13, 1), cmp(b"\x02")), YES),
    "hop limit": ((payload(1, 7, 1), cmp(b"\x40")), MAYBE),
    "the link layer": ((payload(0, 6, 6), cmp(bytes(6))), MAYBE),
    "behind the headers": ((payload(2, 40, 4), cmp(bytes(4))), MAYBE),
    "byteorder": ((meta(4), expr("byteorder", {1: 1, 2: 1, 3: 1, 4: 4, 5: 4}), cmp(bytes((0, 0, 0, 3)))), YES),
    "range": ((payload(2, 2, 2), expr("range", {1: 1, 2: 0}, a3=data(b"\1\0"), a4=data(b"\2\0"))), YES),
    "not in a range": ((payload(2, 2, 2), expr("range", {1: 1, 2: 1}, a3=data(b"\1\0"), a4=data(b"\2\0"))), NO),
    "a shift": ((meta(3), expr("bitwise", {1: 1, 2: 1, 3: 4, 6: 1}), cmp(host(0))), MAYBE),
    "fib daddr type": ((expr("fib", {1: 1, 2: 3, 3: 2}), cmp(host(1))), YES),
    "fib saddr . iif oif": ((expr("fib", {1: 1, 2: 1, 3: 1 | 8}), cmp(host(0), 1)), YES),
    "fib daddr . iif oif": ((expr("fib", {1: 1, 2: 1, 3: 2 | 8}), cmp(host(0), 1)), MAYBE),
    "an extension header": ((expr("exthdr", {1: 1, 2: 44, 4: 1, 5: 1}), cmp(b"\1")), NO),
    "a TCP option": ((expr("exthdr", {1: 1, 2: 2, 4: 2, 6: 1}), cmp(b"\5\0")), [*NO, *NO, Action.DROP]),
    "a TCP option is written": ((expr("exthdr", {2: 2, 4: 2, 6: 1, 7: 1}),), YES),
    "counter, log": ((expr("counter"), expr("log"), expr("last")), YES),
    "limit": ((expr("limit"),), MAYBE),
    "quota": ((expr("quota"),), MAYBE),
    "connlimit": ((expr("connlimit"),), MAYBE),
    "numgen": ((expr("numgen", {1: 1}), cmp(host(0))), [*NO, *NO, Action.DROP]),
    "what nobody knows": ((expr("brandnew", {1: 1}),), MAYBE),
    "a counter by name": ((expr("objref", {1: 1}),), YES),
    "a quota by name": ((expr("objref", {1: 2}),), MAYBE),
    "dynset adds": ((expr("dynset", {3: 0}),), YES),
    "dynset with a limit": ((expr("dynset", {3: 1}, a7=b""),), MAYBE),
    "xt match": ((expr("match", {2: 1}, a1=b"mark\0", a3=bytes(12)),), YES),
    "xt match that isn't known": ((expr("match", {2: 0}, a1=b"set\0", a3=bytes(12)),), MAYBE),
    "offload": ((expr("flow_offload"),), YES),
}


@pytest.mark.parametrize("match", MATCHES)
def test_a_match_is_fulfilled_or_not_or_unknown(match: str) -> None:
    expressions, expected = MATCHES[match]
    assert actions(*expressions) == expected


ENDS: dict[str, tuple[tuple[NftExpression, ...], list[Action]]] = {
    "accept": ((verdict(ACCEPT),), [Action.ACCEPT]),
    "jump": ((verdict(JUMP, "x"),), [Action.JUMP]),
    "goto": ((verdict(GOTO, "x"),), [Action.GOTO]),
    "return": ((verdict(RETURN),), [Action.RETURN]),
    "queue": ((verdict(3),), [Action.LOST]),
    "queue to programs": ((expr("queue"),), [Action.LOST]),
    "reject": ((expr("reject"),), [Action.DROP]),
    "tproxy": ((expr("tproxy"),), [Action.LOST]),
    "synproxy": ((expr("synproxy"),), [Action.LOST]),
    "synproxy by name": ((expr("objref", {1: 10}),), [Action.LOST]),
    "masquerade": ((expr("masq"),), [Action.TRANSLATED]),
    "redirect": ((expr("redir"),), [Action.TRANSLATED]),
    "IPv4's translation": ((expr("nat", {1: 0, 2: 2}), verdict(ACCEPT)), [Action.ACCEPT]),
    "xt target": ((expr("target", {2: 0}, a1=b"REJECT\0", a3=b""),), [Action.DROP]),
    "xt target that marks": ((expr("target", {2: 2}, a1=b"MARK\0", a3=host(1) * 2), verdict(ACCEPT)), [Action.ACCEPT]),
    "xt target that isn't known": (
        (expr("target", {2: 0}, a1=b"NEW\0", a3=b""),),
        [Action.CONTINUE, Action.ACCEPT, Action.DROP],
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_verdict_ends_the_rule(end: str) -> None:
    expressions, expected = ENDS[end]
    outcomes = rule(*expressions, verdict(DROP)).run(packet(), around("prerouting"))
    assert [outcome.action for outcome in outcomes] == expected


def test_the_doubt_names_what_was_loaded() -> None:
    outcomes = rule(meta(20), cmp(host(0)), verdict(DROP)).run(packet(), around())
    assert {outcome.doubt for outcome in outcomes} == {"meta cpu"}


def test_marks_are_set_and_matched() -> None:
    add = (meta(3), bits(0xFFFFFFFD, 2), expr("meta", {2: 3, 3: 1}))
    (outcome,) = rule(*add).run(packet(mark=exact(host(1))), around())
    assert outcome.packet.mark == exact(host(3))
    (outcome,) = rule(meta(3), expr("ct", {2: 3, 4: 1})).run(MARKED, around())
    assert outcome.packet.ct_mark == exact(host(3))
    assert actions(meta(3), bits(2), cmp(host(0), 1), at=MARKED) == YES
    assert actions(meta(3), bits(2), cmp(host(0), 1), at=packet(mark=unknown(4))) == MAYBE


def test_before_tracking_there_is_no_connection() -> None:
    early = packet(tracking=Tracking.BEFORE)
    assert actions(ct(0), cmp(host(1)), at=early) == YES
    assert actions(ct(1), cmp(b"\0"), at=early) == NO
    (outcome,) = rule(expr("notrack")).run(early, around())
    assert outcome.packet.tracking is Tracking.UNTRACKED
    assert actions(ct(0), cmp(host(64)), at=UNTRACKED) == YES
    (outcome,) = rule(meta(3), expr("ct", {2: 3, 4: 1})).run(UNTRACKED, around())
    assert outcome.packet == UNTRACKED


def test_translations_change_the_packet() -> None:
    to = expr("immediate", {1: 1}, a2=data(CONTAINER.packed)), expr("immediate", {1: 2}, a2=data(b"\0\x50"))
    (outcome,) = rule(*to, expr("nat", {1: 1, 2: 10, 3: 1, 5: 2})).run(packet(), around("prerouting"))
    assert (outcome.packet.destination, outcome.packet.endpoints.dport) == (exact(CONTAINER.packed), exact(b"\0\x50"))
    (outcome,) = rule(expr("masq")).run(packet(), around("postrouting"))
    assert outcome.packet.source == exact(OUTER.packed)
    two = expr("immediate", {1: 1}, a2=data(WORLD.packed)), expr("immediate", {1: 2}, a2=data(OUTER.packed))
    (outcome,) = rule(*two, expr("nat", {1: 0, 2: 10, 3: 1, 4: 2})).run(packet(), around("postrouting"))
    assert outcome.packet.source == unknown(16)


def test_headers_are_written() -> None:
    write = expr("immediate", {1: 1}, a2=data(OUTER.packed)), expr("payload", {2: 1, 3: 8, 4: 16, 5: 1})
    (outcome,) = rule(*write).run(packet(), around())
    assert outcome.packet.source == exact(OUTER.packed)


def test_lookups_in_sets_maps_and_verdict_maps() -> None:
    web = (443).to_bytes(2, "big") + bytes(2)
    sets = {
        "ports": WalkSet((FoundElement(web, web),), 4),
        "marks": WalkSet((FoundElement(web, web, host(5)),), 4),
        "jumps": WalkSet((FoundElement(web, web, verdict=(JUMP, "x")),), 4),
        "huge": WalkSet(None, 4),
    }

    def found(*expressions: NftExpression, at: Packet | None = None) -> list[Action]:
        done = rule(payload(2, 2, 2), *expressions, verdict(DROP)).run(at or packet(), around(sets=sets))
        return [outcome.action for outcome in done]

    def lookup(of: str, **more: int) -> NftExpression:
        return expr("lookup", {2: 1, **{int(key[1:]): value for key, value in more.items()}}, a1=of.encode() + b"\0")

    blank = packet(transport=unknown(20))
    assert found(lookup("ports")) == YES
    assert found(lookup("ports", a5=1)) == NO
    assert found(lookup("ports"), at=blank) == MAYBE
    assert found(lookup("huge")) == MAYBE
    assert found(lookup("missing")) == MAYBE
    assert found(lookup("marks", a3=1), cmp(host(5))) == YES
    assert found(lookup("marks", a3=1), cmp(host(6))) == NO
    assert found(lookup("jumps", a3=0)) == [Action.JUMP]
    assert found(lookup("jumps", a3=0), at=blank) == [Action.JUMP, Action.CONTINUE]
    assert found(lookup("huge", a3=0)) == [Action.LOST, Action.CONTINUE]


def test_udp_has_no_tcp_options() -> None:
    assert actions(expr("exthdr", {2: 2, 4: 2, 6: 1, 7: 1}), at=packet(protocol=UDP)) == NO
    assert actions(expr("exthdr", {1: 1, 2: 2, 4: 2, 6: 1}), cmp(b"\5\0"), at=packet(protocol=ICMPV6)) == NO
