"""The records of recreations in flight."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.controller.recreations import RECREATIONS, InFlightRecreations
from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.planning.docker.recreation import PreviousNetwork
from dockerv6.store.memory import MemoryStore

SUBNET = IPv6Network("2001:db8:a00:7::/64")
PLAIN = PreviousNetwork(NetworkSpec("blog", ipam=(SubnetConfig(SUBNET),)), SUBNET, "isp")
RICH = PreviousNetwork(
    NetworkSpec(
        "blog",
        driver="macvlan",
        internal=True,
        attachable=True,
        enable_ipv4=False,
        enable_ipv6=True,
        ipam=(
            SubnetConfig(
                IPv4Network("192.0.2.0/25"),
                IPv4Address("192.0.2.1"),
                IPv4Network("192.0.2.64/26"),
                {"router": "192.0.2.2"},
            ),
            SubnetConfig(SUBNET, SUBNET[1], IPv6Network("2001:db8:a00:7::/65"), {"a": str(IPv6Address(SUBNET[9]))}),
        ),
        options={"parent": "eth0", "empty": ""},
        labels={"dockerv6.io/name": "blog", "team": "a"},
    ),
    SUBNET,
    "",
)


@pytest.mark.parametrize("previous", [PLAIN, RICH], ids=["plain", "rich"])
async def test_what_is_written_is_read_back_by_the_next_process(previous: PreviousNetwork) -> None:
    store = MemoryStore()
    await InFlightRecreations(store).remember("blog", previous)
    again = InFlightRecreations(store)
    await again.load()
    assert await again.previous("blog") == previous


async def test_nothing_is_known_of_those_that_never_went() -> None:
    recreations = InFlightRecreations(MemoryStore())
    assert await recreations.previous("blog") is None
    assert await recreations.complete("blog") is None
    assert recreations.others("isp", "blog") == ()
    assert recreations.refused("blog") == ("", "")


async def test_how_it_was_first_is_what_it_goes_back_to() -> None:
    recreations = InFlightRecreations(MemoryStore())
    await recreations.remember("blog", PLAIN)
    later = IPv6Network("2001:db8:b00:7::/64")
    await recreations.remember("blog", PreviousNetwork(NetworkSpec("blog", ipam=(SubnetConfig(later),)), later, "isp"))
    assert await recreations.previous("blog") == PLAIN


DAMAGES: dict[str, dict[str, object]] = {
    "empty": {},
    "subnet": {"subnet": "nowhere"},
    "ipam": {"ipam": [{"subnet": "nowhere"}]},
    "gateway": {"ipam": [{"subnet": str(SUBNET), "gateway": "x"}]},
    "no subnet in the ipam": {"ipam": [{}]},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
async def test_a_damaged_record_is_none(damage: dict[str, object]) -> None:
    store = MemoryStore()
    await InFlightRecreations(store).remember("blog", PLAIN)
    whole = await store.record(RECREATIONS, "blog") or {}
    await store.put_record(RECREATIONS, "blog", {**whole, **damage} if damage else {})
    recreations = InFlightRecreations(store)
    await recreations.load()
    assert await recreations.previous("blog") is None
    assert await recreations.complete("blog") is not None
    assert await store.records(RECREATIONS) == {}


async def test_others_are_those_of_the_same_pool() -> None:
    recreations = InFlightRecreations(MemoryStore())
    for name, pool in (("c", "isp"), ("a", "isp"), ("b", "lan"), ("blog", "isp")):
        recreations.claim(name, pool)
    assert recreations.others("isp", "blog") == ("a", "c")
    assert recreations.others("lan", "blog") == ("b",)
    assert await recreations.complete("a") == "isp"
    assert recreations.others("isp", "blog") == ("c",)


async def test_a_recreation_in_flight_survives_a_crash() -> None:
    store = MemoryStore()
    before = InFlightRecreations(store)
    await before.remember("blog", PLAIN)
    before.claim("shop", "isp")  # whose first step was never taken
    recreations = InFlightRecreations(store)
    await recreations.load()
    assert recreations.others("isp", "mail") == ("blog",)


async def test_a_completed_recreation_is_forgotten_durably() -> None:
    store = MemoryStore()
    recreations = InFlightRecreations(store)
    await recreations.remember("blog", PLAIN)
    assert await recreations.complete("blog") == "isp"
    assert await recreations.complete("blog") is None
    assert await recreations.previous("blog") is None
    assert await store.records(RECREATIONS) == {}


async def test_a_refusal_counts_until_the_resource_goes() -> None:
    recreations = InFlightRecreations(MemoryStore())
    recreations.refuse("blog", "1234", "the engine refused")
    assert recreations.refused("blog") == ("1234", "the engine refused")
    assert recreations.refused("shop") == ("", "")
    recreations.forget("blog")
    assert recreations.refused("blog") == ("", "")
