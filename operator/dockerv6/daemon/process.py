"""The processes that use the state directory: ``run`` until a signal, ``apply`` once, ``uninstall``."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry

from dockerv6.api import conditions as cond
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.controller.context import Context
from dockerv6.controller.garbage import remove_everything
from dockerv6.controller.git import GitSources, remove_unconfigured
from dockerv6.controller.operator import Operator
from dockerv6.controller.status import conditions_before
from dockerv6.daemon import heap, systemd
from dockerv6.daemon.http import serve
from dockerv6.daemon.observer import MetricsObserver
from dockerv6.daemon.requests import OperatorRequests
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.wiring import open_context, open_state
from dockerv6.hostnet.lock import NamespaceLock
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.tasks import run_until_signal, to_cancellable_thread
from dockerv6.planning.saved_plan import SavedPlan
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.watch import watch
from dockerv6.store.lock import InstanceLock
from dockerv6.store.model import StoredObject
from dockerv6.telemetry.health import Health, Heartbeat, Probe, StuckWork
from dockerv6.telemetry.logging import configure
from dockerv6.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

HEARTBEAT = 15.0  # seconds between beats of the event loop
HEARTBEAT_LIMIT = 60.0

WORKERS = 5
"""Threads of `asyncio.to_thread`. The default depends on the processors: up to 32, half of the unit's TasksMax.
The watch of the sources keeps one of them."""


STUCK_LIMIT = 300.0
"""Seconds after which a key that is still being handled makes the daemon not ready. Every request has a time limit."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The state of a resource after an apply."""

    kind: str
    name: str
    ready: bool
    reason: str
    message: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningOperator:
    """An operator that runs, and what it reports about itself."""

    operator: Operator
    context: Context
    health: Health


def run(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code. SIGHUP restarts it in the same process.

    Args:
        settings: of the start.
        reread: the settings as they are at a reload; raises ValueError or OSError if they can't be used.

    Raises:
        AlreadyRunning: another process uses the state directory.
        NamespaceInUse: another operator manages the network namespace.
        StoreError, LedgerError, ListenError, FirewallUnavailable, OSError: it can't start; the message says why.
    """
    _configure_logging(settings)
    heap.use_one_arena()
    heap.freeze_modules()
    return asyncio.run(_run(settings, reread))


def _configure_logging(settings: Settings) -> None:
    configure("json" if settings.log_format == "json" else "text", settings.log_level, sys.stderr)


async def _run(settings: Settings, reread: Callable[[], Settings]) -> int:
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, received.put_nowait, number)
    trimming = asyncio.create_task(heap.give_back(SystemClock()))
    wanted, used = settings, None
    while True:
        async with AsyncExitStack() as stack:
            used = await _start(stack, wanted, used)
            logger.info(
                "dockerv6 %s watches %s", version("dockerv6"), ", ".join(map(str, (*used.config_dirs, *used.git)))
            )
            systemd.notify(systemd.READY)
            if await received.get() is not signal.SIGHUP:
                trimming.cancel()
                systemd.notify(systemd.STOPPING)
                logger.info("stopping; networks and rules stay as they are")
                return 0
            systemd.notify_reloading()
            wanted = _reread(reread, used)
            logger.info("reloading; networks and rules stay as they are")


async def _start(stack: AsyncExitStack, wanted: Settings, used: Settings | None) -> Settings:
    """Start with the wanted settings, or else with those that were used before; returns which."""
    _configure_logging(wanted)
    try:
        await stack.enter_async_context(running(wanted))
    except Exception as error:
        if used is None or used == wanted:
            raise
        _configure_logging(used)
        logger.error("the new settings can't be used, so the previous ones still are: %s", error)  # noqa: TRY400
        await stack.enter_async_context(running(used))
        return used
    return wanted


def _reread(reread: Callable[[], Settings], used: Settings) -> Settings:
    try:
        return reread()
    except (OSError, ValueError) as error:
        logger.error("the settings can't be read, so the previous ones are still used: %s", error)  # noqa: TRY400
        return used


def apply(settings: Settings, timeout: float, plan: SavedPlan | None = None) -> tuple[ApplyResult, ...]:
    """Converge once, delete what is gone from the sources, and return the state of every resource.

    Args:
        settings: as for `run`.
        timeout: seconds to wait at most; a resource that is not Ready by then is returned as such. Git repositories
            are asked first, within the same time.
        plan: executes these steps only, and only if they are what is to be done now; None: whatever is to be done.

    Raises:
        PlanRefused: the plan is stale, or of another host, version or instance, or a source can't be read.
        SourcesTooSlow: the sources could not be read within the time.
        The same as `run`.
    """
    _configure_logging(settings)
    return run_until_signal(_apply(settings, timeout, plan))


class SourcesTooSlow(Exception):  # noqa: N818 - an outcome of the remote
    """The Git repositories were not read within the time of an apply. The message has the remedy."""


async def _apply(settings: Settings, limit: float, plan: SavedPlan | None) -> tuple[ApplyResult, ...]:
    deadline = asyncio.get_running_loop().time() + limit
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline if settings.git else None):  # the rest of a start is short
                it = await stack.enter_async_context(running(settings, plan, once=True))
        except TimeoutError as error:
            cause = f"the sources and the host were not read within {limit:.0f} s"
            raise SourcesTooSlow(f"{cause}; check the Git repositories, or allow more time with --timeout") from error
        try:
            async with asyncio.timeout_at(deadline):
                await it.operator.settle()
        except TimeoutError:
            logger.warning("not everything has converged within %.0f s", limit)
        return tuple(_result(stored) for stored in it.context.inventory.objects)


def _result(stored: StoredObject) -> ApplyResult:
    conditions = conditions_before(stored)
    ready = cond.get(conditions, ConditionType.READY)
    if ready is None:
        return ApplyResult(stored.kind, stored.name, False, Reason.PROGRESSING, "it has not been reconciled yet")
    current = stored.status.get("observedGeneration") == stored.generation and not stored.problem
    return ApplyResult(
        stored.kind,
        stored.name,
        current and ready.status == "True",
        str(ready.reason),
        ready.message,
        cond.warnings(cond.to_json(conditions)),
    )


def uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove networks and rules, restore sysctls, delete the state; returns a line for each removal.

    Raises:
        AlreadyRunning, NamespaceInUse: a daemon runs; it would create everything again.
        StoreError, EngineError, FirewallError, HostNetError: something could not be removed; earlier removals stay.
    """
    return asyncio.run(_uninstall(settings, keep_networks=keep_networks))


async def _uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    with InstanceLock(Path(settings.state_dir)), NamespaceLock():
        async with open_state(settings) as state, open_context(settings, state) as context:
            await context.inventory.load()
            removed = await remove_everything(context, keep_networks=keep_networks)
        for file in (settings.database, *(Path(f"{settings.database}-{part}") for part in ("wal", "shm"))):
            file.unlink(missing_ok=True)
        remove_unconfigured(settings.git_directory, ())
    return (*removed, f"deleted the state in {settings.database}")


@asynccontextmanager
async def running(
    settings: Settings, plan: SavedPlan | None = None, *, once: bool = False
) -> AsyncIterator[RunningOperator]:
    """Run an operator for the time of the block, alone with its state directory.

    Args:
        settings: of the process.
        plan: as for `apply`.
        once: ask the Git repositories before anything else, instead of beside it.

    Raises:
        PlanRefused: as `apply`.
    """
    async with AsyncExitStack() as stack:
        workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="worker")
        asyncio.get_running_loop().set_default_executor(workers)
        stack.callback(workers.shutdown, wait=False)
        stack.enter_context(InstanceLock(Path(settings.state_dir)))
        stack.enter_context(NamespaceLock())
        if plan is not None:  # under the locks, so that no other process changes anything in between
            from dockerv6.daemon.preview import fetch_missing, preview  # noqa: PLC0415 - the daemon has no plan

            await to_cancellable_thread(partial(fetch_missing, settings.git_sources))
            plan.check((await preview(settings)).saved)
        state = await stack.enter_async_context(open_state(settings))
        context = await stack.enter_async_context(open_context(settings, state))
        metrics = Metrics(CollectorRegistry(), version("dockerv6"))
        context.drift = metrics
        context.approve = plan.approval() if plan is not None else context.approve
        heart = Heartbeat(context.clock, HEARTBEAT_LIMIT)
        stuck = StuckWork(context.clock, STUCK_LIMIT)
        health = build_health(context, heart, stuck)
        loader = Loader(
            settings.roots, clock=context.clock, ownership=FileOwnership.of_this_process(settings.trusted_uids)
        )
        random = Random()  # noqa: S311 - jitter, no secret
        await asyncio.to_thread(remove_unconfigured, settings.git_directory, settings.git_sources)
        git = GitSources(settings.git_sources, settings.git_interval, context.clock, random)
        stack.push_async_callback(git.close)
        if once and plan is None:  # a newer commit needs another plan
            await git.ask_all(context)
        operator = Operator(
            context,
            git.read(loader.load),
            lambda: git.watch(watch(settings.roots, clock=context.clock)),
            random,
            MetricsObserver(metrics, stuck, context),
            {} if once else git.tasks(context),
        )
        health.add(Probe.READINESS, "tasks", operator.check_tasks)
        stack.enter_context(serve(settings.address, health, metrics, OperatorRequests(operator)))
        await operator.start()
        stack.push_async_callback(operator.stop)
        for work in (heart.run(HEARTBEAT), systemd.feed_watchdog(context.clock, stuck.check)):
            stack.callback(asyncio.create_task(work).cancel)
        yield RunningOperator(operator, context, health)


def build_health(context: Context, heart: Heartbeat, stuck: StuckWork) -> Health:
    """The daemon's checks."""
    health = Health()
    health.add(Probe.LIVENESS, "event-loop", heart.check)
    health.add(
        Probe.READINESS,
        "sources",
        lambda: "" if context.inventory.sources_listed else "not every source has been listed yet",
    )
    health.add(Probe.READINESS, "problems", context.problems.check)
    health.add(Probe.READINESS, "engine", lambda: context.world.engine_problem or context.world.events_problem)
    health.add(Probe.READINESS, "reconciles", stuck.check)
    return health
