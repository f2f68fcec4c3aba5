"""The processes of the daemon, on a simulated host with a real state directory."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.controller.context import Context
from dockerv6.daemon import heap, process
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.wiring import State
from dockerv6.lib.clock import SystemClock
from dockerv6.store.lock import AlreadyRunning, InstanceLock
from dockerv6.telemetry.health import Heartbeat, Probe, StuckWork
from tests.unit.daemon.test_http import get
from tests.world import Host

NETWORK = """apiVersion: dockerv6.io/v1alpha1
kind: IPv6Network
metadata:
  name: blog
"""
LONG_AGO = 1_000_000_000


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A simulated host in place of the real one."""
    host = Host()

    @asynccontextmanager
    async def open_context(settings: Settings, state: State) -> AsyncIterator[Context]:
        host.store, host.ledger = state.store, state.ledger  # type: ignore[assignment] # the real ones
        host.settings = settings.controller()
        context = host.context()
        context.clock = SystemClock()
        yield context

    monkeypatch.setattr(process, "open_context", open_context)
    monkeypatch.setattr(process, "NamespaceLock", nullcontext)  # the simulated host is in no namespace
    monkeypatch.setattr(process, "configure", lambda *_: None)
    monkeypatch.setattr(heap, "use_one_arena", lambda: None)
    return host


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "config").mkdir()
    return Settings(
        config_dirs=(str(tmp_path / "config"),),
        trusted_uids=(os.getuid(),),
        state_dir=str(tmp_path / "state"),
        run_dir=str(tmp_path / "run"),
    )


def write(settings: Settings, text: str = NETWORK) -> None:
    """A source file that is old enough not to be half-written."""
    file = Path(settings.config_dirs[0]) / "blog.yaml"
    file.write_text(text)
    os.utime(file, (LONG_AGO, LONG_AGO))


class TestApply:
    def test_every_resource_is_returned_with_its_state(self, host: Host, settings: Settings) -> None:
        write(settings)
        found = {(each.kind, each.name): (each.ready, each.reason) for each in process.apply(settings, timeout=60)}
        assert found == {
            ("IPv6Network", "blog"): (True, "ReconcileSucceeded"),
            ("IPv6Pool", "default"): (True, "ReconcileSucceeded"),
        }
        assert asyncio.run(host.docker("blog")) is not None

    def test_a_resource_that_can_not_be_applied_is_not_ready(self, host: Host, settings: Settings) -> None:
        host.engine.down()
        write(settings)
        (result,) = process.apply(settings, timeout=60)
        assert (result.ready, result.reason) == (False, "EngineUnavailable")

    def test_apply_ends_at_its_time_limit(self, host: Host, settings: Settings) -> None:
        assert host
        write(settings)
        assert not any(result.ready for result in process.apply(settings, timeout=0))

    def test_apply_refuses_to_run_beside_another_process(self, host: Host, settings: Settings) -> None:
        assert host
        with InstanceLock(Path(settings.state_dir)), pytest.raises(AlreadyRunning):
            process.apply(settings, timeout=60)


class TestRunning:
    async def test_the_daemon_serves_health_and_metrics(self, host: Host, settings: Settings) -> None:
        write(settings)
        async with process.running(settings) as it:
            await it.operator.settle()
            status, _, body = await asyncio.to_thread(get, settings.address, "/readyz")
            assert (status, '"ok": true' in body) == (200, True)
            _, _, body = await asyncio.to_thread(get, settings.address, "/metrics")
            assert 'dockerv6_resources{kind="IPv6Network",ready="True"} 1.0' in body
            host.engine.down()
            it.context.world.engine_changed()
            await it.context.world.engine_state()
            assert (await asyncio.to_thread(get, settings.address, "/readyz"))[0] == 503
            assert (await asyncio.to_thread(get, settings.address, "/livez"))[0] == 200

    async def test_the_state_survives_a_restart(self, host: Host, settings: Settings) -> None:
        write(settings)
        async with process.running(settings) as it:
            await it.operator.settle()
        before = await host.docker("blog")
        async with process.running(settings) as it:
            assert it.context.inventory.get("IPv6Network", "blog") is not None
            await it.operator.settle()
        assert before is not None
        assert await host.docker("blog") == before


class TestRun:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_stops_the_daemon_and_systemd_is_notified(
        self, host: Host, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
    ) -> None:
        assert host
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.settimeout(60)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            states: list[bytes] = []

            def follow() -> None:
                states.append(systemd.recv(100))
                os.kill(os.getpid(), number)
                states.append(systemd.recv(100))

            following = threading.Thread(target=follow)
            following.start()
            assert process.run(settings, lambda: settings) == 0
            following.join()
        assert states == [b"READY=1", b"STOPPING=1"]

    def test_a_reload_uses_new_settings_and_resources_and_wrong_ones_change_nothing(
        self, host: Host, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert host
        other = tmp_path / "other"
        other.mkdir()
        answers: Iterator[Settings | ValueError] = iter(
            [
                replace(settings, listen="192.0.2.1:1"),
                ValueError("no"),
                replace(settings, config_dirs=(*settings.config_dirs, str(other))),
            ]
        )
        used: list[tuple[str, ...]] = []

        def reread() -> Settings:
            answer = next(answers)
            if isinstance(answer, ValueError):
                raise answer
            return answer

        @asynccontextmanager
        async def running(now: Settings) -> AsyncIterator[None]:
            async with real(now):
                used.append(now.config_dirs)
                yield

        real = process.running
        monkeypatch.setattr(process, "running", running)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.settimeout(60)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            states: list[str] = []

            def follow() -> None:
                for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                    while not states or not states[-1].startswith("READY"):
                        states.append(systemd.recv(100).decode())
                    os.kill(os.getpid(), number)
                    states.append(systemd.recv(100).decode().partition("\n")[0])

            following = threading.Thread(target=follow)
            following.start()
            assert process.run(settings, reread) == 0
            following.join()
        assert states == [*["READY=1", "RELOADING=1"] * 3, "READY=1", "STOPPING=1"]
        before = settings.config_dirs
        assert used == [before, before, before, (*before, str(other))]


class TestUninstall:
    def test_networks_rules_and_state_are_removed(self, host: Host, settings: Settings) -> None:
        write(settings)
        process.apply(settings, timeout=60)
        removed = process.uninstall(settings, keep_networks=False)
        assert asyncio.run(host.docker("blog")) is None
        assert not host.rules_of("blog")
        assert not settings.database.exists()
        assert removed[-1] == f"deleted the state in {settings.database}"

    def test_uninstall_refuses_to_run_beside_a_daemon(self, host: Host, settings: Settings) -> None:
        assert host
        with InstanceLock(Path(settings.state_dir)), pytest.raises(AlreadyRunning):
            process.uninstall(settings, keep_networks=False)


async def test_each_check_of_readiness() -> None:
    host = Host()
    context = host.context()
    stuck = StuckWork(host.clock, process.STUCK_LIMIT)
    health = process.build_health(context, Heartbeat(host.clock, process.HEARTBEAT_LIMIT), stuck)
    assert set(health.report(Probe.READINESS).problems) == {"sources", "engine"}
    context.inventory.sources_listed = True
    await context.world.engine_state()
    assert health.report(Probe.READINESS).ok
    stuck.begin("IPv6Network/blog")
    host.clock.advance(process.STUCK_LIMIT + 1)
    assert set(health.report(Probe.READINESS).problems) == {"reconciles"}
    assert set(health.report(Probe.LIVENESS).problems) == {"event-loop"}
