"""The whole operator when its state is lost, or was written by a clock that was set since."""

from dataclasses import replace
from ipaddress import IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.controller.inventory import Inventory
from dockerv6.ipam.ledger import UNKNOWN_TIME, AllocationState
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.simulation.resources import network, pool
from tests.unit.planning.test_admission import stored
from tests.world import Host

HOUR = 3600.0


async def with_orphan() -> Host:
    """A host with the network "a", and "old", which its resource left behind."""
    host = Host()
    host.files.write(network("a"), network("old", deletionPolicy="Orphan"))
    async with host.running() as it:
        await it.let(5)
        host.files.delete("old")
        await it.let(20)
    assert await host.docker("old") is not None
    return host


class TestLostState:
    @pytest.mark.parametrize("restarts", [0, 2])
    async def test_nothing_is_swept_before_a_confirmation(self, restarts: int) -> None:
        host = await with_orphan()
        host.lose_state()
        for _ in range(restarts):
            async with host.running() as it:
                await it.let(30)
        async with host.running() as it:
            await it.let(60)
            assert await host.docker("old") is not None
            assert await host.ready("a") == ("True", "ReconcileSucceeded")
            assert "state file is new or damaged" in it.context.problems.check()
            assert "PruneHeld" in {e.reason for e in await host.events("garbage", "Host")}
            await host.confirm_prune()
            await it.let(10)
            assert await host.docker("old") is None
            assert await host.docker("a") is not None
            assert it.context.problems.check() == ""

    async def test_nothing_is_swept_when_rows_of_the_state_are_damaged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = await with_orphan()
        for record in await host.store.records("orphan"):
            await host.store.drop_record("orphan", record)
        monkeypatch.setattr(MemoryStore, "problems", ("a row of store_records can't be read",))
        async with host.running() as it:
            await it.let(60)
            assert await host.docker("old") is not None
            assert await host.ready("a") == ("True", "ReconcileSucceeded")
            assert "can't be read" in it.context.problems.check()

    async def test_a_resource_of_that_name_takes_the_network_again(self) -> None:
        host = await with_orphan()
        before = await host.docker("old")
        host.lose_state()
        async with host.running() as it:
            await it.let(30)
            host.files.write(network("old"))
            await it.let(30)
            assert await host.docker("old") == before
            assert await host.ready("old") == ("True", "ReconcileSucceeded")
            assert it.context.problems.check() == ""

    async def test_subnets_and_rules_are_those_from_before(self) -> None:
        host = Host()
        host.files.write(pool("default", generate="ULA"), *(network(name) for name in "abc"))
        async with host.running() as it:
            await it.let(5)
        before = await host.snapshot()
        host.lose_state()
        async with host.running() as it:
            await it.let(5)
            assert await host.snapshot() == before

    async def test_a_first_start_holds_nothing(self) -> None:
        host = Host()
        host.lose_state()
        host.files.write(network("a"), network("b"))
        async with host.running() as it:
            await it.let(5)
            host.files.delete("b")
            await it.let(20)
            assert await host.docker("b") is None
            assert it.context.problems.check() == ""


class TestClockSteps:
    @pytest.mark.parametrize("step", [-4 * HOUR, 4 * HOUR])
    async def test_a_deletion_takes_its_grace_period_when_the_clock_is_set(self, step: float) -> None:
        host = Host()
        host.files.write(network("a"), network("b"))
        async with host.running() as it:
            await it.let(5)
            host.files.delete("b")
            await it.let(2)
            host.clock.step_wall(step)
            host.files.touch()
            await it.let(2)
            assert await host.docker("b") is not None
            await it.let(5)
            assert await host.docker("b") is None

    async def test_a_deletion_takes_no_longer_after_a_restart_with_a_clock_that_was_set_back(self) -> None:
        host = Host()
        host.files.write(network("a"), network("b"))
        async with host.running() as it:
            await it.let(5)
            host.files.delete("b")
            await it.let(2)
        host.clock.step_wall(-4 * HOUR)
        async with host.running() as it:
            await it.let(15)
            assert await host.docker("b") is None

    async def test_a_cooldown_takes_its_time_when_the_clock_is_set(self) -> None:
        for step in (-4 * HOUR, 4 * HOUR):
            host = Host()
            host.files.write(pool("default", prefix="fd77::/63", cooldown="10m"), network("a"), network("b"))
            async with host.running() as it:
                await it.let(5)
                host.files.delete("b")
                await it.let(20)
                host.clock.step_wall(step)
                host.files.write(network("c"))
                await it.let(300)
                assert await host.docker("c") is None
                await it.let(700)
                assert await host.docker("c") is not None

    async def test_events_are_kept_when_the_clock_is_set_forward(self) -> None:
        host = Host()
        host.files.write(network("a"))
        async with host.running() as it:
            await it.let(5)
            before = {e.reason for e in await host.events("a")}
            assert before
            host.clock.step_wall(365 * 24 * HOUR)
            await it.let(2 * HOUR)
            assert before <= {e.reason for e in await host.events("a")}


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(-1e7, 1e7)), max_size=8), st.integers(0, 99))
async def test_time_in_the_inventory_passes_as_on_the_monotonic_clock(
    steps: list[tuple[float, float]], seed: int
) -> None:
    clock, random = FakeClock(), Random(seed)
    inventory = Inventory(MemoryStore(), MemoryLedger(), clock)
    await inventory.load()
    await inventory.bind("b", "default", IPv6Network("fd00:b::/64"), inventory.now(), None)
    (bound,) = inventory.holdings.allocations
    await inventory.release(bound, inventory.now())
    await inventory.write((replace(stored("a", revision=0), missing_since=inventory.now()),))
    started = clock.monotonic()
    for seconds, step in steps:
        clock.advance(seconds)
        clock.step_wall(step)
        if random.random() < 0.5:  # it is not looked at after every step
            inventory.now()
    now = inventory.now()
    missing = inventory.get("IPv6Network", "a")
    assert missing is not None
    assert missing.missing_since is not None
    (cooling,) = inventory.holdings.allocations
    elapsed, tolerance = clock.monotonic() - started, 1.0 + 1e-3
    assert abs(now - missing.missing_since - elapsed) <= tolerance
    assert abs(now - cooling.since - elapsed) <= tolerance


async def test_a_stored_time_in_the_future_counts_from_when_it_was_read() -> None:
    clock, store, ledger = FakeClock(), MemoryStore(), MemoryLedger()
    await store.put(replace(stored("a", revision=0), missing_since=clock.now() + 4 * HOUR))
    await ledger.bind("b", "default", IPv6Network("fd00:b::/64"), 1.0, revision=None)
    (bound,) = await ledger.allocations()
    await ledger.release(bound, UNKNOWN_TIME)
    inventory = Inventory(store, ledger, clock)
    await inventory.load()
    read = clock.now()
    clock.advance(10)
    await inventory.bind("c", "default", IPv6Network("fd00:c::/64"), inventory.now(), None)
    await inventory.release(inventory.holdings.bound["c"], inventory.now())
    missing = inventory.get("IPv6Network", "a")
    assert missing is not None
    assert missing.missing_since == read
    since = {a.owner: a.since for a in inventory.holdings.allocations if a.state is AllocationState.COOLING}
    assert since == {"b": read, "c": read + 10}
