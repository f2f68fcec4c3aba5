"""Subnets, gateways, reservations, IPv4 and the bridge."""

from ipaddress import IPv6Address

import pytest

from tests.unit.api.checks import Spec, fields, network, network_errors, only


def test_the_default_is_the_pool_default() -> None:
    assert network().spec.addressing.pool == "default"
    assert network({"addressing": {"poolRef": {}}}).spec.addressing.pool == "default"
    assert network({"addressing": {"poolRef": {"name": "lan"}, "prefixLength": 80}}).spec.addressing.pool == "lan"
    assert network({"addressing": {"subnet": "fd00:1::/64"}}).spec.addressing.pool is None


@pytest.mark.parametrize(
    ("addressing", "where", "message"),
    [
        ({"subnet": "fd00:1::/64", "poolRef": {"name": "lan"}}, "poolRef", "has no effect with a fixed subnet"),
        ({"subnet": "fd00:1::/64", "prefixLength": 64}, "prefixLength", "already has length 64"),
        ({"subnet": "fd00:1::/127"}, "subnet", "no room"),
        ({"subnet": "fc00::/7"}, "subnet", "too large for one network"),
        ({"subnet": "2001:db8::/31"}, "subnet", "too large for one network"),
        ({"prefixLength": 31}, "prefixLength", "31 is too small"),
        ({"subnet": "fd00:1::/64", "gateway": "fd00:2::1"}, "gateway", "not in the subnet"),
        ({"subnet": "fd00:1::/64", "gateway": "fd00:1::"}, "gateway", "subnet-router anycast"),
        ({"gateway": "fd00:1::1"}, "gateway", "requires a fixed subnet"),
        ({"reserved": ["fd00:1::1"]}, "reserved", "requires a fixed subnet"),
        ({"ipRange": "fd00:1::/80"}, "ipRange", "requires a fixed subnet"),
        ({"subnet": "fd00:1::/64", "ipRange": "fd00:2::/80"}, "ipRange", "not a part of the subnet"),
        ({"subnet": "fd00:1::/64", "ipRange": "fd00:1::8/127"}, "ipRange", "not a part of the subnet"),
        ({"subnet": "fd00:1::/64", "reserved": ["fd00:2::5"]}, "reserved[0]", "not in the subnet"),
        ({"subnet": "fd00:1::/64", "reserved": ["fd00:1::9", "fd00:1::/124"]}, "reserved[1]", "the default gateway"),
        (
            {"subnet": "fd00:1::/64", "gateway": "fd00:1::5", "reserved": ["fd00:1::5"]},
            "reserved[0]",
            "which is the gateway",
        ),
        ({"subnet": "fd00:1::/64", "reserved": ["fd00:1::1000/116"]}, "reserved", "4096 addresses"),
    ],
)
def test_conflicting_fields_are_invalid(addressing: Spec, where: str, message: str) -> None:
    error = only(network_errors({"addressing": addressing}))
    assert fields((error,)) == [f"spec.addressing.{where}"]
    assert message in error.message


def test_reserved_prefixes_are_expanded_to_addresses() -> None:
    block = network(
        {"addressing": {"subnet": "fd00:1::/64", "reserved": ["fd00:1::53", "fd00:1::100/127"]}}
    ).spec.addressing
    assert list(block.reserved_addresses()) == [IPv6Address(f"fd00:1::{host}") for host in ("53", "100", "101")]


@pytest.mark.parametrize(
    ("ipv4", "where"),
    [
        ({"enabled": False, "subnet": "192.0.2.0/24"}, ["subnet"]),
        ({"enabled": False, "subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}, ["subnet", "gateway"]),
        ({"gateway": "192.0.2.1"}, ["gateway"]),
        ({"subnet": "192.0.2.0/24", "gateway": "198.51.100.1"}, ["gateway"]),
        ({"subnet": "192.0.2.0/24", "gateway": "192.0.2.0"}, ["gateway"]),
        ({"subnet": "192.0.2.0/24", "gateway": "192.0.2.255"}, ["gateway"]),
        ({"subnet": "192.0.2.0/31"}, ["subnet"]),
    ],
)
def test_conflicting_ipv4_fields_are_invalid(ipv4: Spec, where: list[str]) -> None:
    assert fields(network_errors({"ipv4": ipv4})) == [f"spec.ipv4.{name}" for name in where]


def test_the_mtu_is_at_least_the_minimum_of_ipv6() -> None:
    assert network({"bridge": {"mtu": 1280}}).spec.bridge.mtu == 1280
    assert fields(network_errors({"bridge": {"mtu": 1279}})) == ["spec.bridge.mtu"]


@pytest.mark.parametrize("name", ["lo", "docker0", "all", "default", "docker_gwbridge", "bonding_masters"])
def test_a_bridge_name_that_is_never_that_of_a_resource(name: str) -> None:
    assert fields(network_errors({"bridge": {"name": name}})) == ["spec.bridge.name"]


def test_a_bridge_name_has_at_most_15_bytes() -> None:
    assert "16 bytes" in only(network_errors({"bridge": {"name": "a-very-long-name"}})).message
