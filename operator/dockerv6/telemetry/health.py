"""Whether the process is alive, and whether it does its work.

Liveness (restart the process if not): the event loop runs. Readiness: every source has been listed, the Docker Engine
answers, and no key is stuck. A check is a function that returns the problem, or "". Pure, apart from its clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from dockerv6.lib.clock import Clock

HealthCheck = Callable[[], str]
"""Returns what is wrong now, as a sentence for an administrator; "" when nothing is."""

_SHOWN = 3  # stuck keys that are named


class Probe(StrEnum):
    """The question that a check belongs to."""

    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The answer to a probe.

    Attributes:
        problems: what is wrong, by the name of the check; only of checks that failed.
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
        """Start without checks: healthy."""
        self._checks: dict[Probe, dict[str, HealthCheck]] = {probe: {} for probe in Probe}

    def add(self, probe: Probe, name: str, check: HealthCheck) -> None:
        """Add a check to a probe.

        Raises:
            ValueError: the probe has a check of that name.
        """
        if name in self._checks[probe]:
            raise ValueError(f"there is a {probe} check named {name} already")
        self._checks[probe][name] = check

    def report(self, probe: Probe) -> HealthReport:
        """Run the checks in the order in which they were added; one that raises has failed."""
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
        return HealthReport(problems, tuple(passed))


class Heartbeat:
    """Checks that the event loop runs: a task on it beats regularly."""

    def __init__(self, clock: Clock, limit: float) -> None:
        """Fail after ``limit`` seconds without a beat; the first beat is now."""
        self._clock = clock
        self._limit = limit
        self._last = clock.monotonic()

    def beat(self) -> None:
        """Record a beat."""
        self._last = self._clock.monotonic()

    async def run(self, interval: float) -> None:
        """Beat every ``interval`` seconds, for ever."""
        while True:
            self.beat()
            await self._clock.sleep(interval)

    def check(self) -> str:
        """A `HealthCheck`."""
        silence = self._clock.monotonic() - self._last
        return "" if silence <= self._limit else f"no heartbeat for {silence:.0f} s"


class StuckWork:
    """Checks that everything that began also ends."""

    def __init__(self, clock: Clock, limit: float) -> None:
        """Report what has not ended ``limit`` seconds after it began."""
        self._clock = clock
        self._limit = limit
        self._begun: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """Record that work on a key begins."""
        self._begun[key] = self._clock.monotonic()

    def end(self, key: str) -> None:
        """Record that it ended, whether it succeeded or failed."""
        self._begun.pop(key, None)

    def check(self) -> str:
        """A `HealthCheck`; names the longest three."""
        now = self._clock.monotonic()
        stuck = sorted(
            ((now - begun, key) for key, begun in self._begun.items() if now - begun > self._limit), reverse=True
        )
        if not stuck:
            return ""
        named = ", ".join(f"{key} for {seconds:.0f} s" for seconds, key in stuck[:_SHOWN])
        return f"stuck: {named}" + (f" and {len(stuck) - _SHOWN} more" if len(stuck) > _SHOWN else "")
