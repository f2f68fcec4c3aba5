"""Builds one operator's workbench out of the real adapters, and takes it apart again."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dockerv6.controller.context import Context
from dockerv6.controller.firewall import FirewallKeeper
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.reporter import Reporter
from dockerv6.controller.world import World
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.ipam.ledger import Ledger
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.lib.clock import Clock, SystemClock
from dockerv6.store.port import Store
from dockerv6.store.sqlite import SqliteStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What survives a restart."""

    store: Store
    ledger: Ledger


@asynccontextmanager
async def durable(settings: Settings) -> AsyncIterator[Memory]:
    """The store and the ledger on disk. Raises `StoreError`, `LedgerError`."""
    store = await SqliteStore.open(settings.database)
    try:
        ledger = await SqliteLedger.open(settings.database)
        try:
            yield Memory(store, ledger)
        finally:
            await ledger.close()
    finally:
        await store.close()


@asynccontextmanager
async def workbench(settings: Settings, memory: Memory, clock: Clock | None = None) -> AsyncIterator[Context]:
    """A context on the real engine, kernel and packet filter. Nothing is contacted before it is used.

    Raises:
        FirewallUnavailable: a backend is asked for that this version does not have.
        ValueError: DOCKER_HOST or its certificates are unusable.
    """
    if settings.firewall_backend == "iptables":
        raise FirewallUnavailable(
            "the iptables backend is not yet in effect in this version; use --firewall-backend nftables (or auto)"
        )
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        engine = DockerEngine(settings.docker_host)
        stack.push_async_callback(engine.close)
        host = LinuxHostNet()
        stack.push_async_callback(host.close)
        session = NftSession()
        stack.push_async_callback(session.close)
        inventory = Inventory(memory.store, memory.ledger)
        controller = settings.controller()
        world = World(engine, host, clock)
        firewall = FirewallKeeper(
            NftablesFirewall(session), LinuxHostFilter(session), inventory, world, controller.identity
        )
        yield Context(
            settings=controller,
            clock=clock,
            store=memory.store,
            inventory=inventory,
            world=world,
            firewall=firewall,
            reporter=Reporter(memory.store, clock),
        )
