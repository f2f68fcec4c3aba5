from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import fields

NO_OBJECTS: list[object] = [None, [], "text", 7]


@pytest.mark.parametrize("value", [*NO_OBJECTS, {}, {"k": None}])
def test_what_is_not_there_reads_as_empty(value: object) -> None:
    assert fields.member(value, "k") is None
    assert fields.text(value, "k") == ""
    assert fields.number(value, "k") == 0
    assert fields.truth(value, "k", default=True)
    assert fields.mapping(fields.member(value, "k")) == {}
    assert fields.texts(fields.member(value, "k")) == {}
    assert fields.items(fields.member(value, "k")) == []


def test_what_is_of_another_type_reads_as_empty() -> None:
    value = {"k": {"a": 1}}
    assert fields.text(value, "k") == ""
    assert fields.number(value, "k") == 0
    assert not fields.truth(value, "k")
    assert fields.items(value["k"]) == []
    assert fields.mapping([]) == {}


def test_what_is_there_is_given() -> None:
    value = {"text": "t", "number": 7, "truth": True, "items": [1], "texts": {"a": 1, "b": "c"}}
    assert fields.text(value, "text") == "t"
    assert fields.number(value, "number") == 7
    assert fields.truth(value, "truth")
    assert fields.items(value["items"]) == [1]
    assert fields.texts(value["texts"]) == {"a": "1", "b": "c"}


def test_addresses_and_subnets_are_parsed_leniently() -> None:
    assert fields.address("2001:db8::1/64") == IPv6Address("2001:db8::1")
    assert fields.ipv4("192.0.2.1") == IPv4Address("192.0.2.1")
    assert fields.ipv6("192.0.2.1") is None
    assert fields.ipv4("2001:db8::1") is None
    assert fields.ipv6("bogus") is None
    assert fields.network("2001:db8::5/64") == IPv6Network("2001:db8::/64")
    assert fields.network("192.0.2.0/24") == IPv4Network("192.0.2.0/24")
    assert fields.network("bogus") is None
