"""A manager on a fake clock, with a handler whose behaviour a test scripts."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random

from dockerv6.lib.tasks import Backoff
from dockerv6.reconciler.handler import Key, Registry, Requeue
from dockerv6.reconciler.manager import Manager, Outcome, Role
from dockerv6.reconciler.queue import QueueDepth
from tests.fakes.clock import FakeClock

BACKOFF = Backoff(initial=1, factor=2, maximum=60, jitter=0)

Step = Requeue | BaseException | float | None
"""What one run does: return, raise, or take that many seconds and then succeed."""


@dataclass
class Script:
    """The context of the handlers: what their next runs do, and what their past runs did."""

    clock: FakeClock
    steps: dict[Key, deque[Step]] = field(default_factory=dict)
    runs: list[tuple[float, str, Key]] = field(default_factory=list)
    running: Counter[Key] = field(default_factory=Counter)
    most_parallel: int = 0
    cancelled: list[Key] = field(default_factory=list)

    def plan(self, key: Key, *steps: Step) -> None:
        self.steps[key] = deque(steps)

    def times(self, key: Key, role: str = "reconcile") -> list[float]:
        return [time for time, what, which in self.runs if which == key and what == role]

    async def play(self, role: str, key: Key) -> Requeue | None:
        self.runs.append((self.clock.monotonic(), role, key))
        self.running[key] += 1
        assert self.running[key] == 1, f"{key} is handled twice at a time"
        self.most_parallel = max(self.most_parallel, sum(self.running.values()))
        try:
            return await self._step(self.steps.get(key))
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        finally:
            self.running[key] -= 1

    async def _step(self, steps: deque[Step] | None) -> Requeue | None:
        step = steps.popleft() if steps else None
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, float):
            await self.clock.sleep(step)
            return None
        return step


class Recorder:
    """Records the calls of the observer."""

    def __init__(self) -> None:
        self.depths: list[QueueDepth] = []
        self.waits: list[tuple[Key, float]] = []
        self.ends: list[tuple[Key, Role, Outcome, float]] = []

    def last(self, key: Key) -> Outcome | None:
        """The outcome of the key's last run."""
        return next((outcome for which, _, outcome, _ in reversed(self.ends) if which == key), None)

    def queued(self, depth: QueueDepth) -> None:
        self.depths.append(depth)

    def started(self, key: Key, waited: float) -> None:
        self.waits.append((key, waited))

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        self.ends.append((key, role, outcome, seconds))


class FakeTombstones:
    """Implements `Tombstones` in memory."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.error: Exception | None = None
        """Raised by every call while set, as if the disk were full."""

    async def is_deleting(self, key: Key) -> bool:
        self._raise()
        return key in self.keys

    async def remove(self, key: Key) -> None:
        self._raise()
        self.keys.discard(key)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error


def registry() -> Registry[Script]:
    """Handlers of kind Network that follow the script."""
    handlers: Registry[Script] = Registry()

    @handlers.reconcile("Network")
    async def reconcile(key: Key, context: Script) -> Requeue | None:
        return await context.play("reconcile", key)

    @handlers.finalize("Network")
    async def finalize(key: Key, context: Script) -> Requeue | None:
        return await context.play("finalize", key)

    return handlers


class Bench:
    """A manager with its fakes."""

    def __init__(self, handlers: Registry[Script] | None = None, *, workers: int = 8, grace: float = 0.5) -> None:
        self.clock = FakeClock()
        self.script = Script(self.clock)
        self.tombstones = FakeTombstones()
        self.recorder = Recorder()
        self.registry = handlers or registry()
        self.manager = Manager(
            self.registry,
            tombstones=self.tombstones,
            context=self.script,
            clock=self.clock,
            random=Random(0),
            observer=self.recorder,
            backoff=BACKOFF,
            workers=workers,
            grace=grace,
        )
