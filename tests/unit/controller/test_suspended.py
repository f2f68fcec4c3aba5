"""`dockerv6 suspend` and `reconcile`, as the daemon takes them: by a record, and by a request for a resource."""

from dockerv6.api.conditions import Reason
from dockerv6.api.kinds import NETWORK
from dockerv6.controller.inventory import SUSPENDED
from dockerv6.reconciler.handler import Key
from tests.simulation.preview import preview
from tests.simulation.resources import network
from tests.world import Host

BLOG = Key(NETWORK, "blog")
RECORD = f"{NETWORK}/blog"


async def test_a_suspended_resource_is_left_as_it_is_until_it_is_resumed() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
        assert await at_work.operator.reconcile_now(BLOG)
        await at_work.let(1)
        assert await host.ready("blog") == ("True", Reason.SUSPENDED)
        host.files.write(network(internal=True))
        await at_work.let(1)
        there = await host.docker("blog")
        assert there is not None
        assert not there.internal
        assert (await preview(host))["blog"].suspended
        await host.store.drop_record(SUSPENDED, RECORD)
        assert await at_work.operator.reconcile_now(BLOG)
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


async def test_the_next_resource_of_the_name_is_not_suspended() -> None:
    host = Host()
    host.files.write(network(), network("other"))
    async with host.running() as at_work:
        await at_work.let(1)
        await host.store.put_record(SUSPENDED, RECORD, {"since": 1.0})
        await at_work.operator.reconcile_now(BLOG)
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.store.records(SUSPENDED) == {}
        host.files.write(network())
        await at_work.let(1)
        assert await host.ready("blog") == ("True", Reason.RECONCILE_SUCCEEDED)


async def test_a_request_repairs_what_nothing_announced() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        assert not await at_work.operator.reconcile_now(Key(NETWORK, "nope"))
        assert await at_work.operator.reconcile_now(BLOG)
        assert at_work.operator.manager.pending(BLOG)
        await at_work.let(1)
        assert not at_work.operator.manager.pending(BLOG)
