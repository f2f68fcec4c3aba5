"""What an end-to-end test uses: an engine, its neighbour and operators; and the pool of running engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tests.lab import image
from tests.lab.baseline import Baseline
from tests.lab.engine import Engine
from tests.lab.net import Neighbour
from tests.lab.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.lab.session import Session
    from tests.lab.settings import Settings

_Operator = TypeVar("_Operator", bound=Operator)


@dataclass(frozen=True, slots=True)
class Station:
    """A running engine with the test image, its neighbour, and the state of both before the first test."""

    engine: Engine
    neighbour: Neighbour
    baseline: Baseline

    @classmethod
    def build(cls, session: Session, settings: Settings) -> Station:
        """Start an engine with a neighbour; about a second."""
        engine = Engine.create(session, settings)
        try:
            neighbour = Neighbour.join(session, engine.namespace)
            engine.start()
            engine.load_image(image.busybox())
            return cls(engine, neighbour, Baseline.capture(engine))
        except BaseException:
            engine.remove()
            raise

    def remove(self) -> None:
        """Remove the engine and the neighbour."""
        self.engine.remove()
        self.neighbour.remove()


class EnginePool:
    """Running engines by their settings, started on first use and lent to one test at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stations: list[Station] = []
        self._in_use: list[Station] = []

    def acquire(self, settings: Settings) -> Station:
        """Return a clean station with these settings, for exclusive use."""
        free = (station for station in self._stations if station.engine.settings == settings)
        station = next((station for station in free if station not in self._in_use), None)
        if station is None:
            station = Station.build(self._session, settings)
            self._stations.append(station)
        self._in_use.append(station)
        return station

    def release(self, station: Station) -> None:
        """Clean a station for the next test. A station that does not run, or that can't be cleaned, is removed.

        An engine that was killed may keep a network that it does not list, and then refuses another one like it.
        """
        self._in_use.remove(station)
        try:
            if station.engine.alive and not station.engine.was_killed:
                station.baseline.restore(station.engine)
                return
        except BaseException:
            self._discard(station)
            raise
        self._discard(station)

    def _discard(self, station: Station) -> None:
        self._stations.remove(station)
        station.remove()

    def close(self) -> None:
        """Remove all stations."""
        while self._stations:
            self._stations.pop().remove()


@dataclass(slots=True)
class Lab:
    """An engine, its neighbour, and the operators of one test."""

    engine: Engine
    neighbour: Neighbour
    directory: Path
    _operators: list[Operator] = field(default_factory=list)

    def operator(self, environment: Mapping[str, str] | None = None) -> Operator:
        """Create an operator's installation with empty directories, not started. `environment` adds variables."""
        directory = self.directory / f"operator{len(self._operators) + 1}"
        return self.adopt(Operator(self.engine, directory, environment))

    def adopt(self, operator: _Operator) -> _Operator:
        """Close an operator's installation at the end of the test, and report its log if the test fails."""
        self._operators.append(operator)
        return operator

    def logs(self) -> Iterator[tuple[str, str]]:
        """Yield titles and the last lines of all logs, for the report of a failed test."""
        for operator in self._operators:
            yield f"operator log {operator.log}", operator.log_tail()
        yield f"dockerd log {self.engine.log}", self.engine.log_tail()

    def close(self) -> None:
        """Stop the operators of the test."""
        for operator in self._operators:
            operator.close()
