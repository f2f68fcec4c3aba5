"""Docker networks whose creation was requested, and neither confirmed nor refused."""

import asyncio
from ipaddress import IPv6Network

import pytest

from dockerv6.controller.execute import execute_step
from dockerv6.controller.garbage import LONGEST_CREATION, sweep
from dockerv6.controller.inventory import UNCONFIRMED
from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineError, EngineTooOld, EngineUnavailable
from dockerv6.planning.steps import CreateNetwork
from dockerv6.store.port import StoreError
from tests.unit.controller.strays import LABELS, stray, swept
from tests.world import Host


def creation(name: str) -> CreateNetwork:
    ipam = (SubnetConfig(IPv6Network("fd00:f::/64")),)
    return CreateNetwork(NetworkSpec(name, ipam=ipam, labels={**LABELS, "dockerv6.io/name": name}), "x")


@pytest.mark.parametrize(
    "error", [EngineUnavailable("gone"), EngineApiError("interrupted", 500), asyncio.CancelledError()], ids=repr
)
async def test_a_network_whose_creation_was_not_confirmed_is_ours_if_it_exists(error: BaseException) -> None:
    """As of an engine or an operator that is killed after it, whatever name the resource asks for by then."""
    at = Host()
    bench = await swept(at)
    at.engine.fail_next("create_network", error, after=True)
    with pytest.raises(type(error)):
        await execute_step(creation("old"), bench.context)
    assert [each.name for each in await at.ours()] == ["old"]
    bench = await swept(at)  # a later process
    assert await sweep(bench.context) is None
    assert await at.ours() == ()
    assert await at.store.records(UNCONFIRMED) == {}


@pytest.mark.parametrize("error", [EngineApiError("bad subnet", 400), EngineTooOld("needs 27")], ids=repr)
async def test_a_network_that_others_create_after_the_engine_refused_ours_is_theirs(error: EngineError) -> None:
    at = Host()
    bench = await swept(at)
    at.engine.fail_next("create_network", error)
    with pytest.raises(type(error)):
        await execute_step(creation("theirs"), bench.context)
    await stray(at, "theirs", created=False)
    bench.invalidate_all()
    assert await sweep(bench.context) is not None
    assert [each.name for each in await at.ours()] == ["theirs"]


async def test_a_network_that_makes_the_engine_refuse_the_next_request_is_still_ours() -> None:
    at = Host()
    bench = await swept(at)
    at.engine.fail_next("create_network", EngineUnavailable("gone"), after=True)
    for error in (EngineUnavailable, EngineConflict):
        with pytest.raises(error):
            await execute_step(creation("old"), bench.context)
    bench.invalidate_all()
    assert await sweep(bench.context) is None
    assert await at.ours() == ()


async def test_a_network_that_appears_long_after_an_unanswered_request_is_not_ours() -> None:
    at = Host()
    bench = await swept(at)
    at.engine.fail_next("create_network", EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        await execute_step(creation("theirs"), bench.context)
    at.clock.advance(LONGEST_CREATION + 1)
    await sweep(bench.context)
    await stray(at, "theirs", created=False)
    bench.invalidate_all()
    assert await sweep(bench.context) is not None
    assert [each.name for each in await at.ours()] == ["theirs"]


async def test_a_full_disk_neither_keeps_a_network_from_being_created_nor_hides_the_refusal_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = Host()
    bench = await swept(at)

    async def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(at.store, "put_record", full)
    monkeypatch.setattr(at.store, "drop_record", full)
    at.engine.fail_next("create_network", EngineApiError("bad subnet", 400))
    with pytest.raises(EngineApiError, match="bad subnet"):
        await execute_step(creation("blog"), bench.context)
    with pytest.raises(StoreError):  # of the record that it was created
        await execute_step(creation("blog"), bench.context)
    assert [each.name for each in await at.ours()] == ["blog"]


async def test_a_network_that_others_had_created_before_our_creation_failed_is_theirs() -> None:
    at = Host()
    await stray(at, "theirs", created=False)
    bench = await swept(at)
    await bench.context.world.engine_state()
    with pytest.raises(EngineConflict):
        await execute_step(creation("theirs"), bench.context)
    assert await sweep(bench.context) is not None
    assert [each.name for each in await at.ours()] == ["theirs"]
