"""The resources of a figure: engines, operators with N networks, and a directory, all removed at the end of the run."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.bare import BareEngine
from benchmarks.process import wait_idle
from dockerv6.cli.daemon_client import DaemonResponse, query
from dockerv6.lib.statefile import STATE_FILE, StateFileMissingError, read_state
from dockerv6.store.tables import SCHEMA
from tests.lab.lab import Lab, Station
from tests.lab.settings import Settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.engine import Engine
    from tests.lab.namespace import Namespace
    from tests.lab.operator import Operator
    from tests.lab.session import Session

QUIET_ENGINE = Settings("28.5", config={"iptables": False, "ip6tables": False})
"""An engine that makes no rules of its own: hundreds of networks in seconds, and every commit seen is ours."""

PROXYLESS_ENGINE = Settings("28.5", config={**QUIET_ENGINE.config, "userland-proxy": False})
"""The same, and no process of the engine's for each published port: what answers there is ours."""

_POLL = 0.01
_READY = (
    "SELECT count(*) FROM store_objects, json_each(status, '$.conditions') AS c WHERE kind = 'IPv6Network'"
    " AND json_extract(c.value, '$.type') = 'Ready' AND json_extract(c.value, '$.status') = 'True'"
)


class NotConvergedError(RuntimeError):
    """The operator did not converge in time. The message contains its log."""


@dataclass(slots=True)
class Fleet:
    """An engine, and an operator that manages that many networks on it."""

    engine: Engine
    operator: Operator
    size: int


class Bench:
    """The run's resources."""

    def __init__(self, session: Session, directory: Path, *, quick: bool) -> None:
        """Use the lab's session and an empty directory. `quick`: fewer samples and smaller sizes."""
        self.quick = quick
        self.directory = directory
        self._session = session
        self._fleets: dict[int, Fleet] = {}
        self._crowds: dict[int, Station] = {}
        self._stations: list[Station] = []
        self._serial = 0

    def new_directory(self) -> Path:
        """Create a directory for the run."""
        self._serial += 1
        path = self.directory / str(self._serial)
        path.mkdir()
        return path

    def namespace(self, purpose: str) -> Namespace:
        """Create a network namespace; it is removed by the caller, or at the end of the run."""
        return self._session.namespace(purpose)

    @contextmanager
    def station(self, settings: Settings) -> Iterator[Station]:
        """Provide a new engine with its neighbour for the block."""
        station = Station.build(self._session, settings)
        try:
            yield station
        finally:
            station.remove()

    @contextmanager
    def engine(self, settings: Settings) -> Iterator[Engine]:
        """Provide a new engine for the block."""
        with self.station(settings) as station:
            yield station.engine

    @contextmanager
    def installation(self, engine: Engine) -> Iterator[Operator]:
        """Provide an operator with empty directories on an engine, not started, for the block."""
        lab = Lab(engine, None, self.new_directory())  # type: ignore[arg-type] # no operator needs the neighbour
        try:
            yield lab.operator()
        finally:
            lab.close()

    @contextmanager
    def operator(self, engine: Engine, *arguments: str) -> Iterator[Operator]:
        """Provide a running and idle operator with empty directories on an engine, for the block."""
        with self.installation(engine) as operator:
            operator.start(*arguments)
            wait_started(operator)
            yield operator

    @contextmanager
    def fleet(self, size: int, *arguments: str) -> Iterator[Fleet]:
        """Provide a running and idle operator that has adopted `size` networks. The engine is kept."""
        fleet = self._fleets.get(size) or self._build(size)
        fleet.operator.start(*arguments)
        try:
            wait_started(fleet.operator)
            yield fleet
        finally:
            fleet.operator.close()

    def _build(self, size: int) -> Fleet:
        station = Station.build(self._session, QUIET_ENGINE)
        self._stations.append(station)
        with self.operator(station.engine) as operator:
            write_networks(operator, size)
            wait_ready(operator, size)
            wait_idle(operator.pid)
        fleet = self._fleets[size] = Fleet(station.engine, operator, size)
        return fleet

    def crowd(self, size: int) -> Station:
        """Provide an engine with `size` foreign networks, numbered from 0, and its neighbour.

        It is kept for the next figure. A figure must leave no rules of ours and no other network.
        """
        if size not in self._crowds:
            station = Station.build(self._session, PROXYLESS_ENGINE)
            self._stations.append(station)
            bare = BareEngine(str(station.engine.socket))
            bare.create([bare.foreign_body(number) for number in range(size)], clients=1)
            self._crowds[size] = station
        return self._crowds[size]

    def close(self) -> None:
        """Remove all engines."""
        while self._stations:
            self._stations.pop().remove()


def write_networks(operator: Operator, count: int) -> None:
    """Write the files of the networks 0 to count - 1 into the operator's directory."""
    for number in range(count):
        operator.apply_yaml(f"{resources.name(number)}.yaml", resources.text(resources.network(number)))


def ready_count(operator: Operator) -> int:
    """How many networks are Ready according to the state file, which does not load the daemon."""

    def count(connection: sqlite3.Connection) -> int:
        (found,) = connection.execute(_READY).fetchone()
        return int(found)

    try:
        return read_state(operator.state_dir / STATE_FILE, SCHEMA, count) or 0
    except StateFileMissingError:
        return 0


def wait_ready(operator: Operator, count: int, *, patience: float = 300.0) -> None:
    """Wait until that many networks are Ready.

    Raises:
        NotConvergedError: they are not Ready after `patience` seconds.
    """
    _until(partial(_enough, operator, count), f"{count} networks are Ready", operator, patience)


def _enough(operator: Operator, count: int) -> bool:
    return ready_count(operator) >= count


def wait_started(operator: Operator) -> None:
    """Wait until the operator has adopted everything and is idle."""
    wait_serving(operator)
    wait_idle(operator.pid)


def wait_serving(operator: Operator) -> None:
    """Wait until the operator reports that it is ready."""
    _until(partial(_is_serving, operator), "the operator is ready", operator, 60.0)


def metrics(operator: Operator) -> dict[str, float]:
    """The operator's metrics: series by name and labels."""
    lines = _ask(operator, "/metrics").body.splitlines()
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines) if series[:1] != "#"}


def _is_serving(operator: Operator) -> bool:
    try:
        return _ask(operator, "/readyz").status == HTTPStatus.OK
    except OSError:
        return False


def _ask(operator: Operator, path: str) -> DaemonResponse:
    return query(f"unix:{operator.run_dir}/http.sock", path, 10.0)


def _until(check: partial[bool], what: str, operator: Operator, patience: float) -> None:
    end = time.monotonic() + patience
    while not check():
        if time.monotonic() > end:
            raise NotConvergedError(f"not within {patience:g} s: {what}\n{operator.log_tail()}")
        time.sleep(_POLL)
