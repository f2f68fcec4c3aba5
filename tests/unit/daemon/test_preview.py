from ipaddress import IPv6Network

from dockerv6.daemon.preview import copy_ledger, copy_store
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.store.memory import MemoryStore
from tests.unit.planning.test_admission import stored

SCOPES = ("endpoints", "followed", "former", "member", "orphan", "prune", "source")


async def test_a_ledger_with_subnets_that_an_owner_had_before_is_copied() -> None:
    ledger, copy = MemoryLedger(), MemoryLedger()
    seen = None
    for now, prefix in enumerate(("fd00:c::/64", "fd00:b::/64", "fd00:a::/64")):
        seen = (await ledger.bind("blog", "default", IPv6Network(prefix), float(now), revision=seen)).revision
    await ledger.keep_pool_prefix("default", IPv6Network("fd00::/48"))
    await copy_ledger(ledger, copy)

    async def content(of: MemoryLedger) -> object:
        rows = [(a.owner, a.pool, a.prefix, a.state) for a in await of.allocations()]
        return rows, await of.pool_prefixes()

    assert await content(copy) == await content(ledger)


async def test_a_store_is_copied_with_what_plans_depend_on() -> None:
    store, copy = MemoryStore(), MemoryStore()
    await store.put(stored("a", revision=0))
    await store.put_status("IPv6Network", "a", {"networkID": "1"})
    for scope in SCOPES:
        await store.put_record(scope, "x", {"y": 1})
    await copy_store(store, copy)
    assert (await copy.objects())[0].status == {"networkID": "1"}
    for scope in SCOPES:
        assert await copy.records(scope) == {"x": {"y": 1}}
