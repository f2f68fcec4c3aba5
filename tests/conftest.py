"""Fixtures of all tests: the choice of cells, and the lab session of host and end-to-end tests."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.lab.cells import choose
from tests.lab.process import marked_environment
from tests.lab.session import Session, sweep
from tests.lab.warm import WarmProgram
from tests.property.examples import SAMPLE, SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOOLS = ("ip", "nsenter", "unshare", "nft", "ip6tables", "ping", "sysctl", "mount")

# No limit on the time of an example: it depends on what else the machine does. A sample has the same examples in each
# run, so that a failure has its cause in the change; `make soak` looks for others.
_ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("sample", _ANY_TIME, max_examples=SAMPLE, derandomize=True)
settings.register_profile("soak", _ANY_TIME, max_examples=SOAK)
settings.load_profile("sample")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cells",
        default="core",
        help="engines for the end-to-end tests: core (default), all, or names separated by commas (tests/lab/cells.py)",
    )
    parser.addoption(
        "--matrix-results",
        default="",
        metavar="DIRECTORY",
        help="directory for the results of the matrix, one file for each cell; default: results are not written",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cells(name, ...): run an end-to-end test on these cells in every run")
    config.addinivalue_line("markers", "core_cells(name, ...): run it on these cells with --cells=core")
    # a shell that starts the run in the background lets it, and every process that it starts, ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        choose(config.getoption("--cells"))
    except ValueError as error:
        raise pytest.UsageError(f"--cells: {error}") from error


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from tests.lab.schedule import ByEngine  # noqa: PLC0415 - only a parallel run has pytest-xdist

    return ByEngine(config, log)


@pytest.fixture(scope="session")
def lab_session() -> Iterator[Session]:
    """The lab session of this test run. It first removes what dead runs left, and finally what this run leaves."""
    if os.geteuid() != 0:
        pytest.fail("host and end-to-end tests make network namespaces: run them as root", pytrace=False)
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.fail(f"not installed: {', '.join(missing)}; `make setup` installs what the tests need", pytrace=False)
    sweep()
    session = Session.create()
    session.warm = WarmProgram(marked_environment(session.id))
    try:
        yield session
    finally:
        session.close()
