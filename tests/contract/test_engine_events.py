"""Contract of the engine port: events, and a crash of the engine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.model import Attachment, EventKind, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineUnavailable
from tests.contract.engines import DUAL, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dockerv6.dockerd.model import EngineEvent
    from tests.contract.engines import Bench


async def until(events: AsyncIterator[EngineEvent], kind: EventKind, action: str) -> EngineEvent:
    async for event in events:
        if (event.kind, event.action) == (kind, action):
            return event
    raise AssertionError(f"no {kind} {action}")


async def test_streams_every_event_after_connected(bench: Bench) -> None:
    async with aclosing(bench.engine.events()) as events:
        assert (await anext(events)).kind is EventKind.CONNECTED
        network_id = await bench.engine.create_network(DUAL)
        created = await until(events, EventKind.NETWORK, "create")
        while created.network_id != network_id:  # a real engine may include earlier events
            created = await until(events, EventKind.NETWORK, "create")
        assert created.network_name == "blog"
        web = run(bench, "web")
        connected = await until(events, EventKind.NETWORK, "connect")
        assert (connected.network_id, connected.container_id) == (network_id, web)
        assert (await until(events, EventKind.CONTAINER, "start")).container_id == web
        await bench.engine.disconnect(network_id, web)
        disconnected = await until(events, EventKind.NETWORK, "disconnect")
        assert (disconnected.network_id, disconnected.container_id) == (network_id, web)
        bench.remove_container(web)
        assert (await until(events, EventKind.CONTAINER, "destroy")).container_id == web
        await bench.engine.remove_network(network_id)
        assert (await until(events, EventKind.NETWORK, "destroy")).network_id == network_id


async def test_every_listener_receives_every_event(bench: Bench) -> None:
    async with aclosing(bench.engine.events()) as one, aclosing(bench.engine.events()) as two:
        assert [(await anext(events)).kind for events in (one, two)] == [EventKind.CONNECTED] * 2
        network_id = await bench.engine.create_network(NetworkSpec("other", enable_ipv6=False))
        for events in (one, two):
            event = await until(events, EventKind.NETWORK, "create")
            while event.network_id != network_id:
                event = await until(events, EventKind.NETWORK, "create")


async def test_a_waiting_listener_can_be_cancelled(bench: Bench) -> None:
    listening = asyncio.Event()

    async def listen() -> None:
        async for _ in bench.engine.events():
            listening.set()

    task = asyncio.create_task(listen())
    await listening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bench.engine.networks()


async def test_closing_ends_the_event_streams(bench: Bench) -> None:
    events = bench.engine.events()
    await anext(events)
    await bench.engine.close()
    with pytest.raises(EngineUnavailable):
        async for _ in events:
            pass


async def test_the_client_works_again_after_a_crash_of_the_engine(bench: Bench) -> None:
    events = bench.engine.events()
    await anext(events)
    specs = [
        NetworkSpec(f"n{number}", enable_ipv6=False, ipam=(SubnetConfig(IPv4Network(f"198.51.100.{number * 4}/30")),))
        for number in range(64)
    ]
    calls = [asyncio.create_task(bench.engine.create_network(spec)) for spec in specs]
    await asyncio.sleep(0)
    bench.down()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, EngineUnavailable) for outcome in outcomes)
    assert all(isinstance(outcome, EngineUnavailable | str) for outcome in outcomes)
    with pytest.raises(EngineUnavailable):
        async for _ in events:
            pass
    with pytest.raises(EngineUnavailable):
        await bench.engine.networks()
    with pytest.raises(EngineUnavailable):
        await anext(bench.engine.events())
    bench.up()
    assert (await bench.engine.info()).release == bench.release
    assert "bridge" in [network.name for network in await bench.engine.networks()]
    async with aclosing(bench.engine.events()) as again:
        assert (await anext(again)).kind is EventKind.CONNECTED


async def collect(
    events: AsyncIterator[EngineEvent], container: str, last: tuple[EventKind, str]
) -> list[tuple[str, str | None]]:
    """Collect a container's events and their networks, up to the last one; repetitions are counted once."""
    seen: list[tuple[str, str | None]] = []
    async for event in events:
        found = (event.action, event.network_name)
        # a real engine may include earlier events, of other tests
        if event.container_id != container or found in seen[-1:]:
            continue
        seen.append(found)
        if (event.kind, event.action) == last:
            return seen
    raise AssertionError(f"no {last}")


async def test_container_events_have_the_container_id(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    async with aclosing(bench.engine.events()) as events:
        await anext(events)
        for action, change in (
            ("pause", bench.pause_container),
            ("unpause", bench.unpause_container),
            ("rename", lambda container: bench.rename_container(container, "www")),
            ("stop", bench.stop_container),
            ("start", bench.start_container),
        ):
            change(web)
            assert (action, None) in await collect(events, web, (EventKind.CONTAINER, action))
        bench.stop_container(web)
        assert ("die", None) in await collect(events, web, (EventKind.CONTAINER, "die"))


async def test_stop_sends_disconnect_and_start_sends_connect_events(bench: Bench) -> None:
    dies_first = bench.release < (23, 0)
    await bench.engine.create_network(DUAL)
    web = bench.create_container("web", "blog")
    async with aclosing(bench.engine.events()) as events:
        await anext(events)
        bench.start_container(web)
        started = await collect(events, web, (EventKind.CONTAINER, "start"))
        assert started[-2:] == [("connect", "blog"), ("start", None)]
        bench.stop_container(web)
        stopped = await collect(events, web, (EventKind.CONTAINER, "stop" if dies_first else "die"))
        # newer engines send "stop" before or after "die"
        ended = [found for found in stopped if found != ("stop", None)]
        assert ended[:: -1 if dies_first else 1] == [("disconnect", "blog"), ("die", None)]


async def test_kill_sends_disconnect_and_destroy_events(bench: Bench) -> None:
    await bench.engine.create_network(DUAL)
    web = run(bench, "web")
    async with aclosing(bench.engine.events()) as events:
        await anext(events)
        bench.remove_container(web)
        found = [action for action, _ in await collect(events, web, (EventKind.CONTAINER, "destroy"))]
        assert sorted(found[-3:-1]) == ["die", "disconnect"]


async def test_a_configured_attachment_connects_when_the_container_starts(bench: Bench) -> None:
    network_id = await bench.engine.create_network(DUAL)
    web = bench.create_container("web", "bridge")
    async with aclosing(bench.engine.events()) as events:
        await anext(events)
        await bench.engine.connect(network_id, Attachment(web, "web", running=False))
        bench.start_container(web)
        found = await collect(events, web, (EventKind.CONTAINER, "start"))
        assert {("connect", "bridge"), ("connect", "blog")} <= set(found)
