"""Builds an operator's context from the real adapters, and closes them."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dockerv6.controller.context import Context
from dockerv6.controller.engine_chains import GRACE, EngineChains
from dockerv6.controller.events import EventRecorder
from dockerv6.controller.firewall import FirewallReconciler
from dockerv6.controller.inventory import INSTALLATION, Inventory
from dockerv6.controller.listening import ListeningServices
from dockerv6.controller.problems import OpenProblems
from dockerv6.controller.recorded_intents import RecordedIntents
from dockerv6.controller.recreations import InFlightRecreations
from dockerv6.controller.world import World
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.stateguard import StateGuard
from dockerv6.dockerd.client import DockerEngine
from dockerv6.firewall import detect
from dockerv6.firewall.engine_chains import EngineTables
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter
from dockerv6.firewall.ipv6nat import presence
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.ipam.ledger import Ledger
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.lib.clock import Clock, SystemClock
from dockerv6.store.port import Store
from dockerv6.store.sqlite import SqliteStore

logger = logging.getLogger(__name__)

ID = "id"
"""The record in the scope INSTALLATION with the id of the installation."""

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class State:
    """The state that survives a restart."""

    store: Store
    ledger: Ledger
    guard: StateGuard | None = None  # None: it is not kept in a file


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[State]:
    """Open the store and the ledger on disk. Raises `StoreError`, `LedgerError`."""
    store = await SqliteStore.open(settings.database)
    try:
        ledger = await SqliteLedger.open(settings.database)
        try:
            yield State(store, ledger, StateGuard(settings.database, store, ledger))
        finally:
            await ledger.close()
    finally:
        await store.close()


@asynccontextmanager
async def open_context(
    settings: Settings, state: State, clock: Clock | None = None, *, chains_grace: float = GRACE
) -> AsyncIterator[Context]:
    """Build a context on the real engine, kernel and packet filter. Only the choice of the backend reads anything.

    Args:
        settings: of the process.
        state: the store and the ledger.
        clock: None: the system's.
        chains_grace: seconds until missing chains of the engine are reported.

    Raises:
        FirewallUnavailable: the configured firewall backend does not work here.
        DockerHostError: DOCKER_HOST or its certificates are unusable.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        engine = DockerEngine(settings.docker_host)
        stack.push_async_callback(engine.close)
        host = LinuxHostNet()
        stack.push_async_callback(host.close)
        session = NftSession()
        stack.push_async_callback(session.close)
        inventory = Inventory(state.store, state.ledger, clock)
        controller = settings.controller(await _installation(settings, state.store))
        world = World(engine, host, clock)
        choice = await _choice(settings, session)
        backend = detect.build(choice, session)
        stack.push_async_callback(backend.close)
        host_filter = LinuxHostFilter(session)
        stack.push_async_callback(host_filter.close)
        firewall = FirewallReconciler(
            backend,
            host_filter,
            inventory,
            world,
            controller.identity,
            RecordedIntents(state.store, clock),
            residues=detect.others(choice, session),
        )
        events = EventRecorder(state.store, clock)
        context = Context(
            settings=controller,
            clock=clock,
            store=state.store,
            inventory=inventory,
            world=world,
            firewall=firewall,
            events=events,
            problems=OpenProblems(state.store, events),
            recreations=InFlightRecreations(state.store),
            listening=ListeningServices(world, firewall, clock),
            engine_chains=EngineChains(
                EngineTables(session).read,
                state.store,
                world,
                clock,
                chains_grace,
                rival=lambda: firewall.rival,
            ),
            detect_foreign_rules=partial(_foreign_rules, session),
        )
        if state.guard is not None:
            context.check_state = state.guard.check
        yield context


async def _installation(settings: Settings, store: Store) -> str:
    """The id of this installation, which distinguishes its Docker networks from those of others.

    It is made of the machine's id (machine-id(5)), the state directory and the instance, so that it is the same after
    the state was lost. It is stored, so that it stays when the state directory is moved.
    """
    kept = (await store.record(INSTALLATION, ID) or {}).get("id")
    if isinstance(kept, str):
        return kept
    made = await asyncio.to_thread(_new_installation, settings)
    await store.put_record(INSTALLATION, ID, {"id": made})
    return made


def _new_installation(settings: Settings) -> str:
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        machine = ""  # containers have none
    return hashlib.sha256(f"{machine}\0{settings.state_dir}\0{settings.instance}".encode()).hexdigest()[:16]


async def _choice(settings: Settings, session: NftSession) -> detect.BackendChoice:
    """Choose the backend. If none works, choose nftables: it reports what is missing until that is there."""
    try:
        choice = await detect.choose(settings.firewall_backend, session)
    except FirewallUnavailable as error:
        if settings.firewall_backend != detect.AUTO:
            raise
        return detect.BackendChoice(detect.NFTABLES, str(error))
    logger.debug("firewall backend %s: %s", choice.backend, choice.why)
    for warning in (*choice.limits, *choice.warnings):
        logger.warning("firewall backend %s: %s", choice.backend, warning)
    return choice


async def _foreign_rules(session: NftSession) -> str:
    """A message about docker-ipv6nat; "": it is not on this host."""
    found = await presence.detect(session)
    return found.message if found is not None else ""
