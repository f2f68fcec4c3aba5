import pytest

from dockerv6.firewall.hostfilter import listing, native
from dockerv6.firewall.hostfilter.chains import Target
from dockerv6.firewall.hostfilter.listing import ListedChain
from dockerv6.firewall.nftables.codec import Json

MARK = 0x10000000
MARKED: Json = {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, MARK]}, "right": MARK}}
BY_HAND: Json = {"match": {"op": "!=", "left": {"&": [{"meta": {"key": "mark"}}, MARK]}, "right": 0}}
OTHER_BITS: Json = {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 0xFF]}, "right": 1}}
FROM_ETH0: Json = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}}
COUNTER: Json = {"counter": {"packets": 0, "bytes": 0}}
COMMENT: Json = {"xt": {"type": "match", "name": "comment"}}
ACCEPT: Json = {"accept": None}


@pytest.mark.parametrize(
    "expressions",
    [(MARKED, COMMENT, COUNTER, ACCEPT), (BY_HAND, ACCEPT)],
)
def test_the_accept_rule_is_known_by_its_mark(expressions: tuple[Json, ...]) -> None:
    found = listing.rule({"expr": expressions}, MARK)
    assert (found.ours, found.target, found.conditional) == (True, Target.ACCEPT, True)


@pytest.mark.parametrize(
    "expressions",
    [
        (OTHER_BITS, ACCEPT),
        (MARKED, FROM_ETH0, ACCEPT),
        (MARKED, {"drop": None}),
        (ACCEPT,),
        ({"xt": {"type": "match", "name": "mark"}}, ACCEPT),
        ({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, ACCEPT),
    ],
)
def test_nothing_else_is(expressions: tuple[Json, ...]) -> None:
    assert not listing.rule({"expr": expressions}, MARK).ours


@pytest.mark.parametrize(
    ("expressions", "target", "jump", "conditional"),
    [
        ((COUNTER, {"jump": {"target": "DOCKER-USER"}}), Target.JUMP, "DOCKER-USER", False),
        ((FROM_ETH0, COUNTER, {"drop": None}), Target.DROP, "", True),
        (({"reject": {"type": "icmpx", "expr": "admin-prohibited"}},), Target.DROP, "", False),
        ((COUNTER, {"xt": {"type": "target", "name": "REJECT"}}), Target.DROP, "", False),
        (({"xt": {"type": "target", "name": "LOG"}},), Target.OTHER, "", False),
        (({"xt": {"type": "match", "name": "conntrack"}}, ACCEPT), Target.ACCEPT, "", True),
        (({"log": {"prefix": "x"}}, {"return": None}), Target.RETURN, "", False),
        ((), Target.OTHER, "", False),
    ],
)
def test_a_rule_is_reduced_to_what_matters(
    expressions: tuple[Json, ...], target: Target, jump: str, *, conditional: bool
) -> None:
    found = listing.rule({"expr": expressions}, MARK)
    assert (found.target, found.jump, found.conditional) == (target, jump, conditional)


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        (ListedChain("inet", "filter", "forward", "forward", "filter", "drop"), "nft insert rule inet filter forward"),
        (ListedChain("inet", "firewalld", "filter_FORWARD", "forward", "filter", "drop"), "firewall-cmd --permanent"),
        (
            ListedChain("ip6", "docker-bridges", "filter-FORWARD", "forward", "filter", "drop"),
            "--bridge-accept-fwmark=0x10000000/0x10000000",
        ),
    ],
)
def test_the_remedy_fits_whoever_drops(chain: ListedChain, text: str) -> None:
    assert text in native.remedy(chain, MARK)
