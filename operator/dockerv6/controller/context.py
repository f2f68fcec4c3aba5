"""What every handler gets: settings, ports, caches, the event recorder and the state that reconciles share."""

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from dockerv6.api.kinds import NETWORK
from dockerv6.controller.engine_chains import EngineChains
from dockerv6.controller.events import EventRecorder
from dockerv6.controller.firewall import FirewallReconciler
from dockerv6.controller.inventory import Inventory
from dockerv6.controller.listening import ListeningServices
from dockerv6.controller.problems import OpenProblems
from dockerv6.controller.recreations import InFlightRecreations
from dockerv6.controller.world import World
from dockerv6.lib.clock import Clock
from dockerv6.planning.inputs import Identity
from dockerv6.planning.labels import LabelInputs, claimed_networks, ignored_labels
from dockerv6.planning.plan import Drift
from dockerv6.planning.steps import Step
from dockerv6.reconciler.handler import Key
from dockerv6.store.port import Store


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Times are in seconds."""

    roots: tuple[str, ...] = ("/etc/dockerv6.d",)
    identity: Identity = field(default_factory=Identity)
    prune: bool = True
    grace: float = 5.0  # a resource must be absent from its source for this long to count as deleted
    resync: float = 600.0  # between full resyncs, in case a notification was lost
    reattach_window: float = 120.0  # a container that was detached this long before its network went is attached again
    event_retention: float = 7 * 86400.0


class DriftObserver(Protocol):
    """Counts drift, so that metrics can be attached without being imported."""

    def drifted(self, kind: str, what: str) -> None:
        """Others changed a resource's "subnet", "network" or "rules", or the "host"."""
        ...

    def repaired(self, seconds: float) -> None:
        """Drift was repaired, so many seconds after it was noticed."""
        ...


class NullDriftObserver:
    """Counts nothing."""

    def drifted(self, kind: str, what: str) -> None:
        """Do nothing."""

    def repaired(self, seconds: float) -> None:
        """Do nothing."""


def _drop(key: Key, reason: str) -> None:
    """Before the manager runs nothing is enqueued: the first event of the engine enqueues everything."""
    del key, reason


def _anything(owner: str, step: Step) -> None:
    """What the resources ask for needs no other approval."""
    del owner, step


async def _nothing() -> str:
    return ""


@dataclass(slots=True)
class Context:
    """Everything that one operator's handlers share."""

    settings: ControllerSettings
    clock: Clock
    store: Store
    inventory: Inventory
    world: World
    firewall: FirewallReconciler
    events: EventRecorder
    problems: OpenProblems
    recreations: InFlightRecreations
    engine_chains: EngineChains
    listening: ListeningServices
    enqueue: Callable[[Key, str], None] = _drop
    detect_foreign_rules: Callable[[], Awaitable[str]] = _nothing
    """Returns a message about another program that writes rules for the same networks; "": there is none."""
    check_state: Callable[[], Awaitable[str]] = _nothing
    """Writes the state file again if it was removed or damaged; returns what happened, "": nothing."""
    approve: Callable[[str, Step], None] = _anything
    """Raises `StepNotApproved` for a step of an owner ("Kind/name") that the plan file which is applied lacks."""
    entropy: Callable[[int], bytes] = secrets.token_bytes
    drift: DriftObserver = field(default_factory=NullDriftObserver)
    next_first_walk: float = 0.0  # monotonic: until then, statuses wait for their first packet walk
    prune_held: frozenset[str] = frozenset()  # "Kind/name" of the resources that the prune guard keeps
    unallocated: set[str] = field(default_factory=set)
    """Networks whose subnet is not the one that their resource asks for: a released subnet may help them."""
    converged: dict[str, object] = field(default_factory=dict)
    """By network: the inputs of the last run that had nothing to do and nothing to report."""
    unreported_repairs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By owner: drift that was repaired outside of the owner's reconcile, until its status reports it."""

    unfinished_drift: dict[Key, tuple[Drift, ...]] = field(default_factory=dict)
    """Drift of which a reconcile that did not end may have repaired a part."""

    _claimed: frozenset[tuple[str, str]] = frozenset()  # networks that labels name, as of the last `enqueue_claimed`

    def enqueue_claimed(self) -> None:
        """Reconcile the networks that labels of containers name, where such containers came or went."""
        before, self._claimed = self._claimed, claimed_networks(self.world.known_containers)
        for name in {name for name, _ in before ^ self._claimed} & self.inventory.networks().keys():
            self.enqueue(Key(NETWORK, name), "containers with its label came or went")

    def ignored_labels(self) -> Iterator[str] | None:
        """The labels of Docker networks and containers without an effect, for people to read; None: not known yet."""
        if not (self.inventory.sources_listed and self.world.engine_read):
            return None
        resources, policies = self.inventory.networks(), self.inventory.policies()
        inputs = LabelInputs(resources, policies, self.firewall.assignment, self.settings.identity)
        return ignored_labels(self.world.known_networks, self.world.known_containers, inputs)

    def enqueue_unallocated(self, why: str) -> None:
        """Reconcile the networks that have no subnet, or not the one they ask for: it may be free now."""
        bound = self.inventory.holdings.bound
        for name in self.inventory.networks():
            if name not in bound or name in self.unallocated:
                self.enqueue(Key(NETWORK, name), why)
