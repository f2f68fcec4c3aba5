from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from dockerv6.dockerd.model import SubnetConfig
from tests.fakes.dockerd.addresses import free_address, ipv4_pool, ipv6_pool, overlaps


def test_overlap_is_a_matter_of_one_family() -> None:
    taken = [ip_network("2001:db8::/64"), ip_network("10.0.0.0/8")]
    assert overlaps(ip_network("2001:db8::/80"), taken)
    assert overlaps(ip_network("0.0.0.0/0"), taken)
    assert not overlaps(ip_network("2001:db8:1::/64"), taken)


def test_there_are_31_default_pools_in_the_engines_order() -> None:
    taken: list[IPv4Network | IPv6Network] = []
    while (pool := ipv4_pool(taken)) is not None:
        assert pool.gateway == pool.subnet[1]
        taken.append(pool.subnet)
    assert len(taken) == 31
    assert [str(taken[index]) for index in (0, 14, 15, 30)] == [
        "172.17.0.0/16", "172.31.0.0/16", "192.168.0.0/20", "192.168.240.0/20",
    ]  # fmt: skip


def test_ula_pools_are_distinct_and_repeatable() -> None:
    one, two = ipv6_pool("one"), ipv6_pool("two")
    assert one.subnet != two.subnet
    assert one == ipv6_pool("one")
    assert one.subnet.subnet_of(IPv6Network("fd00::/8"))  # type: ignore[arg-type]
    assert one.gateway == one.subnet[1]


@pytest.mark.parametrize(
    ("config", "used", "free"),
    [
        (SubnetConfig(IPv6Network("2001:db8::/64")), [], "2001:db8::2"),  # the first is the gateway's, unasked
        (SubnetConfig(IPv6Network("2001:db8::/64"), gateway=IPv6Address("2001:db8::9")), [], "2001:db8::1"),
        (
            SubnetConfig(IPv6Network("2001:db8::/64"), aux_addresses={"r": "2001:db8::2"}),
            ["2001:db8::3"],
            "2001:db8::4",
        ),
        (SubnetConfig(IPv4Network("192.0.2.0/28"), ip_range=IPv4Network("192.0.2.8/29")), [], "192.0.2.9"),
        (SubnetConfig(IPv4Network("192.0.2.0/30"), gateway=IPv4Address("192.0.2.1")), ["192.0.2.2"], None),
    ],
)
def test_gives_the_lowest_free_address(config: SubnetConfig, used: list[str], free: str | None) -> None:
    assert free_address(config, [ip_address(text) for text in used]) == (None if free is None else ip_address(free))
