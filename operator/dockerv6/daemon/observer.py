"""Connects the reconciler and the controller to the metrics and to the check for stuck keys."""

from collections import Counter

from dockerv6.api.conditions import ConditionType
from dockerv6.controller.context import Context
from dockerv6.controller.status import condition_status
from dockerv6.ipam.ledger import AllocationState
from dockerv6.reconciler.handler import Key, PermanentError, TemporaryError
from dockerv6.reconciler.manager import Outcome, Role
from dockerv6.reconciler.queue import QueueDepth
from dockerv6.telemetry.health import StuckWork
from dockerv6.telemetry.metrics import Metrics


class MetricsObserver:
    """An `Observer` of the manager. Counters grow as keys are handled; gauges are set when the queue is empty."""

    def __init__(self, metrics: Metrics, stuck: StuckWork, context: Context) -> None:
        self._metrics = metrics
        self._stuck = stuck
        self._context = context
        self._transactions = 0

    def queued(self, depth: QueueDepth) -> None:
        """Set the queue's depth; everything else once nothing is left to do."""
        self._metrics.queued(depth.ready)
        if depth.ready == depth.processing == 0:
            self.refresh()

    def started(self, key: Key, waited: float) -> None:
        """Watch that the key is not stuck."""
        del waited
        self._stuck.begin(str(key))

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        """Count the run."""
        del role
        self._stuck.end(str(key))
        self._metrics.reconciled(key.kind, _result(outcome), seconds)

    def refresh(self) -> None:
        """Set the gauges."""
        context = self._context
        resources: Counter[tuple[str, str]] = Counter()
        for stored in context.inventory.objects:
            resources[stored.kind, condition_status(stored, ConditionType.READY) or "Unknown"] += 1
        self._metrics.resources(resources)
        subnets: Counter[tuple[str, str]] = Counter()
        for allocation in context.inventory.holdings.allocations:
            state = "allocated" if allocation.state is AllocationState.BOUND else "cooling"
            subnets[allocation.pool, state] += 1
        self._metrics.pools(subnets)
        self._metrics.engine(up=not context.world.engine_problem)
        self._metrics.synced(context.clock.now())
        for _ in range(context.firewall.transactions - self._transactions):
            self._metrics.firewall_committed()
        self._transactions = context.firewall.transactions


def _result(outcome: Outcome) -> str:
    match outcome.error:
        case None:
            return "success"
        case TemporaryError():
            return "temporary"
        case PermanentError():
            return "permanent"
        case _:
            return "error"
