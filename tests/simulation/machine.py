"""A simulated host on which users, faults and a supervised operator act, each in virtual time."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from random import Random
from typing import TYPE_CHECKING

from dockerv6.controller.context import ControllerSettings
from dockerv6.controller.operator import Operator
from dockerv6.dockerd.model import BRIDGE_NAME, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineError, EngineUnavailable
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.store.memory import MemoryStore
from dockerv6.store.model import EventType, JsonObject, StoredObject
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5
from tests.simulation.directory import Directory
from tests.simulation.engine import FaultyEngine, RecordingFirewall
from tests.simulation.loop import HOST, SimulatedLoop
from tests.world import Host

if TYPE_CHECKING:
    from collections.abc import Callable

RESTART_DELAY = 1.0
"""Seconds between looks of the service manager, and between the attempts of a user."""

STOP_LIMIT = 1.0
"""Seconds within which the operator must stop."""

REPAIR_LIMIT = 3.0
"""Seconds after which deleted rules are back, whatever the engine does."""

RESYNC = 60.0

REST = 150.0
"""Seconds without any change, in which failures are retried and a resync finds what no notification reported."""

TWINS = 5
"""So many seeds in a row have the same users and the same engine, and differ in what goes wrong."""

ERRORS: dict[str, EngineError] = {
    "conflict": EngineConflict("refused", 409),
    "internal": EngineApiError("internal error", 500),
    "unavailable": EngineUnavailable("no answer"),
}


@dataclass
class WantedContainer:
    """A container that a user wants. The user tries again while the engine refuses."""

    network: str
    ports: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    running: bool = True


class Machine(Host):
    """A host whose methods are the actions of histories.

    Attributes:
        trace: what happened, as text; the same for the same history and seed.
        violations: what must never happen.
    """

    engine: FaultyEngine
    loop: SimulatedLoop

    def __init__(self, parent: str, seed: int) -> None:
        """``parent``: an empty directory for the files. ``seed`` decides all that the history leaves open."""
        self.random = Random(f"machine {seed}")
        self.trace: list[str] = []
        self.violations: list[str] = []
        profile = (ENGINE_20_10, ENGINE_28_5)[seed // TWINS % 2]
        super().__init__(profile)
        self.directory = Directory(parent, self.clock)
        self.settings = ControllerSettings(roots=(self.directory.path,), resync=RESYNC)
        self.engine = FaultyEngine(self.net, profile, self.clock, self.random, self.record)
        self.firewall = RecordingFirewall(self.net, self.record)
        self.store = StrictStore()
        self.loop = SimulatedLoop(self.clock, self.random)
        self.containers: dict[str, WantedContainer] = {}
        self.foreign_ids: set[str] = set()
        self._requests: list[Callable[[], None]] = []  # of users, for when the engine responds
        self._operator: Operator | None = None
        self._process = HOST
        self._started = 0.0
        self._had_rules = False
        self._flushed = 0.0
        self._stopped_until = 0.0

    def record(self, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.clock.monotonic():.6f} {what}")

    # The operator and its service manager

    async def supervise(self) -> None:
        """Start the operator again whenever it is dead, and let users try again; for ever."""
        while True:
            if (self._operator is None or self.loop.is_dead(self._process)) and not self._is_held():
                await self._boot()
            if self.engine.responsive:
                requests, self._requests = self._requests, []
                for request in requests:
                    request()
                self._run_containers()
            await self.clock.sleep(RESTART_DELAY)

    def _is_held(self) -> bool:
        return self.clock.monotonic() < self._stopped_until

    async def _boot(self) -> None:
        self._operator = None  # while it starts, it can only be killed
        self._process += 1
        self._started = self.clock.monotonic()
        self.record(f"process {self._process} starts")
        context, loader = self.context(), self.directory.loader()
        operator = Operator(context, loader.load, self.directory.watch, Random(self._process))
        task = self.loop.spawn(self._process, operator.start())
        await asyncio.wait({task}, timeout=10 * RESTART_DELAY)
        if task.done() and task.exception() is not None:
            self.violations.append(f"the operator does not start: {task.exception()!r}")
            self.loop.kill(self._process)
        self._operator = operator

    async def restart(self) -> None:
        """As `systemctl restart`."""
        process, operator = self._process, self._operator
        if operator is None or self.loop.is_dead(process):
            return
        self.record("restart")
        started = self.clock.monotonic()
        task = self.loop.spawn(process, operator.stop())
        await asyncio.wait({task}, timeout=10 * STOP_LIMIT)
        took = self.clock.monotonic() - started
        if took > STOP_LIMIT and not self.loop.is_dead(process):
            self.violations.append(f"the operator took {took:.1f} s to stop")
        self.loop.kill(process)

    def crash(self, after: int = 0, down: float = 0.0) -> None:
        """Kill the operator after that many of its callbacks. It is not started for ``down`` seconds."""
        self.loop.kill(max(self._process, 1), after)  # before the first start: the first process
        self._stopped_until = self.clock.monotonic() + down

    # Users

    def run(self, container: str, wanted: WantedContainer) -> None:
        """Run a container, or change whether it runs."""
        self.containers[container] = wanted

    def _run_containers(self) -> None:
        ids = self.engine.container_ids()
        running = self.engine.list_running_ids()
        for name, wanted in self.containers.items():
            with suppress(EngineError):
                if name not in ids:
                    if self.engine.inspect_network(wanted.network) is not None:
                        labels = dict(wanted.labels)
                        self.engine.run_container(name, wanted.network, labels=labels, ports=wanted.ports)
                elif (ids[name] in running) != wanted.running and self._is_attached(name, wanted.network):
                    change = self.engine.start_container if wanted.running else self.engine.stop_container
                    change(ids[name])

    def _is_attached(self, container: str, network: str) -> bool:
        live = self.engine.inspect_network(network)
        attached = self.engine.list_attachments(live.id) if live is not None else ()
        return any(each.container_name == container for each in attached)

    def create_foreign_network(self, name: str, subnet: str, bridge: str = "", **labels: str) -> None:
        """As `docker network create`."""
        options = {BRIDGE_NAME: bridge} if bridge else {}
        spec = NetworkSpec(name, ipam=(SubnetConfig(IPv6Network(subnet)),), labels=labels, options=options)

        def create() -> None:
            with suppress(EngineError, ValueError):
                self.foreign_ids.add(self.engine.add_network(spec))

        self._requests.append(create)

    def remove_network(self, name: str) -> None:
        """As `docker network disconnect -f` for each running container, which `docker network rm` needs, and that."""

        def remove() -> None:
            live = self.engine.inspect_network(name)
            if live is not None:
                for attachment in self.engine.list_attachments(live.id):
                    if attachment.running:
                        self.engine.detach(live.id, attachment.container_id)
                self.engine.delete_network(live.id)

        self._requests.append(remove)

    # Faults

    def fail_engine(self, method: str, error: str, *, after: bool) -> None:
        """The next call of the method fails. ``after``: it is executed."""
        self.engine.fail_next(method, ERRORS[error], after=after)

    def stop_engine(self) -> None:
        """As `systemctl stop docker`, with live-restore."""
        self.engine.down()

    def start_engine(self) -> None:
        """As `systemctl start docker`."""
        self.engine.up()

    def delete_bridge(self, name: str) -> None:
        """As `ip link delete`."""
        if name in self.net._interfaces:
            self.net.remove_interface(name)

    def damage_bridge(self, name: str) -> None:
        """The bridge goes down and loses its addresses."""
        if (interface := self.net._interfaces.get(name)) is not None:
            self.net.add_interface(replace(interface, addresses=(), up=False))

    def lose_state(self) -> None:
        """The state directory is emptied while the operator is down."""
        self.crash(0, 2 * RESTART_DELAY)
        self.store, self.ledger = StrictStore(), MemoryLedger()

    async def damage_object(self, kind: str, name: str, document: dict[str, object]) -> None:
        """A stored resource is replaced by another document while the operator is down."""
        self.crash(0, 2 * RESTART_DELAY)
        stored = await self.store.object(kind, name)
        if stored is not None:
            await self.store.put(replace(stored, document=document))

    async def damage_record(self, scope: str, name: str, record: dict[str, object]) -> None:
        """A stored record is replaced while the operator is down."""
        self.crash(0, 2 * RESTART_DELAY)
        await self.store.put_record(scope, name, record)

    def flush_rules(self) -> None:
        """See `Host.flush_rules`."""
        self._had_rules = self._had_rules or bool(self.firewall.ruleset.owners)
        self._flushed = self.clock.monotonic()
        super().flush_rules()

    def expect_rules(self) -> None:
        """The flushed rules must be there again, unless the operator has just started or does not run."""
        runs = self._operator is not None and not self.loop.is_dead(self._process)
        due = self.clock.monotonic() - max(self._started, self._flushed) >= REPAIR_LIMIT
        if self._had_rules and runs and due and not self.firewall.ruleset.owners:
            self.violations.append(f"the rules are not there {REPAIR_LIMIT:.0f} s after they were deleted")

    # The end

    async def rest(self) -> None:
        """End all faults, and wait until everything must have converged."""
        self.engine.clear_faults()
        self.engine.up()
        self.engine.resume()
        self.engine.disturb_events("")
        self.net.permit()
        self._stopped_until = 0.0
        if not self.loop.is_dead(self._process):
            self.loop.spare(self._process)
        await self.clock.sleep(REST)


class StrictStore(MemoryStore):
    """A store in memory that accepts only text that SQLite accepts."""

    async def put(self, *objects: StoredObject) -> tuple[StoredObject, ...]:
        """See `store.port.Store.put`."""
        for each in objects:
            _check_text(each.kind, each.name, each.file, each.problem)
        return await super().put(*objects)

    async def record_event(self, kind: str, name: str, type_: EventType, reason: str, message: str, now: float) -> None:
        """See `store.port.Store.record_event`."""
        _check_text(kind, name, reason, message)
        await super().record_event(kind, name, type_, reason, message, now)

    async def put_record(self, scope: str, name: str, value: JsonObject) -> None:
        """See `store.port.Store.put_record`."""
        _check_text(scope, name)
        await super().put_record(scope, name, value)


def _check_text(*values: str) -> None:
    for value in values:
        value.encode()  # raises what the sqlite3 module raises


class Unexpected(logging.Handler):
    """Collects logged exceptions: crashed tasks, and handlers that failed for an unforeseen reason."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(logging.ERROR)
        self._machine = machine

    def emit(self, record: logging.LogRecord) -> None:
        """Add a violation."""
        error = record.exc_info[1] if record.exc_info else None
        self._machine.violations.append(f"{record.name}: {record.getMessage()}: {error!r}")
