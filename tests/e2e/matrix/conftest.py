"""The host that all scenarios of a cell share, and the record of results by cell, for docs/engines.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.record import Recorder
from tests.e2e.matrix.world import World
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool

_RECORDER = pytest.StashKey[Recorder]()


@pytest.fixture(scope="package")
def world(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A host of the cell with every network and container that the scenarios use."""
    station = engine_pool.acquire(cell.settings)
    lab = Lab(station.engine, station.neighbour, tmp_path_factory.mktemp("world"))
    world = World(lab, lab.operator(), cell)
    try:
        try:
            world.build()
        except BaseException as error:
            for title, log in lab.logs():
                error.add_note(f"--- {title}\n{log}")
            raise
        yield world
    finally:
        try:
            lab.close()
        finally:
            # killing it is faster than removing everything, and most cells have no other tests
            station.engine.kill()
            engine_pool.release(station)


@pytest.fixture(autouse=True)
def scenario(world: World, report_logs_of: Callable[[Lab], None]) -> Iterator[None]:
    """Show the world's logs when a scenario fails, and remove the scenario's own containers."""
    report_logs_of(world.lab)
    yield
    world.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if directory := item.config.getoption("--matrix-results"):
        recorder = item.config.stash.setdefault(_RECORDER, Recorder.of(item.config, Path(directory)))
        recorder.take(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if recorder := session.config.stash.get(_RECORDER, None):
        recorder.write()
