"""After any changes of a host's filter, a walk that kept verdicts finds what a new one finds."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.hostfilter.reading import PacketWalk
from dockerv6.firewall.walk.chains import BaseChain, FilterTable
from dockerv6.firewall.walk.packet import INTERNET, TCP, Flow
from dockerv6.firewall.walk.sets import FoundElement, WalkSet
from tests.unit.firewall.walk.scene import ACCEPT, CONTAINER, DROP, GOTO, JUMP, PATHS, RETURN, cmp, expr, rule, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.firewall.walk.chains import WalkRule
    from dockerv6.firewall.walk.machine import NftWalkRule

ADDRESSES = (INTERNET, CONTAINER, *(IPv6Address(f"2a00::{n}") for n in range(1, 4)))
FLOWS = (
    Flow("a", "out", CONTAINER, INTERNET, "br-a", TCP, 443),
    Flow("a", "in", INTERNET, CONTAINER, "eth0", TCP, 443),
    Flow("a", "http", INTERNET, CONTAINER, "eth0", TCP, 80),
)
SADDR, DADDR = (expr("payload", {1: 1, 2: 1, 3: offset, 4: 16}) for offset in (8, 24))
PORT = expr("payload", {1: 1, 2: 2, 3: 2, 4: 2})
MATCHES = (
    (),
    (PORT, cmp((80).to_bytes(2, "big"))),
    *((each, cmp(address.packed)) for each in (SADDR, DADDR) for address in ADDRESSES[2:4]),
    *((each, expr("lookup", {2: 1}, a1=name)) for each in (SADDR, DADDR) for name in (b"one\0", b"two\0")),
)
ALLOWED = expr("lookup", {2: 1}, a1=b"one\0")
VERDICTS = ((ACCEPT, ""), (DROP, ""), (RETURN, ""), (JUMP, "sub"), (GOTO, "sub"))

_SETS = st.none() | st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True)
_RULES = st.lists(st.tuples(st.sampled_from(MATCHES), st.sampled_from(VERDICTS)), max_size=3)
_ENDS = st.lists(st.tuples(st.sampled_from(MATCHES), st.sampled_from(VERDICTS[:3])), max_size=2)
_CHANGE = st.one_of(
    st.tuples(st.sampled_from(["one", "two"]), _SETS),
    st.tuples(st.just("c"), _RULES),
    st.tuples(st.just("sub"), st.none() | _ENDS),
    st.tuples(st.just("drops"), st.booleans()),
    st.tuples(st.just("there"), st.booleans()),
)


class Filter:
    """A table that changes. As in a reading, a chain is the same object for as long as its rules are equal."""

    def __init__(self) -> None:
        self.sets: dict[str, WalkSet] = {}
        self.chains: dict[str, Sequence[WalkRule]] = {"c": ()}
        self.drops, self.there = False, True

    def change(self, what: str, to: object) -> None:
        if what in {"drops", "there"}:
            setattr(self, what, to)
        elif to is None:
            self.sets.pop(what, None)
            self.chains.pop(what, None)
        elif what in {"one", "two"}:
            elements = tuple(FoundElement(each.packed, each.packed) for each in to)  # type: ignore[attr-defined]
            self.sets[what] = WalkSet(elements, key_size=16)
        else:
            made: list[NftWalkRule] = [rule(*match, verdict(*end)) for match, end in to]  # type: ignore[attr-defined]
            self.chains[what] = tuple(made)

    def read(self) -> tuple[BaseChain, ...]:
        other = FilterTable("nftables", "inet", "other", {"c": ()})
        table = FilterTable("nftables", "inet", "t", dict(self.chains), dict(self.sets))
        here = (BaseChain(table, "c", "forward", 0, drops=self.drops),) if self.there else ()
        return (*here, BaseChain(other, "c", "input", 0))


@given(st.lists(st.lists(_CHANGE, max_size=3), min_size=1, max_size=8), st.data())
def test_what_is_kept_is_what_would_be_found(steps: list[list[tuple[str, object]]], data: st.DataObject) -> None:
    there = Filter()
    walk = PacketWalk(there)  # type: ignore[arg-type]
    for changes in steps:
        for what, to in changes:
            there.change(what, to)
        flows = data.draw(st.lists(st.sampled_from(FLOWS), max_size=3, unique=True))
        new = PacketWalk(there)  # type: ignore[arg-type]
        assert walk.follow(flows, PATHS) == new.follow(flows, PATHS)


def test_an_allow_list_that_gets_its_first_element_is_no_longer_a_certain_drop() -> None:
    there = Filter()
    there.change("one", ())
    there.change("c", [*(((end, ALLOWED), (ACCEPT, "")) for end in (SADDR, DADDR)), ((), (DROP, ""))])
    walk = PacketWalk(there)  # type: ignore[arg-type]
    (verdict_before,) = walk.follow(FLOWS[1:2], PATHS)
    there.change("one", ADDRESSES[2:3])
    (verdict_after,) = walk.follow(FLOWS[1:2], PATHS)
    assert (verdict_before.passes, verdict_after.passes, verdict_after.doubt) == (
        False,
        None,
        "the address of the other end",
    )
