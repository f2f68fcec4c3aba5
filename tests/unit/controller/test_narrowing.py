"""A refused transaction is narrowed down to the owners that cause it, with few dry runs."""

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.controller.narrowing import refused_rules, without
from dockerv6.firewall.diff import diff
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.port import FirewallBusy, FirewallRejected
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, RulesetChange
from dockerv6.lib.networking import InterfaceName
from tests.unit.firewall.intents import intent

COUNT = 64


def network(number: int) -> NetworkIntent:
    return NetworkIntent(f"n{number:02}", IPv6Network(f"fd00:0:0:{number:x}::/64"), InterfaceName(f"br-{number}"))


CHANGE = diff(render(intent(*map(network, range(COUNT)))), EMPTY)


class Kernel:
    """Refuses changes with elements of some owners, and counts."""

    def __init__(self, *guilty: str) -> None:
        self.guilty = guilty
        self.runs = 0

    async def check(self, change: RulesetChange) -> None:
        self.runs += 1
        found = sorted(change.target.owners & set(self.guilty))
        if found:
            raise FirewallRejected(f"no {found[0]}")


@given(st.sets(st.integers(0, COUNT - 1), max_size=6))
async def test_exactly_the_guilty_owners_are_found_in_few_runs(numbers: set[int]) -> None:
    guilty = {f"n{number:02}" for number in numbers}
    kernel = Kernel(*guilty)
    found = await refused_rules(CHANGE, kernel.check)
    assert found.keys() == guilty
    for owner, refused in found.items():
        assert refused.message == f"no {owner}"
        assert refused.part == CHANGE.target.part_of(owner)
    assert kernel.runs <= 2 + len(guilty) * 7  # 7: the binary logarithm of 64, and the run that ends a search
    await kernel.check(without(CHANGE, found))


async def test_what_all_owners_share_is_nobodys_fault() -> None:
    async def refuse(change: RulesetChange) -> None:
        raise FirewallRejected(f"{len(change.operations)} operations")

    assert await refused_rules(CHANGE, refuse) == {}


async def test_a_lock_that_others_hold_is_no_refusal() -> None:
    async def wait(change: RulesetChange) -> None:
        del change
        raise FirewallBusy("another process")

    with pytest.raises(FirewallBusy):
        await refused_rules(CHANGE, wait)


def test_an_owner_that_is_left_out_keeps_what_it_has() -> None:
    base = render(intent(network(1), network(2)))
    moved = NetworkIntent("n01", IPv6Network("fd00:9::/64"), InterfaceName("br-1"))
    change = without(diff(render(intent(moved, network(3))), base), ["n01"])
    assert change.target.part_of("n01") == base.part_of("n01")
    assert change.target.owners == {"n01", "n03"}
