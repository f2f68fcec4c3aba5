from dockerv6.controller.pool import finalize, reconcile
from dockerv6.reconciler.handler import Key, Requeue
from tests.simulation.resources import network, pool
from tests.world import Bench, Host

OFFICE = Key("IPv6Pool", "office")
DRAWS = {"addressing": {"poolRef": {"name": "office"}}}


async def bench(*names: str, **spec: object) -> tuple[Bench, list[str]]:
    """A pool and networks that draw from it, and who is enqueued."""
    made = await Host().bench(pool("office", **spec), *(network(n, **DRAWS) for n in names))
    enqueued: list[str] = []
    made.context.enqueue = lambda key, _: enqueued.append(key.name)
    return made, enqueued


async def status(it: Bench) -> dict[str, object]:
    await reconcile(OFFICE, it.context)
    return dict((await it.host.stored("office", "IPv6Pool")).status)


async def test_it_counts_what_it_has_given_out() -> None:
    it, _ = await bench("a", "b", prefix="fd00:1::/62")
    await it.reconcile("a")
    found = await status(it)
    assert (found["allocated"], found["cooling"], found["total"]) == (1, 0, 4)
    assert found["prefixes"] == ["fd00:1::/62"]
    assert await it.host.ready("office", "IPv6Pool") == ("True", "ReconcileSucceeded")


async def test_a_generated_one_says_that_it_is_made_on_first_use() -> None:
    it, _ = await bench("a")
    assert (await status(it))["prefixes"] == []
    await it.reconcile("a")
    assert (await status(it))["prefixes"] != []


async def test_those_that_wait_for_it_are_looked_at() -> None:
    it, enqueued = await bench("a", "b", prefix="fd00:1::/62")
    await it.reconcile("a")
    enqueued.clear()
    await status(it)
    assert enqueued == ["b"]


async def test_those_are_looked_at_whose_subnet_it_would_not_give_any_more() -> None:
    for changed in ({"prefix": "fd00:2::/62"}, {"prefix": "fd00:1::/62", "allocationLength": 80},
                    {"prefix": "fd00:1::/62", "exclude": ["fd00:1::/63", "fd00:1:0:2::/63"]}):  # fmt: skip
        it, enqueued = await bench("a", prefix="fd00:1::/62")
        await it.reconcile("a")
        enqueued.clear()
        await it.accept(pool("office", **changed))
        await status(it)
        assert enqueued == ["a"], changed


async def test_it_goes_when_its_subnets_are_free() -> None:
    it, _ = await bench("a", prefix="fd00:1::/62")
    await it.reconcile("a")
    assert isinstance(await finalize(OFFICE, it.context), Requeue)
    assert await it.host.ready("office", "IPv6Pool") == ("False", "InUse")
    await it.delete("a")
    await it.finalize("a")
    assert await finalize(OFFICE, it.context) is None


async def test_keys_without_objects_are_nothing() -> None:
    it, _ = await bench()
    for handler in (reconcile, finalize):
        assert await handler(Key("IPv6Pool", "missing"), it.context) is None
