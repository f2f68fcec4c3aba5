"""Each mode of egress needs its own fields and no other's."""

import pytest

from tests.unit.api.checks import Spec, document, errors, fields, network, network_errors

GOOD: list[Spec] = [
    {},
    {"interfaces": ["eth0"], "exclude": ["fd00::/8", "2001:db8::1"]},
    {"mode": "SNAT", "snatAddress": "2001:db8::1"},
    {"mode": "PrefixTranslation", "prefix": "2001:db8:1::/64"},
    {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}},
    {"mode": "Routed", "interfaces": ["eth0"]},
    {"mode": "None"},
]

BAD: list[tuple[Spec, list[str]]] = [
    ({"mode": "SNAT"}, ["snatAddress"]),
    ({"snatAddress": "2001:db8::1"}, ["snatAddress"]),
    ({"mode": "SNAT", "snatAddress": "fe80::1"}, ["snatAddress"]),
    ({"mode": "PrefixTranslation"}, ["prefix"]),
    ({"mode": "PrefixTranslation", "prefix": "2001:db8:1::/64", "prefixFrom": {"interface": "eth0"}}, ["prefix"]),
    ({"prefix": "2001:db8:1::/64"}, ["prefix"]),
    ({"mode": "Routed", "prefixFrom": {"interface": "eth0"}}, ["prefixFrom"]),
    ({"mode": "None", "interfaces": ["eth0"]}, ["interfaces"]),
    ({"mode": "Routed", "exclude": ["fd00::/8"]}, ["exclude"]),
    ({"mode": "None", "exclude": ["fd00::/8"], "interfaces": ["eth0"]}, ["interfaces", "exclude"]),
]


@pytest.mark.parametrize("egress", GOOD, ids=str)
def test_what_belongs_together_is_accepted(egress: Spec) -> None:
    assert network_errors({"egress": egress}) == ()


@pytest.mark.parametrize(("egress", "where"), BAD, ids=str)
@pytest.mark.parametrize("kind", ["IPv6Network", "IPv6Policy"])
def test_what_would_have_no_effect_is_refused(kind: str, egress: Spec, where: list[str]) -> None:
    assert fields(errors(document(kind, {"egress": egress}))) == [f"spec.egress.{name}" for name in where]


def test_a_translation_prefix_holds_as_many_addresses_as_the_subnet() -> None:
    egress = {"mode": "PrefixTranslation", "prefix": "2001:db8:1::/80"}
    assert fields(network_errors({"egress": egress, "addressing": {"subnet": "fd00:1::/64"}})) == ["spec.egress.prefix"]
    assert network_errors({"egress": egress, "addressing": {"subnet": "fd00:1::/80"}}) == ()


def test_the_default_is_masquerade_out_of_any_interface() -> None:
    egress = network().spec.egress
    assert (egress.mode, egress.interfaces, egress.exclude) == ("Masquerade", (), ())
