"""The whole operator on a simulated host: what becomes of files, on the fake clock."""

from dataclasses import replace

import pytest

from dockerv6.controller.context import ControllerSettings
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.planning.host.sysctls import FORWARDING
from tests.simulation.resources import ROOT, invalid, network, pool
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)
READY = ("True", "ReconcileSucceeded")


async def test_a_file_becomes_a_network() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert await host.docker("blog")


async def test_a_file_that_comes_later_and_changes_is_followed() -> None:
    host = Host()
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network())
        await at_work.let(1)
        host.files.write(network("blog", internal=True))
        await at_work.let(1)
        there = await host.docker("blog")
        assert there is not None
        assert there.internal
        assert host.rules_of("blog") >= {"internal v6-blog", "own_bridge v6-blog . v6-blog"}


async def test_many_files_become_many_networks_that_do_not_overlap() -> None:
    host = Host()
    host.files.write(*(network(f"n{i}") for i in range(20)))
    async with host.running() as at_work:
        await at_work.let(5)
        held = [a.prefix for a in await host.ledger.allocations()]
        assert len(held) == 20
        assert not any(a.overlaps(b) for i, a in enumerate(held) for b in held[i + 1 :])
        assert {await host.ready(f"n{i}") for i in range(20)} == {READY}
        assert len(await host.ours()) == 20
        assert host.engine.changes.count("create_network") == 20


async def test_a_file_that_is_gone_for_the_grace_takes_its_network_along() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.delete("a")
        await at_work.let(4)
        assert await host.docker("a")
        await at_work.let(2)
        assert await host.docker("a") is None
        assert await host.docker("b")


async def test_the_last_file_takes_its_network_along_and_the_host_is_as_it_was() -> None:
    host = Host()
    host.filter.add_forward_drop(FORWARD)
    host.files.write(network())
    before = await host.snapshot()
    async with host.running() as at_work:
        await at_work.let(1)
        assert host.filter.accept_rules
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.snapshot() == before
        assert not host.filter.accept_rules
        assert await host.net.sysctl(FORWARDING) == "0"
        assert await host.store.objects("IPv6Network") == ()


async def test_an_invalid_version_leaves_the_last_good_one_and_is_reported() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        before = await host.snapshot()
        host.files.write(invalid("blog", "unknown field"))
        await at_work.let(10)
        assert await host.snapshot() == before
        accepted = await host.condition("blog", "Accepted")
        assert accepted is not None
        assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
        assert "InvalidSpec" in {e.reason for e in await host.events("blog")}
        host.files.write(network())
        await at_work.let(1)
        assert await host.ready("blog") == READY


@pytest.mark.parametrize("damage", ["unlisted", "empty", "broken"])
async def test_a_source_that_can_not_be_trusted_prunes_nothing(damage: str) -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        before = await host.snapshot()
        if damage == "broken":
            host.files.broken.add(f"{ROOT}/blog.yaml")
        else:
            host.files.contents.clear()
            host.files.root = replace(host.files.root, listed=damage == "empty", identity="9:9", problem="gone")
        host.files.touch()
        await at_work.let(60)
        assert await host.snapshot() == before


async def test_a_mass_deletion_waits_for_a_confirmation() -> None:
    host = Host()
    names = [f"n{i}" for i in range(5)]
    host.files.write(*(network(n) for n in names))
    async with host.running() as at_work:
        await at_work.let(2)
        host.files.delete(*names[:4])
        await at_work.let(30)
        assert len(await host.ours()) == 5
        held = await host.condition("n0", "PruneHeld")
        assert held is not None
        await host.confirm_prune()
        await at_work.let(10)
        assert [n.name for n in await host.ours()] == ["n4"]


async def test_an_earlier_confirmation_does_not_count() -> None:
    host = Host()
    names = [f"n{i}" for i in range(5)]
    host.files.write(*(network(n) for n in names))
    async with host.running() as at_work:
        await at_work.let(2)
        await host.confirm_prune()
        await at_work.let(2)
        host.files.delete(*names[:4])
        await at_work.let(30)
        assert len(await host.ours()) == 5


async def test_files_that_come_back_end_the_wait() -> None:
    host = Host()
    resources = [network(f"n{i}") for i in range(4)]
    host.files.write(*resources)
    async with host.running() as at_work:
        await at_work.let(2)
        host.files.delete(*(r.metadata.name for r in resources))
        await at_work.let(10)
        host.files.write(*resources)
        await at_work.let(1)
        assert await host.condition("n0", "PruneHeld") is None
        assert await host.ready("n0") == READY


async def test_without_prune_nothing_is_deleted() -> None:
    host = Host(settings=ControllerSettings(roots=(ROOT,), prune=False))
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.delete("blog")
        await at_work.let(60)
        assert await host.docker("blog")


async def test_a_resource_that_was_deleted_while_stopped_is_removed_at_the_next_start() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
    host.files.delete("a")
    async with host.running() as at_work:
        await at_work.let(10)
        assert [n.name for n in await host.ours()] == ["b"]


async def test_a_deletion_waits_until_the_containers_have_left() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog")
        await at_work.let(1)
        host.files.delete("blog")
        await at_work.let(20)
        assert await host.ready("blog") == ("False", "Deleting")
        host.engine.stop_container(web)
        await at_work.let(1)
        assert await host.ours() == ()


async def test_a_resource_that_comes_back_while_it_is_deleted_stays() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        before = await host.snapshot()
        host.files.delete("blog")
        await at_work.let(20)
        host.files.write(network())
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert await host.snapshot() == before


async def test_networks_that_wait_for_a_pool_have_it_as_soon_as_it_is_there() -> None:
    host = Host()
    host.files.write(network("blog", addressing={"poolRef": {"name": "office"}}))
    async with host.running() as at_work:
        await at_work.let(1)
        assert await host.ready("blog") == ("False", "PoolNotFound")
        host.files.write(pool("office", prefix="fd00:9::/48"))
        await at_work.let(1)
        assert await host.ready("blog") == READY
        assert (await host.stored("office", "IPv6Pool")).status["allocated"] == 1
        host.files.delete("office")
        await at_work.let(10)
        assert (await host.ready("office", "IPv6Pool"))[1] == "InUse"
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.store.object("IPv6Pool", "office") is None


async def test_it_settles_when_everything_is_done() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await host.clock.run_until(at_work.operator.settle())
        assert await host.ready("blog") == READY
