"""The operator's loop: handlers, triggers and sources around one context."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from random import Random
from types import MappingProxyType

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.controller import host, network, policy, pool
from dockerv6.controller.context import Context
from dockerv6.controller.engine_chains import BOOT_ID
from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.polling import Polling
from dockerv6.controller.sources import Read, SourceReconciler
from dockerv6.controller.status import condition_status, report_fault
from dockerv6.controller.triggers import Triggers
from dockerv6.hostnet.port import HostNetError
from dockerv6.ipam.ledger import LedgerError
from dockerv6.lib.clock import wait_for
from dockerv6.lib.tasks import Supervisor, TaskFunction
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.firewall.contributions import POLICY_OWNER, resource_of
from dockerv6.reconciler.handler import Handler, Key, ReconcileError, Registry, Requeue, TemporaryError
from dockerv6.reconciler.manager import Manager, Observer
from dockerv6.store.model import WARNINGS
from dockerv6.store.port import StoreError

logger = logging.getLogger(__name__)

FLUSH_LIMIT = 0.2
"""Seconds that a stop waits for the last records."""

EXPIRY_INTERVAL = 3600.0
"""Seconds between removals of old events."""

PROBLEMS_INTERVAL = 10.0
"""Seconds between reports of problems that nothing announces."""

Watch = Callable[[], AsyncIterator[object]]
"""Yields whenever the sources may have changed, and once at the start."""


def reporting_faults(handler: Handler[Context]) -> Handler[Context]:
    """The handler, with unexpected exceptions in the status of its resource. They concern no other resource."""

    async def run(key: Key, context: Context) -> Requeue | None:
        try:
            return await handler(key, context)
        except ReconcileError:  # it has a known cause, and the handler has reported it
            raise
        except HostNetError as error:
            await report_fault(key, error, context, Reason.HOST_UNREADABLE)
            raise TemporaryError(str(error)) from error
        except Exception as error:
            await report_fault(key, error, context)
            raise

    return run


registry: Registry[Context] = Registry()
for kind, handlers in ((NETWORK, network), (POOL, pool), (POLICY, policy)):
    registry.reconcile(kind)(reporting_faults(handlers.reconcile))
    registry.finalize(kind)(reporting_faults(handlers.finalize))
registry.reconcile(host.HOST)(reporting_faults(host.reconcile))


class InventoryTombstones:
    """Implements `reconciler.manager.Tombstones` with the inventory."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def is_deleting(self, key: Key) -> bool:
        """Whether the object has a tombstone."""
        stored = self._context.inventory.get(key.kind, key.name)
        return stored is not None and stored.deleting_since is not None

    async def remove(self, key: Key) -> None:
        """Remove the tombstone, unless the resource is back in its source."""
        if await self._context.inventory.remove_tombstone(key.kind, key.name):
            self._context.enqueue(GARBAGE, f"{key} is deleted")


class Operator:
    """Runs until it is stopped."""

    def __init__(
        self,
        context: Context,
        read: Read,
        watch: Watch,
        random: Random,
        observer: Observer | None = None,
        tasks: Mapping[str, TaskFunction] = MappingProxyType({}),
    ) -> None:
        self._context = context
        self._tasks = tasks  # more background tasks, by name
        self._watch = watch
        self.sources = SourceReconciler(read, context)
        self.triggers = Triggers(context)
        self.manager: Manager[Context] = Manager(
            registry,
            tombstones=InventoryTombstones(context),
            context=context,
            clock=context.clock,
            random=random,
            observer=observer,
        )
        self._supervisor = Supervisor(clock=context.clock, random=random, timeout=0.3)
        self._labels_reported_for: object = None  # what the reported labels were computed from
        self._sync_again: float | None = None  # seconds until the sources are read again without a trigger
        self._sources_settled = asyncio.Event()

    async def start(self) -> None:
        """Load the stored state and start to watch. Nothing is changed before it is planned. Raises `StoreError`."""
        context = self._context
        await context.inventory.load()
        await context.recreations.load()
        await context.firewall.recorded.load(await _boot_id(context))
        await context.problems.load()
        await context.engine_chains.load()
        context.firewall.recall(_ready_owners(context))
        context.enqueue = self.manager.enqueue
        context.firewall.on_owner_changed(self._owner_changed)
        self.manager.start()
        polling = Polling(context, self.triggers)
        self._supervisor.keep("engine", self.triggers.follow_engine)
        self._supervisor.keep("lagging-containers", self.triggers.refresh_lagging_containers)
        self._supervisor.keep("kernel", self.triggers.follow_kernel)
        self._supervisor.keep("engine-refresh", self.triggers.refresh_engine)
        self._supervisor.keep("firewall", self.triggers.repair_firewall)
        self._supervisor.keep("host-filter", self.triggers.reconcile_host_filter)
        self._supervisor.keep("packet-walk", self.triggers.follow_flows)
        self._supervisor.keep("recorded-intents", context.firewall.recorded.write)
        self._supervisor.keep("links", self.triggers.process_link_changes)
        self._supervisor.keep("foreign-rules", polling.foreign_rules)
        self._supervisor.keep("legacy-rules", polling.legacy_rules)
        self._supervisor.keep("host-sockets", polling.host_sockets)
        self._supervisor.keep("engine-chains", polling.engine_chains)
        self._supervisor.keep("container-sockets", polling.container_sockets)
        self._supervisor.keep("suspended", self._refresh_suspended)
        self._supervisor.keep("resync", self.triggers.resync)
        self._supervisor.keep("sources", self._follow_sources)
        self._supervisor.keep("problems", self._report_problems)
        self._supervisor.keep("state-file", self._keep_state)
        self._supervisor.keep("event-expiry", self._expire_events)
        for name, task in self._tasks.items():
            self._supervisor.keep(name, task)
        self.triggers.repair_firewall_soon()  # what was deleted while no operator ran; the engine may take its time

    @property
    def crashing(self) -> Mapping[str, str]:
        """The background tasks that crash, with the cause."""
        return {**self._supervisor.crashing, **self.manager.crashing}

    def check_tasks(self) -> str:
        """A `HealthCheck`: whether every background task runs."""
        return "; ".join(_crash(name, cause) for name, cause in self.crashing.items())

    async def stop(self) -> None:
        """Stop watching and working, within a second. Rules and networks stay as they are."""
        await self._supervisor.stop()
        with suppress(StoreError, TimeoutError):
            await wait_for(self._context.clock, self._context.firewall.recorded.flush(), FLUSH_LIMIT)
        await self.manager.stop()

    async def reconcile_now(self, keys: Sequence[Key]) -> tuple[Key, ...]:
        """Read everything again that resources depend on, once, and reconcile them. Returns those that do not exist.

        What the command line wrote to the state file, such as a suspension, is in effect when this returns.
        Raises `StoreError`.
        """
        context = self._context
        await context.inventory.refresh_suspended()
        missing = tuple(key for key in keys if context.inventory.get(key.kind, key.name) is None)
        if len(missing) == len(keys):
            return missing
        context.world.engine_changed()
        context.world.host_changed()
        context.firewall.invalidate()
        context.firewall.invalidate_filter()
        for key in keys:
            if key not in missing:
                if key.kind == NETWORK:
                    context.converged.pop(key.name, None)
                context.enqueue(key, "requested")
        self.triggers.repair_firewall_soon()
        return missing

    async def _refresh_suspended(self) -> None:
        """Take over what the command line recorded when it found no socket to tell us."""
        while True:
            await self._context.clock.sleep(self._context.settings.resync)
            try:
                changed = await self._context.inventory.refresh_suspended()
            except StoreError as error:
                logger.warning("state: %s", error)
                continue
            for kind, name in changed:
                self._context.enqueue(Key(kind, name), "it was suspended or resumed")

    async def settle(self) -> None:
        """Wait until the sources are accepted, grace periods included, and the queue is empty."""
        while True:
            await self._sources_settled.wait()
            await self.manager.idle()
            # when an engine creates a network it puts its jumps above our accept rule; the notification comes later
            self._context.firewall.invalidate_filter()
            self._context.world.host_changed()
            await self._context.world.refresh()
            for owner in await self._context.listening.refresh():
                self._owner_changed(owner)
            try:
                await host.repair_firewall(self._context, noticed=self._context.clock.monotonic())
                await host.reconcile(host.HOST_FILTER, self._context)
            except TemporaryError as error:
                logger.warning("firewall: %s", error)
            await self.manager.idle()
            if self._sources_settled.is_set():
                await self._report_labels()
                return

    def _owner_changed(self, owner: str) -> None:
        """Reconcile a resource whose networks or ports changed because of another resource or a container."""
        self._context.enqueue(Key(*resource_of(owner)), "its networks or ports changed")

    async def _follow_sources(self) -> None:
        """Read the sources at each trigger, and when a grace period ends."""
        triggers = aiter(self._watch())
        trigger: asyncio.Task[object] | None = None
        try:
            while True:
                trigger = trigger or asyncio.ensure_future(anext(triggers))
                if await self._fired(trigger):
                    trigger.result()
                    trigger = None
                self._sync_again = await self.sources.sync()
                if self._sync_again is None:
                    self._sources_settled.set()
                else:
                    self._sources_settled.clear()
        finally:
            if trigger is not None:
                trigger.cancel()

    async def _fired(self, trigger: asyncio.Task[object]) -> bool:
        """Wait for the trigger until the sources are to be read anyway; whether it fired. It is not cancelled."""
        if self._sync_again is None:
            await asyncio.wait({trigger})
            return True
        timer = asyncio.ensure_future(self._context.clock.sleep(self._sync_again))
        try:
            done, _ = await asyncio.wait({trigger, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return trigger in done

    async def _report_problems(self) -> None:
        """Report now and then what no trigger announces."""
        context = self._context
        while True:
            crashes = [_crash(name, cause) for name, cause in self.crashing.items()]
            await context.problems.report("tasks", Reason.INTERNAL_ERROR, crashes)
            await context.problems.report("rules", Reason.INTERNAL_ERROR, context.firewall.faults)
            unread = (context.world.host_problem, context.world.sockets.problem)
            await context.problems.report("host", Reason.HOST_UNREADABLE, filter(None, unread))
            await context.problems.report("state", Reason.STATE_UNREADABLE, context.inventory.problems)
            undecoded = [
                f"Docker network {n.name or n.id} can't be read ({n.problem}), and is not touched; see `docker network"
                f" inspect {shell_quoted(n.name or n.id)}`"
                for n in context.world.known_networks
                if n.problem
            ]
            await context.problems.report("engine", Reason.FOREIGN_NETWORK, undecoded)
            await self._report_labels()
            await context.events.store()
            await context.problems.store()
            await context.clock.sleep(PROBLEMS_INTERVAL)

    async def _report_labels(self) -> None:
        """Warn of labels without an effect, if something changed that this depends on."""
        context = self._context
        inputs = context.inventory.version, context.world.version, context.firewall.assignment
        ignored = context.ignored_labels()
        if ignored is None or inputs == self._labels_reported_for:
            return
        messages: list[str] = []
        for each in ignored:
            messages.append(each)
            await asyncio.sleep(0)  # each may take 20 ms, see `planning.labels.ignored_labels`
        await context.problems.report("labels", Reason.LABEL_IGNORED, messages, scope=WARNINGS)
        self._labels_reported_for = inputs

    async def _keep_state(self) -> None:
        """Have the state file written again if it was removed or damaged.

        A task of its own, which reports failures without the store: all writes may wait until it succeeds.
        """
        context = self._context
        while True:
            try:
                message = await context.check_state()
            except (StoreError, LedgerError, OSError) as error:
                problem = f"the state can't be kept: {error}"
                context.problems.note("state-file", Reason.STATE_UNREADABLE, [problem])
            else:
                context.problems.note("state-file", Reason.STATE_UNREADABLE, [])
                if message:
                    await context.events.warning("Host", "state-file", Reason.STATE_REWRITTEN, message)
            await context.clock.sleep(PROBLEMS_INTERVAL)

    async def _expire_events(self) -> None:
        """Remove events that are older than their retention, also by the time since the start: the clock may be set."""
        clock, retention = self._context.clock, self._context.settings.event_retention
        offset = clock.now() - clock.monotonic()
        while True:
            now = min(clock.now(), offset + clock.monotonic())
            await self._context.store.expire_events(now - retention)
            await clock.sleep(EXPIRY_INTERVAL)


async def _boot_id(context: Context) -> str:
    """The kernel's boot id (random(4)); "": it can't be read."""
    try:
        return await context.world.host.sysctl(BOOT_ID) or ""
    except HostNetError:
        return ""


def _ready_owners(context: Context) -> Iterator[str]:
    """The owners of rules whose stored status is Ready."""
    for stored in context.inventory.objects:
        if stored.kind in (NETWORK, POLICY) and condition_status(stored, ConditionType.READY) == "True":
            yield f"{POLICY_OWNER if stored.kind == POLICY else ''}{stored.name}"


def _crash(name: str, cause: str) -> str:
    return f"task {name} crashed ({cause}) and is started again; see the log"
