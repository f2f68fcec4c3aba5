"""Fixtures of the end-to-end tests: real engines, one for each cell and kept running, with a neighbour and operators.

A test that uses `lab` (or `cell`, or `make_lab`) runs once on each chosen cell. `@pytest.mark.cells("28.5", …)` selects
its cells in every run, `@pytest.mark.core_cells("28.5", …)` those of a run with `--cells=core`. The tests of a run
share engines, which are cleaned between tests; `make_lab` creates an engine for one test. An unavailable cell is an
error, never a skip.

With pytest-xdist, each process has its own engines, and a module's tests on one cell run in one process (see
`tests.lab.schedule`): a fixture of module scope is set up once for each cell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.provider import Premises
from tests.lab.cells import CELLS, CORE, Cell, choose, choose_matrix
from tests.lab.lab import EnginePool, Lab, Station
from tests.lab.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.lab.engine import Engine
    from tests.lab.session import Session

_MATRIX = Path(__file__).parent / "matrix"
_LABS = pytest.StashKey[list[Lab]]()


# during collection, because `-m` evaluates the marks right after it
def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.e2e)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        cells = [CELLS[name] for name in _cells_of(metafunc.definition, metafunc.config.getoption("--cells"))]
        metafunc.parametrize("cell", cells, ids=[cell.name for cell in cells], indirect=True)


def _cells_of(test: pytest.Item, expression: str) -> list[str]:
    if marker := test.get_closest_marker("cells"):
        return list(marker.args)
    if test.path.is_relative_to(_MATRIX):
        return choose_matrix(expression)
    core = test.get_closest_marker("core_cells")
    return choose(expression, core.args if core else CORE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for lab in item.stash.get(_LABS, []):
            report.sections.extend(lab.logs())
    return report


@pytest.fixture(scope="session")
def engine_pool(lab_session: Session) -> Iterator[EnginePool]:
    """The engines that tests share."""
    engine_pool = EnginePool(lab_session)
    yield engine_pool
    engine_pool.close()


@pytest.fixture(scope="session")
def cell(request: pytest.FixtureRequest) -> Cell:
    """The cell of the matrix that the test runs on."""
    assert isinstance(request.param, Cell)
    return request.param


@pytest.fixture
def installed_program(lab_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the operators of the test execute the installed program, as users do; others start faster."""
    monkeypatch.setattr(lab_session, "warm", None)


@pytest.fixture
def lab(cell: Cell, engine_pool: EnginePool, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A clean engine of the cell with the test image, its neighbour, and a factory for operators."""
    station = engine_pool.acquire(cell.settings)
    lab = Lab(station.engine, station.neighbour, tmp_path)
    _report_logs_of(request, lab)
    yield lab
    try:
        lab.close()
    finally:
        engine_pool.release(station)


@pytest.fixture
def premises(lab: Lab, lab_session: Session) -> Iterator[Premises]:
    """The lab's host with a provider on its uplink `wan0` instead of the neighbour, without addresses."""
    lab.neighbour.unplug()
    try:
        provider = Provider.join(lab_session, lab.engine.namespace)
        try:
            yield Premises(lab, lab.operator(), provider)
        finally:
            # stop the operator first, so that it does not react to the teardown
            lab.close()
            provider.remove()
            lab.engine.netexec("ip", "-6", "route", "flush", "proto", "dhcp")
    finally:
        lab.neighbour.plug()


@pytest.fixture
def engine(lab: Lab) -> Engine:
    """The lab's engine."""
    return lab.engine


@pytest.fixture
def make_lab(
    cell: Cell, lab_session: Session, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Lab]]:
    """Create labs with engines for one test, with the settings of the cell and the given changes."""
    made: list[tuple[Station, Lab]] = []

    def make(**changes: Any) -> Lab:
        station = Station.build(lab_session, replace(cell.settings, **changes))
        lab = Lab(station.engine, station.neighbour, tmp_path / station.engine.name)
        made.append((station, lab))
        _report_logs_of(request, lab)
        return lab

    yield make
    for station, lab in made:
        lab.close()
        station.remove()


@pytest.fixture
def report_logs_of(request: pytest.FixtureRequest) -> Callable[[Lab], None]:
    """Show a lab's logs if the test fails; for labs that several tests share."""

    def report(lab: Lab) -> None:
        _report_logs_of(request, lab)

    return report


def _report_logs_of(request: pytest.FixtureRequest, lab: Lab) -> None:
    request.node.stash.setdefault(_LABS, []).append(lab)
