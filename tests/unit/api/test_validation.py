"""Errors for values of the wrong type."""

import pytest

from tests.unit.api.checks import network_errors, only


@pytest.mark.parametrize(
    ("spec", "message", "remedy"),
    [
        ({"suspend": "yes"}, "must be true or false, not 'yes'", "write true"),
        ({"suspend": "false"}, "must be true or false, not 'false'", "write false without quotes"),
        ({"suspend": 1}, "must be true or false, not 1", "write true"),
        ({"suspend": "maybe"}, "must be true or false, not 'maybe'", "write true or false"),
        (
            {"bridge": {"mtu": "1500"}},
            "must be a number, not the string '1500'",
            "write a number such as 1500 without quotes",
        ),
        ({"bridge": {"mtu": 1500.5}}, "must be a whole number, not 1500.5", "write digits only"),
        ({"bridge": {"mtu": True}}, "must be a whole number, not true", "write digits only"),
        ({"bridge": {"mtu": 576}}, "576 is too small", "write 1280 or more"),
        ({"bridge": {"mtu": 70000}}, "70000 is too large", "write 65535 or less"),
        ({"networkName": 22}, "must be a string, not 22", 'write "22" in quotes'),
        ({"networkName": []}, "must be a string, not a list", "write text"),
        ({"labels": {"a": True}}, "must be a string, not true", 'write "true" in quotes'),
        ({"labels": {"a": None}}, "must be a string, not null", "write text"),
        ({"labels": {1: "a"}}, "must be a string, not 1", 'write "1" in quotes'),
        ({"labels": ["a"]}, "must be a mapping, not a list", "write indented key: value lines below it"),
        ({"egress": "Masquerade"}, "must be a mapping, not 'Masquerade'", "write indented key: value lines below it"),
        ({"egress": {"interfaces": "eth0"}}, "must be a list, not 'eth0'", 'write its items below it, each after "- "'),
        ({"egress": {"mode": "masquerade"}}, None, "did you mean Masquerade?"),
        ({"egress": {"mode": "NAT"}}, None, "did you mean SNAT?"),
        ({"egress": {"mode": False}}, None, None),
        ({"driver": "overlay"}, "'overlay' is not one of bridge, macvlan, ipvlan", "use bridge, macvlan or ipvlan"),
        ({"addressing": {"subnet": 7}}, "must be an IPv6 prefix in a string, not 7", "put it in quotes"),
        ({"addressing": {"prefixLength": 0}}, "0 is too small", "write 32 or more"),
        ({"addressing": {"prefixLength": 127}}, "127 is too large", "write 126 or less"),
    ],
)
def test_the_remedy_for_a_wrong_type_says_what_to_write(spec: object, message: str | None, remedy: str | None) -> None:
    error = only(network_errors(spec))
    assert message in {None, error.message}
    assert remedy in {None, error.remedy}


def test_the_remedy_for_a_missing_field_describes_it() -> None:
    error = only(network_errors({"egress": {"mode": "PrefixTranslation", "prefixFrom": {}}}))
    assert error.path == ("spec", "egress", "prefixFrom", "interface")
    assert error.remedy.startswith("write interface: the interface whose")
