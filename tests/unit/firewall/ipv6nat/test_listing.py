from typing import Any

import pytest

from dockerv6.firewall.ipv6nat.listing import rule, tables
from dockerv6.firewall.ipv6nat.rules import Rule


def match(left: dict[str, Any], right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def listed(*expressions: dict[str, Any], handle: int = 7, **more: object) -> dict[str, Any]:
    return {"family": "ip6", "table": "nat", "chain": "C", "handle": handle, "expr": list(expressions), **more}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


COUNTER = {"counter": {"packets": 0, "bytes": 0}}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (match({"meta": {"key": "iifname"}}, "br-a", "!="), {"iif": "!br-a"}),
        (match({"meta": {"key": "oifname"}}, "br-a"), {"oif": "br-a"}),
        (match({"meta": {"key": "l4proto"}}, "sctp"), {"protocol": "sctp"}),
        (match(payload("ip6", "saddr"), {"prefix": {"addr": "fd00:1::", "len": 64}}), {"source": "fd00:1::/64"}),
        (match(payload("ip6", "daddr"), "::1", "!="), {"destination": "!::1"}),
        (match(payload("tcp", "dport"), 80), {"protocol": "tcp", "port": "80"}),
        (match(payload("th", "dport"), 80), {"port": "80"}),
        (match(payload("tcp", "dport"), {"range": [1, 2]}), {"strange": True}),
        (match(payload("tcp", "sport"), 80), {"strange": True}),
        (match({"meta": {"key": "mark"}}, 1), {"strange": True}),
        (match({"meta": {"key": "oifname"}}, "br-a", "<"), {"strange": True}),
        ({"xt": {"type": "match", "name": "conntrack"}}, {"states": True}),
        ({"xt": {"type": "match", "name": "addrtype"}}, {"local": "dst"}),
        ({"xt": {"type": "match", "name": "sctp"}}, {"protocol": "sctp", "port": "?"}),
        ({"xt": {"type": "match", "name": "comment"}}, {"strange": True}),
        ({"xt": {"type": "target", "name": "DNAT"}}, {"target": "DNAT"}),
        ({"masquerade": None}, {"target": "MASQUERADE"}),
        ({"jump": {"target": "DOCKER"}}, {"target": "DOCKER"}),
        ({"goto": {"target": "DOCKER"}}, {"strange": True}),
        ({"limit": {"rate": 1}}, {"strange": True}),
    ],
    ids=str,
)
def test_an_expression_is_read(expression: dict[str, Any], said: dict[str, Any]) -> None:
    assert rule(listed(expression, COUNTER), {7: "dst"}) == Rule("nat", "C", handle=7, **said)


def test_an_addrtype_that_nobody_knows_is_no_claim() -> None:
    assert rule(listed({"xt": {"type": "match", "name": "addrtype"}}), {}).local == "?"


def test_a_comment_makes_a_rule_strange() -> None:
    assert rule(listed(COUNTER, comment="mine"), {}).strange


def test_chains_without_rules_are_there_and_rules_keep_their_order() -> None:
    chain: dict[str, Any] = {"chain": {"family": "ip6", "table": "nat", "name": "DOCKER", "handle": 1}}
    first, second = ({"rule": listed(COUNTER, handle=handle)} for handle in (9, 8))
    found = tables([{"metainfo": {}}, chain, first, second], {})
    assert {place: [each.handle for each in rules] for place, rules in found.chains.items()} == {
        ("nat", "DOCKER"): [],
        ("nat", "C"): [9, 8],
    }
