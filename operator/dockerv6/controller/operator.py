"""The operator: handlers, triggers and sources around one context."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from random import Random

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.controller import host, network, policy, pool
from dockerv6.controller.context import Context
from dockerv6.controller.desired_firewall import resource_of
from dockerv6.controller.garbage import GARBAGE
from dockerv6.controller.sources import Read, SourceKeeper
from dockerv6.controller.triggers import Triggers
from dockerv6.lib.tasks import Supervisor
from dockerv6.reconciler.handler import Key, Registry, TemporaryError
from dockerv6.reconciler.manager import Manager, Observer

logger = logging.getLogger(__name__)

Watch = Callable[[], AsyncIterator[object]]
"""Gives something whenever the sources may have changed; at once for the first time."""

registry: Registry[Context] = Registry()
registry.reconcile(NETWORK)(network.reconcile)
registry.finalize(NETWORK)(network.finalize)
registry.reconcile(POOL)(pool.reconcile)
registry.finalize(POOL)(pool.finalize)
registry.reconcile(POLICY)(policy.reconcile)
registry.finalize(POLICY)(policy.finalize)
registry.reconcile(host.HOST)(host.reconcile)


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
            self._context.enqueue(GARBAGE, f"{key} is gone")


class Operator:
    """Runs until it is told to stop."""

    def __init__(
        self, context: Context, read: Read, watch: Watch, random: Random, observer: Observer | None = None
    ) -> None:
        self._context = context
        self._watch = watch
        self.sources = SourceKeeper(read, context)
        self.triggers = Triggers(context)
        self.manager: Manager[Context] = Manager(
            registry,
            tombstones=InventoryTombstones(context),
            context=context,
            clock=context.clock,
            random=random,
            observer=observer,
        )
        self._supervisor = Supervisor(clock=context.clock, random=random, bound=0.3)
        self._again: float | None = None
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Load what was known, take over what runs, begin to watch. Nothing is changed before it is planned."""
        context = self._context
        await context.inventory.load()
        await context.recreations.load()
        context.enqueue = self.manager.enqueue
        context.firewall.on_owner_changed(self._moved)
        self.manager.start()
        self._supervisor.keep("engine", self.triggers.follow_engine)
        self._supervisor.keep("belated", self.triggers.refresh_lagging_containers)
        self._supervisor.keep("kernel", self.triggers.follow_kernel)
        self._supervisor.keep("firewall", self.triggers.repair_firewall)
        self._supervisor.keep("stack", self.triggers.repair_host_stack)
        self._supervisor.keep("rivals", self.triggers.watch_foreign_rules)
        self._supervisor.keep("unannounced", self.triggers.poll_firewall)
        self._supervisor.keep("resync", self.triggers.resync)
        self._supervisor.keep("sources", self._follow_sources)
        self._supervisor.keep("housekeeping", self._expire_events)

    async def stop(self) -> None:
        """Stop watching and working, within a second. Rules and networks stay as they are."""
        await self._supervisor.stop()
        await self.manager.stop()

    async def settle(self) -> None:
        """Wait until the sources are taken in, grace periods included, and no key is waiting or being worked on."""
        while True:
            await self._settled.wait()
            await self.manager.idle()
            # an engine puts its jumps above our accept rule when it makes a network, and the kernel tells of it later
            self._context.firewall.invalidate_filter()
            try:
                await host.repair_firewall(self._context)
            except TemporaryError as error:
                logger.warning("firewall: %s", error)
            await self.manager.idle()
            if self._settled.is_set():
                return

    def _moved(self, owner: str) -> None:
        """What a resource has of networks or ports changed, perhaps by another resource or a container elsewhere."""
        self._context.enqueue(Key(*resource_of(owner)), "its networks or ports changed")

    async def _follow_sources(self) -> None:
        """Read the sources at each trigger, and when a grace period ends."""
        triggers = aiter(self._watch())
        pending: asyncio.Task[object] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(triggers))
                if await self._comes_in_time(pending):
                    pending.result()
                    pending = None
                self._again = await self.sources.sync()
                if self._again is None:
                    self._settled.set()
                else:
                    self._settled.clear()
        finally:
            if pending is not None:
                pending.cancel()

    async def _comes_in_time(self, pending: asyncio.Task[object]) -> bool:
        """Wait for it, but not beyond the time of the next look; it goes on after that."""
        if self._again is None:
            await asyncio.wait({pending})
            return True
        timer = asyncio.ensure_future(self._context.clock.sleep(self._again))
        try:
            done, _ = await asyncio.wait({pending, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return pending in done

    async def _expire_events(self) -> None:
        """Drop events older than their retention, hourly."""
        while True:
            before = self._context.clock.now() - self._context.settings.event_retention
            await self._context.store.expire_events(before)
            await self._context.clock.sleep(3600)
