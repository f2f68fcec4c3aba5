"""`dockerv6 suspend` and `reconcile`, as the daemon takes them: by a record, and by a request for a resource."""

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.cli.state import condition_of
from dockerv6.reconciler.handler import Key
from dockerv6.store.model import SUSPENDED, JsonObject
from tests.simulation.preview import preview
from tests.simulation.resources import network, pool
from tests.world import Host

BLOG = Key(NETWORK, "blog")
RECORD = f"{NETWORK}/blog"


async def test_a_suspended_resource_is_left_as_it_is_until_it_is_resumed() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        await at_work.let(1)
        assert await host.ready("blog") == ("True", Reason.SUSPENDED)
        host.files.write(network(internal=True))
        await at_work.let(1)
        there = await host.docker("blog")
        assert there is not None
        assert not there.internal
        assert (await preview(host))["blog"].suspended
        await host.store.drop_record(SUSPENDED, RECORD)
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        await at_work.let(1)
        there = await host.docker("blog")
        assert there is not None
        assert there.internal
        assert await host.ready("blog") == ("True", Reason.RECONCILE_SUCCEEDED)


async def test_a_suspension_survives_a_restart() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
    await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
    host.files.write(network(internal=True))
    async with host.running() as at_work:
        await at_work.let(2)
        assert (await host.ready("blog"))[1] == Reason.SUSPENDED
        there = await host.docker("blog")
        assert there is not None
        assert not there.internal


async def test_a_record_without_a_request_is_noticed_at_the_next_resync() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
        await at_work.let(host.settings.resync + 1)
        assert (await host.ready("blog"))[1] == Reason.SUSPENDED


@pytest.mark.parametrize("there", [True, False], ids=["with its network", "without one"])
async def test_the_deletion_of_a_suspended_resource_waits_until_it_is_resumed(*, there: bool) -> None:
    host = Host()
    host.files.write(network(managementPolicy="Manage" if there else "Observe"), network("other"))
    async with host.running() as at_work:
        await at_work.let(1)
        before = await host.docker("blog")
        await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
        await at_work.operator.reconcile_now([BLOG])
        host.files.delete("blog")
        await at_work.let(20)
        stored = await host.store.object(*RECORD.split("/"))
        assert stored is not None
        assert stored.deleting_since is not None
        assert await host.docker("blog") == before
        waits = condition_of(stored, "Reconciling")
        assert (waits["reason"], "run `dockerv6 resume ipv6network/blog`" in str(waits["message"])) == (
            "Suspended",
            True,
        )
        assert not (await preview(host))["blog"].steps
        await host.store.drop_record(SUSPENDED, RECORD)
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        await at_work.let(1)
        assert await host.store.object(*RECORD.split("/")) is None
        assert await host.docker("blog") is None
        assert "blog" not in at_work.context.inventory.holdings.bound


async def test_what_its_file_suspends_is_deleted_and_leaves_its_network() -> None:
    host = Host()
    host.files.write(network(), network("other"))
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network(suspend=True))
        await at_work.let(1)
        host.files.delete("blog")
        await at_work.let(20)
        assert await host.store.object(*RECORD.split("/")) is None
        assert await host.docker("blog") is not None


@pytest.mark.parametrize("record", [{"since": 1.0}, {"since": 1.0, "created": 1.0}], ids=["of no object", "of another"])
async def test_the_next_resource_of_the_name_is_not_suspended(record: JsonObject) -> None:
    """The command line may record a suspension while the daemon removes the object."""
    host = Host()
    host.files.write(network("other"))
    async with host.running() as at_work:
        await at_work.let(1)
        if "created" not in record:
            await host.store.put_record(SUSPENDED, RECORD, record)
            assert await at_work.operator.reconcile_now([BLOG]) == (BLOG,)
        host.files.write(network())
        await at_work.let(1)
        if "created" in record:
            await host.store.put_record(SUSPENDED, RECORD, record)
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        await at_work.let(1)
        assert await host.ready("blog") == ("True", Reason.RECONCILE_SUCCEEDED)
        assert await host.store.records(SUSPENDED) == {}


@pytest.mark.parametrize("record", [{"since": 1.0}, {"since": 1.0, "created": 1.0}], ids=["of no object", "of another"])
async def test_a_start_drops_the_suspensions_of_objects_that_are_gone(record: JsonObject) -> None:
    host = Host()
    host.files.write(network("blog" if "created" in record else "other"))
    async with host.running() as at_work:
        await at_work.let(1)
    await host.store.put_record(SUSPENDED, RECORD, record)
    async with host.running():
        assert await host.store.records(SUSPENDED) == {}


async def test_a_request_repairs_what_nothing_announced() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        assert await at_work.operator.reconcile_now([Key(NETWORK, "nope")]) == (Key(NETWORK, "nope"),)
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        assert at_work.operator.manager.pending(BLOG)
        await at_work.let(1)
        assert not at_work.operator.manager.pending(BLOG)


async def test_a_request_for_many_reads_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.files.write(network(), network("shop"), pool("blog", prefixes=["2001:db8:1::/48"]))
    async with host.running() as at_work:
        await at_work.let(1)
        refreshed = []
        refresh = at_work.context.inventory.refresh_suspended

        async def counted() -> list[tuple[str, str]]:
            refreshed.append(1)
            return await refresh()

        monkeypatch.setattr(at_work.context.inventory, "refresh_suspended", counted)
        shop, nope = Key(NETWORK, "shop"), Key(NETWORK, "nope")
        assert await at_work.operator.reconcile_now([BLOG, nope, shop]) == (nope,)
        assert [at_work.operator.manager.pending(key) for key in (BLOG, nope, shop)] == [True, False, True]
        assert len(refreshed) == 1


async def test_a_request_for_a_pool_leaves_the_network_of_its_name_alone() -> None:
    host = Host()
    host.files.write(network(), pool("blog", prefixes=["2001:db8:1::/48"]))
    async with host.running() as at_work:
        await at_work.let(1)
        assert "blog" in at_work.context.converged
        assert await at_work.operator.reconcile_now([Key(POOL, "blog")]) == ()
        assert "blog" in at_work.context.converged
        assert await at_work.operator.reconcile_now([BLOG]) == ()
        assert "blog" not in at_work.context.converged
