from dockerv6.api import conditions as cond
from dockerv6.controller.pool import finalize, reconcile
from dockerv6.controller.prefixes import track_prefixes
from dockerv6.planning.addressing.tracked_prefixes import SETTLE
from dockerv6.reconciler.handler import Key, Requeue
from tests.simulation.provider import Provider
from tests.simulation.resources import network, pool
from tests.world import Bench, Host

OFFICE = Key("IPv6Pool", "office")
DRAWS = {"addressing": {"poolRef": {"name": "office"}}}


async def bench(*names: str, **spec: object) -> tuple[Bench, list[str]]:
    """A pool, networks that draw from it, and the names that are enqueued."""
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


async def test_a_generated_pool_reports_that_its_prefix_is_generated_on_first_use() -> None:
    it, _ = await bench("a")
    assert (await status(it))["prefixes"] == []
    await it.reconcile("a")
    assert (await status(it))["prefixes"] != []


async def test_networks_that_wait_for_it_are_enqueued() -> None:
    it, enqueued = await bench("a", "b", prefix="fd00:1::/62")
    await it.reconcile("a")
    enqueued.clear()
    await status(it)
    assert enqueued == ["b"]


async def test_networks_whose_subnet_it_no_longer_allocates_are_enqueued() -> None:
    for changed in ({"prefix": "fd00:2::/62"}, {"prefix": "fd00:1::/62", "allocationLength": 80},
                    {"prefix": "fd00:1::/62", "exclude": ["fd00:1:0:1::/64", "fd00:1:0:2::/63"]}):  # fmt: skip
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


KIND = "IPv6Pool"
ISP = Key(KIND, "isp")
OLD, NEW = "2001:db8:a00::/56", "2001:db8:b00::/56"
ETH0 = {"name": "eth0"}
DRAWS_FROM_ISP = {"addressing": {"poolRef": {"name": "isp"}}}


class Scene:
    """A pool that follows eth0, and a network that draws from it."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host, self.provider = bench, bench.host, Provider(bench.host)

    async def look(self) -> None:
        self.bench.invalidate_all()
        await track_prefixes(self.bench.context)

    async def last(self, *prefixes: str) -> None:
        """These are delegated, and nothing else, for long enough."""
        self.provider.replace_delegations(*prefixes)
        await self.look()
        self.host.clock.advance(SETTLE)
        await self.look()

    async def status(self) -> dict[str, object]:
        await reconcile(ISP, self.bench.context)
        return dict((await self.host.stored("isp", KIND)).status)

    async def message(self) -> str:
        await self.status()
        found = await self.host.condition("isp", "Ready", KIND)
        assert found is not None
        return found.message


async def scene(*names: str, delegated: str = OLD, strategy: str = "Never", **spec: object) -> Scene:
    bench = await Host().bench(
        pool("isp", **{"fromInterface": ETH0, **spec}),
        *(network(n, updateStrategy=strategy, **DRAWS_FROM_ISP) for n in names),
    )
    it = Scene(bench)
    if delegated:
        it.provider.delegate(delegated)
    await it.look()
    for name in names:
        await bench.reconcile(name)
    return it


async def test_the_status_has_the_prefix_and_its_interface() -> None:
    it = await scene("a")
    found = await it.status()
    assert found["prefixes"] == [OLD]
    assert (found["interface"], found["interfacePrefix"], found["onLink"]) == ("eth0", OLD, False)
    assert found["since"] == "2023-11-14T22:13:20Z"
    assert (found["allocated"], found["total"]) == (1, 256)
    assert "renumbering" not in found
    assert await it.host.ready("isp", KIND) == ("True", "ReconcileSucceeded")


async def test_the_status_has_the_pools_part_of_the_prefix() -> None:
    it = await scene(fromInterface={"name": "eth0", "prefixLength": 60, "offset": 2})
    found = await it.status()
    assert (found["prefixes"], found["interfacePrefix"]) == (["2001:db8:a00:20::/60"], OLD)


async def test_one_without_a_prefix_waits_for_it() -> None:
    it = await scene(fromInterface={"name": "eth7"})
    assert (await it.status())["prefixes"] == []
    assert await it.host.ready("isp", KIND) == ("False", "PrefixPending")
    assert "eth7" in await it.message()


async def test_a_prefix_that_is_too_long_is_reported_with_the_remedy() -> None:
    it = await scene(fromInterface={"name": "eth0", "prefixLength": 52})
    await it.status()
    assert await it.host.ready("isp", KIND) == ("False", "PrefixTooLong")
    assert "prefixLength to 56 or more" in await it.message()


async def test_the_status_has_the_candidate() -> None:
    it = await scene("a")
    it.provider.replace_delegations(NEW)
    await it.look()
    found = await it.status()
    assert (found["prefixes"], found["candidate"]) == ([OLD], NEW)
    assert await it.host.ready("isp", KIND) == ("True", "ReconcileSucceeded")


async def test_those_that_are_still_to_be_renumbered_are_named() -> None:
    it = await scene("a", "b", strategy="Recreate")
    await it.last(NEW)
    found = await it.status()
    assert (found["prefixes"], found["renumbering"]) == ([NEW], ["a", "b"])
    assert (await it.message()).endswith("; 2 still to be renumbered: a, b")
    it.bench.invalidate_all()
    await it.bench.reconcile("a")
    assert (await it.status())["renumbering"] == ["b"]
    it.bench.invalidate_all()
    await it.bench.reconcile("b")
    found = await it.status()
    assert "renumbering" not in found
    assert (found["allocated"], found["cooling"]) == (2, 2)


async def test_networks_that_draw_from_it_are_enqueued() -> None:
    it = await scene("a", "b")
    await it.last(NEW)
    enqueued: list[str] = []
    it.bench.context.enqueue = lambda key, _: enqueued.append(key.name)
    await it.status()
    assert enqueued == ["a", "b"]


async def test_a_prefix_that_went_without_a_successor_stalls_it_and_stays() -> None:
    it = await scene("a")
    it.provider.withdraw("2001:db8:1::/64")
    await it.last()
    found = await it.status()
    assert found["prefixes"] == [OLD]
    assert await it.host.ready("isp", KIND) == ("False", "PrefixWithdrawn")
    stalled = cond.get(await it.host.conditions("isp", KIND), "Stalled")
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", "PrefixWithdrawn")
    assert "check the uplink" in stalled.message
    it.bench.invalidate_all()
    await it.bench.reconcile("a")
    held = await it.host.bound("a")
    assert held is not None
    assert str(held.prefix).startswith("2001:db8:a00:")
    assert await it.host.docker("a")
    it.provider.delegate(OLD)
    await it.look()
    await it.status()
    assert await it.host.ready("isp", KIND) == ("True", "ReconcileSucceeded")
    assert cond.get(await it.host.conditions("isp", KIND), "Stalled") is None


async def test_networks_of_a_withdrawn_prefix_say_so_and_go_on() -> None:
    it = await scene("a")
    it.provider.withdraw("2001:db8:1::/64")
    await it.last()
    it.host.engine.run_container("web", "a")
    it.bench.invalidate_all()
    await it.bench.reconcile("a")
    assert await it.host.ready("a") == ("False", "PrefixWithdrawn")
    assert await it.host.attached("a") == {"web"}
    assert it.host.rules_of("a")


async def test_the_status_has_previous_prefixes_while_they_are_valid() -> None:
    it = await scene("a", delegated="")
    assert (await it.status())["interfacePrefix"] == "2001:db8:1::/64"
    it.provider.advertise("2001:db8:1::/64", preferred=0.0, valid=300.0)
    it.provider.advertise("2001:db8:6::/64")
    for _ in range(2):
        await it.look()
        it.host.clock.advance(SETTLE)
    found = await it.status()
    assert (found["interfacePrefix"], found["formerPrefixes"]) == ("2001:db8:6::/64", ["2001:db8:1::/64"])
    it.provider.withdraw("2001:db8:1::/64")
    await it.look()
    assert "formerPrefixes" not in await it.status()


async def test_pools_that_share_addresses_say_so_and_their_subnets_are_kept_apart() -> None:
    host = Host()
    names = {"a": "isp", "b": "part", "c": "isp"}
    bench = await host.bench(
        pool("isp", fromInterface=ETH0),
        pool("part", fromInterface={"name": "eth0", "prefixLength": 60}),
        pool("lan", prefix="fd00:1::/48"),
        *(network(name, addressing={"poolRef": {"name": of}}) for name, of in names.items()),
    )
    it = Scene(bench)
    it.provider.delegate("2001:db8:a00::/60")
    await it.look()
    for name in names:
        await bench.reconcile(name)
    assert "it shares addresses with IPv6Pool part: no two networks get the same subnet" in await it.message()
    subnets = [a.prefix for a in await host.ledger.allocations()]
    assert len(subnets) == 3
    assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[i + 1 :])
