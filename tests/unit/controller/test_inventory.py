from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.controller.inventory import Inventory
from dockerv6.ipam.ledger import LedgerConflict, SubnetTaken
from dockerv6.planning.admission import implied_default_pool, implied_pool_object
from tests.unit.planning.test_admission import stored
from tests.world import Host

A, B = IPv6Network("fd00:a::/64"), IPv6Network("fd00:b::/64")


async def empty() -> tuple[Host, Inventory]:
    host = Host()
    inventory = Inventory(host.store, host.ledger, host.clock)
    await inventory.load()
    return host, inventory


async def test_what_is_written_is_known_and_durable() -> None:
    host, inventory = await empty()
    await inventory.write((stored("a", revision=0),))
    await inventory.bind("a", "default", A, 1.0, None)
    await inventory.keep_pool_prefix("default", IPv6Network("fd00::/48"))
    again = Inventory(host.store, host.ledger, host.clock)
    await again.load()
    for each in (inventory, again):
        assert [o.name for o in each.objects] == ["a"]
        assert set(each.networks()) == {"a"}
        assert each.holdings.bound["a"].prefix == A
        assert each.holdings.pool_prefixes == {"default": IPv6Network("fd00::/48")}


async def test_the_default_pool_is_there_without_being_declared() -> None:
    _, inventory = await empty()
    assert inventory.pools() == {"default": implied_default_pool()}
    await inventory.write((implied_pool_object(1.0),))
    assert set(inventory.pools()) == {"default"}


async def test_every_change_gives_a_new_version_and_equal_status_writes_nothing() -> None:
    _, inventory = await empty()
    versions = [inventory.version]
    await inventory.write((stored("a", revision=0),))
    versions.append(inventory.version)
    await inventory.bind("a", "default", A, 1.0, None)
    versions.append(inventory.version)
    assert versions == sorted(set(versions))
    await inventory.write_status("IPv6Network", "a", {"x": 1})
    await inventory.write_status("IPv6Network", "missing", {"x": 1})
    one = inventory.get("IPv6Network", "a")
    await inventory.write_status("IPv6Network", "a", {"x": 1})
    assert inventory.get("IPv6Network", "a") is one
    assert inventory.version == versions[-1]


async def test_a_new_version_of_a_resource_keeps_its_status() -> None:
    _, inventory = await empty()
    (written,) = await inventory.write((stored("a", revision=0),))
    await inventory.write_status("IPv6Network", "a", {"x": 1})
    await inventory.write((replace(written, line=7),))
    known = inventory.get("IPv6Network", "a")
    assert known is not None
    assert (known.line, known.status) == (7, {"x": 1})


async def test_moving_an_owner_lets_its_old_subnet_cool_down() -> None:
    _, inventory = await empty()
    await inventory.bind("a", "default", A, 1.0, None)
    await inventory.bind("a", "default", B, 2.0, inventory.holdings.bound["a"].revision)
    assert {(a.prefix, str(a.state)) for a in inventory.holdings.allocations} == {(A, "cooling"), (B, "bound")}


async def test_release_and_forget() -> None:
    _, inventory = await empty()
    await inventory.bind("a", "default", A, 1.0, None)
    await inventory.release(inventory.holdings.bound["a"], 2.0)
    (cooling,) = inventory.holdings.allocations
    assert inventory.holdings.bound == {}
    await inventory.forget(cooling)
    assert inventory.holdings.allocations == ()


async def test_after_a_conflict_the_ledger_is_read_again() -> None:
    host, inventory = await empty()
    await host.ledger.bind("thief", "default", A, 1.0, revision=None)
    with pytest.raises(SubnetTaken):
        await inventory.bind("a", "default", A, 1.0, None)
    assert set(inventory.holdings.bound) == {"thief"}
    seen = inventory.holdings.bound["thief"]
    await host.ledger.bind("thief", "default", B, 2.0, revision=seen.revision)
    with pytest.raises(LedgerConflict):
        await inventory.bind("thief", "default", IPv6Network("fd00:c::/64"), 3.0, seen.revision)
    assert inventory.holdings.bound["thief"].prefix == B


async def test_a_tombstone_that_is_buried_is_unknown() -> None:
    host, inventory = await empty()
    await inventory.write((replace(stored("a", revision=0), deleting_since=5.0),))
    assert await inventory.remove_tombstone("IPv6Network", "a")
    assert (inventory.objects, dict(inventory.networks())) == ((), {})
    assert await host.store.objects() == ()


async def test_what_is_back_in_its_source_is_not_buried() -> None:
    host, inventory = await empty()
    await inventory.write((stored("a", revision=0),))
    assert not await inventory.remove_tombstone("IPv6Network", "a")
    assert [o.name for o in await host.store.objects()] == ["a"]


async def test_a_status_does_not_undo_what_was_accepted_while_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    host, inventory = await empty()
    (first,) = await inventory.write((stored("a", revision=0),))
    put_status = host.store.put_status

    async def slowly(kind: str, name: str, status: Mapping[str, object]) -> None:
        await put_status(kind, name, status)
        await inventory.write((replace(first, generation=7),))

    monkeypatch.setattr(host.store, "put_status", slowly)
    await inventory.write_status("IPv6Network", "a", {"observedGeneration": 1})
    known = inventory.get("IPv6Network", "a")
    assert known is not None
    assert (known.generation, known.status) == (7, {"observedGeneration": 1})
