"""What verdicts rely on is kept once, and what changed is found."""

from __future__ import annotations

from dockerv6.firewall.walk.bits import Bits, exact
from dockerv6.firewall.walk.chains import Evidence, FilterTable, Lookup, Reliance, Surroundings, TableChain
from dockerv6.firewall.walk.packet import Paths
from dockerv6.firewall.walk.sets import FoundElement, WalkSet

RULES = ()
OTHER_RULES = (object(),)
INET = "inet site (nftables)"


def table(*elements: bytes, rules: tuple[object, ...] = RULES) -> FilterTable:
    known = WalkSet(tuple(FoundElement(each, each) for each in elements), key_size=1)
    return FilterTable("nftables", "inet", "site", {"its": rules}, {"banned": known})  # type: ignore[dict-item]


def looked_up(here: FilterTable, *keys: bytes) -> Reliance:
    around = Surroundings("forward", Paths(), here)
    for key in keys:
        around.find("banned", exact(key))
    around.reliance.chains[INET, "its"] = here.chains["its"]
    return around.reliance


def test_nothing_changes_while_the_tables_are_equal() -> None:
    evidence = Evidence()
    evidence.keep(looked_up(table(b"1"), b"1", b"2"))
    assert evidence.changed({INET: table(b"1")}) == frozenset()


def test_only_the_lookups_that_differ_have_changed() -> None:
    evidence = Evidence()
    first = evidence.keep(looked_up(table(b"1"), b"1", b"2"))
    second = evidence.keep(looked_up(table(b"1"), b"1", b"3"))
    changed = evidence.changed({INET: table(b"1", b"3")})
    assert changed == {(INET, "banned", exact(b"3"))}
    assert changed.isdisjoint(first)
    assert not changed.isdisjoint(second)


def test_a_chain_that_is_another_object_has_changed() -> None:
    evidence = Evidence()
    evidence.keep(looked_up(table()))
    assert evidence.changed({INET: table(rules=OTHER_RULES)}) == {(INET, "its")}


def test_a_set_that_is_gone_has_changed() -> None:
    evidence = Evidence()
    evidence.keep(looked_up(table(b"1"), b"1"))
    gone = FilterTable("nftables", "inet", "site", {"its": RULES})
    assert evidence.changed({INET: gone}) == {(INET, "banned", exact(b"1"))}


def test_equal_keys_are_one_object() -> None:
    evidence = Evidence()
    keys = [evidence.keep(looked_up(table(b"1"), b"1")) for _ in range(2)]
    assert all(one is other for one, other in zip(*keys, strict=True))


def test_what_no_verdict_relies_on_is_dropped_and_kept_again() -> None:
    """Else a verdict that is made later would be compared with what an earlier one had found."""
    evidence = Evidence()
    kept = evidence.keep(looked_up(table(b"1"), b"1"))
    evidence.keep(looked_up(table(b"1"), b"2"))
    evidence.drop_others(frozenset(kept))
    assert evidence.changed({INET: table(b"1", b"2")}) == frozenset()
    evidence.keep(looked_up(table(b"1", b"2"), b"2"))
    assert evidence.changed({INET: table(b"1")}) == {(INET, "banned", exact(b"2"))}


def test_a_key_of_which_bits_are_unknown_is_found_as_well() -> None:
    evidence, key = Evidence(), Bits(b"\0", b"\xf0")
    around = Surroundings("forward", Paths(), table(b"\x01"))
    around.find("banned", key)
    kept: tuple[TableChain | Lookup, ...] = evidence.keep(around.reliance)
    assert kept == ((INET, "banned", key),)
    assert evidence.changed({INET: table(b"\x02")}) == {(INET, "banned", key)}


def test_the_first_elements_of_a_set_are_looked_up_again_like_a_key() -> None:
    around = Surroundings("forward", Paths(), table(b"1", b"2"))
    around.name_elements("banned")
    evidence = Evidence()
    kept = evidence.keep(Reliance(lookups=around.reliance.elements))
    assert kept == ((INET, "banned", None),)
    assert evidence.changed({INET: table(b"1", b"2")}) == frozenset()
    assert evidence.changed({INET: table(b"1")}) == {(INET, "banned", None)}
    assert table(b"1").first_elements("unread").elements == ()
