"""What every handler is given: ports, caches and settings."""

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from dockerv6.api.kinds import NETWORK
from dockerv6.controller.firewall import FirewallReconciler
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.recreations import InFlightRecreations
from dockerv6.controller.reporter import Reporter
from dockerv6.controller.settings import ControllerSettings
from dockerv6.controller.world import World
from dockerv6.lib.clock import Clock
from dockerv6.reconciler.request import Key
from dockerv6.store.port import Store


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
    transit: InFlightRecreations
    enqueue: Callable[[Key, str], None] = _nowhere
    look_for_rival: Callable[[], Awaitable[str]] = _nobody
    """Gives what is to be said of another program that looks after the same networks; "": there is none."""
    entropy: Callable[[int], bytes] = secrets.token_bytes
    swept: bool = False  # every source has been listed once: sweeps may run
    held: frozenset[str] = frozenset()  # "Kind/name" of what a prune guard keeps
    waiting: set[str] = field(default_factory=set)  # networks that hold another subnet than they should have
    in_order: dict[str, object] = field(default_factory=dict)
    """By network: the picture in which there was nothing to do nor to say; the same again needs no second look."""
    repaired: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Drift that was repaired for an owner outside of its own reconcile, until its status tells of it."""

    def look_at_waiting(self, why: str) -> None:
        """Look again at the networks that have no subnet, or not the one that they should have: it may be free now."""
        bound = self.inventory.holdings.bound
        for name in self.inventory.networks():
            if name not in bound or name in self.waiting:
                self.enqueue(Key(NETWORK, name), why)
