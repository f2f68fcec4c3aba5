from dataclasses import replace

from dockerv6.controller.preview import plan_everything
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning.steps import Plan
from dockerv6.store.memory import MemoryStore
from tests.simulation.resources import network, pool
from tests.world import Host


async def preview(host: Host) -> dict[str, Plan]:
    """Plans by name, made on copies of the state, as the command does."""
    store, ledger = MemoryStore(), MemoryLedger()
    objects = await host.store.objects()
    await store.put(*(replace(o, revision=0) for o in objects))
    for stored in objects:
        await store.put_status(stored.kind, stored.name, stored.status)
    for scope in ("endpoints", "orphan", "source"):
        for name, value in (await host.store.records(scope)).items():
            await store.put_record(scope, name, value)
    for a in await host.ledger.allocations():
        await ledger.bind(a.owner, a.pool, a.prefix, a.since, seen=None)
    for kept in await host.ledger.pool_prefixes():
        await ledger.keep_pool_prefix(kept.pool, kept.prefix)
    real = host.store, host.ledger
    host.store, host.ledger = store, ledger
    context = host.context()
    host.store, host.ledger = real
    await context.inventory.load()
    return {plan.name: plan for plan in await plan_everything(host.files.read(), context)}


async def test_a_preview_changes_nothing() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    before, calls = await host.snapshot(), len(host.engine.calls)
    plans = await preview(host)
    assert [type(s).__name__ for s in plans["a"].steps][-1] == "CreateNetwork"
    assert await host.snapshot() == before
    assert await host.store.objects() == ()
    reading = {"info", "networks", "network", "attachments", "running", "stranded", "occupied", "containers"}
    assert {c.method for c in host.engine.calls[calls:]} <= reading
    assert host.firewall.commits == 0


async def test_what_is_planned_does_not_overlap() -> None:
    host = Host()
    host.files.write(pool(prefix="fd00:1::/63"), *(network(n) for n in ("a", "b", "c")))
    plans = await preview(host)
    reasons = sorted(str(f.reason) for n in "abc" for f in plans[n].findings)
    assert reasons == ["PoolExhausted"]


async def test_what_has_converged_has_an_empty_plan() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(2)
    plans = await preview(host)
    assert plans["a"].empty
    assert plans["garbage"].empty


async def test_a_deletion_is_shown_without_its_grace() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(2)
    host.files.delete("a")
    plans = await preview(host)
    assert next(type(s).__name__ for s in plans["a"].steps) == "RemoveNetwork"


async def test_a_directory_that_was_replaced_by_an_empty_one_deletes_nothing_here_either() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(2)
    host.files.contents.clear()
    host.files.root = replace(host.files.root, identity="9:9")
    assert (await preview(host))["a"].empty
