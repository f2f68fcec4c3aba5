"""Whether the process is alive, and whether it is doing its work.

Liveness (restart me if not): the event loop turns. Readiness (I do what I am for): every source has been listed, the
engine answers, no key is stuck. What each of these means is for its owner to say: a check is a function that gives the
problem, or nothing. Pure apart from the clock that it is given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from dockerv6.lib.clock import Clock

Check = Callable[[], str]
"""What is wrong now, as a sentence for an administrator; "" when nothing is."""


class Probe(StrEnum):
    """The question that a check belongs to."""

    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a probe.

    Attributes:
        problems: what is wrong, by the check's name; only those that failed.
        passed: names of the checks that found nothing.
    """

    problems: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not self.problems

    def __str__(self) -> str:
        return "; ".join(f"{name}: {problem}" for name, problem in self.problems.items()) or "ok"


class Health:
    """The checks, by probe and name."""

    def __init__(self) -> None:
        """Nothing to check yet: healthy."""
        self._checks: dict[Probe, dict[str, Check]] = {probe: {} for probe in Probe}

    def add(self, probe: Probe, name: str, check: Check) -> None:
        """Ask this, too.

        Raises:
            ValueError: the probe has a check of that name.
        """
        if name in self._checks[probe]:
            raise ValueError(f"there is a {probe} check named {name} already")
        self._checks[probe][name] = check

    def report(self, probe: Probe) -> Report:
        """Run the checks, in the order in which they were added; one that crashes has failed."""
        problems: dict[str, str] = {}
        passed: list[str] = []
        for name, check in self._checks[probe].items():
            try:
                problem = check()
            except Exception as error:  # noqa: BLE001 - a probe must answer, above all when things go wrong
                problem = f"the check failed: {type(error).__name__}: {error}"
            if problem:
                problems[name] = problem
            else:
                passed.append(name)
        return Report(problems, tuple(passed))


class Heartbeat:
    """A check that something goes on: it beats, and the beats don't fail to come."""

    def __init__(self, clock: Clock, limit: float) -> None:
        """Count as dead after `limit` seconds without a beat; the first one is now."""
        self._clock = clock
        self._limit = limit
        self._last = clock.monotonic()

    def beat(self) -> None:
        """Be alive."""
        self._last = self._clock.monotonic()

    async def run(self, interval: float) -> None:
        """Beat every `interval` seconds for ever: as a task, the heartbeat of its event loop."""
        while True:
            self.beat()
            await self._clock.sleep(interval)

    def check(self) -> str:
        """A `Check`."""
        silence = self._clock.monotonic() - self._last
        return "" if silence <= self._limit else f"no heartbeat for {silence:.0f} s"


class HealthCheck:
    """A check that its owner sets: down, with a reason, until it is up, and maybe down again."""

    def __init__(self, problem: str) -> None:
        """Be down for this reason, such as "not all sources have been listed yet"."""
        self._problem = problem

    def up(self) -> None:
        """Nothing is wrong (any more)."""
        self._problem = ""

    def down(self, problem: str) -> None:
        """This is wrong."""
        self._problem = problem

    def check(self) -> str:
        """A `Check`."""
        return self._problem


class Progress:
    """A check that nothing that was begun takes for ever."""

    def __init__(self, clock: Clock, limit: float) -> None:
        """Count as stuck what has not ended `limit` seconds after it began."""
        self._clock = clock
        self._limit = limit
        self._begun: dict[str, float] = {}

    @contextmanager
    def working(self, key: str) -> Iterator[None]:
        """Work on something, one at a time for each key."""
        self._begun[key] = self._clock.monotonic()
        try:
            yield
        finally:
            del self._begun[key]

    def check(self) -> str:
        """A `Check`; names the longest three."""
        now = self._clock.monotonic()
        stuck = sorted(
            ((now - begun, key) for key, begun in self._begun.items() if now - begun > self._limit), reverse=True
        )
        if not stuck:
            return ""
        named = ", ".join(f"{key} for {seconds:.0f} s" for seconds, key in stuck[:3])
        return f"stuck: {named}" + (f" and {len(stuck) - 3} more" if len(stuck) > 3 else "")  # noqa: PLR2004
