from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.expr import Field, KeyType
from dockerv6.firewall.iptables import matches
from dockerv6.firewall.iptables.matches import FEW, LEAF, LookupElement, LookupTree, matching
from dockerv6.firewall.xtables.rule import ChainTarget, PlainTarget, UnsupportedRuleError, XtablesRule

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX, LINK, PROTOCOL, PORT = KeyType.PREFIX, KeyType.INTERFACE, KeyType.PROTOCOL, KeyType.PORT
KINDS = {
    (Field.SADDR,): (PREFIX,),
    (Field.IIF,): (LINK,),
    (Field.PROTOCOL, Field.DPORT): (PROTOCOL, PORT),
    (Field.PROTOCOL, Field.DPORT, Field.DADDR, Field.SADDR): (PROTOCOL, PORT, PREFIX, PREFIX),
}


def written(fields: tuple[Field, ...], keys: Sequence[tuple[str, ...]]) -> dict[str, list[XtablesRule]]:
    chains: dict[str, list[XtablesRule]] = {}
    entries = [LookupElement(key, PlainTarget.DROP) for key in keys]
    LookupTree(fields, KINDS[fields], PlainTarget.RETURN, chains.__setitem__).write("X", entries)
    return chains


def leaves(chains: dict[str, list[XtablesRule]]) -> set[XtablesRule]:
    return {rule for rules in chains.values() for rule in rules if rule.target is PlainTarget.DROP}


def test_few_elements_are_a_list_that_ends_with_the_miss() -> None:
    assert written((Field.IIF,), [("br-b",), ("br-a",)]) == {
        "X": [
            XtablesRule(PlainTarget.DROP, iif="br-a"),
            XtablesRule(PlainTarget.DROP, iif="br-b"),
            XtablesRule(PlainTarget.RETURN),
        ]
    }


MANY: dict[str, tuple[tuple[Field, ...], list[tuple[str, ...]]]] = {
    "subnets": ((Field.SADDR,), [(f"fd00:0:0:{n:x}::/64",) for n in range(200)]),
    "nested prefixes": ((Field.SADDR,), [("::/0",), *((f"fd00::{n:x}/128",) for n in range(100)), ("fd00::/16",)]),
    "names": ((Field.IIF,), [("br-",), *((f"br-{n:06x}",) for n in range(0, 70000, 377))]),
    "ports": ((Field.PROTOCOL, Field.DPORT), [(p, str(n)) for p in ("tcp", "udp") for n in range(1000, 65536, 511)]),
    "lists of one port": (
        (Field.PROTOCOL, Field.DPORT, Field.DADDR, Field.SADDR),
        [("tcp", "22", "::/0", f"2001:db8:{n:x}::/48") for n in range(60)],
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_every_element_has_a_rule_and_no_node_is_long(name: str) -> None:
    fields, keys = MANY[name]
    chains = written(fields, keys)
    assert leaves(chains) == {matching(XtablesRule(PlainTarget.DROP), fields, key) for key in keys}
    assert all(rules[-1] == XtablesRule(PlainTarget.RETURN) for rules in chains.values())
    assert max(len(rules) for rules in chains.values()) <= 16 * FEW + 1
    reached = {rule.target.chain for rules in chains.values() for rule in rules if isinstance(rule.target, ChainTarget)}
    assert reached == chains.keys() - {"X"}


@pytest.mark.parametrize("name", MANY)
def test_a_removed_element_changes_few_chains(name: str) -> None:
    fields, keys = MANY[name]
    before, after = written(fields, keys), written(fields, keys[:-1])
    assert sum(after.get(each) != rules for each, rules in before.items()) <= 4


def test_elements_that_no_field_divides_are_listed() -> None:
    keys = [(f"fd00::/{length}",) for length in range(16, 16 + 2 * LEAF)]
    assert leaves(written((Field.SADDR,), keys)) == {XtablesRule(PlainTarget.DROP, source=key) for (key,) in keys}


def test_chains_with_colliding_names_get_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    fields, keys = MANY["subnets"]
    usual = written(fields, keys)

    class FewDigests:
        """Only a salt changes the digest."""

        def __init__(self, data: bytes, **_: int) -> None:
            self.digest = f"{data.count(10):06x}"

        def hexdigest(self) -> str:
            return self.digest

    monkeypatch.setattr(hashlib, "blake2b", FewDigests)
    chains = written(fields, keys)
    assert len(chains) == len(usual)
    assert leaves(chains) == leaves(usual)


def test_a_lookup_that_xtables_cannot_express_is_refused() -> None:
    with pytest.raises(UnsupportedRuleError, match="in a list"):
        matching(XtablesRule(), (Field.CT_STATE,), ("new",))
    with pytest.raises(UnsupportedRuleError, match="two conditions"):
        matching(XtablesRule(source="fd00::/8"), (Field.SADDR,), ("fd00::/64",))
    with pytest.raises(UnsupportedRuleError, match="not a prefix"):
        matches._number("nonsense/64")
