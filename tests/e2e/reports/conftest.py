"""Reports from public issue trackers, one module each, named after the repository and the number of the report.

docs/reports.md lists them. A test sets up the author's situation, shows the complaint where the engine still has it,
applies dockerv6's resources, and asserts what the author needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.reports.host import Host, Hosts
from tests.lab.firewalls import HostFirewalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import Lab
    from tests.lab.session import Session


@pytest.fixture(scope="session")
def hosts(lab_session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """The hosts that reports share."""
    hosts = Hosts(lab_session, tmp_path_factory.mktemp("reports"))
    yield hosts
    hosts.close()


@pytest.fixture
def host(cell: Cell, hosts: Hosts, report_logs_of: Callable[[Lab], None]) -> Iterator[Host]:
    """A host with the engine of the cell, without containers."""
    host = hosts.get(cell.settings)
    report_logs_of(host.lab)
    yield host
    host.clear()


@pytest.fixture
def fresh_host(make_lab: Callable[..., Lab]) -> Callable[..., Host]:
    """Create hosts for one report, with changed settings of the engine. The operator is not started."""

    def make(**changes: object) -> Host:
        lab = make_lab(**changes)
        return Host(lab, lab.operator())

    return make


@pytest.fixture
def firewalls(fresh_host: Callable[..., Host]) -> Iterator[Callable[[Host], HostFirewalls]]:
    """Install ufw and firewalld on hosts. Neither is active yet."""
    del fresh_host  # removes its hosts after the firewalls
    installed: list[HostFirewalls] = []

    def install(host: Host) -> HostFirewalls:
        installed.append(HostFirewalls(host.engine))
        installed[-1].start()
        return installed[-1]

    yield install
    for each in installed:
        each.close()


@pytest.fixture
def firewalld(
    fresh_host: Callable[..., Host], firewalls: Callable[[Host], HostFirewalls]
) -> tuple[Host, HostFirewalls]:
    """A host with firewalld, and an engine that was started after it, and uses it. The operator is not started."""
    host = fresh_host()
    installed = firewalls(host)
    installed.start_firewalld()
    host.engine.restart()
    return host, installed
