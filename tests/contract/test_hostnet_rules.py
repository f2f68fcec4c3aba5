"""The contract of the host port, on the fake and on a network namespace: routing policy rules."""

from collections.abc import AsyncIterator
from ipaddress import IPv6Network

import pytest

from dockerv6.hostnet.model import ChangeKind, HostChange, RoutingRule
from tests.contract.hosts import HOSTS, World, new_host, reported, subscribed

DEFAULT = (RoutingRule(0, 255), RoutingRule(32766, 254))
CASES = [
    (RoutingRule(100, 52), ()),
    (RoutingRule(101, 1000), ("to", "fd00::/64")),
    (RoutingRule(102, 51820), ("not", "fwmark", "0xca6c")),
    (RoutingRule(103, 254), ("suppress_prefixlength", "0")),
    (RoutingRule(104, 7), ("from", "2001:db8::/64", "iif", "lo")),
    (RoutingRule(105, 0, rejects="prohibit"), ("to", "fd00::/48")),
    (RoutingRule(106, 0, rejects="blackhole"), ()),
]
"""Rules as they are added, and their other arguments."""

READ = (
    CASES[0][0],
    RoutingRule(101, 1000, IPv6Network("fd00::/64")),
    RoutingRule(102, 51820, None, frozenset({"not", "fwmark"})),
    RoutingRule(103, 254, suppressed=0),
    RoutingRule(104, 7, None, frozenset({"from", "iif"}), source=IPv6Network("2001:db8::/64"), interface="lo"),
    RoutingRule(105, 0, IPv6Network("fd00::/48"), rejects="prohibit"),
    RoutingRule(106, 0, rejects="blackhole"),
)
"""The same as they are read."""


@pytest.fixture(params=HOSTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with new_host(request.param) as made:
        yield made
        await made.net.close()


async def test_a_new_host_has_the_default_rules(world: World) -> None:
    assert await world.net.rules() == DEFAULT


async def test_rules_are_listed_by_priority_with_their_conditions(world: World) -> None:
    for read, (_, arguments) in zip(READ[::-1], CASES[::-1], strict=True):
        world.add_rule(read, *arguments)
    assert await world.net.rules() == (DEFAULT[0], *READ, DEFAULT[1])


async def test_an_added_rule_is_reported_as_a_change_of_routes(world: World) -> None:
    changes = await subscribed(world)
    world.add_rule(CASES[0][0])
    assert await reported(changes, ChangeKind.ROUTE, "") == HostChange(ChangeKind.ROUTE)
