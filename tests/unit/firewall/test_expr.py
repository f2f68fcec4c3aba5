import pytest

from dockerv6.firewall.expr import Element, Field, In, Is, Rule, UnknownExpr, Verdict, overlapping


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("fd00::/64",), ("fd00::/64",)),
        (("fd00::/48",), ("fd00:0:0:5::/64",)),
        (("fd00::/64", "fc00::/7"), ("fd00::/64", "fd12::/16")),
        (("fd00::/64", "eth0"), ("fd00::/80", "eth0")),
        (("2001:db8::1-2001:db8::9",), ("2001:db8::8/125",)),
        (("eth0:1",), ("eth0:1",)),
    ],
)
def test_keys_that_one_packet_can_match_both_overlap(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    apart = tuple("fe80::/64" if ":" in part else "lo" for part in one)
    assert set(overlapping([one, apart, other]) or ()) == {one, other}
    assert set(overlapping([other, apart, one]) or ()) == {one, other}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("fd00::/64",), ("fd00:0:0:1::/64",)),
        (("fd00::/64", "eth0"), ("fd00::/64", "eth1")),
        (("fd00::/64", "fc00::/7"), ("fd00::/64", "2001:db8::/32")),
        (("eth0",), ("eth01",)),
        (("2001:db8::1-2001:db8::7",), ("2001:db8::8/125",)),
        (("fd00::/64", "fc00::/7"), ("fd00:0:0:1::/64", "fd12::/16")),
    ],
)
def test_keys_that_differ_in_a_part_do_not(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert overlapping([one, other]) is None
    assert overlapping([other, one]) is None


def test_a_long_element_is_still_compared_when_a_short_one_came_between() -> None:
    assert overlapping([("fd00::/16",), ("fd00:1::/32",), ("fd00:2::/32",)]) is not None


def test_a_rule_as_text_is_like_nftables() -> None:
    rule = Rule((In((Field.SADDR, Field.OIF), "via"), Is(Field.CT_STATE, frozenset({"new"})), Verdict.ACCEPT), "why")
    assert str(rule) == 'ip6 saddr . oifname @via ct state new accept comment "why"'
    assert (
        str(Rule((Is(Field.OIF_KIND, frozenset({"bridge"}), negate=True), UnknownExpr("?"))))
        == "meta oifkind != bridge ?"
    )


def test_elements_sort_by_key() -> None:
    assert min(Element(("b",), "a"), Element(("a",), "z")).key == ("a",)
