"""What every handler is given: ports, caches and settings."""

import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from dockerv6.api.kinds import NETWORK
from dockerv6.controller.firewall import FirewallReconciler
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.recreations import InFlightRecreations
from dockerv6.controller.world import World
from dockerv6.lib.clock import Clock
from dockerv6.planning.inputs import Identity
from dockerv6.reconciler.handler import Key
from dockerv6.store.model import EventType
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger("dockerv6.events")

AGAIN = 60.0
"""Seconds for which the same event of the same resource is counted, but not said again in the log."""


class Reporter:
    """Writes events. Telling must never keep from doing: a store that refuses one is only logged."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._said: dict[tuple[str, str, str], tuple[str, float]] = {}

    async def normal(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something went as it should."""
        await self._record(kind, name, EventType.NORMAL, reason, message)

    async def warning(self, kind: str, name: str, reason: str, message: str) -> None:
        """Something that a person may want to look at."""
        await self._record(kind, name, EventType.WARNING, reason, message)

    async def _record(self, kind: str, name: str, type_: EventType, reason: str, message: str) -> None:
        level = logging.WARNING if type_ is EventType.WARNING else logging.INFO
        if self._is_repeated((kind, name, str(reason)), message):
            level = logging.DEBUG
        logger.log(level, "%s", message, extra={"kind": kind, "resource": name, "reason": str(reason)})
        try:
            await self._store.record_event(kind, name, type_, str(reason), message, self._clock.now())
        except StoreError as error:
            logger.warning("the event could not be kept: %s", error)

    def _is_repeated(self, about: tuple[str, str, str], message: str) -> bool:
        """Whether it was said lately: each look at a resource finds the same as the one before."""
        now = self._clock.monotonic()
        last, at = self._said.get(about, ("", 0.0))
        if last == message and now - at < AGAIN:
            return True
        self._said = {key: each for key, each in self._said.items() if now - each[1] < AGAIN}
        self._said[about] = (message, now)
        return False


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Times are seconds."""

    roots: tuple[str, ...] = ("/etc/dockerv6.d",)
    identity: Identity = field(default_factory=Identity)
    prune: bool = True
    grace: float = 5.0  # that an absence must last before it counts as a deletion
    resync: float = 600.0  # between looks at everything, in case that a notification was lost
    reattach_window: float = 120.0  # a container that left its network this long before the network went comes back
    event_retention: float = 7 * 86400.0


def _nowhere(key: Key, reason: str) -> None:
    """Before the manager is there, nothing can be enqueued; it looks at everything when it starts."""
    del key, reason


async def _nobody() -> str:
    """Where nobody looks, there is no rival."""
    return ""


@dataclass(slots=True)
class Context:
    """One operator's workbench."""

    settings: ControllerSettings
    clock: Clock
    store: Store
    inventory: Inventory
    world: World
    firewall: FirewallReconciler
    reporter: Reporter
    recreations: InFlightRecreations
    enqueue: Callable[[Key, str], None] = _nowhere
    detect_foreign_rules: Callable[[], Awaitable[str]] = _nobody
    """Gives what is to be said of another program that looks after the same networks; "": there is none."""
    entropy: Callable[[int], bytes] = secrets.token_bytes
    sources_listed: bool = False  # every source has been listed once: garbage may be removed
    prune_held: frozenset[str] = frozenset()  # "Kind/name" of the resources that the prune guard keeps
    unallocated: set[str] = field(default_factory=set)
    """Networks whose subnet is not the one that their resource asks for: a released subnet may help them."""
    converged: dict[str, object] = field(default_factory=dict)
    """By network: the picture in which there was nothing to do nor to say; the same again needs no second look."""
    unreported_repairs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Drift that was repaired for an owner outside of its own reconcile, until its status tells of it."""

    def enqueue_unallocated(self, why: str) -> None:
        """Look again at the networks that have no subnet, or not the one that they should have: it may be free now."""
        bound = self.inventory.holdings.bound
        for name in self.inventory.networks():
            if name not in bound or name in self.unallocated:
                self.enqueue(Key(NETWORK, name), why)
