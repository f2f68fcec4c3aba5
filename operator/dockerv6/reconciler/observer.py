"""Hooks for metrics and traces, so that telemetry can be attached without being imported."""

from enum import StrEnum
from typing import Protocol

from dockerv6.reconciler.outcome import Outcome
from dockerv6.reconciler.queue import Depth
from dockerv6.reconciler.request import Key


class Role(StrEnum):
    """What a handler is for."""

    RECONCILE = "reconcile"
    FINALIZE = "finalize"
    TIMER = "timer"


class Observer(Protocol):
    """Is told what the manager does, on the event loop: it must not block. What it raises is logged and ignored."""

    def queued(self, depth: Depth) -> None:
        """The queue has changed."""
        ...

    def started(self, key: Key, waited: float) -> None:
        """A worker has taken the key, which was ready for `waited` seconds."""
        ...

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        """A handler has run for `seconds`. One that was cancelled by the manager's stop is not reported."""
        ...


class SilentObserver:
    """Looks away."""

    def queued(self, depth: Depth) -> None:
        """Ignore it."""

    def started(self, key: Key, waited: float) -> None:
        """Ignore it."""

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        """Ignore it."""
