"""A manager on a fake clock, with a handler whose behaviour a test scripts."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random

from dockerv6.lib.backoff import Backoff
from dockerv6.lib.clock import FakeClock
from dockerv6.reconciler.manager import Manager
from dockerv6.reconciler.observer import Role
from dockerv6.reconciler.outcome import Outcome, Requeue
from dockerv6.reconciler.queue import Depth
from dockerv6.reconciler.registry import Registry
from dockerv6.reconciler.request import Key
from tests.fakes.reconciler.lookup import FakeLookup

BACKOFF = Backoff(initial=1, factor=2, maximum=60, jitter=0)

Step = Requeue | BaseException | float | None
"""What one run does: return, raise, or take that many seconds and then succeed."""


@dataclass
class Script:
    """The context of the handlers: what they shall do, and what they did."""

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
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.depths: list[Depth] = []
        self.waits: list[tuple[Key, float]] = []
        self.ends: list[tuple[Key, Role, Outcome, float]] = []

    def queued(self, depth: Depth) -> None:
        self.depths.append(depth)

    def started(self, key: Key, waited: float) -> None:
        self.waits.append((key, waited))

    def finished(self, key: Key, role: Role, outcome: Outcome, seconds: float) -> None:
        self.ends.append((key, role, outcome, seconds))


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
    """Everything that a test of the manager needs."""

    def __init__(self, handlers: Registry[Script] | None = None, *, workers: int = 8, grace: float = 0.5) -> None:
        self.clock = FakeClock()
        self.script = Script(self.clock)
        self.lookup = FakeLookup()
        self.recorder = Recorder()
        self.registry = handlers or registry()
        self.manager = Manager(
            self.registry,
            lookup=self.lookup,
            context=self.script,
            clock=self.clock,
            random=Random(0),
            observer=self.recorder,
            backoff=BACKOFF,
            workers=workers,
            grace=grace,
        )
