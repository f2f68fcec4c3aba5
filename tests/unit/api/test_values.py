"""Addresses, prefixes, interfaces and durations from text."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dockerv6.api.errors import FieldError
from dockerv6.api.values import (
    Address4,
    Address6,
    AddressOrPrefix6,
    Duration,
    InterfaceField,
    Prefix4,
    Prefix6,
    Subnet6,
    Unicast6,
    quote,
)
from dockerv6.lib.timeformat import format_duration, parse_duration


def parse(kind: Any) -> Callable[[object], object]:
    return TypeAdapter(kind).validate_python


def refused(kind: Any, value: object) -> FieldError:
    with pytest.raises(ValidationError) as caught:
        parse(kind)(value)
    finding: FieldError = caught.value.errors()[0]["ctx"]["errors"][0]
    return finding


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Prefix6, "FC00::/7", IPv6Network("fc00::/7")),
        (Prefix6, "2001:db8::1/128", IPv6Network("2001:db8::1/128")),
        (Prefix6, "::/0", IPv6Network("::/0")),
        (Subnet6, "fd00:0:0:1::/64", IPv6Network("fd00:0:0:1::/64")),
        (Address6, "::", IPv6Address("::")),
        (Unicast6, "2001:db8::1", IPv6Address("2001:db8::1")),
        (AddressOrPrefix6, "2001:db8::1", IPv6Network("2001:db8::1/128")),
        (AddressOrPrefix6, "2001:db8::/32", IPv6Network("2001:db8::/32")),
        (Prefix4, "192.0.2.0/24", IPv4Network("192.0.2.0/24")),
        (Address4, "192.0.2.1", IPv4Address("192.0.2.1")),
        (InterfaceField, "br-0123456789ab", "br-0123456789ab"),
        (InterfaceField, "eth0.100", "eth0.100"),
    ],
)
def test_text_is_parsed_and_a_parsed_value_is_kept(kind: Any, text: str, value: object) -> None:
    assert parse(kind)(text) == value
    assert parse(kind)(value) == value


def test_an_address_is_read_as_its_full_length_prefix() -> None:
    assert parse(AddressOrPrefix6)(IPv6Address("2001:db8::1")) == IPv6Network("2001:db8::1/128")


@pytest.mark.parametrize(
    ("kind", "value", "message", "remedy"),
    [
        (Prefix6, "fd00::1/64", "host bits", "did you mean fd00::/64?"),
        (Prefix6, "fd00::1", "no prefix length", "did you mean fd00::/64?"),
        (Prefix6, "fd00::/129", "prefix length", ""),
        (Prefix6, "fd00:1:2:3::9", "no prefix length", "did you mean fd00:1:2:3::/64?"),
        (Prefix6, "10.0.0.0/8", "is an IPv4 prefix", "write an IPv6 prefix such as fd00:1:2:3::/64"),
        (Prefix6, "10.0.0.1", "is an IPv4 prefix", ""),
        (Prefix6, "fd00::/", "no valid prefix length", "write a length from 0 to 128"),
        (Prefix6, "fd00::/-1", "no valid prefix length", ""),
        (Prefix6, "fd00::/64/64", "no valid prefix length", ""),
        (Prefix6, "fd00::/ffff::", "no valid prefix length", ""),
        (Prefix6, "fd00:::/64", "is not an IPv6 prefix", ""),
        (Prefix6, " fd00::/64", "is not an IPv6 prefix", ""),
        (Prefix6, "", "is not an IPv6 prefix", ""),
        (Prefix6, "fe80::%eth0/64", "zone", ""),
        (Prefix6, "nonsense", "not an IPv6 prefix", ""),
        (Prefix6, None, "not null", "put it in quotes"),
        (Subnet6, "ff05::/64", "multicast", ""),
        (Subnet6, "fe80::/64", "link-local", ""),
        (Subnet6, "::1/128", "loopback", ""),
        (Subnet6, "::/0", "unspecified", ""),
        (Subnet6, "::ffff:0:0/112", "IPv4-mapped", ""),
        (Address6, "fd00::1/64", "is a prefix", "did you mean fd00::1?"),
        (Address6, "192.0.2.1", "IPv4", ""),
        (Address6, "[::1]", "brackets", "did you mean ::1?"),
        (Address6, "fe80::1%eth0", "zone", "write fe80::1"),
        (Address6, "x", "not an IPv6 address", ""),
        (Unicast6, "fe80::1", "link-local", ""),
        (AddressOrPrefix6, "x", "not an IPv6 address", ""),
        (AddressOrPrefix6, 7, "not 7", "put it in quotes"),
        (Prefix4, "192.0.2.1/24", "host bits", "did you mean 192.0.2.0/24?"),
        (Prefix4, "fd00::/64", "IPv6", ""),
        (Prefix4, "192.0.2.0", "no prefix length", ""),
        (Prefix4, "192.0.2.0/33", "not an IPv4 prefix", ""),
        (Address4, "fd00::1", "not an IPv4 address", ""),
        (InterfaceField, "", "interface", ""),
        (InterfaceField, "a b", "interface", ""),
        (InterfaceField, "eth0:1", "interface", ""),
        (InterfaceField, "a-very-long-name", "16 bytes", "shorten it, for example to a-very-long-nam"),
        (Duration, 90, "no unit", "write 90s, or another unit: d, h, m, s, ms"),
        (Duration, "1 h", "not a duration", ""),
        (Duration, "-1s", "not a duration", ""),
        (Duration, True, "not true", "put it in quotes"),
    ],
)
def test_an_invalid_value_has_a_remedy(kind: Any, value: object, message: str, remedy: str) -> None:
    finding = refused(kind, value)
    assert message in finding.message
    assert finding.remedy
    assert remedy in {"", finding.remedy}


@pytest.mark.parametrize(
    "name", ["*", "eth*", "@x", "$x", '"', "\\", "!a", "a+", "a/b", "%d", "\n", "a\n", "\x7f", "é", "a" * 300 + "*"]
)
def test_an_interface_name_has_letters_digits_and_three_other_characters(name: str) -> None:
    finding = refused(InterfaceField, name)
    assert "use letters, digits, '_', '.' and '-'" in finding.message
    assert len(finding.message) < 200
    assert "eth0" in finding.remedy


@pytest.mark.parametrize("name", [".", "..", "all", "default"])
def test_names_that_the_kernel_uses_itself_are_no_interface(name: str) -> None:
    assert "reserved by the kernel" in refused(InterfaceField, name).message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("500ms", 0.5), ("1.5m", 90), ("0", 0), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse(Duration)(text) == seconds


def test_zero_needs_no_unit() -> None:
    assert parse(Duration)(0) == 0


@given(st.integers(0, 10**12))
def test_a_formatted_duration_parses_to_the_same_value(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


def test_long_values_are_cut() -> None:
    assert len(quote("x" * 500)) < 70
    assert quote({"a": 1}) == "a mapping"
