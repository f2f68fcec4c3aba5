"""The process: ``run`` until a signal, or ``apply`` once."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import ConditionType
from dockerv6.controller.context import Context
from dockerv6.controller.garbage import remove_everything
from dockerv6.controller.operator import Operator
from dockerv6.controller.status import conditions_before
from dockerv6.daemon import heap
from dockerv6.daemon.http import serve
from dockerv6.daemon.measuring import MeasuringObserver
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.wiring import durable, workbench
from dockerv6.lib.clock import SystemClock
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.watch import watch
from dockerv6.store.lock import InstanceLock
from dockerv6.telemetry.health import Health, Heartbeat, Probe
from dockerv6.telemetry.logging import configure
from dockerv6.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

HEARTBEAT = 15.0  # seconds between beats of the event loop
HEARTBEAT_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """How a resource is after an apply."""

    kind: str
    name: str
    ready: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Running:
    """An operator at work."""

    operator: Operator
    context: Context


def run(settings: Settings) -> int:
    """Be the daemon until SIGTERM or SIGINT; gives the exit code.

    Raises:
        AlreadyRunning: another process has the state directory.
        StoreError, LedgerError, ListenError, FirewallUnavailable, OSError: it can't even begin; the message says why.
    """
    configure("json" if settings.log_format == "json" else "text", settings.log_level, sys.stderr)
    heap.use_one_arena()
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        trimming = asyncio.create_task(heap.give_back(SystemClock()))
        logger.info("dockerv6 %s watches %s", version("dockerv6"), ", ".join(settings.config_dirs))
        _notify("READY=1")
        await stop.wait()
        trimming.cancel()
        _notify("STOPPING=1")
        logger.info("stopping; networks and rules stay as they are")
    return 0


def apply(settings: Settings, timeout: float) -> tuple[ApplyResult, ...]:
    """Converge once, prune what is gone from the sources, and say how every resource is.

    Args:
        settings: as for `run`.
        timeout: seconds after which it is left at that; a resource that is not Ready by then is told as such.

    Raises:
        As `run`.
    """
    configure("json" if settings.log_format == "json" else "text", settings.log_level, sys.stderr)
    return asyncio.run(_apply(settings, timeout))


async def _apply(settings: Settings, limit: float) -> tuple[ApplyResult, ...]:
    async with running(settings) as at_work:
        try:
            async with asyncio.timeout(limit):
                await at_work.operator.settle()
        except TimeoutError:
            logger.warning("not everything has converged within %.0f s", limit)
        return tuple(_results(at_work.context))


def _results(context: Context) -> list[ApplyResult]:
    results = []
    for stored in context.inventory.objects:
        ready = cond.get(conditions_before(stored), ConditionType.READY)
        said = ready is not None and stored.status.get("observedGeneration") == stored.generation
        good = said and ready is not None and ready.status == "True" and not stored.problem
        reason = ready.reason if ready is not None else "Progressing"
        message = ready.message if ready is not None else "it has not been looked at yet"
        results.append(ApplyResult(stored.kind, stored.name, good, str(reason), message))
    return results


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """An operator at work for the time of the block, alone with its state directory."""
    async with AsyncExitStack() as stack:
        stack.enter_context(InstanceLock(Path(settings.state_dir)))
        memory = await stack.enter_async_context(durable(settings))
        context = await stack.enter_async_context(workbench(settings, memory))
        metrics = Metrics(CollectorRegistry(), version("dockerv6"))
        health = Health()
        heart = Heartbeat(context.clock, HEARTBEAT_LIMIT)
        health.add(Probe.LIVENESS, "event-loop", heart.check)
        health.add(
            Probe.READINESS, "sources", lambda: "" if context.sources_listed else "not every source has been listed yet"
        )
        health.add(Probe.READINESS, "engine", lambda: context.world.engine_problem)
        loader = Loader(
            settings.config_dirs, clock=context.clock, ownership=FileOwnership.of_this_process(settings.trusted_uids)
        )
        operator = Operator(
            context,
            loader.load,
            lambda: watch(settings.config_dirs, clock=context.clock),
            Random(),  # noqa: S311 - jitter, no secret
            MeasuringObserver(metrics, context),
        )
        stack.enter_context(serve(settings.address, health, metrics))
        await operator.start()
        stack.push_async_callback(operator.stop)
        beating = asyncio.create_task(heart.run(HEARTBEAT))
        stack.callback(beating.cancel)
        yield Running(operator, context)


def _notify(state: str) -> None:
    """Tell systemd, where it asked to be told (sd_notify(3), NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket  # noqa: PLC0415 - only under systemd

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())


def uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove networks, rules and the accept rules, restore sysctls, forget the state. Gives a line for each removal.

    Raises:
        AlreadyRunning: the daemon is still at work; it would make everything again.
        StoreError, EngineError, FirewallError, HostNetError: something could not be removed; what was, stays removed.
    """
    return asyncio.run(_uninstall(settings, keep_networks=keep_networks))


async def _uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    with InstanceLock(Path(settings.state_dir)):
        async with durable(settings) as memory, workbench(settings, memory) as context:
            await context.inventory.load()
            removed = await remove_everything(context, keep_networks=keep_networks)
        for file in (settings.database, *(Path(f"{settings.database}-{part}") for part in ("wal", "shm"))):
            file.unlink(missing_ok=True)
    return (*removed, f"forgot the state in {settings.database}")
