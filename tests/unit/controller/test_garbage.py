from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.controller import garbage, host
from dockerv6.controller.garbage import GARBAGE, prune_confirmed, record_held, remove_everything, sweep
from dockerv6.controller.inventory import CREATED
from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineConflict
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.reconciler.handler import TemporaryError
from tests.simulation.resources import network
from tests.unit.controller.strays import LABELS, stray, swept
from tests.world import Bench, Host


async def test_what_no_resource_asks_for_goes() -> None:
    at = Host()
    await stray(at, "old")
    await at.ledger.bind("old", "default", IPv6Network("fd00:a::/64"), at.clock.now(), revision=None)
    bench = await swept(at)
    assert await sweep(bench.context) is None
    assert await at.ours() == ()
    assert await at.bound("old") is None


async def test_a_network_with_our_labels_that_others_created_stays_and_holds_nothing_else() -> None:
    at = Host()
    await stray(at, "theirs", created=False)
    await stray(at, "old")
    bench = await swept(at)
    assert await sweep(bench.context) is not None
    assert [each.name for each in await at.ours()] == ["theirs"]
    (event,) = [e for e in await at.events("garbage", "Host") if e.reason == "PruneHeld"]
    assert "Docker network theirs has the labels of dockerv6, but no resource asks for it" in event.message
    await sweep(bench.context)
    assert await at.docker("theirs")


async def test_a_person_can_confirm_the_removal_of_networks_that_others_created() -> None:
    at = Host()
    await stray(at, "theirs", created=False)
    bench = await swept(at)
    await sweep(bench.context)
    await at.store.put_record("prune", "confirmed-networks", {"names": ["theirs"]})
    assert await sweep(bench.context) is None
    assert await at.ours() == ()
    assert await at.store.record("prune", "networks") is None


async def test_what_was_created_is_recorded_and_what_is_gone_is_forgotten() -> None:
    at = Host()
    bench = await at.bench(network())
    await bench.reconcile()
    (mine,) = await at.ours()
    assert (await at.store.records(CREATED)).keys() == {mine.id}
    await bench.delete("blog")
    await bench.finalize()
    await sweep(bench.context)
    assert await at.store.records(CREATED) == {}


async def test_a_network_of_a_former_version_is_adopted_by_the_name_that_its_resource_asks_for() -> None:
    at = Host()
    bench = await at.bench(network())
    await bench.reconcile()
    (mine,) = await at.ours()
    await bench.context.inventory.forget_created(mine.id)  # a former version wrote no such record
    await decoy(at)
    bench.invalidate_all()
    await sweep(bench.context)
    assert (await at.store.records(CREATED)).keys() == {mine.id}


async def test_a_resource_neither_recreates_nor_removes_a_network_of_another_name_that_others_labelled() -> None:
    at = Host()
    theirs = await decoy(at)
    bench = await at.bench(network())
    await bench.reconcile()
    assert await at.docker("blog")
    await bench.delete("blog")
    await bench.finalize()
    found = await at.docker("decoy")
    assert found is not None
    assert found.id == theirs


async def test_a_network_that_the_resource_of_its_labels_does_not_own_is_reported_and_waits_for_a_person() -> None:
    at = Host()
    await decoy(at)
    bench = await at.bench(network())
    await bench.reconcile()
    bench.context.inventory.sources_listed = True
    bench.invalidate_all()
    assert await sweep(bench.context) is not None
    (event,) = [e for e in await at.events("garbage", "Host") if e.reason == "PruneHeld"]
    assert "Docker network decoy has the labels of dockerv6, but no resource asks for it" in event.message
    assert await at.docker("decoy")
    await at.store.put_record("prune", "confirmed-networks", {"names": ["decoy"]})
    await sweep(bench.context)
    assert [each.name for each in await at.ours()] == ["blog"]


async def test_the_id_in_the_status_is_a_record_of_a_former_version() -> None:
    at = Host()
    bench = await at.bench(network())
    await bench.reconcile()
    (mine,) = await at.ours()
    await at.store.drop_record(CREATED, mine.id)
    restarted = await at.bench(network(networkName="other"))
    assert restarted.context.inventory.created_networks == {mine.id}
    await restarted.reconcile()
    assert [each.name for each in await at.ours()] == ["other"]


async def decoy(at: Host) -> str:
    """A network with the labels of resource blog, and another name."""
    ipam = (SubnetConfig(IPv6Network("fd00:77::/64")),)
    return await at.engine.create_network(
        NetworkSpec("decoy", ipam=ipam, labels={**LABELS, "dockerv6.io/name": "blog"})
    )


async def test_nothing_goes_before_every_source_was_listed() -> None:
    at = Host()
    await stray(at, "old")
    bench = await swept(at)
    bench.context.inventory.sources_listed = False
    await sweep(bench.context)
    assert len(await at.ours()) == 1


async def test_nothing_goes_without_prune() -> None:
    at = Host()
    await stray(at, "old")
    bench = await swept(at)
    bench.context.settings = replace(bench.context.settings, prune=False)
    await sweep(bench.context)
    assert len(await at.ours()) == 1


async def test_what_was_held_is_no_problem_without_prune() -> None:
    at = Host()
    await stray(at, "theirs", created=False)
    bench = await swept(at)
    await sweep(bench.context)
    assert "theirs" in bench.context.problems.check()
    bench.context.settings = replace(bench.context.settings, prune=False)
    await sweep(bench.context)
    assert (bench.context.problems.check(), await at.store.record("prune", "networks")) == ("", None)


async def test_foreign_and_orphaned_networks_stay() -> None:
    at = Host()
    await at.create_foreign("theirs", "fd00:f::/64")
    orphan = await stray(at, "old")
    bench = await swept(at)
    await garbage.keep_orphan(orphan, bench.context)
    await sweep(bench.context)
    assert await at.docker("theirs")
    assert await at.docker("old")
    await at.engine.remove_network(orphan)
    bench.invalidate_all()
    await sweep(bench.context)
    assert await at.store.records("orphan") == {}


async def test_a_busy_stray_waits_for_its_containers() -> None:
    at = Host()
    await stray(at, "old")
    web = at.engine.run_container("web", "old")
    bench = await swept(at)
    await sweep(bench.context)
    assert await at.docker("old")
    at.engine.stop_container(web)
    bench.invalidate_all()
    await sweep(bench.context)
    assert await at.docker("old") is None


async def test_an_engine_that_is_down_is_waited_for() -> None:
    at = Host()
    at.engine.down()
    bench = await swept(at)
    with pytest.raises(TemporaryError):
        await sweep(bench.context)


async def test_too_many_strays_are_held_until_a_person_confirms() -> None:
    at = Host()
    for i in range(4):
        await stray(at, f"n{i}")
    bench = await swept(at)
    assert await sweep(bench.context) is not None
    assert len(await at.ours()) == 4
    assert "PruneHeld" in {e.reason for e in await at.events("garbage", "Host")}
    await at.confirm_prune()
    assert await sweep(bench.context) is None
    assert await at.ours() == ()
    assert await at.store.record("prune", "networks") is None


async def test_a_confirmation_is_for_what_was_held_when_it_was_given() -> None:
    at = Host()
    bench = await swept(at)
    await record_held("resources", frozenset({"a"}), bench.context)
    assert not await prune_confirmed("resources", bench.context)
    await at.confirm_prune()
    assert await prune_confirmed("resources", bench.context)
    await record_held("resources", frozenset({"a", "b"}), bench.context)
    assert not await prune_confirmed("resources", bench.context)


async def test_less_held_than_before_is_still_confirmed() -> None:
    at = Host()
    bench = await swept(at)
    await record_held("resources", frozenset({"a", "b"}), bench.context)
    await at.confirm_prune()
    at.clock.step_wall(-4 * 3600)
    await record_held("resources", frozenset({"a"}), bench.context)
    assert await prune_confirmed("resources", bench.context)
    await record_held("resources", frozenset(), bench.context)
    assert not await prune_confirmed("resources", bench.context)


async def test_sysctls_are_restored_when_nothing_needs_them() -> None:
    at = Host()
    bench = await at.bench(network())
    await bench.reconcile()
    await bench.delete("blog")
    await bench.finalize()
    await sweep(bench.context)
    assert await at.net.sysctl(FORWARDING) == "0"
    assert await at.store.records("sysctl") == {}


async def test_sysctls_stay_for_a_foreign_network_that_needs_them() -> None:
    at = Host()
    bench = await at.bench(network())
    await bench.reconcile()
    await at.create_foreign("theirs", "fd00:f::/64")
    await bench.delete("blog")
    await bench.finalize()
    bench.invalidate_all()
    await sweep(bench.context)
    assert await at.net.sysctl(FORWARDING) == "1"


async def test_what_can_not_be_removed_is_tried_again() -> None:
    at = Host()
    await stray(at, "old")
    bench = await swept(at)
    at.engine.fail_next("remove_network", EngineConflict("active endpoints"))
    with pytest.raises(TemporaryError, match="active endpoints"):
        await host.reconcile(GARBAGE, bench.context)
    await host.reconcile(GARBAGE, bench.context)
    assert await at.ours() == ()


FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


async def installed() -> Bench:
    host = Host()
    host.filter.add_forward_drop(FORWARD)
    await host.create_foreign("theirs", "fd00:f::/64")
    host.net.change_sysctl(FORWARDING, "0")
    bench = await host.bench(network("a"), network("b"))
    for name in ("a", "b"):
        await bench.reconcile(name)
    bench.invalidate_all()
    return bench


async def test_everything_of_ours_goes_and_nothing_else() -> None:
    bench = await installed()
    removed = await remove_everything(bench.context, keep_networks=False)
    host = bench.host
    assert await host.ours() == ()
    assert await host.docker("theirs")
    assert host.firewall.ruleset == EMPTY
    assert not host.filter.accept_rules
    assert await host.net.sysctl(FORWARDING) == "0"
    assert len(removed) == 4
    assert removed[0].startswith("remove Docker network a")


async def test_networks_with_containers_stay_and_are_named() -> None:
    bench = await installed()
    bench.host.engine.run_container("web", "a")
    bench.invalidate_all()
    removed = await remove_everything(bench.context, keep_networks=False)
    assert [n.name for n in await bench.host.ours()] == ["a"]
    assert "kept Docker network a: containers run on it (web)" in removed


@pytest.mark.parametrize("again", [False, True])
async def test_networks_can_be_kept_and_are_taken_up_again(*, again: bool) -> None:
    bench = await installed()
    before = await bench.host.ours()
    await remove_everything(bench.context, keep_networks=True)
    assert await bench.host.ours() == before
    if again:
        fresh = await bench.host.bench()
        await fresh.reconcile("a")
        assert await bench.host.ours() == before
        assert bench.host.rules_of("a")


async def test_a_second_time_removes_nothing_more() -> None:
    bench = await installed()
    await remove_everything(bench.context, keep_networks=False)
    bench.invalidate_all()
    assert len(await remove_everything(bench.context, keep_networks=False)) == 1
