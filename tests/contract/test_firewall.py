"""The contract of `FirewallBackend`, for the fake and for the real backends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.controller.narrowing import refused_rules, without
from dockerv6.firewall.diff import diff
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.port import FirewallRejected, RulesetMoved
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import EgressMode, InterfaceName
from tests.contract.firewalls import opened
from tests.golden.scenarios import SCENARIOS
from tests.unit.firewall.intents import BLOG, DNS, FIXED, GUARDED, HOME, ROAD, SHOP, WEB, intent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dockerv6.firewall.port import FirewallBackend
    from tests.contract.firewalls import Bench

LONG = InterfaceName("br-longer-than-any-links-name-can-be")
"""`interface_name` doesn't make such a one; this is how a backend is made to refuse something."""

BACKENDS = [
    "fake",
    pytest.param("nftables", marks=pytest.mark.host),
    pytest.param("iptables", marks=pytest.mark.host),
]


@pytest.fixture(params=BACKENDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async for made in opened(request.param):
        yield made


@pytest.fixture
def firewall(bench: Bench) -> FirewallBackend:
    return bench.firewall


def wanted(firewall: FirewallBackend, asked: FirewallIntent) -> Ruleset:
    """The ruleset for an intent. It names the bridges if rules can't match on a link's kind."""
    if asked.guest_bridges is None and not firewall.matches_link_kinds:
        asked = replace(asked, guest_bridges=tuple(sorted({network.bridge for network in asked.networks})))
    return render(asked)


@pytest.fixture
def one(firewall: FirewallBackend) -> Ruleset:
    return wanted(firewall, intent(BLOG, ports=(WEB,)))


@pytest.fixture
def both(firewall: FirewallBackend) -> Ruleset:
    asked = FirewallIntent((BLOG, SHOP), uplink_bridges=("br0",), ports=(WEB, DNS, GUARDED))
    return wanted(firewall, asked)


async def test_the_table_is_empty_at_first(firewall: FirewallBackend) -> None:
    assert firewall.backend
    assert await firewall.observe() == EMPTY


@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_was_applied_is_read_back(firewall: FirewallBackend, name: str) -> None:
    desired = wanted(firewall, SCENARIOS[name])
    assert await firewall.apply(diff(desired, EMPTY)) == desired
    assert await firewall.observe() == desired
    assert diff(desired, await firewall.observe()).empty


async def test_a_commit_raises_the_generation_by_one(firewall: FirewallBackend, one: Ruleset) -> None:
    await firewall.observe()
    before = firewall.generation
    await firewall.apply(diff(one, EMPTY))
    if before is None:
        assert firewall.generation is None
    else:
        assert firewall.generation == before + 1


async def test_an_empty_change_changes_nothing(firewall: FirewallBackend, one: Ruleset) -> None:
    await firewall.apply(diff(one, EMPTY))
    assert await firewall.apply(diff(one, one)) == one


async def test_networks_are_added_and_removed(firewall: FirewallBackend, one: Ruleset, both: Ruleset) -> None:
    for desired in (one, both, one, EMPTY, both):
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_ports_are_added_removed_and_moved(firewall: FirewallBackend) -> None:
    moved = replace(WEB, target=BLOG.subnet[9], target_port=443)
    for ports in ((WEB,), (WEB, DNS), (moved, DNS), (moved,), (replace(moved, owner="policy/all"),), ()):
        desired = wanted(firewall, intent(BLOG, ports=ports))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_allow_lists_are_added_removed_and_widened(firewall: FirewallBackend) -> None:
    for sources in ("2001:db8::/32", "2001:db8:7::/48", "2001:db8:7::9/128", "::/0", None):
        guarded = replace(WEB, sources=(IPv6Network(sources),) if sources else ())
        desired = wanted(firewall, intent(BLOG, ports=(guarded,)))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_destinations_are_narrowed_and_widened(firewall: FirewallBackend) -> None:
    for exclude in ("fc00::/7", "fd00::/8", "fd12::/16", "fc00::/7", "::/0"):
        desired = wanted(firewall, intent(replace(BLOG, egress_exclude=(IPv6Network(exclude),))))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_a_subnet_changes_its_size_and_owner(firewall: FirewallBackend) -> None:
    for subnet, owner in (("fd00::/64", "a"), ("fd00::/48", "a"), ("fd00::/80", "b"), ("fd00::5/128", "b")):
        desired = wanted(firewall, intent(replace(BLOG, owner=owner, subnet=IPv6Network(subnet))))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


async def test_kept_elements_stay(firewall: FirewallBackend, both: Ruleset) -> None:
    await firewall.apply(diff(both, EMPTY))
    keep = frozenset({"shop"})
    kept = wanted(firewall, replace(intent(keep=keep), guest_bridges=() if not firewall.matches_link_kinds else None))
    after = await firewall.apply(diff(kept, await firewall.observe(), keep))
    assert after.owners == keep
    assert diff(kept, await firewall.observe(), keep).empty


async def test_kept_ports_stay_while_others_change(firewall: FirewallBackend, one: Ruleset) -> None:
    await firewall.apply(diff(one, EMPTY))
    keep = frozenset({"blog"})
    other = replace(WEB, owner="shop", port=8081, target=SHOP.subnet[2])
    desired = wanted(firewall, replace(intent(SHOP, ports=(other,), keep=keep), guest_bridges=("br-blog", "br-shop")))
    change = diff(desired, await firewall.observe(), keep)
    assert change.blocked == ()
    after = await firewall.apply(change)
    assert after == change.target
    kept = {(each.name, e) for each in one.sets for e in each.elements if e.owner == "blog"}
    assert kept <= {(each.name, e) for each in after.sets for e in each.elements}


async def test_networks_change_their_egress_mode(firewall: FirewallBackend) -> None:
    modes = (HOME, replace(HOME, egress=EgressMode.ROUTED), replace(FIXED, subnet=HOME.subnet))
    for network in (*modes, replace(FIXED, snat_address=IPv6Address("2001:db8::8")), BLOG, *reversed(modes), HOME):
        desired = wanted(firewall, intent(network, ROAD))
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired


@pytest.mark.parametrize("length", [48, 60, 77, 96, 128])
async def test_prefixes_of_any_length_are_translated(firewall: FirewallBackend, length: int) -> None:
    subnet, external = (IPv6Network(f"{each}::/{length}") for each in ("fd00:9", "2001:db8:9"))
    desired = wanted(firewall, intent(replace(HOME, subnet=subnet, external_prefixes=(external,), ingress=())))
    assert await firewall.apply(diff(desired, EMPTY)) == desired


async def test_a_change_of_external_prefixes_has_one_owner(firewall: FirewallBackend) -> None:
    prefixes = tuple(IPv6Network(f"2001:db8:{number}::/64") for number in range(4))
    await firewall.apply(diff(wanted(firewall, intent(HOME, BLOG)), EMPTY))
    for external in (prefixes[:1], prefixes[1::-1], prefixes[2:0:-1], prefixes[3:], prefixes[:1]):
        desired = wanted(firewall, intent(replace(HOME, external_prefixes=external), BLOG))
        change = diff(desired, await firewall.observe())
        assert change.owners == {"home"}
        assert await firewall.apply(change) == desired


async def test_kept_rules_stay_beside_those_that_change(firewall: FirewallBackend) -> None:
    away = replace(HOME, owner="away", subnet=IPv6Network("fd00:9::/64"), bridge=InterfaceName("br-away"), ingress=())
    first, second = (replace(away, external_prefixes=(IPv6Network(f"2001:db8:{number}::/64"),)) for number in (1, 2))
    guests = ("br-away", "br-home")
    await firewall.apply(diff(render(replace(intent(HOME, first), guest_bridges=guests)), EMPTY))
    keep = frozenset({"home"})
    asked = replace(intent(second, keep=keep), guest_bridges=guests)
    change = diff(wanted(firewall, asked), await firewall.observe(), keep)
    assert change.owners == {"away"}
    assert await firewall.apply(change) == change.target
    assert await firewall.apply(diff(wanted(firewall, asked), await firewall.observe(), keep)) == change.target
    kept = render(replace(intent(keep=keep), guest_bridges=guests))
    assert await firewall.apply(diff(kept, change.target, keep)) == diff(kept, change.target, keep).target
    assert (await firewall.observe()).owners == keep


async def test_lost_rules_of_a_resource_are_noticed_and_repaired(bench: Bench) -> None:
    desired = wanted(bench.firewall, intent(HOME))
    await bench.firewall.apply(diff(desired, EMPTY))
    bench.flush_prefixes()
    change = diff(desired, await bench.firewall.observe())
    assert not change.empty
    assert await bench.firewall.apply(change) == desired


async def test_a_dry_run_changes_nothing(firewall: FirewallBackend, both: Ruleset) -> None:
    change = diff(both, EMPTY)
    await firewall.check(change)
    await firewall.check(change)
    assert await firewall.observe() == EMPTY
    assert await firewall.apply(change) == both


async def test_a_refused_change_changes_nothing(firewall: FirewallBackend, one: Ruleset) -> None:
    await firewall.apply(diff(one, EMPTY))
    impossible = replace(SHOP, bridge=LONG)
    change = diff(wanted(firewall, intent(impossible, replace(BLOG, egress_exclude=(SHOP.subnet,)))), one)
    assert len(change.operations) > 1
    with pytest.raises(FirewallRejected):
        await firewall.check(change)
    with pytest.raises(FirewallRejected):
        await firewall.apply(change)
    assert await firewall.observe() == one


async def test_a_change_is_refused_once_the_table_has_moved(
    firewall: FirewallBackend, one: Ruleset, both: Ruleset
) -> None:
    stale = diff(both, EMPTY)
    await firewall.apply(diff(one, EMPTY))
    for change in (stale, diff(one, both), diff(EMPTY, EMPTY), diff(both, both)):
        with pytest.raises(RulesetMoved):
            await firewall.apply(change)
        assert await firewall.observe() == one
    assert await firewall.apply(diff(both, await firewall.observe())) == both


@pytest.mark.parametrize("damage", ["flush_everything", "flush_forward", "insert_foreign_rule", "damage_a_port"])
async def test_a_change_is_refused_after_damage(bench: Bench, one: Ruleset, both: Ruleset, damage: str) -> None:
    await bench.firewall.apply(diff(one, EMPTY))
    getattr(bench, damage)()
    with pytest.raises(RulesetMoved):
        await bench.firewall.apply(diff(both, one))
    assert await bench.firewall.apply(diff(both, await bench.firewall.observe())) == both


@pytest.mark.parametrize("damage", ["flush_everything", "flush_forward", "insert_foreign_rule", "damage_a_port"])
async def test_damage_is_noticed_and_repaired(bench: Bench, one: Ruleset, damage: str) -> None:
    await bench.firewall.apply(diff(one, EMPTY))
    getattr(bench, damage)()
    change = diff(one, await bench.firewall.observe())
    assert not change.empty
    assert await bench.firewall.apply(change) == one


async def test_the_revision_changes_with_unannounced_changes(bench: Bench, one: Ruleset) -> None:
    await bench.firewall.apply(diff(one, EMPTY))
    await bench.firewall.observe()
    before = await bench.firewall.poll_revision()
    assert await bench.firewall.poll_revision() == before
    bench.flush_forward()
    if before is not None:
        assert await bench.firewall.poll_revision() != before


async def test_a_sweep_removes_everything_and_may_be_repeated(firewall: FirewallBackend, both: Ruleset) -> None:
    await firewall.apply(diff(both, EMPTY))
    await firewall.sweep()
    await firewall.sweep()
    assert await firewall.observe() == EMPTY


async def test_a_refusal_is_narrowed_down_to_its_owner(firewall: FirewallBackend, one: Ruleset) -> None:
    await firewall.apply(diff(one, EMPTY))
    long = [replace(SHOP, owner=f"bad{n}", subnet=IPv6Network(f"fd99:{n}::/64"), bridge=LONG) for n in (1, 2)]
    good = [replace(SHOP, owner=f"good{n}", subnet=IPv6Network(f"fd98:{n}::/64")) for n in range(5)]
    guests = None if firewall.matches_link_kinds else ("br-blog", "br-shop")
    change = diff(wanted(firewall, replace(intent(BLOG, *good, *long, ports=(WEB,)), guest_bridges=guests)), one)
    with pytest.raises(FirewallRejected):
        await firewall.apply(change)
    found = await refused_rules(change, firewall.check)
    assert set(found) == {"bad1", "bad2"}
    assert all(refused.message and refused.part for refused in found.values())
    after = await firewall.apply(without(change, found))
    assert after.owners == {"blog", *(network.owner for network in good)}


async def test_a_change_that_is_accepted_has_nothing_to_narrow(firewall: FirewallBackend, both: Ruleset) -> None:
    assert await refused_rules(diff(both, EMPTY), firewall.check) == {}
    assert await firewall.observe() == EMPTY
